"""Each gate halts where its rule says, and its bounds are those of an independent reckoning."""

from dataclasses import replace
from fractions import Fraction
from math import comb
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.rollout.gates import Mixture, Naive, Never, Sprt, Threshold, Wilson, gate_of
from simlib.rollout.gates.normal import upper_quantile
from simlib.rollout.policy import GroupView
from simlib.scenario.model import GroupSpec

P0, P1, LEVEL, POWER = Fraction(1, 20), Fraction(1, 10), Fraction(1, 20), Fraction(9, 10)
GROUP = GroupSpec(None, Fraction(9, 10), P0, 20, 0)
EMPTY = GroupView(1000, 0, 0, 0, 0, 0, 0)
NAMES = ("threshold", "wilson", "sprt", "mixture", "mann-whitney", "naive")

rates = st.fractions(Fraction(1, 100), Fraction(9, 10), max_denominator=100)
levels = st.fractions(Fraction(1, 100), Fraction(2, 5), max_denominator=100)


def least(condition, start=0):
    """The first whole number of which `condition` holds."""
    number = start
    while not condition(number):
        number += 1
    return number


def test_the_threshold_gate_needs_strictly_more_than_its_share_and_its_sample():
    gate = gate_of(replace(GROUP, error_threshold=Fraction(1, 10)))
    assert not gate.halts(replace(EMPTY, succeeded=90, failed=10))
    assert gate.halts(replace(EMPTY, succeeded=89, failed=11))
    assert not gate.halts(replace(EMPTY, failed=19))
    assert gate.halts(replace(EMPTY, failed=10, silent=10))


@given(st.fractions(0, 1, max_denominator=50), st.integers(0, 500))
def test_the_threshold_bound_is_the_least_number_above_its_share(share, succeeded):
    bound = Threshold(share, 1).errors_to_halt(succeeded)
    if share == 1:
        assert bound is None
    else:
        assert bound == least(lambda errors: errors > share * (errors + succeeded))


def test_normal_quantiles_are_those_of_the_tables():
    assert str(float(upper_quantile(Fraction(1, 20))))[:16] == "1.64485362695147"
    assert str(float(upper_quantile(Fraction(1, 40))))[:16] == "1.95996398454005"
    for level in (Fraction(49, 100), Fraction(1, 1000), Fraction(1, 10**9)):
        assert float(upper_quantile(level)) == pytest.approx(-NormalDist().inv_cdf(float(level)), rel=1e-9)


@given(rates, levels, st.integers(0, 400))
def test_the_wilson_bound_is_where_the_lower_bound_of_the_rate_passes_the_threshold(rate, level, succeeded):
    z = NormalDist().inv_cdf(1 - float(level))

    def lower(errors: int) -> float:
        n = errors + succeeded
        share, z2 = errors / n, z * z
        return (share + z2 / 2 / n - z * (share * (1 - share) / n + z2 / 4 / n / n) ** 0.5) / (1 + z2 / n)

    bound = Wilson(rate, level, 1).errors_to_halt(succeeded)
    assert lower(bound) > float(rate) - 1e-9
    assert bound == 1 or lower(bound - 1) <= float(rate) + 1e-9


@given(rates, levels, st.integers(0, 120))
def test_the_sprt_bound_is_where_the_likelihood_ratio_passes_walds(rate, level, succeeded):
    bad = (rate + 1) / 2
    bound = Sprt(rate, bad, level, POWER).errors_to_halt(succeeded)
    down = ((1 - bad) / (1 - rate)) ** succeeded
    assert bound == least(lambda errors: (bad / rate) ** errors * down >= POWER / level)


def test_a_likelihood_ratio_that_equals_walds_bound_halts():
    gate = Sprt(Fraction(1, 10), Fraction(1, 5), Fraction(1, 20), Fraction(4, 5))
    assert gate.errors_to_halt(0) == 4  # 2**4 = 0.8 / 0.05


def test_walds_other_end_accepts_only_below_its_own_bound():
    gate = Sprt(P0, P1, LEVEL, POWER)
    ends = least(lambda succeeded: gate.accepts(succeeded, 0))
    ratio = (1 - P1) / (1 - P0)
    assert ratio**ends <= (1 - POWER) / (1 - LEVEL) < ratio ** (ends - 1)
    assert not gate.accepts(ends, 1)
    assert not Sprt(P0, P1, LEVEL, Fraction(1)).accepts(10**6, 0)


