"""The life-cycle's columns with a row a device: attributes drawn once, and the state a device starts in.

The columns are arrays that may be the population's own or hold one value once: they are read, not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simlib.draws import (
    CERTAIN,
    FLEET,
    Purpose,
    blocks,
    device_key,
    draw32,
    drawn_blocks,
    draws32,
    sampled_array,
    threshold,
)
from simlib.errors import Reason
from simlib.fleet import STATES, Population, Route
from simlib.fleet.population import Column, is_uniform, joined, looked_up, members_of, narrow, ranked, uniform
from simlib.lifecycle.codes import OUTCOME_CODE, OUTCOMES, REASON_CODE
from simlib.lifecycle.columns import AUTOMATIC, NEVER, NO_ROW, PROMPTED, REFUSES, Fleet
from simlib.lifecycle.phases import Phase
from simlib.outcomes import Outcome
from simlib.release import Release
from simlib.scenario.distributions import quantile_table
from simlib.scenario.field_model import HabitSpec, OwnerSpec
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.cases import Cases
from simlib.simulation.costs import CohortCosts, start_uj, use_uj_per_hour

_NONE, _ALL = Fraction(0), Fraction(1)


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
) -> dict[str, NDArray[Any]]:
    """The columns of `Fleet` with a row a device, an array of that length each.

    `key` is uint64. The others are of any signed type, or have one value for the whole fleet, in int64 and
    with a stride of 0.
    """
    zones = np.array([zone.offset_ms for zone in spec.zones], dtype=np.int64)
    chain = len(release.images)
    offers = np.array(cases.offer, dtype=np.int64).reshape(-1, chain, chain)[:, :, release.primary]
    defect, onset = defects_of(spec, population, release.primary)
    away_from, away_to = _dormant(spec, population, habits)
    constant = dict.fromkeys(_STATE, 0) | dict.fromkeys(_NO_ROWS, NO_ROW) | dict.fromkeys(_NEVER_YET, -1)
    constant |= {"target": release.primary, "until_ms": NEVER}
    return {name: uniform(value, spec.devices) for name, value in constant.items()} | {
        "key": population.keys,
        "cohort": population.cohort,
        "kind": narrow(kind),
        "zone_ms": looked_up(zones, population.zone),
        "link": population.link,
        "wake_phase_ms": population.wake_phase_ms,
        "barred": _barred(population, routes, owners),
        "rx_pj_per_byte": _by_class([r.rx_pj_per_byte for r in routes], population),
        "tx_pj_per_byte": _by_class([r.tx_pj_per_byte for r in routes], population),
        "free_bytes": population.free_bytes,
        "consent": _consent(population, owners),
        "background": _granted(population, 1, [o.permit_background for o in owners]),
        "notifiable": _granted(population, 2, [o.permit_notifications for o in owners]),
        "defect": defect,
        "onset_ms": onset,
        "use_uj_per_hour": use_uj_per_hour(population, habits, costs),
        "artefact": looked_up(offers, kind, population.recorded),
        "state": _states(population, kind, cases),
        "away_from_ms": away_from,
        "away_to_ms": away_to,
        "start_uj": start_uj(spec, population, costs),
        **_observed(population, release.primary),
    }


_STATE = [name for name in Fleet._fields[Fleet._fields.index("phase") :] if name != "phase_uj"]
"""The columns that a run changes."""
_NO_ROWS = ("move", "special", "special_boot", "sick_ms", "drain_from_ms")
_NEVER_YET = ("notified_ms", "started_ms", "confirmed_ms", "reported_ms")
_REASONS = {
    Outcome.UPDATED: Reason.NONE,
    Outcome.FAILED: Reason.OBSERVED,
    Outcome.DEFERRED: Reason.OBSERVED,
    Outcome.BRICKED: Reason.OBSERVED,
    Outcome.LOST: Reason.OBSERVED,
}
"""Why a device had ended before the start."""
_PENDING, _UPDATED, _BRICKED, _LOST = (
    OUTCOME_CODE[o] for o in (Outcome.PENDING, Outcome.UPDATED, Outcome.BRICKED, Outcome.LOST)
)


def _ended(population: Population, primary: int) -> Column:
    """The outcome code of a device that the inventory says has ended, of others that of `pending`.

    One that runs the release already has updated.
    """
    codes = [OUTCOME_CODE[Outcome(state)] for state in STATES]
    outcome = looked_up(np.array([*codes, _PENDING]), population.state)
    has_it = population.base >= primary
    if not has_it.any():
        return outcome
    return narrow(np.where(has_it & (outcome == _PENDING), _UPDATED, outcome))


def had_updated(population: Population, primary: int) -> NDArray[np.bool_]:
    """Devices that had the release before the rollout."""
    ended = _ended(population, primary)
    has_it = (population.base >= primary) & (ended != _BRICKED) & (ended != _LOST)
    had: NDArray[np.bool_] = (ended == _UPDATED) | has_it
    return had


def _observed(population: Population, primary: int) -> dict[str, Column]:
    """The columns that tell of devices that had ended before the start."""
    outcome = _ended(population, primary)

    def of(values: dict[Outcome, int], otherwise: int) -> Column:
        return looked_up(np.array([values.get(o, otherwise) for o in OUTCOMES], dtype=np.int64), outcome)

    reported: dict[Outcome, int] = {o: OUTCOME_CODE[o] for o in _REASONS if o != Outcome.BRICKED}
    running, recorded = population.base, population.recorded
    if not is_uniform(outcome) or outcome[0] != _PENDING:
        base = np.where(outcome == _UPDATED, np.int64(primary), running)
        running = narrow(np.where(outcome == _BRICKED, NO_ROW, base))
        recorded = narrow(np.where(outcome == _PENDING, recorded, base))
    return {
        "phase": of(dict.fromkeys(_REASONS, int(Phase.DONE)), int(Phase.WAITING)),
        "outcome": outcome,
        "reason": of({o: REASON_CODE[r] for o, r in _REASONS.items()}, REASON_CODE[Reason.NONE]),
        "reported": of(reported, NO_ROW),
        "running": running,
        "recorded": recorded,
        "offered_ms": of(dict.fromkeys(_REASONS, 0), -1),
        "finished_ms": of(dict.fromkeys(_REASONS, 0), -1),
    }


def _states(population: Population, kind: NDArray[Any], cases: Cases) -> Column:
    """The state of the bench that each device starts in; they are numbered in the order of the devices."""
    base = population.base
    known = np.full((int(kind.max()) + 1, int(base.max()) + 1), NO_ROW)
    if is_uniform(kind) and is_uniform(base):
        return uniform(cases.start(int(kind[0]), int(base[0])), len(base))
    states = np.empty(len(base), dtype=np.int32)
    for block in blocks(len(base)):
        at = (kind[block], base[block])
        states[block] = known[at]
        new = np.flatnonzero(states[block] == NO_ROW)
        if len(new):
            pairs = np.ravel_multi_index(tuple(part[new] for part in at), known.shape)
            for first in np.sort(np.unique(pairs, return_index=True)[1]):
                row, column = np.unravel_index(pairs[first], known.shape)
                known[row, column] = cases.start(int(row), int(column))
            states[block] = known[at]
    return narrow(states)


def _by_class(values: Sequence[Sequence[int]], population: Population) -> Column:
    """For each device its cohort's value of its class."""
    table = np.zeros((len(values), max(map(len, values))), dtype=np.int64)
    for row, classes in zip(table, values, strict=True):
        row[:] = [*classes, *[classes[-1]] * (len(row) - len(classes))]
    return looked_up(table, population.cohort, population.rate)


