"""Every clock on the same scenario, in turns: how long each takes, the memory it needs, and that they agree.

Each clock has a process of its own (`bench_worker`), and they run one at a time. In each round each clock
runs once, and every round begins with the next one, so that a machine that slows down slows all of them.
A figure of seconds is the clock alone: no import, no compilation, no bench, no population, no tables. The
memory is the most that the clock's process had resident when its first run had ended, tables and digest
included. Before all of it a rehearsal in a process of its own has the bench compute what it does not remember
yet, which takes more memory than the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.simulation.run import ENGINES
from simlib.study.bench_worker import Timed, Worker, rehearse

ROUNDS: Final = 5
ENOUGH_S: Final = 10.0
"""Unless told how often, a clock whose runs have taken so long together is not run again."""
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """What the runs of one clock gave; figures derived from several runs are of the median one."""

    runs: tuple[Timed, ...]

    @property
    def seconds(self) -> tuple[float, float, float]:
        """Least, median and most seconds of the clock alone."""
        each = [run.seconds for run in self.runs]
        return min(each), median(each), max(each)

    @property
    def events_per_s(self) -> float:
        """Events in a second."""
        return self.runs[0].events / self.seconds[1]

    @property
    def ns_per_event(self) -> float:
        """Nanoseconds an event."""
        return 1e9 * self.seconds[1] / self.runs[0].events

    @property
    def us_per_device(self) -> float:
        """Microseconds a device."""
        return 1e6 * self.seconds[1] / self.runs[0].devices

    @property
    def peak_rss_mb(self) -> float | None:
        """Most memory after the first run [10**6 bytes]; None where the system does not tell."""
        peak = self.runs[0].peak_rss_bytes
        return None if peak is None else round(peak / MB, 1)

    def to_json(self) -> dict[str, Any]:
        """The figures as `simlib bench --json` prints them."""
        least, middle, most = self.seconds
        return {
            "runs": len(self.runs),
            "seconds_min": least,
            "seconds_median": middle,
            "seconds_max": most,
            "events": self.runs[0].events,
            "events_per_s": round(self.events_per_s, 1),
            "peak_rss_mb": self.peak_rss_mb,
        }


@dataclass(frozen=True, slots=True)
class Benchmark:
    """All clocks on one scenario. `interrupted`: not all the runs that were meant to be."""

    scenario: str
    seed: int
    engines: Mapping[str, EngineFigures]
    interrupted: bool

    @property
    def devices(self) -> int:
        """The size of the fleet."""
        return next(iter(self.engines.values())).runs[0].devices

    @property
    def digests(self) -> frozenset[str]:
        """The different digests of all runs: one, if the clocks agree."""
        return frozenset(run.digest for figures in self.engines.values() for run in figures.runs)

    def to_json(self) -> dict[str, Any]:
        """The benchmark as `simlib bench --json` prints it."""
        facts: dict[str, Any] = {
            "devices": self.devices,
            "engines": {name: figures.to_json() for name, figures in self.engines.items()},
            "digests_equal": len(self.digests) == 1,
        }
        return facts | {"interrupted": True} if self.interrupted else facts


def bench(
    scenario: Scenario | str,
    *,
    repeats: int | None = None,
    engines: Sequence[str] | None = None,
    on_run: Callable[[int], None] | None = None,
) -> Benchmark:
    """Run `scenario` on every clock, or on `engines`, in turns; the module's docstring says how.

    Each runs `repeats` times; without it `ROUNDS` times, or until its runs have taken `ENOUGH_S` seconds.
    `on_run` is called with the number of runs so far. Interrupting it (Ctrl-C) gives what there is, without
    the clocks that have not run yet. Raises `InputError`.
    """
    if isinstance(scenario, str):
        scenario = Scenario.load(scenario)
    if repeats is not None and repeats < 1:
        raise InputError(f"repeats: found {repeats}, expected 1 or more")
    known = [name for name in ENGINES if name != "auto"]
    names = known if engines is None else list(engines)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        found = ", ".join(unknown) or "none"
        raise InputError(f"engines: found {found}, expected some of {', '.join(known)}")
    runs: dict[str, list[Timed]] = {name: [] for name in names}
    interrupted = False
    with ExitStack() as stack:
        try:
            rehearse(scenario, names[-1])  # the fastest, where all are measured
            workers = {name: stack.enter_context(Worker(scenario, name)) for name in names}
            for worker in workers.values():
                worker.wait_ready()
            for turn in range(repeats or ROUNDS):
                for name in names[turn % len(names) :] + names[: turn % len(names)]:
                    spent = sum(run.seconds for run in runs[name])
                    if repeats is not None or spent < ENOUGH_S:
                        runs[name].append(workers[name].run())
                        if on_run is not None:
                            on_run(sum(map(len, runs.values())))
        except KeyboardInterrupt:
            if not any(runs.values()):
                raise
            interrupted = True
    return Benchmark(
        scenario.spec.name,
        scenario.spec.seed,
        {name: EngineFigures(tuple(each)) for name, each in runs.items() if each},
        interrupted,
    )
