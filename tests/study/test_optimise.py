"""The search for rollouts, mostly on made-up figures whose front is known, and once on a simulated fleet."""

from __future__ import annotations

import threading
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.study.optimisation import lean
from simlib.study.optimisation.front import Candidate, Front, Judged, beats, export_point, outdoes
from simlib.study.optimisation.objectives import Sample, constraint_of
from simlib.study.optimisation.pareto import dominates
from simlib.study.optimisation.search import FRESH, optimise
from simlib.study.optimisation.search_space import (
    AXES,
    in_short,
    presets_of,
    rollout_of,
    scaled_down,
    shares_of,
)

DAY = 86_400_000
FULL, SMALL = 9_000, 7_000
HARMLESS = "P(harmed > 5) < 0.01"


def made_up(scenario: Scenario, _engine: str) -> dict[str, Any]:
    """A release takes a day and all soaks; a defect harms its prevalence of the groups before the gate fires,
    which it does after the first group if that has a gate, give or take what the seed does to all alike.
    """
    spec = scenario.spec
    groups = spec.rollout.groups
    defect = max((d.prevalence for d in spec.defects if d.probability), default=Fraction(0))
    gated = groups[0].gate != "none" and groups[0].error_threshold < defect
    first = Fraction(1) if groups[0].share is None else groups[0].share
    reached = first if gated else Fraction(1)
    luck = spec.seed % 7
    time_ms = DAY + sum(group.soak_ms for group in groups[:-1]) + luck
    return {
        "harmed": int(defect * reached * spec.devices) + (luck if defect else 0),
        "time_to_95_ms": None if gated or time_ms > spec.horizon_ms else time_ms,
        "bytes_down": spec.devices,
        "exposed": int(reached * spec.devices),
        "halted": gated,
    }


@pytest.fixture(scope="module")
def fleet() -> Scenario:
    return Scenario.load("escooter-120k").with_({"devices": FULL})


def search(fleet: Scenario, **further: Any) -> Front:
    settings = {"trials": 40, "screen_devices": SMALL, "screen_replications": 8, "figures": made_up}
    return optimise(fleet, **(settings | further))


@pytest.fixture(scope="module")
def found(fleet: Scenario) -> Front:
    return search(fleet)


def values(front: Front, point: Any) -> tuple[float, ...]:
    return tuple(point.estimates[objective.name].value for objective in front.objectives)


def test_nothing_judged_dominates_the_front(found):
    assert found.judged
    assert found.points
    for point in found.points:
        assert point.replications == 500
        assert not point.beaten_by
        for other in (*found.points, *found.others):
            assert not dominates(values(found, other), values(found, point))


def test_every_preset_is_judged_and_is_on_the_front_or_names_what_beats_it(found, fleet):
    every = {point.name: point for point in (*found.points, *found.others)}
    assert set(presets_of(fleet)) <= set(every)
    for point in found.others:
        assert point.beaten_by
        assert set(point.beaten_by) <= set(every)


def test_the_fastest_rollout_possible_is_on_the_front_though_it_is_a_preset(found):
    names = [point.name for point in found.points]
    assert "all-at-once" in names


def test_the_search_finds_better_than_what_people_begin_with(found):
    assert any(not point.preset for point in found.points)
    least = min(values(found, point)[1] for point in found.points)
    assert least < min(values(found, point)[1] for point in found.others if point.preset)


def test_the_same_seed_gives_the_same_front_whatever_the_number_of_workers(found, fleet):
    again = search(fleet, workers=1)
    several = search(fleet, workers=5)
    for other in (again, several):
        assert other.frame.equals(found.frame)
        assert other.screened.equals(found.screened)


def test_another_seed_tries_other_rollouts(found, fleet):
    other = search(fleet, seed=99)
    assert other.scenario.spec.seed == 99
    assert not other.screened.equals(found.screened)


def test_judging_takes_fresh_seeds_at_full_size_and_screening_common_ones_at_the_small(fleet):
    seen: Counter[tuple[int, int]] = Counter()
    lock = threading.Lock()

    def watched(scenario: Scenario, engine: str) -> dict[str, Any]:
        with lock:
            seen[scenario.spec.devices, scenario.spec.seed] += 1
        return made_up(scenario, engine)

    front = search(fleet, figures=watched, trials=9)
    start = fleet.spec.seed
    small = {seed for devices, seed in seen if devices == SMALL}
    full = {seed for devices, seed in seen if devices == FULL}
    assert small == set(range(start, start + 8))
    assert full == set(range(start + FRESH, start + FRESH + 500))
    judged = len(front.points) + len(front.others)
    assert seen[FULL, start + FRESH] == judged
    assert len(front.points) <= seen[FULL, start + FRESH + 499] < judged


