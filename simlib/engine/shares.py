"""The fair shared links of `simlib.engine.link` as functions on integer columns, for the compiled clocks.

The same arithmetic to the last unit: see there for what it is and why. All links of a run are in one set of
columns, each link with a row and each of its rate classes with another. A class keeps its transfers in a
heap by the position at which they end; an aborted transfer stays in it until it comes up, known by `end` of
its device. One that its device resumed where it was broken off ends where the new one does: of those the
smaller is the new one, and comes first. So a device must not change its class while its aborted transfers
are about.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from simlib.engine.calendar import NEVER

Ints = Any


class Shares(NamedTuple):
    """The columns; a position is in units of 1 / (1000 << unit bits) byte."""

    # of a link
    classes_from: Ints  # its rate classes are the rows from
    classes_to: Ints  # to before
    capacity: Ints  # units a millisecond
    time_ms: Ints  # up to which it has been advanced
    served_ms: Ints
    shared: Ints
    carry: Ints
    carry_of: Ints
    first_shared: Ints  # row of the first class that shared when positions last moved
    active: Ints
    known: Ints  # 1: the level is known
    applied: Ints  # 1: positions move by it
    level_first: Ints  # row of the first class that shares
    level_available: Ints
    level_sharers: Ints
    closed_bytes: Ints
    due_ms: Ints  # when the next transfer ends, where the link is settled
    touched: Ints  # 1: it is not
    # of a rate class
    cap: Ints
    offset: Ints
    carried: Ints  # transfers in it
    base: Ints
    heap_at: Ints  # its heap is at this entry of `ends`
    heap_room: Ints
    heap_size: Ints
    # of an entry of a heap
    ends: Ints
    devices: Ints
    sizes: Ints
    # of a device
    end: Ints  # where its transfer ends; NO_TRANSFER: it has none
    rules: Ints  # see AT_*


NO_TRANSFER: Final = -1
AT_UNIT: Final = 0  # units of a byte
AT_LINKS: Final = 1
RULES: Final = 2


def level(shares: Shares, link: int) -> None:
    """Work out how the capacity is divided."""
    available = shares.capacity[link]
    sharers = shares.active[link]
    row = shares.classes_from[link]
    last = shares.classes_to[link]
    while row < last:
        cap = shares.cap[row]
        if cap * sharers > available:
            break
        count = shares.carried[row]
        if count:
            available -= cap * count
            sharers -= count
        row += 1
    shares.level_first[link] = row
    shares.level_available[link] = available
    shares.level_sharers[link] = sharers
    shares.known[link] = 1
    shares.applied[link] = 0


def advance_to(shares: Shares, link: int, now: int) -> None:
    """Let time pass up to `now`."""
    elapsed = now - shares.time_ms[link]
    if elapsed <= 0:
        return
    if not shares.known[link]:
        level(shares, link)
    if not shares.applied[link]:
        _apply(shares, link)
    available, sharers = shares.level_available[link], shares.level_sharers[link]
    if sharers == 0:
        shares.served_ms[link] += elapsed
    elif available:
        shares.served_ms[link] += elapsed
        amount = available * elapsed + shares.carry[link]
        moved = amount // sharers
        shares.carry[link] = amount - moved * sharers
        shares.shared[link] += moved
    shares.time_ms[link] = now


def _apply(shares: Shares, link: int) -> None:
    shares.applied[link] = 1
    first, sharers = shares.level_first[link], shares.level_sharers[link]
    if sharers and not shares.level_available[link]:
        return  # an outage: positions and carry stand still
    served, shared, carry = shares.served_ms[link], shares.shared[link], shares.carry[link]
    was_first = shares.first_shared[link]
    rounding = 1 if carry else 0
    for row in range(first, was_first):
        shares.offset[row] += shares.cap[row] * served - shared - rounding
    for row in range(was_first, first):
        shares.offset[row] += shared - shares.cap[row] * served
    shares.first_shared[link] = first
    if sharers:
        if carry:
            shares.carry[link] = carry * sharers // shares.carry_of[link]
        shares.carry_of[link] = sharers
    else:
        shares.carry[link] = 0
        shares.carry_of[link] = 1


def _position(shares: Shares, link: int, row: int) -> int:
    if row < shares.first_shared[link]:
        return int(shares.offset[row] + shares.cap[row] * shares.served_ms[link])
    return int(shares.offset[row] + shares.shared[link])


def has_room(shares: Shares, row: int) -> bool:
    """Whether one more transfer fits into the heap of class `row`; if not, its owner makes it larger."""
    return bool(shares.heap_size[row] < shares.heap_room[row])


def join_link(shares: Shares, now: int, device: int, link: int, row: int, size_bytes: int) -> None:
    """Start a transfer of `size_bytes` (at least 1) in class `row` of `link`."""
    advance_to(shares, link, now)
    base = _position(shares, link, row)
    if shares.carry[link] and row >= shares.first_shared[link]:
        base += 1
    end = base + size_bytes * shares.rules[AT_UNIT]
    shares.end[device] = end
    shares.base[row] += base
    shares.carried[row] += 1
    shares.active[link] += 1
    shares.known[link] = 0
    shares.touched[link] = 1
    start = shares.heap_at[row]
    at = shares.heap_size[row]
    shares.heap_size[row] = at + 1
    while at > 0:
        parent = (at - 1) >> 1
        other = shares.ends[start + parent]
        if other < end or (other == end and shares.sizes[start + parent] <= size_bytes):
            break
        shares.ends[start + at] = other
        shares.devices[start + at] = shares.devices[start + parent]
        shares.sizes[start + at] = shares.sizes[start + parent]
        at = parent
    shares.ends[start + at] = end
    shares.devices[start + at] = device
    shares.sizes[start + at] = size_bytes


def abort_transfer(shares: Shares, now: int, device: int, link: int, row: int, size_bytes: int) -> int:
    """Take `device` off the link; the bytes it misses, at least 1 and at most its size."""
    advance_to(shares, link, now)
    unit = shares.rules[AT_UNIT]
    end = shares.end[device]
    shares.end[device] = NO_TRANSFER
    missing = min(size_bytes, -((_position(shares, link, row) - end) // unit))
    _close(shares, link, row, end - size_bytes * unit, size_bytes - missing)
    _drop_stale(shares, row)
    return int(missing)


def _close(shares: Shares, link: int, row: int, base: int, received_bytes: int) -> None:
    shares.base[row] -= base
    shares.carried[row] -= 1
    shares.active[link] -= 1
    shares.closed_bytes[link] += received_bytes
    shares.known[link] = 0
    shares.touched[link] = 1


def _drop_stale(shares: Shares, row: int) -> None:
    """Keep a live transfer at the head of the heap, and the aborted ones in it fewer than the live."""
    start = shares.heap_at[row]
    while shares.heap_size[row] and shares.end[shares.devices[start]] != shares.ends[start]:
        _pop(shares, row)
    size = shares.heap_size[row]
    if size > 2 * shares.carried[row] + 16:
        kept = 0
        for at in range(start, start + size):
            if shares.end[shares.devices[at]] == shares.ends[at]:
                to = start + kept
                shares.ends[to] = shares.ends[at]
                shares.devices[to] = shares.devices[at]
                shares.sizes[to] = shares.sizes[at]
                kept += 1
        shares.heap_size[row] = kept
        for at in range(kept // 2 - 1, -1, -1):
            _sift(
                shares,
                start,
                at,
                shares.ends[start + at],
                shares.devices[start + at],
                shares.sizes[start + at],
                kept,
            )


def _pop(shares: Shares, row: int) -> None:
    """Take the head off the heap of class `row`."""
    start = shares.heap_at[row]
    size = shares.heap_size[row] - 1
    shares.heap_size[row] = size
    if size:
        last = start + size
        _sift(shares, start, 0, shares.ends[last], shares.devices[last], shares.sizes[last], size)


def _sift(shares: Shares, start: int, at: int, end: int, device: int, size_bytes: int, size: int) -> None:
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        least = shares.ends[start + child]
        if child + 1 < size:
            other = shares.ends[start + child + 1]
            if other < least or (
                other == least and shares.sizes[start + child + 1] < shares.sizes[start + child]
            ):
                child += 1
                least = other
        if least > end or (least == end and shares.sizes[start + child] >= size_bytes):
            break
        shares.ends[start + at] = least
        shares.devices[start + at] = shares.devices[start + child]
        shares.sizes[start + at] = shares.sizes[start + child]
        at = child
    shares.ends[start + at] = end
    shares.devices[start + at] = device
    shares.sizes[start + at] = size_bytes


def set_link_capacity(shares: Shares, now: int, link: int, units_per_ms: int) -> None:
    """Change a link's capacity; 0 is an outage."""
    advance_to(shares, link, now)
    shares.capacity[link] = units_per_ms
    shares.known[link] = 0
    shares.touched[link] = 1


