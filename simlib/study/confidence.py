"""How sure a study is: confidence intervals of a point's means, and of paired differences between points.

Replications are independent, so the mean of n of them has Student's t interval with n - 1 degrees of freedom.
Two points that ran under the same seeds are compared pair by pair: what a seed does to both cancels, and
the interval of the mean difference is that of the n differences (the paired-t interval of A. M. Law,
*Simulation Modeling and Analysis*, sections 10.2.1 and 11.2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from simlib.errors import InputError
from simlib.scenario.toml_text import shown
from simlib.study.frame import SEED, keys_of
from simlib.study.grid import column, label_of, values_of

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Point b less point a in one measure, in the measure's unit, over `n` seeds that both ran under.

    `low` to `high` is the interval of the mean difference at `level`. `variance_paired` is the variance of
    the differences, `variance_unpaired` what it would be for independent seeds (the sum of both points'
    variances), `variance_reduction` their quotient: how many times fewer replications pairing needs.
    `missing` counts seeds left out because the measure is missing at one of the points.
    """

    measure: str
    n: int
    missing: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    level: float
    variance_paired: float
    variance_unpaired: float
    bootstrap_low: float | None = None
    bootstrap_high: float | None = None

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

    @property
    def variance_reduction(self) -> float:
        """Infinite where every pair differs by the same; NaN where there was nothing to reduce."""
        if self.variance_paired > 0:
            return self.variance_unpaired / self.variance_paired
        return math.inf if self.variance_unpaired > 0 else math.nan

    def to_json(self) -> dict[str, object]:
        """Every figure by its name."""
        return asdict(self) | {"half_width": self.half_width, "variance_reduction": self.variance_reduction}


def intervals(
    frame: pd.DataFrame, measures: Sequence[str] | str | None = None, *, level: float = 0.95
) -> pd.DataFrame:
    """The mean of each of `measures` at each point of a study's table, with its confidence interval.

    A row a point and measure, points in the table's order: the varied keys, `measure`, `n` (replications
    that have it), `missing`, `mean`, `sd`, `low`, `high`, in the measure's unit; a truth counts as 1. Below
    two replications `sd` and the interval are NaN. By default every measure that is a number is taken.
    Raises `InputError`.
    """
    keys = keys_of(frame)
    names = _numeric(frame) if measures is None else [measures] if isinstance(measures, str) else measures
    for name in names:
        _numbers(frame, name)
    groups = list(frame.groupby(keys, sort=False)) if keys else [((), frame)]
    rows = []
    for values, rows_here in groups:
        for name in names:
            found = _numbers(rows_here, name)
            held = found[~np.isnan(found)]
            mean, low, high = mean_interval(held, level)
            sd = float(held.std(ddof=1)) if len(held) > 1 else math.nan
            numbers = (len(held), len(found) - len(held), mean, sd, low, high)
            rows.append((*(values if keys else ()), name, *numbers))
    made = pd.DataFrame(rows, columns=[*keys, "measure", "n", "missing", "mean", "sd", "low", "high"])
    return made.astype({key: frame[key].dtype for key in keys})


