"""Replicating until an answer is as precise as it has to be.

The rule is the sequential procedure for a stated absolute error: after at least `start` replications, stop
at the first look at which the interval's half-width is at most the stated one (Y. S. Chow and H. Robbins,
Ann. Math. Statist. 36, 1965; A. M. Law, *Simulation Modeling and Analysis*, section 9.4.1; the confidence-
interval method of S. Robinson, *Simulation: The Practice of Model Development and Use*, section 9.6.2).
It looks after whole batches only, so what it decides follows from the numbers of the replications and not
from who finished first. That it looks again and again makes the interval cover a little less often than its
level says, the less the larger `start` is: Law advises at least 10. A measure that was the same in all of
the first `start` replications, as a rare event is, has an interval of no width: choose `start` accordingly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pandas as pd

from simlib.errors import InputError
from simlib.study.confidence import compare, intervals, named
from simlib.study.execution import Executor
from simlib.study.frame import Place, frame_of
from simlib.study.grid import Point, label_of, values_of, whole
from simlib.study.jobs import Row

if TYPE_CHECKING:
    from simlib.study.study import Study

PRECISION: Final = "precision"
MOST: Final = "most"
INTERRUPTED: Final = "interrupted"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is to be known how well: `half_width` of `measure` at `level`, in the measure's own unit."""

    measure: str
    half_width: float
    level: float = 0.95
    start: int = 10
    most: int = 1000
    batch: int = 10

    def __post_init__(self) -> None:
        """Raise `InputError` for a rule that could not be kept."""
        if not (self.half_width > 0 and math.isfinite(self.half_width)):
            raise InputError(f"half_width: found {self.half_width}, expected a number above 0")
        if not 0 < self.level < 1:
            raise InputError(f"level: found {self.level}, expected a number between 0 and 1")
        for name, least in (("start", 2), ("most", self.start), ("batch", 1)):
            whole(getattr(self, name), name, least)


@dataclass(frozen=True)
class Stopped:
    """Where a sequence of replications ended, and why.

    `reason` is ``"precision"`` (the half-width is reached), ``"most"`` (it is not, after the most that were
    allowed) or ``"interrupted"``. `looks` are the replications and the half-width at each look, the widest of
    all points where no pair is compared; `frame` is the table of all replications, as `Study.run` gives it.
    """

    reason: str
    replications: int
    half_width: float
    looks: tuple[tuple[int, float], ...]
    frame: pd.DataFrame

    @property
    def reached(self) -> bool:
        """Whether the answer is as precise as was asked."""
        return self.reason == PRECISION


def run_until(study: Study, rule: Rule, between: tuple[object, object] | None, executor: Executor) -> Stopped:
    """Run batches of `study`'s replications until `rule` is met or its `most` are done.

    With `between`, two of the study's points (mappings of its keys, or bare values of its only key), only
    these run, and the half-width is that of their paired difference; without, each point's own mean has to
    be known so well. Raises `InputError`, also where a replication has not the measure: a mean over those
    that have it would answer another question.
    """
    points = study.points()
    if between is not None:
        points = tuple(_point(study, points, point) for point in _pair(between))
        if points[0] is points[1]:
            raise InputError(f"between: found {points[0].label} twice, expected two different points")
    study.seeds_of(rule.most)
    study.check(points)
    found: list[tuple[Place, Row]] = []
    looks: list[tuple[int, float]] = []
    done, upto = 0, rule.start
    while True:
        batch, interrupted = study.sample(points, range(done, upto), executor)
        found += batch
        frame = frame_of(points, found)
        if interrupted:
            frame.attrs["interrupted"] = True
            width = looks[-1][1] if looks else math.nan
            return Stopped(INTERRUPTED, done, width, tuple(looks), frame)
        done = upto
        width = _half_width(frame, points, rule, paired=between is not None)
        looks.append((done, width))
        if width <= rule.half_width or done == rule.most:
            reason = PRECISION if width <= rule.half_width else MOST
            return Stopped(reason, done, width, tuple(looks), frame)
        upto = min(done + rule.batch, rule.most)


def _half_width(frame: pd.DataFrame, points: tuple[Point, ...], rule: Rule, *, paired: bool) -> float:
    found = intervals(frame, [rule.measure], level=rule.level)
    missing = int(found["missing"].sum())
    if missing:
        raise InputError(
            f"{rule.measure}: found it missing in {missing} of {len(frame)} replications, "
            "expected a measure that every replication has"
        )
    if paired:
        a, b = (point.values for point in points)
        return compare(a, b, rule.measure, frame, level=rule.level).half_width
    return float((found["high"] - found["low"]).max() / 2)


def _pair(between: object) -> tuple[object, object]:
    if not isinstance(between, tuple | list) or len(between) != 2:
        raise InputError(f"between: found {between!r}, expected two points of the study")
    return between[0], between[1]


def _point(study: Study, points: tuple[Point, ...], wanted: object) -> Point:
    keys = [key for key, _ in study.varied]
    values = {key: values_of(key, [value])[0] for key, value in named(wanted, keys).items()}
    for point in points:
        if point.values == values:
            return point
    raise InputError(f"between: found {label_of(values)}, expected one of the study's points")
