"""Comparisons: who is compared with whom, under which seeds, and saved runs device by device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import simlib
from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.study.comparison import PairedComparison, frame_of_runs, moved, same_luck, worded
from simlib.study.differences import differences

THREE = ("all-at-once", "canary-1", "staged-5")


def by_groups(scenario: Scenario, _engine: str) -> dict[str, Any]:
    """In place of a simulation: as many bricks as the fleet and the luck have it, less one a group."""
    groups, luck = len(scenario.spec.rollout.groups), np.random.default_rng(scenario.spec.seed)
    bricks = int(luck.integers(20, 40)) + scenario.spec.devices - groups
    return {"bricked": bricks, "time_to_95_ms": 1000 * groups if groups < 5 else None, "halted": groups > 1}


@pytest.fixture
def planned(small: Scenario) -> PairedComparison:
    return PairedComparison(small, THREE, replications=4, measure=by_groups)


def test_a_row_is_a_replication_and_all_have_the_same_seeds(planned, small):
    frame = planned.run()
    assert list(frame.columns[:4]) == ["scenario", "strategy", "replication", "seed"]
    assert frame["strategy"].tolist() == [name for name in THREE for _ in range(4)]
    first = small.spec.seed
    assert frame["seed"].tolist() == list(range(first, first + 4)) * 3
    assert planned.seeds == tuple(range(first, first + 4))


def test_differences_are_those_of_the_strategies_alone(planned):
    """The fake's luck is the seed's, so the differences are the groups' to the last brick."""
    found = planned.differences(planned.run(), ["bricked"]).query("statistic == 'mean'")
    assert found["baseline"].unique().tolist() == ["all-at-once"]
    assert found.set_index("other")["difference"].to_dict() == {"canary-1": -1, "staged-5": -4}
    assert (found["low"] == found["high"]).all()


def test_the_sentences_say_so(planned):
    assert planned.sentences(planned.run()) == [
        "canary-1 brings 1 fewer bricks in every replication, takes 1.0 s longer in every replication "
        "and stops in 4 of 4, the baseline in none",
        "staged-5 brings 4 fewer bricks in every replication, reaches 95 % in 0 of 4 replications, "
        "the baseline in all and stops in 4 of 4, the baseline in none",
    ]


def test_the_summary_has_a_row_a_strategy_and_measure(planned):
    found = planned.summary(planned.run(), ["bricked"])
    assert found["strategy"].tolist() == list(THREE)
    assert (found["low"] < found["mean"]).all()


@pytest.mark.parametrize("workers", [1, 3])
def test_another_baseline_changes_the_differences_and_not_the_table(small, workers, planned):
    other = PairedComparison(small, THREE, baseline="staged-5", replications=4, measure=by_groups)
    frame = other.run(workers=workers)
    pd.testing.assert_frame_equal(frame, planned.run())
    found = other.differences(frame, ["bricked"]).query("statistic == 'mean'")
    assert found.set_index("other")["difference"].to_dict() == {"all-at-once": 4, "canary-1": 3}


def test_the_baseline_s_replications_go_first(small):
    asked: list[int] = []

    def noting(scenario: Scenario, engine: str) -> dict[str, Any]:
        asked.append(len(scenario.spec.rollout.groups))
        return by_groups(scenario, engine)

    PairedComparison(small, THREE, baseline="staged-5", replications=2, measure=noting).run(workers=1)
    assert asked == [5, 5, 1, 1, 2, 2]


def test_scenarios_are_compared_with_the_first_where_there_are_no_strategies(small):
    more = small.with_({"name": "more", "devices": 83})
    planned = PairedComparison([small, more], replications=3, measure=by_groups)
    frame = planned.run()
    assert list(frame.columns[:2]) == ["scenario", "replication"]
    (row,) = planned.differences(frame, ["bricked"]).query("statistic == 'mean'").to_dict("records")
    assert (row["baseline"], row["other"], row["difference"]) == (small.name, "more", 3)


def test_several_scenarios_are_each_taken_under_each_strategy(small):
    more = small.with_({"name": "more", "devices": 83, "seed": 99})
    planned = PairedComparison([small, more], ("own", "canary-1"), replications=2, measure=by_groups)
    frame = planned.run()
    assert frame.groupby("scenario")["seed"].unique().map(list).tolist() == [list(planned.seeds)] * 2
    found = planned.differences(frame, ["bricked"]).query("statistic == 'mean'")
    assert found[["scenario", "baseline", "other"]].to_numpy().tolist() == [
        [small.name, "own", "canary-1"],
        ["more", "own", "canary-1"],
    ]


def test_the_own_rollout_is_the_scenario_as_it_is(small):
    planned = PairedComparison(small, ("own", "canary-1"), measure=by_groups)
    assert planned.points[0].scenario.spec == small.spec
    assert len(planned.points[1].scenario.spec.rollout.groups) == 2


