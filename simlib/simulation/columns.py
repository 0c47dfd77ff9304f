"""From a scenario, its population and its cases to the life-cycle's integer columns.

Columns of the scenario and of cohorts are made here; those of devices in `simlib.simulation.devices`, those
of batteries and backups in `simlib.simulation.costs`.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simlib.device import layouts
from simlib.draws import CERTAIN, threshold
from simlib.errors import InputError
from simlib.fleet import Population, Route
from simlib.fleet.population import is_uniform
from simlib.lifecycle import columns as rule
from simlib.lifecycle.columns import NEVER, NO_ROW, Fleet
from simlib.lifecycle.waiting import DAY_MS, WEEK_HOURS
from simlib.release import Release
from simlib.scenario.distributions import Distribution, quantile_table
from simlib.scenario.field_model import HabitSpec, OwnerSpec
from simlib.scenario.model import CohortSpec, ScenarioSpec
from simlib.scenario.schema import JITTERS
from simlib.scenario.schema_field import EFFECTS, ON_HALT
from simlib.simulation.cases import NJ_PER_UJ, Cases, up
from simlib.simulation.costs import CohortCosts, costs_of
from simlib.simulation.devices import device_columns

_ONE, _NONE = Fraction(1), Fraction(0)
ALWAYS_THERE = HabitSpec(
    name="",
    by_hour=(_ONE,) * 24,
    by_weekday=(_ONE,) * 7,
    gaps=None,
    dormant=_NONE,
    dormant_for=None,
    online=None,
    offline=None,
    charge=_ONE,
    charge_from_ms=0,
    charge_for_ms=1,
    use_low=_NONE,
    use_high=_NONE,
)
"""The habit of a cohort that names none."""
NOBODY = OwnerSpec(
    name="",
    automatic=_ONE,
    prompted=_NONE,
    never=_NONE,
    accept=_ONE,
    postponements=0,
    then="install",
    phone=False,
    foreground=_ONE,
    session=None,
    background_budget_ms=0,
    phone_battery_low=_ONE,
    phone_battery_high=_ONE,
    phone_battery_least=_NONE,
    permit_bluetooth=_ONE,
    permit_background=_ONE,
    permit_notifications=_NONE,
    notified=_NONE,
    reaction=None,
    repairs=_NONE,
    repairs_after=None,
    replaces=_NONE,
    replaces_after=None,
)
"""The owner of a cohort that names none."""


class Tables:
    """All quantile tables of a run, one behind the other."""

    def __init__(self) -> None:
        self.quantiles: list[int] = []
        self._starts: dict[Distribution, int] = {}

    def start(self, distribution: Distribution | None) -> int:
        """Where the table of this distribution begins; NO_ROW for none."""
        if distribution is None:
            return NO_ROW
        if distribution not in self._starts:
            self._starts[distribution] = len(self.quantiles)
            self.quantiles += quantile_table(distribution)
        return self._starts[distribution]


def rules_of(spec: ScenarioSpec, release: Release, artefacts: int, tables: Tables) -> list[int]:
    """The scenario's numbers as rows of `Fleet.rules`."""
    rules = [0] * rule.RULES
    rules[rule.RULE_STORAGE] = int(spec.precheck.storage)
    rules[rule.RULE_FREE_TOLD] = int(bool(spec.inventory.file))
    rules[rule.RULE_LINK] = int(spec.precheck.link)
    rules[rule.RULE_DEFERRALS] = spec.precheck.deferrals
    rules[rule.RULE_BATTERY_GATE] = int(spec.precheck.battery_gate == "energy")
    rules[rule.RULE_ATTEMPTS] = spec.transfer.attempts
    rules[rule.RULE_RESUME] = int(spec.transfer.resume)
    rules[rule.RULE_GRANULE] = spec.transfer.granule_bytes
    rules[rule.RULE_BACKOFF] = spec.transfer.backoff_ms
    rules[rule.RULE_BACKOFF_MAX] = spec.transfer.backoff_max_ms
    rules[rule.RULE_STALL] = spec.transfer.stall_ms
    rules[rule.RULE_JITTER] = JITTERS.index(spec.transfer.jitter)
    rules[rule.RULE_ROUNDS] = spec.transfer.rounds
    rules[rule.RULE_RETRY_AFTER] = spec.transfer.retry_after_ms
    rules[rule.RULE_DROP_BELOW] = threshold(spec.faults.drop)
    rules[rule.RULE_DROP_WEAK_BELOW] = threshold(spec.faults.drop_weak)
    rules[rule.RULE_DEFERRED_ENDS] = int(not spec.transfer.retry_deferred)
    rules[rule.RULE_HOLD_OFF] = spec.transfer.hold_off_ms
    rules[rule.RULE_LAST_VERDICT] = int(spec.rollout.verdicts == "last")
    if spec.rollout.enforce_local_ms is not None:
        rules[rule.RULE_ENFORCES] = 1
        rules[rule.RULE_ENFORCE_MS] = spec.rollout.enforce_local_ms
    rules[rule.RULE_CORRUPT_BELOW] = threshold(spec.faults.corruption)
    rules[rule.RULE_FORGED_BELOW] = threshold(spec.faults.forged)
    rules[rule.RULE_CUT_BELOW] = threshold(spec.faults.power_cut)
    rules[rule.RULE_POWER_OFF] = spec.faults.power_off_ms
    rules[rule.RULE_SELF_TEST] = int(spec.validation.self_test)
    rules[rule.RULE_BLUETOOTH] = int(spec.validation.bluetooth)
    rules[rule.RULE_CERTIFICATE] = int(spec.validation.certificate)
    rules[rule.RULE_SETTINGS] = int(spec.validation.settings)
    rules[rule.RULE_PROBATION] = spec.validation.probation_ms
    rules[rule.RULE_BACKUP_REQUIRED] = int(spec.backup.required)
    rules[rule.RULE_BACKUP_FITS] = int(
        spec.backup.to != "flash" or spec.backup.reserve_bytes >= spec.backup.size_bytes
    )
    rules[rule.RULE_REPORT_DELAY] = spec.report.delay_ms
    rules[rule.RULE_LATE_BELOW] = threshold(spec.report.late)
    rules[rule.RULE_LATE_TABLE] = tables.start(spec.report.late_by)
    rules[rule.RULE_LOST_BELOW] = threshold(spec.report.lost)
    rules[rule.RULE_RESENDS] = spec.report.resends
    rules[rule.RULE_RESEND] = spec.report.resend_ms
    rules[rule.RULE_TWICE_BELOW] = threshold(spec.report.duplicated)
    rules[rule.RULE_PREMATURE_BELOW] = threshold(spec.report.premature)
    if spec.rollout.window is not None:
        rules[rule.RULE_WINDOW_FROM], rules[rule.RULE_WINDOW_TO] = spec.rollout.window
        rules[rule.RULE_WINDOW_CUTS] = int(spec.rollout.window_ends == "cut")
    rules[rule.RULE_WINDOW_LOCAL] = int(spec.rollout.window_clock == "local")
    rules[rule.RULE_WEEKDAY_MS] = spec.weekday * DAY_MS
    rules[rule.RULE_HORIZON] = spec.horizon_ms
    rules[rule.RULE_ARTEFACTS] = artefacts
    rules[rule.RULE_CHAIN] = len(release.images)
    rules[rule.RULE_PRIMARY] = release.primary
    rules[rule.RULE_RECOVERY] = NO_ROW if release.recovery is None else release.recovery
    rules[rule.RULE_RECOVERY_KIND] = ON_HALT.index(spec.recovery.on_halt)
    return rules


