"""One replication as a piece of work: what it needs, how it is done, and what came of it.

A job is a pure function of its fields, so it may be done anywhere, by several at once, or again after the
one who did it is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from simlib.errors import InputError, SimlibError
from simlib.scenario import Scenario
from simlib.study.identity import source_identity

Measure = Callable[[Scenario, str], dict[str, Any]]
"""What one replication gives: a function of a scenario and the name of a clock."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One replication: `scenario` under `seed`; `label` names it in messages."""

    scenario: Scenario
    seed: int
    label: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The error that a job ended in, as a value, so that nobody does it again in vain."""

    error: SimlibError
    label: str

    def raised(self) -> SimlibError:
        """The same error, its message beginning with the job's name."""
        return type(self.error)(f"{self.label}: {self.error}") if _plain(self.error) else self.error


@dataclass(frozen=True, slots=True)
class Task:
    """Consecutive jobs done in one go by one worker, and the identity of the code that is to do them."""

    jobs: tuple[Job, ...]
    engine: str
    measure: Measure
    code: str


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a task's jobs, in their order, and the wall-clock seconds it took."""

    results: tuple[Row | Failure, ...]
    seconds: float


def do(job: Job, engine: str, measure: Measure) -> Row | Failure:
    """The measures of one replication, or the simlib error it ended in; any other exception is raised."""
    try:
        return measure(job.scenario.with_seed(job.seed), engine)
    except SimlibError as error:
        return Failure(error, job.label)


def do_task(task: Task) -> Done:
    """Do all jobs of `task`; each is a `Failure` where this process runs another simlib than who asks."""
    if task.code != source_identity():
        other = InputError("worker: found another version of simlib than that of who asks, expected the same")
        return Done(tuple(Failure(other, job.label) for job in task.jobs), 0.0)
    began = time.perf_counter()
    results = tuple(do(job, task.engine, task.measure) for job in task.jobs)
    return Done(results, time.perf_counter() - began)


def chunks(first: int, last: int, size: int) -> Sequence[range]:
    """The numbers from `first` up to, not including, `last` in consecutive ranges of at most `size`."""
    return [range(start, min(start + size, last)) for start in range(first, last, size)]


def _plain(error: SimlibError) -> bool:
    """Whether the error is made of its message alone."""
    return type(error).__init__ is Exception.__init__
