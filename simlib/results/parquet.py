"""Tables as Parquet files, written and read by row group, so that none has to fit into the memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from simlib.errors import InputError
from simlib.results.device_table import DeviceTable

GROUP_ROWS: Final = 1 << 20
"""Rows of a row group at most, as pandas writes them too."""


def write_table(path: Path, table: pd.DataFrame | DeviceTable) -> None:
    """Write a new file; of a table that is made in parts, one row group at a time is in memory."""
    if isinstance(table, pd.DataFrame):
        table.to_parquet(path, index=False)
        return
    from pyarrow.parquet import ParquetWriter

    schema = pa.Schema.from_pandas(table.frame(0, 1), preserve_index=False)
    with ParquetWriter(path, schema) as writer:
        for start in range(0, len(table), GROUP_ROWS):
            columns = [_array(table, field, start, start + GROUP_ROWS) for field in schema]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), GROUP_ROWS)


def _array(table: DeviceTable, field: Any, start: int, stop: int) -> Any:
    if field.name not in table.coded:
        return pa.array(table.column(field.name, start, stop), type=field.type)
    codes, names = table.codes(field.name, start, stop)
    return pa.array(names, type=field.type).take(pa.array(codes))


def read_table(path: Path) -> pd.DataFrame | DeviceTable:
    """A file as one frame, or, where it has several row groups, as a table that is read in parts.

    Raises OSError or ValueError if it is damaged.
    """
    from pyarrow.parquet import read_metadata

    return SavedTable(path) if read_metadata(path).num_row_groups > 1 else pd.read_parquet(path)


class SavedTable:
    """A Parquet file as a `DeviceTable`; InputError where the file can no longer be read, or is another."""

    def __init__(self, path: Path) -> None:
        from pyarrow.parquet import read_metadata

        self._path, self._stamp = path, _stamp(path)
        facts = read_metadata(path)
        schema = facts.schema.to_arrow_schema()
        self._names = tuple(schema.names)
        self._coded = tuple(f.name for f in schema if f.type in (pa.string(), pa.large_string()))
        self._ends = np.cumsum([facts.row_group(n).num_rows for n in range(facts.num_row_groups)])
        self._latest: tuple[tuple[str, range], Any] | None = None  # a column is mostly read to its end

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    @property
    def coded(self) -> tuple[str, ...]:
        return self._coded

    def codes(
        self, name: str, start: int = 0, stop: int | None = None
    ) -> tuple[NDArray[Any], tuple[str, ...]]:
        coded = self._column(name, start, stop).combine_chunks().dictionary_encode("encode")
        names = ("nan" if each is None else str(each) for each in coded.dictionary.to_pylist())
        return coded.indices.to_numpy(), tuple(names)

    def column(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        values: NDArray[Any] = self._column(name, start, stop).to_numpy()
        return values

    def frame(self, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        groups, first, end = self._groups(start, stop)
        return self._read(groups, None).slice(first, end - first).to_pandas()

    def chunks(self, rows: int) -> Iterator[pd.DataFrame]:
        return (self.frame(start, start + rows) for start in range(0, len(self), rows))

    def _column(self, name: str, start: int, stop: int | None) -> Any:
        groups, first, end = self._groups(start, stop)
        if self._latest is None or self._latest[0] != (name, groups):
            self._latest = (name, groups), self._read(groups, [name]).column(0)
        return self._latest[1].slice(first, end - first)

    def _groups(self, start: int, stop: int | None) -> tuple[range, int, int]:
        """The row groups that have the rows, and where in those the rows start and stop."""
        first, end, _ = slice(start, stop).indices(len(self))
        end = max(first, end)
        groups = range(
            int(np.searchsorted(self._ends, first, side="right")),
            int(np.searchsorted(self._ends, end)) + 1 if end > first else 0,
        )
        before = int(self._ends[groups[0] - 1]) if groups and groups[0] else 0
        return groups, first - before, end - before

    def _read(self, groups: range, columns: list[str] | None) -> Any:
        from pyarrow.parquet import ParquetFile

        try:
            if _stamp(self._path) == self._stamp:
                with ParquetFile(self._path) as file:
                    return file.read_row_groups(list(groups), columns=columns)
            found = "another file than when the run was loaded"
        except (OSError, ValueError) as error:
            found = f"a damaged file ({first_line(error)})"
        raise InputError(f"{self._path}: found {found}, expected the table of that run")


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def first_line(error: Exception) -> str:
    """What a library says of a file, without the rest of it."""
    return (str(error).splitlines() or [type(error).__name__])[0]
