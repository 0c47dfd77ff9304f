"""The fleet has the shares the scenario asks for, exactly, and keeps its members when a share grows."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simlib.fleet import apportion, routes_of
from simlib.fleet import populate as populate_along
from simlib.fleet.population import group_shares
from simlib.scenario import Scenario

SMOKE = Scenario.load("smoke").spec
PRIMARY = 5
"""Chain index of the release that the rollout is about."""


def populate(spec):
    """The fleet that is drawn, without an inventory."""
    return populate_along(spec, PRIMARY, routes_of(spec))


def shares(weights):
    total = sum(weights)
    return [Fraction(w, total) for w in weights]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 5000))
def test_parts_sum_to_the_whole_and_miss_their_share_by_less_than_one(weights, devices):
    parts = apportion(shares(weights), devices)
    assert sum(parts) == devices
    assert all(abs(p - s * devices) < 1 for p, s in zip(parts, shares(weights), strict=True))


def test_one_percent_of_120000_is_1200_devices():
    assert apportion([Fraction(1, 100), Fraction(99, 100)], 120_000) == (1200, 118_800)


def test_cohorts_groups_and_base_versions_have_their_exact_shares():
    fleet = populate(SMOKE)
    n = SMOKE.devices
    assert np.bincount(fleet.cohort, minlength=len(SMOKE.cohorts)).tolist() == list(
        apportion([c.share for c in SMOKE.cohorts], n)
    )
    assert np.bincount(fleet.group).tolist() == list(apportion(group_shares(SMOKE), n))
    for number, cohort in enumerate(SMOKE.cohorts):
        members = fleet.cohort == number
        parts = apportion(cohort.base_mix, int(members.sum()))
        assert [int((fleet.base[members] == PRIMARY - 1 - k).sum()) for k in range(len(parts))] == list(parts)
        assert fleet.wake_phase_ms[members].max() < cohort.wake_period_ms


def test_a_larger_first_group_keeps_its_members():
    groups = SMOKE.rollout.groups

    def first_group(share):
        changed = (replace(groups[0], share=share), replace(groups[-1], share=None))
        spec = replace(SMOKE, rollout=replace(SMOKE.rollout, groups=changed))
        return set(np.flatnonzero(populate(spec).group == 0).tolist())

    small, large = first_group(Fraction(1, 100)), first_group(Fraction(5, 100))
    assert len(small) == 20 and len(large) == 100 and small < large


def test_another_seed_is_another_fleet_and_the_same_seed_the_same():
    one, again, other = (populate(replace(SMOKE, seed=s)) for s in (1, 1, 2))
    assert (one.cohort == again.cohort).all() and (one.base == again.base).all()
    assert (one.cohort != other.cohort).any()


def test_a_stale_inventory_is_one_release_behind_and_never_below_the_oldest():
    spec = replace(SMOKE, faults=replace(SMOKE.faults, stale_inventory=Fraction(1)))
    fleet = populate(spec)
    assert (fleet.recorded == np.maximum(fleet.base - 1, 0)).all()
