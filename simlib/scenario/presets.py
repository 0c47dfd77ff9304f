"""The scenarios that come with simlib, each by the name of its file."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from simlib.errors import InputError
from simlib.scenario.datafiles import data_path
from simlib.scenario.toml_text import shown


def preset_names() -> tuple[str, ...]:
    """The names of the presets, sorted."""
    return tuple(sorted(path.stem for path in data_path("presets").glob("*.toml")))


def preset_path(name: str) -> Path:
    """The file of the preset `name`. Raises `InputError` naming the nearest for a name that is none."""
    names = preset_names()
    if name in names:
        return data_path("presets", f"{name}.toml")
    near = get_close_matches(name, names, n=1)
    hint = f"; nearest is {near[0]}" if near else ""
    raise InputError(
        f"{shown(name)}: found no preset and no file of that name, expected one of {', '.join(names)}{hint}"
    )
