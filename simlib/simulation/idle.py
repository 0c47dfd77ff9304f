"""Energy that goes while nothing is updated: polls that find nothing, sleep, and what a defect drains.

No poll is an event of the run. Scheduled ones are counted and multiplied by the share that takes place; a
device that is away does not poll.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simlib.draws import Purpose, draws32, sampled_array, threshold
from simlib.fleet import Population, Route
from simlib.lifecycle.codes import OUTCOME_CODE
from simlib.lifecycle.columns import NO_ROW, Fleet
from simlib.lifecycle.waiting import HOUR_MS
from simlib.outcomes import Outcome
from simlib.scenario.distributions import mean_ms, quantile_table
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.cases import NJ_PER_UJ
from simlib.simulation.columns import habit_of, mean_presence
from simlib.simulation.devices import dormant_until_ms

_SLEEP_STEP_MS = 1_000


def idle_energy_uj(
    spec: ScenarioSpec, population: Population, routes: Sequence[Route], fleet: Fleet, end_ms: int
) -> NDArray[np.int64]:
    """Of each device [µJ]. A bricked or lost device neither polls nor sleeps.

    The products are taken in two halves, so that a poll every millisecond for ten years stays within 64 bits.
    """
    gone = np.isin(fleet.outcome, [OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.LOST]])
    until_ms = np.where(gone, np.asarray(fleet.finished_ms, dtype=np.int64), end_ms)
    there_ms = np.maximum(until_ms - _away_ms(spec, population, until_ms), 0)
    energy = np.zeros(len(until_ms), dtype=np.int64)
    for number, (cohort, route) in enumerate(zip(spec.cohorts, routes, strict=True)):
        members = population.cohort == number
        habit = habit_of(spec, cohort)
        if habit.gaps is None:
            scheduled = (there_ms - population.wake_phase_ms) // cohort.wake_period_ms + 1
        else:
            scheduled = there_ms // max(mean_ms(habit.gaps), 1)
        scheduled = np.maximum(scheduled[members], 0)
        below = threshold(mean_presence(cohort, habit))
        taken = ((scheduled >> 16) * below + ((scheduled & 0xFFFF) * below >> 16)) >> 16
        each = route.checkin_nj
        polls = taken // NJ_PER_UJ * each - (-(taken % NJ_PER_UJ) * each // NJ_PER_UJ)
        slept = until_ms[members] // _SLEEP_STEP_MS * route.sleep_nw // NJ_PER_UJ  # nW s are nJ
        energy[members] = polls + slept
    return energy + _drained(fleet, until_ms)


def _drained(fleet: Fleet, until_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    if not any(fleet.defect_uj_per_hour):
        return np.zeros(len(until_ms), dtype=np.int64)
    since = np.asarray(fleet.drain_from_ms, dtype=np.int64)
    rate = np.array([*fleet.defect_uj_per_hour, 0], dtype=np.int64)[np.asarray(fleet.defect)]
    drained: NDArray[np.int64] = np.where(since == NO_ROW, 0, (until_ms - since) // HOUR_MS * rate)
    return np.maximum(drained, 0) + np.asarray(fleet.leaked_uj, dtype=np.int64)


def _away_ms(spec: ScenarioSpec, population: Population, until_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """For how long each device was away before `until_ms`: the absences that `lifecycle.waiting` draws."""
    habits = [habit_of(spec, cohort) for cohort in spec.cohorts]
    first_back = np.maximum(dormant_until_ms(spec, population, habits), 0).astype(np.int64)
    away: NDArray[np.int64] = np.minimum(first_back, until_ms)
    for number, habit in enumerate(habits):
        if habit.online is None or habit.offline is None:
            continue
        there = np.array(quantile_table(habit.online), dtype=np.int64)
        gone = np.array(quantile_table(habit.offline), dtype=np.int64)
        members = np.flatnonzero(population.cohort == number)
        keys, end, back = population.keys[members], until_ms[members], first_back[members]
        absence = 0
        while len(members):
            leaves = back + sampled_array(there, draws32(keys, Purpose.ONLINE, absence))
            back = leaves + np.maximum(sampled_array(gone, draws32(keys, Purpose.OFFLINE, absence)), 1)
            away[members] += np.maximum(np.minimum(back, end) - leaves, 0)
            going = back < end
            members, keys, end, back = members[going], keys[going], end[going], back[going]
            absence += 1
    return away
