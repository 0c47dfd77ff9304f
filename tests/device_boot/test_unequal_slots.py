"""Slots of different sizes and erase units: those that work together do, and the others are no device."""

from __future__ import annotations

from itertools import pairwise

import pytest

from simlib.device import layouts
from simlib.device.bootloader import boot
from simlib.device.updater import confirm_update
from simlib.errors import InputError, Reason
from tests.device_boot.predicted import install, revert, shape_of, swap
from tests.device_boot.rigs import LAYOUTS, TRYING, Rig, counted, put, runs

KIB = 1024


def rig_of(layout: str, *, encrypted: bool = False, **facts: object) -> Rig:
    """Slots of 64 KiB in sectors of 4 KiB, but for `facts`."""
    return Rig.of(layout, encrypted=encrypted, **facts)


COMPATIBLE = [
    ("swap-move", {"secondary_size_bytes": 64 * KIB}),
    ("swap-move", {"secondary_size_bytes": 60 * KIB}),
    ("swap-offset", {"secondary_size_bytes": 64 * KIB}),
    ("swap-offset", {"secondary_size_bytes": 68 * KIB}),
    ("swap-scratch", {"secondary_size_bytes": 64 * KIB}),
    ("swap-scratch", {"secondary_sector_bytes": 16 * KIB}),
    ("swap-scratch", {"secondary_sector_bytes": 16 * KIB, "scratch_size_bytes": 32 * KIB}),
    ("overwrite-only", {"secondary_size_bytes": 48 * KIB}),
    ("overwrite-only", {"secondary_size_bytes": 96 * KIB}),
    ("overwrite-only", {"secondary_sector_bytes": 16 * KIB}),
    ("overwrite-only", {"secondary_sector_bytes": 16 * KIB, "secondary_size_bytes": 32 * KIB}),
    ("direct-xip", {"secondary_size_bytes": 32 * KIB}),
    ("direct-xip", {"secondary_size_bytes": 128 * KIB, "secondary_sector_bytes": 16 * KIB}),
    ("direct-xip-revert", {"secondary_size_bytes": 32 * KIB}),
    ("direct-xip-revert", {"secondary_sector_bytes": 16 * KIB}),
    ("ram-load", {"secondary_size_bytes": 40 * KIB}),
]


def name(value: object) -> str:
    return (
        "-".join(f"{k.split('_')[1]}{v // KIB}K" for k, v in value.items()) if isinstance(value, dict) else ""
    )


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize(("layout", "facts"), COMPATIBLE, ids=name)
def test_images_at_the_limit_of_both_slots_go_in_and_back(
    layout: str, facts: dict[str, int], encrypted: bool
) -> None:
    encrypted = encrypted and not layout.startswith("direct-xip")
    rig = rig_of(layout, encrypted=encrypted, **facts)
    limit = layouts.max_image_bytes(rig.config, encrypted=encrypted)
    assert limit == shape_of(rig).limit > 24 * KIB
    images = [rig.image(f"1.{n}.0", limit) for n in range(1, 4)]
    device = rig.device(images[0])
    boot(device)
    for before, after in pairwise(images):
        for kind in ("full", "delta") if layout in TRYING else ("full",):
            assert rig.take(device, after, kind) is Reason.NONE
            assert runs(boot(device), rig, after)
            if layout in TRYING and kind == "full":
                assert runs(boot(device), rig, before)
        confirm_update(device)
        assert runs(boot(device), rig, after)
    if not encrypted:
        assert rig.take(device, rig.image("1.9.0", limit + 1)) is Reason.STORAGE_SHORT


@pytest.mark.parametrize(("layout", "facts"), [c for c in COMPATIBLE if c[0].startswith("swap")], ids=name)
def test_the_operations_are_those_that_the_erase_units_ask_for(layout: str, facts: dict[str, int]) -> None:
    rig = rig_of(layout, **facts)
    shape = shape_of(rig)
    for size in (20_000, shape.limit):
        device = rig.device(rig.image("1.1.0", size - 3_000))
        new = rig.image("1.2.0", size)
        assert counted(device, lambda: rig.take(device, new)) == tuple(install(shape, size))  # noqa: B023
        assert counted(device, lambda: boot(device)) == tuple(swap(shape, size))  # noqa: B023
        assert counted(device, lambda: boot(device)) == tuple(revert(shape, size))  # noqa: B023


