"""A project's history: releases of drawn kinds and sizes, in the proportions of public projects.

The kinds' default weights and their growth were read off 80 steps between consecutive releases of ten public
chains; they say what those projects do. `drawn_steps` alone replaces the steps of a chain that may be
"any", whose sizes are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from simlib.errors import InputError
from simlib.firmware.synthetic.kinds import GROWTH, KINDS, between
from simlib.firmware.synthetic.releases import (
    LARGEST_BYTES,
    NO_GAPS,
    SMALLEST_BYTES,
    Part,
    corpus_like_chain,
    release_versions,
    stream,
)
from simlib.firmware.version import Version

ANY: Final = "any"
"""In place of a kind: the weights decide."""
WEIGHTS: Final[Mapping[str, Fraction]] = MappingProxyType(
    {
        "rebuild": Fraction(124, 1000),
        "patch": Fraction(349, 1000),
        "minor": Fraction(189, 1000),
        "major": Fraction(176, 1000),
        "toolchain": Fraction(160, 1000),
    }
)
"""How often a step is of each kind; only their ratios count."""


@dataclass(frozen=True)
class History:
    """One step fewer than versions, sizes [byte] and firmwares, which are oldest first."""

    steps: tuple[str, ...]
    versions: tuple[Version, ...]
    sizes: tuple[int, ...]
    firmwares: tuple[bytes, ...]


def drawn_steps(
    seed: int, steps: Sequence[str], weights: Mapping[str, Fraction] = WEIGHTS
) -> tuple[str, ...]:
    """The steps with each "any" replaced by a kind drawn with `weights`.

    Step number n gets the same kind whatever the others are. A kind without a weight is never drawn.

    Raises InputError for a weight of an unknown kind, a negative one, or none above zero if one is drawn.
    """
    for kind, weight in weights.items():
        if kind not in KINDS:
            raise InputError(f"weights: found {kind!r}, expected kinds among {', '.join(KINDS)}")
        if weight < 0:
            raise InputError(f"weights.{kind}: found {weight}, expected 0 or more")
    if ANY in steps and not any(weights.values()):
        raise InputError("weights: found none above 0, expected at least one")
    return tuple(
        _drawn_kind(stream(seed, number, Part.KIND).u32(), weights) if step == ANY else step
        for number, step in enumerate(steps, 1)
    )


def _drawn_kind(draw: int, weights: Mapping[str, Fraction]) -> str:
    """The kind whose part of the total `draw` falls in: kinds in the order of `KINDS`, exact."""
    place = Fraction(draw, 1 << 32) * sum(weights.values())
    for kind in KINDS:
        place -= weights.get(kind, Fraction(0))
        if place < 0:
            return kind
    raise AssertionError("a draw lies below the total of the weights")


def synthetic_history(
    seed: int,
    releases: int,
    size: int,
    *,
    weights: Mapping[str, Fraction] = WEIGHTS,
    growth: Mapping[str, Sequence[int]] = GROWTH,
    gaps: Fraction = NO_GAPS,
) -> History:
    """`releases` firmwares, the first of `size` [byte], as varied as those of public projects.

    `growth` has for each kind the least, the deciles between and the most by which a release of it grows, in
    parts per 10,000 of the size before; a size stays within 64 KiB and 1 MiB. `gaps` is as in
    `corpus_like_chain`. What follows in a history does not change what came first.

    Raises InputError for fewer than one release, or weights, a size or a share of gaps that cannot be.
    """
    if releases < 1:
        raise InputError(f"releases: found {releases}, expected at least 1")
    steps = drawn_steps(seed, (ANY,) * (releases - 1), weights)
    sizes = [size]
    for number, kind in enumerate(steps, 1):
        grown = between(growth[kind], stream(seed, number, Part.SIZE).u32())
        next_size = sizes[-1] * (10_000 + grown) // 10_000 // 4 * 4 if grown else sizes[-1]
        sizes.append(min(max(next_size, SMALLEST_BYTES), LARGEST_BYTES))
    firmwares = corpus_like_chain(seed, sizes, steps, gaps=gaps)
    return History(steps, release_versions(steps), tuple(sizes), firmwares)