def averaged(rate: Fraction, bad: Fraction, errors: int, succeeded: int) -> Fraction:
    """M(x, s) of the mixture by integration, for a whole b: θ = 1 − (1 − p0) u with density b u^(b − 1)."""
    b = (1 - bad) / (bad - rate)
    assert b.denominator == 1
    b, rest = int(b), 1 - rate
    # ∫ (1 − (1 − p0) u)^x u^(s + b − 1) du, by the binomial theorem
    integral = sum(Fraction(comb(errors, k)) * (-rest) ** k / (succeeded + b + k) for k in range(errors + 1))
    return b * integral / rate**errors  # the powers of 1 − p0 of s successes cancel


@pytest.mark.parametrize(
    ("rate", "bad"), [(P0, P1), (Fraction(1, 5), Fraction(3, 5)), (Fraction(1, 100), Fraction(1, 25))]
)
def test_the_mixture_bound_is_where_the_averaged_likelihood_ratio_reaches_one_over_the_level(rate, bad):
    gate = Mixture(rate, bad, LEVEL)
    bounds = [gate.errors_to_halt(succeeded) for succeeded in range(150)]
    assert bounds == [
        least(lambda errors, s=succeeded: averaged(rate, bad, errors, s) >= 1 / LEVEL, bounds[succeeded] - 1)
        for succeeded in range(150)
    ]


@given(rates, levels)
def test_the_naive_bound_is_where_the_binomial_tail_falls_to_the_level(rate, level):
    gate = Naive(rate, level, 1)
    for succeeded in (0, 1, 7, 40):
        n = least(lambda errors, s=succeeded: tail(errors, errors + s, rate) <= level, 1)
        assert gate.errors_to_halt(succeeded) == n


def tail(errors: int, judged: int, rate: Fraction) -> Fraction:
    below = sum(comb(judged, k) * rate**k * (1 - rate) ** (judged - k) for k in range(errors))
    return 1 - below


@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_thousand_bounds_never_fall(name):
    gate = gate_of(replace(GROUP, gate=name, min_sample=21))
    bounds = [gate.errors_to_halt(succeeded) for succeeded in range(120_000)]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize("name", NAMES)
def test_every_gate_halts_at_its_bound_and_not_one_below_it(name):
    gate = gate_of(replace(GROUP, gate=name))
    bound = gate.errors_to_halt(100)
    assert gate.halts(replace(EMPTY, succeeded=100, failed=bound - 2, silent=2))
    assert not gate.halts(replace(EMPTY, succeeded=100, failed=bound - 1))
    assert gate.halts(replace(EMPTY, succeeded=101, failed=bound - 1, vanished=1))  # 100 are left of the 101


def test_no_gate_never_halts():
    gate = gate_of(replace(GROUP, gate="none"))
    assert isinstance(gate, Never)
    assert not gate.halts(replace(EMPTY, failed=1000))


@pytest.mark.parametrize("name", ["sprt", "mixture", "wilson", "threshold"])
def test_where_no_failure_is_put_up_with_the_first_one_halts(name):
    gate = gate_of(replace(GROUP, gate=name, error_threshold=Fraction(0), min_sample=1))
    assert {gate.errors_to_halt(succeeded) for succeeded in (0, 1, 1000)} == {1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"gate": "sprt", "error_threshold": Fraction(1, 5)},
            "gate_bad: found 0.1, expected above the error_threshold, 0.2, and below 1 for the gate sprt",
        ),
        (
            {"gate": "mixture", "gate_bad": Fraction(1)},
            "gate_bad: found 1.0, expected above the error_threshold, 0.05, and below 1 for the gate mixture",
        ),
        (
            {"gate": "wilson", "gate_level": Fraction(0)},
            "gate_level: found 0.0, expected 1e-12 or more and below 0.5 for the gate wilson",
        ),
        (
            {"gate": "sprt", "gate_power": Fraction(1, 20)},
            "gate_power: found 0.05, expected above the gate_level, 0.05",
        ),
    ],
)
def test_a_gate_that_cannot_be_made_says_which_key_is_wrong(changes, message):
    with pytest.raises(InputError) as refused:
        gate_of(replace(GROUP, **changes))
    assert str(refused.value) == message


def test_the_threshold_gate_does_not_mind_what_it_does_not_read():
    assert gate_of(replace(GROUP, gate_level=Fraction(1), gate_bad=Fraction(0))).errors_to_halt(19) == 2


def test_the_tests_that_know_when_it_is_too_soon_have_no_least_sample():
    seen = replace(EMPTY, failed=5)
    assert gate_of(replace(GROUP, gate="sprt", min_sample=500)).halts(seen)
    assert gate_of(replace(GROUP, gate="mixture", min_sample=500)).halts(seen)
    assert not gate_of(replace(GROUP, gate="wilson", min_sample=500)).halts(seen)
