"""The reference model compiled by simlib, with steps summed where nothing outside can touch a device.

Two stretches touch nothing shared: from the opening of a wave to the request for a slot, and from the end of
the transfer to the report. Each becomes one event, counted as the events it stands for. A wave's requests are
known when it opens: they are sorted once and merged with simlib's calendar queue, which holds the devices in
flight.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from simlib.engine.calendar import DEVICE_BITS, DEVICE_MASK, NEVER, NONE, Calendar, fetch, push, soonest, take

from . import compiled_tally as t
from . import model as m
from .simlib_code import AHEAD, machine_code, run_clock
from .simlib_steps import (
    AGAIN,
    CHARGE_LEAST,
    CHARGE_MORE,
    LATE,
    REPORT,
    TRANSFERRED,
    WAKE_LEAST,
    WAKE_MORE,
    WINDOW_LEAST,
    WINDOW_MORE,
    Book,
    Devices,
    back_off,
    delay,
    draw,
    give_back,
    next_wave,
    start,
    take_slot,
)

CHECK_LEAST, CHECK_MORE = m.CHECK_MS
VERIFY_LEAST, VERIFY_MORE = m.VERIFY_MS
PATCH_LEAST, PATCH_MORE = m.PATCH_MS
INSTALL_LEAST, INSTALL_MORE = m.INSTALL_MS
REBOOT_LEAST, REBOOT_MORE = m.REBOOT_MS
HEALTH_LEAST, HEALTH_MORE = m.HEALTH_MS
REVERT_LEAST, REVERT_MORE = m.REVERT_MS
CONFIRM_LEAST, CONFIRM_MORE = m.CONFIRM_MS
REPORT_LEAST, REPORT_MORE = m.REPORT_MS
EVENTS_A_DEVICE: Final = 2


def report_ms(key: int, now: int, reverted: int) -> int:
    """When a device whose transfer ends `now` reports."""
    due = now + delay(key, m.VERIFY, 0, VERIFY_LEAST, VERIFY_MORE)
    due += delay(key, m.PATCH, 0, PATCH_LEAST, PATCH_MORE)
    due += delay(key, m.INSTALL, 0, INSTALL_LEAST, INSTALL_MORE)
    due += delay(key, m.REBOOT, 0, REBOOT_LEAST, REBOOT_MORE)
    due += delay(key, m.HEALTH, 0, HEALTH_LEAST, HEALTH_MORE)
    due += delay(key, m.REPORT, 0, REPORT_LEAST, REPORT_MORE)
    least = REVERT_LEAST if reverted else CONFIRM_LEAST
    more = REVERT_MORE if reverted else CONFIRM_MORE
    return due + delay(key, m.FINISH, 0, least, more)


def open_wave(book: Book, seed: int, wave: int, now: int, left: int, first: int) -> int:
    """Sort the wave's requests with the `left` earlier ones, which begin at place `first`.

    How many there are; NONE if one is later than there is room for.
    """
    tally, requests, spare = book.tally, book.requests, book.spare
    tally[t.WAVES] += 1
    latest = now
    for at in range(left):
        spare[at] = requests[first + at]
        latest = spare[at] >> DEVICE_BITS  # they are sorted
    count, events = left, 0
    for i in range(tally[t.BOUNDS + wave], tally[t.BOUNDS + wave + 1]):
        key = m.key_of(seed, i)
        due = now + delay(key, m.WAKE, 0, WAKE_LEAST, WAKE_MORE)
        lows = 0
        while draw(key, m.BATTERY, lows) < m.BATTERY_LOW:
            due += delay(key, m.CHARGE, lows, CHARGE_LEAST, CHARGE_MORE)
            lows += 1
        events += lows + 3
        due += delay(key, m.WINDOW, 0, WINDOW_LEAST, WINDOW_MORE)
        due += delay(key, m.CHECK, 0, CHECK_LEAST, CHECK_MORE)
        latest = max(latest, due)
        spare[count] = due << DEVICE_BITS | i
        count += 1
    tally[t.EVENTS] += events
    if latest > book.latest[0]:
        return NONE
    sort_requests(book, count, now, latest)
    requests[count] = NEVER
    return count


def sort_requests(book: Book, count: int, earliest: int, latest: int) -> None:
    """Sort the first `count` of `spare` by time into `requests`: three digits, the least significant first.

    Devices ascend within a wave, and one left over from an earlier wave is less: times alone are sorted.
    """
    requests, spare, places = book.requests, book.spare, book.places
    bits = 1
    while (latest - earliest) >> (3 * bits):
        bits += 1
    size = 1 << bits
    for digit in range(3 * size):
        places[digit] = 0
    low = earliest << DEVICE_BITS
    for at in range(count):
        time = (spare[at] - low) >> DEVICE_BITS
        places[time & (size - 1)] += 1
        places[size + (time >> bits & (size - 1))] += 1
        places[2 * size + (time >> 2 * bits)] += 1
    for part in range(3):
        total = 0
        for digit in range(part * size, (part + 1) * size):
            here = places[digit]
            places[digit] = total
            total += here
    for at in range(count):
        key = spare[at]
        digit = (key - low) >> DEVICE_BITS & (size - 1)
        requests[places[digit]] = key
        places[digit] += 1
    shift = DEVICE_BITS + bits
    for at in range(count):
        key = requests[at]
        digit = size + ((key - low) >> shift & (size - 1))
        spare[places[digit]] = key
        places[digit] += 1
    shift += bits
    for at in range(count):
        key = spare[at]
        digit = 2 * size + ((key - low) >> shift)
        requests[places[digit]] = key
        places[digit] += 1


def fused_clock(devices: Devices, calendar: Calendar, book: Book, seed: int) -> int:
    """Run to the end: 0, or LATE."""
    requests = book.requests
    at, events = 0, 0
    count = open_wave(book, seed, 0, 0, 0, 0)
    while count != NONE:
        event = soonest(calendar, NEVER)
        first = event
        while requests[at] < event:
            fetch(calendar, requests[at + AHEAD] & DEVICE_MASK)
            i, now = requests[at] & DEVICE_MASK, requests[at] >> DEVICE_BITS
            at += 1
            if take_slot(book, i):
                event = min(event, start(devices, calendar, book, seed, now, i) << DEVICE_BITS | i)
        if event != first:
            continue  # a transfer that has begun ends before what was soonest
        if event == NEVER:
            book.tally[t.EVENTS] += events
            return 0
        now = event >> DEVICE_BITS
        if now > book.latest[0]:
            return LATE
        i = take(calendar, event)
        phase = devices.phase[i]
        if phase == TRANSFERRED:
            events += 1 + m.AFTER_TRANSFER
            key = m.key_of(seed, i)
            reverted = int(draw(key, m.DEFECT, 0) < m.DEFECTIVE)
            devices.phase[i] = REPORT + reverted
            push(calendar, report_ms(key, now, reverted), i)
            give_back(devices, calendar, book, seed, now)
        elif phase >= REPORT:
            wave = next_wave(book, i, now, phase - REPORT)
            if wave != NONE:
                count = open_wave(book, seed, wave, now, count - at, at)
                at = 0
        elif phase == AGAIN:
            events += 1
            if take_slot(book, i):
                start(devices, calendar, book, seed, now, i)
        else:
            events += 1
            give_back(devices, calendar, book, seed, now)
            back_off(devices, calendar, seed, now, i)
    return LATE


def run(devices: int, seed: int) -> tuple[float, m.Outcome]:
    """Seconds of the clock alone, and what came out."""
    clock = machine_code(fused_clock, Path(__file__))
    return run_clock(clock, devices, seed, sorted_requests=True, events_a_device=EVENTS_A_DEVICE)
