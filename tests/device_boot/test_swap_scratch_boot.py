"""The swap through a scratch area: its regions, what each trailer is for, and cuts where they are shared."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.device import Device, PowerCut, layouts
from simlib.device.bootloader import Swap, boot
from simlib.device.bootloader.swap import trailer_of
from simlib.device.bootloader.swap_scratch import regions
from simlib.device.tears import TEARS
from simlib.device.trailer import Magic, TrailerMap
from simlib.device.updater import confirm_update
from simlib.errors import Reason
from tests.device_boot.rigs import Rig, runs

KIB = 1024


@given(
    sectors=st.integers(6, 40),
    scratch=st.integers(1, 12),
    larger=st.sampled_from([1, 2, 4]),
    size=st.floats(0, 1),
)
def test_regions_cover_the_swap_once_from_the_top_down(
    sectors: int, scratch: int, larger: int, size: float
) -> None:
    unit = 512 * larger
    rig = Rig.of(
        "swap-scratch",
        sectors=sectors * larger,
        sector=512,
        scratch_size_bytes=scratch * unit,
        secondary_sector_bytes=unit if larger > 1 else 0,
    )
    trailer_at = TrailerMap.of(rig.config, encrypted=False).status
    n = 1 + int(size * (max(1, layouts.max_image_bytes(rig.config)) - 1))
    found = regions(rig.config, n, trailer_at, scratch * unit)
    assert found[0].start + found[0].size == -(-n // unit) * unit
    assert found[-1].start == 0
    assert all(high.start == low.start + low.size for high, low in pairwise(found))
    assert all(part.size <= scratch * unit and part.size % unit == part.start % unit == 0 for part in found)
    assert sum(part.copied for part in found) == min(-(-n // unit) * unit, trailer_at) >= n


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("scratch", [512, 1024, 3 * 512])
def test_both_images_are_whole_after_update_and_revert(scratch: int, encrypted: bool) -> None:
    rig = Rig.of("swap-scratch", sectors=24, sector=512, scratch_size_bytes=scratch, encrypted=encrypted)
    old, new = rig.image("1.1.0", 3_000), rig.image("1.2.0", 6_200)
    device = rig.device(old)
    primary, secondary = device.area("primary"), device.area("secondary")
    rig.take(device, new)
    boot(device)
    assert primary.read(0, len(new)) == rig.clear(new)
    assert secondary.read(0, len(old)) == old
    boot(device)
    assert primary.read(0, len(old)) == rig.clear(old)
    assert secondary.read(0, len(new)) == new


@pytest.mark.parametrize("scratch", [512, 2048, 32 * 512])
@pytest.mark.parametrize("size", [500, 3_000, "limit"])
def test_a_swap_ends_without_a_magic_in_the_scratch_area(scratch: int, size: int | str) -> None:
    rig = Rig.of("swap-scratch", sectors=24, sector=512, scratch_size_bytes=scratch)
    n = layouts.max_image_bytes(rig.config) if isinstance(size, str) else size
    device = rig.device(rig.image("1.1.0", n))
    rig.take(device, rig.image("1.2.0", n))
    for _ in range(2):
        boot(device)
        assert trailer_of(device, "scratch").magic() is not Magic.GOOD


def life_with_cuts(rig: Rig, device: Device, wanted: bytes) -> set[str]:
    """Boot with a cut at each early operation and at some later ones; what runs after power has returned.

    Not in the last one: with copy_done half written the swap is complete, and the next boot another one.
    """
    state, before = device.snapshot(), device.flash.ops
    assert runs(boot(device), rig, wanted)
    ops = device.flash.ops - before
    after = device.snapshot()
    ends = set()
    for cut in (*range(1, min(36, ops)), *range(36, ops, 29)):
        for tear in TEARS:
            device.restore(state)
            device.flash.arm_cut(cut, tear, seed=cut)
            with pytest.raises(PowerCut):
                boot(device)
            device.flash.power_on()
            booted = boot(device)
            ends.add("wanted" if runs(booted, rig, wanted) else f"{booted} after {tear} in {cut}")
    device.restore(after)
    return ends


@pytest.mark.parametrize(
    ("sector", "write", "scratch_sectors", "encrypted"),
    [
        (512, 4, 1, False),
        (512, 4, 3, False),
        (1024, 8, 1, True),
        (512, 8, 2, False),
        (4096, 32, 1, False),
        (4096, 32, 1, True),
        (2048, 2, 1, True),
    ],
)
def test_a_cut_in_the_sector_that_image_and_trailer_share_loses_nothing(
    sector: int, write: int, scratch_sectors: int, encrypted: bool
) -> None:
    """Trailer fields may end just above the image, and the status of its highest region in the scratch area.

    Third life of three images at the limit, so that nothing is erased by luck: a trial, then its revert.
    """
    rig = Rig.of(
        "swap-scratch",
        sectors=12 if sector < 4096 else 8,
        sector=sector,
        write_size_bytes=write,
        scratch_size_bytes=scratch_sectors * sector,
        encrypted=encrypted,
    )
    limit = layouts.max_image_bytes(rig.config, encrypted=encrypted)
    first, second, third = (rig.image(f"1.{n}.0", limit) for n in (1, 2, 3))
    device = rig.device(first)
    rig.take(device, second)
    boot(device)
    confirm_update(device)
    rig.take(device, third)
    assert life_with_cuts(rig, device, third) == {"wanted"}
    assert life_with_cuts(rig, device, second) == {"wanted"}
    assert runs(boot(device), rig, second)


def test_image_data_that_look_like_a_trailer_in_the_scratch_area_do_not_start_a_swap() -> None:
    """The lowest region stays in the scratch area; its end is where the area's own trailer would be."""
    rig = Rig.of("swap-scratch", sectors=24, sector=512)
    fields = TrailerMap.of(rig.config, encrypted=False, slot="scratch")
    header = 32
    payload = bytearray(3_000)
    payload[fields.magic - header : 512 - header] = fields.magic_value
    payload[fields.swap_info - header] = 4
    payload[fields.swap_size - header : fields.swap_size - header + 4] = (1_000).to_bytes(4, "little")
    odd = rig.image("1.2.0", 0, payload=bytes(payload))
    old = rig.image("1.1.0", 3_000)
    device = rig.device(old)
    rig.take(device, odd)
    assert runs(boot(device), rig, odd)
    confirm_update(device)
    assert all((b := boot(device)).swap is Swap.NONE and runs(b, rig, odd) for _ in range(2))
    new = rig.image("1.3.0", 2_000)
    rig.take(device, new)
    assert runs(boot(device), rig, new)
    assert runs(boot(device), rig, odd)
    assert rig.take(device, old) is Reason.NONE
