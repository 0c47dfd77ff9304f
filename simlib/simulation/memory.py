"""The memory of a compiled run: its columns as arrays, the directories that compiled code finds them by,
and the same columns for Python's eyes.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping, MutableSequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simlib.engine.columns import Column, Layout
from simlib.fleet.population import is_uniform
from simlib.lifecycle.columns import ENERGY_PHASES, Fleet
from simlib.simulation.layout import HOT, HOT_BYTES, RARE, RARE_BYTES

_LARGE_PAGE: Final = 1 << 21
_BLOCK: Final = 1 << 13
_KINDS: Final = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


class Elements:
    """A column in memory as the life-cycle's Python functions and the tables see it: whole integers in and
    out.

    A slice gives an array. `default` is what an element of zero means.
    """

    __slots__ = ("_default", "values")

    def __init__(self, values: NDArray[Any], default: int = 0) -> None:
        self.values = values
        self._default = default

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        found = self.values[index]
        if isinstance(found, np.ndarray):
            return found if not self._default else found.astype(np.int64) + self._default
        return int(found) + self._default

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) or not self._default:
            value = np.subtract(value, self._default) if self._default else value
            self.values[index] = value
        else:
            self.values[index] = value - self._default

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self[:]
        return np.asarray(whole, dtype=dtype) if not copy else np.array(whole, dtype=dtype)


class Grid:
    """A column of several parts a row, flat: element ``row * parts + part``."""

    __slots__ = ("_parts", "values")

    def __init__(self, values: NDArray[np.int64]) -> None:
        self.values = values  # a row a device, a column a part
        self._parts = values.shape[1]

    def __len__(self) -> int:
        return int(self.values.size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            whole = self.values[start // self._parts : -(-stop // self._parts)].reshape(-1)
            return whole[start % self._parts :][: stop - start]
        row, part = divmod(int(index), self._parts)
        return int(self.values[row, part])

    def __setitem__(self, index: int, value: int) -> None:
        self.values[divmod(index, self._parts)] = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.values.reshape(-1), dtype=dtype)


class Looked:
    """A column looked up in a table through another column."""

    __slots__ = ("_table", "_through")

    def __init__(self, table: NDArray[np.int64], through: Elements) -> None:
        self._table, self._through = table, through

    def __len__(self) -> int:
        return len(self._through)

    def __getitem__(self, index: Any) -> Any:
        found = self._table[self._through.values[index]]
        return found if isinstance(found, np.ndarray) else int(found)


class Directory:
    """The addresses of a table's columns; `address` is what compiled code is given."""

    def __init__(self, slots: int) -> None:
        self._slots = np.zeros(slots, dtype=np.int64)
        self._held: dict[int, Any] = {}

    @property
    def address(self) -> int:
        """Where the directory lies."""
        return int(self._slots.ctypes.data)

    def put(self, slot: int, memory: NDArray[Any], offset: int = 0) -> None:
        """Entry `slot` is the address of `memory`, which is held as long as the directory."""
        self._held[slot] = memory
        self._slots[slot] = memory.ctypes.data + offset

    def forget(self) -> None:
        """Let go of the memory; the directory is of no use any more."""
        self._held.clear()

    def put_value(self, slot: int, value: int) -> None:
        """Entry `slot` is a number of 64 bits, signed or not."""
        self._slots[slot] = (value + (1 << 63)) % (1 << 64) - (1 << 63)


def slots_of(layout: Layout) -> int:
    """The directory entries that a layout needs."""
    return max(each.slot + 2 * max(each.grid, 1) for each in layout.values())


def zeros(rows: int, width: int, *, dense: bool = False) -> NDArray[Any]:
    """Zeroed memory for `rows` elements of `width` bytes, taken from the system as it is used.

    Memory that will all be used (`dense`) comes in large pages where the system has them, which the processor
    finds faster; otherwise a large page would be filled for the sake of a single element.
    """
    size = max(rows * width, 1)
    if size < _LARGE_PAGE:
        return np.zeros(size, dtype=np.uint8)
    private = getattr(mmap, "MAP_PRIVATE", None)
    if private is None:  # Windows, which takes memory as it is used anyway
        return np.zeros(size, dtype=np.uint8)
    memory = mmap.mmap(-1, size, flags=private | mmap.MAP_ANONYMOUS)
    advice = getattr(mmap, "MADV_HUGEPAGE" if dense else "MADV_NOHUGEPAGE", None)
    if advice is not None:
        with suppress(OSError):  # a kernel without large pages
            memory.madvise(advice)
    return np.frombuffer(memory, dtype=np.uint8)


