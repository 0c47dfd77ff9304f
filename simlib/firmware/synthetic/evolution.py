"""From one release's source to the next: what a developer and a compiler do to a program.

How much is done is said by the kind of release and its scale (`simlib.firmware.synthetic.kinds`); how it
lies in the program, by the project's habits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
from simlib.firmware.synthetic.habits import Habits
from simlib.firmware.synthetic.kinds import Kind, Work
from simlib.firmware.synthetic.program import (
    DataObject,
    Function,
    Op,
    Program,
    flatten,
    with_ops,
    without,
)
from simlib.firmware.synthetic.quantiles import alike, block_below, pick, sample, zipf_table
from simlib.firmware.synthetic.vocabulary import (
    PERIPHERALS,
    RENAMINGS,
    WORD_EXPONENT,
    WORDS,
    Vocabulary,
    instructions,
)

FEATURE_FUNCTIONS: Final = 8
"""New functions that lie together."""
MOST_EDITS: Final = 3
"""Places edited in a function."""
MOST_WRITTEN: Final = 5
"""Operations written at one place."""

Writer = Callable[[int, int], NDArray[np.int64]]
"""Gives so many new operations (second) for the function with this index (first)."""


def evolve(program: Program, work: Work, stream: Stream, vocabulary: Vocabulary) -> Program:
    """The source of the next release, before it is made to fit a size."""
    kind, scale, habits = work.kind, work.scale_per_mille, vocabulary.habits

    def count(share: int, population: int, at_least: int = work.at_least) -> int:
        """How many of a population; not fewer than `at_least` of a share above zero."""
        return max(population * share * scale // 10_000_000, min(share, at_least))

    total = len(program.functions)
    if kind.recompiled:
        program = _recompile(program, total * kind.recompiled // 10_000, kind, stream, habits)
    if kind.removed:
        gone = _places(stream, total, count(kind.removed, total), habits.removed_together)
        program = without(program, {program.functions[i].symbol for i in gone.tolist()})
    if added := count(kind.added, total):
        program = add_functions(program, added, stream, habits)
    if kind.edited:
        program = _edit_functions(program, count(kind.edited, total, 1), stream, habits, moving=work.moving)
    if kind.data_edited:
        strings = count(kind.data_edited, len(program.strings))
        tables = count(kind.data_edited, len(program.tables))
        program = _edit_data(program, strings, tables, stream, vocabulary)
    if kind.grown and program.constants:
        program = _grow_variables(program, -(-kind.grown * scale // 1000), stream)
    return program


def add_functions(program: Program, count: int, stream: Stream, habits: Habits) -> Program:
    """The program with `count` more functions, in groups that lie together."""
    symbols = np.arange(program.symbols, program.symbols + count, dtype=np.int64)
    callable_symbols = np.concatenate([program.function_symbols(), symbols])
    new = write_functions(stream, symbols, callable_symbols, program.data_symbols(), habits)
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
    for item in write_tables(stream, names[strings:], program.function_symbols(), vocabulary.habits):
        grids.insert(stream.below(len(grids) + 1), item)
    return replace(program, strings=tuple(texts), tables=tuple(grids), symbols=names.stop)


def _recompile(program: Program, count: int, kind: Kind, stream: Stream, habits: Habits) -> Program:
    """Another register allocation, schedule and choice of instructions for `count` functions."""
    chosen = sample(stream, len(program.functions), count).tolist()
    before = [program.functions[i] for i in chosen]
    ops, counts = flatten(before)
    ends = np.cumsum(counts)
    inner = np.ones(len(ops), dtype=np.bool_)  # the prologue and the epilogue stay where they are
    inner[ends - 1] = inner[ends - counts] = False

    def drawn(about: NDArray[np.int64]) -> NDArray[np.uint64]:
        return alike(stream, about) if habits.compiles_alike else stream.block(len(about))

    def happens(per_myriad: int, about: NDArray[np.int64]) -> NDArray[np.bool_]:
        return drawn(about) * np.uint64(10_000) >> np.uint64(32) < per_myriad

    swaps = happens(kind.rescheduled, 3 * ops + np.roll(ops, -1)) & inner & np.roll(inner, -1)
    swaps &= ~np.roll(swaps, 1)
    at = np.flatnonzero(swaps)
    ops[at], ops[at + 1] = ops[at + 1], ops[at]

    other = happens(kind.selected, ops) & inner & (ops >> 32 == Op.WORD)
    ops = np.where(other, pick(zipf_table(WORDS, WORD_EXPONENT), drawn(ops)), ops)

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


def _places(stream: Stream, population: int, count: int, together: int) -> NDArray[np.int64]:
    """`count` of a population, ascending, in runs of neighbours of about `together`."""
    if together == 1:
        return sample(stream, population, count)
    starts = sample(stream, population, -(-count // together))
    runs = (starts[:, None] + np.arange(together)).reshape(-1) % population
    return np.unique(runs[:count])


def _edit_functions(program: Program, count: int, stream: Stream, habits: Habits, *, moving: bool) -> Program:
    """One to three places changed in each of `count` functions."""
    functions = list(program.functions)
    symbols, data = program.function_symbols(), program.data_symbols()
    places = _places(stream, len(functions), count, habits.edited_together)

    def write(i: int, written: int) -> NDArray[np.int64]:
        return write_ops(stream, np.full(written, i), symbols, data, habits)

    if moving and habits.written_ahead:
        near = np.repeat(places, MOST_EDITS * MOST_WRITTEN)
        ahead = iter(write_ops(stream, near, symbols, data, habits).reshape(-1, MOST_WRITTEN))

        def write(i: int, written: int) -> NDArray[np.int64]:
            return next(ahead)[:written]

    for i in places.tolist():
        ops = functions[i].ops
        for _ in range(1 + stream.below(MOST_EDITS)):
            ops = _edit(ops, i, stream, write) if moving else _edit_in_place(ops, stream)
        functions[i] = replace(functions[i], ops=ops)
    return replace(program, functions=tuple(functions))


def _edit(ops: NDArray[np.int64], i: int, stream: Stream, write: Writer) -> NDArray[np.int64]:
    """Some operations replaced by about as many others, never the first or the last one."""
    at = 1 + stream.below(len(ops) - 1)
    dropped = min(stream.below(5), len(ops) - 1 - at)
    written = stream.below(1 + MOST_WRITTEN)
    if not SHORTEST <= len(ops) - dropped + written <= LONGEST:
        return ops
    return np.concatenate([ops[:at], write(i, written), ops[at + dropped :]])


def _edit_in_place(ops: NDArray[np.int64], stream: Stream) -> NDArray[np.int64]:
    """Some instructions replaced by as many others; calls, literals and idioms stay as they are."""
    at = 1 + stream.below(len(ops) - 2)
    end = min(at + 1 + stream.below(4), len(ops) - 1)
    single = ops[at:end] >> 32 <= Op.RAW
    other = np.int64(Op.RAW) << 32 | instructions(stream, end - at)
    return np.concatenate([ops[:at], np.where(single, other, ops[at:end]), ops[end:]])


def _grow_variables(program: Program, count: int, stream: Stream) -> Program:
    """`count` variables get a few words larger: the addresses of those behind them in RAM move."""
    constants = np.array(program.constants, dtype=np.int64)
    variables = np.sort(constants[constants < PERIPHERALS])
    for _ in range(count):
        grown = variables[stream.below(len(variables))]
        behind = (constants > grown) & (constants < PERIPHERALS)
        constants[behind] += 4 * (1 + stream.below(16))
    return replace(program, constants=tuple(constants.tolist()))


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
