"""The jobs of a study done here, by threads: a compiled clock leaves Python's lock to the others."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from simlib.study.grid import whole
from simlib.study.jobs import Failure, Job, Measure, Row, do


def worker_count(workers: int | None) -> int:
    """How many threads `workers` asks for: one a processor unless said. Raises `InputError`."""
    if workers is None:
        return os.cpu_count() or 1
    return whole(workers, "workers", 1)


def done_here(
    jobs: Sequence[Job], engine: str, measure: Measure, workers: int | None
) -> Generator[tuple[int, Row | Failure]]:
    """Each job's number and result as it is done. Closing the iterator calls off what has not begun."""
    pool = ThreadPoolExecutor(worker_count(workers), thread_name_prefix="simlib-study")
    try:
        numbers: dict[Future[Row | Failure], int] = {
            pool.submit(do, job, engine, measure): number for number, job in enumerate(jobs)
        }
        for future in as_completed(numbers):
            yield numbers.pop(future), future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