def compare(
    a: object,
    b: object,
    measure: str,
    frame: pd.DataFrame | None = None,
    *,
    level: float = 0.95,
    bootstrap: int = 0,
    seed: int = 0,
) -> Comparison:
    """`measure` at b less `measure` at a, seed by seed.

    With `frame`, the table of a study, `a` and `b` are two of its points: the values of its varied keys, as
    a mapping, or the value alone where one key is varied. Without, they are two tables of one point each.
    `bootstrap` resamplings of the differences, drawn with `seed`, add the percentile interval beside
    Student's. Raises `InputError` for points that are not there, ran under different seeds, or share no seed
    at which both have the measure.
    """
    first, second = (side(x, frame) for x in (a, b))
    pairs = _by_seed(first, measure).to_frame("a").join(_by_seed(second, measure).to_frame("b"), how="outer")
    if len(pairs) != len(first) or len(pairs) != len(second):
        raise InputError(
            f"compare: found {len(first)} and {len(second)} replications under {len(pairs)} seeds, "
            "expected the same seeds for both"
        )
    held = pairs.dropna()
    if held.empty:
        raise InputError(f"compare: {measure}: found no seed at which both have it, expected at least one")
    at_a, at_b = held["a"].to_numpy(), held["b"].to_numpy()
    differences = at_b - at_a
    mean, low, high = mean_interval(differences, level)
    resampled = _bootstrap(differences, level, bootstrap, seed) if bootstrap else (None, None)
    return Comparison(
        measure=measure,
        n=len(held),
        missing=len(pairs) - len(held),
        mean_a=float(at_a.mean()),
        mean_b=float(at_b.mean()),
        difference=mean,
        low=low,
        high=high,
        level=level,
        variance_paired=_variance(differences),
        variance_unpaired=_variance(at_a) + _variance(at_b),
        bootstrap_low=resampled[0],
        bootstrap_high=resampled[1],
    )


def mean_interval(values: Floats, level: float) -> tuple[float, float, float]:
    """The mean of `values` and Student's interval about it at `level`; NaN where there is none."""
    from scipy.stats import t

    if not 0 < level < 1:
        raise InputError(f"level: found {level}, expected a number between 0 and 1")
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    if n < 2:
        return mean, math.nan, math.nan
    half = float(t.ppf((1 + level) / 2, n - 1)) * math.sqrt(_variance(values) / n)
    return mean, mean - half, mean + half


def side(point: object, frame: pd.DataFrame | None) -> pd.DataFrame:
    """The rows of one point: of `frame`, or `point` itself if it is a table of one point."""
    if frame is None:
        if not isinstance(point, pd.DataFrame):
            kind = type(point).__name__
            raise InputError(f"compare: found a {kind}, expected a table of a study, or a point and a table")
        keys = keys_of(point)
        if keys and len(point[keys].drop_duplicates()) != 1:
            raise InputError("compare: found a table of several points, expected one: name two of its points")
        return point
    keys = keys_of(frame)
    wanted = named(point, keys)
    chosen = pd.Series(True, index=frame.index)
    for key, value in wanted.items():
        (plain,) = values_of(key, [value])
        chosen &= frame[key] == (value if isinstance(value, str) else column([plain]).iloc[0])
    if not chosen.any():
        raise InputError(f"compare: found no point at {label_of(wanted)}, expected one of the study's")
    return frame[chosen]


def named(point: object, keys: Sequence[str]) -> dict[str, object]:
    """The value of each of `keys` at `point`, a mapping, or a bare value of the only key."""
    if not isinstance(point, Mapping):
        if len(keys) != 1:
            raise InputError(
                f"point: found {shown(str(point))}, expected a mapping of {', '.join(keys) or 'no key'}"
            )
        return {keys[0]: point}
    if set(point) != set(keys):
        found = ", ".join(map(str, point)) or "none"
        raise InputError(f"point: found keys {found}, expected {', '.join(keys) or 'none'}")
    return {key: point[key] for key in keys}


def _by_seed(rows: pd.DataFrame, measure: str) -> pd.Series:
    return pd.Series(_numbers(rows, measure), index=pd.Index(rows[SEED].to_numpy()))


def _numeric(frame: pd.DataFrame) -> list[str]:
    names = list(frame.columns)
    return [n for n in names[names.index(SEED) + 1 :] if not pd.api.types.is_string_dtype(frame[n].dtype)]


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    known = _numeric(frame)
    if name not in known:
        raise InputError(f"measure: found {shown(name)}, expected one of {', '.join(known)}")
    found: Floats = frame[name].astype("Float64").to_numpy(dtype="float64", na_value=math.nan)
    return found


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else math.nan


def _bootstrap(differences: Floats, level: float, resamplings: int, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    n = len(differences)
    means = [float(differences[generator.integers(0, n, n)].mean()) for _ in range(resamplings)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
