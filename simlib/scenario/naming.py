"""Which key of a table a fact's field stands under: the one place where the two sets of names meet.

A field has its unit in its name (`soak_ms`), a key has it in its value (``soak = "6 h"``). Two fields
`*_low` and `*_high` are one key with two values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_UNITS: Final = ("_ms", "_bytes", "_bps", "_us")
_PAIR: Final[Mapping[str, int]] = {"_low": 0, "_high": 1}
_OTHERS: Final[Mapping[str, str]] = {
    "bluetooth_ms": "bluetooth_time",  # beside the switch `bluetooth`
    "offset_ms": "utc_offset",
    "from_ms": "from_",  # `from` is a word of Python's
}


def place_of(field: str) -> tuple[str, int | None]:
    """The attribute of the table, and which of its two values."""
    if field in _OTHERS:
        return _OTHERS[field], None
    for ending, index in _PAIR.items():
        if field.endswith(ending):
            return field.removesuffix(ending), index
    for ending in _UNITS:
        if field.endswith(ending):
            return field.removesuffix(ending), None
    return field, None


def key_of(field: str) -> str:
    """The key as it is written in a document."""
    return place_of(field)[0].removesuffix("_")