def settle_link(shares: Shares, link: int) -> None:
    """Work out when the next transfer of `link` ends, if nothing changes."""
    shares.touched[link] = 0
    shares.due_ms[link] = _next_finish(shares, link)


def _next_finish(shares: Shares, link: int) -> int:
    if shares.active[link] == 0:
        return NEVER
    if not shares.known[link]:
        level(shares, link)
    first, available, sharers = (
        shares.level_first[link],
        shares.level_available[link],
        shares.level_sharers[link],
    )
    if sharers and not available:
        return NEVER
    soonest = NEVER
    nearest = NEVER
    was_first, carry = shares.first_shared[link], shares.carry[link]
    served, shared = shares.served_ms[link], shares.shared[link]
    for row in range(shares.classes_from[link], shares.classes_to[link]):
        if shares.heap_size[row]:
            cap = shares.cap[row]
            distance = shares.ends[shares.heap_at[row]] - shares.offset[row]
            if row < was_first:
                distance -= cap * served
                if carry and row >= first:
                    distance += 1  # it will be rounded down as it begins to share
            else:
                distance -= shared
            if row >= first:
                nearest = min(nearest, distance)
            elif soonest == NEVER or distance <= (soonest - 1) * cap:
                soonest = -(-distance // cap)
    if nearest != NEVER:
        if carry:
            carry = carry * sharers // shares.carry_of[link]
        soonest = min(soonest, -((carry - nearest * sharers) // available))
    return int(shares.time_ms[link] + max(soonest, 0))


def finished_device(shares: Shares, now: int, link: int) -> int:
    """Take one transfer that has ended by `now` off `link` and give its device, NO_TRANSFER if none has."""
    advance_to(shares, link, now)
    for row in range(shares.classes_from[link], shares.classes_to[link]):
        if not shares.heap_size[row]:
            continue
        start = shares.heap_at[row]
        end = shares.ends[start]
        if end > _position(shares, link, row):
            continue
        device, size_bytes = shares.devices[start], shares.sizes[start]
        _pop(shares, row)
        shares.end[device] = NO_TRANSFER
        _close(shares, link, row, end - size_bytes * shares.rules[AT_UNIT], size_bytes)
        _drop_stale(shares, row)
        return int(device)
    return NO_TRANSFER


def delivered(shares: Shares, now: int, link: int) -> int:
    """What `link` has delivered since time 0, in whole bytes; see `FairLink.delivered_bytes`."""
    advance_to(shares, link, now)
    under_way = 0
    sharing = 0
    for row in range(shares.classes_from[link], shares.classes_to[link]):
        count = shares.carried[row]
        if count:
            under_way += count * _position(shares, link, row) - shares.base[row]
            if row >= shares.first_shared[link]:
                sharing += count
    if shares.carry[link]:
        under_way += shares.carry[link] * sharing // shares.carry_of[link]
    return int(shares.closed_bytes[link] + max(under_way, 0) // shares.rules[AT_UNIT])