def below_least(low: Fraction, high: Fraction, need: Fraction) -> int:
    """The draws at which a charge that is uniform between `low` and `high` is under `need`."""
    if need <= low:
        return 0
    if need > high:
        return CERTAIN
    return threshold((need - low) / (high - low))


def habit_of(spec: ScenarioSpec, cohort: CohortSpec) -> HabitSpec:
    """The cohort's habit."""
    return next((h for h in spec.habits if h.name == cohort.habit), ALWAYS_THERE)


def owner_of(spec: ScenarioSpec, cohort: CohortSpec) -> OwnerSpec:
    """The cohort's owner."""
    return next((o for o in spec.owners if o.name == cohort.owner), NOBODY)


def _presence(cohort: CohortSpec, habit: HabitSpec) -> tuple[int, ...]:
    """Below what a draw has to be for a scheduled check-in to take place, by hour of the local week."""
    if habit is ALWAYS_THERE:
        return (threshold(cohort.wake_presence),) * WEEK_HOURS
    return _week(cohort.wake_presence, habit.by_weekday, habit.by_hour)


@lru_cache(maxsize=256)
def _week(
    presence: Fraction, by_weekday: tuple[Fraction, ...], by_hour: tuple[Fraction, ...]
) -> tuple[int, ...]:
    return tuple(threshold(presence * day * hour) for day in by_weekday for hour in by_hour)


