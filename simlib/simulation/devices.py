"""The life-cycle's columns with a row a device: attributes drawn once, and the state a device starts in."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simlib.draws import FLEET, Purpose, device_key, draw32, draws32, sampled_array, threshold
from simlib.errors import Reason
from simlib.fleet import STATES, Population, Route, by_rank
from simlib.lifecycle.codes import OUTCOME_CODE, REASON_CODE
from simlib.lifecycle.columns import AUTOMATIC, ENERGY_PHASES, NEVER, NO_ROW, PROMPTED, REFUSES, Fleet
from simlib.lifecycle.phases import Phase
from simlib.outcomes import Outcome
from simlib.release import Release
from simlib.scenario.distributions import Distribution, quantile_table
from simlib.scenario.field_model import HabitSpec, OwnerSpec
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.cases import Cases
from simlib.simulation.costs import CohortCosts

_MILLION = 1_000_000
_HOURS = 24


def device_columns(
    spec: ScenarioSpec,
    population: Population,
    kind: np.ndarray,
    routes: Sequence[Route],
    habits: Sequence[HabitSpec],
    owners: Sequence[OwnerSpec],
    costs: Sequence[CohortCosts],
    release: Release,
    cases: Cases,
) -> dict[str, Any]:
    """All columns of `Fleet` with a row a device."""
    n = spec.devices
    cohort, base = population.cohort, population.base
    defect, onset = defects_of(spec, population, release.primary)
    zones = np.array([zone.offset_ms for zone in spec.zones], dtype=np.int64)
    ended = _ended(population, release.primary)
    outcome = np.full(n, OUTCOME_CODE[Outcome.PENDING], dtype=np.int64)
    reason = np.full(n, REASON_CODE[Reason.NONE], dtype=np.int64)
    for end, members in ended.items():
        outcome[members] = OUTCOME_CODE[end]
        reason[members] = REASON_CODE[_OBSERVED[end]]
    done = np.isin(outcome, [OUTCOME_CODE[name] for name in ended])
    base = np.where((outcome == OUTCOME_CODE[Outcome.UPDATED]) & done, release.primary, base)
    away_from, away_to = _dormant(spec, population, habits)
    start = _start_uj(spec, population, costs)
    constant = dict.fromkeys(_STATE, 0) | dict.fromkeys(_NO_ROWS, NO_ROW) | dict.fromkeys(_NEVER_YET, -1)
    columns: dict[str, Any] = {name: [value] * n for name, value in constant.items()}
    columns |= {
        "key": population.keys.tolist(),
        "cohort": cohort.tolist(),
        "kind": kind.tolist(),
        "zone_ms": zones[population.zone].tolist(),
        "link": population.link.tolist(),
        "wake_phase_ms": population.wake_phase_ms.tolist(),
        "barred": _barred(spec, population, routes, owners).tolist(),
        "rx_pj_per_byte": _by_class([r.rx_pj_per_byte for r in routes], population).tolist(),
        "tx_pj_per_byte": _by_class([r.tx_pj_per_byte for r in routes], population).tolist(),
        "free_bytes": population.free_bytes.tolist(),
        "consent": _consent(population, owners).tolist(),
        "background": _granted(population, 1, [o.permit_background for o in owners]).tolist(),
        "notifiable": _granted(population, 2, [o.permit_notifications for o in owners]).tolist(),
        "defect": defect.tolist(),
        "onset_ms": onset.tolist(),
        "use_uj_per_hour": _use(population, habits, costs).tolist(),
        "phase": np.where(done, int(Phase.DONE), int(Phase.WAITING)).tolist(),
        "target": [release.primary] * n,
        "artefact": [
            cases.offer[(k * len(release.images) + r) * len(release.images) + release.primary]
            for k, r in zip(kind.tolist(), population.recorded.tolist(), strict=True)
        ],
        "recorded": np.where(done, base, population.recorded).tolist(),
        "state": [cases.start(k, b) for k, b in zip(kind.tolist(), population.base.tolist(), strict=True)],
        "away_from_ms": away_from.tolist(),
        "away_to_ms": away_to.tolist(),
        "until_ms": [NEVER] * n,
        "notified_ms": [-1] * n,
        "start_uj": start.tolist(),
        "outcome": outcome.tolist(),
        "reason": reason.tolist(),
        "reported": np.where(done & (outcome != OUTCOME_CODE[Outcome.BRICKED]), outcome, NO_ROW).tolist(),
        "running": np.where(outcome == OUTCOME_CODE[Outcome.BRICKED], NO_ROW, base).tolist(),
        "phase_uj": [0] * (n * ENERGY_PHASES),
    }
    for name in ("offered_ms", "finished_ms"):
        columns[name] = np.where(done, 0, -1).tolist()
    return columns


_STATE = Fleet._fields[Fleet._fields.index("phase") :]
"""The columns that a run changes."""
_NO_ROWS = ("move", "special", "special_boot", "sick_ms", "drain_from_ms")
_NEVER_YET = ("started_ms", "confirmed_ms", "reported_ms")
_OBSERVED = {
    Outcome.UPDATED: Reason.NONE,
    Outcome.FAILED: Reason.OBSERVED,
    Outcome.DEFERRED: Reason.OBSERVED,
    Outcome.BRICKED: Reason.OBSERVED,
    Outcome.LOST: Reason.OBSERVED,
}


def _ended(population: Population, primary: int) -> dict[Outcome, NDArray[np.bool_]]:
    """Devices that the inventory says have ended, by how; one that runs the release already has updated."""
    ended: dict[Outcome, NDArray[np.bool_]] = {
        outcome: population.state == STATES.index(outcome.value)
        for outcome in _OBSERVED
        if outcome.value in STATES
    }
    others = np.isin(population.state, [STATES.index("bricked"), STATES.index("lost")])
    ended[Outcome.UPDATED] |= (population.base >= primary) & ~others
    return ended


def had_updated(population: Population, primary: int) -> NDArray[np.bool_]:
    """Devices that had the release before the rollout."""
    return _ended(population, primary)[Outcome.UPDATED]


def _by_class(values: Sequence[Sequence[int]], population: Population) -> NDArray[np.int64]:
    """For each device its cohort's value of its class."""
    column = np.empty(len(population.cohort), dtype=np.int64)
    for number, classes in enumerate(values):
        members = population.cohort == number
        column[members] = np.array(classes, dtype=np.int64)[population.rate[members]]
    return column


