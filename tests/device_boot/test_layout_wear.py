"""What a swap wears out: the erases of every sector, and how many upgrades a scratch area lives for."""

from __future__ import annotations

from fractions import Fraction

import pytest

from simlib.device.bootloader import boot
from simlib.device.updater import confirm_update
from simlib.errors import Reason
from tests.device_boot import predicted
from tests.device_boot.predicted import shape_of
from tests.device_boot.rigs import SWAPPING, Rig, wear_of

KIB = 1024
CYCLES = 10_000
IMAGE = 150 * KIB


def wear_of_a_swap(rig: Rig, size: int) -> dict[str, list[int]]:
    """The erases of each sector at one boot that swaps two images of this size."""
    device = rig.device(rig.image("1.1.0", size))
    assert rig.take(device, rig.image("1.2.0", size)) is Reason.NONE
    names = [partition.name for partition in device.partitions]
    before = {name: wear_of(device, name) for name in names}
    assert boot(device).trial
    return {
        name: [now - then for now, then in zip(wear_of(device, name), before[name], strict=True)]
        for name in names
    }


def scratch_rig(scratch: int) -> Rig:
    return Rig.of("swap-scratch", sectors=48, scratch_size_bytes=scratch, download_size_bytes=0)


@pytest.mark.parametrize(("scratch", "mcuboot", "upgrades"), [(4 * KIB, 267, 256), (16 * KIB, 1067, 909)])
def test_a_scratch_area_lives_for_mcuboots_figure_less_the_request_and_whole_regions(
    scratch: int, mcuboot: int, upgrades: int
) -> None:
    """MCUboot's formula takes the image as regions and broken ones, and knows of no erase for the request."""
    assert round(Fraction(CYCLES, 1) / Fraction(IMAGE, scratch)) == mcuboot
    regions = -(-(IMAGE + 2 * KIB) // scratch)  # of whole sectors: 37.5 are 38
    assert wear_of_a_swap(scratch_rig(scratch), IMAGE)["scratch"] == [regions + 1] * (scratch // (4 * KIB))
    assert predicted.scratch_erases(shape_of(scratch_rig(scratch)), IMAGE) == regions + 1
    assert CYCLES // (regions + 1) == upgrades
    assert upgrades < mcuboot <= CYCLES // (regions - 1)


@pytest.mark.parametrize("scratch", [4 * KIB, 8 * KIB, 12 * KIB, 32 * KIB])
@pytest.mark.parametrize("size", [3 * KIB, 32 * KIB, 33 * KIB, 60 * KIB + 100])
def test_a_scratch_area_is_erased_once_a_region_and_once_for_the_request(scratch: int, size: int) -> None:
    rig = Rig.of("swap-scratch", scratch_size_bytes=scratch, download_size_bytes=0)
    found = set(wear_of_a_swap(rig, size)["scratch"])
    assert found == {predicted.scratch_erases(shape_of(rig), size)}


def test_a_swap_through_scratch_erases_each_sector_of_image_once_in_both_slots() -> None:
    wear = wear_of_a_swap(scratch_rig(4 * KIB), IMAGE)
    assert wear["primary"] == wear["secondary"] == [1] * 38 + [0] * 9 + [1]


def test_a_swap_by_moving_erases_the_primary_twice_and_the_secondary_once() -> None:
    wear = wear_of_a_swap(Rig.of("swap-move", sectors=48, download_size_bytes=0), IMAGE)
    assert wear["primary"] == [1] + [2] * 37 + [1] + [0] * 8 + [1]  # the gap above the image once
    assert wear["secondary"] == [1] * 38 + [0] * 9 + [1]


def test_a_swap_by_offset_erases_each_slot_once() -> None:
    wear = wear_of_a_swap(Rig.of("swap-offset", sectors=48, download_size_bytes=0), IMAGE)
    assert wear["primary"] == [1] * 38 + [0] * 9 + [1]
    assert wear["secondary"] == [1] * 38 + [0] * 10 + [1]


@pytest.mark.parametrize("layout", SWAPPING)
def test_a_revert_wears_the_slots_like_the_update_but_for_the_request_in_the_secondarys_trailer(
    layout: str,
) -> None:
    rig = Rig.of(layout, download_size_bytes=0)
    device = rig.device(rig.image("1.1.0", 20_000))
    rig.take(device, rig.image("1.2.0", 20_000))
    counts = []
    for _ in range(2):
        before = device.flash.wear.copy()
        boot(device)
        counts.append([now - then for now, then in zip(device.flash.wear, before, strict=True)])
    update, revert = counts
    asked = 0 if layout == "swap-scratch" else 1
    assert sum(revert) - sum(update) == asked
    if layout == "swap-offset":  # the sectors of the secondary, one higher
        at = 16
        assert (update[at : at + 6], revert[at : at + 6]) == ([1] * 5 + [0], [0] + [1] * 5)


def test_the_wear_of_many_upgrades_is_the_sum_of_theirs() -> None:
    rig = Rig.of("swap-scratch", sectors=24, sector=512, download_size_bytes=0)
    device = rig.device(rig.image("1.1.0", 3_000))
    for minor in range(2, 12):
        assert rig.take(device, rig.image(f"1.{minor}.0", 3_000)) is Reason.NONE
        boot(device)
        confirm_update(device)
    assert wear_of(device, "scratch") == [10 * predicted.scratch_erases(shape_of(rig), 3_000)]
