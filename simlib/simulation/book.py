"""What the compiled loop writes down, and the names of its numbers: columns for every clock-side count.

`Book` is a table of the loop of `simlib.simulation.kernel`; AT_* are rows of its `state`, EXIT_* what the
loop stops for.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from simlib.lifecycle.columns import Fleet
from simlib.lifecycle.transfer import transfer_ended
from simlib.simulation.recorder import STATES as STATE_NAMES

Ints = Any


class Book(NamedTuple):
    """What the loop itself writes down."""

    # of a device
    rate_class: Ints  # row of its class
    waits: Ints  # WAITS_*
    missing: Ints  # bytes that its broken-off transfer is short
    # buffers that are emptied outside
    grants: Ints  # device, ended at, bytes missing
    errors: Ints  # twice the time (plus 1 after a decision of that instant), device, phase, reason, attempts
    notes: Ints  # NOTE_*, time, device, errors, judged
    # state counts
    counts: Ints  # devices in each state, as of the next sample
    later: Ints  # changes of the counts after that, a row of states for each sample
    exact: Ints  # the counts as of now
    samples: Ints  # time, bytes on the links and counts of each sample
    ring_ms: Ints  # when the latest moves were or will be
    ring_move: Ints  # and from which state to which
    link: Ints  # of a rate class
    # of a change of a link's capacity, by time
    change_ms: Ints
    change_link: Ints
    change_units: Ints
    fuses: Ints  # of a phase: 1 if its end may be run ahead
    members: Ints  # devices a command is about
    state: Ints  # see AT_*


WAITS_TIMER, WAITS_LINK, WAITS_DONE, WAITS_BROKEN = 0, 1, 2, 3

AT_NOW: Final = 0
AT_HORIZON: Final = 1
AT_LIMIT: Final = 2  # when the first call outside is due
AT_LIMIT_RANK: Final = 3
AT_SAMPLE: Final = 4  # when the next sample is due here; NEVER: samples are called for outside
AT_SAMPLES: Final = 5  # samples taken
AT_NEXT_SAMPLE: Final = 6  # when the next sample is due, wherever
AT_EVERY: Final = 7  # time between two samples
AT_EVENTS: Final = 8
AT_GRANTS: Final = 9
AT_ERRORS: Final = 10
AT_NOTES: Final = 11
AT_ROOM: Final = 12  # rows in each buffer
AT_CHANGE: Final = 13  # the next change of capacity
AT_CHANGES: Final = 14
AT_STAGE: Final = 15  # STAGE_*
AT_DEVICE: Final = 16  # that the stage is about
AT_TIME: Final = 17
AT_PHASE: Final = 18
AT_BEFORE: Final = 19
AT_SIGNALS: Final = 20
AT_QUESTION: Final = 21
AT_BYTES: Final = 22
AT_WINDOWED: Final = 23
AT_FUSED: Final = 24
AT_PATIENCE: Final = 25  # of the alert about devices that reported success and are gone; 0: there is none
AT_AGAIN: Final = 26  # 1: after a decision of this instant
AT_RING: Final = 27  # the next place in the ring
AT_SLICE: Final = 28  # events after which the loop lets others look
AT_MEMBERS: Final = 29
AT_EARLIEST: Final = 30
AT_RECORDS: Final = 31  # 1: transfers and errors are written down
AT_HALTED: Final = 32  # 1: only those are woken whom a halt brought to rest
STATE_ROWS: Final = 33

STATES: Final = len(STATE_NAMES)
RING: Final = 1 << 15
SPARE_ROWS: Final = 256
"""Rows that must be free in each buffer before a device's event begins."""
LONGEST_RUN: Final = 64
"""Steps a device runs ahead at most."""

STAGE_NONE, STAGE_ASKED, STAGE_JOINING, STAGE_KNOCKED = 0, 1, 2, 3

EXIT_END: Final = 0  # the horizon is reached
EXIT_CALL: Final = 1  # a call outside is due
EXIT_ASK: Final = 2  # a device has a question
EXIT_ROOM: Final = 3  # a heap of a link is full
EXIT_FULL: Final = 4  # a buffer is nearly full
EXIT_TRIPPED: Final = 5  # the policy wants to be asked
EXIT_SLICE: Final = 6
EXIT_KNOCK: Final = 7  # a device knocks that no permit covers

NOTE_GONE, NOTE_VIOLATED, NOTE_RATE = 1, 2, 3
RANK_DEADLINE: Final = 0
RANK_SAMPLING: Final = 2


def nearly_full(book: Book) -> bool:
    """Whether a device's event might not find room for what it writes down."""
    state = book.state
    most = state[AT_ROOM] - SPARE_ROWS
    return bool(state[AT_GRANTS] > most or state[AT_ERRORS] > most or state[AT_NOTES] > most)


def grant(fleet: Fleet, book: Book, now: int, i: int, missing: int) -> None:
    """The transfer of device `i` has ended, `missing` bytes short."""
    transfer_ended(fleet, i, missing)
    if not book.state[AT_RECORDS]:
        return
    row = book.state[AT_GRANTS]
    book.grants[3 * row] = i
    book.grants[3 * row + 1] = now
    book.grants[3 * row + 2] = missing
    book.state[AT_GRANTS] = row + 1


def note_error(fleet: Fleet, book: Book, now: int, i: int, phase: int) -> None:
    """A step of device `i` has failed that it took in `phase`."""
    state = book.state
    if not state[AT_RECORDS]:
        return
    row = state[AT_ERRORS]
    at = 5 * row
    book.errors[at] = 2 * now + (state[AT_AGAIN] if now == state[AT_NOW] else 0)
    book.errors[at + 1] = i
    book.errors[at + 2] = phase
    book.errors[at + 3] = fleet.error[i]
    book.errors[at + 4] = fleet.attempts[i]
    state[AT_ERRORS] = row + 1


def note(book: Book, kind: int, now: int, i: int, errors: int, judged: int) -> None:
    """Something is to be told outside."""
    row = book.state[AT_NOTES]
    at = 5 * row
    book.notes[at] = kind
    book.notes[at + 1] = now
    book.notes[at + 2] = i
    book.notes[at + 3] = errors
    book.notes[at + 4] = judged
    book.state[AT_NOTES] = row + 1
