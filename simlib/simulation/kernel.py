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

from simlib.engine.calendar import DEVICE_BITS, Calendar, cancel, push, soonest, take
from simlib.engine.shares import (
    AT_LINKS,
    NO_TRANSFER,
    Shares,
    abort_transfer,
    finished_device,
    has_room,
    join_link,
    set_link_capacity,
    settle_link,
)
from simlib.lifecycle.codes import ASK, JOIN, TIMER
from simlib.lifecycle.columns import NEVER, Fleet
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.steps import advance
from simlib.simulation.book import (
    AT_AGAIN,
    AT_BEFORE,
    AT_BYTES,
    AT_CHANGE,
    AT_CHANGES,
    AT_DEVICE,
    AT_EVENTS,
    AT_FUSED,
    AT_HORIZON,
    AT_LIMIT,
    AT_LIMIT_RANK,
    AT_NOW,
    AT_PHASE,
    AT_QUESTION,
    AT_RING,
    AT_SAMPLE,
    AT_SIGNALS,
    AT_SLICE,
    AT_STAGE,
    AT_TIME,
    EXIT_ASK,
    EXIT_CALL,
    EXIT_END,
    EXIT_FULL,
    EXIT_KNOCK,
    EXIT_ROOM,
    EXIT_SLICE,
    EXIT_TRIPPED,
    LONGEST_RUN,
    NOTE_RATE,
    RANK_SAMPLING,
    SPARE_ROWS,
    STAGE_ASKED,
    STAGE_JOINING,
    STAGE_KNOCKED,
    STAGE_NONE,
    WAITS_BROKEN,
    WAITS_DONE,
    WAITS_LINK,
    WAITS_TIMER,
    Book,
    grant,
    nearly_full,
    note,
    note_error,
)
from simlib.simulation.moving import moved, state_in, take_sample
from simlib.simulation.room import IN_QUESTION, LET_IN, knock
from simlib.simulation.tally import (
    AT_NEWS,
    AT_NEWS_ROOM,
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

_WAITING = int(Phase.WAITING)


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
            if nearly_full(book) or tally.state[AT_NEWS] > tally.state[AT_NEWS_ROOM] - SPARE_ROWS > 0:
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
        grant(fleet, book, now, i, missing)
    elif fleet.phase[i] == _WAITING:
        return _come(fleet, calendar, shares, tally, book, now, i, 0)
    return _live(fleet, calendar, shares, tally, book, now, i, fleet.phase[i], state_in(fleet, i), 0)


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
            moved(fleet, book, now, i, before, after)
        if fleet.error[i]:
            note_error(fleet, book, now, i, phase)
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


def _come(
    fleet: Fleet, calendar: Calendar, shares: Shares, tally: Tally, book: Book, now: int, i: int, asked: int
) -> int:
    """Device `i` comes for the first time; `asked` is 1 after the policy was asked about it."""
    answer = knock(tally, now, i, asked)
    if answer == IN_QUESTION:
        state = book.state
        state[AT_STAGE] = STAGE_KNOCKED
        state[AT_DEVICE] = i
        return EXIT_KNOCK
    if answer != LET_IN:
        return 0
    return _live(fleet, calendar, shares, tally, book, now, i, fleet.phase[i], state_in(fleet, i), 0)


def _resume(fleet: Fleet, calendar: Calendar, shares: Shares, tally: Tally, book: Book) -> int:
    """Go on with the device's event that was left in the middle."""
    state = book.state
    stage = state[AT_STAGE]
    state[AT_STAGE] = STAGE_NONE
    if stage == STAGE_JOINING:
        return _join(fleet, calendar, shares, tally, book, state[AT_NOW])
    if stage == STAGE_KNOCKED:
        return _come(fleet, calendar, shares, tally, book, state[AT_NOW], state[AT_DEVICE], 1)
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


def _watch_rate(tally: Tally, book: Book, now: int, i: int) -> None:
    if rate_changed(tally, i) == RATE_HIGH:
        note(book, NOTE_RATE, now, i, counted_errors(tally, i), counted_judged(tally, i))
