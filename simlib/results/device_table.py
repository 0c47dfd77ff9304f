"""A device table read in parts: made by the simulation, lying in a file, or a frame that is there already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PART_ROWS: Final = 1 << 16
"""So many rows are worked on at once; they stay within the processor's cache."""


class DeviceTable(Protocol):
    """Columns with a row a device, in device order; rows are named by `start` and `stop` as in slices."""

    def __len__(self) -> int: ...

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which they are written."""

    @property
    def coded(self) -> tuple[str, ...]:
        """The columns of names out of few, of which `codes` can be asked."""

    def codes(
        self, name: str, start: int = 0, stop: int | None = None
    ) -> tuple[NDArray[Any], tuple[str, ...]]:
        """For each row a number from 0, of any integer type, and the different names that it counts in.

        Other rows may be counted in other names.
        """

    def column(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """The values of one column: 64-bit integers, truth values, or Python strings."""

    def frame(self, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """The rows as a frame of their own, numbered from 0."""

    def chunks(self, rows: int) -> Iterator[pd.DataFrame]:
        """The whole table as frames of `rows` rows, the last one of what is left."""


class FrameTable:
    """A frame, or columns by name, read as a `DeviceTable`. Any column can be taken for one of names."""

    def __init__(self, devices: pd.DataFrame | Mapping[str, Any]) -> None:
        self._frame = devices if isinstance(devices, pd.DataFrame) else pd.DataFrame(dict(devices))

    def __len__(self) -> int:
        return len(self._frame)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._frame.columns)

    @property
    def coded(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if self._frame[name].dtype == "str")

    def codes(
        self, name: str, start: int = 0, stop: int | None = None
    ) -> tuple[NDArray[Any], tuple[str, ...]]:
        values = self._frame[name].iloc[start:stop]
        if values.dtype == "str":
            codes, different = pd.factorize(values, use_na_sentinel=False)
            return codes, tuple(map(str, different))
        known: dict[str, int] = {}
        texts = map(str, np.asarray(values, dtype=object).tolist())
        return np.array([known.setdefault(t, len(known)) for t in texts], dtype=np.int64), tuple(known)

    def column(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        values = self._frame[name].iloc[start:stop]
        return np.asarray(values, dtype=object if values.dtype == "str" else None)

    def frame(self, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        return self._frame.iloc[start:stop].reset_index(drop=True)

    def chunks(self, rows: int) -> Iterator[pd.DataFrame]:
        return (self.frame(start, start + rows) for start in range(0, len(self), rows))


def as_table(devices: DeviceTable | pd.DataFrame | Mapping[str, Any]) -> DeviceTable:
    """`devices` as it is, or read as a table if it is a frame or columns by name."""
    return FrameTable(devices) if isinstance(devices, pd.DataFrame | Mapping) else devices


def parts(devices: DeviceTable) -> Iterator[tuple[int, int]]:
    """Where each part of at most `PART_ROWS` rows starts and stops."""
    return ((start, min(start + PART_ROWS, len(devices))) for start in range(0, len(devices), PART_ROWS))


def counted(devices: DeviceTable, name: str) -> dict[str, int]:
    """How many devices have each name of a column of names."""
    counts: dict[str, int] = {}
    for part in parts(devices):
        codes, names = devices.codes(name, *part)
        for known, count in zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True):
            counts[known] = counts.get(known, 0) + count
    return counts


def total(devices: DeviceTable, name: str) -> int:
    """The sum of an integer column."""
    return sum(int(devices.column(name, *part).sum()) for part in parts(devices))
