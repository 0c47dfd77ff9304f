"""A fleet where theory knows the answer: exponential check-ins, and the chance to see a defect in a group."""

from fractions import Fraction
from math import comb, log, sqrt

import numpy as np
import pytest

from simlib.fleet import populate, routes_of
from simlib.scenario import Scenario
from simlib.simulation.devices import defects_of
from simlib.study import run

DAY = 86_400_000
CALM = {
    "release.size": "64 KiB",
    "release.base_size": "64 KiB",
    "release.payload": "full",
    "cohorts.0.base_mix": [1],
    "cohorts.0.rates": ["1 MB/s"],
    "precheck.battery": 0,
    "rollout.groups.0.error_threshold": 1,
    "links.0.capacity": "500 MB/s",
}


def least() -> Scenario:
    return Scenario.from_toml('schema = 1\nname = "theory"\n')


@pytest.fixture(scope="module")
def exponential():
    scenario = least().with_(
        CALM
        | {
            "devices": 4_000,
            "horizon": "30 d",
            "habits": [{"name": "memoryless", "gaps": "exponential(2 d)"}],
            "cohorts.0.habit": "memoryless",
        }
    )
    return run(scenario)


def test_first_check_ins_are_exponential(exponential):
    offered = exponential.devices["offered_ms"].to_numpy()
    assert (offered >= 0).mean() > 0.9999 - 3 * sqrt(1e-4 / len(offered))
    # Kolmogorov and Smirnov: the largest distance to the closed form, at the 0.1 % level for large samples.
    times = np.sort(offered[offered >= 0])
    closed = 1 - np.exp(-times / (2 * DAY))
    steps = np.arange(len(times) + 1) / len(times)
    distance = max((steps[1:] - closed).max(), (closed - steps[:-1]).max())
    assert distance * sqrt(len(times)) < 1.95


@pytest.mark.parametrize("percent", [50, 90, 95])
def test_the_time_to_a_share_of_the_fleet_has_its_closed_form(exponential, percent):
    devices = exponential.devices
    took = (devices["finished_ms"] - devices["offered_ms"])[devices["outcome"] == "updated"]
    assert took.nunique() == 1  # nothing else differs between them
    expected = -2 * DAY * log(1 - percent / 100) + took.iloc[0]
    share = percent / 100
    # The standard error of a sample quantile: sqrt(q (1 - q) / n) / f(t), f(t) = (1 - q) / mean.
    error = sqrt(share * (1 - share) / len(devices)) * 2 * DAY / (1 - share)
    assert abs(exponential.summary[f"time_to_{percent}_ms"] - expected) < 3.3 * error


def canary_sees(prevalence: str, canary: int, seeds: int) -> int:
    """In how many of `seeds` fleets of `canary` devices at least one has the defect."""
    scenario = least().with_({"devices": canary, "defects": [{"name": "d", "prevalence": prevalence}]})
    routes = routes_of(scenario.spec)
    seen = 0
    for seed in range(seeds):
        spec = scenario.with_({"seed": seed}).spec
        defect, _ = defects_of(spec, populate(spec, 1, routes), 1)
        seen += bool((defect == 0).any())
    return seen


@pytest.mark.parametrize(("prevalence", "canary"), [("0.01", 100), ("0.01", 299), ("0.05", 20)])
def test_a_canary_sees_a_defect_with_the_chance_of_the_binomial(prevalence, canary):
    seeds = 300
    chance = 1 - (1 - float(Fraction(prevalence))) ** canary
    seen = canary_sees(prevalence, canary, seeds)
    # Exact: neither tail of the binomial is as rare as 0.05 %.
    odds = [comb(seeds, k) * chance**k * (1 - chance) ** (seeds - k) for k in range(seeds + 1)]
    assert sum(odds[: seen + 1]) > 0.0005 < sum(odds[seen:]), (seen, seeds * chance)


def test_the_run_reverts_exactly_the_devices_that_have_the_visible_defect():
    scenario = least().with_(
        CALM | {"devices": 600, "defects": [{"name": "d", "prevalence": "0.02"}], "horizon": "3 d"}
    )
    result = run(scenario)
    spec = scenario.spec
    defect, _ = defects_of(spec, populate(spec, 1, routes_of(spec)), 1)
    reverted = (result.devices["outcome"] == "reverted").to_numpy()
    assert reverted.sum() > 3
    assert (reverted == (defect == 0)).all()
    # Far from the binomial's mean would be another defect than the one asked for.
    likely = sum(comb(600, k) * 0.02**k * 0.98 ** (600 - k) for k in range(int(reverted.sum()) + 1))
    assert 0.001 < likely < 0.999
    assert np.array_equal(result.devices["defect"].to_numpy() == "d", defect == 0)
