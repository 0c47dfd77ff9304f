"""The answer of a search for a rollout: the strategies that no other beats, and what beats the others.

A strategy beats another if it keeps the constraints and the other does not, or if both do or neither does and
it is nowhere worse and somewhere better in the objectives. Two strategies are compared on the replications
that both have, which they ran under the same seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from simlib.errors import InputError
from simlib.rollout.export import Exported, export
from simlib.rollout.registry import service_names
from simlib.scenario import Scenario
from simlib.scenario.toml_text import shown
from simlib.study.optimisation.defect_prior import Prior
from simlib.study.optimisation.objectives import Constraint, Estimate, Kept, Objective, Sample
from simlib.study.optimisation.pareto import Values, dominates
from simlib.study.optimisation.search_space import in_short


@dataclass(frozen=True)
class Candidate:
    """A strategy by name: the scenario with its rollout, at full size. `preset`: people begin with it."""

    name: str
    scenario: Scenario
    preset: bool = False


class Judged:
    """A candidate with its replications, and what is asked of them; answers are worked out once."""

    def __init__(
        self,
        candidate: Candidate,
        sample: Sample,
        objectives: tuple[Objective, ...],
        constraints: tuple[Constraint, ...],
    ) -> None:
        self.candidate = candidate
        self.sample = sample
        self.objectives = objectives
        self.constraints = constraints
        self._values: dict[int, Values] = {}
        self._kept: dict[int, tuple[Kept, ...]] = {}

    def values(self, n: int | None = None) -> Values:
        """The objectives, by the first `n` replications or all."""
        n = len(self.sample) if n is None else n
        if n not in self._values:
            sample = self.sample.first(n)
            self._values[n] = tuple(sample.value(objective) for objective in self.objectives)
        return self._values[n]

    def kept(self, n: int | None = None) -> tuple[Kept, ...]:
        """How it keeps the constraints, by the first `n` replications or all."""
        n = len(self.sample) if n is None else n
        if n not in self._kept:
            sample = self.sample.first(n)
            self._kept[n] = tuple(constraint.judged(sample) for constraint in self.constraints)
        return self._kept[n]

    def feasible(self, n: int | None = None) -> bool:
        """Whether the estimates keep the constraints, by the first `n` replications or all."""
        return all(each.holds for each in self.kept(n))


def beats(a: Judged, b: Judged) -> bool:
    """Whether `a` beats `b` on the replications that both have."""
    n = min(len(a.sample), len(b.sample))
    if a.feasible(n) != b.feasible(n):
        return a.feasible(n)
    return dominates(a.values(n), b.values(n))


def outdoes(a: Judged, b: Judged) -> bool:
    """Whether `a` beats `b` so that more replications of `b` are not worth their time.

    That is so if `b` misses a constraint beyond doubt and `a` seems to keep all, or if `a` is nowhere worse,
    in what the constraints are about too, and somewhere better.
    """
    n = min(len(a.sample), len(b.sample))
    if a.feasible(n) and any(not kept.holds and kept.sure for kept in b.kept(n)):
        return True
    return dominates(
        (*a.values(n), *(kept.estimate.value for kept in a.kept(n))),
        (*b.values(n), *(kept.estimate.value for kept in b.kept(n))),
    )


@dataclass(frozen=True)
class Point:
    """A strategy of the answer with its figures; `beaten_by` names what keeps it off the front."""

    name: str
    preset: bool
    scenario: Scenario
    replications: int
    estimates: Mapping[str, Estimate]
    kept: tuple[Kept, ...]
    beaten_by: tuple[str, ...]

    @property
    def rollout(self) -> str:
        """Groups and gates on one line."""
        return in_short(self.scenario.spec.rollout)

    @property
    def feasible(self) -> bool:
        """Whether it keeps every constraint by the estimates."""
        return all(each.holds for each in self.kept)

    def to_json(self) -> dict[str, Any]:
        """The point as `simlib optimise --json` prints it; times in ms."""
        groups = self.scenario.document["rollout"]
        assert isinstance(groups, dict)
        return {
            "name": self.name,
            "preset": self.preset,
            "rollout": self.rollout,
            "groups": _plain(groups["groups"]),
            "replications": self.replications,
            "objectives": {name: _figures(each) for name, each in self.estimates.items()},
            "feasible": self.feasible,
            "constraints": [
                {
                    "constraint": k.text,
                    **_figures(k.estimate),
                    "limit": k.limit,
                    "holds": k.holds,
                    "sure": k.sure,
                }
                for k in self.kept
            ],
            "beaten_by": list(self.beaten_by),
        }


@dataclass(frozen=True)
class Front:
    """What a search gave.

    `points` are the front, sorted by the first objective; `others` everything else that was judged at full
    size, all presets among it, with what beats it. `screened` has a row a trial of the first stage. `judged`
    is False where the search was broken off before the second stage: then all figures are of the first.
    """

    scenario: Scenario
    prior: Prior
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    points: tuple[Point, ...]
    others: tuple[Point, ...]
    screened: pd.DataFrame
    screening_devices: int
    screening_replications: int
    trials: int
    judged: bool
    interrupted: bool
    seconds: Mapping[str, float]

    @property
    def frame(self) -> pd.DataFrame:
        """A row a point, front first: figures, the ends of their intervals, constraints, what beats it."""
        rows = []
        for point in (*self.points, *self.others):
            row: dict[str, Any] = {
                "name": point.name,
                "front": not point.beaten_by,
                "preset": point.preset,
                "rollout": point.rollout,
                "replications": point.replications,
            }
            for name, estimate in point.estimates.items():
                row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
                row[f"{name}_missing"] = estimate.missing
            for kept in point.kept:
                row |= {kept.text: kept.estimate.value, f"{kept.text} holds": kept.holds}
            row["beaten_by"] = ", ".join(point.beaten_by)
            rows.append(row)
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """The whole answer as `simlib optimise --json` prints it."""
        return {
            "scenario": self.scenario.name,
            "seed": self.scenario.spec.seed,
            "devices": self.scenario.spec.devices,
            "objectives": [
                {"name": o.name, "unit": o.measure.unit, "releases": o.measure.releases, "of": o.measure.says}
                for o in self.objectives
            ],
            "constraints": [constraint.text for constraint in self.constraints],
            "prior": {
                "text": self.prior.text,
                "strata": [{"name": s.name, "probability": float(s.weight)} for s in self.prior.strata],
            },
            "trials": self.trials,
            "screening": {"devices": self.screening_devices, "replications": self.screening_replications},
            "judged": self.judged,
            "interrupted": self.interrupted,
            "front": [point.to_json() for point in self.points],
            "others": [point.to_json() for point in self.others],
            "seconds": {name: round(each, 3) for name, each in self.seconds.items()},
        }


def divided(judged: Sequence[Judged]) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """The front and the others.

    Only those with the most replications can be on the front. Any other was beaten before; what beat it is
    named even if it has been beaten since.
    """
    most = max((len(each.sample) for each in judged), default=0)
    whole = [each for each in judged if len(each.sample) == most]
    front = [a for a in whole if not any(beats(b, a) for b in whole)]
    points = []
    for each in judged:
        by: list[Judged] = []
        if each not in front:
            by = [b for b in front if beats(b, each)] or [b for b in judged if beats(b, each)]
        points.append(_point(each, tuple(b.candidate.name for b in by)))
    first = judged[0].objectives[0].name if judged else ""
    points.sort(key=lambda point: (point.estimates[first].value, point.name))
    on = {each.candidate.name for each in front}
    return (
        tuple(point for point in points if point.name in on),
        tuple(point for point in points if point.name not in on),
    )


def export_point(scenario: Scenario, service: str) -> Exported:
    """The rollout of `scenario` as the configuration of `service`, and what that cannot express.

    Raises `InputError` for a service that does not exist, or that would refuse the rollout.
    """
    if service not in service_names():
        raise InputError(f"service: found {shown(service)}, expected one of {', '.join(service_names())}")
    return export(scenario.spec, service)


def _point(judged: Judged, beaten_by: tuple[str, ...]) -> Point:
    candidate = judged.candidate
    return Point(
        name=candidate.name,
        preset=candidate.preset,
        scenario=candidate.scenario,
        replications=len(judged.sample),
        estimates={o.name: judged.sample.estimate(o) for o in judged.objectives},
        kept=judged.kept(),
        beaten_by=beaten_by,
    )


def _figures(estimate: Estimate) -> dict[str, float]:
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "missing": estimate.missing,
    }


def _plain(tables: object) -> Any:
    """A part of a document as JSON can hold it: decimals as text, as a scenario takes them too."""
    if isinstance(tables, list):
        return [_plain(each) for each in tables]
    if isinstance(tables, dict):
        return {name: _plain(each) for name, each in tables.items()}
    return tables if isinstance(tables, bool | int | str) or tables is None else str(tables)
