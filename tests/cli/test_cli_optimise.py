"""`simlib optimise`: what it prints and writes, on made-up figures; the search has tests of its own."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pandas as pd
import pytest

from simlib.scenario import Scenario
from simlib.scenario.json_text import read_json
from simlib.study.optimisation import search as optimising

SMALL = ("optimise", "escooter-120k", "--devices", "9000", "--trials", "16", "--screen-devices", "7000")


def made_up(scenario: Scenario, _engine: str) -> dict[str, Any]:
    """A release takes a day and all soaks; a defect harms its share of the first group, or of all of them
    where nothing stops it.
    """
    spec = scenario.spec
    first, *_ = groups = spec.rollout.groups
    defect = max((float(d.prevalence) for d in spec.defects if d.probability), default=0.0)
    gated = first.gate != "none" and first.error_threshold < defect
    reached = float(first.share or 1) if gated else 1.0
    return {
        "harmed": int(defect * reached * spec.devices),
        "time_to_95_ms": None if gated else 86_400_000 + sum(group.soak_ms for group in groups[:-1]),
        "bytes_down": spec.devices,
        "exposed": int(reached * spec.devices),
    }


@pytest.fixture(autouse=True)
def made_up_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimising, "optimise", partial(optimising.optimise, figures=made_up))


def test_a_person_sees_the_front_and_what_beats_the_others(simlib):
    answer = simlib(*SMALL, "--constraint", "P(bricked > 5000) < 0.01")
    assert answer.status == 0
    assert "with a probability of 5 % a release has a defect" in answer.out
    front, _, beaten = answer.out.partition("\nbeaten\n")
    assert "all-at-once" in front
    assert "P(harmed > 5000) < 0.01" in front
    assert "[beaten by " in beaten and "[beaten by " not in front


def test_json_is_one_object_and_the_files_hold_the_same(simlib, tmp_path):
    out = tmp_path / "front"
    answer = simlib(*SMALL, "--json", "--out", str(out), "--seed", "7").json
    assert answer == json.loads((out / "front.json").read_text())
    assert (answer["seed"], answer["devices"], answer["trials"]) == (7, 9000, 16)
    assert answer["judged"] and not answer["interrupted"]
    assert sum(stratum["probability"] for stratum in answer["prior"]["strata"]) == pytest.approx(1)
    frame = pd.read_parquet(out / "front.parquet")
    assert frame["name"].tolist() == [p["name"] for p in (*answer["front"], *answer["others"])]
    for point, value in zip(answer["front"], frame["expected_harmed"], strict=False):
        assert point["objectives"]["expected_harmed"]["value"] == value
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "front.csv", keep_default_na=False), frame, check_dtype=False
    )
    assert len(pd.read_csv(out / "trials.csv")) == 16


def test_each_point_is_written_as_a_scenario_and_for_the_services(simlib, tmp_path):
    from simlib.rollout.registry import service_named

    out = tmp_path / "front"
    answer = simlib(*SMALL, "--json", "--out", str(out)).json
    for point in answer["front"]:
        scenario = Scenario.load(out / point["scenario"])
        assert len(scenario.spec.rollout.groups) == len(point["groups"])
        for name, made in point["exports"].items():
            document = read_json(out / made["file"], made["file"], "a configuration")
            assert document.pop("service") == name
            service = service_named(name)
            config = service.read(document, made["file"])
            if not any("refuses this fleet" in sentence for sentence in made["lost"]):
                assert sum(service.sizes(config, 9000)) == 9000
    assert {"aws-iot", "hawkbit"} == set(answer["front"][0]["exports"])


def test_a_folder_with_something_in_it_is_refused_before_anything_runs(simlib, tmp_path, monkeypatch):
    def never(*_given: object, **_further: object) -> None:
        raise AssertionError("it ran")

    (tmp_path / "mine").write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(optimising, "optimise", never)
        answer = simlib(*SMALL, "--out", str(tmp_path))
    assert answer.status == 2
    assert "expected a new one or --force" in answer.err
    assert simlib(*SMALL, "--out", str(tmp_path), "--force").status == 0


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--replications", "100"), "replications: found 100, expected a whole number, 500 or more"),
        (("--constraint", "P(harmed) < 1"), "constraint: found "),
        (("--objectives", "time_to_95"), "objectives: found 1"),
        (("--objectives", "time_to_95,tmie"), "objectives: found "),
        (("--defect-prior", "sometimes"), "defect prior: found "),
        (("--trials", "many"), "--trials: found "),
        (("--screen-replications", "2"), "screen replications: found 2"),
    ],
)
def test_bad_input_is_one_line_and_status_2(simlib, flags, complaint):
    answer = simlib(*SMALL, *flags)
    assert answer.status == 2
    assert answer.out == ""
    assert answer.err.startswith(complaint)
    assert answer.err.count("\n") == 1


def test_interrupted_it_keeps_what_there_is_marks_it_and_says_130(simlib, monkeypatch):
    calls = [0]

    def interrupting(scenario: Scenario, engine: str) -> dict[str, Any]:
        calls[0] += 1
        if calls[0] == 400:
            raise KeyboardInterrupt
        return made_up(scenario, engine)

    again = partial(optimising.optimise.func, figures=interrupting)
    monkeypatch.setattr(optimising, "optimise", again)
    answer = simlib(*SMALL, "--json", "--workers", "1")
    assert answer.status == 130
    found = answer.json
    assert found["interrupted"] and not found["judged"]
    assert 0 < found["trials"] < 16
    assert found["front"]
