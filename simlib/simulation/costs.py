"""What belongs to a cohort's battery, its core at work, and its backups, in whole microjoules.

Of each device: what it takes for its own work, and how full its battery is at the start.

The idle rate of a battery is what it loses by itself, what the sleeping radio takes, and its polls: those
that are scheduled, times the share that takes place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np

from simlib.device.backup import backup_cost, restore_cost
from simlib.device.config import DeviceConfig
from simlib.draws import Purpose, drawn_blocks, scaled
from simlib.fleet import Population, Route
from simlib.fleet.population import Column, is_uniform, looked_up, narrow
from simlib.fleet.routes import usable_cell_uj
from simlib.lifecycle.columns import NO_ROW
from simlib.scenario.calibration import cell_profile, core_profile
from simlib.scenario.distributions import mean_ms
from simlib.scenario.field_model import HabitSpec
from simlib.scenario.model import CohortSpec, ScenarioSpec
from simlib.simulation.cases import NJ_PER_UJ, NS_PER_MS, up

_MS_PER_HOUR = 3_600_000
_MILLION = 1_000_000
_HOURS = 24
_NW_HOUR_PER_UJ = Fraction(3_600, 1_000)  # a nanowatt for an hour is 3,600 nJ


@dataclass(frozen=True, slots=True)
class CohortCosts:
    """Rows of the columns of the same names."""

    reboot_uj: int
    self_test_uj: int
    probation_uj: int
    cell_uj: int
    gate_uj: int
    reserve_uj: int
    rechargeable: int
    idle_uj_per_hour: int
    backup_ms: int
    backup_radio_uj: int
    backup_flash_uj: int
    backup_compute_uj: int
    backup_bytes: int
    restore_ms: int
    restore_radio_uj: int
    restore_flash_uj: int
    restore_compute_uj: int
    restore_bytes: int


def costs_of(
    spec: ScenarioSpec,
    cohort: CohortSpec,
    habit: HabitSpec,
    route: Route,
    config: DeviceConfig,
    presence: Fraction,
) -> CohortCosts:
    """The costs of one cohort; `presence` is the share of its check-ins that takes place."""
    core = core_profile(cohort.core)
    test_ms = cohort.self_test_ms + spec.validation.bluetooth * spec.validation.bluetooth_ms
    cell, rechargeable = 0, 0
    idle = Fraction(route.sleep_nw) * _NW_HOUR_PER_UJ
    period_ms = cohort.wake_period_ms if habit.gaps is None else max(mean_ms(habit.gaps), 1)
    idle += Fraction(_MS_PER_HOUR, period_ms) * presence * Fraction(route.checkin_nj, NJ_PER_UJ)
    if cohort.cell:
        profile = cell_profile(cohort.cell)
        cell = usable_cell_uj(cohort, route)
        rechargeable = int(profile.rechargeable)
        idle += profile.self_discharge_uj_per_hour
    return CohortCosts(
        reboot_uj=_working_uj(core.active_nw, cohort.reboot_ms),
        self_test_uj=_working_uj(core.active_nw, test_ms),
        probation_uj=0,  # the device does its ordinary work meanwhile
        cell_uj=cell,
        gate_uj=ceil(cell * spec.precheck.battery),
        reserve_uj=ceil(cell * spec.precheck.battery_reserve),
        rechargeable=rechargeable,
        idle_uj_per_hour=ceil(idle),
        **_backup(spec, config, route),
    )


def _working_uj(power_nw: int, time_ms: int) -> int:
    return up(power_nw * time_ms, 1_000_000)


def _backup(spec: ScenarioSpec, config: DeviceConfig, route: Route) -> dict[str, int]:
    """To flash at the flash model's own counts; to the phone or the cloud at the radio's price of a byte."""
    none = dict.fromkeys([f"{what}_{unit}" for what in ("backup", "restore") for unit in _UNITS], 0)
    backup = spec.backup
    if backup.to == "none":
        return none
    if backup.to == "flash":
        for what, cost in (
            ("backup", backup_cost(config, backup.size_bytes)),
            ("restore", restore_cost(config, backup.size_bytes)),
        ):
            none[f"{what}_ms"] = max(up(cost.time_ns, NS_PER_MS), 1)
            none[f"{what}_flash_uj"] = up(cost.flash_nj, NJ_PER_UJ)
            none[f"{what}_compute_uj"] = up(cost.compute_nj, NJ_PER_UJ)
        return none
    a_byte_pj = max(route.rx_pj_per_byte[0] + route.tx_pj_per_byte[0], 0)
    for what in ("backup", "restore"):
        none[f"{what}_ms"] = max(up(backup.size_bytes * 1_000, backup.rate_bps), 1)
        none[f"{what}_radio_uj"] = up(backup.size_bytes * a_byte_pj, 1_000_000)
        none[f"{what}_bytes"] = backup.size_bytes
    restored = restore_cost(config, backup.size_bytes)
    none["restore_flash_uj"] = up(restored.flash_nj, NJ_PER_UJ)
    none["restore_compute_uj"] = up(restored.compute_nj, NJ_PER_UJ)
    none["restore_ms"] += up(restored.time_ns, NS_PER_MS)
    return none


_UNITS = ("ms", "radio_uj", "flash_uj", "compute_uj", "bytes")


def _between(population: Population, purpose: Purpose, lows: Sequence[int], spans: Sequence[int]) -> Column:
    """A draw of each device from the `span` whole numbers of its cohort that begin at `low`."""
    cohort = population.cohort
    low, span = np.array(lows, dtype=np.int64), np.array(spans, dtype=np.uint64)
    if (span == 1).all():
        return looked_up(low, cohort)
    values = np.empty(len(cohort), dtype=np.int64)
    for block, drawn in drawn_blocks(population.keys, purpose, 0):
        values[block] = low[cohort[block]] + scaled(drawn, span[cohort[block]])
    return values


def use_uj_per_hour(
    population: Population, habits: Sequence[HabitSpec], costs: Sequence[CohortCosts]
) -> Column:
    """What a device's own work takes from a full battery each hour [µJ]."""
    each = [(h.use_low, h.use_high - h.use_low, c.cell_uj) for h, c in zip(habits, costs, strict=True)]
    lows = [int(low * cell / _HOURS) for low, _, cell in each]
    spans = [int(width * cell / _HOURS) + 1 for _, width, cell in each]
    return narrow(_between(population, Purpose.USE, lows, spans))