def _by_cohort(values: Sequence[Any], population: Population) -> NDArray[Any]:
    return np.array(values)[population.cohort]


def _granted(population: Population, number: int, shares: Sequence[Fraction]) -> NDArray[np.int64]:
    """1 where the owner grants permission `number` of the platform's."""
    limits = np.array([threshold(share) for share in shares], dtype=np.uint64)[population.cohort]
    return (draws32(population.keys, Purpose.PERMISSION, number) < limits).astype(np.int64)


def _barred(
    spec: ScenarioSpec, population: Population, routes: Sequence[Route], owners: Sequence[OwnerSpec]
) -> NDArray[np.int64]:
    """The reason code of why a device is never reached: its phone's permissions, or its distance."""
    barred = np.zeros(len(population.cohort), dtype=np.int64)
    within = np.array([threshold(route.reach) for route in routes], dtype=np.uint64)[population.cohort]
    barred[draws32(population.keys, Purpose.DISTANCE, 0) >= within] = REASON_CODE[Reason.OUT_OF_RANGE]
    bluetooth = [o.permit_bluetooth if o.phone else Fraction(1) for o in owners]
    barred[_granted(population, 0, bluetooth) == 0] = REASON_CODE[Reason.PERMISSION_REFUSED]
    return barred


def _consent(population: Population, owners: Sequence[OwnerSpec]) -> NDArray[np.int64]:
    """How each owner decides, in exact shares of the cohort."""
    consent = np.empty(len(population.cohort), dtype=np.int64)
    draws = draws32(population.keys, Purpose.CONSENT, 0)
    for number, owner in enumerate(owners):
        members = population.cohort == number
        parts = by_rank(draws[members], [owner.automatic, owner.prompted, owner.never])
        consent[members] = np.array([AUTOMATIC, PROMPTED, REFUSES], dtype=np.int64)[parts]
    return consent


def _spread(
    population: Population, purpose: Purpose, number: int, distribution: Distribution
) -> NDArray[np.int64]:
    table = np.array(quantile_table(distribution), dtype=np.int64)
    return sampled_array(table, draws32(population.keys, purpose, number))


