"""Where simlib's own data lies: presets, strategies and calibration tables, never code.

In a checkout it is the top-level ``data`` folder; an installed wheel carries the same folder as
``simlib/_data``.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Final

from simlib.errors import InputError
from simlib.scenario.toml_text import shown

_PACKAGE: Final = Path(__file__).resolve().parents[1]


def data_path(*parts: str) -> Path:
    """The path of a file or folder inside simlib's data. Raises `InputError` if the data is not there."""
    for root in (_PACKAGE / "_data", _PACKAGE.parent / "data"):
        if (root / "presets").is_dir():
            return root.joinpath(*parts)
    raise InputError(
        f"{_PACKAGE / '_data'}: found no data folder, expected simlib's presets and calibration tables"
    )


def shipped_names(folder: str) -> tuple[str, ...]:
    """The names of the TOML files in a folder of the data, sorted."""
    return tuple(sorted(path.stem for path in data_path(folder).glob("*.toml")))


def shipped_path(folder: str, name: str, what: str, also: str = "") -> Path:
    """The file of `name` in a folder of the data; `what` it holds is for the message.

    Raises `InputError` naming the nearest for a name that is none; `also` says what else would do.
    """
    names = shipped_names(folder)
    if name in names:
        return data_path(folder, f"{name}.toml")
    near = get_close_matches(name, names, n=1)
    hint = f"; nearest is {near[0]}" if near else ""
    raise InputError(
        f"{shown(name)}: found no {what} and no file of that name, "
        f"expected one of {', '.join(names)}{also}{hint}"
    )
