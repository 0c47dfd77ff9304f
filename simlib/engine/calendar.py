"""What each device waits for, in order of (time, device): a calendar queue of integers.

A calendar queue (R. Brown, "Calendar queues: a fast O(1) priority queue implementation for the simulation
event set problem", CACM 31(10), 1988) keeps events in buckets of equal width; only the bucket whose time has
come is sorted. Each device waits for at most one thing, so a bucket is a list threaded through the devices
themselves, and what is cancelled leaves it at once. Events that fall into the bucket being worked off go to
a small heap beside it. An event is one integer, ``time << DEVICE_BITS | device``, so that the order is total.

Functions on columns, for compiled clocks and, with lists, for tests.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

NEVER: Final = 1 << 62
"""The time of what will not happen [ms]."""
DEVICE_BITS: Final = 24
DEVICES_MAX: Final = 1 << DEVICE_BITS
DEVICE_MASK: Final = DEVICES_MAX - 1
LATEST_MS: Final = (1 << (62 - DEVICE_BITS)) - 1
"""The latest time an event may have: some 8 years."""
NONE: Final = -1

Ints = Any


class Calendar(NamedTuple):
    """The queue's columns."""

    due: Ints  # of a device: when it goes on; NEVER: it waits for nothing
    after: Ints  # the next device in its bucket, or NONE
    before: Ints  # the one before it, or NONE
    head: Ints  # of a bucket: its first device, or NONE
    keys: Ints  # the events of the bucket being worked off, sorted
    heap: Ints  # events that came into it later
    state: Ints  # see AT_*


AT_SHIFT: Final = 0  # a bucket is 1 << shift milliseconds wide
AT_BUCKETS: Final = 1
AT_END: Final = 2  # the first time after the bucket being worked off
AT_NEXT: Final = 3  # events in `keys` that are taken
AT_KEYS: Final = 4  # events in `keys`
AT_HEAP: Final = 5  # events in `heap`
AT_HEAP_ROOM: Final = 6
AT_LISTED: Final = 7  # events in buckets
AT_HINT: Final = 8  # no bucket before this one has events
STATES: Final = 9


def shape(devices: int, horizon_ms: int) -> tuple[int, int]:
    """Shift and number of buckets for so many devices: about as many buckets as devices, within bounds."""
    most = min(max(devices, 1 << 10), 1 << 20)
    shift = 0
    while (horizon_ms >> shift) + 1 > most:
        shift += 1
    return shift, (horizon_ms >> shift) + 1


def fetch(calendar: Calendar, device: int) -> None:
    """A hint that `device` comes soon: compiled code has its row fetched from memory."""


def push(calendar: Calendar, time_ms: int, device: int) -> None:
    """`device`, which waits for nothing, goes on at `time_ms`, which is not past and at most the horizon."""
    state = calendar.state
    calendar.due[device] = time_ms
    if time_ms < state[AT_END]:
        _push_heap(calendar, time_ms << DEVICE_BITS | device)
        return
    bucket = time_ms >> state[AT_SHIFT]
    first = calendar.head[bucket]
    calendar.after[device] = first
    calendar.before[device] = NONE
    if first != NONE:
        calendar.before[first] = device
    calendar.head[bucket] = device
    state[AT_LISTED] += 1
    if bucket < state[AT_HINT]:
        state[AT_HINT] = bucket


def cancel(calendar: Calendar, device: int) -> None:
    """`device` waits for nothing any more."""
    state = calendar.state
    time_ms = calendar.due[device]
    if time_ms == NEVER:
        return
    calendar.due[device] = NEVER
    if time_ms < state[AT_END]:
        return  # its event is passed over when it comes
    after, before = calendar.after[device], calendar.before[device]
    if before != NONE:
        calendar.after[before] = after
    else:
        calendar.head[time_ms >> state[AT_SHIFT]] = after
    if after != NONE:
        calendar.before[after] = before
    state[AT_LISTED] -= 1


