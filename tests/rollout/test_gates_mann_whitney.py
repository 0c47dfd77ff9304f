"""Canary against control: the rank test against an independent one, ties and small samples included."""

from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from simlib.rollout.gates import MannWhitney
from simlib.rollout.gates.mann_whitney import EXACT, exact_p_value
from simlib.rollout.policy import GroupView
from tests.amounts import examples

LEVEL = Fraction(1, 20)
small = st.lists(st.integers(0, 6), min_size=1, max_size=5)


@given(small, small)
def test_small_samples_are_counted_over_all_ways_to_part_the_values(canary, control):
    values = canary + control

    def doubled_u(chosen) -> int:
        rest = [values[i] for i in range(len(values)) if i not in chosen]
        return sum((values[i] > y) * 2 + (values[i] == y) for i in chosen for y in rest)

    found = doubled_u(range(len(canary)))
    ways = [doubled_u(chosen) for chosen in combinations(range(len(values)), len(canary))]
    assert exact_p_value(canary, control) == Fraction(sum(u >= found for u in ways), len(ways))


def test_without_ties_the_small_p_value_is_scipys():
    canary, control = [9, 4, 12, 30], [1, 3, 5, 7, 8, 2]
    expected = mannwhitneyu(canary, control, alternative="greater", method="exact").pvalue
    assert float(exact_p_value(canary, control)) == pytest.approx(expected)


@settings(max_examples=examples(60))
@given(st.integers(0, 10_000), st.integers(5, 200), st.integers(EXACT, 400), st.sampled_from([3, 30, 10**6]))
def test_large_samples_decide_as_scipys_normal_approximation_does(seed, n, m, span):
    generator = np.random.default_rng(seed)
    canary = generator.integers(0, span, n) + span // 6
    control = generator.integers(0, span, m)
    p = mannwhitneyu(canary, control, alternative="greater", method="asymptotic", use_continuity=True).pvalue
    for level in (Fraction(1, 1000), LEVEL, Fraction(3, 10)):
        if abs(p - float(level)) > 1e-12:
            assert MannWhitney(LEVEL, level, 20).worse(canary.tolist(), control.tolist()) == (p <= level)


def test_only_a_greater_metric_counts_and_equal_ones_do_not():
    gate = MannWhitney(LEVEL, LEVEL, 20)
    low, high = list(range(100)), list(range(50, 150))
    assert gate.worse(high, low)
    assert not gate.worse(low, high)
    assert not gate.worse([7] * 100, [7] * 100)


def test_without_canary_or_control_nothing_is_compared():
    gate = MannWhitney(LEVEL, LEVEL, 20)
    assert not gate.worse([], [1, 2, 3])
    assert not gate.worse([9] * 100, [])


def test_failures_are_judged_as_at_the_threshold():
    gate = MannWhitney(Fraction(1, 10), LEVEL, 20)
    seen = GroupView(100, 0, 0, 89, 11, 0, 0)
    assert gate.halts(seen)
    assert not gate.halts(replace(seen, succeeded=90, failed=10))


def test_the_normal_approximation_takes_over_where_counting_ends():
    rising = list(range(EXACT + 1))
    for n in (20, 21):  # one value more than are counted
        canary, control = rising[-n:], rising[: EXACT - 20]
        assert MannWhitney(LEVEL, LEVEL, 20).worse(canary, control)
        assert not MannWhitney(LEVEL, LEVEL, 20).worse(control, canary)


def test_the_correction_for_continuity_counts():
    # n = m = 40 at 5 %: U must reach 800 + 1.64485 √10800 + 1/2 = 971.4; without the correction 971 would do.
    control = [100 * (k + 1) for k in range(40)]

    def canary(u: int) -> list[int]:
        above, beats = divmod(u, 40)
        return [5000 + k for k in range(above)] + [100 * beats + 50] + list(range(39 - above))

    gate = MannWhitney(LEVEL, LEVEL, 20)
    assert not gate.worse(canary(971), control)
    assert gate.worse(canary(972), control)
