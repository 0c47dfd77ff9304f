"""Which points of several objectives no other point beats, and which few of them say the most.

A point is a tuple of numbers, every one of them to be small. Point a dominates point b if a is nowhere larger
and somewhere smaller (V. Pareto); points that nobody dominates are the front. A front is thinned by the
volume that its points dominate together within a box (E. Zitzler and L. Thiele's hypervolume): one by one,
the point that adds most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Values = tuple[float, ...]

_MARGIN: Final = 1.1
"""The corner of the box, as a multiple of the front's extent: beyond it, so that extreme points count too."""


def dominates(a: Values, b: Values) -> bool:
    """Whether `a` is nowhere larger than `b`, and somewhere smaller."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def non_dominated(points: Sequence[Values]) -> list[int]:
    """The numbers of the points that no other one dominates, in order; equal points are all among them."""
    return [k for k, point in enumerate(points) if not any(dominates(other, point) for other in points)]


def hypervolume(points: Sequence[Values], corner: Values) -> float:
    """The volume between `points` and `corner` that at least one of `points` dominates.

    What lies beyond the corner adds nothing. Cut into slices along the last objective: within a slice the
    volume is the area of the points below it, one dimension less, times the slice's height.
    """
    inside = [point for point in points if all(x < c for x, c in zip(point, corner, strict=True))]
    if not inside:
        return 0.0
    if len(corner) == 1:
        return corner[0] - min(point[0] for point in inside)
    levels = sorted({point[-1] for point in inside})
    volume = 0.0
    for low, high in zip(levels, [*levels[1:], corner[-1]], strict=True):
        below = [point[:-1] for point in inside if point[-1] <= low]
        volume += (high - low) * hypervolume(below, corner[:-1])
    return volume


def thinned(points: Sequence[Values], most: int) -> list[int]:
    """The numbers of at most `most` of `points` that dominate the most together, in order.

    Every objective is scaled to the extent that the points have in it, so that its unit does not matter. Of
    equal gains the earlier point is taken; a point that adds nothing beside those taken comes after all that
    add something.
    """
    if len(points) <= most:
        return list(range(len(points)))
    scaled = _scaled(points)
    corner = (_MARGIN,) * len(points[0])
    taken: list[int] = []
    while len(taken) < most:
        held = [scaled[k] for k in taken]
        gains = {k: hypervolume([*held, scaled[k]], corner) for k in range(len(points)) if k not in taken}
        taken.append(max(gains, key=lambda k: (gains[k], -k)))
    return sorted(taken)


def _scaled(points: Sequence[Values]) -> list[Values]:
    lows = [min(column) for column in zip(*points, strict=True)]
    extents = [max(column) - min(column) for column in zip(*points, strict=True)]
    return [
        tuple((x - low) / extent if extent else 0.0 for x, low, extent in zip(p, lows, extents, strict=True))
        for p in points
    ]
