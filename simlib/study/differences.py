"""How contenders that ran under the same seeds differ, with confidence intervals, as one tidy table.

What a seed does to all of them cancels, so differences are taken seed by seed (see
`simlib.study.confidence`). The mean of the differences has Student's paired interval; a high quantile,
which says more about rare harm than the mean does, has the percentile interval of a paired bootstrap (B.
Efron and R. J. Tibshirani, *An Introduction to the Bootstrap*, chapter 13). Each interval holds for itself:
of twenty at 95 %, one is expected to miss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from simlib.errors import InputError
from simlib.scenario.toml_text import shown
from simlib.study.confidence import Floats, mean_interval
from simlib.study.frame import SEED, keys_of

COMPARED: Final = (
    "bricked",
    "lost",
    "reverted",
    "updated",
    "time_to_90_ms",
    "time_to_95_ms",
    "bytes_down",
    "bytes_wasted",
    "halted",
    "exposure_offered",
    "exposure_bricked",
)
"""The measures compared unless others are named."""
TAILS: Final = ("bricked", "lost")
"""Those whose high quantile is compared as well."""
TAIL: Final = 0.99
RESAMPLINGS: Final = 2000
MEAN: Final = "mean"
PAIRED_T: Final = "paired t"
BOOTSTRAP: Final = "paired bootstrap"
NONE: Final = "none"
FIGURES: Final = (
    "statistic",
    "n",
    "n_baseline",
    "n_other",
    "of",
    "value_baseline",
    "value_other",
    "difference",
    "low",
    "high",
    "method",
)


def differences(
    frame: pd.DataFrame,
    measures: Sequence[str] | None = None,
    *,
    baseline: str | None = None,
    level: float = 0.95,
    quantile: float = TAIL,
    seed: int = 0,
) -> pd.DataFrame:
    """What each contender has more of than the baseline, in each measure's own unit, over common seeds.

    `frame` is a table as `Comparison.run` gives it: its last key column tells the contenders apart, one
    before it the scenarios within which they are compared. `baseline` is the first contender unless named.

    A row a contender and measure: `scenario` (if there is such a column before the contenders'),
    `baseline`, `other`, `measure`, `statistic` (``mean``; beside it ``p99`` for `TAILS`), `n` seeds at
    which both have the measure, `n_baseline` and `n_other` at which each has it `of` all, `value_baseline`
    and `value_other` over the n, their `difference`, `low` to `high`, the interval at `level`, and the
    `method` it was found by. A truth counts as 1. Without an interval both ends are NaN: for one
    replication, and for a quantile of so few that not one of them is expected beyond it. Seeds under which
    only one of both ran, as Ctrl-C may leave it, are left out. The bootstrap draws with `seed`. Raises
    `InputError`.
    """
    if not 0 < level < 1:
        raise InputError(f"level: found {level}, expected a number between 0 and 1")
    names = compared(frame, measures)
    *outer, key = keys_of(frame)
    contenders = [str(name) for name in frame[key].unique()]
    first = contenders[0] if baseline is None and contenders else baseline
    if contenders and first not in contenders:
        raise InputError(f"baseline: found {shown(first)}, expected one of {', '.join(contenders)}")
    rows: list[dict[str, object]] = []
    for outside, within in frame.groupby(outer, sort=False) if outer else [((), frame)]:
        where = dict(zip(outer, outside, strict=True))
        sides = {str(name): part.set_index(SEED) for name, part in within.groupby(key, sort=False)}
        base = sides.pop(str(first), within.iloc[:0].set_index(SEED))
        for other, part in sides.items():
            seeds = base.index.intersection(part.index, sort=False)
            for name in names if len(seeds) else ():
                a, b = (_floats(side.loc[seeds, name]) for side in (base, part))
                head = where | {"baseline": first, "other": other, "measure": name}
                rows.append(head | _of_means(a, b, level))
                if name in TAILS:
                    rows.append(head | _of_quantiles(a, b, level, quantile, seed))
    return pd.DataFrame(rows, columns=[*outer, "baseline", "other", "measure", *FIGURES])


def compared(frame: pd.DataFrame, measures: Sequence[str] | None) -> list[str]:
    """`measures`, checked, or those of `COMPARED` that the table has; all its numbers if it has none."""
    columns = list(frame.columns)
    known = [
        name
        for name in columns[columns.index(SEED) + 1 :]
        if not pd.api.types.is_string_dtype(frame[name].dtype)
    ]
    if measures is None:
        return [name for name in COMPARED if name in known] or known
    for name in measures:
        if name not in known:
            raise InputError(f"measure: found {shown(name)}, expected one of {', '.join(known)}")
    return list(measures)


def _of_means(a: Floats, b: Floats, level: float) -> dict[str, object]:
    """The mean of the differences; `a` and `b` are one measure under the same seeds, NaN where missing."""
    first, second = _both(a, b)
    difference, low, high = mean_interval(second - first, level)
    values = (_mean(first), _mean(second))
    return _row(MEAN, a, b, (*values, difference, low, high, NONE if math.isnan(low) else PAIRED_T))


def _of_quantiles(a: Floats, b: Floats, level: float, quantile: float, seed: int) -> dict[str, object]:
    """The quantile at b less that at a. Whole seeds are drawn again, so that pairs stay together."""
    name, pairs = f"p{100 * quantile:g}", np.stack(_both(a, b))
    n = pairs.shape[1]
    at_a, at_b = np.quantile(pairs, quantile, axis=1).tolist() if n else (math.nan, math.nan)
    if n * (1 - quantile) < 1 - 1e-9:
        return _row(name, a, b, (at_a, at_b, at_b - at_a, math.nan, math.nan, NONE))
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLINGS, n))
    again = np.quantile(pairs[:, drawn], quantile, axis=2)
    low, high = np.quantile(again[1] - again[0], [(1 - level) / 2, (1 + level) / 2]).tolist()
    return _row(name, a, b, (at_a, at_b, at_b - at_a, low, high, BOOTSTRAP))


def _row(statistic: str, a: Floats, b: Floats, found: tuple[float | str, ...]) -> dict[str, object]:
    have_a, have_b = ~np.isnan(a), ~np.isnan(b)
    counts = (int((have_a & have_b).sum()), int(have_a.sum()), int(have_b.sum()), len(a))
    return dict(zip(FIGURES, (statistic, *counts, *found), strict=True))


def _both(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    held = ~np.isnan(a) & ~np.isnan(b)
    return a[held], b[held]


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


def _floats(column: pd.Series) -> Floats:
    found: Floats = column.astype("Float64").to_numpy(dtype="float64", na_value=math.nan)
    return found