def start_uj(spec: ScenarioSpec, population: Population, costs: Sequence[CohortCosts]) -> Column:
    """The charge at the start: the inventory's, else of a primary cell between the cohort's limits.

    NO_ROW for a rechargeable battery of which nothing is said: its habit tells.
    """
    lows, spans = [], []
    for facts, cost in zip(spec.cohorts, costs, strict=True):
        drawn = cost.cell_uj > 0 and not cost.rechargeable
        lows.append(int(facts.battery_low * cost.cell_uj) if drawn else NO_ROW)
        spans.append(int((facts.battery_high - facts.battery_low) * cost.cell_uj) + 1 if drawn else 1)
    start = _between(population, Purpose.CELL, lows, spans)
    cells = np.array([cost.cell_uj for cost in costs], dtype=np.int64)
    if not is_uniform(population.battery_ppm) or population.battery_ppm[0] >= 0:
        told = np.flatnonzero((population.battery_ppm >= 0) & (cells > 0)[population.cohort])
        ppm, cell = population.battery_ppm[told].astype(np.int64), cells[population.cohort[told]]
        start = start.astype(np.int64)
        # In two halves, so that the product stays within 64 bits.
        start[told] = cell // _MILLION * ppm + cell % _MILLION * ppm // _MILLION
    return narrow(start)
