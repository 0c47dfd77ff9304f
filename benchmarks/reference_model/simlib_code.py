"""The machine code that simlib's compiler makes of the reference model, and the memory it works on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, Final

import numpy as np
from llvmlite import ir

from simlib.engine import calendar as calendars
from simlib.engine import native
from simlib.engine.column_access import WORD
from simlib.engine.columns import Column, Layout
from simlib.engine.compiler import Program
from simlib.firmware.cache import cache_dir

from . import compiled_tally as t
from . import model as m
from . import simlib_steps as steps
from .simlib_steps import Book

Clock = Callable[..., int]
After = Mapping[int, tuple[int, tuple[int, int], int]]

ROW: Final = 16
"""Bytes a device, for what it is and for its place in the calendar."""
ROWS, HEADS = 0, 1
DEVICES: Final[Layout] = {
    "count": Column(ROWS, 2, ROW, 12),
    "phase": Column(ROWS, 2, ROW, 14),
}
CALENDAR: Final[Layout] = {
    "due": Column(ROWS, 4, ROW),  # NEVER reads as 0 there, which is no event's time either
    "after": Column(ROWS, 4, ROW, 4),
    "before": Column(ROWS, 4, ROW, 8),
    "head": Column(HEADS, 4, 4, 0, calendars.NONE),
    "keys": Column(2),
    "heap": Column(3),
    "state": Column(4),
}
BOOK: Final[Layout] = {name: Column(slot) for slot, name in enumerate(Book._fields)} | {
    name: Column(Book._fields.index(name), 4, 4) for name in ("waiting", "quantiles", "places")
}
LATEST_MS: Final = 1 << 28
"""Three days: with the draws that are low, no device takes so long."""
BUSY_MS: Final = 24_000_000
"""About as long as half the fleet takes."""
EVENTS_A_BUCKET: Final = 8
"""So many should be in a bucket of the calendar when most happens; 4 or 16 are as good."""
PHASES: Final = 16
DIGITS: Final = 3 << -(-LATEST_MS.bit_length() // 3)
AHEAD: Final = 8
"""The row of who asks for a slot so many requests later is fetched."""


@cache
def machine_code(clock: FunctionType, source: Path) -> Clock:
    """What `clock`, a function of devices, calendar, book and seed in the file `source`, is compiled to."""

    def build() -> str:
        program = Program(
            {"Devices": DEVICES, "Calendar": CALENDAR, "Book": BOOK},
            unsigned=[m.mix, steps.drawn],
            natives={calendars.fetch: _fetch},
        )
        program.export(clock.__name__, clock)
        return str(program.module)

    here = Path(__file__)
    parts = [here.with_name(f"{name}.py") for name in ("model", "compiled_tally", "simlib_steps")]
    engine = sorted(Path(calendars.__file__).parent.glob("*.py"))
    library = native.load([source, here, *parts, *engine], build, cache_dir() / "code")
    return library.function(clock.__name__, 4)


def _fetch(builder: ir.IRBuilder, arguments: list[Any]) -> None:
    """`calendar.fetch`: have the device's row fetched."""
    table, device = arguments
    rows = builder.load(builder.inttoptr(table, WORD.as_pointer()), typ=WORD)
    byte, small = ir.IntType(8).as_pointer(), ir.IntType(32)
    row = builder.inttoptr(builder.add(rows, builder.mul(device, ir.Constant(WORD, ROW))), byte)
    prefetch = builder.module.globals.get("llvm.prefetch.p0")
    if prefetch is None:
        kind = ir.FunctionType(ir.VoidType(), [byte, small, small, small])
        prefetch = ir.Function(builder.module, kind, "llvm.prefetch.p0")
    flags = [ir.Constant(small, flag) for flag in (1, 3, 1)]  # to be written, keep close, data
    builder.call(prefetch, [row, *flags])


def _directory(columns: Iterable[np.ndarray | None]) -> np.ndarray:
    """The addresses of a table's columns, which somebody else has to keep."""
    return np.array([0 if column is None else column.ctypes.data for column in columns], np.int64)


def run_clock(
    clock: Clock,
    devices: int,
    seed: int,
    *,
    events_a_device: int,
    after: After | None = None,
    sorted_requests: bool = False,
) -> tuple[float, m.Outcome]:
    """Seconds of one run, in which its memory is touched for the first time, and what came out.

    `events_a_device` is how many events of a device the calendar sees, `after` what is fixed about a phase.
    """
    tally = t.fresh_tally(devices)
    tally[t.HEAD] = tally[t.TAIL] = 0
    phases = np.zeros((4, PHASES), np.int64)
    for phase, (purpose, span, following) in (after or {}).items():
        phases[:, phase] = (*span, _signed((purpose + 1) * m.GOLDEN), following)
    book: dict[str, np.ndarray] = dict(zip(("least", "more", "step", "following"), phases, strict=True))
    quantiles = np.array(m.transfer_table(), np.int32)
    width_ms = max(1, 2 * EVENTS_A_BUCKET * BUSY_MS // (events_a_device * devices))
    shift = width_ms.bit_length() - 1
    buckets = (LATEST_MS + m.WAKE_MS[0] + m.WAKE_MS[1] >> shift) + 1
    state = np.zeros(calendars.STATES, np.int64)
    state[calendars.AT_SHIFT], state[calendars.AT_BUCKETS] = shift, buckets
    state[calendars.AT_HEAP_ROOM] = 2 * devices
    places = 1 << (devices - 1).bit_length()
    # NumPy takes what is large in large pages, where the system has them.
    rows = np.zeros(ROW * devices, np.uint8)
    head, keys, heap = (
        np.zeros(size, kind) for size, kind in ((buckets, "i4"), (devices, "i8"), (2 * devices, "i8"))
    )
    calendar = [rows, head, keys, heap, state]
    book |= {"tally": tally, "quantiles": quantiles, "waiting": np.zeros(places, np.int32)}
    if sorted_requests:
        book |= {name: np.zeros(devices + 1 + AHEAD, np.int64) for name in ("requests", "spare")}
        book["places"] = np.zeros(DIGITS, np.int32)
    book |= {"latest": np.array([LATEST_MS]), "ring": np.array([places - 1])}
    tables = [_directory(each) for each in ([rows], calendar, map(book.get, Book._fields))]
    began = time.perf_counter()
    code = clock(*(table.ctypes.data for table in tables), seed)
    seconds = time.perf_counter() - began
    if code == steps.LATE:
        raise RuntimeError(f"found an event later than {LATEST_MS} ms, expected none")
    return seconds, t.outcome_of(tally)


def _signed(word: int) -> int:
    """The number of 64 bits that has the same lowest ones."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)
