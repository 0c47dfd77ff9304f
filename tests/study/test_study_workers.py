"""One table whoever computes it: threads, processes of a Dask cluster, and a cluster that loses a worker."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Iterator

import distributed
import pandas as pd
import pytest

from simlib.errors import InputError
from simlib.study import Study
from simlib.study.cluster import PLUGIN, TASK_SECONDS, WarmUp, _size, done_there
from simlib.study.identity import source_identity
from simlib.study.jobs import Failure, Job, Task, chunks, do, do_task
from simlib.study.warm import warm

DROP = "faults.drop"


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream, index=False)
    return stream.getvalue()


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert parquet(found) == parquet(expected)
    assert found.attrs == expected.attrs


@pytest.fixture(scope="module")
def study(small) -> Study:
    return Study(small).vary(DROP, [0.02, 0.3]).vary("rollout.groups.0.share", [0.05, 0.1]).replicate(5)


@pytest.fixture(scope="module")
def expected(study) -> pd.DataFrame:
    return study.run(workers=1)


@pytest.fixture(scope="module")
def client(cache) -> Iterator[distributed.Client]:
    """Two processes of one thread each; the cache's folder reaches them by the environment."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_two_threads_give_the_table_of_one(study, expected):
    assert_same(study.run(workers=2), expected)


def test_the_order_of_completion_is_not_the_order_of_the_rows(small, noisy):
    """The first replications take longest, so that the last are done first."""

    def slow_first(scenario, engine):
        time.sleep(0.02 * (8 - scenario.spec.seed))
        finished.append(scenario.spec.seed)
        return noisy(scenario, engine)

    finished: list[int] = []
    found = Study(small, measure=slow_first).replicate(8).run(workers=8)
    assert finished != sorted(finished)
    assert_same(found, Study(small, measure=noisy).replicate(8).run(workers=1))


@pytest.mark.parametrize("chunk", [None, 1, 3, 1000])
def test_two_processes_of_a_cluster_give_the_table_of_one_thread(chunk, study, expected, client):
    assert_same(study.run(client, chunk=chunk), expected)


def test_every_worker_was_made_ready_once(study, client):
    study.run(client, chunk=10)
    study.run(client, chunk=10)
    assert all(client.run(lambda dask_worker: PLUGIN in dask_worker.plugins).values())
    made = client.run(lambda: __import__("simlib.study.warm").study.warm.warm.cache_info().misses)
    assert len(made) == 2 and set(made.values()) == {1}


def test_both_workers_take_part(study, client):
    marks = client.run(lambda: __import__("os").getpid())
    where = Study(study.scenario, measure=lambda _s, _e: {"process": __import__("os").getpid()}).replicate(40)
    assert set(where.run(client, chunk=2)["process"]) == set(marks.values())


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_a_worker_killed_in_the_middle_changes_nothing(small, client):
    many = Study(small.with_({"devices": 200})).vary(DROP, [0.02, 0.3]).replicate(12)
    expected = many.run(workers=2)
    pids = client.run(os.getpid)
    victim, pid = next(iter(pids.items()))
    busy_when_killed: list[int] = []

    def kill() -> None:
        while not busy_when_killed:
            tasks = client.processing([victim])[victim]
            if tasks:
                os.kill(pid, signal.SIGKILL)
                busy_when_killed.append(len(tasks))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    found = many.run(client, chunk=3)
    killer.join(timeout=60)
    assert busy_when_killed, "nobody was killed"
    client.wait_for_workers(2)
    assert pid not in client.run(os.getpid).values()
    assert_same(found, expected)


def test_workers_lost_again_and_again_are_an_error_that_names_the_replication(small, client):
    deadly = Study(small, measure=lambda _s, _e: os.kill(os.getpid(), signal.SIGKILL)).replicate(1)
    with pytest.raises(InputError, match=r"smoke, replication 0 \(seed 1\): found 4 workers lost over it"):
        deadly.run(client)
    client.wait_for_workers(2)


def test_an_error_on_a_worker_is_raised_here_with_its_point(small, client):
    hopeless = Job(small.with_({"cohorts.0.slot_size": "20 KiB"}), 5, "slot = 20, replication 4")
    from simlib.study.measures import measure

    ((number, failure),) = done_there(client, [hopeless], "auto", measure, None)
    assert number == 0 and isinstance(failure, Failure)
    raised = failure.raised()
    assert isinstance(raised, InputError)
    assert str(raised).startswith("slot = 20, replication 4: smoke: cohorts.0.slot_size: found 20480 bytes")


def test_a_worker_with_other_code_is_refused(small, noisy):
    task = Task((Job(small, 1, "here"),), "auto", noisy, "0" * 64)
    (refused,) = do_task(task).results
    assert isinstance(refused, Failure)
    assert str(refused.raised()).startswith("here: worker: found another version of simlib")
    ours = Task(task.jobs, "auto", noisy, source_identity())
    assert do_task(ours).results == (do(task.jobs[0], "auto", noisy),)


@pytest.mark.parametrize("total", [1, 7, 100])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_tasks_hold_every_job_once_and_in_order(total, size):
    parts = chunks(2, total, size)
    assert [number for part in parts for number in part] == list(range(2, total))
    assert all(1 <= len(part) <= size for part in parts)


def test_short_jobs_are_grouped_and_long_ones_are_not():
    assert _size(TASK_SECONDS / 20, 10_000, slots=2) == 20
    assert _size(TASK_SECONDS * 5, 10_000, slots=2) == 1
    assert _size(0.0, 64, slots=2) == 8  # never so many that a thread has nothing to do at the end
    assert _size(0.0, 1, slots=64) == 1


def test_warming_up_loads_what_a_replication_needs():
    warm()
    assert warm.cache_info().currsize == 1
    assert WarmUp.setup is not distributed.WorkerPlugin.setup