def published(spec: ScenarioSpec, release: Release) -> list[int]:
    """When each member of the chain becomes available; NEVER for those that are not in flight."""
    times = [NEVER] * len(release.images)
    for back, time_ms in enumerate(reversed(spec.release.published_ms)):
        if release.primary - back >= 0:
            times[release.primary - back] = time_ms
    return times


def _stones(spec: ScenarioSpec, release: Release) -> list[int]:
    steps = {release.primary - back for back in spec.release.stepping_stones}
    return [int(member in steps) for member in range(len(release.images))]


def assemble(
    spec: ScenarioSpec,
    population: Population,
    kind: np.ndarray,
    routes: Sequence[Route],
    release: Release,
    cases: Cases,
    only: int | None = None,
) -> Fleet:
    """The columns at time 0, as lists: the fastest for a clock in plain Python.

    With `only`, the fleet has one row, that of this device.
    """
    devices, others = columns_of(spec, population, kind, routes, release, cases)
    if only is not None:
        lists = {name: [int(column[only])] for name, column in devices.items()}
        return Fleet(**lists, phase_uj=[0] * rule.ENERGY_PHASES, **others)
    lists = {
        name: [int(column[0])] * spec.devices if is_uniform(column) else column.tolist()
        for name, column in devices.items()
    }
    return Fleet(**lists, phase_uj=[0] * (spec.devices * rule.ENERGY_PHASES), **others)


