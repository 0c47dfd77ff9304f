"""One run on the compiled clocks, as integer functions: the loop over instants and what a device's event
does.

The counterpart of `simlib.simulation.simpy_run`, in the form `simlib.engine.compiler` takes: the same life-
cycle, the same order of events (`simlib.engine.order`), columns for everything. What needs Python's objects
(the policy, alerts, the bench) leaves the loop with an EXIT_* and is done outside; then the loop goes on
where it was.

With `AT_FUSED` set, a device runs ahead of the clock through steps that nothing outside can touch before
their end, and that tell nobody anything: from the install to the end of the trial. Its row is then that of
a later time, and what others could see of the present is kept apart: moves between states are booked at
their own times, and a ring remembers those that are still to come.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from simlib.engine.calendar import DEVICE_BITS, Calendar, cancel, fetch, push, soonest, take
from simlib.engine.shares import (
    AT_LINKS,
    NO_TRANSFER,
    Shares,
    abort_transfer,
    delivered,
    finished_device,
    has_room,
    join_link,
    set_link_capacity,
    settle_link,
)
from simlib.lifecycle.codes import ASK, JOIN, OUTCOME_CODE, TIMER
from simlib.lifecycle.columns import NEVER, Fleet
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.steps import advance, recover
from simlib.lifecycle.transfer import transfer_ended
from simlib.lifecycle.waiting import next_checkin, notify, window_opens
from simlib.outcomes import Outcome
from simlib.simulation.recorder import STATES as STATE_NAMES
from simlib.simulation.tally import (
    AT_TRIPPED,
    RATE_HIGH,
    VERDICT,
    Tally,
    counted_errors,
    counted_judged,
    give_up_on,
    next_deadline,
    rate_changed,
    receive,
)

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
STATE_ROWS: Final = 32

STATES: Final = len(STATE_NAMES)
RING: Final = 1 << 15
SPARE_ROWS: Final = 256
"""Rows that must be free in each buffer before a device's event begins."""
LONGEST_RUN: Final = 64
"""Steps a device runs ahead at most."""

STAGE_NONE, STAGE_ASKED, STAGE_JOINING = 0, 1, 2

EXIT_END: Final = 0  # the horizon is reached
EXIT_CALL: Final = 1  # a call outside is due
EXIT_ASK: Final = 2  # a device has a question
EXIT_ROOM: Final = 3  # a heap of a link is full
EXIT_FULL: Final = 4  # a buffer is nearly full
EXIT_TRIPPED: Final = 5  # the policy wants to be asked
EXIT_SLICE: Final = 6

NOTE_GONE, NOTE_VIOLATED, NOTE_RATE = 1, 2, 3
RANK_DEADLINE: Final = 0
RANK_SAMPLING: Final = 2

_REPORTING, _INSTALLING = int(Phase.REPORTING), int(Phase.INSTALLING)
_DOWNLOADING, _WAITING = int(Phase.DOWNLOADING), int(Phase.WAITING)
_DONE, _RESTING = int(Phase.DONE), int(Phase.RESTING)
_BRICKED, _LOST = OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.LOST]
_UPDATED = OUTCOME_CODE[Outcome.UPDATED]
_GONE_STATES = _REPORTING + min(_BRICKED, _LOST)


