"""Canaries are sized as the model says: against brute force, a simulation of the model, and at the edges."""

from dataclasses import replace
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from simlib.draws import sampled_array
from simlib.errors import InputError
from simlib.rollout.sizing import (
    Plan,
    beta_prior,
    canary_for,
    cumulative,
    devices_to_see,
    risk,
    share_seen,
    smallest,
    soak_for,
    trade_off,
)
from simlib.scenario.distributions import parse_distribution, quantile_table

F = Fraction
HOUR, DAY = 3_600_000, 86_400_000
PRIOR = ((F(0), F(7, 10)), (F(1, 1000), F(1, 10)), (F(1, 100), F(1, 10)), (F(1, 10), F(1, 10)))
PLAN = Plan(PRIOR, 10_000, 50, F(1, 100))


@pytest.mark.parametrize(
    ("rate", "devices"), [(F(1, 100), 299), (F(1, 200), 598), (F(1, 1000), 2995), (F(1, 10_000), 29_956)]
)
def test_so_many_devices_show_one_failure_with_95_percent(rate, devices):
    assert devices_to_see(rate, F(95, 100)) == devices
    assert (1 - rate) ** devices <= F(5, 100) < (1 - rate) ** (devices - 1)


@given(st.fractions(F(1, 60), 1, max_denominator=60), st.fractions(0, F(99, 100), max_denominator=100))
def test_the_number_of_devices_is_the_least_that_keeps_the_confidence(rate, confidence):
    n = devices_to_see(rate, confidence)
    assert 1 - (1 - rate) ** n >= confidence
    assert n == 0 or 1 - (1 - rate) ** (n - 1) < confidence


def test_a_confidence_that_is_met_exactly_needs_no_further_device():
    assert devices_to_see(F(1, 2), F(3, 4)) == 2
    assert devices_to_see(F(1, 3), 1 - F(2, 3) ** 200) == 200


@pytest.mark.parametrize(
    ("rate", "confidence", "message"),
    [
        (F(0), F(1, 2), "rate: found 0.0, expected above 0 and at most 1"),
        (F(1, 2), F(1), "confidence: found 1.0, expected 0 or more and below 1"),
    ],
)
def test_what_no_number_of_devices_can_do_is_refused(rate, confidence, message):
    with pytest.raises(InputError) as refused:
        devices_to_see(rate, confidence)
    assert str(refused.value) == message


def test_one_known_rate_gives_the_rule_of_thumb():
    plan = Plan(((F(1, 100), F(1)),), 10**6, 0, F(1, 20))
    assert canary_for(plan, 0).devices == 299


def brute(plan: Plan, canary: int, seen: Fraction) -> Fraction:
    total = F(0)
    for rate, weight in plan.prior:
        if rate * (plan.devices - canary) > plan.tolerated:
            q = rate * seen
            total += weight * sum(
                comb(canary, j) * q**j * (1 - q) ** (canary - j) for j in range(plan.failures)
            )
    return total


@pytest.mark.parametrize("failures", [1, 2, 5])
@pytest.mark.parametrize("canary", [0, 1, 3, 40, 400])
def test_the_risk_is_the_sum_over_the_prior(failures, canary):
    plan = replace(PLAN, failures=failures, at_once=F(1, 2))
    assert abs(risk(plan, canary, 0) - brute(plan, canary, F(1, 2))) < F(1, 10**35)


def test_a_rate_of_one_fails_at_once_on_every_device():
    plan = Plan(((F(1), F(1)),), 100, 0, F(1, 100), failures=3)
    assert [canary_for(plan, 0).devices, risk(plan, 2, 0), risk(plan, 3, 0)] == [3, 1, 0]


@given(st.integers(1, 3), st.integers(0, 30), st.fractions(F(1, 100), F(1, 2), max_denominator=100))
def test_the_canary_is_the_smallest_that_keeps_the_budget(failures, tolerated, budget):
    plan = Plan(((F(0), F(1, 3)), (F(1, 20), F(1, 3)), (F(1, 4), F(1, 3))), 150, tolerated, budget, F(2, 3))
    plan = replace(plan, failures=failures)
    expected = next(n for n in range(151) if brute(plan, n, F(2, 3)) <= budget)
    found = canary_for(plan, 0)
    assert found.devices == expected
    assert abs(found.risk - brute(plan, expected, F(2, 3))) < F(1, 10**35)
    assert found.canary_failures == expected * F(1, 10)


def test_what_is_tolerated_needs_no_canary():
    assert canary_for(replace(PLAN, tolerated=1000), 0).devices == 0
    assert canary_for(replace(PLAN, budget=F(3, 10)), 0).devices == 0


