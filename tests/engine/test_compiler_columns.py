"""Compiled code finds every kind of column where its description says, and touches nothing beside it."""

from __future__ import annotations

import faulthandler
import mmap
import os
import signal
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.engine.columns import Column
from tests.amounts import examples
from tests.engine.compiling import Memory, compiled, module_of

ROWS, STRIDE, PARTS = 5, 40, 3
WIDTHS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}
NEVER = 1 << 62
REFUSED = (signal.SIGSEGV, getattr(signal, "SIGBUS", signal.SIGSEGV))


def keyed(start: int, index: int) -> int:
    """What the derived column is in Python and, compiled, from the directory's entry."""
    return (start ^ index) * 3 - index


TABLE = {
    # Arrays of their own.
    "whole": Column(0),
    "half": Column(1, 4, 4),
    "short": Column(2, 2, 2),
    "byte": Column(3, 1, 1),
    # Parts of a row, with bytes between them that are nobody's.
    "row_8": Column(4, 8, STRIDE, 0),
    "row_4": Column(4, 4, STRIDE, 12),
    "row_2": Column(4, 2, STRIDE, 18),
    "row_1": Column(4, 1, STRIDE, 21),
    "never": Column(4, 8, STRIDE, 24, default=NEVER),
    "minus": Column(4, 2, STRIDE, 32, default=-1, spare=True),
    "one": Column(4, 1, STRIDE, 35, default=1, spare=True),
    "plain_spare": Column(4, 4, STRIDE, 36, spare=True),
    # Looked up through others.
    "price": Column(5, through="row_1"),
    "price_of_one": Column(5, through="one"),
    "key": Column(6, derived=keyed),
    "grid": Column(7, grid=PARTS),
}
STORED = [name for name, column in TABLE.items() if not (column.through or column.derived or column.grid)]


def source() -> str:
    lines = ["from typing import NamedTuple", "", f"PARTS = {PARTS}", "", "class Table(NamedTuple):"]
    lines += [f"    {name}: list" for name in TABLE] + [""]
    for name in TABLE:
        index = "i // PARTS * PARTS + i % PARTS" if name == "grid" else "i"
        lines += [f"def get_{name}(t: Table, i: int) -> int:", f"    return t.{name}[{index}]", ""]
        if name not in ("key",):
            lines += [f"def put_{name}(t: Table, i: int, v: int) -> int:", f"    t.{name}[{index}] = v"]
            lines += ["    return 0", ""]
            lines += [f"def add_{name}(t: Table, i: int, v: int) -> int:", f"    t.{name}[{index}] += v"]
            lines += [f"    return t.{name}[{index}]", ""]
    return "\n".join(lines)


