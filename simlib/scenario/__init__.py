"""What to simulate: the schema, its units, loading and saving, presets and calibration tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.scenario.datafiles import data_path
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.presets import preset_names, preset_path

if TYPE_CHECKING:
    from simlib.scenario.scenario import Scenario, load

__all__ = ["Scenario", "ScenarioSpec", "data_path", "load", "preset_names", "preset_path"]


def __getattr__(name: str) -> object:
    # The schema needs pydantic, which most importers of the facts do not.
    if name in ("Scenario", "load"):
        from simlib.scenario import scenario

        return getattr(scenario, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