def test_ctrl_c_leaves_what_was_done_and_its_differences(small):
    done: list[int] = []

    def broken_off(scenario: Scenario, engine: str) -> dict[str, Any]:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(1)
        return by_groups(scenario, engine)

    planned = PairedComparison(small, THREE, replications=3, measure=broken_off)
    frame = planned.run(workers=1)
    assert frame.attrs["interrupted"] is True
    found = planned.differences(frame, ["bricked"]).query("statistic == 'mean'")
    assert found[["other", "n"]].to_numpy().tolist() == [["canary-1", 2]]


def test_ctrl_c_before_anything_leaves_an_empty_table(small):
    def broken_off(_scenario: Scenario, _engine: str) -> dict[str, Any]:
        raise KeyboardInterrupt

    planned = PairedComparison(small, THREE, replications=1, measure=broken_off)
    frame = planned.run(workers=1)
    assert frame.empty and planned.differences(frame).empty and planned.sentences(frame) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((["smoke"],), r"found \"smoke\" alone, expected two or more"),
        (([],), "found no scenario"),
        ((["smoke", "smoke"],), r"scenario: found \"smoke\" twice"),
        (("smoke", ["own", "own"]), r"strategy: found \"own\" twice"),
        (("smoke", ["own", "stagd-5"]), "nearest is staged-5"),
    ],
)
def test_what_cannot_be_compared_is_named(arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        PairedComparison(*arguments)


def test_an_unknown_baseline_is_named():
    with pytest.raises(InputError, match=r"baseline: found \"own\", expected one of canary-1, staged-5"):
        PairedComparison("smoke", ["canary-1", "staged-5"], baseline="own")


def test_files_of_the_same_name_are_told_apart_by_their_paths(small, tmp_path):
    paths = [tmp_path / name for name in ("a.toml", "b.toml")]
    for path in paths:
        path.write_text(small.to_toml(), encoding="utf-8")
    assert PairedComparison(paths).contenders == tuple(map(str, paths))


def test_a_real_fleet_under_real_strategies(small):
    """Everything is let loose at once, or most of it behind a gate that stops: fewer get the release."""
    bad = small.with_({"faults.defect": 0.5, "devices": 300, "report.delay": "0 s"})
    planned = PairedComparison(bad, ("all-at-once", "canary-1"), replications=3, engine="compiled")
    frame = planned.run()
    found = planned.differences(frame, ["updated", "bytes_down"]).set_index("measure")
    assert (found["n"] == 3).all()
    alone = simlib.run(planned.points[1].scenario.with_({"seed": planned.seeds[2]}), engine="compiled")
    (row,) = frame.query("strategy == 'canary-1' and replication == 2").to_dict("records")
    assert row["digest"] == alone.digest


@pytest.fixture(scope="module")
def runs(small) -> dict[str, simlib.Run]:
    """The same fleet with and without a check of the storage."""
    return {
        name: simlib.run(small.with_({"devices": 400, "precheck.storage": check}))
        for name, check in (("checked", True), ("unchecked", False))
    }


def test_two_runs_differ_by_their_summaries_without_an_interval(runs):
    frame = frame_of_runs(runs)
    counts = {name: run.summary["outcomes"]["failed"] for name, run in runs.items()}
    assert frame.set_index("scenario")["failed"].to_dict() == counts
    assert counts["checked"] != counts["unchecked"]
    (row,) = differences(frame, ["failed"]).to_dict("records")
    assert (row["difference"], row["n"], row["method"]) == (
        counts["unchecked"] - counts["checked"],
        1,
        "none",
    )
    (sentence,) = worded(frame, "checked")
    assert sentence.endswith("one replication each, so no intervals")


def test_the_devices_that_ended_differently_are_counted_one_by_one(runs):
    a, b = runs["checked"].devices, runs["unchecked"].devices
    differ = [x != y for x, y in zip(a["outcome"], b["outcome"], strict=True)]
    found = moved(*runs.values())
    assert found["devices"].sum() == sum(differ) > 0
    assert (found["outcome"] != found["becomes"]).all()
    first = found.iloc[0]
    pairs = list(zip(a["outcome"], b["outcome"], strict=True))
    assert first["devices"] == pairs.count((first["outcome"], first["becomes"]))


def test_other_luck_is_no_device_by_device_comparison(runs, small):
    other = simlib.run(small.with_({"devices": 400, "seed": 77}))
    assert same_luck(*runs.values()) and not same_luck(other, runs["checked"])
    with pytest.raises(InputError, match="seed 77, expected the same devices and seed"):
        moved(runs["checked"], other)


def test_a_run_does_not_differ_from_itself(runs):
    assert moved(runs["checked"], runs["checked"]).empty
