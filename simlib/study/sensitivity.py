"""Which of the figures that nobody knows exactly decide the answer: variance-based and screening indices.

The samples and the indices are SALib's. Sobol: A. Saltelli and others, *Comput. Phys. Commun.* 181, 2010,
with the first-order index S1 (the share of the answer's variance that a figure explains alone) and the total
index ST (with everything it does together with others). Morris: mean and spread of elementary effects, M. D.
Morris, *Technometrics* 33, 1991, with mu_star of F. Campolongo and others, 2007: cheap, and enough to leave
out what does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from simlib.errors import InputError
from simlib.scenario.toml_text import shown
from simlib.study.confidence import intervals
from simlib.study.execution import Executor
from simlib.study.frame import frame_of
from simlib.study.grid import Point, whole
from simlib.study.ranges import Range, Uncertain, given, recalled

if TYPE_CHECKING:
    from simlib.study.study import Study

SOBOL: Final = "sobol"
MORRIS: Final = "morris"
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    SOBOL: ("S1", "S1_conf", "ST", "ST_conf"),
    MORRIS: ("mu", "mu_star", "mu_star_conf", "sigma"),
}
_LEVELS: Final = 4  # of a Morris grid, as its author and SALib have it
_RESAMPLES: Final = 200

Floats = np.ndarray[Any, np.dtype[np.float64]]
Evaluate = Callable[[Floats], Mapping[str, Floats]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a sensitivity is sought: `n` base samples or trajectories, the intervals' `level`, the `seed`."""

    method: str
    n: int
    level: float
    seed: int

    def __post_init__(self) -> None:
        """Raise `InputError` for what SALib would only warn of, or fail at."""
        if self.method not in COLUMNS:
            raise InputError(f"method: found {shown(str(self.method))}, expected one of {', '.join(COLUMNS)}")
        if self.method == SOBOL and whole(self.n, "n", 2) & (self.n - 1):
            raise InputError(f"n: found {self.n}, expected a power of 2")
        whole(self.n, "n", 2)
        if not 0 < self.level < 1:
            raise InputError(f"level: found {self.level}, expected a number between 0 and 1")


def sensitivity(
    study: Study,
    ranges: Mapping[str, Range] | None,
    *,
    method: str,
    n: int,
    measures: Sequence[str],
    level: float,
    executor: Executor,
) -> pd.DataFrame:
    """How much of the variation of each of `measures` each uncertain figure of the study's scenario explains.

    `ranges` maps dotted keys (``*`` for any index) to the least and the largest value, numbers or amounts
    with a unit; by default the figures that the scenario's ``[sources]`` call recalled are taken (see
    `simlib.study.ranges`); those that cannot be varied are named in ``attrs["not_varied"]``. With d figures,
    ``sobol`` simulates ``n (d + 2)`` scenarios (n a power of 2), ``morris`` ``n (d + 1)``, each as often as
    the study replicates, all under its seeds; what is analysed is the mean over the replications.

    A row a key and measure: `key`, `measure`, `low` and `high` (of the value in base units; of the factor
    where `scaled` is true), then S1, S1_conf, ST, ST_conf, or mu, mu_star, mu_star_conf, sigma in the
    measure's unit over a range scaled to 1; `_conf` is half an interval at `level`. NaN where the measure
    did not vary at all. Raises `InputError`, also where a measure is missing in a replication.
    """
    if study.varied:
        raise InputError("sensitivity: found a study that varies keys, expected ranges instead")
    names = [measures] if isinstance(measures, str) else list(measures)
    plan = Plan(method, n, level, study.scenario.spec.seed % (1 << 32))
    figures, left = _figures(study, ranges)
    study.check(study.points())

    def evaluate(samples: Floats) -> Mapping[str, Floats]:
        points = [_point(study, figures, sample) for sample in samples]
        done, interrupted = study.sample(points, range(study.replications), executor)
        if interrupted:
            raise KeyboardInterrupt
        # By number, not by value: two samples may round to one scenario.
        numbered = [Point(point.scenario, {"sample": number}) for number, point in enumerate(points)]
        means = intervals(frame_of(numbered, done), names)
        for row in means[means["missing"] > 0].itertuples():
            raise InputError(
                f"{points[row.sample].label}: {row.measure}: found it missing in {row.missing} of "
                f"{study.replications} replications, expected a measure that every replication has"
            )
        return {name: means.loc[means["measure"] == name, "mean"].to_numpy() for name in names}

    limits = [(figure.low, figure.high) for figure in figures]
    found = indices([figure.key for figure in figures], limits, plan, evaluate)
    found.insert(4, "scaled", [figure.factor for figure in figures] * len(names))
    found.attrs["not_varied"] = list(left)
    return found