def run_on(fleet: Fleet, calendar: Calendar, shares: Shares, tally: Tally, book: Book) -> int:
    """Let time pass until something outside is needed; which, an EXIT_*."""
    state = book.state
    horizon = state[AT_HORIZON]
    stop_at = state[AT_EVENTS] + state[AT_SLICE]
    if state[AT_STAGE] != STAGE_NONE:
        code = _resume(fleet, calendar, shares, tally, book)
        if code:
            return code
    while True:
        due = NEVER
        for link in range(shares.rules[AT_LINKS]):
            if shares.touched[link]:
                settle_link(shares, link)
            due = min(due, shares.due_ms[link])
        if state[AT_CHANGE] < state[AT_CHANGES]:
            due = min(due, book.change_ms[state[AT_CHANGE]])
        deadline = next_deadline(tally)
        others = min(state[AT_LIMIT], state[AT_SAMPLE])
        side = min(others, deadline)
        key = soonest(calendar, min(due, others))
        if key != NEVER:
            due = min(due, key >> DEVICE_BITS)
        if side < due:
            if side > horizon:
                return EXIT_END
            if side > state[AT_NOW]:
                state[AT_NOW] = side
            if deadline == side:
                if _give_up(tally, book, deadline, min(due - 1, others)):
                    return EXIT_TRIPPED
            elif state[AT_LIMIT] == side and state[AT_LIMIT_RANK] < RANK_SAMPLING:
                return EXIT_CALL
            elif state[AT_SAMPLE] == side:
                take_sample(shares, book, side)
            else:
                return EXIT_CALL
            continue
        if due > horizon:
            return EXIT_END
        if due > state[AT_NOW]:
            state[AT_NOW] = due
            state[AT_AGAIN] = 0
        _change_and_finish(calendar, shares, book, due)
        while True:
            key = soonest(calendar, due)
            if key == NEVER or key >> DEVICE_BITS != due:
                break
            if _nearly_full(book):
                return EXIT_FULL
            code = _event(fleet, calendar, shares, tally, book, due, take(calendar, key))
            if code:
                return code
        if state[AT_EVENTS] > stop_at:
            return EXIT_SLICE


def _give_up(tally: Tally, book: Book, deadline: int, until: int) -> bool:
    """Let the devices fall due that do so up to `until`; whether the policy wants to be asked."""
    while deadline <= until:
        if deadline > book.state[AT_NOW]:
            book.state[AT_NOW] = deadline
        give_up_on(tally)
        if tally.state[AT_TRIPPED]:
            return True
        deadline = next_deadline(tally)
    return False


def _nearly_full(book: Book) -> bool:
    state = book.state
    most = state[AT_ROOM] - SPARE_ROWS
    return bool(state[AT_GRANTS] > most or state[AT_ERRORS] > most or state[AT_NOTES] > most)


def _change_and_finish(calendar: Calendar, shares: Shares, book: Book, now: int) -> None:
    """Changes of capacity at `now`, then the transfers that end: each is an event of its device."""
    state = book.state
    while state[AT_CHANGE] < state[AT_CHANGES] and book.change_ms[state[AT_CHANGE]] == now:
        at = state[AT_CHANGE]
        set_link_capacity(shares, now, book.change_link[at], book.change_units[at])
        state[AT_CHANGE] = at + 1
    for link in range(shares.rules[AT_LINKS]):
        if shares.due_ms[link] == now:
            shares.touched[link] = 1
            device = finished_device(shares, now, link)
            while device != NO_TRANSFER:
                cancel(calendar, device)
                book.waits[device] = WAITS_DONE
                push(calendar, now, device)
                device = finished_device(shares, now, link)


def _event(
    fleet: Fleet, calendar: Calendar, shares: Shares, tally: Tally, book: Book, now: int, i: int
) -> int:
    """What device `i` waited for has come."""
    waits = book.waits[i]
    if waits != WAITS_TIMER:
        missing = 0
        if waits == WAITS_LINK:  # it is broken off
            missing = abort_transfer(
                shares, now, i, book.link[book.rate_class[i]], book.rate_class[i], fleet.run_bytes[i]
            )
        elif waits == WAITS_BROKEN:
            missing = book.missing[i]
        book.waits[i] = WAITS_TIMER
        _grant(fleet, book, now, i, missing)
    return _live(fleet, calendar, shares, tally, book, now, i, fleet.phase[i], state_in(fleet, i), 0)


def _grant(fleet: Fleet, book: Book, now: int, i: int, missing: int) -> None:
    transfer_ended(fleet, i, missing)
    if not book.state[AT_RECORDS]:
        return
    row = book.state[AT_GRANTS]
    book.grants[3 * row] = i
    book.grants[3 * row + 1] = now
    book.grants[3 * row + 2] = missing
    book.state[AT_GRANTS] = row + 1


