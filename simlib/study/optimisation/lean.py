"""What the search for a rollout keeps of one replication: few figures, and nothing that takes long to make.

Neither digest nor tables are made. Several rollouts of one fleet under one seed are a single piece of work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from simlib.device.memo import Memo
from simlib.outcomes import Outcome
from simlib.results.device_table import as_table, counted, parts, total
from simlib.results.summary import time_to_share
from simlib.scenario import Scenario
from simlib.scenario.model import ScenarioSpec
from simlib.simulation import simulate
from simlib.study.jobs import Row

Figures = Callable[[Scenario, str], Row]
"""What one replication of one rollout gives: a function of a scenario and the name of a clock."""

SECONDS: Final = ("setup_s", "bench_s", "clock_s", "total_s")
"""Figures of a row about the computer: before the clock, on the bench, the clock alone, everything."""


def figures(scenario: Scenario, engine: str = "fused") -> Row:
    """Simulate `scenario` once.

    - `harmed`: devices that are bricked or lost, out of reach without somebody's hands;
    - `time_to_95_ms`: when 95 % of the fleet had the release, None if never;
    - `bytes_down`: over all devices;
    - `exposed`: devices that were offered the release by the time the rollout was stopped, or by the end;
    - `halted`, and `SECONDS` of wall-clock time, which no decision rests on.

    Raises `InputError`, and KeyboardInterrupt for a run that was broken off.
    """
    began = time.perf_counter()
    made = simulate(scenario, engine=engine, memo=Memo.open_default(), record=False)
    if made.interrupted_ms is not None:
        raise KeyboardInterrupt
    devices = as_table(made.tables["devices"])
    outcomes = counted(devices, "outcome")
    if made.exposure is not None:
        exposed = made.exposure.offered
    else:
        exposed = sum(int((devices.column("offered_ms", *part) >= 0).sum()) for part in parts(devices))
    return {
        "harmed": sum(outcomes.get(outcome.value, 0) for outcome in (Outcome.BRICKED, Outcome.LOST)),
        "time_to_95_ms": time_to_share(devices, 95),
        "bytes_down": total(devices, "bytes_down"),
        "exposed": exposed,
        "halted": made.halted_ms >= 0,
        "setup_s": made.setup_s,
        "bench_s": made.bench_s,
        "clock_s": made.wall_s,
        "total_s": time.perf_counter() - began,
    }


@dataclass(frozen=True)
class Rollouts:
    """The measure of a seed: `figures` of each of `specs` with the seed and the defects of a scenario.

    The specifications are alike but for their rollout and transfer. A row holds theirs by their number.
    """

    specs: tuple[ScenarioSpec, ...]
    figures: Figures

    def __call__(self, scenario: Scenario, engine: str) -> dict[str, Any]:
        """The rows of all rollouts under ``scenario.spec.seed`` and its defects."""
        seed, defects = scenario.spec.seed, scenario.spec.defects
        rows = {}
        for number, spec in enumerate(self.specs):
            laid = replace(scenario, spec=replace(spec, seed=seed, defects=defects))
            rows[str(number)] = self.figures(laid, engine)
        return rows
