"""Writes new source: operations, functions, messages and tables, each in the project's own vocabulary.

The shares of calls, literals and idioms and the lognormal function length were fitted to public chains of
Cortex-M firmware (pip and npm packages of open hardware projects) by comparing bsdiff4, zlib and lzma
ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simlib.draws import Stream
from simlib.firmware.synthetic.habits import Habits
from simlib.firmware.synthetic.passages import echoed, in_sequences
from simlib.firmware.synthetic.program import DataObject, Function, Op
from simlib.firmware.synthetic.quantiles import block_below, lognormal_table, pick, zipf_table
from simlib.firmware.synthetic.vocabulary import (
    CONSTANTS,
    FRAMES,
    IDIOMS,
    LEXICON,
    RENAMINGS,
    WORD_EXPONENT,
    WORDS,
    Vocabulary,
    instructions,
)

LONGEST: Final = 320
"""Most operations in a function: its literal pool stays within reach of the wide LDR."""
SHORTEST: Final = 3
IDIOM_EXPONENT: Final = "0.8"
LEXICON_EXPONENT: Final = "0.5"
LENGTH_MU, LENGTH_SIGMA = "3.3", "0.8"
PERCENT_LOCAL: Final = 40
"""Of the calls, how many stay among the neighbouring functions; the others go to popular ones."""
POPULAR: Final = 512
NEAR: Final = 24
PERCENT_CONSTANT: Final = 40
PERCENT_FUNCTION_ADDRESS: Final = 12


def write_ops(
    stream: Stream,
    near: NDArray[np.int64],
    functions: NDArray[np.int64],
    data: NDArray[np.int64],
    habits: Habits,
) -> NDArray[np.int64]:
    """One operation for each entry of `near`, the index in `functions` of the function it is written for.

    `functions` and `data` are the symbols that calls and literals may name.
    """
    count = len(near)
    kind_draw = block_below(stream, count, 1000)
    literal_from = habits.per_mille_call
    idiom_from = literal_from + habits.per_mille_literal
    word_from = idiom_from + habits.per_mille_idiom
    if habits.per_mille_sequence:
        kind_draw = in_sequences(stream, kind_draw, habits)
    ranked = block_below(stream, count, 100) < habits.percent_ranked
    rank_draws = stream.block(count)

    words = pick(zipf_table(WORDS, WORD_EXPONENT), rank_draws)
    idioms = pick(zipf_table(IDIOMS, IDIOM_EXPONENT), rank_draws)
    constants = pick(zipf_table(CONSTANTS, WORD_EXPONENT), rank_draws)
    popular = np.sort(functions)[pick(zipf_table(POPULAR, WORD_EXPONENT), rank_draws) % len(functions)]
    shift = block_below(stream, count, 2 * NEAR + 1) - NEAR
    local = functions[np.clip(near + shift, 0, len(functions) - 1)]
    callee = np.where(block_below(stream, count, 100) < PERCENT_LOCAL, local, popular)
    target_draw = block_below(stream, count, 100)
    datum = data[block_below(stream, count, len(data))]
    raw = instructions(stream, count)

    ops = np.where(ranked, words, np.int64(Op.RAW) << 32 | raw)
    ops = np.where(kind_draw < word_from, np.int64(Op.IDIOM) << 32 | idioms, ops)
    address = np.where(target_draw < PERCENT_CONSTANT + PERCENT_FUNCTION_ADDRESS, local, datum)
    literal = np.where(
        target_draw < PERCENT_CONSTANT,
        np.int64(Op.CONSTANT) << 32 | constants,
        np.int64(Op.ADDRESS) << 32 | address,
    )
    ops = np.where(kind_draw < idiom_from, literal, ops)
    ops = np.where(kind_draw < literal_from, np.int64(Op.CALL) << 32 | callee, ops)
    return echoed(stream, ops, habits) if habits.per_mille_echo else ops


def write_functions(
    stream: Stream,
    symbols: NDArray[np.int64],
    functions: NDArray[np.int64],
    data: NDArray[np.int64],
    habits: Habits,
) -> tuple[Function, ...]:
    """New functions with these symbols, which are the last ones of `functions`."""
    count = len(symbols)
    lengths = 1 + pick(lognormal_table(LENGTH_MU, LENGTH_SIGMA, LONGEST), stream.block(count))
    lengths = np.maximum(lengths, SHORTEST)
    first = len(functions) - count
    ops = write_ops(stream, np.repeat(np.arange(first, len(functions)), lengths), functions, data, habits)
    ends = np.cumsum(lengths)
    frame = block_below(stream, count, FRAMES)
    ops[ends - lengths] = WORDS + frame
    ops[ends - 1] = WORDS + FRAMES + frame
    registers = block_below(stream, count, len(RENAMINGS)).tolist()
    parts = np.split(ops, ends[:-1])
    return tuple(
        Function(symbol, part, row)
        for symbol, part, row in zip(symbols.tolist(), parts, registers, strict=True)
    )


def write_text(stream: Stream, vocabulary: Vocabulary) -> bytes:
    """One message, NUL-terminated."""
    count = 1 + stream.below(6)
    ranks = pick(zipf_table(LEXICON, LEXICON_EXPONENT), stream.block(count)).tolist()
    end = ("", ": %d", " 0x%08x", "\r\n", ": %s\r\n", " failed (%d)\r\n")[stream.below(6)]
    return (" ".join(vocabulary.lexicon[rank] for rank in ranks) + end).encode() + b"\0"


def write_strings(stream: Stream, symbols: Sequence[int], vocabulary: Vocabulary) -> tuple[DataObject, ...]:
    """New messages with these symbols."""
    return tuple(DataObject(symbol, write_text(stream, vocabulary)) for symbol in symbols)


def write_tables(
    stream: Stream, symbols: Sequence[int], functions: NDArray[np.int64], habits: Habits
) -> tuple[DataObject, ...]:
    """New tables with these symbols: curves, records, dispatch tables and, one in ten, noise.

    By habit, some are dictionaries instead: a key and an address in every eight bytes.
    """
    percent = habits.percent_dictionaries
    return tuple(
        _write_dictionary(stream, symbol, functions)
        if percent and stream.below(100) < percent
        else _write_table(stream, symbol, functions)
        for symbol in symbols
    )


def _write_dictionary(stream: Stream, symbol: int, functions: NDArray[np.int64]) -> DataObject:
    entries = 8 + stream.below(56)
    rows = np.zeros((entries, 2), dtype="<u4")
    rows[:, 0] = 8 * block_below(stream, entries, 64) + 6
    values = functions[block_below(stream, entries, len(functions))].tolist()
    return DataObject(symbol, rows.tobytes(), tuple((8 * i + 4, value) for i, value in enumerate(values)))


def _write_table(stream: Stream, symbol: int, functions: NDArray[np.int64]) -> DataObject:
    sort = stream.below(10)
    words = 16 + stream.below(112)
    if sort == 0:
        return DataObject(symbol, stream.block(words).astype("<u4").tobytes())
    if sort <= 2:
        entries = functions[block_below(stream, words // 4, len(functions))].tolist()
        flags = block_below(stream, words // 4, 8).astype("<u4")
        rows = np.zeros((words // 4, 4), dtype="<u4")
        rows[:, 0], rows[:, 2] = flags, np.arange(words // 4)
        references = tuple((16 * i + 4, entry) for i, entry in enumerate(entries))
        return DataObject(symbol, rows.tobytes(), references)
    if sort <= 6:
        start, slope = stream.below(1 << 12), 1 + stream.below(90)
        curve = start + slope * np.arange(2 * words, dtype=np.int64) + block_below(stream, 2 * words, 16)
        return DataObject(symbol, curve.astype("<u2").tobytes())
    fields = block_below(stream, words, 1 << (3 + stream.below(10)))
    return DataObject(symbol, fields.astype("<u4").tobytes())
