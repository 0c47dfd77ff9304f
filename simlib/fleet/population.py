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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simlib.draws import Purpose, blocks, device_keys, drawn_blocks, scaled, threshold
from simlib.fleet.inventory import UNKNOWN, Inventory
from simlib.fleet.routes import Route
from simlib.scenario.model import ScenarioSpec

Column = NDArray[np.signedinteger[Any]]
"""A whole number a device, in the narrowest type that holds them all.

Arithmetic on a column is done in int64. One value for all devices is kept once (`uniform`).
"""


@dataclass(frozen=True)
class Population:
    """Columns of one fleet, to be read only; every array has a row a device, in device order."""

    keys: NDArray[np.uint64]  # of the device's draws
    cohort: Column  # index into the scenario's cohorts
    group: Column  # index into the rollout's groups
    base: Column  # chain index of the firmware a device runs at the start
    recorded: Column  # chain index the server's inventory has for it
    zone: Column  # index into the scenario's zones
    link: Column  # index into the scenario's links
    rate: Column  # index into the classes of its cohort's path
    wake_phase_ms: NDArray[np.int64]  # of the first scheduled check-in, in [0, period)
    free_bytes: Column  # storage that is free by the inventory; UNKNOWN: what the layout has
    battery_ppm: Column  # charge at the start by the inventory; UNKNOWN: drawn
    unseen_ms: Column  # how long before the start it was last seen; UNKNOWN: not said
    state: Column  # code into inventory.STATES; UNKNOWN: pending
    names: NDArray[np.object_] | None  # the inventory's identifiers


def uniform(value: int, devices: int) -> NDArray[np.int64]:
    """A column of `devices` rows that all are `value`, in the memory of one."""
    return np.broadcast_to(np.int64(value), (devices,))


def is_uniform(column: NDArray[Any]) -> bool:
    """Whether a column is of the kind that `uniform` makes."""
    return column.strides == (0,)


def narrow(column: NDArray[Any]) -> Column:
    """The same whole numbers in the narrowest signed type that holds them; once, if they are all the same."""
    if is_uniform(column) or not len(column):
        return column
    low, high = int(column.min()), int(column.max())
    if low == high:
        return uniform(low, len(column))
    return column.astype(_type_for(low, high), copy=False)


def _type_for(low: int, high: int) -> np.dtype[Any]:
    return np.min_scalar_type(min(low, -1 - high))


def _type_of(column: Column) -> np.dtype[Any]:
    """The type a copy of `column` takes that is written to."""
    return _type_for(int(column[0]), int(column[0])) if is_uniform(column) else column.dtype


def looked_up(table: NDArray[Any], *columns: NDArray[Any]) -> Column:
    """`table`'s entry for each device, an axis a column; −1 is the last row of its axis."""
    devices = len(columns[0])
    entries = narrow(table.ravel())
    if is_uniform(entries) or all(is_uniform(column) for column in columns):
        return (
            uniform(int(table[tuple(column[0] for column in columns)]), devices) if devices else entries[:0]
        )
    entries = entries.reshape(table.shape)
    found = np.empty(devices, dtype=entries.dtype)
    for block in blocks(devices):
        found[block] = entries[tuple(column[block] for column in columns)]
    return narrow(found)


def members_of(cohort: Column, number: int) -> slice | NDArray[np.bool_]:
    """What selects the devices of cohort `number` from a column."""
    if is_uniform(cohort) and len(cohort):
        return slice(None) if cohort[0] == number else slice(0)
    members: NDArray[np.bool_] = cohort == number
    return members


def apportion(shares: Sequence[Fraction], devices: int) -> tuple[int, ...]:
    """Whole numbers of devices for `shares` that sum to 1: cut at the cumulative shares, rounded down."""
    cuts = [int(sum(shares[:k], Fraction(0)) * devices) for k in range(len(shares) + 1)]
    return tuple(b - a for a, b in pairwise(cuts))


