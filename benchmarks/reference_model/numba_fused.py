"""The reference model compiled, with steps summed where nothing outside can touch a device before their end.

Two stretches touch nothing shared: from the opening of a wave to the request for a slot, and from the end
of the transfer to the report. Each becomes one event, counted as the events it stands for. The requests of
a wave are known when it opens: they are sorted once and merged with a 4-ary heap of the devices in flight.
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
    [("key", "u8"), ("remaining", "i4"), ("next", "i4"), ("drops", "i4"), ("phase", "i4")]
)
TRANSFERRED, DROPPED, AGAIN, REPORT, REPORT_OF_REVERT = range(5)
DIGIT_BITS: Final = 11


@njit
def request_ms(key: Any, now: Any, tally: Any) -> Any:
    """When a device whose wave opens `now` asks for a slot; counts WAKE, WINDOW and CHECK."""
    due = now + delay(key, m.WAKE, m.WAKE_MS, 0)
    lows = 0
    while draw(key, m.BATTERY, lows) < m.BATTERY_LOW:
        due += delay(key, m.CHARGE, m.CHARGE_MS, lows)
        lows += 1
    tally[t.EVENTS] += lows + 3
    return due + delay(key, m.WINDOW, m.WINDOW_MS, 0) + delay(key, m.CHECK, m.CHECK_MS, 0)


@njit
def report_ms(key: Any, now: Any, tally: Any, reverted: Any) -> Any:
    """When a device whose transfer ends `now` reports; counts all from VERIFY to REPORT."""
    tally[t.EVENTS] += m.AFTER_TRANSFER
    due = now + delay(key, m.VERIFY, m.VERIFY_MS, 0) + delay(key, m.PATCH, m.PATCH_MS, 0)
    due += delay(key, m.INSTALL, m.INSTALL_MS, 0) + delay(key, m.REBOOT, m.REBOOT_MS, 0)
    due += delay(key, m.HEALTH, m.HEALTH_MS, 0)
    due += delay(key, m.FINISH, m.REVERT_MS if reverted else m.CONFIRM_MS, 0)
    return due + delay(key, m.REPORT, m.REPORT_MS, 0)


@njit
def start(state: Any, i: Any, now: Any, tally: Any) -> Any:
    """START. The key of the transfer's end."""
    tally[t.EVENTS] += 1
    one = state[i]
    due = now
    if draw(one.key, m.DROP, one.drops) < m.DROPS:
        one.phase = DROPPED
        due += (one.remaining + 1) // 2
    else:
        one.phase = TRANSFERRED
        due += one.remaining
    return due << m.DEVICE_BITS | i


@njit
def ask(state: Any, i: Any, now: Any, tally: Any) -> Any:
    """The key of the transfer's end, -1 if the device has to wait."""
    if tally[t.FREE] > 0:
        tally[t.FREE] -= 1
        return start(state, i, now, tally)
    state[i].next = -1
    if tally[t.HEAD] < 0:
        tally[t.HEAD] = i
    else:
        state[tally[t.TAIL]].next = i
    tally[t.TAIL] = i
    return -1


@njit
def sort_requests(requests: Any, spare: Any, count: Any, now: Any) -> None:
    """Sort ``requests[:count]``, all later than `now`, digit by digit (least significant first)."""
    low = now << m.DEVICE_BITS
    largest = low
    for k in range(count):
        largest = max(largest, requests[k])
    places = np.zeros(1 << DIGIT_BITS, np.int64)
    # Devices ascend within a wave, and one left over from an earlier wave is less: times alone are sorted.
    shift = m.DEVICE_BITS
    while (largest - low) >> shift > 0:
        places[:] = 0
        for k in range(count):
            places[((requests[k] - low) >> shift) & ((1 << DIGIT_BITS) - 1)] += 1
        total = 0
        for digit in range(len(places)):
            here = places[digit]
            places[digit] = total
            total += here
        for k in range(count):
            digit = ((requests[k] - low) >> shift) & ((1 << DIGIT_BITS) - 1)
            spare[places[digit]] = requests[k]
            places[digit] += 1
        requests[:count] = spare[:count]
        shift += DIGIT_BITS


@njit
def fused_clock(state: Any, heap: Any, requests: Any, spare: Any, tally: Any, table: Any, seed: Any) -> None:
    """Run to the end."""
    size, at, count, wave, now = 0, 0, 0, 0, 0
    while True:
        if wave >= 0:
            tally[t.WAVES] += 1
            left = count - at
            for k in range(left):
                requests[k] = requests[at + k]
            at, count = 0, left
            for i in range(tally[t.BOUNDS + wave], tally[t.BOUNDS + wave + 1]):
                one = state[i]
                one.key = key_of(seed, i)
                one.drops = 0
                one.remaining = table[draw(one.key, m.TRANSFER, 0) >> 22]
                requests[count] = request_ms(one.key, now, tally) << m.DEVICE_BITS | i
                count += 1
            sort_requests(requests, spare, count, now)
            wave = -1
        if at < count and (size == 0 or requests[at] < heap[0]):
            now, i = requests[at] >> m.DEVICE_BITS, requests[at] & t.DEVICE_MASK
            at += 1
            key = ask(state, i, now, tally)
            if key >= 0:
                size = heaps.push(heap, size, key)
            continue
        if size == 0:
            return
        now, i = heap[0] >> m.DEVICE_BITS, heap[0] & t.DEVICE_MASK
        one = state[i]
        key = -1
        if one.phase == AGAIN:
            tally[t.EVENTS] += 1
            key = ask(state, i, now, tally)
        elif one.phase >= REPORT:
            wave = next_wave(tally, i, now, one.phase - REPORT)
        else:
            tally[t.EVENTS] += 1
            if one.phase == DROPPED:
                one.remaining = max(1, one.remaining // 2)
                due = now + delay(one.key, m.BACKOFF, m.BACKOFF_MS, one.drops)
                one.drops += 1
                one.phase = AGAIN
            else:
                reverted = 1 if draw(one.key, m.DEFECT, 0) < m.DEFECTIVE else 0
                due = report_ms(one.key, now, tally, reverted)
                one.phase = REPORT + reverted
            key = due << m.DEVICE_BITS | i
            j = tally[t.HEAD]
            if j < 0:
                tally[t.FREE] += 1
            else:
                tally[t.HEAD] = state[j].next
                size = heaps.push(heap, size, start(state, j, now, tally))
        if key >= 0:
            heaps.replace_top(heap, size, key)
        else:
            size = heaps.pop(heap, size)


def run(devices: int, seed: int) -> tuple[float, m.Outcome]:
    """Seconds of the clock alone, and what came out."""
    tally, table = t.fresh_tally(devices), np.array(m.transfer_table(), np.int64)
    began = time.perf_counter()
    state, heap = np.zeros(devices, DEVICE), np.empty(devices + 1, np.int64)
    requests, spare = np.empty(devices, np.int64), np.empty(devices, np.int64)
    fused_clock(state, heap, requests, spare, tally, table, seed)
    return time.perf_counter() - began, t.outcome_of(tally)
