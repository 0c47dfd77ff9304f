"""MCUboot's swap table, row by row, over every combination of trailer states."""

from __future__ import annotations

from itertools import product

import pytest

from simlib.device.bootloader.decision import decide, in_trial, under_way
from simlib.device.trailer import Magic, SwapType, TrailerState

STATES = [TrailerState(*fields) for fields in product(Magic, (False, True), (False, True))]


@pytest.mark.parametrize("primary", STATES)
@pytest.mark.parametrize("copy_done", [False, True])
def test_a_good_secondary_without_image_ok_is_tried_whatever_the_primary_says(
    primary: TrailerState, copy_done: bool
) -> None:
    assert decide(primary, TrailerState(Magic.GOOD, False, copy_done)) is SwapType.TEST


@pytest.mark.parametrize("primary", STATES)
@pytest.mark.parametrize("copy_done", [False, True])
def test_a_good_secondary_with_image_ok_is_installed_for_good(primary: TrailerState, copy_done: bool) -> None:
    assert decide(primary, TrailerState(Magic.GOOD, True, copy_done)) is SwapType.PERMANENT


@pytest.mark.parametrize("secondary", [s for s in STATES if s.magic is not Magic.GOOD])
def test_an_unconfirmed_trial_is_reverted_also_when_the_secondarys_magic_is_damaged(
    secondary: TrailerState,
) -> None:
    assert decide(TrailerState(Magic.GOOD, False, True), secondary) is SwapType.REVERT


@pytest.mark.parametrize(
    ("primary", "secondary"),
    [
        (p, s)
        for p, s in product(STATES, STATES)
        if s.magic is not Magic.GOOD and p != TrailerState(Magic.GOOD, False, True)
    ],
)
def test_everything_else_swaps_nothing(primary: TrailerState, secondary: TrailerState) -> None:
    assert decide(primary, secondary) is SwapType.NONE


def test_a_swap_is_under_way_only_while_the_primary_alone_vouches_for_it() -> None:
    found = [(p, s) for p, s in product(STATES, STATES) if under_way(p, s)]
    assert {(p.magic, p.copy_done) for p, _ in found} == {(Magic.GOOD, False)}
    assert Magic.GOOD not in {s.magic for _, s in found}
    assert [p for p in STATES if in_trial(p)] == [TrailerState(Magic.GOOD, False, True)]
