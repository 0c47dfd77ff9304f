"""A table of devices that is made when it is asked for, a part of its rows at a time.

It holds where each column comes from, not its values: whole columns of strings, or a frame of all rows,
exist only while somebody wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

Part = Callable[[int, int], NDArray[Any]]
"""The values of the rows from the first number up to, not including, the second."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of 64-bit integers, or of truth values."""

    values: Part
    dtype: type[np.generic] = np.int64


@dataclass(frozen=True, slots=True)
class Names:
    """A column of names out of few; a negative code means the last of them. Names may occur twice."""

    codes: Part
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Texts:
    """A column in which each row may have a text of its own."""

    values: NDArray[np.object_]


Column = Numbers | Names | Texts


def part_of(column: Any) -> Part:
    """The rows of an array, or of anything that gives an array when a slice of it is taken."""
    return lambda start, stop: np.asarray(column[start:stop])


class DeviceRows:
    """Columns with a row a device, in device order. What they come from must not change any more.

    Rows are named by `start` and `stop` as in slices. KeyError for a column that the table has not.
    """

    def __init__(self, length: int, columns: Mapping[str, Column]) -> None:
        self._length = length
        self._columns = dict(columns)
        self._names: dict[str, tuple[NDArray[Any], tuple[str, ...]]] = {}
        for name, column in self._columns.items():
            if isinstance(column, Names):
                unique = tuple(dict.fromkeys(column.names))
                small = np.min_scalar_type(len(unique))
                self._names[name] = np.array([unique.index(n) for n in column.names], dtype=small), unique

    def __len__(self) -> int:
        return self._length

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which they are written."""
        return tuple(self._columns)

    @property
    def coded(self) -> tuple[str, ...]:
        """The columns of which `codes` can be asked."""
        return tuple(self._names)

    def codes(
        self, name: str, start: int = 0, stop: int | None = None
    ) -> tuple[NDArray[Any], tuple[str, ...]]:
        """For each row a number from 0, of any integer type, and the different names that it counts in."""
        lookup, unique = self._names[name]
        column = self._columns[name]
        assert isinstance(column, Names)
        return lookup[column.codes(*self._range(start, stop))], unique

    def column(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """The values of one column: 64-bit integers, truth values, or Python strings."""
        column = self._columns[name]
        if isinstance(column, Numbers):
            return np.asarray(column.values(*self._range(start, stop)), dtype=column.dtype)
        if isinstance(column, Texts):
            first, end = self._range(start, stop)
            return column.values[first:end]
        codes, unique = self.codes(name, start, stop)
        values: NDArray[Any] = np.array(unique, dtype=object)[codes]
        return values

    def frame(self, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """The rows as a frame of their own, numbered from 0."""
        return pd.DataFrame({name: self._series(name, start, stop) for name in self._columns})

    def chunks(self, rows: int) -> Iterator[pd.DataFrame]:
        """The whole table as frames of `rows` rows, the last one of what is left."""
        return (self.frame(start, start + rows) for start in range(0, self._length, rows))

    def _series(self, name: str, start: int, stop: int | None) -> Any:
        column = self._columns[name]
        if isinstance(column, Numbers):
            return self.column(name, start, stop)
        if isinstance(column, Texts):
            return pd.array(self.column(name, start, stop), dtype="str")
        codes, unique = self.codes(name, start, stop)
        return pd.array(pa.array(unique, type=pa.large_string()).take(pa.array(codes)), dtype="str")

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        first, end, _ = slice(start, stop).indices(self._length)
        return first, max(first, end)
