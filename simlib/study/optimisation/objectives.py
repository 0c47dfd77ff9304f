"""What a rollout is judged by: figures over a prior of releases, and bounds that they must keep.

Every figure is computed from the replications with the exact weights of their strata: means and quantiles as
fractions, so that which strategy beats which does not depend on how a machine rounds. Intervals are those of
the stratified bootstrap (percentiles of resampled figures, each stratum by itself; B. Efron and R.
Tibshirani, *An Introduction to the Bootstrap*, chapter 8). For a probability they are Wilson's of the strata,
put together by the square root of the sum of squared distances (G. Zou and A. Donner, *Statistics in
Medicine* 27, 2008), which stays honest where nothing has been seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

import numpy as np

from simlib.errors import InputError
from simlib.scenario.toml_text import shown
from simlib.scenario.units import ExpectedError, duration_ms, exact, share, size_bytes
from simlib.study.jobs import Row
from simlib.study.optimisation.defect_prior import Prior

RESAMPLINGS: Final = 1000
_Z: Final = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of one replication. `releases` says of which releases it is asked: all, good or bad ones."""

    name: str
    column: str  # of `simlib.study.optimisation.lean.figures`
    unit: str  # "devices", "ms" or "bytes"
    releases: str
    says: str


MEASURES: Final[Mapping[str, Measure]] = {
    measure.name: measure
    for measure in (
        Measure("harmed", "harmed", "devices", "all", "the devices bricked or lost"),
        Measure(
            "time_to_95",
            "time_to_95_ms",
            "ms",
            "good",
            "the time until 95 % of the fleet have a good release",
        ),
        Measure("bytes_down", "bytes_down", "bytes", "all", "the bytes that devices download"),
        Measure("exposed", "exposed", "devices", "bad", "the devices offered a bad release before it stops"),
    )
}
ALIASES: Final = {"bricked": "harmed", "bricks": "harmed", "exposure": "exposed", "bytes": "bytes_down"}


@dataclass(frozen=True, slots=True)
class Objective:
    """A figure over replications that shall be small: the mean of a measure, or a quantile (`at`)."""

    name: str
    measure: Measure
    at: Fraction | None = None


DEFAULT_OBJECTIVES: Final = ("time_to_95", "expected_harmed", "p99_harmed")
_MEANS: Final = {
    "time_to_95": "time_to_95",
    "expected_harmed": "harmed",
    "bytes_down": "bytes_down",
    "exposure": "exposed",
}
_QUANTILE: Final = re.compile(r"p([1-9][0-9]?)_([a-z_0-9]+)")


