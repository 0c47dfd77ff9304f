"""The first stage of a search for a rollout: many trials on a small fleet, under the same few seeds.

optuna's sampler chooses (a tree-structured Parzen estimator for several objectives; S. Watanabe,
arXiv:2304.11127). Trials are asked for in batches of a fixed size, so that what it knows when it chooses does
not depend on how many work. Rollouts that come to the same groups are simulated once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from simlib.scenario import Scenario
from simlib.scenario.units import format_duration, format_share
from simlib.study.optimisation.front import Candidate, Judged, beats
from simlib.study.optimisation.objectives import Constraint, Objective
from simlib.study.optimisation.pareto import Values, non_dominated, thinned
from simlib.study.optimisation.replicating import Replicator
from simlib.study.optimisation.search_space import rollout_of, scaled_down, suggested

if TYPE_CHECKING:
    import optuna

BATCH: Final = 8
"""Trials asked for together; the sampler learns from them when all are done."""


class Screening:
    """Trials so far, and what came of them. `base` is the scenario at full size."""

    def __init__(
        self,
        base: Scenario,
        presets: Sequence[Candidate],
        replicator: Replicator,
        questions: tuple[tuple[Objective, ...], tuple[Constraint, ...]],
        *,
        devices: int,
        replications: int,
    ) -> None:
        self._base, self._presets, self._replicator = base, presets, replicator
        self._objectives, self._constraints = questions
        self._devices, self._replications = devices, replications
        self._results: dict[Any, Judged] = {}  # by what makes a difference to a run
        self._trials: list[tuple[dict[str, Any], Any]] = []
        self.seconds_asking = 0.0

    @property
    def trials(self) -> int:
        """How many are done."""
        return len(self._trials)

    @property
    def results(self) -> list[Judged]:
        """Every preset and every different rollout found, with its figures of this stage."""
        return list(self._results.values())

    def run(self, trials: int, tell: Callable[[int], None]) -> bool:
        """Do so many trials; False if Ctrl-C came first. `tell` hears how many are done."""
        try:
            with _quiet():
                return self._screen(self._presets) and self._search(trials, tell)
        except KeyboardInterrupt:
            return False

    def best(self, most: int) -> list[Candidate]:
        """At most `most` of the rollouts found, those that say most of the front.

        Without doubles by their figures, and without what a preset beats unless presets beat everything.
        """
        unlike: dict[tuple[Values, bool], Judged] = {}
        for judged in self._results.values():
            unlike.setdefault((judged.values(), judged.feasible()), judged)  # presets come first
        presets = [each for each in unlike.values() if each.candidate.preset]
        found = [each for each in unlike.values() if not each.candidate.preset]
        pool = [each for each in found if each.feasible()] or found
        pool = [each for each in pool if not any(beats(preset, each) for preset in presets)] or pool
        pool = [pool[k] for k in non_dominated([each.values() for each in pool])]
        return [pool[k].candidate for k in thinned([self._spread(each.values()) for each in pool], most)]

    def table(self) -> pd.DataFrame:
        """A row a trial: what was chosen, as a person writes it, the candidate it is, and its figures."""
        names = [objective.name for objective in self._objectives]
        rows = []
        for number, (choice, key) in enumerate(self._trials):
            judged = self._results[key]
            rows.append(
                {"trial": number, "candidate": judged.candidate.name}
                | {name: _written(name, value) for name, value in choice.items()}
                | dict(zip(names, judged.values(), strict=True))
                | {"feasible": judged.feasible()}
            )
        return pd.DataFrame(rows)

    def _spread(self, values: Values) -> Values:
        """Times as they are and the others as logarithms: 7 or 14 devices differ as 700 and 1,400 do."""
        return tuple(
            value if objective.measure.unit == "ms" else math.log1p(value)
            for objective, value in zip(self._objectives, values, strict=True)
        )

    def _search(self, trials: int, tell: Callable[[int], None]) -> bool:
        study = _study(self._base.spec.seed, len(self._objectives), trials)
        while self.trials < trials:
            began = time.perf_counter()
            asked = [study.ask() for _ in range(min(BATCH, trials - self.trials))]
            choices = [suggested(trial) for trial in asked]
            self.seconds_asking += time.perf_counter() - began
            candidates = [
                Candidate(f"trial-{self.trials + k}", self._laid(choice)) for k, choice in enumerate(choices)
            ]
            if not self._screen(candidates):
                return False
            began = time.perf_counter()
            for trial, choice, candidate in zip(asked, choices, candidates, strict=True):
                judged = self._results[_key(candidate)]
                for kept in judged.kept():
                    trial.set_constraint(kept.text, kept.violation)
                study.tell(trial, list(judged.values()))
                self._trials.append((choice, _key(candidate)))
            self.seconds_asking += time.perf_counter() - began
            tell(self.trials)
        return True

    def _screen(self, candidates: Sequence[Candidate]) -> bool:
        """Simulate those that have not been yet; False if Ctrl-C came first."""
        new = {key: each for each in candidates if (key := _key(each)) not in self._results}
        if not new:
            return True
        small = [scaled_down(each.scenario, self._devices) for each in new.values()]
        seeds = self._base.spec.seed
        found, interrupted = self._replicator.run(small, range(self._replications), seeds)
        if interrupted:
            return False
        for number, (key, candidate) in enumerate(new.items()):
            rows = {r: each[number] for r, each in found.items()}
            sample = self._replicator.sample(rows, small[number].spec, candidate.scenario.spec)
            self._results[key] = Judged(candidate, sample, self._objectives, self._constraints)
        return True

    def _laid(self, choice: Mapping[str, Any]) -> Scenario:
        return self._base.with_(rollout_of(choice, self._base.spec.devices), source="trial")


def _key(candidate: Candidate) -> Any:
    """What candidates that run alike have in common."""
    return candidate.scenario.spec.rollout, candidate.scenario.spec.transfer


def _study(seed: int, objectives: int, trials: int) -> optuna.Study:
    import optuna

    sampler = optuna.samplers.TPESampler(
        n_startup_trials=max(BATCH, min(trials // 5, 5 * BATCH)), constant_liar=True, seed=seed % (1 << 32)
    )
    return optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells of every step; here only of what it warns of."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _written(name: str, value: Any) -> Any:
    if name.endswith("_ms"):
        return format_duration(value)
    return str(format_share(value)) if isinstance(value, Fraction) else value
