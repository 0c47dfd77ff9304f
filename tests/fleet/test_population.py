"""The fleet has the shares the scenario asks for, exactly, and keeps its members when a share grows."""

from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.draws import Purpose, device_key, device_keys, draw32, draws32, scaled
from simlib.fleet import apportion, by_rank, routes_of
from simlib.fleet import populate as populate_along
from simlib.fleet.population import group_shares, is_uniform, joined, looked_up, narrow, ranked, uniform
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


def sorted_parts(draws, shares):
    """The parts as a stable sort gives them: what `by_rank` finds without one."""
    part = np.empty(len(draws), dtype=np.int64)
    part[np.argsort(draws, kind="stable")] = np.repeat(np.arange(len(shares)), apportion(shares, len(draws)))
    return part.tolist()


WEIGHTS = st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any)


@given(WEIGHTS, st.integers(0, 400), st.integers(0, 20), st.integers(0, 2**32), st.booleans())
def test_parts_by_rank_are_those_of_a_stable_sort_however_many_draws_are_alike(
    w, devices, spread, seed, wide
):
    kind = np.uint64 if wide else np.uint32
    draws = np.random.default_rng(seed).integers(0, 1 << spread, devices).astype(kind)
    draws <<= kind(8 * draws.itemsize - spread - 1)  # up to the whole width of the type
    assert by_rank(draws, shares(w)).tolist() == sorted_parts(draws, shares(w))


@pytest.mark.parametrize("distinct", [1, 2, 7, 5_000, 1 << 32])
def test_parts_by_rank_of_many_blocks_are_those_of_a_stable_sort(distinct):
    draws = np.random.default_rng(distinct).integers(0, distinct, 70_001).astype(np.uint64)
    for w in ([1, 4, 15, 30, 50], [0, 1, 0, 0, 3, 0], [1], [0, 5], [1] * 200):
        assert by_rank(draws, shares(w)).tolist() == sorted_parts(draws, shares(w))
        assert is_uniform(by_rank(draws, shares(w))) == (sum(map(bool, w)) == 1)


def test_shares_that_leave_devices_over_are_refused():
    with pytest.raises(ValueError, match="shares: found a sum of 3/4, expected 1"):
        by_rank(np.arange(8, dtype=np.uint64), [Fraction(1, 2), Fraction(1, 4)])


def test_ranked_keys_are_in_the_part_of_their_draws():
    keys = device_keys(5, 40_000)
    for w in ([1], [3, 0, 2], [1, 1, 1]):
        assert ranked(keys, Purpose.ZONE, shares(w)).tolist() == sorted_parts(
            draws32(keys, Purpose.ZONE, 0), shares(w)
        )


def test_keys_and_draws_of_many_blocks_are_those_of_one_device():
    keys = device_keys(9, 50_000)
    drawn = draws32(keys, Purpose.DROP, 2)
    for device in (0, 16_383, 16_384, 32_767, 32_768, 49_151, 49_152, 49_999):
        assert keys[device] == device_key(9, device)
        assert drawn[device] == draw32(device_key(9, device), Purpose.DROP, 2)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1)), min_size=1, max_size=20))
def test_a_scaled_draw_is_exact_beyond_64_bits(pairs):
    draws, spans = (np.array(each, dtype=np.uint64) for each in zip(*pairs, strict=True))
    assert scaled(draws, spans).tolist() == [draw * span >> 32 for draw, span in pairs]
    one = pairs[0][1]
    assert scaled(draws, one).tolist() == [draw * one >> 32 for draw, _ in pairs]


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6), st.sampled_from([0, 8, 24, 40, 56])
)
def test_a_narrow_column_has_the_same_numbers_in_the_least_memory(values, shift):
    values = [value >> shift for value in values]
    column = narrow(np.array(values, dtype=np.int64))
    assert column.tolist() == values
    if is_uniform(column):
        assert len(set(values)) == 1 and column.dtype == np.int64
    else:
        bits = max((value if value >= 0 else ~value).bit_length() for value in values) + 1
        assert len(set(values)) > 1 and column.itemsize * 8 == min(w for w in (8, 16, 32, 64) if w >= bits)


def test_a_looked_up_column_has_the_entry_of_each_device():
    row = np.arange(40_000) % 3
    table = np.array([[5, -1], [700, 2], [0, 9]])
    assert looked_up(table, narrow(row), uniform(-1, 40_000)).tolist() == table[row, -1].tolist()
    assert looked_up(table, uniform(1, 9), uniform(0, 9)).tolist() == [700] * 9
    assert is_uniform(looked_up(table, uniform(1, 9), uniform(0, 9)))
    assert is_uniform(looked_up(np.array([4, 4, 4]), narrow(row)))
    assert is_uniform(looked_up(np.array([4, 5, 4]), narrow(row[row != 1])))  # an entry that nobody has


def test_parts_are_joined_by_their_cohorts_and_keep_wide_numbers():
    cohort = narrow(np.array([1, 0, 3, 1, 0]))
    parts = [uniform(300, 2), np.array([1, -2], dtype=np.int8), uniform(0, 0), uniform(1 << 40, 1)]
    assert joined(cohort, parts).tolist() == [1, 300, 1 << 40, -2, 300]
    assert is_uniform(joined(cohort, [uniform(7, 2), uniform(7, 2), uniform(0, 0), uniform(7, 1)]))
    assert joined(uniform(1, 2), [uniform(0, 0), np.array([1, -2], dtype=np.int8)]).tolist() == [1, -2]


def test_wake_phases_are_exact_however_long_the_period():
    long = (1 << 40) + 12_345
    cohorts = (replace(SMOKE.cohorts[0], wake_period_ms=long), *SMOKE.cohorts[1:])
    fleet = populate(replace(SMOKE, cohorts=cohorts))
    periods = [cohort.wake_period_ms for cohort in cohorts]
    assert fleet.wake_phase_ms.tolist() == [
        draw32(key, Purpose.WAKE_PHASE, 0) * periods[cohort] >> 32
        for key, cohort in zip(fleet.keys.tolist(), fleet.cohort.tolist(), strict=True)
    ]
    assert fleet.wake_phase_ms.max() > 1 << 39


def test_a_fleet_of_one_kind_takes_no_memory_for_what_all_its_devices_share():
    spec = Scenario.load("escooter-120k").with_({"devices": 20_000}).spec
    fleet = populate(replace(spec, cohorts=(replace(spec.cohorts[0], share=Fraction(1)),)))
    shared = {
        field.name
        for field in fields(fleet)
        if field.name != "names" and is_uniform(getattr(fleet, field.name))
    }
    assert shared >= {"cohort", "zone", "link", "free_bytes", "battery_ppm", "unseen_ms", "state"}
    assert fleet.base.itemsize == fleet.group.itemsize == 1
    assert fleet.wake_phase_ms.dtype == np.int64
