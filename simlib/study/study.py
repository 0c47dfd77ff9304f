"""A study: one scenario at the points of a grid, replicated under common seeds, as one tidy table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.scenario.toml_text import shown
from simlib.study import measures
from simlib.study.confidence import intervals
from simlib.study.execution import Executor
from simlib.study.frame import Place, frame_of
from simlib.study.grid import Point, Varied, points_of, values_of, whole
from simlib.study.jobs import Job, Measure, Row

if TYPE_CHECKING:
    from simlib.study.ranges import Range
    from simlib.study.stopping import Stopped

_LAST_SEED: Final = (1 << 64) - 1


class Study:
    """Replications of `scenario` (an object, a preset's name or a file) at each point of a grid.

    A study never changes: `vary` and `replicate` give another one. Replication r has the same seed at every
    point, so differences between points are taken under common random numbers. `engine` is the clock;
    `measure` what a replication is asked for, a pure function of a scenario and the clock's name that gives
    a dictionary of numbers, truths or text, None for what is missing. Raises `InputError`.
    """

    __slots__ = ("_seeds", "engine", "measure", "replications", "scenario", "varied")

    def __init__(
        self,
        scenario: Scenario | str | os.PathLike[str],
        *,
        engine: str = "auto",
        measure: Measure = measures.measure,
    ) -> None:
        self.scenario = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
        self.engine = engine
        self.measure = measure
        self.varied: Varied = ()
        self.replications = 1
        self._seeds: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        grid = "".join(f".vary({key!r}, <{len(values)} values>)" for key, values in self.varied)
        return f"Study({self.scenario.name!r}){grid}.replicate({self.replications})"

    def vary(self, key: str, values: Iterable[object]) -> Study:
        """The study that takes dotted `key` of the scenario through `values` too, with all it varies already.

        Raises `InputError`; whether the scenario takes the values is found out by `points` and `run`.
        """
        if key == "seed":
            raise InputError("vary: found seed, expected another key: replicate(n, seeds=...) takes seeds")
        if key in dict(self.varied):
            raise InputError(f"vary: found {shown(key)} again, expected each key once")
        return self._with(varied=(*self.varied, (key, values_of(key, values))))

    def replicate(self, n: int, seeds: Sequence[int] | None = None) -> Study:
        """The study with `n` replications a point, under `seeds` or the scenario's seed and those after it.

        Raises `InputError` for fewer than one, and for seeds that are not `n` different ones from 0 to
        2^64 - 1: the same seed twice is one replication counted twice.
        """
        n = whole(n, "replicate", 1)
        if seeds is None:
            return self._with(replications=n, _seeds=None)
        given = tuple(whole(seed, "replicate: seeds", 0) for seed in seeds)
        if len(set(given)) != n or len(given) != n:
            raise InputError(
                f"replicate: seeds: found {len(given)}, {len(set(given))} of them different, expected {n}"
            )
        return self._with(replications=n, _seeds=given)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each replication, the same at every point."""
        return self.seeds_of(self.replications)

    def seeds_of(self, n: int) -> tuple[int, ...]:
        """The seeds of the first `n` replications. `InputError` for fewer given, or if 2^64 is reached."""
        if self._seeds is not None:
            if n > len(self._seeds):
                raise InputError(f"replicate: seeds: found {len(self._seeds)}, expected {n} or more")
            found = self._seeds[:n]
        else:
            found = tuple(range(self.scenario.spec.seed, self.scenario.spec.seed + n))
        if max(found) > _LAST_SEED:
            raise InputError(f"seed: found {max(found)}, expected 0 to {_LAST_SEED}")
        return found

    def points(self) -> tuple[Point, ...]:
        """The full grid, the first key varied slowest. `InputError` of a point begins with its values."""
        return points_of(self.scenario, self.varied)

    def run(
        self,
        client: Any = None,
        *,
        workers: int | None = None,
        progress: bool | None = None,
        chunk: int | None = None,
    ) -> pd.DataFrame:
        """Simulate every replication of every point; a row for each, points in grid order.

        Columns: the varied keys, `replication` (from 0), `seed`, then the measures (`measures.DTYPES`). The
        table is the same, byte for byte, wherever and in whatever order the rows were computed: `workers`
        threads of this process (default one a processor), or a `dask.distributed.Client`, `chunk`
        replications a task (default by how long one takes). A lost worker's tasks are done again.

        `progress` shows or hides a bar; by default it is shown where standard error is a terminal. Every
        point is checked before anything runs: `InputError` names the point. Ctrl-C gives the rows finished
        by then, marked by ``frame.attrs["interrupted"]``.
        """
        executor = Executor(client, workers, chunk, progress)
        points = self.points()
        self.check(points)
        done, interrupted = self.sample(points, range(self.replications), executor)
        frame = frame_of(points, done)
        if interrupted:
            frame.attrs["interrupted"] = True
        return frame

    def check(self, points: Sequence[Point]) -> None:
        """Find out what would keep a point from running, as far as that is known without it.

        Raises the `InputError` of the first such point, its values before the message.
        """
        seed = self.seeds[0]
        for point in points:
            try:
                measures.check(point.scenario.with_seed(seed), self.engine)
            except InputError as error:
                raise InputError(f"{point.label}: {error}") from None

    def sample(
        self, points: Sequence[Point], replications: range, executor: Executor
    ) -> tuple[list[tuple[Place, Row]], bool]:
        """The measures of some points' replications, unchecked, and whether Ctrl-C ended them early."""
        seeds = self.seeds_of(replications.stop)
        places = [Place(p, r, seeds[r]) for p in range(len(points)) for r in replications]
        jobs = [
            Job(points[p].scenario, seed, f"{points[p].label}, replication {r} (seed {seed})")
            for p, r, seed in places
        ]
        rows, interrupted = executor.do(jobs, self.engine, self.measure)
        found = [(place, row) for place, row in zip(places, rows, strict=True) if row is not None]
        return found, interrupted

    def summary(
        self, frame: pd.DataFrame, measures: Sequence[str] | None = None, *, level: float = 0.95
    ) -> pd.DataFrame:
        """The mean of each measure at each point with its confidence interval; see `intervals`."""
        return intervals(frame, measures, level=level)

    def run_until(
        self,
        measure: str,
        half_width: float,
        *,
        level: float = 0.95,
        between: tuple[object, object] | None = None,
        start: int = 10,
        most: int = 1000,
        batch: int = 10,
        client: Any = None,
        workers: int | None = None,
        progress: bool | None = None,
    ) -> Stopped:
        """Replicate until `measure` is known to within `half_width`, in its own unit, or `most` times.

        See `simlib.study.stopping.run_until`.
        """
        from simlib.study.stopping import Rule, run_until

        rule = Rule(measure, half_width, level=level, start=start, most=most, batch=batch)
        return run_until(self, rule, between, Executor(client, workers, None, progress))

    def sensitivity(
        self,
        ranges: Mapping[str, Range] | None = None,
        *,
        method: str = "sobol",
        n: int = 64,
        measures: Sequence[str] = ("updated", "time_to_90_ms"),
        level: float = 0.95,
        client: Any = None,
        workers: int | None = None,
        progress: bool | None = None,
    ) -> pd.DataFrame:
        """Which uncertain figures matter to `measures`; see `simlib.study.sensitivity.sensitivity`."""
        from simlib.study.sensitivity import sensitivity

        executor = Executor(client, workers, None, progress)
        return sensitivity(
            self, ranges, method=method, n=n, measures=measures, level=level, executor=executor
        )

    def _with(self, **changes: object) -> Study:
        other = Study(self.scenario, engine=self.engine, measure=self.measure)
        for name in ("varied", "replications", "_seeds"):
            setattr(other, name, changes.get(name, getattr(self, name)))
        return other
