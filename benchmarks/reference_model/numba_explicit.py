"""The reference model compiled, every event by itself, with a 4-ary heap or with a calendar as the queue.

An event's key is ``time << 24 | device``: whole numbers in the order the model asks for. A device waits for
one thing at a time, so the lists of a calendar's buckets and of the slots' queue run through the devices.
"""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
from numba import njit

from . import compiled_heap as heaps
from . import compiled_tally as t
from . import model as m
from .compiled_draws import delay, draw, key_of, next_wave

DEVICE: Final = np.dtype(
    [("key", "u8"), ("due", "i8"), ("remaining", "i4"), ("next", "i4"), ("count", "i4"), ("phase", "i4")]
)
"""32 bytes a device: half a cache line."""

(WAKE, WINDOW, CHECK, DROPPED, AGAIN, TRANSFERRED, VERIFY, PATCH) = range(8)
(INSTALL, REBOOT, HEALTH, FINISH, REPORT) = range(8, 13)
EVENTS_A_BUCKET: Final = 16
BUSY_MS: Final = 24_000_000
"""About as long as half the fleet takes, with five or six events a device: what a bucket's width follows."""


@njit
def start(state: Any, i: Any, now: Any, tally: Any) -> None:
    """START: the device has a slot; `due` becomes the end of its transfer."""
    tally[t.EVENTS] += 1
    one = state[i]
    if draw(one.key, m.DROP, one.count) < m.DROPS:
        one.phase = DROPPED
        one.due = now + (one.remaining + 1) // 2
    else:
        one.phase = TRANSFERRED
        one.due = now + one.remaining


@njit
def ask(state: Any, i: Any, now: Any, tally: Any) -> Any:
    """Whether the device got a slot at once; otherwise it stands in the queue."""
    if tally[t.FREE] > 0:
        tally[t.FREE] -= 1
        start(state, i, now, tally)
        return True
    state[i].next = -1
    if tally[t.HEAD] < 0:
        tally[t.HEAD] = i
    else:
        state[tally[t.TAIL]].next = i
    tally[t.TAIL] = i
    return False


@njit
def give_back(state: Any, now: Any, tally: Any) -> Any:
    """The device that got the slot, -1 if nobody waits."""
    j = tally[t.HEAD]
    if j < 0:
        tally[t.FREE] += 1
        return -1
    tally[t.HEAD] = state[j].next
    start(state, j, now, tally)
    return j


