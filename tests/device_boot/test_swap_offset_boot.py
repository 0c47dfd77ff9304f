"""The swap by offset: its decision table, the two ways it goes, and where images lie before and after."""

from __future__ import annotations

from itertools import product

import pytest

from simlib.device import Device, PowerCut
from simlib.device.bootloader import Swap, boot, boot_loader
from simlib.device.bootloader.decision import decide, decide_by_offset
from simlib.device.bootloader.swap import trailer_of
from simlib.device.trailer import Magic, SwapType, TrailerState
from simlib.errors import Reason
from tests.device_boot.rigs import Rig, put, runs

STATES = [TrailerState(*fields) for fields in product(Magic, (False, True), (False, True))]
ASKS_FOR_A_REVERT = TrailerState(Magic.GOOD, image_ok=False, copy_done=True)


@pytest.mark.parametrize("primary", STATES)
def test_copy_done_without_image_ok_in_a_good_secondary_is_a_revert_whatever_the_primary_says(
    primary: TrailerState,
) -> None:
    assert decide_by_offset(primary, ASKS_FOR_A_REVERT) is SwapType.REVERT
    assert decide(primary, ASKS_FOR_A_REVERT) is SwapType.TEST, "where the secondary cannot ask for one"


@pytest.mark.parametrize("primary", STATES)
def test_every_other_state_of_the_secondary_is_decided_by_the_common_table(primary: TrailerState) -> None:
    for secondary in STATES:
        if secondary != ASKS_FOR_A_REVERT:
            assert decide_by_offset(primary, secondary) is decide(primary, secondary)


def test_the_table_row_by_row() -> None:
    in_trial = TrailerState(Magic.GOOD, image_ok=False, copy_done=True)
    rows = {
        SwapType.TEST: [TrailerState(Magic.GOOD, image_ok=False, copy_done=False)],
        SwapType.PERMANENT: [
            TrailerState(Magic.GOOD, image_ok=True, copy_done=done) for done in (False, True)
        ],
        SwapType.REVERT: [s for s in STATES if s.magic is not Magic.GOOD],
    }
    for kind, secondaries in rows.items():
        assert {decide_by_offset(in_trial, secondary) for secondary in secondaries} == {kind}
    quiet = [p for p in STATES if p != in_trial]
    damaged = [s for s in STATES if s.magic is not Magic.GOOD]
    assert {decide_by_offset(p, s) for p, s in product(quiet, damaged)} == {SwapType.NONE}


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_candidate_waits_one_sector_up_and_the_old_image_lies_at_the_start(encrypted: bool) -> None:
    rig = Rig.of("swap-offset", sectors=24, sector=512, encrypted=encrypted)
    old, new = rig.image("1.1.0", 3_000), rig.image("1.2.0", 4_100)
    device = rig.device(old)
    primary, secondary = device.area("primary"), device.area("secondary")
    assert boot_loader(device).target(device).offset == 512
    rig.take(device, new)
    assert secondary.read(512, len(new)) == new
    boot(device)
    assert primary.read(0, len(new)) == rig.clear(new)
    assert secondary.read(0, len(old)) == old  # as shipped: encrypted on its way out
    boot(device)
    assert primary.read(0, len(old)) == rig.clear(old)
    assert secondary.read(512, len(new)) == new, "and could be asked for again"
    boot_loader(device).request(device)
    assert runs(boot(device), rig, new)


def test_an_update_goes_up_and_a_revert_goes_down() -> None:
    rig = Rig.of("swap-offset", sectors=24, sector=512)
    device = rig.device(rig.image("1.1.0", 3_000))
    rig.take(device, rig.image("1.2.0", 3_000))
    erased: list[int] = []
    device.flash.on_operation = lambda offset, data: erased.append(offset // 512) if data is None else None
    ways = []
    for _ in range(2):
        erased.clear()
        boot(device)
        ways.append([sector for sector in erased if sector < 6 or 24 <= sector < 31])
    assert ways == [
        [24, 0, 25, 1, 26, 2, 27, 3, 28, 4, 29, 5],
        [30, 5, 29, 4, 28, 3, 27, 2, 26, 1, 25, 0],
    ]


def test_a_cut_after_the_request_for_a_revert_still_goes_the_way_of_a_revert() -> None:
    """By then the primary's trailer, which knew of the trial, may be gone; the secondary's says it all."""
    rig = Rig.of("swap-offset", sectors=24, sector=512)
    old, new = rig.image("1.1.0", 3_000), rig.image("1.2.0", 3_000)
    device = rig.device(old)
    rig.take(device, new)
    boot(device)
    state = device.snapshot()
    trailers = trailer_of(device, "primary").map.sectors, trailer_of(device, "secondary").map.sectors
    asked = trailers[1] + 2  # the secondary's trailer erased, copy_done and the magic written
    for cut in range(asked + 1, asked + trailers[0] + 1):
        device.restore(state)
        device.flash.arm_cut(cut, "garbage", seed=cut)
        with pytest.raises(PowerCut):
            boot(device)
        device.flash.power_on()
        found = trailer_of(device, "secondary").state()
        assert (found.magic, found.image_ok, found.copy_done) == (Magic.GOOD, False, True)
        back = boot(device)
        assert (runs(back, rig, old), back.swap) == (True, Swap.REVERT)
        assert runs(boot(device), rig, old)


def test_an_image_left_at_the_secondarys_start_is_no_candidate() -> None:
    rig = Rig.of("swap-offset", sectors=24, sector=512)
    old = rig.image("1.1.0", 3_000)
    device = rig.device(old)
    put(device, rig.image("1.2.0", 2_000))
    device.area("secondary").erase_all()
    device.area("secondary").write_bytes(0, rig.image("1.2.0", 2_000))
    boot_loader(device).request(device)
    refused = boot(device)
    assert (runs(refused, rig, old), refused.reason) == (True, Reason.NOT_AN_IMAGE)


def test_a_revert_to_a_spoilt_image_is_refused_and_the_trial_image_stays() -> None:
    rig = Rig.of("swap-offset", sectors=24, sector=512)
    new = rig.image("1.2.0", 3_000)
    device: Device = rig.device(rig.image("1.1.0", 3_000))
    rig.take(device, new)
    boot(device)
    device.area("secondary").erase(1024)
    stays = boot(device)
    assert (runs(stays, rig, new), stays.swap, stays.reason) == (True, Swap.NONE, Reason.HASH_MISMATCH)
    assert runs(boot(device), rig, new)