def defects_of(
    spec: ScenarioSpec, population: Population, primary: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The defect each device has of those the release has, the one that shows first, and when it shows.

    Whether the release has a defect is a draw of the fleet's own. `faults.defect` is a defect too, and the
    last row: one the self-test sees, and of which nothing more is known.
    """
    n = spec.devices
    defect = np.full(n, NO_ROW, dtype=np.int64)
    onset = np.full(n, NEVER, dtype=np.int64)
    limit = np.uint64(threshold(spec.faults.defect))
    where = spec.faults.defect_hardware
    exposed = _by_cohort([not where or c.hardware in where for c in spec.cohorts], population)
    faulty = (draws32(population.keys, Purpose.DEFECT, 0) < limit) & exposed
    defect[faulty] = len(spec.defects)
    onset[faulty] = 0
    fleet_key = device_key(spec.seed, FLEET)
    for number, facts in enumerate(spec.defects):
        if draw32(fleet_key, Purpose.RELEASE_DEFECT, number) >= threshold(facts.probability):
            continue
        has = draws32(population.keys, Purpose.PREVALENCE, number) < np.uint64(threshold(facts.prevalence))
        fits = [
            (not facts.hardware or c.hardware in facts.hardware)
            and (not facts.layouts or c.layout in facts.layouts)
            for c in spec.cohorts
        ]
        has &= _by_cohort(fits, population)
        if facts.base_versions:
            has &= np.isin(primary - population.base, facts.base_versions)
        shows = np.zeros(n, dtype=np.int64)
        if facts.onset is not None:
            shows = _spread(population, Purpose.ONSET, number, facts.onset)
        first = has & (shows < onset)
        defect[first] = number
        onset[first] = shows[first]
    return defect, np.where(defect == NO_ROW, 0, onset)


def _dormant(
    spec: ScenarioSpec, population: Population, habits: Sequence[HabitSpec]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """From when and until when each device's first absence is. Without absences it never comes."""
    back = dormant_until_ms(spec, population, habits)
    later = np.array([NEVER if h.online is None else 0 for h in habits], dtype=np.int64)[population.cohort]
    return np.where(back >= 0, 0, later), np.maximum(back, 0)


def dormant_until_ms(
    spec: ScenarioSpec, population: Population, habits: Sequence[HabitSpec]
) -> NDArray[np.int64]:
    """When each device that is away at the start comes back; −1 for those that are there."""
    back = np.full(len(population.cohort), -1, dtype=np.int64)
    for number, habit in enumerate(habits):
        if habit.dormant_for is None:
            continue
        limit = np.uint64(threshold(habit.dormant))
        dormant = draws32(population.keys, Purpose.DORMANT, 0) < limit
        told = population.unseen_ms >= 0
        dormant = np.where(told, population.unseen_ms > spec.inventory.seen_before_ms, dormant)
        dormant &= population.cohort == number
        back[dormant] = _spread(population, Purpose.DORMANT_FOR, 0, habit.dormant_for)[dormant]
    return back


def _use(
    population: Population, habits: Sequence[HabitSpec], costs: Sequence[CohortCosts]
) -> NDArray[np.int64]:
    """What a device's own work takes from a full battery each hour [µJ]."""
    draws = draws32(population.keys, Purpose.USE, 0)
    use = np.empty(len(draws), dtype=np.int64)
    for number, (habit, cost) in enumerate(zip(habits, costs, strict=True)):
        members = np.flatnonzero(population.cohort == number)
        low = int(habit.use_low * cost.cell_uj / _HOURS)
        span = int((habit.use_high - habit.use_low) * cost.cell_uj / _HOURS) + 1
        use[members] = [low + (int(draw) * span >> 32) for draw in draws[members]]
    return use


def _start_uj(spec: ScenarioSpec, population: Population, costs: Sequence[CohortCosts]) -> NDArray[np.int64]:
    """The charge at the start: the inventory's, else of a primary cell between the cohort's limits.

    NO_ROW for a rechargeable battery of which nothing is said: its habit tells.
    """
    draws = draws32(population.keys, Purpose.CELL, 0)
    start = np.full(len(draws), NO_ROW, dtype=np.int64)
    for number, (facts, cost) in enumerate(zip(spec.cohorts, costs, strict=True)):
        members = np.flatnonzero(population.cohort == number)
        if not cost.cell_uj:
            continue
        if not cost.rechargeable:
            low = int(facts.battery_low * cost.cell_uj)
            span = int((facts.battery_high - facts.battery_low) * cost.cell_uj) + 1
            start[members] = [low + (int(draw) * span >> 32) for draw in draws[members]]
        told = members[population.battery_ppm[members] >= 0]
        start[told] = [int(ppm) * cost.cell_uj // _MILLION for ppm in population.battery_ppm[told]]
    return start
