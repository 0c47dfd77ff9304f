"""From one release's source to the next: what a developer and a compiler do to a program, by kind of release.

The shares of functions edited, added and recompiled by a release of each kind were fitted by hand, so that
bsdiff4 patches of the linked images weigh what they do between consecutive releases of public firmware
chains (168 pairs of about nine projects). They describe those projects' habits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simlib.draws import Stream
from simlib.firmware.synthetic.author import (
    LONGEST,
    SHORTEST,
    write_functions,
    write_ops,
    write_strings,
    write_tables,
    write_text,
)
from simlib.firmware.synthetic.program import (
    DataObject,
    Function,
    Op,
    Program,
    flatten,
    with_ops,
    without,
)
from simlib.firmware.synthetic.quantiles import block_below, pick, sample, zipf_table
from simlib.firmware.synthetic.vocabulary import RENAMINGS, WORD_EXPONENT, WORDS, Vocabulary

FEATURE_FUNCTIONS: Final = 8
"""New functions that lie together."""
SCALE_PERCENT: Final = (75, 130)
"""A release does between these times what its kind does in the middle."""


@dataclass(frozen=True)
class Kind:
    """Shares in parts per 10,000 of the functions, or of what the comment says."""

    edited: int = 0
    added: int = 0
    removed: int = 0
    recompiled: int = 0
    data_edited: int = 0  # strings and tables
    rescheduled: int = 0  # operations of a recompiled function exchanged with the next one
    selected: int = 0  # its instructions for which another one is chosen
    moved: int = 0  # functions that the linker puts elsewhere


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "rebuild": Kind(),
        "patch": Kind(edited=45, added=5, removed=2, data_edited=10),
        "minor": Kind(edited=1000, added=250, removed=120, recompiled=300, data_edited=200, rescheduled=1500),
        "major": Kind(
            edited=3300, added=800, removed=400, recompiled=3200, data_edited=800, rescheduled=1500
        ),
        "toolchain": Kind(
            edited=1000,
            added=400,
            removed=200,
            recompiled=9700,
            data_edited=200,
            rescheduled=2000,
            selected=2300,
            moved=1500,
        ),
    }
)


def evolve(program: Program, kind: Kind, stream: Stream, vocabulary: Vocabulary) -> Program:
    """The source of the next release, before it is made to fit a size."""
    low, high = SCALE_PERCENT
    scale = low + stream.below(high - low)

    def count(share: int, population: int) -> int:
        """How many of a population; at least one of a share above zero."""
        return max(population * share * scale // 1_000_000, min(share, 1))

    total = len(program.functions)
    if kind.recompiled:
        program = _recompile(program, total * kind.recompiled // 10_000, kind, stream)
    if kind.removed:
        gone = sample(stream, total, count(kind.removed, total))
        program = without(program, {program.functions[i].symbol for i in gone.tolist()})
    if kind.added:
        program = add_functions(program, count(kind.added, total), stream)
    if kind.edited:
        program = _edit_functions(program, count(kind.edited, total), stream)
    if kind.data_edited:
        strings = count(kind.data_edited, len(program.strings))
        tables = count(kind.data_edited, len(program.tables))
        program = _edit_data(program, strings, tables, stream, vocabulary)
    return program


def add_functions(program: Program, count: int, stream: Stream) -> Program:
    """The program with `count` more functions, in groups that lie together."""
    symbols = np.arange(program.symbols, program.symbols + count, dtype=np.int64)
    callable_symbols = np.concatenate([program.function_symbols(), symbols])
    new = write_functions(stream, symbols, callable_symbols, program.data_symbols())
    functions = list(program.functions)
    for start in range(0, count, FEATURE_FUNCTIONS):
        place = stream.below(len(functions) + 1)
        functions[place:place] = new[start : start + FEATURE_FUNCTIONS]
    return replace(program, functions=tuple(functions), symbols=program.symbols + count)


def add_data(program: Program, strings: int, tables: int, stream: Stream, vocabulary: Vocabulary) -> Program:
    """The program with more messages and tables, each at a place of its own."""
    names = range(program.symbols, program.symbols + strings + tables)
    texts, grids = list(program.strings), list(program.tables)
    for item in write_strings(stream, names[:strings], vocabulary):
        texts.insert(stream.below(len(texts) + 1), item)
    for item in write_tables(stream, names[strings:], program.function_symbols()):
        grids.insert(stream.below(len(grids) + 1), item)
    return replace(program, strings=tuple(texts), tables=tuple(grids), symbols=names.stop)


def _recompile(program: Program, count: int, kind: Kind, stream: Stream) -> Program:
    """Another register allocation, schedule and choice of instructions for `count` functions."""
    chosen = sample(stream, len(program.functions), count).tolist()
    before = [program.functions[i] for i in chosen]
    ops, counts = flatten(before)
    ends = np.cumsum(counts)
    inner = np.ones(len(ops), dtype=np.bool_)  # the prologue and the epilogue stay where they are
    inner[ends - 1] = inner[ends - counts] = False

    swaps = (block_below(stream, len(ops), 10_000) < kind.rescheduled) & inner & np.roll(inner, -1)
    swaps &= ~np.roll(swaps, 1)
    at = np.flatnonzero(swaps)
    ops[at], ops[at + 1] = ops[at + 1], ops[at]

    other = (block_below(stream, len(ops), 10_000) < kind.selected) & inner & (ops >> 32 == Op.WORD)
    ops = np.where(other, pick(zipf_table(WORDS, WORD_EXPONENT), stream.block(len(ops))), ops)

    registers = block_below(stream, count, len(RENAMINGS)).tolist()
    functions = list(program.functions)
    for i, function, row in zip(chosen, with_ops(before, ops, counts), registers, strict=True):
        functions[i] = replace(function, registers=row)
    if kind.moved:
        functions = _move(functions, len(functions) * kind.moved // 10_000, stream)
    return replace(program, functions=tuple(functions))


def _move(functions: list[Function], count: int, stream: Stream) -> list[Function]:
    """`count` functions exchange their places."""
    places = sample(stream, len(functions), count)
    order = np.argsort(stream.block(len(places)), kind="stable")
    moved = list(functions)
    for place, source in zip(places.tolist(), places[order].tolist(), strict=True):
        moved[place] = functions[source]
    return moved


def _edit_functions(program: Program, count: int, stream: Stream) -> Program:
    """One to three places changed in each of `count` functions."""
    functions = list(program.functions)
    symbols, data = program.function_symbols(), program.data_symbols()
    for i in sample(stream, len(functions), count).tolist():
        ops = functions[i].ops
        for _ in range(1 + stream.below(3)):
            ops = _edit(ops, i, stream, symbols, data)
        functions[i] = replace(functions[i], ops=ops)
    return replace(program, functions=tuple(functions))


def _edit(
    ops: NDArray[np.int64], i: int, stream: Stream, symbols: NDArray[np.int64], data: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Some operations replaced by about as many others, never the first or the last one."""
    at = 1 + stream.below(len(ops) - 1)
    dropped = min(stream.below(5), len(ops) - 1 - at)
    written = stream.below(6)
    if not SHORTEST <= len(ops) - dropped + written <= LONGEST:
        return ops
    new = write_ops(stream, np.full(written, i), symbols, data)
    return np.concatenate([ops[:at], new, ops[at + dropped :]])


def _edit_data(
    program: Program, strings: int, tables: int, stream: Stream, vocabulary: Vocabulary
) -> Program:
    """Messages written anew, and one entry of each of some tables set to another value."""
    texts, grids = list(program.strings), list(program.tables)
    for i in sample(stream, len(texts), strings).tolist():
        texts[i] = DataObject(texts[i].symbol, write_text(stream, vocabulary))
    for i in sample(stream, len(grids), tables).tolist():
        at = stream.below(len(grids[i].content) // 2) * 2
        content = grids[i].content
        changed = content[:at] + stream.below(1 << 16).to_bytes(2, "little") + content[at + 2 :]
        grids[i] = replace(grids[i], content=changed)
    return replace(program, strings=tuple(texts), tables=tuple(grids))
