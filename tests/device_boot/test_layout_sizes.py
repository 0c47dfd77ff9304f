"""How large an image each layout carries: as a formula of MCUboot's figures, and as what a device takes."""

from __future__ import annotations

import pytest

from simlib.device import Device, layouts
from simlib.device.bootloader import Swap, boot
from simlib.device.bootloader.swap import trailer_of
from simlib.device.trailer import TrailerMap
from simlib.device.updater import confirm_update
from simlib.errors import Reason
from tests.device_boot.predicted import shape_of
from tests.device_boot.rigs import LAYOUTS, SWAPPING, TRYING, Rig, put, runs

KIB = 1024
# Sector, write size, sectors of a slot.
FLASHES = [
    (512, 1, 32),
    (512, 4, 32),  # the trailer's fields alone reach into the image's last sector
    (1024, 8, 24),  # likewise
    (4096, 2, 8),
    (4096, 4, 16),
    (4096, 16, 16),
    (4096, 32, 16),  # likewise
    (8192, 8, 8),
    (16384, 4, 4),
]
IDS = [f"{sector}B-write{write}" for sector, write, _ in FLASHES]
FILLED = ("in-place-journal", "single-slot")
"""Their image may fill the slot."""


def rig_of(layout: str, flash: tuple[int, int, int], *, encrypted: bool = False) -> Rig:
    sector, write, sectors = flash
    return Rig.of(layout, sectors=sectors, sector=sector, write_size_bytes=write, encrypted=encrypted)


@pytest.mark.parametrize(("write", "size"), [(4, 1584), (8, 3120), (16, 6224), (32, 12448)])
def test_trailers_are_as_large_as_mcuboots(write: int, size: int) -> None:
    found = {
        layout: TrailerMap.of(Rig.of(layout, write_size_bytes=write).config, encrypted=False).size
        for layout in ("swap-move", "swap-scratch")
    }
    assert found == {"swap-move": size, "swap-scratch": size}
    by_offset = TrailerMap.of(Rig.of("swap-offset", write_size_bytes=write).config, encrypted=False)
    # Two status units a sector instead of three, and a field for the sizes of unprotected TLVs.
    assert by_offset.size == size - 128 * write + max(8, write)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("flash", FLASHES, ids=IDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trailer_and_largest_image_follow_from_the_geometry(
    layout: str, flash: tuple[int, int, int], encrypted: bool
) -> None:
    rig = rig_of(layout, flash, encrypted=encrypted)
    shape = shape_of(rig)
    assert layouts.max_image_bytes(rig.config, encrypted=encrypted) == shape.limit
    if layout not in FILLED:
        assert TrailerMap.of(rig.config, encrypted=encrypted).size == shape.trailer


@pytest.mark.parametrize("sectors", [128, 129, 300])
def test_a_slot_of_more_than_128_sectors_has_a_longer_status(sectors: int) -> None:
    for layout in SWAPPING:
        rig = Rig.of(layout, sectors=sectors, sector=512)
        shape = shape_of(rig)
        units = {"swap-offset": 2}.get(layout, 3) * 4
        assert TrailerMap.of(rig.config, encrypted=False).size == shape.fields + sectors * units
        assert layouts.max_image_bytes(rig.config) == shape.limit


def at_the_limit(rig: Rig) -> tuple[bytes, bytes, int]:
    """Two images as large as may be, of different sectors all through, and the limit."""
    limit = layouts.max_image_bytes(rig.config, encrypted=rig.encrypted)
    old, new = rig.image("1.1.0", limit), rig.image("1.2.0", limit)
    assert limit - 16 < len(new) <= limit
    assert rig.encrypted or len(new) == limit
    return old, new, limit


def check_installed(device: Device, rig: Rig, new: bytes, kind: str = "full") -> None:
    assert rig.take(device, new, kind) is Reason.NONE
    booted = boot(device)
    assert runs(booted, rig, new)
    assert booted.trial is (rig.config.layout in TRYING)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("flash", FLASHES, ids=IDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_image_at_the_limit_is_installed_reverted_and_installed_again(
    layout: str, flash: tuple[int, int, int], encrypted: bool
) -> None:
    if encrypted and layout.startswith("direct-xip"):
        encrypted = False  # of these layouts: once more, with a patch
    rig = rig_of(layout, flash, encrypted=encrypted)
    old, new, _ = at_the_limit(rig)
    device = rig.device(old)
    assert runs(boot(device), rig, old)
    check_installed(device, rig, new)
    if layout in TRYING:
        back = boot(device)
        assert (runs(back, rig, old), back.swap) == (True, Swap.REVERT)
        check_installed(device, rig, new)
        confirm_update(device)
    assert runs(boot(device), rig, new)
    last = rig.image("1.3.0", len(old))
    check_installed(device, rig, last, "full" if layout == "single-slot" else "delta")


@pytest.mark.parametrize("flash", FLASHES, ids=IDS)
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout not in FILLED])
def test_one_byte_more_is_refused_by_the_updater_and_by_the_boot_loader(
    layout: str, flash: tuple[int, int, int]
) -> None:
    rig = rig_of(layout, flash)
    old, _, limit = at_the_limit(rig)
    over = rig.image("1.2.0", limit + 1)
    device = rig.device(old)
    assert rig.take(device, over) is Reason.STORAGE_SHORT
    assert device.flash.ops == 0
    put(device, over)
    refused = boot(device)
    assert runs(refused, rig, old)
    if layout in ("overwrite-only", "direct-xip-revert"):  # the request has cleared its cells of the image
        assert any(Reason.TLV_INVALID in step.detail for step in device.journal)
    else:
        assert refused.reason is Reason.OVERSIZE
    secondary = device.area("secondary")
    assert secondary.is_erased(0, secondary.size)
    check_installed(device, rig, rig.image("1.2.0", limit))


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_image_one_sector_too_large_is_refused_before_anything_is_written(
    layout: str, encrypted: bool
) -> None:
    encrypted = encrypted and not layout.startswith("direct-xip")
    rig = rig_of(layout, FLASHES[4], encrypted=encrypted)
    old, _, limit = at_the_limit(rig)
    device = rig.device(old)
    over = rig.image("1.2.0", limit + 4096)
    if layout == "single-slot":  # only its driver tells it that the slot has ended
        assert rig.take(device, over) is Reason.WRITE_REFUSED
        return
    assert rig.take(device, over) is Reason.STORAGE_SHORT
    assert device.flash.ops == 0
    assert runs(boot(device), rig, old)


@pytest.mark.parametrize(("sector", "write"), [(4096, 4), (8192, 8), (16384, 16)])
def test_only_swap_scratch_and_the_layouts_without_a_swap_share_the_trailers_sector(
    sector: int, write: int
) -> None:
    for layout in LAYOUTS:
        rig = rig_of(layout, (sector, write, 8))
        limit = layouts.max_image_bytes(rig.config)
        shares = limit % sector != 0
        assert shares is (layout not in ("swap-move", "swap-offset", *FILLED))
        if not shares or layout != "swap-scratch":
            continue
        old, new, _ = at_the_limit(rig)
        device = rig.device(old)
        check_installed(device, rig, new)
        trailer = trailer_of(device, "primary")
        assert limit == trailer.map.status
        assert device.area("primary").read(0, limit) == new
        assert device.area("secondary").read(0, limit) == old
        assert runs(boot(device), rig, old)
