"""In which order an image is made over the one that its patch is based on.

Making a sector destroys the base's sector there. Where this or a later sector of the result still needs it,
it is first saved to a spare sector, and given back when the last one that needs it has been made. A sector
that comes out as it was is not made at all. The plan follows from the recipe of the patch alone, so that it
is the same again after a power cut, when the base is half gone.

Of going up and going down through the sectors, the plan takes the way that needs fewer spare sectors: code
that moved up reads below where it goes, and is best made from the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simlib.delta import Recipe


@dataclass(frozen=True, slots=True)
class Save:
    """Copy the base's sector to a spare one."""

    sector: int
    spare: int


@dataclass(frozen=True, slots=True)
class Make:
    """Make a sector of the result; `saved` tells where sectors of the base that it needs have gone."""

    sector: int
    saved: tuple[tuple[int, int], ...]  # (sector of the base, spare)


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps, and the most spare sectors in use at once."""

    steps: tuple[Save | Make, ...]
    spares: int


def plan_for(recipe: Recipe, sector: int) -> Plan:
    """The plan for a result made by `recipe`, in sectors of `sector` bytes."""
    needs = _needs(recipe, sector)
    ways = [_plan(needs, order) for order in (range(len(needs)), range(len(needs) - 1, -1, -1))]
    return min(ways, key=lambda plan: plan.spares)  # the first of equals


def _needs(recipe: Recipe, sector: int) -> list[frozenset[int] | None]:
    """Which sectors of the base each sector of the result reads; None where it comes out as it was."""
    size = len(recipe.sources)
    found: list[frozenset[int] | None] = []
    for start in range(0, size, sector):
        sources = recipe.sources[start : start + sector]
        stays = not recipe.values[start : start + sector].any() and np.array_equal(
            sources, np.arange(start, start + len(sources), dtype=np.int32)
        )
        read = sources[sources >= 0]
        found.append(None if stays else frozenset(np.unique(read // sector).tolist()))
    return found


def _plan(needs: Sequence[frozenset[int] | None], order: Sequence[int]) -> Plan:
    made = [n for n in order if needs[n] is not None]
    last_reader = {old: n for n in made for old in needs[n] or ()}
    steps: list[Save | Make] = []
    spare_of: dict[int, int] = {}
    free: list[int] = []
    most = 0
    done: set[int] = set()
    for n in made:
        read = needs[n] or frozenset()
        if n in last_reader and last_reader[n] not in done:
            spare = min(free) if free else most
            if free:
                free.remove(spare)
            else:
                most += 1
            spare_of[n] = spare
            steps.append(Save(n, spare))
        steps.append(Make(n, tuple(sorted((old, spare_of[old]) for old in read if old in spare_of))))
        done.add(n)
        for old in [old for old in spare_of if last_reader[old] == n]:
            free.append(spare_of.pop(old))
    return Plan(tuple(steps), most)