def by_rank(draws: NDArray[Any], shares: Sequence[Fraction]) -> Column:
    """Each device's part: ranked by (draw, device), the first share's number goes to part 0, and so on.

    Nothing is sorted. The draws at the ranks where a part ends say of every device but those that have just
    such a draw which part it is in; those are ranked in device order.
    """
    devices = len(draws)
    ends = np.array(list(accumulate(apportion(shares, devices))), dtype=np.int64)
    if ends[-1] != devices:
        raise ValueError(f"shares: found a sum of {sum(shares)}, expected 1")
    first = np.unique(ends[(ends > 0) & (ends < devices)])  # ranks that are the first of a part
    if not len(first):
        return uniform(int(np.searchsorted(ends, 0, side="right")) if devices else 0, devices)
    at_first = np.partition(draws, first)[first]
    cuts = np.unique(at_first)
    # Between two cuts lie whole parts' worth of ranks, so one code does for all draws there.
    passed = np.concatenate([[0], np.searchsorted(at_first, cuts, side="right")])
    codes = np.searchsorted(ends, np.concatenate([[0], first])[passed], side="right")
    part = np.empty(devices, dtype=_type_for(0, len(shares) - 1))
    counts = np.zeros(len(cuts) + 1, dtype=np.int64)
    ties = []
    for block in blocks(devices):
        drawn = draws[block]
        above = np.searchsorted(cuts, drawn)
        part[block] = codes[above]
        counts += np.bincount(above, minlength=len(counts))
        ties.append(np.flatnonzero(cuts[np.minimum(above, len(cuts) - 1)] == drawn) + block.start)
    tied = np.concatenate(ties)
    which = np.searchsorted(cuts, draws[tied]).astype(_type_for(0, len(cuts) - 1))
    tied = tied[np.argsort(which, kind="stable")]
    alike = np.bincount(which, minlength=len(cuts))
    lower = np.cumsum(counts[:-1]) - alike  # how many draws are below each cut
    rank = np.arange(len(tied)) + np.repeat(lower - (np.cumsum(alike) - alike), alike)
    part[tied] = np.searchsorted(ends, rank, side="right")
    return part


def ranked(keys: NDArray[np.uint64], purpose: Purpose, shares: Sequence[Fraction]) -> Column:
    """`by_rank` of the keys' draws for `purpose`; nothing is drawn where one part has all devices."""
    if len(keys) in apportion(shares, len(keys)):
        return by_rank(np.broadcast_to(np.uint64(0), len(keys)), shares)
    draws = np.empty(len(keys), dtype=np.uint32)
    for block, drawn in drawn_blocks(keys, purpose, 0):
        draws[block] = drawn
    return by_rank(draws, shares)


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
    numbers = {each.name: number for number, each in enumerate(spec.links)}
    base, rate, link = [], [], []
    for number, facts in enumerate(spec.cohorts):
        mine = keys[members_of(cohort, number)]
        older = np.arange(primary - 1, primary - 1 - len(facts.base_mix), -1)
        base.append(looked_up(older, ranked(mine, Purpose.BASE, facts.base_mix)))
        rate.append(_weighted(mine, routes[number].weights))
        on = np.array([numbers[name] for name in facts.link], dtype=np.int64)
        link.append(looked_up(on, ranked(mine, Purpose.LINK, [Fraction(1, len(on))] * len(on))))
        del mine
    group = ranked(keys, Purpose.GROUP, group_shares(spec))
    zone = ranked(keys, Purpose.ZONE, [z.share for z in spec.zones])
    based = joined(cohort, base)
    unknown = uniform(UNKNOWN, n)
    if inventory is not None:
        based = _told(inventory.base, based)
        group = _told(inventory.group, group)
        zone = _told(inventory.zone, zone)
    return Population(
        keys=keys,
        cohort=cohort,
        group=narrow(group),
        base=based,
        recorded=_recorded(spec, keys, based),
        zone=zone,
        link=joined(cohort, link),
        rate=joined(cohort, rate),
        wake_phase_ms=_phases(spec, keys, cohort),
        free_bytes=unknown if inventory is None else _told(inventory.free_bytes, unknown),
        battery_ppm=unknown if inventory is None else _told(inventory.battery_ppm, unknown),
        unseen_ms=unknown if inventory is None else _told(inventory.unseen_ms, unknown),
        state=unknown if inventory is None else _told(inventory.state, unknown),
        names=None if inventory is None else inventory.names,
    )


