"""What both of simlib's compiled implementations do: columns, draws, slots and the controller.

Integer functions over tables of columns, the form simlib's compiler takes. `simlib_code` says where the
columns lie. Nothing is remembered that can be drawn again: not a device's key, not its transfer's time.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from simlib.engine.calendar import NONE, Calendar, fetch, push

from . import compiled_tally as t
from . import model as m

Ints = Any

# What a device waits for. From TRANSFERRED on, all there is to ask is how long the next one takes.
WAKE, CHECK, AGAIN, DROPPED, REPORT, REPORT_OF_REVERT, TRANSFERRED = range(7)

WAKE_LEAST, WAKE_MORE = m.WAKE_MS
CHARGE_LEAST, CHARGE_MORE = m.CHARGE_MS
WINDOW_LEAST, WINDOW_MORE = m.WINDOW_MS
BACKOFF_LEAST, BACKOFF_MORE = m.BACKOFF_MS

LATE: Final = 1
"""What a clock returns at an event later than it has room for; at the end it returns 0."""
SOON: Final = 4
"""Who is so many places from the head of the slots' queue has its row fetched."""


class Devices(NamedTuple):
    """A row a device."""

    count: Ints  # low batteries so far; once it has asked for a slot, drops so far
    phase: Ints  # what it waits for


class Book(NamedTuple):
    """The whole run's columns; of the first two numbers each is a column of one."""

    latest: Ints  # the latest time there is room for [ms]
    ring: Ints  # the places of `waiting`, less one
    tally: Ints  # see compiled_tally; HEAD and TAIL count who has left and joined the slots' queue
    waiting: Ints  # the slots' queue: a ring of 2**k places
    quantiles: Ints  # of a transfer's time [ms]
    least: Ints  # of a phase: the delay [ms] after it is at least this,
    more: Ints  # with less than this on top,
    step: Ints  # drawn so far from the device's key;
    following: Ints  # then it is in this phase
    requests: Ints  # the wave's requests for a slot, sorted
    spare: Ints  # as many, to sort with
    places: Ints  # of a digit: where the next request with it goes


def drawn(key: int, step: int) -> int:
    """The draw so far from a device's key: a whole number from 0 to 2**32 - 1."""
    return m.mix((key + step) & m.MASK64) >> 32


def draw(key: int, purpose: int, occurrence: int) -> int:
    """`model.draw`."""
    return drawn(key, (16 * occurrence + purpose + 1) * m.GOLDEN)


def delay(key: int, purpose: int, occurrence: int, least: int, more: int) -> int:
    """A delay [ms]."""
    return least + (draw(key, purpose, occurrence) * more >> 32)


def next_wave(book: Book, device: int, now: int, reverted: int) -> int:
    """Count a report. The wave it opens, or NONE."""
    tally = book.tally
    wave = int(device >= tally[t.BOUNDS + 1]) + int(device >= tally[t.BOUNDS + 2])
    wave += int(device >= tally[t.BOUNDS + 3]) + int(device >= tally[t.BOUNDS + 4])
    # Signed 64-bit products wrap, so their lowest 64 bits are the checksum's.
    tally[t.CHECKSUM] += now * (device + 1)
    tally[t.END_MS] = now
    tally[t.REPORTED] += 1
    tally[t.REVERTED] += reverted
    tally[t.FAILED_OF_WAVE + wave] += reverted
    reported = tally[t.REPORTED_OF_WAVE + wave] + 1
    tally[t.REPORTED_OF_WAVE + wave] = reported
    if reported != tally[t.ENOUGH_OF_WAVE + wave] or wave == 4:
        return NONE
    if tally[t.FAILED_OF_WAVE + wave] * 100 > m.FAILED_PERCENT * reported:
        return NONE
    return wave + 1


def start(devices: Devices, calendar: Calendar, book: Book, seed: int, now: int, i: int) -> int:
    """START: the device has a slot. When its transfer ends [ms]."""
    book.tally[t.EVENTS] += 1
    key = m.key_of(seed, i)
    drops = devices.count[i]
    due: int = max(1, book.quantiles[draw(key, m.TRANSFER, 0) >> 22] >> drops)
    if draw(key, m.DROP, drops) < m.DROPS:
        devices.phase[i] = DROPPED
        due = (due + 1) >> 1
    else:
        devices.phase[i] = TRANSFERRED
    due += now
    push(calendar, due, i)
    return due


def take_slot(book: Book, i: int) -> int:
    """Whether there is a slot at once; otherwise the device stands in the queue."""
    tally = book.tally
    if tally[t.FREE] > 0:
        tally[t.FREE] -= 1
        return 1
    book.waiting[tally[t.TAIL] & book.ring[0]] = i
    tally[t.TAIL] += 1
    return 0


def give_back(devices: Devices, calendar: Calendar, book: Book, seed: int, now: int) -> None:
    """The slot goes to whoever waits longest."""
    tally = book.tally
    head = tally[t.HEAD]
    if head == tally[t.TAIL]:
        tally[t.FREE] += 1
        return
    tally[t.HEAD] = head + 1
    fetch(calendar, book.waiting[(head + SOON) & book.ring[0]])
    start(devices, calendar, book, seed, now, book.waiting[head & book.ring[0]])


def back_off(devices: Devices, calendar: Calendar, seed: int, now: int, i: int) -> None:
    """The device asks again later."""
    drops = devices.count[i]
    devices.count[i] = drops + 1
    devices.phase[i] = AGAIN
    push(calendar, now + delay(m.key_of(seed, i), m.BACKOFF, drops, BACKOFF_LEAST, BACKOFF_MORE), i)
