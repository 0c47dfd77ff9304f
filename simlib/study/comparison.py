"""Scenarios, or one scenario under several strategies, side by side under the same luck; saved runs likewise.

Every contender runs under the same seeds; how they then differ is `simlib.study.differences`' affair, and
`simlib.study.wording` says it in words. A saved run is one replication: two of them differ by what they
differ by, and nobody knows how much of it was luck; but device by device it can be said who ended
differently.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from simlib.errors import InputError
from simlib.results import Run
from simlib.scenario import Scenario
from simlib.scenario.strategies import Strategy, apply, load_strategy
from simlib.scenario.toml_text import shown
from simlib.study import measures as figures
from simlib.study.confidence import intervals
from simlib.study.differences import compared, differences
from simlib.study.execution import Executor
from simlib.study.frame import Place, frame_of
from simlib.study.grid import Point
from simlib.study.jobs import Measure
from simlib.study.study import Study
from simlib.study.wording import WORDED, sentences

if TYPE_CHECKING:
    Named = Scenario | str | os.PathLike[str]
    Laid = Strategy | str | os.PathLike[str]

SCENARIO: Final = "scenario"
STRATEGY: Final = "strategy"
OWN: Final = "own"
"""The name of a scenario's own rollout among strategies."""
REPLICATIONS: Final = 20


