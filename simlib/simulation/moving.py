"""How many devices are in which state, as the compiled loop counts them: moves, samples, counts of now.

A device that runs ahead of the clock moves at a time that is still to come. So moves are booked at their
own times, and a ring remembers the latest, from which the counts as of now are worked out.
"""

from __future__ import annotations

from simlib.engine.shares import AT_LINKS, Shares, delivered
from simlib.lifecycle.codes import OUTCOME_CODE
from simlib.lifecycle.columns import NEVER, Fleet
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.waiting import window_opens
from simlib.outcomes import Outcome
from simlib.simulation.book import (
    AT_EVERY,
    AT_HORIZON,
    AT_LIMIT,
    AT_LIMIT_RANK,
    AT_NEXT_SAMPLE,
    AT_NOW,
    AT_PATIENCE,
    AT_RING,
    AT_SAMPLE,
    AT_SAMPLES,
    AT_WINDOWED,
    NOTE_GONE,
    NOTE_VIOLATED,
    RANK_DEADLINE,
    RING,
    STATES,
    Book,
    note,
)

_REPORTING, _INSTALLING = int(Phase.REPORTING), int(Phase.INSTALLING)
_BRICKED, _LOST = OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.LOST]
_UPDATED = OUTCOME_CODE[Outcome.UPDATED]
_GONE_STATES = _REPORTING + min(_BRICKED, _LOST)


def state_in(fleet: Fleet, i: int) -> int:
    """The timeline column of device `i`: its phase, or once it has ended, its outcome."""
    phase = fleet.phase[i]
    return int(phase if phase < _REPORTING else _REPORTING + fleet.outcome[i])


def moved(fleet: Fleet, book: Book, now: int, i: int, before: int, after: int) -> None:
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
            note(book, NOTE_GONE, now, i, 0, 0)
            if now + state[AT_PATIENCE] <= state[AT_LIMIT]:
                state[AT_LIMIT] = now + state[AT_PATIENCE]
                state[AT_LIMIT_RANK] = RANK_DEADLINE
    elif state[AT_WINDOWED] and after == _INSTALLING and window_opens(fleet, i, now) > now:
        note(book, NOTE_VIOLATED, now, i, 0, 0)


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
