"""The rows of a study as one tidy table whose order and types do not depend on how it was computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from simlib.errors import InputError
from simlib.study.grid import Point, column
from simlib.study.measures import DTYPES

REPLICATION: Final = "replication"
SEED: Final = "seed"


class Place(NamedTuple):
    """Which replication a row is of: the point by its index, the replication from 0, its seed."""

    point: int
    replication: int
    seed: int


_KINDS: Final = ((bool, "boolean"), (int, "Int64"), (float, "Float64"), (str, "str"))


def frame_of(points: Sequence[Point], done: Iterable[tuple[Place, Mapping[str, Any]]]) -> pd.DataFrame:
    """A row for each of `done`, by point and replication: the varied keys, both numbers, the measures."""
    ordered = sorted(done, key=lambda one: (one[0].point, one[0].replication))
    places, rows = [place for place, _ in ordered], [row for _, row in ordered]
    columns: dict[str, pd.Series] = {}
    for key in points[0].values:
        columns[key] = column([points[place.point].values[key] for place in places])
    columns[REPLICATION] = pd.Series([place.replication for place in places], dtype="int64")
    columns[SEED] = pd.Series([place.seed for place in places], dtype="uint64")
    for name in rows[0] if rows else DTYPES:
        if name in columns:
            raise InputError(f"measure: found a figure called {name}, expected another name than a key's")
        columns[name] = _measures(name, [row[name] for row in rows])
    return pd.DataFrame(columns)


def keys_of(frame: pd.DataFrame) -> list[str]:
    """The varied keys of a study's table: the columns before `replication`. Raises `InputError`."""
    names = list(frame.columns)
    if REPLICATION not in names or SEED not in names:
        raise InputError(f"frame: found no column {REPLICATION} and {SEED}, expected the table of a study")
    return names[: names.index(REPLICATION)]


def _measures(name: str, values: list[Any]) -> pd.Series:
    if name in DTYPES:
        return pd.Series(values, dtype=DTYPES[name])
    some = [value for value in values if value is not None]
    for kind, dtype in _KINDS:
        if all(isinstance(value, kind if kind is not float else int | float) for value in some):
            return pd.Series(values, dtype=dtype)
    raise InputError(f"measure: {name}: found values of several kinds, expected numbers, truths or text")
