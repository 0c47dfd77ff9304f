"""All jobs of a study done, here or on a cluster, and their results in the order of the jobs."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from simlib.errors import InputError
from simlib.study.grid import whole
from simlib.study.jobs import Failure, Job, Measure, Row
from simlib.study.local import done_here, worker_count


@dataclass(frozen=True, slots=True)
class Executor:
    """Where and how jobs are done: `client` a Dask client or None for threads, `workers` their number.

    `chunk` is the number of jobs a task of the cluster's holds (None: grouped by how long one takes),
    `progress` whether a bar is shown (None: where standard error is a terminal).
    """

    client: Any = None
    workers: int | None = None
    chunk: int | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        """Raise `InputError` for what does not go together."""
        if self.client is None:
            worker_count(self.workers)
            if self.chunk is not None:
                raise InputError("chunk: found it without a client, expected one of a Dask cluster beside it")
        elif self.workers is not None:
            raise InputError("workers: found it beside a client, expected one of them")
        if self.chunk is not None:
            whole(self.chunk, "chunk", 1)

    def do(self, jobs: Sequence[Job], engine: str, measure: Measure) -> tuple[list[Row | None], bool]:
        """Each job's measures, in the jobs' order, and whether Ctrl-C came first: then some are None.

        A job that ends in a simlib error ends the others that have not begun, and is raised with its name.
        """
        rows: list[Row | None] = [None] * len(jobs)
        try:
            with self._bar(len(jobs)) as bar, closing(self._results(jobs, engine, measure)) as results:
                for number, result in results:
                    if isinstance(result, Failure):
                        raise result.raised()
                    rows[number] = result
                    bar.update(1)
        except KeyboardInterrupt:
            return rows, True
        return rows, False

    def _results(
        self, jobs: Sequence[Job], engine: str, measure: Measure
    ) -> Generator[tuple[int, Row | Failure]]:
        if self.client is None:
            return done_here(jobs, engine, measure, self.workers)
        from simlib.study.cluster import done_there

        return done_there(self.client, jobs, engine, measure, self.chunk)

    @contextmanager
    def _bar(self, total: int) -> Iterator[Any]:
        from tqdm import tqdm  # `tqdm.auto` warns in a notebook without ipywidgets

        shown = self.progress
        if shown is None:
            shown = sys.stderr is not None and sys.stderr.isatty()
        with tqdm(desc="study", total=total, unit="run", leave=False, disable=not shown) as bar:
            yield bar
