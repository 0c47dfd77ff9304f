"""A fleet with many power cuts asks the bench for far more transitions than it has to work out."""

from __future__ import annotations

import pytest

from simlib.device.bench import Bench
from simlib.scenario import Scenario
from simlib.study import run


def test_most_transitions_of_a_fleet_with_many_power_cuts_are_worked_out_for_another_device(
    smoke: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    benches: list[Bench] = []
    begin = Bench.__init__

    def noted(bench: Bench, *arguments: object) -> None:
        begin(bench, *arguments)  # type: ignore[arg-type]
        benches.append(bench)

    monkeypatch.setattr(Bench, "__init__", noted)
    keys: dict[str, object] = {"faults.power_cut": 0.6, "faults.tear": "garbage"}
    for group in range(3):  # whatever happens, the rollout goes on
        keys[f"rollout.groups.{group}.error_threshold"] = 1
        keys[f"rollout.groups.{group}.success_threshold"] = 0.01
    run(smoke.with_(keys), memo=False)
    asked = [event for bench in benches for _, event in bench._transitions]
    cuts = sum(event.cut is not None for event in asked)
    executed = sum(bench.executed for bench in benches)
    assert cuts > 200
    assert executed < len(asked) / 3