class PairedComparison:
    """`scenarios` (objects, presets or files; a mapping names them), each under each of `strategies` if any.

    A strategy is an object, a name, a file, a service (the scenario's own groups there), or ``"own"``: the
    scenario's own rollout. What is compared are
    the strategies within each scenario, or the scenarios where there are no strategies; the first is the
    baseline unless `baseline` names another. `engine`, `measure`, `replications` and `seeds` are as for
    `Study`. Like a study, a comparison never changes. Raises `InputError`.
    """

    __slots__ = ("_study", "baseline", "contenders", "points")

    def __init__(
        self,
        scenarios: Mapping[str, Named] | Sequence[Named] | Named,
        strategies: Sequence[Laid] = (),
        *,
        baseline: str | None = None,
        replications: int = REPLICATIONS,
        seeds: Sequence[int] | None = None,
        engine: str = "auto",
        measure: Measure = figures.measure,
    ) -> None:
        named, laid = _named(scenarios), _laid(strategies)
        if not named:
            raise InputError("compare: found no scenario, expected at least one")
        self.points = _points(named, laid)
        self.contenders = tuple(laid or named)
        self.baseline = chosen_baseline(self.contenders, baseline)
        first = self.points[0].scenario
        self._study = Study(first, engine=engine, measure=measure).replicate(replications, seeds)

    def __repr__(self) -> str:
        return f"PairedComparison({', '.join(self.contenders)}; {self.replications} replications)"

    @property
    def replications(self) -> int:
        """How often each contender runs."""
        return self._study.replications

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each replication, for all alike: the given ones, or the first scenario's and those
        after it.
        """
        return self._study.seeds

    def run(
        self, client: Any = None, workers: int | None = None, *, progress: bool | None = None
    ) -> pd.DataFrame:
        """Simulate every replication of every contender; a row for each.

        Columns: `scenario`, `strategy` (left out where there are none), `replication`, `seed`, the measures.
        Where and how it runs, and what Ctrl-C leaves, is as in `Study.run`. The baseline goes first: what
        the bench works out for the mishaps of a seed, the others find remembered.
        """
        executor = Executor(client, workers, None, progress)
        self._study.check(self.points)
        key = STRATEGY if STRATEGY in self.points[0].values else SCENARIO
        order = sorted(range(len(self.points)), key=lambda p: self.points[p].values[key] != self.baseline)
        points = [self.points[p] for p in order]
        done, interrupted = self._study.sample(points, range(self.replications), executor)
        frame = frame_of(
            self.points, [(place._replace(point=order[place.point]), row) for place, row in done]
        )
        if interrupted:
            frame.attrs["interrupted"] = True
        return frame

    def summary(
        self, frame: pd.DataFrame, measures: Sequence[str] | None = None, *, level: float = 0.95
    ) -> pd.DataFrame:
        """The mean of each measure of each contender with its confidence interval; see `intervals`."""
        return intervals(frame, compared(frame, measures), level=level)

    def differences(
        self, frame: pd.DataFrame, measures: Sequence[str] | None = None, *, level: float = 0.95
    ) -> pd.DataFrame:
        """Each contender less the baseline, seed by seed; see the function of that name."""
        return differences(frame, measures, baseline=self.baseline, level=level)

    def sentences(self, frame: pd.DataFrame, *, level: float = 0.95) -> list[str]:
        """The differences in practical words; see `simlib.study.wording`."""
        return worded(frame, self.baseline, level=level)


def worded(frame: pd.DataFrame, baseline: str, *, level: float = 0.95) -> list[str]:
    """What `differences` finds in the measures there are words for, in these words."""
    measures = [name for name in WORDED if name in frame.columns]
    return sentences(differences(frame, measures, baseline=baseline, level=level), level=level)


def chosen_baseline(contenders: Sequence[str], baseline: str | None) -> str:
    """The one the others are compared with: the first unless named. Raises `InputError`."""
    if len(contenders) < 2:
        found = f"{shown(contenders[0])} alone" if contenders else "nothing"
        raise InputError(f"compare: found {found}, expected two or more scenarios, strategies or runs")
    if baseline is not None and baseline not in contenders:
        raise InputError(f"baseline: found {shown(baseline)}, expected one of {', '.join(contenders)}")
    return contenders[0] if baseline is None else baseline


def frame_of_runs(runs: Mapping[str, Run]) -> pd.DataFrame:
    """Saved runs as a comparison's table: one replication each, under the seed of the first.

    The column `scenario` has the names they are given here. The seed column only pairs them: whether the runs
    had the same seed is `same_luck`'s to say. Measures that a summary lacks are missing.
    """
    seed = int(next(iter(runs.values())).summary["seed"])
    points, done = [], []
    for number, (name, run) in enumerate(runs.items()):
        points.append(Point(Scenario.from_toml(run.scenario_toml, name), {SCENARIO: name}))
        exposure = run.summary["exposure_at_halt"] or {}
        facts = {
            **run.summary["outcomes"],
            **run.summary,
            **{f"exposure_{state}": count for state, count in exposure.items()},
        }
        done.append((Place(number, 0, seed), {name: facts.get(name) for name in figures.DTYPES}))
    lacking = {name for _, row in done for name, value in row.items() if value is None}
    kept = [n for n, dtype in figures.DTYPES.items() if n not in lacking or dtype == "Int64"]
    return frame_of(points, [(place, {name: row[name] for name in kept}) for place, row in done])


def same_luck(a: Run, b: Run) -> bool:
    """Whether two runs are of fleets of the same size under the same seed, so that device n is device n."""
    return all(a.summary[key] == b.summary[key] for key in ("seed", "devices"))


def moved(a: Run, b: Run) -> pd.DataFrame:
    """How many devices ended in another outcome in run `b` than in run `a`: a row a pair of outcomes.

    Columns: `outcome` (in a), `becomes` (in b), `devices`, most devices first. Raises `InputError` for runs
    whose devices are not the same ones.
    """
    if not same_luck(a, b):
        found = [f"{run.summary['devices']} devices under seed {run.summary['seed']}" for run in (a, b)]
        raise InputError(f"compare: found {' and '.join(found)}, expected the same devices and seed for both")
    columns = {"outcome": a.devices["outcome"], "becomes": b.devices["outcome"]}
    pairs = pd.DataFrame({name: column.astype("str").to_numpy() for name, column in columns.items()})
    counts = pairs[pairs["outcome"] != pairs["becomes"]].value_counts(["outcome", "becomes"])
    table = counts.rename("devices").reset_index()
    return table.sort_values(
        ["devices", "outcome", "becomes"], ascending=[False, True, True], ignore_index=True
    )


def labels(scenarios: Sequence[Scenario], given: Sequence[str]) -> list[str]:
    """What each is called: its name, or what it was `given` as where two have the same name.

    Raises `InputError` for the same one twice.
    """
    names = [scenario.name for scenario in scenarios]
    found = [name if names.count(name) == 1 else text for name, text in zip(names, given, strict=True)]
    _all_different(found, "scenario")
    return found


def _named(scenarios: Mapping[str, Named] | Sequence[Named] | Named) -> dict[str, Scenario]:
    if isinstance(scenarios, Mapping):
        return {name: _loaded(each) for name, each in scenarios.items()}
    given = [scenarios] if isinstance(scenarios, Scenario | str | os.PathLike) else list(scenarios)
    loaded = [_loaded(each) for each in given]
    texts = [each.name if isinstance(each, Scenario) else os.fspath(each) for each in given]
    return dict(zip(labels(loaded, texts), loaded, strict=True))


def _loaded(each: Named) -> Scenario:
    return each if isinstance(each, Scenario) else Scenario.load(each)


def _laid(strategies: Sequence[Laid]) -> dict[str, Strategy | None]:
    """Each strategy by its name; None for the scenario's own rollout."""
    loaded = [
        None if each == OWN else each if isinstance(each, Strategy) else load_strategy(each)
        for each in strategies
    ]
    names = [OWN if strategy is None else strategy.name for strategy in loaded]
    _all_different(names, "strategy")
    return dict(zip(names, loaded, strict=True))


def _all_different(names: Sequence[str], what: str) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InputError(f"{what}: found {shown(name)} twice, expected each once")


def _points(scenarios: Mapping[str, Scenario], laid: Mapping[str, Strategy | None]) -> tuple[Point, ...]:
    if not laid:
        return tuple(Point(scenario, {SCENARIO: name}) for name, scenario in scenarios.items())
    return tuple(
        Point(scenario if strategy is None else apply(scenario, strategy), {SCENARIO: name, STRATEGY: label})
        for name, scenario in scenarios.items()
        for label, strategy in laid.items()
    )