def joined(cohort: Column, parts: Sequence[Column]) -> Column:
    """One column from those of the members of each cohort, in the order of the cohorts."""
    if is_uniform(cohort) and len(cohort):
        return narrow(parts[int(cohort[0])])
    filled = [part for part in parts if len(part)]
    if filled and all(is_uniform(part) for part in filled) and len({int(part[0]) for part in filled}) == 1:
        return uniform(int(filled[0][0]), len(cohort))
    column = np.empty(len(cohort), dtype=np.result_type(np.int8, *map(_type_of, filled)))
    for number, part in enumerate(parts):
        column[members_of(cohort, number)] = part
    return narrow(column)


def _phases(spec: ScenarioSpec, keys: NDArray[np.uint64], cohort: Column) -> NDArray[np.int64]:
    """The phase of each device's check-ins, drawn over their part of its cohort's period."""
    spans = [max(int(facts.wake_period_ms * facts.wake_spread), 1) for facts in spec.cohorts]
    periods = np.array(spans, dtype=np.uint64)
    phase = np.empty(len(keys), dtype=np.int64)
    for block, drawn in drawn_blocks(keys, Purpose.WAKE_PHASE, 0):
        phase[block] = scaled(drawn, periods[cohort[block]])
    return phase if (phase != phase[:1]).any() else uniform(int(phase[0]), len(phase))


def _recorded(spec: ScenarioSpec, keys: NDArray[np.uint64], base: Column) -> Column:
    """What the server has for each device: where its inventory is stale, one release less."""
    below = np.uint64(threshold(spec.faults.stale_inventory))
    if not below:
        return base
    recorded = base.astype(_type_of(base))
    for block, drawn in drawn_blocks(keys, Purpose.STALE_INVENTORY, 0):
        recorded[block] -= (drawn < below) & (base[block] > 0)
    return narrow(recorded)


def _cohorts(spec: ScenarioSpec, keys: NDArray[np.uint64], inventory: Inventory | None) -> Column:
    """By the inventory's cohort, or among those with the row's hardware, or among all, by their shares."""
    shares = [c.share for c in spec.cohorts]
    drawn = ranked(keys, Purpose.COHORT, shares)
    if inventory is None:
        return drawn
    if inventory.hardware is not None:
        drawn = drawn.astype(np.int64)
        for code, name in enumerate(inventory.hardware_names):
            members = np.flatnonzero(inventory.hardware == code)
            fits = [number for number, c in enumerate(spec.cohorts) if c.hardware == name]
            if not fits or not len(members):
                continue
            total = sum((shares[f] for f in fits), Fraction(0))
            parts = [shares[f] / total if total else Fraction(1, len(fits)) for f in fits]
            part = ranked(keys[members], Purpose.COHORT_OF_ROW, parts)
            drawn[members] = np.array(fits, dtype=np.int64)[part]
    return _told(inventory.cohort, drawn)


def _told(column: NDArray[np.int64] | None, drawn: Column) -> Column:
    """What the inventory says, and what was drawn where it says nothing."""
    return narrow(drawn if column is None else np.where(column == UNKNOWN, drawn, column))


def _weighted(keys: NDArray[np.uint64], weights: Sequence[int]) -> Column:
    """A class a key, by their weights."""
    if len(weights) == 1:
        return uniform(0, len(keys))
    ends = np.array(list(accumulate(weights)), dtype=np.uint64)
    classes = np.empty(len(keys), dtype=_type_for(0, len(weights)))
    for block, drawn in drawn_blocks(keys, Purpose.RATE, 0):
        classes[block] = np.searchsorted(ends, (drawn * ends[-1]) >> np.uint64(32), side="right")
    return classes