class Kept(NamedTuple):
    """The arrays of a table in memory, and what is to be found in each column."""

    memory: Memory
    arrays: list[np.ndarray]
    rows: np.ndarray
    parts: list[np.ndarray]

    def values(self, name: str) -> list[int]:
        """A column by numpy's arithmetic."""
        column = TABLE[name]
        if name == "grid":
            return [int(self.parts[n % PARTS][n // PARTS * (n % PARTS + 1)]) for n in range(ROWS * PARTS)]
        kind = WIDTHS[column.width]
        if column.slot < 4:
            return self.arrays[column.slot].view(kind).tolist()
        found = np.ndarray(ROWS, kind, buffer=self.rows, offset=column.offset, strides=column.stride)
        return [int(value) + column.default for value in found]


def kept() -> Kept:
    """All zero. A part of the grid has a stride of its own: 8, 16 and 24 bytes."""
    arrays = [np.zeros(ROWS, dtype=WIDTHS[width]) for width in (8, 4, 2, 1)]
    rows = np.zeros(ROWS * STRIDE, dtype=np.uint8)
    prices = np.arange(100, 100 + 256, dtype=np.int64)
    parts = [np.zeros(ROWS * (part + 1), dtype=np.int64) for part in range(PARTS)]
    entries: dict[int, Any] = dict(enumerate([*arrays, rows, prices]))
    entries[6] = 12345
    for part, array in enumerate(parts):
        entries[7 + 2 * part], entries[8 + 2 * part] = array, 8 * (part + 1)
    return Kept(Memory(entries), arrays, rows, parts)


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    module = module_of(tmp_path_factory.mktemp("columns"), source())
    names = [name for name in vars(module) if name[:4] in ("get_", "put_", "add_")]
    return compiled({name: getattr(module, name) for name in names}, {"Table": TABLE})


def fitting(name: str) -> st.SearchStrategy[int]:
    """A value that the column has room for, the extremes among them."""
    column = TABLE[name]
    most = 1 << (8 * column.width - 1)
    low, high = -most + column.default, most - 1 + column.default
    low, high = max(low, -(1 << 63)), min(high, (1 << 63) - 1)
    return st.integers(low, high) | st.sampled_from([low, high, min(max(0, low), high), column.default])


@st.composite
def stores(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    names = draw(st.lists(st.sampled_from([*STORED, "grid"]), max_size=40))
    most = [ROWS * PARTS if name == "grid" else ROWS for name in names]
    return [
        (name, draw(st.integers(0, n - 1)), draw(fitting(name))) for name, n in zip(names, most, strict=True)
    ]


@given(stores())
@settings(max_examples=examples(150))
def test_what_is_stored_is_found_there_and_nowhere_else(code, changes):
    found = kept()
    address = found.memory.address
    model = {name: [TABLE[name].default] * ROWS for name in STORED} | {"grid": [0] * (ROWS * PARTS)}
    between = np.ones(STRIDE, dtype=bool)
    for name in STORED:
        column = TABLE[name]
        if column.slot == 4:
            between[column.offset : column.offset + column.width] = False
    found.rows.reshape(ROWS, STRIDE)[:, between] = 0xA5
    for name, index, value in changes:
        code[f"put_{name}"](address, index, value)
        model[name][index] = value
        assert code[f"get_{name}"](address, index) == value
    for name, values in model.items():
        assert found.values(name) == values
        assert [code[f"get_{name}"](address, index) for index in range(len(values))] == values
    assert (found.rows.reshape(ROWS, STRIDE)[:, between] == 0xA5).all()
    for part in range(PARTS):  # what lies between the elements of a part
        apart = np.arange(len(found.parts[part])) % (part + 1) != 0
        assert not found.parts[part][apart].any()


@pytest.mark.parametrize("name", [*STORED, "grid"])
def test_a_column_is_added_to_in_place(code, name):
    found = kept()
    start = TABLE[name].default
    assert code[f"add_{name}"](found.memory.address, 3, -7) == start - 7
    assert code[f"add_{name}"](found.memory.address, 3, 9) == start + 2
    assert found.values(name)[3] == start + 2 and found.values(name)[2] == start


def test_a_column_through_another_is_looked_up_there(code):
    found = kept()
    for index, row in enumerate([0, 5, 127, 1, 9]):
        code["put_row_1"](found.memory.address, index, row)
        assert code["get_price"](found.memory.address, index) == 100 + row
    # What leads there has a default of its own.
    assert code["get_price_of_one"](found.memory.address, 2) == 101
    code["put_one"](found.memory.address, 2, 4)
    assert code["get_price_of_one"](found.memory.address, 2) == 104
    code["put_price"](found.memory.address, 2, 77)
    assert code["get_price"](found.memory.address, 2) == 77 == code["add_price"](found.memory.address, 2, 0)


def test_a_derived_column_is_the_functions_result(code):
    found = kept()
    assert [code["get_key"](found.memory.address, n) for n in range(ROWS)] == [
        keyed(12345, n) for n in range(ROWS)
    ]


def ends_by(action) -> int:
    """The signal that ends a process which does that, 0 if it comes to its end."""
    child = os.fork()
    if not child:
        faulthandler.disable()
        action()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="tells by a process that is ended for writing")
@pytest.mark.parametrize("name", ["minus", "one", "plain_spare"])
def test_a_spare_column_is_not_written_to_where_it_holds_that_value(code, name):
    size = mmap.PAGESIZE
    sealed = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
    rows = np.frombuffer(sealed, dtype=np.uint8)
    memory = Memory({4: rows})
    address = memory.address
    default = TABLE[name].default
    assert ends_by(lambda: code[f"put_{name}"](address, 2, default)) == 0
    assert ends_by(lambda: code[f"add_{name}"](address, 2, 0)) == 0
    assert ends_by(lambda: code[f"put_{name}"](address, 2, default + 1)) in REFUSED
    assert ends_by(lambda: code["put_row_8"](address, 2, 0)) in REFUSED


def test_only_arrays_by_themselves_are_plain():
    plain = [name for name, column in TABLE.items() if column.is_plain]
    assert plain == ["whole", "half", "short", "byte"]
