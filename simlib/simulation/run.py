"""A scenario becomes a result: release, population, bench, clock, tables, in that order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from simlib.device.bench import Bench
from simlib.device.memo import Memo
from simlib.errors import InputError
from simlib.fleet import Population, populate
from simlib.release import Release, build_release
from simlib.results import Run, Timings, summarise
from simlib.rollout import make_policy
from simlib.scenario import Scenario
from simlib.simulation import tables
from simlib.simulation.cases import CaseTable, build_cases
from simlib.simulation.columns import assemble
from simlib.simulation.links import attach
from simlib.simulation.recorder import Alert, Recorder
from simlib.simulation.simpy_run import Extra, SimpyRun

ENGINES = ("auto", "simpy")


@dataclass(frozen=True)
class Prepared:
    """What a run stands on before its clock starts; `explain` stands on the same."""

    release: Release
    population: Population
    cases: CaseTable


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


def run(
    scenario: Scenario | str,
    *,
    engine: str = "auto",
    extra: Extra | None = None,
    on_alert: Callable[[Alert], None] | None = None,
    on_case: Callable[[int], None] | None = None,
    memo: bool = True,
) -> Run:
    """Simulate one scenario (an object, a preset's name or a file).

    `extra` may add SimPy processes of its own beside the fleet; `on_alert` is called with each alert as
    it happens. With ``memo=False`` the bench computes every case anew. Interrupting the clock (Ctrl-C)
    gives the result up to then, marked by ``summary["interrupted_at_ms"]``.
    """
    clock_name = engine_for(engine)
    began = time.perf_counter()
    if isinstance(scenario, str):
        scenario = Scenario.load(scenario)
    spec = scenario.spec
    prepared, bench_s = prepare(scenario, memo=Memo.open_default() if memo else None, on_case=on_case)
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
    tables.close_pending(fleet, halted=bound.log.halted_ms >= 0)
    devices = tables.device_table(spec, prepared.population, prepared.release, prepared.cases, fleet)
    exposure = asdict(bound.log.exposure) if bound.log.exposure is not None else None
    summary = summarise(
        scenario=spec.name,
        seed=spec.seed,
        engine=clock_name,
        devices=devices,
        halted_ms=bound.log.halted_ms,
        exposure=exposure,
        events=bound.log.events,
        timings=Timings(setup_s=started - began - bench_s, bench_s=bench_s, wall_s=wall_s),
        interrupted_ms=interrupted_ms,
    )
    frames = {
        "devices": devices,
        "groups": tables.group_table(devices, bound.log, bound.service.silent()),
        "timeline": tables.timeline_table(recorder),
        "alerts": tables.alert_table(recorder),
        "grants": tables.grant_table(recorder),
    }
    return Run(scenario.to_toml(), frames, summary)
