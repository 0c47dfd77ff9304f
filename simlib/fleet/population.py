"""The fleet of a scenario, a column an attribute.

Cohorts, groups and base versions are filled to exact shares: devices are ranked by their own draw for
that purpose and cut at the cumulative shares. So a 1 % group of 120,000 has 1,200 devices, two
scenarios with another share under one seed keep most devices where they were, and a group that grows
keeps its members.

What a device does with its attributes is the life-cycle's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from simlib.draws import Purpose, device_keys, draws32, threshold
from simlib.scenario.model import ScenarioSpec

Column = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Columns of one fleet; every array has a row a device, in device order."""

    keys: NDArray[np.uint64]  # of the device's draws
    cohort: Column  # index into the scenario's cohorts
    group: Column  # index into the rollout's groups
    base: Column  # chain index of the firmware a device runs at the start
    recorded: Column  # chain index the server's inventory has for it
    rate: Column  # index into the cohort's rates
    wake_phase_ms: Column  # of the first scheduled check-in, in [0, period)


def apportion(shares: Sequence[Fraction], devices: int) -> tuple[int, ...]:
    """Whole numbers of devices for `shares` that sum to 1: cut at the cumulative shares, rounded down."""
    cuts = [int(sum(shares[:k], Fraction(0)) * devices) for k in range(len(shares) + 1)]
    return tuple(b - a for a, b in pairwise(cuts))


def _by_rank(draws: NDArray[np.uint64], shares: Sequence[Fraction]) -> Column:
    """Each device's part: ranked by (draw, device), the first share's number goes to part 0, and so on."""
    order = np.argsort(draws, kind="stable")
    part = np.empty(len(draws), dtype=np.int64)
    part[order] = np.repeat(np.arange(len(shares)), apportion(shares, len(draws)))
    return part


def group_shares(spec: ScenarioSpec) -> tuple[Fraction, ...]:
    """The groups' shares with "the rest" worked out."""
    named = sum((g.share for g in spec.rollout.groups if g.share is not None), Fraction(0))
    return tuple(1 - named if g.share is None else g.share for g in spec.rollout.groups)


def populate(spec: ScenarioSpec, chain_length: int) -> Population:
    """Draw the fleet of `spec`, for a firmware chain of `chain_length` members, the newest last."""
    keys = device_keys(spec.seed, spec.devices)
    cohort = _by_rank(draws32(keys, Purpose.COHORT, 0), [c.share for c in spec.cohorts])
    group = _by_rank(draws32(keys, Purpose.GROUP, 0), group_shares(spec))
    base = np.empty(spec.devices, dtype=np.int64)
    rate = np.empty(spec.devices, dtype=np.int64)
    phase = np.empty(spec.devices, dtype=np.int64)
    base_draw = draws32(keys, Purpose.BASE, 0)
    rate_draw = draws32(keys, Purpose.RATE, 0)
    phase_draw = draws32(keys, Purpose.WAKE_PHASE, 0)
    for number, facts in enumerate(spec.cohorts):
        members = np.flatnonzero(cohort == number)
        base[members] = chain_length - 2 - _by_rank(base_draw[members], facts.base_mix)
        rate[members] = (rate_draw[members] * np.uint64(len(facts.rates_bps))) >> np.uint64(32)
        # A draw times the period must stay within 64 bits; a longer period is scaled in Python's integers.
        if facts.wake_period_ms < 1 << 32:
            phase[members] = (phase_draw[members] * np.uint64(facts.wake_period_ms)) >> np.uint64(32)
        else:
            phase[members] = [(int(d) * facts.wake_period_ms) >> 32 for d in phase_draw[members]]
    stale = draws32(keys, Purpose.STALE_INVENTORY, 0) < np.uint64(threshold(spec.faults.stale_inventory))
    recorded = np.where(stale & (base > 0), base - 1, base)
    return Population(keys, cohort, group, base, recorded, rate, phase)