def test_one_erase_of_a_larger_unit_wears_all_its_sectors() -> None:
    rig = rig_of("swap-scratch", secondary_sector_bytes=16 * KIB)
    device = rig.device(rig.image("1.1.0", 20_000))
    wear = device.flash.wear.copy()
    rig.take(device, rig.image("1.2.0", 20_000))
    added = [now - then for now, then in zip(device.flash.wear, wear, strict=True)][16:32]
    assert added == [1] * 8 + [0] * 4 + [1] * 4  # the image's two units and the trailer's
    assert device.flash.erases == 3


INCOMPATIBLE = [
    ("swap-move", {"secondary_size_bytes": 68 * KIB}, "secondary_size: .*expected 65536 or 61440"),
    ("swap-move", {"secondary_size_bytes": 56 * KIB}, "secondary_size: .*expected 65536 or 61440"),
    ("swap-move", {"secondary_sector_bytes": 16 * KIB}, "secondary_sector: .*expected 4096"),
    ("swap-offset", {"secondary_size_bytes": 60 * KIB}, "secondary_size: .*expected 65536 or 69632"),
    ("swap-offset", {"secondary_size_bytes": 72 * KIB}, "secondary_size: .*expected 65536 or 69632"),
    (
        "swap-offset",
        {"secondary_sector_bytes": 16 * KIB, "secondary_size_bytes": 64 * KIB},
        "secondary_sector: .*expected 4096",
    ),
    ("swap-scratch", {"secondary_size_bytes": 60 * KIB}, "secondary_size: .*expected 65536"),
    ("swap-scratch", {"secondary_size_bytes": 128 * KIB}, "secondary_size: .*expected 65536"),
    (
        "swap-scratch",
        {"slot_size_bytes": 60 * KIB, "secondary_size_bytes": 64 * KIB, "secondary_sector_bytes": 16 * KIB},
        "scratch_size: .*largest sector, 16384",
    ),
    (
        "swap-scratch",
        {"secondary_sector_bytes": 16 * KIB, "scratch_size_bytes": 20 * KIB},
        "scratch_size: found 20480, expected 0 or a multiple",
    ),
    ("overwrite-only", {"slot_size_bytes": 60 * KIB, "secondary_sector_bytes": 16 * KIB}, "secondary_size"),
    ("swap-move", {"scratch_size_bytes": 4 * KIB}, "scratch_size: found one for swap-move"),
    ("single-slot", {"secondary_size_bytes": 64 * KIB}, "secondary_size: found one for single-slot"),
    (
        "in-place-journal",
        {"secondary_size_bytes": 64 * KIB},
        "secondary_size: found one for in-place-journal",
    ),
    ("in-place-journal", {"scratch_size_bytes": 4 * KIB}, "scratch_size: found 4096, expected 8192 or more"),
    ("direct-xip", {"secondary_sector_bytes": 6 * KIB}, "secondary_sector: found 6144"),
]


@pytest.mark.parametrize(("layout", "facts", "message"), INCOMPATIBLE, ids=name)
def test_slots_that_do_not_go_together_are_refused_in_one_line_and_make_no_device(
    layout: str, facts: dict[str, int], message: str
) -> None:
    image = Rig.of(layout).image("1.1.0", 9_000)
    with pytest.raises(InputError, match=message) as refused:
        Rig.of(layout).with_config(**facts).device(image)
    assert "\n" not in str(refused.value)


def test_a_device_keeps_its_flash_when_its_configuration_is_found_not_to_go_together() -> None:
    """The check looks at the configuration alone: it comes before, and never touches, a flash."""
    rig = rig_of("swap-move")
    device = rig.device(rig.image("1.1.0", 9_000))
    put(device, rig.image("1.2.0", 9_000))
    before, ops = device.flash.content(), device.flash.ops
    with pytest.raises(InputError):
        layouts.check_geometry(rig.with_config(secondary_size_bytes=56 * KIB).config)
    assert (device.flash.content(), device.flash.ops) == (before, ops)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_layout_takes_by_itself_goes_together(layout: str) -> None:
    for sector in (512, 4096, 16384):
        layouts.check_geometry(Rig.of(layout, sectors=64, sector=sector).config)