@pytest.mark.parametrize(
    "text", ["2 h", "uniform(1 h, 3 h)", "exponential(6 h)", "lognormal(5 min, 0.8)", "pareto(2 h, 1.2)"]
)
def test_the_cumulative_chance_is_that_of_what_is_drawn(text):
    distribution = parse_distribution(text)
    table = np.array(quantile_table(distribution), dtype=np.int64)
    draws = np.arange(0, 1 << 32, 4099, dtype=np.uint64)
    values = sampled_array(table, draws)
    for time_ms in (0, 60_000, 5 * 60_000, HOUR, 2 * HOUR, 2 * HOUR + 1, 6 * HOUR, 30 * HOUR, 3650 * DAY):
        assert float(cumulative(distribution, time_ms)) == pytest.approx((values <= time_ms).mean(), abs=1e-5)


def test_a_longer_soak_sees_more_and_needs_no_larger_canary():
    plan = replace(PLAN, at_once=F(1, 5), delay=parse_distribution("exponential(6 h)"))
    assert share_seen(plan, 0) == F(1, 5)
    found = trade_off(plan, [0, HOUR, 6 * HOUR, DAY, 7 * DAY])
    sizes = [each.devices for each in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 2 * sizes[-1]
    assert all(each.risk <= plan.budget for each in found)


def test_a_fixed_delay_is_seen_when_it_is_over():
    plan = replace(PLAN, at_once=F(0), delay=parse_distribution("2 h"))
    assert [share_seen(plan, t) for t in (2 * HOUR - 1, 2 * HOUR)] == [0, 1]
    found = smallest(plan, DAY)
    assert found.soak_ms == 2 * HOUR
    assert found.devices == canary_for(replace(plan, at_once=F(1)), 0).devices


def test_the_soak_is_the_shortest_for_its_canary():
    plan = replace(PLAN, at_once=F(1, 5), delay=parse_distribution("lognormal(4 h, 1)"))
    found = soak_for(plan, 500)
    assert risk(plan, 500, found.soak_ms) <= plan.budget < risk(plan, 500, found.soak_ms - 1)
    assert soak_for(plan, 5) is None


def test_the_smallest_canary_is_that_of_the_longest_soak_with_no_more_soak_than_it_needs():
    plan = replace(PLAN, at_once=F(1, 5), delay=parse_distribution("exponential(6 h)"))
    found = smallest(plan, 2 * DAY)
    assert found.devices == canary_for(plan, 2 * DAY).devices
    assert found.soak_ms <= 2 * DAY
    assert risk(plan, found.devices, found.soak_ms) <= plan.budget
    assert risk(plan, found.devices, found.soak_ms - 1) > plan.budget


def test_a_simulation_of_the_model_finds_the_same_risk():
    plan = replace(PLAN, at_once=F(1, 5), delay=parse_distribution("exponential(6 h)"), failures=2)
    generator = np.random.default_rng(1)
    rates = generator.choice([float(r) for r, _ in PRIOR], 200_000, p=[float(w) for _, w in PRIOR])
    seen = generator.binomial(300, rates)
    seen = generator.binomial(seen, float(share_seen(plan, 4 * HOUR)))
    harmed = (rates * (10_000 - 300) > 50) & (seen < 2)
    expected = float(risk(plan, 300, 4 * HOUR))
    assert harmed.mean() == pytest.approx(expected, abs=4 * (expected / 200_000) ** 0.5)


def test_a_beta_prior_has_the_betas_quantiles_and_its_integral():
    prior = beta_prior(0.5, 40)
    rates = np.array([float(rate) for rate, _ in prior])
    assert rates.mean() == pytest.approx(0.5 / 40.5, rel=1e-3)
    assert sum(weight for _, weight in prior) == 1
    plan = Plan(prior, 100_000, 100, F(1, 50))
    p = np.linspace(100 / (100_000 - 800), 1, 2_000_001)
    integral = np.trapezoid(beta(0.5, 40).pdf(p[:-1]) * (1 - p[:-1]) ** 800, p[:-1])
    assert float(risk(plan, 800, 0)) == pytest.approx(integral, abs=1 / 4096)
    found = canary_for(plan, 0)
    assert 0 < found.devices < 100_000 and found.risk <= plan.budget


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"prior": ((F(1, 100), F(1, 2)),)},
            "prior: found weights that sum to 0.5, expected them to sum to 1",
        ),
        ({"prior": ((F(2), F(1)),)}, "prior: rate: found 2.0, expected 0 to 1"),
        ({"budget": F(0)}, "budget: found 0.0, expected above 0 and below 1"),
        ({"tolerated": -1}, "tolerated: found -1, expected 0 or more"),
        ({"failures": 0}, "failures: found 0, expected 1 or more"),
    ],
)
def test_what_is_no_plan_is_refused(changes, message):
    with pytest.raises(InputError) as refused:
        replace(PLAN, **changes)
    assert str(refused.value) == message
