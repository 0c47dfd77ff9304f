"""The scenarios that come with simlib, each by the name of its file."""

from __future__ import annotations

from pathlib import Path

from simlib.scenario.datafiles import shipped_names, shipped_path


def preset_names() -> tuple[str, ...]:
    """The names of the presets, sorted."""
    return shipped_names("presets")


def preset_path(name: str) -> Path:
    """The file of the preset `name`. Raises `InputError` naming the nearest for a name that is none."""
    return shipped_path("presets", name, "preset")
