"""A campaign of mutated images and patches against the code that has to refuse them.

python -m tests.mutations.campaign [--images N] [--patches N] [--slots N] [--workers W] [--seed S] [--json]
python -m tests.mutations.campaign --family FAMILY --case N [--seed S]

The first prints how many cases ended in which way (`cases` says which ways there are), what they took, and
every defect with the command that makes its case again, which is the second. Exit status 1 with a defect.

Every second patch is signed again, with all its hashes made right, and goes through the updater of a small
device; the others go to `apply_patch`, which is all that would ever see them: an updater refuses a blob that
is not its manifest's before it looks into it.

Cases run in processes of their own, which take a part of the numbers at a time. Where one dies, by a crash or
because the system ended a hang, that case is a defect and the rest of its part is done anew by another.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from tests.mutations.dice import Family
from tests.mutations.guard import prepare
from tests.mutations.tally import Tally

PART_CASES = 500
NOTHING_RUNS = -1
_spawn = get_context("spawn")

Part = tuple[Family, int, int]


def run_part(seed: int, part: Part, running: Any = None) -> Tally:
    """The cases of a part, counted; `running` is told the number of each before it begins."""
    from tests.mutations.cases import run_case

    family, first, end = part
    tally = Tally()
    for case in range(first, end):
        if running is not None:
            running.value = case
        try:
            outcome = run_case(seed, family, case)
        except Exception as error:  # the campaign's own fault, and not to be passed over
            tally.defect(seed, family, case, f"could not be made: {type(error).__name__}: {error}")
            continue
        way = tally.way(outcome.way)
        way.verdicts[str(outcome.verdict)] += 1
        way.done.update(outcome.done)
        way.seconds += outcome.spent.seconds
        way.slowest.see(outcome.spent.seconds, 1, case)
        if outcome.spent.peak_bytes is not None:
            way.traced += 1
            way.largest.see(outcome.spent.peak_bytes, outcome.bound_bytes, case)
        if outcome.defect is not None:
            tally.defect(seed, family, case, f"{outcome.way}, {', '.join(outcome.done)}: {outcome.defect}")
    return tally


def work(seed: int, parts: Connection, running: Any) -> None:
    """A worker: parts come in, tallies go out, None ends it."""
    prepare()
    while (part := parts.recv()) is not None:
        tally = run_part(seed, part, running)
        running.value = NOTHING_RUNS
        parts.send(tally)


@dataclass
class _Worker:
    process: BaseProcess
    parts: Connection
    running: Any
    part: Part | None = None

    @classmethod
    def start(cls, seed: int, task: Callable[..., None]) -> _Worker:
        mine, theirs = _spawn.Pipe()
        running = _spawn.Value("q", NOTHING_RUNS)
        process = _spawn.Process(target=task, args=(seed, theirs, running), daemon=True)
        process.start()
        theirs.close()
        return cls(process, mine, running)

    def end(self) -> None:
        self.parts.send(None)
        self.process.join()


def campaign(seed: int, counts: dict[Family, int], workers: int, task: Callable[..., None] = work) -> Tally:
    """Run the first `counts` cases of each family in that many processes, each of which does `task`."""
    todo = deque(
        (family, first, min(first + PART_CASES, count))
        for family, count in counts.items()
        for first in range(0, count, PART_CASES)
    )
    tally = Tally()
    team = [_Worker.start(seed, task) for _ in range(min(workers, len(todo)))]
    for worker in team:
        _give(worker, todo)
    while busy := [worker for worker in team if worker.part is not None]:
        ready = set(wait([worker.parts for worker in busy]))
        for worker in busy:
            if worker.parts not in ready:
                continue
            try:
                tally.add(worker.parts.recv())
            except EOFError:
                team.remove(worker)
                todo.extend(_without_the_fatal(seed, worker, tally))
                worker = _Worker.start(seed, task)  # noqa: PLW2901 -- another takes its place
                team.append(worker)
            _give(worker, todo)
    for worker in team:
        worker.end()
    return tally


def _give(worker: _Worker, todo: deque[Part]) -> None:
    worker.part = todo.popleft() if todo else None
    if worker.part is not None:
        worker.parts.send(worker.part)


def _without_the_fatal(seed: int, worker: _Worker, tally: Tally) -> list[Part]:
    """Book the case that a worker died in; what is left of its part."""
    worker.process.join()
    assert worker.part is not None
    family, first, end = worker.part
    fatal = worker.running.value
    if fatal == NOTHING_RUNS:
        raise RuntimeError(f"a worker ended before its first case, exit status {worker.process.exitcode}")
    tally.way("ended its process").verdicts["defect"] += 1
    tally.defect(seed, family, fatal, f"ended its process: {_how(worker.process.exitcode or 0)}")
    return [part for part in ((family, first, fatal), (family, fatal + 1, end)) if part[1] < part[2]]


def _how(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit status {exit_code}"
    name = signal.Signals(-exit_code).name
    return {"SIGPROF": "hang, computing", "SIGALRM": "hang, waiting"}.get(name, name)


def main(given: list[str] | None = None) -> int:
    """Run the campaign, or one case of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations.campaign", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--patches", type=int, default=0)
    parser.add_argument("--slots", type=int, default=0, help="mutated images brought to a device")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--family", choices=[family.name.lower() for family in Family])
    parser.add_argument("--case", type=int)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(given)
    if (asked.family is None) != (asked.case is None):
        parser.error("--family and --case go together")
    if asked.case is not None:
        prepare()
        tally = run_part(asked.seed, (Family[asked.family.upper()], asked.case, asked.case + 1))
        for name, way in tally.ways.items():
            print(f"{name}: {', '.join(way.verdicts)} after {', '.join(way.done) or 'nothing'}")
        print(*tally.defects, sep="\n")
        return 1 if tally.defects else 0
    counts = {Family.IMAGES: asked.images, Family.PATCHES: asked.patches, Family.SLOTS: asked.slots}
    tally = campaign(asked.seed, counts, asked.workers)
    print(json.dumps(tally.as_json()) if asked.json else tally.as_text())
    return 1 if tally.defects else 0


if __name__ == "__main__":
    sys.exit(main())