def columns_of(
    spec: ScenarioSpec,
    population: Population,
    kind: np.ndarray,
    routes: Sequence[Route],
    release: Release,
    cases: Cases,
) -> tuple[dict[str, NDArray[Any]], dict[str, MutableSequence[int]]]:
    """The columns of `Fleet` at time 0: those with a row a device (see `device_columns`), and all others.

    `phase_uj`, of which each device has `ENERGY_PHASES` rows, is in neither: it is 0 throughout.
    """
    tables = Tables()
    cohorts = spec.cohorts
    habits = [habit_of(spec, c) for c in cohorts]
    owners = [owner_of(spec, c) for c in cohorts]
    costs = [
        costs_of(spec, c, h, r, cases.kind_configs[n], mean_presence(c, h))
        for n, (c, h, r) in enumerate(zip(cohorts, habits, routes, strict=True))
    ]
    dead = [[o for o in link.outages if not o.capacity_bps] for link in spec.links]
    presence = [_presence(c, h) for c, h in zip(cohorts, habits, strict=True)]
    gates = [(o.phone_battery_low, o.phone_battery_high, o.phone_battery_least) for o in owners]
    by_cohort: dict[str, list[int]] = {
        "wake_period_ms": [c.wake_period_ms for c in cohorts],
        "wake_below": [p[0] for p in presence],
        "by_week": [int(len(set(p)) > 1) for p in presence],
        "week_below": [below for p in presence for below in p],
        "leaves": [int(h.online is not None or h.dormant_for is not None) for h in habits],
        "breaks": [
            int(
                o.phone
                or h.online is not None
                or h.dormant_for is not None
                or (spec.transfer.stall_ms > 0 and any(dead))
                or (spec.rollout.window is not None and spec.rollout.window_ends == "cut")
            )
            for h, o in zip(habits, owners, strict=True)
        ],
        "gap_table": [tables.start(h.gaps) for h in habits],
        "online_table": [tables.start(h.online) for h in habits],
        "offline_table": [tables.start(h.offline) for h in habits],
        "weak_below": [threshold(c.weak_link) for c in cohorts],
        "reboot_ms": [c.reboot_ms for c in cohorts],
        "self_test_ms": [
            c.self_test_ms + spec.validation.bluetooth * spec.validation.bluetooth_ms for c in cohorts
        ],
        "connect_ms": [r.connect_ms for r in routes],
        "connect_uj": [up(r.connect_nj, NJ_PER_UJ) for r in routes],
        "report_uj": [up(r.report_nj, NJ_PER_UJ) for r in routes],
        "in_place": [int(layouts.get(c.layout).in_place) for c in cohorts],
        "multicast_ms": [0 if r.multicast is None else r.multicast.session_every_ms for r in routes],
        "phone": [int(o.phone) for o in owners],
        "foreground_below": [threshold(o.foreground) for o in owners],
        "session_table": [tables.start(o.session) for o in owners],
        "background_ms": [o.background_budget_ms for o in owners],
        "phone_low_below": [below_least(*gate) for gate in gates],
        "accept_below": [threshold(o.accept) for o in owners],
        "postponements": [o.postponements for o in owners],
        "install_then": [int(o.then == "install") for o in owners],
        "notified_below": [threshold(o.notified) for o in owners],
        "reaction_table": [tables.start(o.reaction) for o in owners],
        "repair_below": [threshold(o.repairs) for o in owners],
        "repair_table": [tables.start(o.repairs_after) for o in owners],
        "replace_below": [threshold(o.replaces) for o in owners],
        "replace_table": [tables.start(o.replaces_after) for o in owners],
        "battery_low_below": [
            below_least(c.battery_low, c.battery_high, spec.precheck.battery) for c in cohorts
        ],
        "charge_below": [threshold(h.charge) for h in habits],
        "charge_from_ms": [h.charge_from_ms for h in habits],
        "charge_for_ms": [h.charge_for_ms for h in habits],
    }
    for name in CohortCosts.__dataclass_fields__:
        by_cohort[name] = [getattr(cost, name) for cost in costs]
    devices = device_columns(spec, population, kind, routes, habits, owners, costs, release, cases)
    session_ms, listen_uj = _sessions(spec, routes, cases)
    ends = list(accumulate(len(outages) for outages in dead))
    others: dict[str, MutableSequence[int]] = dict(
        **by_cohort,
        outages_from=[0, *ends[:-1]],
        outages_to=ends,
        outage_from_ms=[o.from_ms for outages in dead for o in outages],
        outage_to_ms=[o.from_ms + o.length_ms for outages in dead for o in outages],
        defect_effect=[EFFECTS.index(d.effect) for d in spec.defects] + [rule.EFFECT_FAULTY],
        defect_visible=[int(d.visible) for d in spec.defects] + [1],
        defect_uj_per_hour=[d.drain_uw * 3_600 for d in spec.defects] + [0],
        published_ms=published(spec, release),
        stone=_stones(spec, release),
        without_patch=cases.without_patch,
        wire_bytes=cases.wire_bytes,
        room=cases.room,
        session_ms=session_ms,
        listen_uj=listen_uj,
        offer=cases.offer,
        on_install=cases.on_install,
        on_boot=cases.on_boot,
        on_confirm=cases.on_confirm,
        on_need_uj=cases.on_need_uj,
        move_state=cases.move_state,
        move_verdict=cases.move_verdict,
        move_running=cases.move_running,
        move_cut=cases.move_cut,
        move_ms=cases.move_ms,
        move_flash_uj=cases.move_flash_uj,
        move_compute_uj=cases.move_compute_uj,
        rules=rules_of(spec, release, len(cases.artefacts), tables),
        quantiles=tables.quantiles,
        halted=[rule.RUNNING],
        recovery_ms=[NEVER],
    )
    return devices, others


def mean_presence(cohort: CohortSpec, habit: HabitSpec) -> Fraction:
    """The share of a cohort's scheduled check-ins that takes place, over a week."""
    return cohort.wake_presence * sum(habit.by_weekday) * sum(habit.by_hour) / WEEK_HOURS


def _sessions(spec: ScenarioSpec, routes: Sequence[Route], cases: Cases) -> tuple[list[int], list[int]]:
    """Length [ms] and listening energy [µJ] of an artefact's multicast session, a row a kind and artefact."""
    lengths, energies = [], []
    for cohort in cases.kind_cohorts:
        multicast = routes[cohort].multicast
        for size in cases.wire_bytes:
            try:
                plan = None if multicast is None else multicast.plan(size)
            except InputError as error:
                channel = [c.name for c in spec.channels].index(spec.cohorts[cohort].channel)
                raise InputError(f"{spec.name}: channels.{channel}.{error}") from None
            lengths.append(0 if plan is None else plan.session_ms)
            energies.append(0 if plan is None else up(plan.listen_nj, NJ_PER_UJ))
    return lengths, energies
