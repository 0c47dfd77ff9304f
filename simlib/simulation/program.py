"""The compiled clocks' machine code: which functions it exports, and where they find each table's columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, Final

from llvmlite import ir

from simlib import draws
from simlib.engine import calendar, native, shares
from simlib.engine.column_access import WORD
from simlib.engine.columns import Column, Layout
from simlib.engine.compiler import Program
from simlib.engine.shares import Shares
from simlib.firmware.cache import cache_dir
from simlib.simulation import commands, kernel, moving
from simlib.simulation.book import Book
from simlib.simulation.layout import HOT, HOT_BYTES, RARE, fleet_layout, plain_columns
from simlib.simulation.tally import Tally

_PACKAGE: Final = Path(__file__).resolve().parent.parent
_SOURCES: Final = (
    "draws.py",
    "errors.py",
    "outcomes.py",
    "lifecycle/*.py",
    "engine/*.py",
    "rollout/policy.py",
)
_OWN_SOURCES: Final = (
    "book.py",
    "commands.py",
    "kernel.py",
    "layout.py",
    "moving.py",
    "program.py",
    "recorder.py",
    "room.py",
    "tally.py",
)
_LINE: Final = 64
"""Bytes of a cache line."""

FLEET: Final = fleet_layout()
_NODE: Final = 16
CALENDAR: Final[Layout] = {
    "due": Column(0, 8, _NODE, 0, calendar.NEVER),
    "after": Column(0, 4, _NODE, 8, calendar.NONE),
    "before": Column(0, 4, _NODE, 12, calendar.NONE),
    "head": Column(1, 4, 4, 0, calendar.NONE),
    "keys": Column(2),
    "heap": Column(3),
    "state": Column(4),
}
CALENDAR_ROWS, CALENDAR_MESSAGES = 5, 6
"""Directory entries of what `calendar.fetch` has fetched: a device's first row, and its messages."""
NODE_BYTES: Final = _NODE
SHARES: Final[Layout] = plain_columns(Shares._fields) | {
    "devices": Column(Shares._fields.index("devices"), 4, 4),
    "sizes": Column(Shares._fields.index("sizes"), 4, 4),
    "end": Column(Shares._fields.index("end"), default=shares.NO_TRANSFER),
}
TALLY_BYTES: Final = 4
TALLY: Final[Layout] = plain_columns(Tally._fields) | {
    # These three lie together: a message looks at all of them.
    "group": Column(Tally._fields.index("group"), 2, TALLY_BYTES),
    "seen": Column(Tally._fields.index("seen"), 1, TALLY_BYTES),
    "settled": Column(Tally._fields.index("settled"), 1, TALLY_BYTES),
    "expected": Column(Tally._fields.index("expected"), 4, 4),
}
_BOOK_SLOTS: Final = plain_columns(Book._fields)
BOOK: Final[Layout] = _BOOK_SLOTS | {
    "rate_class": replace(HOT["rate_class"], slot=_BOOK_SLOTS["rate_class"].slot),
    "waits": replace(HOT["waits"], slot=_BOOK_SLOTS["waits"].slot),
    "missing": replace(RARE["missing"], slot=_BOOK_SLOTS["missing"].slot),
    "members": Column(_BOOK_SLOTS["members"].slot, 4, 4),
}


@dataclass(frozen=True)
class Code:
    """The exported functions; a table is its directory's address."""

    run_on: Callable[..., int]
    take_sample: Callable[..., int]
    count_now: Callable[..., int]
    open_members: Callable[..., int]
    send_parked: Callable[..., int]
    break_off: Callable[..., int]
    wake_members: Callable[..., int]
    close_books: Callable[..., int]


@cache
def code() -> Code:
    """The machine code, compiled if none is kept for this source and processor."""
    library = native.load(sources(), build, cache_dir() / "code")
    return Code(
        **{
            name: library.function(name, _exported(name).__code__.co_argcount)
            for name in Code.__dataclass_fields__
        }
    )


def _exported(name: str) -> FunctionType:
    """The function of that name, wherever it is written."""
    found: FunctionType = next(vars(m)[name] for m in (kernel, commands, moving) if name in vars(m))
    return found


def sources() -> list[Path]:
    """The files that the machine code depends on."""
    here = [path for pattern in _SOURCES for path in sorted(_PACKAGE.glob(pattern))]
    return here + [_PACKAGE / "simulation" / name for name in _OWN_SOURCES]


def build() -> str:
    """The module in LLVM's intermediate representation."""
    program = Program(
        {"Fleet": FLEET, "Calendar": CALENDAR, "Shares": SHARES, "Tally": TALLY, "Book": BOOK},
        arrays=["Sequence[int] | NDArray[np.int64]"],
        unsigned=[draws.mix64, draws.draw32],
        natives={calendar.fetch: _fetch},
    )
    for name in Code.__dataclass_fields__:
        program.export(name, _exported(name))
    return str(program.module)


def _fetch(builder: ir.IRBuilder, arguments: list[Any]) -> None:
    """`calendar.fetch`: have the cache lines fetched that a device's event begins with."""
    table, device = arguments
    byte, small = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, small, small, small])
    prefetch = builder.module.globals.get("llvm.prefetch.p0")
    if prefetch is None:
        prefetch = ir.Function(builder.module, kind, "llvm.prefetch.p0")
    flags = [ir.Constant(small, flag) for flag in (1, 3, 1)]  # to be written, keep close, data
    for slot, width in (
        (CALENDAR["due"].slot, _NODE),
        (CALENDAR_ROWS, HOT_BYTES),
        (CALENDAR_MESSAGES, TALLY_BYTES),
    ):
        entry = builder.add(table, ir.Constant(WORD, 8 * slot))
        start = builder.load(builder.inttoptr(entry, WORD.as_pointer()), typ=WORD)
        place = builder.add(start, builder.mul(device, ir.Constant(WORD, width)))
        for offset in range(0, width, _LINE):
            line = builder.inttoptr(builder.add(place, ir.Constant(WORD, offset)), byte)
            builder.call(prefetch, [line, *flags])