def test_rollouts_of_one_seed_meet_the_same_release(fleet):
    met: dict[int, set[tuple[Fraction, ...]]] = {}
    lock = threading.Lock()

    def watched(scenario: Scenario, engine: str) -> dict[str, Any]:
        with lock:
            defects = tuple(d.probability for d in scenario.spec.defects)
            met.setdefault(scenario.spec.seed, set()).add(defects)
        return made_up(scenario, engine)

    search(fleet, figures=watched, trials=3)
    assert all(len(defects) == 1 for defects in met.values())
    assert len(set.union(*met.values())) == 4


def test_a_point_keeps_the_scenarios_own_defects(found, fleet):
    assert all(point.scenario.spec.defects == fleet.spec.defects for point in found.points)


def test_what_misses_a_constraint_is_not_on_the_front_if_anything_keeps_it(fleet):
    front = search(fleet, constraints=["P(bricked > 100) < 0.01"])
    assert all(point.feasible for point in front.points)
    careless = next(point for point in front.others if point.name == "all-at-once")
    assert not careless.feasible
    assert careless.beaten_by


def test_where_nothing_keeps_a_constraint_the_front_says_so(fleet):
    front = search(fleet, trials=8, constraints=["time_to_95 < 1 h"])
    assert front.points
    assert not any(point.feasible for point in front.points)


def test_objectives_are_those_asked_for(fleet):
    front = search(fleet, trials=8, objectives=["time_to_95", "exposure", "p95_harmed", "bytes_down"])
    assert list(front.points[0].estimates) == ["time_to_95", "exposure", "p95_harmed", "bytes_down"]


def test_at_most_so_many_found_ones_are_judged(fleet):
    front = search(fleet, trials=24, front=2)
    assert sum(not point.preset for point in (*front.points, *front.others)) <= 2


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ({"replications": 499}, "replications: found 499"),
        ({"trials": 0}, "trials: found 0"),
        ({"front": 0}, "front: found 0"),
        ({"screen_replications": 3}, "screen replications: found 3"),
        ({"objectives": ["time_to_95"]}, "objectives: found 1"),
        ({"workers": 0}, "workers: found 0"),
        ({"engine": "steam"}, "engine: found 'steam'"),
    ],
)
def test_settings_that_give_no_answer_are_refused(fleet, further, message):
    with pytest.raises(InputError, match=f"^{message}"):
        search(fleet, **further)


def interrupting(after: int, devices: int) -> lean.Figures:
    """`made_up` that is interrupted in its call number `after` with so many devices."""
    calls = Counter()
    lock = threading.Lock()

    def figures(scenario: Scenario, engine: str) -> dict[str, Any]:
        with lock:
            calls[scenario.spec.devices] += 1
            if calls[devices] == after:
                raise KeyboardInterrupt
        return made_up(scenario, engine)

    return figures


def test_interrupted_trials_are_kept_with_the_figures_of_the_small_fleet(fleet):
    front = search(fleet, figures=interrupting(200, SMALL), workers=1)
    assert front.interrupted
    assert not front.judged
    assert 0 < front.trials < 40
    assert len(front.screened) == front.trials
    assert {point.replications for point in front.points} == {8}


def test_interrupted_judging_keeps_the_replications_that_are_whole(fleet):
    front = search(fleet, figures=interrupting(1_150, FULL), workers=1)
    assert front.interrupted
    assert front.judged
    assert {point.replications for point in front.points} != {500}
    assert all(point.replications >= 100 for point in front.points)


def test_interrupted_before_anything_is_known_there_is_no_front(fleet):
    front = search(fleet, figures=interrupting(1, SMALL), workers=1)
    assert front.interrupted
    assert front.points == ()
    assert front.frame.empty


def test_an_error_of_a_replication_names_it(fleet):
    def broken(scenario: Scenario, engine: str) -> dict[str, Any]:
        raise InputError("cohorts: found a mistake, expected none")

    with pytest.raises(InputError, match=r"^replication 0 \(seed 1, good\): cohorts: found a mistake"):
        search(fleet, figures=broken, workers=1)


def test_shares_grow_and_leave_a_last_group_that_is_no_smaller():
    for groups in AXES["groups"]:
        for first in AXES["first_share"]:
            for step in AXES["step"]:
                shares = shares_of(groups, first, step)
                assert sum(shares) == 1
                assert len(shares) <= groups
                assert list(shares) == sorted(shares)
                if groups > 1:
                    assert shares[0] == first


