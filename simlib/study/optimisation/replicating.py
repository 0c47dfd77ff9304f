"""Several rollouts of one fleet replicated together: handed out by seed, taken in the order of the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

from simlib.scenario import Scenario
from simlib.scenario.model import ScenarioSpec
from simlib.study.jobs import Failure, Job, Row
from simlib.study.local import done_here
from simlib.study.optimisation import lean
from simlib.study.optimisation.defect_prior import Prior
from simlib.study.optimisation.objectives import Sample

SEEDS: Final = 1 << 64
Rows = dict[int, list[Row]]
"""For each replication that is done, in order, the row of each scenario."""


@dataclass(frozen=True)
class Replicator:
    """What every replication of a search needs. `seconds` adds up what rows say of the computer's time."""

    prior: Prior
    figures: lean.Figures = lean.figures
    engine: str = "fused"
    workers: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def run(
        self,
        scenarios: Sequence[Scenario],
        replications: range,
        first_seed: int,
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> tuple[Rows, bool]:
        """Some replications of each of `scenarios`, and whether Ctrl-C left any of them out.

        The scenarios have to be alike but for rollout and transfer. Replication r has the seed `first_seed`
        + r and the release of the stratum that the prior allots it. `on_done` is told how many are done.
        """
        strata = self.prior.allotted(replications.stop)
        jobs = []
        for r in replications:
            seed, stratum = (first_seed + r) % SEEDS, self.prior.strata[strata[r]]
            spec = replace(scenarios[0].spec, defects=stratum.defects)
            label = f"replication {r} (seed {seed}, {stratum.name})"
            jobs.append(Job(replace(scenarios[0], spec=spec), seed, label))
        measure = lean.Rollouts(tuple(scenario.spec for scenario in scenarios), self.figures)
        found: Rows = {}
        interrupted = False
        try:
            with closing(done_here(jobs, self.engine, measure, self.workers)) as results:
                for number, result in results:
                    if isinstance(result, Failure):
                        raise result.raised()
                    found[replications[number]] = [result[str(k)] for k in range(len(scenarios))]
                    on_done(len(found))
        except KeyboardInterrupt:
            interrupted = True
        for rows in found.values():
            for row in rows:
                for name in lean.SECONDS:
                    self.seconds[name] = self.seconds.get(name, 0.0) + row.get(name, 0.0)
        return dict(sorted(found.items())), interrupted

    def complete(self, replications: Mapping[int, object]) -> bool:
        """Whether there is a replication of every stratum."""
        strata = self.prior.allotted(max(replications, default=-1) + 1)
        return len({strata[r] for r in replications}) == len(self.prior.strata)

    def sample(self, rows: Mapping[int, Row], simulated: ScenarioSpec, full: ScenarioSpec) -> Sample:
        """One scenario's row a replication, of a run of `simulated` that stands for a fleet like `full`."""
        strata = self.prior.allotted(max(rows) + 1)
        return Sample(
            self.prior,
            [strata[r] for r in rows],
            list(rows.values()),
            horizon_ms=full.horizon_ms,
            scale=Fraction(full.devices, simulated.devices),
            seed=full.seed,
        )
