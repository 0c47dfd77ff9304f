"""The search for rollouts that no other beats: time against harm, under a prior of releases.

In two stages. *Screening* tries rollouts on a smaller fleet (`screening`). *Judging* takes the
best few of them, and every rollout that people begin with, to the full fleet under fresh seeds: first a fifth
of the replications, after which those leave that are outdone, then the rest. What nothing beats then is the
front, presets too. Nothing depends on how many work on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.simulation.run import ENGINES
from simlib.study.grid import whole
from simlib.study.jobs import Row
from simlib.study.local import worker_count
from simlib.study.optimisation import lean
from simlib.study.optimisation.defect_prior import prior_of
from simlib.study.optimisation.front import Candidate, Front, Judged, divided, outdoes
from simlib.study.optimisation.objectives import (
    DEFAULT_OBJECTIVES,
    Constraint,
    Objective,
    constraint_of,
    objective_named,
)
from simlib.study.optimisation.replicating import SEEDS, Replicator
from simlib.study.optimisation.screening import Screening
from simlib.study.optimisation.search_space import presets_of, scaled_down

SCREENING_DEVICES: Final = 12_000
SCREENING_REPLICATIONS: Final = 24
LEAST_REPLICATIONS: Final = 500
FRONT: Final = 4
RACE: Final = Fraction(1, 5)
"""So much of the judging comes before what is outdone leaves."""
FRESH: Final = 1_000_000
"""Judging begins so many seeds after screening."""

Progress = Callable[[str, int, int], None]
"""Told of the stage, how much of it is done, and of how much."""
Questions = tuple[tuple[Objective, ...], tuple[Constraint, ...]]


def optimise(
    scenario: Scenario | str,
    *,
    trials: int = 200,
    objectives: Sequence[str] = DEFAULT_OBJECTIVES,
    constraints: Sequence[str] = (),
    defect_prior: str = "auto",
    replications: int = LEAST_REPLICATIONS,
    screen_devices: int = SCREENING_DEVICES,
    screen_replications: int = SCREENING_REPLICATIONS,
    front: int = FRONT,
    seed: int | None = None,
    workers: int | None = None,
    engine: str = "fused",
    figures: lean.Figures = lean.figures,
    on_progress: Progress = lambda _stage, _done, _total: None,
) -> Front:
    """The front of rollouts for `scenario`: see the module's docstring for how it is found.

    `trials` rollouts are screened, each on `screen_devices` devices `screen_replications` times; at most
    `front` of them are judged beside the presets, with `replications` of the full fleet, 500 or more.
    `objectives` are names of `objectives`, all to be small; `constraints` texts such as
    ``P(harmed > 100) < 0.01``; `defect_prior` names the releases that may come (`defect_prior`).
    `seed`, by default the scenario's, draws everything: the same seed gives the same front whatever `workers`
    is. `figures` is asked for one replication, `on_progress` told how far the search is.

    Ctrl-C gives what there is, marked as interrupted. Raises `InputError`.
    """
    began = time.perf_counter()
    base = Scenario.load(scenario) if isinstance(scenario, str) else scenario
    if seed is not None:
        base = base.with_({"seed": seed}, source="optimise")
    if engine not in ENGINES:
        raise InputError(f"engine: found {engine!r}, expected one of {', '.join(ENGINES)}")
    worker_count(workers)
    prior = prior_of(base, defect_prior)
    for name, value, least in (
        ("trials", trials, 1),
        ("replications", replications, LEAST_REPLICATIONS),
        ("screen devices", screen_devices, 1),
        ("screen replications", screen_replications, prior.least),
        ("front", front, 1),
    ):
        whole(value, name, least)
    questions = _questions(objectives, constraints)
    replicator = Replicator(prior, figures, engine, workers)
    presets = [Candidate(name, laid, True) for name, laid in presets_of(base).items()]
    screening = Screening(
        base, presets, replicator, questions, devices=screen_devices, replications=screen_replications
    )
    finished = screening.run(trials, lambda done: on_progress("screening", done, trials))
    screened_s = time.perf_counter() - began
    contenders, judged = screening.results, False
    if finished:
        candidates = [*presets, *screening.best(front)]
        raced, finished = _judge(candidates, replicator, questions, replications, on_progress)
        contenders, judged = raced or contenders, bool(raced)
    points, others = divided(contenders)
    replicator.seconds.update(
        asking_s=screening.seconds_asking,
        screening_s=screened_s,
        judging_s=time.perf_counter() - began - screened_s,
    )
    return Front(
        scenario=base,
        prior=prior,
        objectives=questions[0],
        constraints=questions[1],
        points=points,
        others=others,
        screened=screening.table(),
        screening_devices=scaled_down(base, screen_devices).spec.devices,
        screening_replications=screen_replications,
        trials=screening.trials,
        judged=judged,
        interrupted=not finished,
        seconds={name: round(seconds, 3) for name, seconds in replicator.seconds.items()},
    )


def _questions(objectives: Sequence[str], constraints: Sequence[str]) -> Questions:
    chosen = tuple(dict.fromkeys(objective_named(name) for name in objectives))
    if len(chosen) < 2:
        raise InputError(f"objectives: found {len(chosen)}, expected at least two different ones")
    return chosen, tuple(dict.fromkeys(constraint_of(text) for text in constraints))


def _judge(
    candidates: Sequence[Candidate],
    replicator: Replicator,
    questions: Questions,
    replications: int,
    tell: Progress,
) -> tuple[list[Judged], bool]:
    """All candidates at full size, and whether it came to the end.

    There are none if Ctrl-C came before there was a replication of every stratum.
    """
    full = candidates[0].scenario.spec
    lean_ones = [scaled_down(each.scenario, full.devices) for each in candidates]
    first_seed = (full.seed + FRESH) % SEEDS
    held: list[dict[int, Row]] = [{} for _ in candidates]
    judged: list[Judged] = []
    finished, stay = True, list(range(len(candidates)))
    heat = max(int(replications * RACE), replicator.prior.least)
    for start, stop in ((0, heat), (heat, replications)):
        found, interrupted = replicator.run(
            [lean_ones[k] for k in stay],
            range(start, stop),
            first_seed,
            lambda done, start=start: tell("judging", start + done, replications),  # type: ignore[misc]
        )
        for place, k in enumerate(stay):
            held[k] |= {r: rows[place] for r, rows in found.items()}
        if not replicator.complete(held[stay[0]]):
            return [], False
        judged = [
            Judged(each, replicator.sample(held[k], lean_ones[k].spec, full), *questions)
            for k, each in enumerate(candidates)
        ]
        if interrupted:
            finished = False
            break
        stay = [k for k in stay if not any(outdoes(other, judged[k]) for other in judged)]
    return judged, finished
