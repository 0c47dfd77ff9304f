"""The jobs of a study done by a Dask cluster: several a task, and again where a worker is lost.

Only this module imports `distributed`, and only a study that is given a client imports this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from typing import Any, Final

import distributed

from simlib.errors import InputError
from simlib.study.identity import source_identity
from simlib.study.jobs import Done, Failure, Job, Measure, Row, Task, chunks, do_task
from simlib.study.warm import warm

TASK_SECONDS: Final = 2.0
"""How long a task should last: long beside the cluster's overhead, short beside what a lost worker costs."""
TASKS_A_SLOT: Final = 4
"""At least so many tasks for each thread of the cluster, so that none waits long for the last ones."""
RETRIES: Final = 3
WAIT_SECONDS: Final = 60
PLUGIN: Final = "simlib-warm"

_dask: Any = distributed  # its own annotations are partial


class WarmUp(distributed.WorkerPlugin):
    """Makes a worker ready once, when it joins, without keeping it from answering the scheduler."""

    async def setup(self, worker: Any) -> None:
        """Load and compile in a thread of the worker's."""
        await asyncio.to_thread(warm)


def done_there(
    client: Any, jobs: Sequence[Job], engine: str, measure: Measure, chunk: int | None
) -> Generator[tuple[int, Row | Failure]]:
    """Each job's number and result as it comes back; closing the iterator cancels what is outstanding.

    With no `chunk` (jobs a task) given, the first jobs go out one a task and tell how long one takes; the
    others are then grouped into tasks of about `TASK_SECONDS`. How they are grouped changes no result.
    Raises `InputError` for a client that is none, has no workers, or whose workers are lost again and again.
    """
    if not isinstance(client, _dask.Client) or client.asynchronous:
        kind = type(client).__name__
        raise InputError(f"client: found {kind}, expected a dask.distributed Client that is not asynchronous")
    slots = _slots(client)
    client.register_plugin(WarmUp(), name=PLUGIN)
    code = source_identity()
    outstanding: dict[Any, range] = {}

    def send(numbers: Sequence[range]) -> list[Any]:
        sent = []
        for part in numbers:
            task = Task(tuple(jobs[number] for number in part), engine, measure, code)
            future = client.submit(do_task, task, pure=False, retries=RETRIES)
            outstanding[future] = part
            sent.append(future)
        return sent

    pilots = 0 if chunk is not None else min(slots, len(jobs))
    seconds: list[float] = []
    try:
        coming = _dask.as_completed(send(chunks(0, pilots, 1)), loop=client.loop)
        if chunk is not None:
            coming.update(send(chunks(0, len(jobs), chunk)))
        for future in coming:
            part = outstanding.pop(future)
            done = _result(future, jobs[part[0]])
            yield from zip(part, done.results, strict=True)
            seconds.append(done.seconds)
            if len(seconds) == pilots < len(jobs):
                size = _size(sum(seconds) / pilots, len(jobs) - pilots, slots)
                coming.update(send(chunks(pilots, len(jobs), size)))
    finally:
        client.cancel(list(outstanding))


def _slots(client: Any) -> int:
    """The threads of all workers there are, waiting for the first."""
    if not client.ncores():
        try:
            client.wait_for_workers(1, timeout=WAIT_SECONDS)
        except TimeoutError:
            address = client.scheduler.address if client.scheduler else "the client"
            raise InputError(
                f"{address}: found no worker within {WAIT_SECONDS} s, expected at least one"
            ) from None
    return max(1, sum(map(int, client.ncores().values())))


def _size(seconds: float, left: int, slots: int) -> int:
    """Jobs a task, where one takes `seconds` and `left` are left for `slots` threads."""
    wanted = int(TASK_SECONDS / max(seconds, 1e-6))
    return max(1, min(wanted, -(-left // (TASKS_A_SLOT * slots))))


def _result(future: Any, first: Job) -> Done:
    try:
        done: Done = future.result()
    except _dask.KilledWorker as error:
        raise InputError(
            f"{first.label}: found {error.allowed_failures + 1} workers lost over it, "
            "expected one to live: have they enough memory?"
        ) from None
    return done