def state_in(fleet: Fleet, i: int) -> int:
    """The timeline column of device `i`: its phase, or once it has ended, its outcome."""
    phase = fleet.phase[i]
    return int(phase if phase < _REPORTING else _REPORTING + fleet.outcome[i])


def _live(
    fleet: Fleet,
    calendar: Calendar,
    shares: Shares,
    tally: Tally,
    book: Book,
    now: int,
    i: int,
    phase: int,
    before: int,
    signals: int,
) -> int:
    """Steps of device `i` from `now` on, until it waits; `phase` and `before` are from before them."""
    state = book.state
    steps = 0
    while True:
        command, value, more = advance(fleet, now, i)
        signals |= more
        if command == ASK:
            state[AT_STAGE] = STAGE_ASKED
            state[AT_DEVICE] = i
            state[AT_TIME] = now
            state[AT_PHASE] = phase
            state[AT_BEFORE] = before
            state[AT_SIGNALS] = signals
            state[AT_QUESTION] = value
            return EXIT_ASK
        state[AT_EVENTS] += 1
        after = state_in(fleet, i)
        if after != before:
            _moved(fleet, book, now, i, before, after)
        if fleet.error[i]:
            _error(fleet, book, now, i, phase)
        if signals:
            receive(tally, now, i, signals)
            if signals & VERDICT:
                _watch_rate(tally, book, now, i)
        if command == JOIN:
            state[AT_DEVICE] = i
            state[AT_BYTES] = value
            return _join(fleet, calendar, shares, tally, book, now)
        if command != TIMER or value > state[AT_HORIZON]:
            break
        if value > now or now > state[AT_NOW]:  # ahead, a step of no time must not touch others either
            steps += 1
            if not _runs_ahead(fleet, book, i, steps):
                push(calendar, value, i)
                break
            now = value
        phase = fleet.phase[i]
        before = after
        signals = 0
    return EXIT_TRIPPED if tally.state[AT_TRIPPED] else 0


def _runs_ahead(fleet: Fleet, book: Book, i: int, steps: int) -> bool:
    state = book.state
    if not state[AT_FUSED] or steps > LONGEST_RUN or not book.fuses[fleet.phase[i]]:
        return False
    return bool(book.ring_ms[state[AT_RING]] <= state[AT_NOW])


def _join(fleet: Fleet, calendar: Calendar, shares: Shares, tally: Tally, book: Book, now: int) -> int:
    """Begin the transfer that the stage is about."""
    state = book.state
    i, row = state[AT_DEVICE], book.rate_class[state[AT_DEVICE]]
    if not has_room(shares, row):
        state[AT_STAGE] = STAGE_JOINING
        return EXIT_ROOM
    join_link(shares, now, i, book.link[row], row, state[AT_BYTES])
    book.waits[i] = WAITS_LINK
    if fleet.breaks[fleet.cohort[i]] and fleet.until_ms[i] <= state[AT_HORIZON]:
        push(calendar, fleet.until_ms[i], i)
    return EXIT_TRIPPED if tally.state[AT_TRIPPED] else 0


def _resume(fleet: Fleet, calendar: Calendar, shares: Shares, tally: Tally, book: Book) -> int:
    """Go on with the device's event that was left in the middle."""
    state = book.state
    stage = state[AT_STAGE]
    state[AT_STAGE] = STAGE_NONE
    if stage == STAGE_JOINING:
        return _join(fleet, calendar, shares, tally, book, state[AT_NOW])
    return _live(
        fleet,
        calendar,
        shares,
        tally,
        book,
        state[AT_TIME],
        state[AT_DEVICE],
        state[AT_PHASE],
        state[AT_BEFORE],
        state[AT_SIGNALS],
    )