@njit
def step(state: Any, i: Any, now: Any, tally: Any, table: Any) -> Any:
    """One event of device `i`: has it a next one (at its `due`), who got its slot, which wave opens."""
    tally[t.EVENTS] += 1
    one = state[i]
    key = one.key
    phase = one.phase
    if phase == WAKE:
        if draw(key, m.BATTERY, one.count) < m.BATTERY_LOW:
            one.due = now + delay(key, m.CHARGE, m.CHARGE_MS, one.count)
            one.count += 1
        else:
            one.due = now + delay(key, m.WINDOW, m.WINDOW_MS, 0)
            one.phase = WINDOW
    elif phase == WINDOW:
        one.due = now + delay(key, m.CHECK, m.CHECK_MS, 0)
        one.phase = CHECK
    elif phase == CHECK:
        one.remaining = table[draw(key, m.TRANSFER, 0) >> 22]
        one.count = 0
        return ask(state, i, now, tally), -1, -1
    elif phase == AGAIN:
        return ask(state, i, now, tally), -1, -1
    elif phase == DROPPED:
        one.remaining = max(1, one.remaining // 2)
        one.due = now + delay(key, m.BACKOFF, m.BACKOFF_MS, one.count)
        one.count += 1
        one.phase = AGAIN
        return True, give_back(state, now, tally), -1
    elif phase == TRANSFERRED:
        one.due = now + delay(key, m.VERIFY, m.VERIFY_MS, 0)
        one.phase = VERIFY
        return True, give_back(state, now, tally), -1
    elif phase == VERIFY:
        one.due = now + delay(key, m.PATCH, m.PATCH_MS, 0)
        one.phase = PATCH
    elif phase == PATCH:
        one.due = now + delay(key, m.INSTALL, m.INSTALL_MS, 0)
        one.phase = INSTALL
    elif phase == INSTALL:
        one.due = now + delay(key, m.REBOOT, m.REBOOT_MS, 0)
        one.phase = REBOOT
    elif phase == REBOOT:
        one.due = now + delay(key, m.HEALTH, m.HEALTH_MS, 0)
        one.phase = HEALTH
    elif phase == HEALTH:
        one.count = 1 if draw(key, m.DEFECT, 0) < m.DEFECTIVE else 0
        one.due = now + delay(key, m.FINISH, m.REVERT_MS if one.count else m.CONFIRM_MS, 0)
        one.phase = FINISH
    elif phase == FINISH:
        one.due = now + delay(key, m.REPORT, m.REPORT_MS, 0)
        one.phase = REPORT
    else:
        return False, -1, next_wave(tally, i, now, one.count)
    return True, -1, -1


@njit
def wake_up(state: Any, i: Any, now: Any, seed: Any) -> None:
    """The device's wave opens."""
    one = state[i]
    one.key = key_of(seed, i)
    one.phase = WAKE
    one.count = 0
    one.due = now + delay(one.key, m.WAKE, m.WAKE_MS, 0)


@njit
def clock_with_heap(state: Any, heap: Any, tally: Any, table: Any, seed: Any) -> None:
    """Run to the end with a 4-ary heap."""
    size, wave, now = 0, 0, 0
    while True:
        if wave >= 0:
            tally[t.WAVES] += 1
            for i in range(tally[t.BOUNDS + wave], tally[t.BOUNDS + wave + 1]):
                wake_up(state, i, now, seed)
                size = heaps.push(heap, size, state[i].due << m.DEVICE_BITS | i)
        if size == 0:
            return
        now, i = heap[0] >> m.DEVICE_BITS, heap[0] & t.DEVICE_MASK
        goes_on, granted, wave = step(state, i, now, tally, table)
        if goes_on:
            heaps.replace_top(heap, size, state[i].due << m.DEVICE_BITS | i)
        elif granted < 0:
            size = heaps.pop(heap, size)
        if granted >= 0:
            size = heaps.push(heap, size, state[granted].due << m.DEVICE_BITS | granted)


@njit
def file_under(state: Any, buckets: Any, shift: Any, i: Any) -> None:
    """Put the device into the bucket of its `due`."""
    bucket = (state[i].due >> shift) & (len(buckets) - 1)
    state[i].next = buckets[bucket]
    buckets[bucket] = i


@njit
def insert(today: Any, at: Any, count: Any, key: Any) -> Any:
    """Put `key` into its place in the sorted ``today[at:count]``. The new count."""
    place = count
    while place > at and today[place - 1] > key:
        today[place] = today[place - 1]
        place -= 1
    today[place] = key
    return count + 1


@njit
def clock_with_calendar(
    state: Any, buckets: Any, shift: Any, today: Any, tally: Any, table: Any, seed: Any
) -> None:
    """Run to the end with a calendar of 2**k buckets of 2**shift ms, which last longer than any delay.

    A bucket's events are sorted when its turn comes; one that is still added to it goes to its place.
    """
    pending, wave, now = 0, 0, 0
    day, at, count = 0, 0, 0
    while True:
        if count > len(state):  # `today` has room for twice the fleet: make that room again
            today[: count - at] = today[at:count].copy()
            at, count = 0, count - at
        if wave >= 0:
            tally[t.WAVES] += 1
            for i in range(tally[t.BOUNDS + wave], tally[t.BOUNDS + wave + 1]):
                wake_up(state, i, now, seed)
                if state[i].due >> shift == day:
                    count = insert(today, at, count, state[i].due << m.DEVICE_BITS | i)
                else:
                    file_under(state, buckets, shift, i)
                pending += 1
            wave = -1
        if pending == 0:
            return
        while at == count:
            day += 1
            at, count = 0, 0
            i = buckets[day & (len(buckets) - 1)]
            buckets[day & (len(buckets) - 1)] = -1
            while i >= 0:
                count = insert(today, 0, count, state[i].due << m.DEVICE_BITS | i)
                i = state[i].next
        now, i = today[at] >> m.DEVICE_BITS, today[at] & t.DEVICE_MASK
        at += 1
        goes_on, granted, wave = step(state, i, now, tally, table)
        if not goes_on:
            pending -= 1
        elif state[i].due >> shift == day:
            count = insert(today, at, count, state[i].due << m.DEVICE_BITS | i)
        else:
            file_under(state, buckets, shift, i)
        if granted >= 0:
            pending += 1
            if state[granted].due >> shift == day:
                count = insert(today, at, count, state[granted].due << m.DEVICE_BITS | granted)
            else:
                file_under(state, buckets, shift, granted)


def run_heap(devices: int, seed: int) -> tuple[float, m.Outcome]:
    """Seconds of the clock alone, and what came out, with a 4-ary heap."""
    tally, table = t.fresh_tally(devices), np.array(m.transfer_table(), np.int64)
    began = time.perf_counter()
    state, heap = np.zeros(devices, DEVICE), np.empty(devices + 1, np.int64)
    clock_with_heap(state, heap, tally, table, seed)
    return time.perf_counter() - began, t.outcome_of(tally)


def run_calendar(devices: int, seed: int) -> tuple[float, m.Outcome]:
    """Seconds of the clock alone, and what came out, with a calendar queue."""
    tally, table = t.fresh_tally(devices), np.array(m.transfer_table(), np.int64)
    width_ms = max(1, EVENTS_A_BUCKET * BUSY_MS // (5 * devices))
    shift = width_ms.bit_length() - 1
    longest_ms = m.WAKE_MS[0] + m.WAKE_MS[1]
    buckets = 1 << ((longest_ms >> shift) + 2).bit_length()
    began = time.perf_counter()
    state, today = np.zeros(devices, DEVICE), np.empty(2 * devices + 2, np.int64)
    clock_with_calendar(state, np.full(buckets, -1, np.int32), shift, today, tally, table, seed)
    return time.perf_counter() - began, t.outcome_of(tally)