def test_every_choice_is_a_scenario_that_holds_and_can_be_said_in_short(fleet):
    for name, choices in AXES.items():
        for value in choices:
            for gate in AXES["gate"]:
                choice = {axis: held[len(held) // 2] for axis, held in AXES.items()} | {"gate": gate}
                spec = fleet.with_(rollout_of(choice | {name: value}, FULL)).spec
                assert spec.rollout.policy == "staged"
                assert all(group.min_sample <= FULL for group in spec.rollout.groups)
                assert in_short(spec.rollout)


def test_a_sample_asked_for_is_no_larger_than_the_group():
    choice = {axis: held[0] for axis, held in AXES.items()} | {"groups": 3, "min_sample": 1000}
    groups = rollout_of(choice, 120_000)["rollout.groups"]
    assert [table["min_sample"] for table in groups] == [60, 120, 1000]


def test_a_smaller_fleet_keeps_its_rates(fleet):
    full = Scenario.load("escooter-120k")
    small = scaled_down(full, 12_000).spec
    assert small.devices == 12_000
    assert [link.capacity_bps * 10 for link in small.links] == [link.capacity_bps for link in full.spec.links]
    assert [g.min_sample for g in small.rollout.groups] == [
        g.min_sample // 10 for g in full.spec.rollout.groups
    ]
    assert scaled_down(full, 500_000).spec.devices == 120_000


def test_presets_are_the_staged_strategies_and_the_scenarios_own(fleet):
    presets = presets_of(fleet)
    assert presets["own"] == fleet
    assert {"all-at-once", "canary-1", "staged-5", "staged-10"} <= set(presets)
    assert all(laid.spec.rollout.policy == "staged" for laid in presets.values())


def test_an_unknown_service_is_refused(fleet):
    with pytest.raises(InputError, match=r"^service: found .?pigeons"):
        export_point(fleet, "pigeons")


def test_a_defect_harms_devices_in_a_simulated_fleet_and_a_gate_saves_most():
    fleet = Scenario.load("escooter-120k").with_({"devices": 2_000})
    defect = {"name": "x", "prevalence": "20 %", "visible": False, "effect": "lost-certificate"}
    bad = fleet.with_({"defects": [defect]})
    gated = lean.figures(bad, "fused")
    careless = lean.figures(presets_of(bad)["all-at-once"], "fused")
    good = lean.figures(fleet, "fused")
    assert careless["harmed"] > 300 > gated["harmed"] >= 0
    assert careless["exposed"] > gated["exposed"]
    assert good["harmed"] < 10
    assert good["time_to_95_ms"] is None or good["time_to_95_ms"] > 0


def test_the_figures_are_those_of_the_run():
    from simlib.study.measures import measure

    fleet = Scenario.load("escooter-120k").with_({"devices": 1_500})
    mine, whole = lean.figures(fleet, "fused"), measure(fleet, "fused")
    assert mine["harmed"] == whole["bricked"] + whole["lost"]
    assert mine["time_to_95_ms"] == whole["time_to_95_ms"]
    assert mine["bytes_down"] == whole["bytes_down"]
    assert mine["halted"] == whole["halted"]


def judged(found: Front, harmed: int, time_ms: int, limit: str = HARMLESS, heavy: int = 0) -> Judged:
    """A candidate of twenty equal replications, but for the bytes of the first few."""
    rows = [
        {"harmed": harmed, "time_to_95_ms": time_ms, "bytes_down": 9 * (r < heavy), "exposed": 0}
        for r in range(20)
    ]
    sample = Sample(found.prior, found.prior.allotted(20), rows, horizon_ms=DAY)
    return Judged(Candidate("x", found.scenario), sample, found.objectives, (constraint_of(limit),))


def test_what_keeps_the_constraints_beats_what_does_not_however_fast_that_is(found):
    assert beats(judged(found, 0, 9), judged(found, 9, 1))
    assert not beats(judged(found, 9, 1), judged(found, 0, 9))


def test_what_may_be_needed_to_keep_a_constraint_is_not_outdone_by_what_is_faster(found):
    limit = "P(bytes_down > 5) < 0.9"
    fast, slow = judged(found, 0, 1, limit), judged(found, 0, 2, limit)
    assert beats(fast, slow) and outdoes(fast, slow)
    heavy = judged(found, 0, 1, limit, heavy=1)
    assert heavy.feasible()
    assert beats(heavy, slow) and not outdoes(heavy, slow)


def test_what_misses_a_constraint_beyond_doubt_is_outdone_by_what_seems_to_keep_it(found):
    assert outdoes(judged(found, 0, 9), judged(found, 9, 1))
    assert not outdoes(judged(found, 9, 1), judged(found, 0, 9))
