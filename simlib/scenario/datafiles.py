"""Where simlib's own data lies: presets and calibration tables, never code.

In a checkout it is the top-level ``data`` folder; an installed wheel carries the same folder as
``simlib/_data``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from simlib.errors import InputError

_PACKAGE: Final = Path(__file__).resolve().parents[1]


def data_path(*parts: str) -> Path:
    """The path of a file or folder inside simlib's data. Raises `InputError` if the data is not there."""
    for root in (_PACKAGE / "_data", _PACKAGE.parent / "data"):
        if (root / "presets").is_dir():
            return root.joinpath(*parts)
    raise InputError(
        f"{_PACKAGE / '_data'}: found no data folder, expected simlib's presets and calibration tables"
    )