def indices(
    keys: Sequence[str], limits: Sequence[tuple[float, float]], plan: Plan, evaluate: Evaluate
) -> pd.DataFrame:
    """The indices of any function of `keys` between `limits`, a row a measure and key.

    `evaluate` gives, for samples (a row a sample, a column a key), each measure's values in their order.
    """
    problem = {"num_vars": len(keys), "names": list(keys), "bounds": [list(pair) for pair in limits]}
    samples = _samples(problem, plan)
    rows = []
    for measure, values in evaluate(samples).items():
        table = _analysed(problem, samples, np.asarray(values, dtype="float64"), plan)
        for number, (key, (low, high)) in enumerate(zip(keys, limits, strict=True)):
            rows.append((key, measure, low, high, *(float(table[c][number]) for c in COLUMNS[plan.method])))
    return pd.DataFrame(rows, columns=["key", "measure", "low", "high", *COLUMNS[plan.method]])


def _samples(problem: dict[str, Any], plan: Plan) -> Floats:
    from SALib.sample import morris, sobol

    if plan.method == SOBOL:
        made = sobol.sample(problem, plan.n, calc_second_order=False, seed=plan.seed)
    else:
        made = morris.sample(problem, plan.n, num_levels=_LEVELS, seed=plan.seed)
    return np.asarray(made, dtype="float64")


def _analysed(problem: dict[str, Any], samples: Floats, values: Floats, plan: Plan) -> Mapping[str, Any]:
    from SALib.analyze import morris, sobol

    if np.ptp(values) == 0:
        return {column: [math.nan] * len(problem["names"]) for column in COLUMNS[plan.method]}
    how = {
        "num_resamples": _RESAMPLES,
        "conf_level": plan.level,
        "seed": plan.seed + 1,
    }  # SALib takes 0 for none
    if plan.method == SOBOL:
        found = sobol.analyze(problem, values, calc_second_order=False, **how)
    else:
        found = morris.analyze(problem, samples, values, num_levels=_LEVELS, **how)
    return {column: np.ma.filled(np.ma.asarray(found[column]), math.nan) for column in COLUMNS[plan.method]}


def _figures(
    study: Study, ranges: Mapping[str, Range] | None
) -> tuple[tuple[Uncertain, ...], tuple[str, ...]]:
    if ranges is None:
        figures, left = recalled(study.scenario)
        if not figures:
            raise InputError(
                f"sensitivity: found no recalled figure in [sources] of {study.scenario.name} that could be "
                "varied, expected one, or ranges"
            )
        return figures, left
    if not ranges:
        raise InputError("ranges: found none, expected at least one key")
    return tuple(given(study.scenario, key, limits) for key, limits in ranges.items()), ()


def _point(study: Study, figures: Sequence[Uncertain], sample: Floats) -> Point:
    at = {figure.key: float(f"{x:.6g}") for figure, x in zip(figures, sample.tolist(), strict=True)}
    changes: dict[str, object] = {}
    for figure, x in zip(figures, sample.tolist(), strict=True):
        changes |= figure.changes(x)
    label = ", ".join(
        f"{figure.key} {'×' if figure.factor else '='} {at[figure.key]:g}" for figure in figures
    )
    return Point(study.scenario.with_(changes, source=f"sensitivity at {label}"), at)
