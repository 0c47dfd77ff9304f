"""What the texts in an inventory's columns mean, in whole numbers, one reading a distinct text.

Each function takes the distinct texts of a column (a pyarrow StringArray without empty ones) and gives a
number for each, `UNKNOWN` where it says nothing usable, with remarks: what has to be stated, and of which
texts. Here are the names; sizes, charges and times are in `simlib.fleet.inventory_amounts`.

Which rows are kept, and what stands in for an unknown value, is decided by others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simlib.fleet.inventory_sheet import UNKNOWN

Column = NDArray[np.int64]
Mask = NDArray[np.bool_]

STATES: Final = ("pending", "updated", "failed", "deferred", "bricked", "lost")
SYNONYMS: Final[Mapping[str, str]] = {
    "success": "updated",
    "succeeded": "updated",
    "installed": "updated",
    "error": "failed",
    "queued": "pending",
    "in_progress": "pending",
    "downloading": "pending",
}
"""What update services call a state, in lower case with underscores."""

_WHOLE: Final = re.compile(r"([0-9]{1,9})(?:\.0*)?", re.ASCII)
_OFFSET: Final = re.compile(r"(?:UTC|GMT)? *([+−-])([0-9]{1,2})(?::?([0-5][0-9]))?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """A number for each distinct text, and what is to be said about some of them."""

    numbers: Column
    remarks: tuple[tuple[str, Mask], ...] = ()


def lookup(texts: Any, known: Mapping[str, int]) -> Reading:
    """Each text's number in `known`."""
    return Reading(np.array([known.get(text, UNKNOWN) for text in listed(texts)], dtype=np.int64))


def zone_indices(texts: Any, zones: Sequence[tuple[str, int]], renamed: Mapping[str, str]) -> Reading:
    """Indices into `zones` (name, offset [ms]): by name, else the first with that offset from UTC."""
    by_name = {name: index for index, (name, _) in enumerate(zones)}
    by_offset = {offset: index for index, (_, offset) in reversed(list(enumerate(zones)))}

    def index_of(text: str) -> int:
        name = renamed.get(text, text)
        if name in by_name:
            return by_name[name]
        if name.upper() in ("Z", "UTC", "GMT"):
            return by_offset.get(0, UNKNOWN)
        match = _OFFSET.fullmatch(name)
        if match is None:
            return UNKNOWN
        minutes = 60 * int(match[2]) + int(match[3] or 0)
        return by_offset.get(60_000 * (minutes if match[1] == "+" else -minutes), UNKNOWN)

    numbers = np.array([index_of(text) for text in listed(texts)], dtype=np.int64)
    return Reading(numbers, (unread(numbers, "unknown-zone"),))


def group_indices(texts: Any, groups: int) -> Reading:
    """Rollout groups from 0; the file counts from 1."""
    numbers = np.full(len(texts), UNKNOWN, dtype=np.int64)
    for index, text in enumerate(listed(texts)):
        match = _WHOLE.fullmatch(text)
        if match and 1 <= int(match[1]) <= groups:
            numbers[index] = int(match[1]) - 1
    return Reading(numbers, (unread(numbers, "unknown-group"),))


def state_codes(texts: Any) -> Reading:
    """Codes into `STATES`, whatever the case, and for the words of update services."""
    codes = {state: code for code, state in enumerate(STATES)}
    codes |= {synonym: codes[state] for synonym, state in SYNONYMS.items()}
    words = [re.sub("[ -]", "_", text.lower()) for text in listed(texts)]
    numbers = np.array([codes.get(word, UNKNOWN) for word in words], dtype=np.int64)
    return Reading(numbers, (unread(numbers, "unknown-state"),))


# What the readings share


def listed(texts: Any) -> list[str]:
    """The texts as Python's."""
    words: list[str] = texts.to_numpy(zero_copy_only=False).tolist()
    return words


def unread(numbers: Column, what: str) -> tuple[str, Mask]:
    """The remark `what` of all that have no number."""
    return what, numbers == UNKNOWN


def the_rest(texts: Any, wanted: Mask) -> Iterator[tuple[int, str]]:
    """Index and text of those wanted."""
    indices = np.flatnonzero(wanted)
    return zip(indices.tolist(), listed(texts.take(indices)), strict=True)


def with_form(texts: Any, form: str) -> tuple[Mask, Any]:
    """Which texts have the form, and a null in place of those that do not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    which = pc.match_substring_regex(texts, form)
    return as_mask(which), pc.if_else(which, texts, pa.scalar(None, pa.string()))


def as_mask(which: Any) -> Mask:
    """A BooleanArray as numpy's, false where it is null."""
    return np.array(which.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def as_column(numbers: Any) -> Column:
    """An array of whole numbers as numpy's, `UNKNOWN` where it is null."""
    return np.array(numbers.fill_null(UNKNOWN).to_numpy(zero_copy_only=False), dtype=np.int64)
