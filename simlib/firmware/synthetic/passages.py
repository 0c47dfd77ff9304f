"""What makes code repeat itself: loads and calls in sequences of few shapes, and passages like those before.

Compiled code calls functions in the same few ways (load an address, set an argument, call), so the places
that move with an insertion lie at regular distances. With calls strewn at random instead, patches of
codecs that look for repetitions come out a tenth too large beside those of bsdiff4.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from simlib.draws import Stream
from simlib.firmware.synthetic.habits import Habits
from simlib.firmware.synthetic.quantiles import block_below, pick, zipf_table

SHAPES: Final = ("-lc", "-c", "lc-c", "--c", "-c--c", "c-c")
"""Sequences: l a load of a literal, c a call, - any other operation."""
_OTHER, _LOAD, _CALL = -2, -1, 0
_ENDED: Final = -3
_LONGEST: Final = max(map(len, SHAPES))
_SHAPES: Final = np.array(
    [[{"-": _OTHER, "l": _LOAD, "c": _CALL}[c] for c in s] + [_ENDED] * (_LONGEST - len(s)) for s in SHAPES]
)

ECHO_EXPONENT: Final = "1.1"
ECHO_NEAREST, ECHO_SHORTEST = 4, 2


def in_sequences(stream: Stream, kinds: NDArray[np.int64], habits: Habits) -> NDArray[np.int64]:
    """The per mille that decide on the kinds of operations, with calls and literals only in sequences."""
    literal = habits.per_mille_call
    other = literal + habits.per_mille_literal
    count = len(kinds)
    instructions = other + block_below(stream, count, 1000 - other)
    starts = np.flatnonzero(block_below(stream, count, 1000) < habits.per_mille_sequence)
    shapes = _SHAPES[block_below(stream, len(starts), len(SHAPES))]
    drawn = instructions.copy()
    for step in range(_LONGEST):
        within = (starts + step < count) & (shapes[:, step] != _ENDED)
        at, token = starts[within] + step, shapes[within, step]
        drawn[at] = np.where(token == _CALL, 0, np.where(token == _LOAD, literal, instructions[at]))
    return drawn


def echoed(stream: Stream, ops: NDArray[np.int64], habits: Habits) -> NDArray[np.int64]:
    """The operations with some passages replaced by a copy of what stood shortly before them.

    Unrolled loops, accesses to the registers of one peripheral and inlined helpers look like that.
    """
    starts = np.flatnonzero(block_below(stream, len(ops), 1000) < habits.per_mille_echo)
    back = ECHO_NEAREST + pick(zipf_table(habits.echo_reach, ECHO_EXPONENT), stream.block(len(starts)))
    span = habits.echo_longest - ECHO_SHORTEST + 1
    lengths = ECHO_SHORTEST + block_below(stream, len(starts), span)
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    to = np.repeat(starts, lengths) + within
    source = to - np.repeat(back, lengths)
    inside = (to < len(ops)) & (source >= 0)
    result = ops.copy()
    result[to[inside]] = ops[source[inside]]
    return result
