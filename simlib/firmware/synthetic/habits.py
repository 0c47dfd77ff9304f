"""How a project writes and links its code, and how much its releases vary: two sets of habits.

`TYPICAL` are the habits of the first synthetic chains; their bytes never change. `CORPUS` were fitted to the
public chains: code that repeats what stands shortly before it, edits that lie together, and builds of which
only some modules are made anew. Without these, bsdiff4 alone weighs patches as it does for real firmware;
a codec that looks for repetitions within a window (LZMA, Zstandard, heatshrink) finds too few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Habits:
    """Shares of operations, of an image, and of what is done together."""

    per_mille_call: int = 70
    per_mille_literal: int = 60
    per_mille_idiom: int = 150
    percent_ranked: int = 65
    """Of the single instructions, how many come from the ranked vocabulary; the others are seldom alike."""
    idiom_longest: int = 6
    per_mille_sequence: int = 0
    """How many operations begin a sequence with calls and literals; none: they are strewn at random."""
    per_mille_echo: int = 0
    """How many operations begin a passage that is a copy of one shortly before."""
    echo_longest: int = 0
    echo_reach: int = 0
    """How many operations back a passage may lie; near ones are the likelier by Zipf's law."""
    per_mille_strings: int = 80
    per_mille_tables: int = 132
    percent_dictionaries: int = 0
    """Of the tables, how many hold an address in every eight bytes."""
    edited_together: int = 1
    """Neighbouring functions that one piece of work touches."""
    written_ahead: bool = False
    """Whether all that a release edits is written at one go, so that edits resemble one another."""
    removed_together: int = 1
    placed_constants: bool = False
    """Whether constants are addresses of variables and registers; otherwise they are small numbers."""
    compiles_alike: bool = False
    """Whether another compiler does the same thing wherever it meets the same code."""
    stamp_bytes: int = 4
    """What a build stamps on each module."""


TYPICAL: Final = Habits()
CORPUS: Final = Habits(
    per_mille_idiom=75,
    percent_ranked=40,
    idiom_longest=12,
    per_mille_sequence=55,
    per_mille_echo=100,
    echo_longest=25,
    echo_reach=200,
    per_mille_strings=50,
    percent_dictionaries=30,
    edited_together=6,
    written_ahead=True,
    removed_together=8,
    placed_constants=True,
    compiles_alike=True,
    stamp_bytes=8,
)
