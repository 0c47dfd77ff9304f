"""The fleet of a scenario, a column an attribute.

Cohorts, groups, base versions, zones and links are filled to exact shares: devices are ranked by their own
draw for that purpose and cut at the cumulative shares. So a 1 % group of 120,000 has 1,200 devices, two
scenarios with another share under one seed keep most devices where they were, and a group that grows
keeps its members. What an inventory says of a device stands; what it leaves open is drawn.

What a device does with its attributes is the life-cycle's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from simlib.draws import Purpose, device_keys, draws32, threshold
from simlib.fleet.inventory import UNKNOWN, Inventory
from simlib.fleet.routes import Route
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
    zone: Column  # index into the scenario's zones
    link: Column  # index into the scenario's links
    rate: Column  # index into the classes of its cohort's path
    wake_phase_ms: Column  # of the first scheduled check-in, in [0, period)
    free_bytes: Column  # storage that is free by the inventory; UNKNOWN: what the layout has
    battery_ppm: Column  # charge at the start by the inventory; UNKNOWN: drawn
    unseen_ms: Column  # how long before the start it was last seen; UNKNOWN: not said
    state: Column  # code into inventory.STATES; UNKNOWN: pending
    names: NDArray[np.object_] | None  # the inventory's identifiers


def apportion(shares: Sequence[Fraction], devices: int) -> tuple[int, ...]:
    """Whole numbers of devices for `shares` that sum to 1: cut at the cumulative shares, rounded down."""
    cuts = [int(sum(shares[:k], Fraction(0)) * devices) for k in range(len(shares) + 1)]
    return tuple(b - a for a, b in pairwise(cuts))


def by_rank(draws: NDArray[np.uint64], shares: Sequence[Fraction]) -> Column:
    """Each device's part: ranked by (draw, device), the first share's number goes to part 0, and so on."""
    order = np.argsort(draws, kind="stable")
    part = np.empty(len(draws), dtype=np.int64)
    part[order] = np.repeat(np.arange(len(shares)), apportion(shares, len(draws)))
    return part


def group_shares(spec: ScenarioSpec) -> tuple[Fraction, ...]:
    """The groups' shares with "the rest" worked out."""
    named = sum((g.share for g in spec.rollout.groups if g.share is not None), Fraction(0))
    return tuple(1 - named if g.share is None else g.share for g in spec.rollout.groups)


def populate(
    spec: ScenarioSpec, primary: int, routes: Sequence[Route], inventory: Inventory | None = None
) -> Population:
    """Draw the fleet of `spec`, whose rollout is about the chain's number `primary`.

    With an inventory, `spec.devices` must be its number of rows.
    """
    n = spec.devices
    keys = device_keys(spec.seed, n)
    cohort = _cohorts(spec, keys, inventory)
    group = by_rank(draws32(keys, Purpose.GROUP, 0), group_shares(spec))
    zone = by_rank(draws32(keys, Purpose.ZONE, 0), [z.share for z in spec.zones])
    base = np.empty(n, dtype=np.int64)
    rate = np.empty(n, dtype=np.int64)
    phase = np.empty(n, dtype=np.int64)
    link = np.empty(n, dtype=np.int64)
    base_draw = draws32(keys, Purpose.BASE, 0)
    rate_draw = draws32(keys, Purpose.RATE, 0)
    phase_draw = draws32(keys, Purpose.WAKE_PHASE, 0)
    link_draw = draws32(keys, Purpose.LINK, 0)
    numbers = {each.name: number for number, each in enumerate(spec.links)}
    for number, facts in enumerate(spec.cohorts):
        members = np.flatnonzero(cohort == number)
        base[members] = primary - 1 - by_rank(base_draw[members], facts.base_mix)
        rate[members] = _weighted(rate_draw[members], routes[number].weights)
        on = np.array([numbers[name] for name in facts.link], dtype=np.int64)
        link[members] = on[by_rank(link_draw[members], [Fraction(1, len(on))] * len(on))]
        # A draw times the period must stay within 64 bits; a longer period is scaled in Python's integers.
        if facts.wake_period_ms < 1 << 32:
            phase[members] = (phase_draw[members] * np.uint64(facts.wake_period_ms)) >> np.uint64(32)
        else:
            phase[members] = [(int(d) * facts.wake_period_ms) >> 32 for d in phase_draw[members]]
    if inventory is not None:
        base = _told(inventory.base, base)
        group = _told(inventory.group, group)
        zone = _told(inventory.zone, zone)
    stale = draws32(keys, Purpose.STALE_INVENTORY, 0) < np.uint64(threshold(spec.faults.stale_inventory))
    recorded = np.where(stale & (base > 0), base - 1, base)
    unknown = np.full(n, UNKNOWN, dtype=np.int64)
    return Population(
        keys=keys,
        cohort=cohort,
        group=group,
        base=base,
        recorded=recorded,
        zone=zone,
        link=link,
        rate=rate,
        wake_phase_ms=phase,
        free_bytes=unknown if inventory is None else _told(inventory.free_bytes, unknown),
        battery_ppm=unknown if inventory is None else _told(inventory.battery_ppm, unknown),
        unseen_ms=unknown if inventory is None else _told(inventory.unseen_ms, unknown),
        state=unknown if inventory is None else _told(inventory.state, unknown),
        names=None if inventory is None else inventory.names,
    )


def _cohorts(spec: ScenarioSpec, keys: NDArray[np.uint64], inventory: Inventory | None) -> Column:
    """By the inventory's cohort, or among those with the row's hardware, or among all, by their shares."""
    shares = [c.share for c in spec.cohorts]
    drawn = by_rank(draws32(keys, Purpose.COHORT, 0), shares)
    if inventory is None:
        return drawn
    if inventory.hardware is not None:
        draws = draws32(keys, Purpose.COHORT_OF_ROW, 0)
        for code, name in enumerate(inventory.hardware_names):
            members = np.flatnonzero(inventory.hardware == code)
            fits = [number for number, c in enumerate(spec.cohorts) if c.hardware == name]
            if not fits or not len(members):
                continue
            total = sum((shares[f] for f in fits), Fraction(0))
            parts = [shares[f] / total if total else Fraction(1, len(fits)) for f in fits]
            drawn[members] = np.array(fits, dtype=np.int64)[by_rank(draws[members], parts)]
    return _told(inventory.cohort, drawn)


def _told(column: Column | None, drawn: Column) -> Column:
    """What the inventory says, and what was drawn where it says nothing."""
    return drawn if column is None else np.where(column == UNKNOWN, drawn, column)


def _weighted(draws: NDArray[np.uint64], weights: Sequence[int]) -> Column:
    """A class a draw, by their weights."""
    ends = np.array(list(accumulate(weights)), dtype=np.uint64)
    points = (draws * ends[-1]) >> np.uint64(32)
    classes: Column = np.searchsorted(ends, points, side="right").astype(np.int64)
    return classes
