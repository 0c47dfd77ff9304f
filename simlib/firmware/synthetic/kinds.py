"""Kinds of release and how much each does: the same in the middle, or as varied as public releases are.

The shares of a kind were fitted by hand, so that bsdiff4 patches of the linked images weigh what they do
between consecutive releases of public firmware chains. They describe those projects' habits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from simlib.draws import Stream


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
    grown: int = 0  # variables, a number, that get larger, so that those behind them move


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "rebuild": Kind(),
        "patch": Kind(edited=45, added=5, removed=2, data_edited=10, grown=1),
        "minor": Kind(
            edited=1000, added=250, removed=120, recompiled=300, data_edited=200, rescheduled=1500, grown=5
        ),
        "major": Kind(
            edited=3300, added=800, removed=400, recompiled=3200, data_edited=800, rescheduled=1500, grown=20
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
            grown=40,
        ),
    }
)

TYPICAL_PERCENT: Final = (75, 130)
"""A typical release does between these times what its kind does in the middle."""

SCALES_PER_MILLE: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "rebuild": (0, 0, 0, 0, 0, 0, 50, 150, 300, 450, 700),
        "patch": (100, 350, 900, 1700, 2500, 3300, 5000, 7200, 8800, 13000, 16500),
        "minor": (650, 740, 900, 1030, 1130, 1250, 1450, 1700, 2000, 2400, 3300),
        "major": (560, 700, 830, 940, 1040, 1130, 1280, 1450, 1600, 1850, 2250),
        "toolchain": (720, 810, 920, 1020, 1100, 1200, 1300, 1450, 1650, 1900, 2800),
    }
)
"""The least, the deciles between and the most of what releases of a kind do, per mille of the middle.

Fitted so that bsdiff4 patches of the kinds together weigh what the public ones do. Of a rebuild: how many of
the modules get a new stamp.
"""
PERCENT_STILL: Final[Mapping[str, int]] = MappingProxyType({"patch": 10})
"""Releases of a kind that change values in place and move nothing."""
GROWTH: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "rebuild": (0,) * 11,
        "patch": (-15, 0, 0, 0, 0, 0, 2, 10, 17, 23, 89),
        "minor": (-32, -5, 4, 12, 46, 84, 89, 96, 112, 173, 219),
        "major": (-790, -323, -268, -171, 22, 128, 149, 195, 391, 716, 1081),
        "toolchain": (-2430, -595, -170, -60, 30, 233, 240, 500, 940, 1087, 1169),
    }
)
"""The least, the deciles between and the most by which a release grows, in parts per 10,000.

Of the public steps whose bsdiff4 patches are the lightest 124 in 1,000, the next 349 and so on, as the kinds'
weights have it.
"""


@dataclass(frozen=True)
class Work:
    """What one release does: the shares of its kind, and how many times those of functions and data."""

    kind: Kind
    scale_per_mille: int
    renewed_per_mille: int = 1000
    """Modules that get a new stamp."""
    at_least: int = 1
    """How many of anything that the kind has a share of."""
    moving: bool = True
    """Whether edits change the length of code, so that what lies behind them moves."""


def typical_work(name: str, stream: Stream) -> Work:
    """A release of kind `name` that does about what the kind does in the middle."""
    low, high = TYPICAL_PERCENT
    return Work(KINDS[name], 10 * (low + stream.below(high - low)))


def corpus_work(name: str, stream: Stream) -> Work:
    """A release of kind `name` as varied as public ones; the compiler's part varies with the rest."""
    scale = between(SCALES_PER_MILLE[name], stream.u32())
    return scaled_work(name, scale, moving=stream.below(100) >= PERCENT_STILL.get(name, 0))


def scaled_work(name: str, scale_per_mille: int, *, moving: bool = True) -> Work:
    """A release that does `scale_per_mille` of what its kind does in the middle, the compiler's part too.

    One that moves nothing only edits functions.
    """
    kind = KINDS[name]
    if name == "rebuild":
        return Work(kind, scale_per_mille, scale_per_mille)
    recompiled = min(kind.recompiled * scale_per_mille // 1000, 10_000)
    selected = min(kind.selected * scale_per_mille // 1000, 10_000)
    if not moving:
        return Work(Kind(edited=kind.edited), scale_per_mille, moving=False)
    return Work(replace(kind, recompiled=recompiled, selected=selected), scale_per_mille, at_least=0)


def between(quantiles: Sequence[int], draw: int) -> int:
    """The value that a 32-bit `draw` picks between evenly spaced quantiles, from the least to the most."""
    place = draw * (len(quantiles) - 1)
    cell, rest = place >> 32, place & 0xFFFF_FFFF
    return quantiles[cell] + ((quantiles[cell + 1] - quantiles[cell]) * rest >> 32)