def objective_named(name: str, where: str = "objectives") -> Objective:
    """The objective of that name: a mean, or ``pNN_MEASURE`` for a percentile. Raises `InputError`."""
    wanted = name.strip().replace("_bricks", "_harmed").replace("_bricked", "_harmed")
    if wanted in _MEANS:
        return Objective(wanted, MEASURES[_MEANS[wanted]])
    if match := _QUANTILE.fullmatch(wanted):
        measure = ALIASES.get(match[2], match[2])
        if measure in MEASURES:
            return Objective(f"p{match[1]}_{measure}", MEASURES[measure], Fraction(int(match[1]), 100))
    known = [*_MEANS, *(f"p99_{measure}" for measure in MEASURES)]
    near = get_close_matches(name, known, n=1)
    hint = f"; nearest is {near[0]}" if near else ""
    raise InputError(f"{where}: found {shown(name)}, expected one of {', '.join(known)}{hint}")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval. `missing`: share of the replications asked that never had it."""

    value: float
    low: float
    high: float
    missing: float = 0.0


class Sample:
    """The replications of one strategy: a row each, the stratum of each, and what is needed to weight them.

    `scale` is the size of the fleet in question over that of the simulated one, which counts and bytes are
    multiplied by; a time that never came counts as `horizon_ms`. `seed` draws the bootstrap.
    """

    def __init__(
        self,
        prior: Prior,
        strata: Sequence[int],
        rows: Sequence[Row],
        *,
        horizon_ms: int,
        scale: Fraction = Fraction(1),
        seed: int = 0,
    ) -> None:
        self.prior = prior
        self.strata = np.array(strata, dtype=np.int64)
        self.rows = tuple(rows)
        self._horizon_ms, self._scale, self._seed = horizon_ms, scale, seed

    def __len__(self) -> int:
        return len(self.rows)

    def first(self, n: int) -> Sample:
        """The sample of the first `n` replications."""
        if n == len(self.rows):
            return self
        return Sample(
            self.prior,
            self.strata[:n].tolist(),
            self.rows[:n],
            horizon_ms=self._horizon_ms,
            scale=self._scale,
            seed=self._seed,
        )

    @cached_property
    def _columns(self) -> dict[str, list[int]]:
        return {
            measure.name: [self._value(row[measure.column], measure.unit) for row in self.rows]
            for measure in MEASURES.values()
        }

    def _value(self, value: Any, unit: str) -> int:
        if value is None:
            return self._horizon_ms
        return int(value) if unit == "ms" else round(int(value) * self._scale)

    def parts(self, measure: Measure) -> list[tuple[Fraction, list[int]]]:
        """The weight of each stratum that `measure` is asked of, summing to 1, and its values there."""
        numbers = self._asked(measure)
        values = self._columns[measure.name]
        held = [[v for v, s in zip(values, self.strata, strict=True) if s == k] for k in numbers]
        weights = [self.prior.strata[k].weight for k in numbers]
        whole = sum(weights, Fraction(0))
        return [(weight / whole, part) for weight, part in zip(weights, held, strict=True)]

    def _asked(self, measure: Measure) -> list[int]:
        every = range(len(self.prior.strata))
        if measure.releases == "all":
            return list(every)
        some = [k for k in every if self.prior.strata[k].good == (measure.releases == "good")]
        return some or list(every)

    def value(self, objective: Objective) -> float:
        """The figure, exactly weighted and then rounded."""
        parts = self.parts(objective.measure)
        if objective.at is None:
            return float(sum(w * Fraction(sum(values), len(values)) for w, values in parts))
        ordered = sorted((v, w / len(values)) for w, values in parts for v in values)
        reached = accumulate(weight for _, weight in ordered)
        return float(next(v for (v, _), upto in zip(ordered, reached, strict=True) if upto >= objective.at))

    def estimate(self, objective: Objective) -> Estimate:
        """The figure with its bootstrap interval."""
        parts = self.parts(objective.measure)
        random = np.random.default_rng(self._seed)
        drawn = [
            np.array(values, dtype=np.float64)[random.integers(0, len(values), (RESAMPLINGS, len(values)))]
            for _, values in parts
        ]
        if objective.at is None:
            found = sum(float(w) * part.mean(axis=1) for (w, _), part in zip(parts, drawn, strict=True))
        else:
            weights = np.concatenate([np.full(len(v), float(w) / len(v)) for w, v in parts])
            found = _quantiles(np.concatenate(drawn, axis=1), weights, float(objective.at))
        low, high = np.percentile(found, [2.5, 97.5])
        value = self.value(objective)
        return Estimate(value, min(float(low), value), max(float(high), value), self._missing(objective))

    def probability(self, measure: Measure, above: Fraction) -> tuple[Fraction, Estimate]:
        """The probability that `measure` is greater than `above`, exactly weighted, and with its interval."""
        found, below, beyond = Fraction(0), 0.0, 0.0
        for weight, values in self.parts(measure):
            n, hits = len(values), sum(value > above for value in values)
            found += weight * Fraction(hits, n)
            low, high = _wilson(hits, n)
            below += float(weight) ** 2 * (hits / n - low) ** 2
            beyond += float(weight) ** 2 * (high - hits / n) ** 2
        p = float(found)
        return found, Estimate(p, max(0.0, p - math.sqrt(below)), min(1.0, p + math.sqrt(beyond)))

    def _missing(self, objective: Objective) -> float:
        asked = set(self._asked(objective.measure))
        here = [row for row, s in zip(self.rows, self.strata.tolist(), strict=True) if s in asked]
        return sum(row[objective.measure.column] is None for row in here) / len(here)


@dataclass(frozen=True, slots=True)
class Kept:
    """Whether a sample keeps a constraint: by the estimate, and beyond doubt at 95 % either way."""

    text: str
    estimate: Estimate
    limit: float
    holds: bool

    @property
    def sure(self) -> bool:
        """Whether the whole interval lies on the estimate's side of the limit."""
        return self.estimate.high < self.limit if self.holds else self.estimate.low >= self.limit

    @property
    def violation(self) -> float:
        """How far the limit is missed, in multiples of it; 0 or less if it is kept."""
        by = (self.estimate.value - self.limit) / (self.limit or 1.0)
        return by if self.holds else max(by, 1e-9)