def _moved(fleet: Fleet, book: Book, now: int, i: int, before: int, after: int) -> None:
    """Device `i` went from one state to another, at `now`, which a device that runs ahead has later."""
    state = book.state
    if now <= state[AT_NEXT_SAMPLE]:
        book.counts[before] -= 1
        book.counts[after] += 1
    else:
        row = -(-now // state[AT_EVERY]) * STATES
        book.later[row + before] -= 1
        book.later[row + after] += 1
    if now > state[AT_NOW]:
        at = state[AT_RING]
        book.ring_ms[at] = now
        book.ring_move[at] = before << 8 | after
        state[AT_RING] = (at + 1) % RING
    if after >= _GONE_STATES and (fleet.outcome[i] == _BRICKED or fleet.outcome[i] == _LOST):
        if state[AT_PATIENCE] and fleet.reported[i] == _UPDATED:
            _note(book, NOTE_GONE, now, i, 0, 0)
            if now + state[AT_PATIENCE] <= state[AT_LIMIT]:
                state[AT_LIMIT] = now + state[AT_PATIENCE]
                state[AT_LIMIT_RANK] = RANK_DEADLINE
    elif state[AT_WINDOWED] and after == _INSTALLING and window_opens(fleet, i, now) > now:
        _note(book, NOTE_VIOLATED, now, i, 0, 0)


def _error(fleet: Fleet, book: Book, now: int, i: int, phase: int) -> None:
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


def _note(book: Book, kind: int, now: int, i: int, errors: int, judged: int) -> None:
    row = book.state[AT_NOTES]
    at = 5 * row
    book.notes[at] = kind
    book.notes[at + 1] = now
    book.notes[at + 2] = i
    book.notes[at + 3] = errors
    book.notes[at + 4] = judged
    book.state[AT_NOTES] = row + 1


def _watch_rate(tally: Tally, book: Book, now: int, i: int) -> None:
    if rate_changed(tally, i) == RATE_HIGH:
        _note(book, NOTE_RATE, now, i, counted_errors(tally, i), counted_judged(tally, i))


def take_sample(shares: Shares, book: Book, now: int) -> None:
    """A row of the timeline, and the changes of the counts up to the next one."""
    state = book.state
    number = state[AT_SAMPLES]
    row = number * (STATES + 2)
    book.samples[row] = now
    book.samples[row + 1] = bytes_on_links(shares, now)
    for each in range(STATES):
        book.samples[row + 2 + each] = book.counts[each]
        book.counts[each] += book.later[(number + 1) * STATES + each]
    state[AT_SAMPLES] = number + 1
    following = min(now + state[AT_EVERY], state[AT_HORIZON])
    if following <= now:
        following = NEVER
    state[AT_NEXT_SAMPLE] = following
    if state[AT_SAMPLE] != NEVER:
        state[AT_SAMPLE] = following


def bytes_on_links(shares: Shares, now: int) -> int:
    """What the links have delivered so far."""
    total = 0
    for link in range(shares.rules[AT_LINKS]):
        total += delivered(shares, now, link)
    return total


def count_now(book: Book) -> None:
    """Work the counts out as of now: moves still to come, but before the next sample, are taken back."""
    state = book.state
    for each in range(STATES):
        book.exact[each] = book.counts[each]
    for at in range(RING):
        if state[AT_NOW] < book.ring_ms[at] <= state[AT_NEXT_SAMPLE]:
            book.exact[book.ring_move[at] >> 8] += 1
            book.exact[book.ring_move[at] & 255] -= 1


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
    """The operator's answer to the halt is out: the listed devices that are at rest come for it."""
    state = book.state
    now = state[AT_NOW]
    for at in range(state[AT_MEMBERS]):
        i = book.members[at]
        if fleet.phase[i] != _DONE and fleet.phase[i] != _RESTING:
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
            if _nearly_full(book):
                return i
            missing = abort_transfer(
                shares, now, i, book.link[book.rate_class[i]], book.rate_class[i], fleet.run_bytes[i]
            )
            book.waits[i] = WAITS_TIMER
            _grant(fleet, book, now, i, missing)
    return devices
