"""What the update service counts: messages received, verdicts, devices expected back, conditions that hold.

Integer functions on columns, which every clock calls with each message. What is done about it (asking the
policy, raising an alert) is `simlib.simulation.service`'s and `monitor`'s affair. The service knows nothing
but the messages; one constant deadline makes devices fall due in the order in which they began.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, NamedTuple

from simlib.lifecycle.codes import (
    SIGNAL_FAILED,
    SIGNAL_OFFERED,
    SIGNAL_SETBACK,
    SIGNAL_SKIPPED,
    SIGNAL_STARTED,
    SIGNAL_SUCCEEDED,
    SIGNAL_TWICE,
)
from simlib.lifecycle.columns import NEVER
from simlib.rollout.policy import Counter

Ints = Any

COUNTERS: Final = tuple(Counter)
OFFERED: Final = COUNTERS.index(Counter.OFFERED)
STARTED: Final = COUNTERS.index(Counter.STARTED)
FAILED: Final = COUNTERS.index(Counter.FAILED)
SILENT: Final = COUNTERS.index(Counter.SILENT)
SKIPPED: Final = COUNTERS.index(Counter.SKIPPED)
SUCCEEDED: Final = COUNTERS.index(Counter.SUCCEEDED)
ERRORS: Final = COUNTERS.index(Counter.ERRORS)
JUDGED: Final = COUNTERS.index(Counter.JUDGED)
SETTLED: Final = COUNTERS.index(Counter.SETTLED)
VERDICT: Final = SIGNAL_SUCCEEDED | SIGNAL_FAILED | SIGNAL_SKIPPED


class Tally(NamedTuple):
    """The counters of one rollout."""

    # of a device
    group: Ints  # its rollout group
    seen: Ints  # 1: offered once
    settled: Ints  # 1: it has a verdict; 2: none, and none is awaited
    expected: Ints  # devices with a deadline, in the order in which they began
    expected_ms: Ints  # and when each is due
    # of a device, for a service that is asked (see `simlib.simulation.room`)
    released_ms: Ints  # when it was let in, −1 before
    parked: Ints  # devices that come again only when they are sent for
    news: Ints  # messages nobody has read yet, for a policy that wants them: time, device, signals
    # of a group
    permit: Ints  # how many more may be let in
    vanished: Ints
    last_report_ms: Ints
    alarmed: Ints  # 1: its failure rate is above the alert's
    # of a counter and a group (row counter * groups + group)
    counts: Ints
    armed: Ints  # the number at which the policy wants to be asked; 0: at none
    state: Ints  # see AT_*


AT_GROUPS: Final = 0
AT_DEADLINE: Final = 1  # [ms]; 0: none
AT_EXPECTED: Final = 2  # devices in `expected`
AT_DUE: Final = 3  # the first of them that is still awaited
AT_DUPLICATES: Final = 4
AT_FURTHER: Final = 5  # verdicts on devices that had one
AT_TRIPPED: Final = 6  # 1: a number of `armed` was reached
AT_RATE_NUM: Final = 7  # the failure rate of the alert; 1 or more: there is none
AT_RATE_DEN: Final = 8
AT_SAMPLE: Final = 9  # judged devices the alert needs
AT_NEWS: Final = 10  # messages in `news`
AT_NEWS_ROOM: Final = 11  # that it has room for; 0: nobody wants them
AT_PULLS: Final = 12  # 1: devices knock, and are let in
AT_ALLOWED: Final = 13  # permits left in all groups
AT_PARKED: Final = 14  # devices in `parked`
AT_AWAITED: Final = 15  # 1: the policy wants to be asked about a knock that no permit covers
STATES: Final = 16

RATE_SAME, RATE_HIGH, RATE_LOW = 0, 1, 2


def tally_of(
    group: Ints,
    groups: int,
    deadline_ms: int,
    rate: Fraction,
    min_sample: int,
    column: Callable[[int], Any],
    news_room: int = 0,
    pulls: bool = False,
) -> Tally:
    """All counters at zero. `column` makes a column of so many zeros; `group` has each device's group.

    With `news_room`, so many messages are kept until they are read; with `pulls`, devices knock.
    """
    state = column(STATES)
    state[AT_GROUPS] = groups
    state[AT_DEADLINE] = max(deadline_ms, 0)
    state[AT_RATE_NUM], state[AT_RATE_DEN] = largest_up_to(rate, 1 << 24).as_integer_ratio()
    state[AT_SAMPLE] = min_sample
    state[AT_NEWS_ROOM] = news_room
    state[AT_PULLS] = int(pulls)
    by_group = {name: column(groups) for name in Tally._fields[Tally._fields.index("permit") :]}
    for number in range(groups):
        by_group["last_report_ms"][number] = -1
    devices = len(group)
    released_ms = column(devices if pulls else 0)
    for number in range(len(released_ms)):
        released_ms[number] = -1
    return Tally(
        **by_group
        | {
            "group": group,
            "seen": bytearray(devices),
            "settled": bytearray(devices),
            "expected": column(devices if deadline_ms > 0 else 0),
            "expected_ms": column(devices if deadline_ms > 0 else 0),
            "released_ms": released_ms,
            "parked": column(devices if pulls else 0),
            "news": column(3 * news_room),
            "counts": column(len(COUNTERS) * groups),
            "armed": column(len(COUNTERS) * groups),
            "state": state,
        }
    )


def largest_up_to(share: Fraction, denominator: int) -> Fraction:
    """The largest fraction up to `share` with at most this denominator.

    For whole numbers up to `denominator` it is passed exactly when `share` is, and products stay small.
    """
    near = share.limit_denominator(denominator)
    if near <= share:
        return near
    # The neighbour below it in the Farey sequence: near.numerator * q - near.denominator * p = 1.
    q = pow(near.numerator, -1, near.denominator)
    q += (denominator - q) // near.denominator * near.denominator
    return Fraction(near.numerator * q - 1, near.denominator * q)


def receive(tally: Tally, now: int, device: int, signals: int) -> None:
    """Take the messages of one device at `now`."""
    state = tally.state
    group = tally.group[device]
    if state[AT_NEWS_ROOM]:
        at = 3 * state[AT_NEWS]
        tally.news[at] = now
        tally.news[at + 1] = device
        tally.news[at + 2] = signals
        state[AT_NEWS] += 1
    if signals & SIGNAL_OFFERED and not tally.seen[device]:
        tally.seen[device] = 1
        count(tally, OFFERED, group)
    if signals & SIGNAL_TWICE:
        state[AT_DUPLICATES] += 1
    tally.last_report_ms[group] = now
    if signals & SIGNAL_STARTED:
        count(tally, STARTED, group)
        if state[AT_DEADLINE]:
            tally.expected[state[AT_EXPECTED]] = device
            tally.expected_ms[state[AT_EXPECTED]] = now + state[AT_DEADLINE]
            state[AT_EXPECTED] += 1
    if signals & SIGNAL_SETBACK and not tally.settled[device]:
        tally.settled[device] = 2
    if signals & VERDICT:
        if tally.settled[device] == 1:
            state[AT_FURTHER] += 1
            return
        tally.settled[device] = 1
        count(tally, SETTLED, group)
        if signals & SIGNAL_SUCCEEDED:
            count(tally, SUCCEEDED, group)
            count(tally, JUDGED, group)
        elif signals & SIGNAL_FAILED:
            count(tally, FAILED, group)
            count(tally, ERRORS, group)
            count(tally, JUDGED, group)
        else:
            count(tally, SKIPPED, group)


def count(tally: Tally, counter: int, group: int) -> None:
    """One more; notes whether that is the number the policy wants to be asked at."""
    row = counter * tally.state[AT_GROUPS] + group
    tally.counts[row] += 1
    if tally.counts[row] == tally.armed[row]:
        tally.state[AT_TRIPPED] = 1


def next_deadline(tally: Tally) -> int:
    """When the next device falls due, or NEVER."""
    state = tally.state
    if state[AT_DUE] == state[AT_EXPECTED]:
        return NEVER
    return int(tally.expected_ms[state[AT_DUE]])


def give_up_on(tally: Tally) -> None:
    """The device that is due next is silent if it has no verdict yet."""
    state = tally.state
    device = tally.expected[state[AT_DUE]]
    state[AT_DUE] += 1
    if not tally.settled[device]:
        tally.settled[device] = 1
        group = tally.group[device]
        count(tally, SILENT, group)
        count(tally, ERRORS, group)
        count(tally, JUDGED, group)
        count(tally, SETTLED, group)


def rate_changed(tally: Tally, device: int) -> int:
    """After a verdict on `device`: RATE_HIGH if its group's failure rate has gone above the alert's, RATE_LOW
    back.
    """
    state = tally.state
    if state[AT_RATE_NUM] >= state[AT_RATE_DEN]:
        return RATE_SAME
    groups, group = state[AT_GROUPS], tally.group[device]
    judged = tally.counts[JUDGED * groups + group]
    errors = tally.counts[ERRORS * groups + group]
    high = judged >= state[AT_SAMPLE] and errors * state[AT_RATE_DEN] > state[AT_RATE_NUM] * judged
    if high:
        if tally.alarmed[group]:
            return RATE_SAME
        tally.alarmed[group] = 1
        return RATE_HIGH
    if tally.alarmed[group]:
        tally.alarmed[group] = 0
        return RATE_LOW
    return RATE_SAME


def counted(tally: Tally, counter: int, group: int) -> int:
    """A counter of a group."""
    return int(tally.counts[counter * tally.state[AT_GROUPS] + group])


def counted_errors(tally: Tally, device: int) -> int:
    """Errors in the group of `device`."""
    return int(tally.counts[ERRORS * tally.state[AT_GROUPS] + tally.group[device]])


def counted_judged(tally: Tally, device: int) -> int:
    """Judged devices in the group of `device`."""
    return int(tally.counts[JUDGED * tally.state[AT_GROUPS] + tally.group[device]])
