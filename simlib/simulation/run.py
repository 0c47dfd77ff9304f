"""A scenario becomes a result: release, population, bench, clock, tables, in that order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pandas as pd

from simlib.device.bench import Bench
from simlib.device.memo import Memo
from simlib.engine.order import Rank
from simlib.errors import InputError
from simlib.fleet import Inventory, InventoryReport, Population, Route, populate, read_inventory, routes_of
from simlib.release import Recovery, Release, build_release
from simlib.rollout import dictated, make_policy
from simlib.scenario import Scenario
from simlib.scenario.calibration import Figure, recalled
from simlib.scenario.model import ReleaseSpec, ScenarioSpec
from simlib.scenario.toml_text import shown
from simlib.security.stores import open_store
from simlib.simulation import keeping, tables
from simlib.simulation.bound import spec_size
from simlib.simulation.capacity import check_memory
from simlib.simulation.cases import Cases, find_regular, kinds_of
from simlib.simulation.columns import assemble, columns_of
from simlib.simulation.compiled_run import CompiledRun, check_size
from simlib.simulation.device_rows import device_rows
from simlib.simulation.links import attach
from simlib.simulation.log import Exposure, Stop
from simlib.simulation.recorder import Alert, Recorder
from simlib.simulation.rows import DeviceRows
from simlib.simulation.simpy_run import Extra, SimpyRun
from simlib.simulation.supply import Supply

ENGINES = ("auto", "simpy", "compiled", "fused")
SIMPY_UP_TO = 6_000
"""Devices up to which `auto` takes the SimPy clock: it answers in about two seconds."""


@dataclass(frozen=True)
class Prepared:
    """What a run stands on before its clock starts; `explain` stands on the same."""

    spec: ScenarioSpec  # with the number of devices that the inventory has
    release: Release
    population: Population
    routes: tuple[Route, ...]
    kind: np.ndarray
    cases: Cases
    inventory: InventoryReport | None


@dataclass(frozen=True)
class Simulated:
    """What came out: tables by name, and facts beside them. Times in ms (−1: never) or wall-clock seconds."""

    tables: Mapping[str, pd.DataFrame | DeviceRows]
    engine: str
    stops: tuple[Stop, ...]  # what gates did
    events: int
    interrupted_ms: int | None
    inventory: InventoryReport | None
    keys: str  # kind of the store that the release's private keys were in
    recalled: tuple[Figure, ...]  # figures the run stood on that are recalled, not cited
    duplicates: int  # reports that arrived twice
    further_verdicts: int  # reports on devices that had a verdict already
    setup_s: float
    bench_s: float
    wall_s: float

    @property
    def halted_ms(self) -> int:
        """When a gate first fired, −1: never."""
        return next((stop.at_ms for stop in self.stops if not stop.planned), -1)

    @property
    def exposure(self) -> Exposure | None:
        """Where the fleet stood then."""
        return next((stop.exposure for stop in self.stops if not stop.planned), None)


def prepare(
    scenario: Scenario,
    *,
    devices: list[int] | None = None,
    fleet_size: int | None = None,
    memo: Memo | None = None,
    on_case: Callable[[int], None] | None = None,
    every_bit: bool = False,
) -> tuple[Prepared, float]:
    """Build release, population and cases; also the seconds the bench took. `every_bit` is as in `Cases`.

    Raises `InputError`, also for an inventory that has not `fleet_size` devices, if that is given.
    """
    spec = dictated(scenario.spec)
    routes = routes_of(spec)
    release = _release(spec)
    for number, cohort in enumerate(spec.cohorts):
        if len(cohort.base_mix) > release.primary:
            raise InputError(
                f"{spec.name}: cohorts.{number}.base_mix: found {len(cohort.base_mix)} base versions, "
                f"expected at most {release.primary}, the older releases of {spec.release.source}"
            )
    inventory = _inventory(spec, release)
    if inventory is not None:
        spec = dictated(replace(scenario.spec, devices=inventory.report.rows_used))
        if fleet_size is not None and spec.devices != fleet_size:
            raise InputError(
                f"{spec.name}: inventory.file {shown(spec.inventory.file)}: found {spec.devices} devices, "
                f"expected {fleet_size} as when it was run: the file has changed"
            )
    population = populate(spec, release.primary, routes, inventory)
    if inventory is not None and _chooses_by_devices(spec.release):
        found = np.bincount(population.base, minlength=release.primary)[: release.primary]
        release = _release(spec, tuple(map(Fraction, reversed(found.tolist()))))
    began = time.perf_counter()
    kinds, kind = kinds_of(spec, population, release)
    if every_bit:
        cases = Cases(spec, release, Bench(release, memo), kinds, on_case, every_bit=True)
    else:
        cases = keeping.take(spec, release, memo, kinds, on_case)
    find_regular(cases, kind, population, devices)
    report = None if inventory is None else inventory.report
    prepared = Prepared(spec, release, population, routes, kind, cases, report)
    return prepared, time.perf_counter() - began


def _chooses_by_devices(release: ReleaseSpec) -> bool:
    return bool(release.patch_limit) and release.patches != "newest"


def _release(spec: ScenarioSpec, populations: tuple[Fraction, ...] | None = None) -> Release:
    """The release with everything that may be offered: in flight, on the way, and after a halt.

    `populations` are how many devices run what is 1, 2, … releases behind it, should the patches be chosen by
    that; None: the cohorts' base mixes. A synthetic one is made once for all runs of a process that ask for
    it.
    """
    recovery = None
    if spec.recovery.on_halt == "forward-fix":
        recovery = Recovery("forward-fix", spec.recovery.step)
    elif spec.recovery.on_halt == "rollback":
        recovery = Recovery("rollback-resigned" if spec.recovery.resign else "rollback", spec.recovery.step)
    counted: tuple[Fraction, ...] = ()
    if _chooses_by_devices(spec.release):
        counted = spec.base_shares if populations is None else populations
    try:
        if spec.release.source != "synthetic":  # files may change between two runs
            return _built(spec.release, recovery, counted)
        return _synthetic(spec.release, recovery, counted)
    except InputError as error:
        raise InputError(f"{spec.name}: {error}") from None


def _built(release: ReleaseSpec, recovery: Recovery | None, populations: tuple[Fraction, ...]) -> Release:
    keys = open_store(release.keys)
    return build_release(release, recovery=recovery, keys=keys, populations=populations)


_synthetic = lru_cache(maxsize=4)(_built)


def _inventory(spec: ScenarioSpec, release: Release) -> Inventory | None:
    if not spec.inventory.file:
        return None
    return read_inventory(
        spec.inventory,
        source=spec.name,
        hardware=[c.hardware for c in spec.cohorts],
        cohorts=[c.name for c in spec.cohorts],
        zones=[(z.name, z.offset_ms) for z in spec.zones],
        versions=[f.label for f in release.firmwares],
        groups=len(spec.rollout.groups),
    )


def stands_on(spec: ScenarioSpec, routes: tuple[Route, ...]) -> tuple[tuple[str, str], ...]:
    """The calibration profiles a run uses, as table and name."""
    uses = {route.profile for route in routes}
    for cohort in spec.cohorts:
        uses |= {("flash", cohort.flash), ("core", cohort.core)}
        if cohort.cell:
            uses.add(("battery", cohort.cell))
    return tuple(sorted(uses))


def engine_for(name: str, devices: int, *, extra: bool = False) -> str:
    """The clock that runs so many devices when `name` is asked for; `extra`: with processes of a notebook's
    own.

    InputError for one that does not exist, or a compiled one for such processes, which only SimPy runs.
    """
    if name not in ENGINES:
        raise InputError(f"engine: found {name!r}, expected one of {', '.join(ENGINES)}")
    if extra:
        if name not in ("auto", "simpy"):
            raise InputError(f"engine: found {name!r} with SimPy processes of your own, expected simpy")
        return "simpy"
    if name == "auto":
        return "simpy" if devices <= SIMPY_UP_TO else "fused"
    return name


def simulate(
    scenario: Scenario,
    *,
    engine: str = "auto",
    extra: Extra | None = None,
    on_alert: Callable[[Alert], None] | None = None,
    on_case: Callable[[int], None] | None = None,
    watch: Callable[[Callable[[], int]], None] | None = None,
    memo: Memo | None = None,
    record: bool = True,
) -> Simulated:
    """Simulate `scenario` from time 0 to its horizon; see `simlib.study.run` for the arguments.

    Without `record` the tables of transfers, failed steps and beliefs are left out.
    """
    clock_name = engine_for(engine, scenario.spec.devices, extra=extra is not None)
    if clock_name != "simpy":
        check_size(scenario.spec)
    check_memory(scenario.spec, clock_name, record=record)
    began = time.perf_counter()
    prepared, bench_s = prepare(scenario, memo=memo, on_case=on_case)
    spec, population, routes = prepared.spec, prepared.population, prepared.routes
    clock_name = engine_for(engine, spec.devices, extra=extra is not None)
    bound = _bind(clock_name, prepared, on_alert, record=record)
    if watch is not None:
        watch(lambda: int(bound.clock.now))
    started = time.perf_counter()
    interrupted_ms = None
    try:
        if isinstance(bound, SimpyRun):
            bound.run(extra)
        else:
            bound.run()
    except KeyboardInterrupt:
        interrupted_ms = bound.clock.now
        if clock_name == "fused":  # its devices have run ahead: once more, and only so far
            bound = _bind("compiled", prepared, None, record=record)  # its alerts have been told
            bound.clock.after(interrupted_ms, Rank.SAMPLING, _stop)
            with suppress(KeyboardInterrupt):
                bound.run()
    wall_s = time.perf_counter() - started - bound.supply.seconds
    fleet, recorder, supply = bound.fleet, bound.recorder, bound.supply
    if isinstance(bound, CompiledRun):
        bound.let_go()
    end_ms = spec.horizon_ms if interrupted_ms is None else interrupted_ms
    tables.close_pending(fleet, halted=bool(fleet.halted[0]), interrupted=interrupted_ms is not None)
    group = np.array(bound.service.tally.group)
    devices = device_rows(
        spec, population, prepared.release, prepared.cases, routes, fleet, group, bound.released_ms(), end_ms
    )
    keeping.give_back(prepared.cases, spec, prepared.release, memo)
    return Simulated(
        tables={
            "devices": devices,
            "groups": tables.group_table(devices, bound.log, bound.service.silent()),
            "timeline": tables.timeline_table(recorder),
            "alerts": tables.alert_table(recorder),
            **(
                {
                    "grants": tables.grant_table(recorder),
                    "beliefs": tables.belief_table(devices),
                    "errors": tables.error_table(recorder),
                }
                if record
                else {}
            ),
        },
        engine=clock_name,
        stops=tuple(bound.log.stops),
        events=bound.log.events,
        interrupted_ms=interrupted_ms,
        inventory=prepared.inventory,
        keys=prepared.release.keys,
        recalled=recalled(stands_on(spec, routes)),
        duplicates=bound.service.duplicates,
        further_verdicts=bound.service.further_verdicts,
        setup_s=started - began - bench_s,
        bench_s=bench_s + supply.seconds,
        wall_s=wall_s,
    )


def _bind(
    clock: str, prepared: Prepared, on_alert: Callable[[Alert], None] | None, *, record: bool
) -> SimpyRun | CompiledRun:
    """Everything a clock of this name needs, at time 0."""
    spec, population, routes, cases = prepared.spec, prepared.population, prepared.routes, prepared.cases
    attachment = attach(spec, population, routes, max(cases.wire_bytes))
    recorder = Recorder(spec.devices, on_alert=on_alert)
    sizes = np.bincount(population.group, minlength=len(spec.rollout.groups)).tolist()
    policy = make_policy(spec, tuple(sizes))
    if policy.pull:  # who is in which group shows as they come
        policy = make_policy(spec, tuple(spec_size(spec, number) for number in range(len(sizes))))
    if clock == "simpy":
        fleet = assemble(spec, population, prepared.kind, routes, prepared.release, cases)
        supply = Supply(fleet, cases, routes)
        return SimpyRun(spec, fleet, population, attachment, policy, recorder, supply)
    devices, others = columns_of(spec, population, prepared.kind, routes, prepared.release, cases)
    return CompiledRun(
        spec,
        population,
        routes,
        devices,
        others,
        attachment,
        policy,
        recorder,
        cases,
        fused=clock == "fused",
        record=record,
    )


def _stop(_now: int) -> None:
    raise KeyboardInterrupt
