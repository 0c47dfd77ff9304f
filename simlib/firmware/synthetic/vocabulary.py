"""What a project's code and text are made of: instruction words, idioms, constants and words of its messages.

A vocabulary is drawn once a seed and kept along the whole chain, as one team keeps its compiler and habits.
Instruction words follow the 16-bit Thumb formats (Armv7-M ARM, A5.2) with operands at random: they look
like code to a compressor and a differ, and are not meant to run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simlib.draws import Stream
from simlib.firmware.synthetic.habits import TYPICAL, Habits
from simlib.firmware.synthetic.quantiles import block_below, pick, zipf_table
from simlib.firmware.thumb import rename_registers

WORDS: Final = 2000
WORD_EXPONENT: Final = "1.1"
FRAMES: Final = 16
"""Prologues and as many epilogues, kept behind the ranked words."""
IDIOMS: Final = 500
CONSTANTS: Final = 400
RAM, PERIPHERALS = 0x2000_0000, 0x4000_0000
"""Where variables and registers of peripherals lie (Armv7-M ARM, B3.1); constants are either."""
LEXICON: Final = 600

# (base, operand bits) of 16-bit formats, repeated in proportion to how common they are in compiled code
_FORMATS: Final = (
    *((0x2000, 0x07FF),) * 4,  # MOV immediate
    *((0x2800, 0x07FF),) * 2,  # CMP immediate
    *((0x3000, 0x0FFF),) * 2,  # ADD, SUB immediate
    *((0x6000, 0x0FFF),) * 6,  # STR, LDR immediate
    *((0x7000, 0x0FFF),) * 3,  # STRB, LDRB immediate
    *((0x8000, 0x0FFF),) * 1,  # STRH, LDRH immediate
    *((0x9000, 0x0FFF),) * 3,  # STR, LDR of the stack frame
    *((0x0000, 0x0FFF),) * 2,  # LSL, LSR immediate
    *((0x1800, 0x07FF),) * 2,  # ADD, SUB register
    *((0x4000, 0x03FF),) * 2,  # data processing
    *((0x4600, 0x00FF),) * 3,  # MOV with high registers
    *((0x5000, 0x0FFF),) * 1,  # load, store register offset
    *((0xD000, 0x0DFF),) * 4,  # conditional branch
    *((0xE000, 0x07FF),) * 1,  # branch
)
_BASES: Final = np.array([base for base, _ in _FORMATS], dtype=np.int64)
_OPERANDS: Final = np.array([operands for _, operands in _FORMATS], dtype=np.int64)

_SYLLABLES: Final = (
    "ba", "ble", "bus", "can", "clo", "con", "de", "dev", "di", "er", "ex", "fi", "flash", "fo", "ga", "ge",
    "i", "in", "init", "key", "la", "led", "li", "lo", "ma", "me", "mo", "nack", "ne", "no", "on", "pa",
    "per", "po", "ra", "re", "rad", "read", "ro", "sa", "se", "sen", "set", "si", "so", "sta", "te", "ti",
    "time", "to", "tra", "u", "un", "val", "ver", "wa", "write", "xfer",
)  # fmt: skip

RENAMINGS: Final = tuple(
    tuple(b if r == a else a if r == b else r for r in range(8))
    for a, b in ((0, 0), *combinations(range(8), 2))
)
"""Register allocations a compiler may choose: none, or any two low registers exchanged."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """`words` and `idioms` have one row for each of `RENAMINGS`; idiom i is
    ``idioms[:, idiom_starts[i]:idiom_starts[i] + idiom_widths[i]]`` [halfword]."""

    words: NDArray[np.uint16]
    idioms: NDArray[np.uint16]
    idiom_starts: NDArray[np.int64]
    idiom_widths: NDArray[np.int64]
    constants: NDArray[np.int64]
    lexicon: tuple[str, ...]
    habits: Habits


def instructions(stream: Stream, count: int) -> NDArray[np.int64]:
    """`count` 16-bit instructions with operands at random."""
    form = block_below(stream, count, len(_FORMATS))
    return _BASES[form] | stream.block(count).astype(np.int64) & _OPERANDS[form]


@lru_cache(maxsize=8)
def vocabulary(seed: int, purpose: int, habits: Habits = TYPICAL) -> Vocabulary:
    """The vocabulary of `seed` in a project with these habits."""
    stream = Stream(seed, purpose)
    drawn = instructions(stream, 4 * WORDS)
    _, first = np.unique(drawn, return_index=True)
    ranked = drawn[np.sort(first)][:WORDS]
    lists = block_below(stream, FRAMES, 256)
    frames = np.concatenate([0xB500 | lists, 0xBD00 | lists])  # PUSH {…, LR} and the matching POP {…, PC}
    words = np.concatenate([ranked, frames]).astype(np.uint16)

    widths = 2 + block_below(stream, IDIOMS, habits.idiom_longest - 1)
    ranks = pick(zipf_table(WORDS, WORD_EXPONENT), stream.block(int(widths.sum())))
    idioms = words[ranks]

    ram = RAM + 4 * block_below(stream, CONSTANTS // 2, 1 << 14)
    peripheral = block_below(stream, CONSTANTS - CONSTANTS // 2, 48) * 0x1000 + PERIPHERALS
    registers = 4 * block_below(stream, len(peripheral), 256)
    syllables = block_below(stream, 4 * LEXICON, len(_SYLLABLES)).reshape(LEXICON, 4)
    counts = 1 + block_below(stream, LEXICON, 4)
    return Vocabulary(
        words=np.stack([rename_registers(words, names) for names in RENAMINGS]),
        idioms=np.stack([rename_registers(idioms, names) for names in RENAMINGS]),
        idiom_starts=np.cumsum(widths) - widths,
        idiom_widths=widths,
        constants=np.concatenate([ram, peripheral + registers]),
        lexicon=tuple(
            "".join(_SYLLABLES[i] for i in row[:count])
            for row, count in zip(syllables.tolist(), counts.tolist(), strict=True)
        ),
        habits=habits,
    )
