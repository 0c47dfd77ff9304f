"""Boot loaders and updaters with a defect in them, which only a power cut shows: the sweep finds each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from simlib.device import Device
from simlib.device.bootloader import swap
from simlib.device.layouts import get
from simlib.device.powercut import SECOND_CUTS_ALL, Fate, First, PowercutResult, SweepOptions, sweep
from simlib.device.powercut.case import SweepCase, build_case
from simlib.device.powercut.event import BOOT, CONFIRM, Booted, performed
from simlib.device.trailer import Trailer
from simlib.errors import Reason
from simlib.firmware.trailer import MAGIC_BYTES
from tests.seeded_defects.catalogue import SEEN, TOLERATED, TORN_MAGIC, UNCONFIRMED_STAYS
from tests.seeded_defects.seeding import Defect, Edit, seeded

FOUND = [each for defects in SEEN.values() for each in defects]
AT_LEAST, AT_LEAST_EACH = 20, 3


def named(defect: Defect) -> str:
    return f"{defect.layout}-{defect.name}"


@cache
def sound(options: SweepOptions) -> PowercutResult:
    """The sweep of the code as it is, done once for all defects that share their options."""
    return sweep(options)


def harmed(result: PowercutResult) -> int:
    return sum(fate.bricked or fate.stuck for fate in result.worst)


def fates(result: PowercutResult, phase: str) -> Iterator[Fate]:
    for operation in result.operations:
        if operation.phase == phase:
            for torn in operation.torn:
                yield from torn.fates


def boots(case: SweepCase, device: Device, name: str, *, trial: bool = False) -> None:
    booted = performed(BOOT, device)
    assert isinstance(booted, Booted), booted
    assert (case.name_of(booted.image_sha256), booted.trial) == (name, trial)


def updated_further(case: SweepCase, device: Device, running: str, *, trial: bool) -> None:
    assert performed(case.further[running], device) == Reason.NONE
    boots(case, device, "third", trial=trial)
    assert performed(CONFIRM, device) is None
    boots(case, device, "third")


def works_while_nothing_is_cut(options: SweepOptions) -> None:
    """The update, its confirmation and its revert, and a further update after each."""
    case, trial = build_case(options), get(options.layout).has_trial
    for confirmed in (True, False) if trial else (True,):
        device = case.make()
        assert performed(case.update, device) == Reason.NONE
        boots(case, device, "new", trial=trial)
        if confirmed:
            performed(CONFIRM, device)
        running = "new" if confirmed else "old"
        for _ in range(2):
            boots(case, device, running)
        updated_further(case, device, running, trial=trial)


@pytest.mark.parametrize("defect", FOUND, ids=named)
def test_the_sweep_finds_the_defect_and_nothing_without_it(defect: Defect) -> None:
    with seeded(*defect.edits):
        works_while_nothing_is_cut(defect.options)
        found = sweep(defect.options)
    assert harmed(found)
    assert harmed(sound(defect.options)) == 0


def test_each_algorithm_and_the_updater_have_their_share_of_defects() -> None:
    assert len(FOUND) >= AT_LEAST
    assert min(len(defects) for defects in SEEN.values()) >= AT_LEAST_EACH
    assert all(
        {each.layout for each in defects} == {name} for name, defects in SEEN.items() if name != "updater"
    )
    names = Counter(named(each) for each in [*FOUND, *UNCONFIRMED_STAYS])
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("defect", UNCONFIRMED_STAYS, ids=named)
def test_an_image_that_was_not_confirmed_and_stays_is_found(defect: Defect) -> None:
    with seeded(*defect.edits):
        works_while_nothing_is_cut(defect.options)
        found = sweep(defect.options)
    assert harmed(found)
    assert harmed(sound(defect.options)) == 0


@pytest.mark.parametrize("defect", TORN_MAGIC, ids=named)
def test_a_cut_inside_the_write_of_the_magic_loses_the_revert_of_mcuboot_issue_1966(defect: Defect) -> None:
    device = build_case(defect.options).make()
    secondary = device.area("secondary").partition
    magic = secondary.offset + secondary.size - MAGIC_BYTES
    with seeded(*defect.edits):
        found = sweep(defect.options)
    lost = [(row, torn) for row in found.operations for torn in row.torn if torn.worst.stuck]
    assert {torn.tear for _, torn in lost} >= {"partial", "garbage"}
    assert "none" not in {torn.tear for _, torn in lost}
    row, torn = next((row, torn) for row, torn in lost if torn.tear == "partial")
    assert (row.phase, row.kind, row.offset, row.size_bytes) == ("revert", "write", magic, MAGIC_BYTES)
    assert all(fate.first is First.NEW and fate.stuck for fate in torn.fates)


@pytest.mark.parametrize("defect", TORN_MAGIC, ids=named)
def test_a_cut_between_two_operations_does_not_show_mcuboot_issue_1966(defect: Defect) -> None:
    with seeded(*defect.edits):
        assert harmed(sweep(replace(defect.options, tear="none"))) == 0


@pytest.mark.parametrize("layout", ["swap-scratch", "swap-move", "swap-offset", "direct-xip-revert"])
def test_no_cut_in_a_revert_lets_the_failed_image_run_again(layout: str) -> None:
    options = next(each.options for each in FOUND if each.layout == layout)
    assert {fate.first for fate in fates(sound(options), "revert")} == {First.OLD}


@pytest.mark.parametrize("defect", TOLERATED, ids=named)
def test_a_mistake_with_a_second_guard_behind_it_does_no_harm(defect: Defect) -> None:
    with seeded(*defect.edits):
        works_while_nothing_is_cut(defect.options)
        assert harmed(sweep(defect.options)) == 0


def test_a_defect_whose_code_has_changed_is_told() -> None:
    with pytest.raises(ValueError, match="found 0 times"), seeded(Edit(Trailer.erase, {"no such code": ""})):
        pass


def test_a_seeded_function_is_as_it_was_afterwards() -> None:
    before = Trailer.erase.__code__
    edit = Edit(Trailer.erase, {"self.area.erase_range(start": "print(start"})
    with seeded(edit):
        assert Trailer.erase.__code__ is not before
    assert Trailer.erase.__code__ is before


def test_a_revert_that_is_begun_a_second_time_keeps_its_request_and_losing_it_takes_two_cuts() -> None:
    """By offset the secondary asks for the revert while the primary's trailer is written anew."""
    options = SweepOptions(
        layout="swap-offset",
        image_size_bytes=700,
        sector_size_bytes=512,
        tear="none",
        second_cuts=SECOND_CUTS_ALL,
    )
    forgetful = Edit(swap.write_down, {" and secondary.magic() is not Magic.GOOD": ""})
    with seeded(forgetful):
        lost = sweep(options)
    kept = sweep(options)
    assert harmed(lost) == harmed(kept) == 0  # one cut does nothing
    assert lost.summary()["second_stuck"] > 0
    assert (kept.summary()["second_bricked"], kept.summary()["second_stuck"]) == (0, 0)
