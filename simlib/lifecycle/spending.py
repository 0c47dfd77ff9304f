"""Booking what a step costs: by component, by part of the update, and from the battery."""

from __future__ import annotations

from simlib.lifecycle.columns import ENERGY_PHASES, Fleet


def spend(fleet: Fleet, i: int, part: int, radio_uj: int, flash_uj: int, compute_uj: int) -> None:
    """Book energy [µJ] that device `i` spent in `part`, one of ENERGY_*."""
    total = radio_uj + flash_uj + compute_uj
    fleet.radio_uj[i] += radio_uj
    fleet.flash_uj[i] += flash_uj
    fleet.compute_uj[i] += compute_uj
    fleet.phase_uj[i * ENERGY_PHASES + part] += total
    if fleet.cell_uj[fleet.cohort[i]]:
        fleet.drained_uj[i] += total
