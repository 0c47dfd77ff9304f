"""A scenario becomes a result: release, population, bench, clock, tables, in that order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from simlib.device.bench import Bench
from simlib.device.memo import Memo
from simlib.errors import InputError
from simlib.fleet import Population, populate
from simlib.release import Release, build_release
from simlib.rollout import make_policy
from simlib.scenario import Scenario
from simlib.simulation import tables
from simlib.simulation.cases import CaseTable, build_cases
from simlib.simulation.columns import assemble
from simlib.simulation.links import attach
from simlib.simulation.recorder import Alert, Recorder
from simlib.simulation.simpy_run import Exposure, Extra, SimpyRun

ENGINES = ("auto", "simpy")


@dataclass(frozen=True)
class Prepared:
    """What a run stands on before its clock starts; `explain` stands on the same."""

    release: Release
    population: Population
    cases: CaseTable


@dataclass(frozen=True)
class Simulated:
    """What came out: tables by name, and facts beside them. Times in ms (−1: never) or wall-clock seconds."""

    tables: Mapping[str, pd.DataFrame]
    engine: str
    halted_ms: int
    exposure: Exposure | None
    events: int
    interrupted_ms: int | None
    setup_s: float
    bench_s: float
    wall_s: float


def prepare(
    scenario: Scenario,
    *,
    devices: list[int] | None = None,
    memo: Memo | None = None,
    on_case: Callable[[int], None] | None = None,
) -> tuple[Prepared, float]:
    """Build release, population and cases; also the seconds the bench took."""
    spec = scenario.spec
    release = build_release(spec.release)
    for number, cohort in enumerate(spec.cohorts):
        if len(cohort.base_mix) > len(release.images) - 1:
            raise InputError(
                f"{spec.name}: cohorts.{number}.base_mix: found {len(cohort.base_mix)} base versions, "
                f"expected at most {len(release.images) - 1}, the older releases of {spec.release.source}"
            )
    population = populate(spec, len(release.images))
    began = time.perf_counter()
    bench = Bench(release, memo)
    cases = build_cases(spec, release, population, bench, devices=devices, progress=on_case)
    return Prepared(release, population, cases), time.perf_counter() - began


def engine_for(name: str) -> str:
    """The clock that runs when `name` is asked for. InputError for one that does not exist."""
    if name not in ENGINES:
        raise InputError(f"engine: found {name!r}, expected one of {', '.join(ENGINES)}")
    return "simpy"


def simulate(
    scenario: Scenario,
    *,
    engine: str = "auto",
    extra: Extra | None = None,
    on_alert: Callable[[Alert], None] | None = None,
    on_case: Callable[[int], None] | None = None,
    memo: Memo | None = None,
) -> Simulated:
    """Simulate `scenario` from time 0 to its horizon; see `simlib.study.run` for the arguments."""
    clock_name = engine_for(engine)
    began = time.perf_counter()
    spec = scenario.spec
    prepared, bench_s = prepare(scenario, memo=memo, on_case=on_case)
    fleet = assemble(spec, prepared.population, prepared.cases, len(prepared.release.images) - 1)
    recorder = Recorder(spec.devices, on_alert=on_alert)
    bound = SimpyRun(
        spec,
        fleet,
        prepared.population.group.tolist(),
        attach(spec, prepared.population, max(prepared.cases.wire_bytes)),
        make_policy(spec.rollout),
        recorder,
    )
    started = time.perf_counter()
    interrupted_ms = None
    try:
        bound.run(extra)
    except KeyboardInterrupt:
        interrupted_ms = bound.clock.now
    wall_s = time.perf_counter() - started
    end_ms = spec.horizon_ms if interrupted_ms is None else interrupted_ms
    halted = bound.log.halted_ms >= 0
    tables.close_pending(fleet, halted=halted, interrupted=interrupted_ms is not None)
    devices = tables.device_table(spec, prepared.population, prepared.release, prepared.cases, fleet, end_ms)
    return Simulated(
        tables={
            "devices": devices,
            "groups": tables.group_table(devices, bound.log, bound.service.silent()),
            "timeline": tables.timeline_table(recorder),
            "alerts": tables.alert_table(recorder),
            "grants": tables.grant_table(recorder),
        },
        engine=clock_name,
        halted_ms=bound.log.halted_ms,
        exposure=bound.log.exposure,
        events=bound.log.events,
        interrupted_ms=interrupted_ms,
        setup_s=started - began - bench_s,
        bench_s=bench_s,
        wall_s=wall_s,
    )
