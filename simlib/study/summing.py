"""A simulated run summed up: what every summary of it says, whoever asks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from simlib.results import Timings, summarise
from simlib.scenario import Scenario
from simlib.simulation import Simulated


def summed_up(scenario: Scenario, made: Simulated, timings: Timings, **further: Any) -> dict[str, Any]:
    """The summary of a run of `scenario`; `further` are the arguments of `summarise` that may be left out."""
    return summarise(
        scenario=scenario.spec.name,
        seed=scenario.spec.seed,
        engine=made.engine,
        devices=made.tables["devices"],
        stops=[asdict(stop) for stop in made.stops],
        events=made.events,
        timings=timings,
        **further,
    )
