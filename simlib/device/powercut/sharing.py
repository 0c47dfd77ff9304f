"""Tasks done by this process and by others at once, each taking the next when it is done with one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from simlib.device.powercut.process import Process, ProcessEndedError, Task
from simlib.device.powercut.stand import Stand


def shared(tasks: Sequence[Task], stand: Stand, others: Sequence[Process]) -> Iterator[tuple[int, Any]]:
    """Each task's number and what came of it, as it is done.

    A process that ends leaves its task to this one.
    """
    left = list(enumerate(tasks))[::-1]
    lock = Lock()
    answers: SimpleQueue[tuple[int, Any]] = SimpleQueue()

    def taken() -> tuple[int, Task] | None:
        with lock:
            return left.pop() if left else None

    def follow(other: Process) -> None:
        while (next_task := taken()) is not None:
            number, task = next_task
            try:
                answers.put((number, other.do(task)))
            except ProcessEndedError:
                with lock:
                    left.append(next_task)
                return

    threads = [Thread(target=follow, args=(other,), daemon=True) for other in others]
    for thread in threads:
        thread.start()
    while True:
        while (next_task := taken()) is not None:
            number, task = next_task
            yield number, task(stand)
            while not answers.empty():
                yield answers.get()
        for thread in threads:
            thread.join()
        while not answers.empty():
            yield answers.get()
        if not left:
            return