def soonest(calendar: Calendar, limit_ms: int) -> int:
    """The first event, or NEVER where there is none up to `limit_ms` (one after it may be given all the
    same).
    """
    state, keys, heap = calendar.state, calendar.keys, calendar.heap
    while True:
        at, count = state[AT_NEXT], state[AT_KEYS]
        while at < count and calendar.due[keys[at] & DEVICE_MASK] != keys[at] >> DEVICE_BITS:
            at += 1
        state[AT_NEXT] = at
        while state[AT_HEAP] and calendar.due[heap[0] & DEVICE_MASK] != heap[0] >> DEVICE_BITS:
            _pop_heap(calendar)
        key = NEVER
        if at < count:
            key = keys[at]
        if state[AT_HEAP] and heap[0] < key:
            key = heap[0]
        if key != NEVER or state[AT_LISTED] == 0:
            return key
        bucket = state[AT_HINT]
        while calendar.head[bucket] == NONE:
            bucket += 1
        state[AT_HINT] = bucket
        if bucket << state[AT_SHIFT] > limit_ms:
            return NEVER
        _open(calendar, bucket)


def take(calendar: Calendar, key: int) -> int:
    """Remove the first event, `key` as `soonest` gave it; its device."""
    state, keys = calendar.state, calendar.keys
    at = state[AT_NEXT]
    if at < state[AT_KEYS] and keys[at] == key:
        state[AT_NEXT] = at + 1
        if at + 8 < state[AT_KEYS]:
            fetch(calendar, keys[at + 8] & DEVICE_MASK)
    else:
        _pop_heap(calendar)
    device = key & DEVICE_MASK
    calendar.due[device] = NEVER
    return device


def _open(calendar: Calendar, bucket: int) -> None:
    """Begin to work a bucket off."""
    state, keys = calendar.state, calendar.keys
    count = 0
    device = calendar.head[bucket]
    while device != NONE:
        keys[count] = calendar.due[device] << DEVICE_BITS | device
        if count < 8:
            fetch(calendar, device)
        count += 1
        device = calendar.after[device]
    calendar.head[bucket] = NONE
    state[AT_LISTED] -= count
    state[AT_HINT] = bucket + 1
    state[AT_END] = (bucket + 1) << state[AT_SHIFT]
    state[AT_NEXT] = 0
    state[AT_KEYS] = count
    _sort(calendar, count)


def _sort(calendar: Calendar, count: int) -> None:
    """Sort the first `count` keys (shellsort with Ciura's gaps, then gaps growing by 9/4)."""
    keys = calendar.keys
    gap = 1
    while gap < count:
        gap = gap * 9 // 4 + 1
    while gap > 1:
        gap = gap * 4 // 9
        gap = max(gap, 1)
        for at in range(gap, count):
            key = keys[at]
            to = at
            while to >= gap and keys[to - gap] > key:
                keys[to] = keys[to - gap]
                to -= gap
            keys[to] = key


def _push_heap(calendar: Calendar, key: int) -> None:
    state, heap = calendar.state, calendar.heap
    if state[AT_HEAP] == state[AT_HEAP_ROOM]:
        _drop_stale(calendar)
    at = state[AT_HEAP]
    state[AT_HEAP] = at + 1
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent] <= key:
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = key


def _pop_heap(calendar: Calendar) -> None:
    state, heap = calendar.state, calendar.heap
    count = state[AT_HEAP] - 1
    state[AT_HEAP] = count
    if count > 0:
        _sift(calendar, 0, heap[count], count)


def _sift(calendar: Calendar, at: int, key: int, count: int) -> None:
    """Put `key` at place `at` of a heap of `count`, or as far below as it belongs."""
    heap = calendar.heap
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key


def _drop_stale(calendar: Calendar) -> None:
    """Keep only the events of the heap that still stand, of each device one at most."""
    state, heap = calendar.state, calendar.heap
    count = 0
    for at in range(state[AT_HEAP]):
        key = heap[at]
        if calendar.due[key & DEVICE_MASK] == key >> DEVICE_BITS:
            calendar.due[key & DEVICE_MASK] = NEVER  # for now: pushed again for one time, it is there twice
            heap[count] = key
            count += 1
    for at in range(count):
        calendar.due[heap[at] & DEVICE_MASK] = heap[at] >> DEVICE_BITS
    state[AT_HEAP] = count
    for at in range(count // 2 - 1, -1, -1):
        _sift(calendar, at, heap[at], count)