@dataclass(frozen=True, slots=True)
class Constraint:
    """``P(MEASURE > NUMBER) < NUMBER`` or ``OBJECTIVE < NUMBER``."""

    text: str
    limit: Fraction
    measure: Measure | None = None
    above: Fraction = Fraction(0)
    objective: Objective | None = None

    def judged(self, sample: Sample) -> Kept:
        """Whether `sample` keeps it."""
        if self.measure is not None:
            found, estimate = sample.probability(self.measure, self.above)
            return Kept(self.text, estimate, float(self.limit), found < self.limit)
        assert self.objective is not None
        estimate = sample.estimate(self.objective)
        return Kept(self.text, estimate, float(self.limit), estimate.value < self.limit)


_PROBABILITY: Final = re.compile(r"P *\( *([a-z_0-9]+) *> *([^()<>]+?) *\) *< *([^<>]+?)")
_PLAIN: Final = re.compile(r"([a-z_0-9]+) *< *([^<>]+?)")
_READERS: Final = {"ms": duration_ms, "bytes": size_bytes}


def constraint_of(text: str, where: str = "constraint") -> Constraint:
    """The constraint that a person wrote; times and bytes take their units. Raises `InputError`."""
    try:
        if match := _PROBABILITY.fullmatch(text.strip()):
            name = ALIASES.get(match[1], match[1])
            if name not in MEASURES:
                near = get_close_matches(name, [*MEASURES, *ALIASES], n=1)
                hint = f"; nearest is {near[0]}" if near else ""
                raise ExpectedError(f"one of the measures {', '.join(MEASURES)}{hint}")
            measure = MEASURES[name]
            plain = f"P({name} > {match[2]}) < {match[3]}"
            return Constraint(plain, share(match[3]), measure=measure, above=_amount(match[2], measure))
        if match := _PLAIN.fullmatch(text.strip()):
            objective = objective_named(match[1], where)
            limit = _amount(match[2], objective.measure)
            return Constraint(f"{objective.name} < {match[2]}", limit, objective=objective)
        raise ExpectedError('such as "P(harmed > 100) < 0.01" or "time_to_95 < 10 d"')
    except ExpectedError as error:
        raise InputError(f"{where}: found {shown(text)}, expected {error}") from None


def _amount(text: str, measure: Measure) -> Fraction:
    read = _READERS.get(measure.unit)
    if read is not None:
        return Fraction(read(int(text) if text.isdecimal() else text))
    amount = exact(text)
    if amount is None or amount < 0:
        raise ExpectedError(f"a number of devices of 0 or more, not {shown(text)}")
    return amount


def _quantiles(values: Any, weights: Any, at: float) -> Any:
    """Along each row of `values` the least that has `at` of the weight at or below it."""
    order = np.argsort(values, axis=1, kind="stable")
    reached = np.cumsum(weights[order], axis=1)
    place = np.minimum((reached < at - 1e-12).sum(axis=1), values.shape[1] - 1)
    return np.take_along_axis(values, order, axis=1)[np.arange(len(values)), place]


def _wilson(hits: int, n: int) -> tuple[float, float]:
    p, shrunk = hits / n, _Z * _Z / n
    middle = (p + shrunk / 2) / (1 + shrunk)
    half = _Z / (1 + shrunk) * math.sqrt(p * (1 - p) / n + shrunk / (4 * n))
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return low, 1.0 if hits == n else min(1.0, middle + half)