def _chosen(
    population: Population, purpose: Purpose, number: int, shares: Sequence[Fraction]
) -> NDArray[np.bool_]:
    """Devices whose draw `number` for `purpose` is within their cohort's share."""
    limits = np.array([threshold(share) for share in shares], dtype=np.uint64)
    cohort = population.cohort
    if (limits == 0).all() or (limits == CERTAIN).all():
        return np.broadcast_to(limits[0] > 0, cohort.shape)
    chosen = np.empty(len(cohort), dtype=np.bool_)
    for block, drawn in drawn_blocks(population.keys, purpose, number):
        chosen[block] = drawn < limits[cohort[block]]
    return chosen


def _granted(population: Population, number: int, shares: Sequence[Fraction]) -> Column:
    """1 where the owner grants permission `number` of the platform's."""
    return looked_up(np.array([0, 1]), _chosen(population, Purpose.PERMISSION, number, shares).view(np.int8))


def _barred(population: Population, routes: Sequence[Route], owners: Sequence[OwnerSpec]) -> Column:
    """The reason code of why a device is never reached: its phone's permissions, or its distance."""
    near = _chosen(population, Purpose.DISTANCE, 0, [route.reach for route in routes])
    granted = _granted(population, 0, [o.permit_bluetooth if o.phone else _ALL for o in owners])
    refused, far = REASON_CODE[Reason.PERMISSION_REFUSED], REASON_CODE[Reason.OUT_OF_RANGE]
    return looked_up(np.array([[refused, refused], [far, 0]]), granted, near.view(np.int8))