def view(memory: NDArray[np.uint8], rows: int, column: Column) -> NDArray[Any]:
    """The elements of one column in the memory of its rows."""
    kind = np.dtype(_KINDS[column.width])
    return np.ndarray(rows, kind, buffer=memory, offset=column.offset, strides=column.stride)


class FleetMemory:
    """All columns of a compiled run's fleet.

    Attributes: `fleet`, for Python; `directory`, for compiled code; `hot` and `rare`, the memory of the rows.
    """

    def __init__(
        self,
        layout: Layout,
        devices: Mapping[str, NDArray[Any]],
        others: Mapping[str, MutableSequence[int]],
        *,
        rows: int,
        keys: NDArray[np.uint64],
        key_start: int,
        route: NDArray[Any],
        looked: Mapping[str, tuple[str, NDArray[np.int64]]],
        loop: Mapping[str, NDArray[Any]],
    ) -> None:
        """`devices` and `others` are from `columns_of`; `looked` are tables and the columns they are
        looked up through, `loop` the loop's own columns."""
        self._layout = layout
        self.rows = rows
        self.directory = Directory(slots_of(layout))
        self.hot = zeros(rows, HOT_BYTES, dense=True)
        self.rare = zeros(rows, RARE_BYTES)
        self.directory.put(HOT["phase"].slot, self.hot)
        self.directory.put(RARE["until_ms"].slot, self.rare)
        self.directory.put_value(layout["key"].slot, key_start)
        self.columns: dict[str, Any] = {}
        filled: list[tuple[NDArray[Any], NDArray[Any], int]] = []
        for name, column in {**HOT, **RARE}.items():
            memory = self.hot if name in HOT else self.rare
            self.columns[name] = Elements(view(memory, rows, column), column.default)
            given = route if name == "route" else loop.get(name, devices.get(name))
            if given is not None:
                filled.append((self.columns[name].values, given, column.default))
        for start in range(0, rows, _BLOCK):  # a block's rows stay in the cache while all columns are written
            for into, given, default in filled:
                _fill(into[start : start + _BLOCK], given[start : start + _BLOCK], default)
        parts = HOT_BYTES - 8 * ENERGY_PHASES
        shape, strides = (rows, ENERGY_PHASES), (HOT_BYTES, 8)
        grid: NDArray[np.int64] = np.ndarray(shape, np.int64, self.hot, parts, strides)
        self.columns["phase_uj"] = Grid(grid)
        for part in range(ENERGY_PHASES):
            slot = layout["phase_uj"].slot + 2 * part
            self.directory.put(slot, self.hot, parts + 8 * part)
            self.directory.put_value(slot + 1, HOT_BYTES)
        self.columns["key"] = Elements(keys)
        for name, (through, table) in looked.items():
            self.columns[name] = Looked(table, self.columns[through])
            self.directory.put(layout[name].slot, table)
        self._growing: dict[str, MutableSequence[int]] = {}
        for name, values in others.items():
            self.columns[name] = values
            if _grows(values):
                self._growing[name] = values
            else:
                memory = np.array(values or [0], dtype=np.int64)
                self.columns[name] = Elements(memory)
                self.directory.put(layout[name].slot, memory)
        self.renew()
        self.fleet = Fleet(**{name: self.columns[name] for name in Fleet._fields})

    def renew(self) -> None:
        """Note where the columns that grow lie now: to be called before compiled code runs again."""
        for name, values in self._growing.items():
            self.directory.put_value(self._layout[name].slot, _address(values))


def _grows(values: Any) -> bool:
    return hasattr(values, "buffer_info")


def _address(values: Any) -> int:
    return int(values.buffer_info()[0])


def _fill(into: NDArray[Any], given: NDArray[Any], default: int) -> None:
    """Write a column, where it is not what zeroed memory means already."""
    if is_uniform(given):
        value = int(given[0]) - default if len(given) else 0
        if value:
            into[:] = value
        return
    if default:
        given = given.astype(np.int64) - default
    different = np.flatnonzero(given)
    if 4 * len(different) > len(given):
        into[:] = given
    else:
        into[different] = given[different]


def elements(names: Iterable[str], sizes: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """Arrays of 64-bit integers, zero throughout, by name and number of elements."""
    return {name: np.zeros(max(sizes[name], 1), dtype=np.int64) for name in names}
