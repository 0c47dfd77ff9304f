"""What decisions do to the devices of a compiled run: send for them, break off, wake, book the rest.

Each is called from outside the loop, which then goes on from the state that it leaves.
"""

from __future__ import annotations

from simlib.engine.calendar import Calendar, cancel, fetch, push
from simlib.engine.shares import Shares, abort_transfer
from simlib.errors import Reason
from simlib.lifecycle.codes import REASON_CODE
from simlib.lifecycle.columns import Fleet
from simlib.lifecycle.ending import comes_again
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.steps import recover
from simlib.lifecycle.waiting import next_checkin, notify
from simlib.simulation.book import (
    AT_EARLIEST,
    AT_HALTED,
    AT_HORIZON,
    AT_MEMBERS,
    AT_NOW,
    WAITS_BROKEN,
    WAITS_LINK,
    WAITS_TIMER,
    Book,
    grant,
    nearly_full,
)
from simlib.simulation.tally import AT_PARKED, Tally

_DOWNLOADING, _WAITING = int(Phase.DOWNLOADING), int(Phase.WAITING)
_DONE, _RESTING = int(Phase.DONE), int(Phase.RESTING)
_R_HALTED = REASON_CODE[Reason.ROLLOUT_HALTED]


def open_members(fleet: Fleet, calendar: Calendar, book: Book) -> None:
    """The group of the listed devices opens: each comes at its next check-in."""
    state = book.state
    for at in range(state[AT_MEMBERS]):
        i = book.members[at]
        if at + 8 < state[AT_MEMBERS]:
            fetch(calendar, book.members[at + 8])
        if fleet.phase[i] == _WAITING:  # else the inventory says that it has ended
            notify(fleet, i, state[AT_NOW])
            first = next_checkin(fleet, i, state[AT_EARLIEST])
            if first <= state[AT_HORIZON]:
                push(calendar, first, i)


def send_parked(fleet: Fleet, calendar: Calendar, tally: Tally, book: Book) -> None:
    """The parked devices come at their next check-ins, and are parked no longer."""
    state = book.state
    for at in range(tally.state[AT_PARKED]):
        i = tally.parked[at]
        first = next_checkin(fleet, i, state[AT_EARLIEST])
        if first <= state[AT_HORIZON]:
            push(calendar, first, i)
    tally.state[AT_PARKED] = 0


def break_off(fleet: Fleet, calendar: Calendar, shares: Shares, book: Book, devices: int) -> None:
    """A halt breaks downloads off; each goes on in this millisecond."""
    now = book.state[AT_NOW]
    for i in range(devices):
        if book.waits[i] == WAITS_LINK and fleet.phase[i] == _DOWNLOADING:
            book.missing[i] = abort_transfer(
                shares, now, i, book.link[book.rate_class[i]], book.rate_class[i], fleet.run_bytes[i]
            )
            cancel(calendar, i)
            book.waits[i] = WAITS_BROKEN
            push(calendar, now, i)


def wake_members(fleet: Fleet, calendar: Calendar, book: Book) -> None:
    """The listed devices that are at rest come for what there is for them now.

    With `AT_HALTED`, only those whom a halt brought to rest, or kept from another round.
    """
    state = book.state
    now = state[AT_NOW]
    for at in range(state[AT_MEMBERS]):
        i = book.members[at]
        if fleet.phase[i] != _DONE and fleet.phase[i] != _RESTING:
            continue
        if state[AT_HALTED] and fleet.reason[i] != _R_HALTED and not comes_again(fleet, i):
            continue
        if fleet.finished_ms[i] > now:
            continue  # it runs ahead: now it is still on its way there
        first = recover(fleet, now, i)
        if first <= state[AT_HORIZON] and first < calendar.due[i]:
            cancel(calendar, i)
            push(calendar, first, i)


def close_books(fleet: Fleet, shares: Shares, book: Book, first: int, devices: int) -> int:
    """Book the transfers under way at the end, from device `first` on; the device to go on with, or
    `devices`.
    """
    now = book.state[AT_NOW]
    for i in range(first, devices):
        if book.waits[i] == WAITS_LINK and fleet.phase[i] == _DOWNLOADING:
            if nearly_full(book):
                return i
            missing = abort_transfer(
                shares, now, i, book.link[book.rate_class[i]], book.rate_class[i], fleet.run_bytes[i]
            )
            book.waits[i] = WAITS_TIMER
            grant(fleet, book, now, i, missing)
    return devices