def _consent(population: Population, owners: Sequence[OwnerSpec]) -> Column:
    """How each owner decides, in exact shares of the cohort."""
    codes = np.array([AUTOMATIC, PROMPTED, REFUSES], dtype=np.int64)
    parts = []
    for number, owner in enumerate(owners):
        keys = population.keys[members_of(population.cohort, number)]
        shares = [owner.automatic, owner.prompted, owner.never]
        parts.append(looked_up(codes, ranked(keys, Purpose.CONSENT, shares)))
    return joined(population.cohort, parts)


def defects_of(spec: ScenarioSpec, population: Population, primary: int) -> tuple[Column, Column]:
    """The defect each device has of those the release has, the one that shows first, and when it shows.

    Whether the release has a defect is a draw of the fleet's own. `faults.defect` is a defect too, and the
    last row: one the self-test sees, and of which nothing more is known.
    """
    n = spec.devices
    if not spec.faults.defect and not spec.defects:
        return uniform(NO_ROW, n), uniform(0, n)
    where, limit = spec.faults.defect_hardware, spec.faults.defect
    exposed = [limit if not where or c.hardware in where else _NONE for c in spec.cohorts]
    faulty = _chosen(population, Purpose.DEFECT, 0, exposed)
    defect = np.where(faulty, np.int16(len(spec.defects)), np.int16(NO_ROW))
    if not spec.defects:
        return narrow(defect), uniform(0, n)
    onset = np.where(faulty, 0, NEVER)
    fleet_key = device_key(spec.seed, FLEET)
    for number, facts in enumerate(spec.defects):
        if draw32(fleet_key, Purpose.RELEASE_DEFECT, number) >= threshold(facts.probability):
            continue
        fits = [
            (not facts.hardware or c.hardware in facts.hardware)
            and (not facts.layouts or c.layout in facts.layouts)
            for c in spec.cohorts
        ]
        shares = [facts.prevalence if fit else _NONE for fit in fits]
        has = np.flatnonzero(_chosen(population, Purpose.PREVALENCE, number, shares))
        if facts.base_versions:
            back = primary - population.base[has].astype(np.int64)
            has = has[np.isin(back, facts.base_versions)]
        shows = np.zeros(len(has), dtype=np.int64)
        if facts.onset is not None:
            table = np.array(quantile_table(facts.onset), dtype=np.int64)
            shows = sampled_array(table, draws32(population.keys[has], Purpose.ONSET, number))
        first = shows < onset[has]
        defect[has[first]] = number
        onset[has[first]] = shows[first]
    onset[defect == NO_ROW] = 0
    return narrow(defect), narrow(onset)


def _dormant(
    spec: ScenarioSpec, population: Population, habits: Sequence[HabitSpec]
) -> tuple[Column, Column]:
    """From when and until when each device's first absence is. Without absences it never comes."""
    back = dormant_until_ms(spec, population, habits)
    later = np.array([NEVER if h.online is None else 0 for h in habits], dtype=np.int64)
    away_from = looked_up(later, population.cohort)
    if is_uniform(back) and back[0] < 0:
        return away_from, uniform(0, len(back))
    return narrow(np.where(back >= 0, 0, away_from)), narrow(np.maximum(back, 0))


def dormant_until_ms(spec: ScenarioSpec, population: Population, habits: Sequence[HabitSpec]) -> Column:
    """When each device that is away at the start comes back; −1 for those that are there."""
    if all(habit.dormant_for is None for habit in habits):
        return uniform(-1, len(population.cohort))
    back = np.full(len(population.cohort), -1, dtype=np.int64)
    dormant = _chosen(population, Purpose.DORMANT, 0, [habit.dormant for habit in habits])
    if not is_uniform(population.unseen_ms) or population.unseen_ms[0] >= 0:
        unseen = population.unseen_ms
        dormant = np.where(unseen >= 0, unseen > spec.inventory.seen_before_ms, dormant)
    for number, habit in enumerate(habits):
        if habit.dormant_for is not None:
            members = np.flatnonzero(dormant & (population.cohort == number))
            table = np.array(quantile_table(habit.dormant_for), dtype=np.int64)
            back[members] = sampled_array(table, draws32(population.keys[members], Purpose.DORMANT_FOR, 0))
    return narrow(back)
