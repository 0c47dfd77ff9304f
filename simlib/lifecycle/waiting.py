"""When a device is next heard of, and when the install window is open: times computed, never events.

A device checks in by a schedule (phase and period) or after gaps drawn one by one. A check-in takes place if
its own draw says so, by hour and day of the local week; one through a phone also needs the phone: the app
open, or the permission to work in the background, and charge. Between absences, whose lengths are drawn and
may be long, a device is there. Where the times of a device are drawn one after another, its row remembers how
far that has come. That is a cursor, which goes forwards and back: no answer depends on what was asked before.

Seasons are left out: an offset from UTC never changes.
"""

from __future__ import annotations

from typing import Final

from simlib.draws import CERTAIN, Purpose, draw32, sampled
from simlib.lifecycle.columns import (
    NEVER,
    NO_ROW,
    RULE_HORIZON,
    RULE_WEEKDAY_MS,
    RULE_WINDOW_FROM,
    RULE_WINDOW_LOCAL,
    RULE_WINDOW_TO,
    Fleet,
)

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
WEEK_HOURS: Final = 168
LONGEST_SPAN: Final = 1 << 31
"""The longest wait that is drawn [ms]: the draw's product stays within 63 bits."""
NOTIFIED_LOOK: Final = 1 << 30
"""From here on check-ins are numbered that a notification caused."""

_P_WAKE, _P_GAP = int(Purpose.WAKE_PRESENT), int(Purpose.GAP)
_P_ONLINE, _P_OFFLINE = int(Purpose.ONLINE), int(Purpose.OFFLINE)
_P_FOREGROUND, _P_PHONE = int(Purpose.FOREGROUND), int(Purpose.PHONE_BATTERY)
_P_SESSION, _P_NOTIFIED, _P_REACTION = int(Purpose.SESSION), int(Purpose.NOTIFIED), int(Purpose.REACTION)


def next_checkin(fleet: Fleet, i: int, earliest_ms: int) -> int:
    """The first time at or after `earliest_ms` at which device `i` checks in, or NEVER.

    None of the check-ins before it is an event: polls that find nothing cost energy, which is charged
    arithmetically. The row notes the check-in's number, and how long the phone stays.
    """
    if fleet.barred[i]:
        return NEVER
    told = NEVER
    if fleet.notified_below[fleet.cohort[i]]:
        told = fleet.notified_ms[i]
        if told < earliest_ms or online(fleet, i, told) != told:
            told = NEVER
    horizon = fleet.rules[RULE_HORIZON]
    when = earliest_ms
    while True:
        when = _scheduled(fleet, i, when)
        if when > horizon:
            when = NEVER
            break
        back = online(fleet, i, when)
        if back == when:
            break
        when = back
    if told < when:
        when = told
        fleet.look[i] = NOTIFIED_LOOK + fleet.round[i]
        fleet.foreground[i] = 1
    if when < NEVER and fleet.phone[fleet.cohort[i]]:
        fleet.session_until_ms[i] = _session_end(fleet, i, when)
    return int(when)


def online(fleet: Fleet, i: int, time_ms: int) -> int:
    """`time_ms` if device `i` is there then, else when its absence ends."""
    if not fleet.leaves[fleet.cohort[i]]:
        return time_ms
    table = fleet.online_table[fleet.cohort[i]]
    while time_ms < fleet.away_from_ms[i] and fleet.absences[i]:
        number = fleet.absences[i] - 1
        back = fleet.away_from_ms[i] - sampled(
            fleet.quantiles, table, draw32(fleet.key[i], _P_ONLINE, number)
        )
        if time_ms >= back:
            return time_ms
        _go_back(fleet, i, number, back)
    while time_ms >= fleet.away_from_ms[i]:
        back = fleet.away_to_ms[i]
        if time_ms < back:
            return int(back)
        if table == NO_ROW:
            return time_ms
        number = fleet.absences[i]
        fleet.absences[i] = number + 1
        key, quantiles = fleet.key[i], fleet.quantiles
        leaves = back + sampled(quantiles, table, draw32(key, _P_ONLINE, number))
        away = sampled(quantiles, fleet.offline_table[fleet.cohort[i]], draw32(key, _P_OFFLINE, number))
        fleet.away_from_ms[i] = leaves
        fleet.away_to_ms[i] = leaves + max(away, 1)
    return time_ms


def _go_back(fleet: Fleet, i: int, number: int, back: int) -> None:
    """Set the cursor of device `i` to its absence before the present one; it ends at `back`."""
    fleet.absences[i] = number
    fleet.away_to_ms[i] = back
    fleet.away_from_ms[i] = 0  # one that lasts from the start
    if number:
        table = fleet.offline_table[fleet.cohort[i]]
        away = sampled(fleet.quantiles, table, draw32(fleet.key[i], _P_OFFLINE, number - 1))
        fleet.away_from_ms[i] = back - max(away, 1)


def next_absence(fleet: Fleet, i: int, now: int) -> int:
    """When device `i` next goes away, at most `now` if it has gone by now; NEVER if it stays."""
    if not fleet.leaves[fleet.cohort[i]]:
        return NEVER
    if online(fleet, i, now) != now:
        return now
    leaves = fleet.away_from_ms[i]
    return int(leaves) if leaves > now else NEVER


def reachable(fleet: Fleet, i: int, time_ms: int) -> int:
    """The first time at or after `time_ms` at which device `i` can go on, its phone there too."""
    if fleet.phone[fleet.cohort[i]] and time_ms >= fleet.session_until_ms[i]:
        return next_checkin(fleet, i, time_ms)
    back = online(fleet, i, time_ms)
    return back if back == time_ms else next_checkin(fleet, i, back)


def notify(fleet: Fleet, i: int, now: int) -> None:
    """Send device `i`'s owner a notification at `now`; the row notes when the app is opened for it."""
    cohort = fleet.cohort[i]
    below = fleet.notified_below[cohort]
    if not below or not fleet.notifiable[i]:
        return
    number = fleet.round[i]
    if fleet.offered_ms[i] >= 0:
        number += 1  # of the round that the notification is about
    if draw32(fleet.key[i], _P_NOTIFIED, number) >= below:
        return
    draw = draw32(fleet.key[i], _P_REACTION, number)
    fleet.notified_ms[i] = now + 1 + sampled(fleet.quantiles, fleet.reaction_table[cohort], draw)


def window_opens(fleet: Fleet, i: int, now: int) -> int:
    """The first time at or after `now` inside the daily install window (which may run over midnight)."""
    length, into_window = _window(fleet, i, now)
    if length == 0 or into_window < length:  # no window, or one of a whole day
        return now
    return now + DAY_MS - into_window


def window_closes(fleet: Fleet, i: int, now: int) -> int:
    """When the window that is open at `now` closes; NEVER without one."""
    length, into_window = _window(fleet, i, now)
    return NEVER if length == 0 else now + length - into_window


def _window(fleet: Fleet, i: int, now: int) -> tuple[int, int]:
    """Length of the daily window and how far into its day `now` is."""
    start, end = int(fleet.rules[RULE_WINDOW_FROM]), int(fleet.rules[RULE_WINDOW_TO])
    local = now + fleet.zone_ms[i] if fleet.rules[RULE_WINDOW_LOCAL] else now
    return (end - start) % DAY_MS, (local - start) % DAY_MS


def _scheduled(fleet: Fleet, i: int, earliest_ms: int) -> int:
    """The first check-in at or after `earliest_ms` that takes place, absences aside, or NEVER."""
    cohort = fleet.cohort[i]
    if _never_there(fleet, i, cohort):
        return NEVER
    if fleet.gap_table[cohort] != NO_ROW:
        return _after_gaps(fleet, i, cohort, earliest_ms)
    period = fleet.wake_period_ms[cohort]
    phase = fleet.wake_phase_ms[i]
    horizon = fleet.rules[RULE_HORIZON]
    k = max(0, -((phase - earliest_ms) // period))
    when = phase + k * period
    while when <= horizon:
        if _takes_place(fleet, i, cohort, when, k):
            return int(when)
        k += 1
        when += period
    return NEVER


def _never_there(fleet: Fleet, i: int, cohort: int) -> bool:
    """Whether no check-in of device `i` takes place, whatever is drawn: not worth looking for one."""
    if fleet.wake_below[cohort] == 0 and not fleet.by_week[cohort]:
        return True
    if not fleet.phone[cohort]:
        return False
    unseen = not fleet.background[i] and fleet.foreground_below[cohort] == 0
    return bool(unseen or fleet.phone_low_below[cohort] == CERTAIN)


def _after_gaps(fleet: Fleet, i: int, cohort: int, earliest_ms: int) -> int:
    key, quantiles, table = fleet.key[i], fleet.quantiles, fleet.gap_table[cohort]
    horizon = fleet.rules[RULE_HORIZON]
    when, number = fleet.gap_at_ms[i], fleet.gaps[i]
    while number > 1:
        before = when - max(sampled(quantiles, table, draw32(key, _P_GAP, number)), 1)
        if before < earliest_ms:
            break
        when = before
        number -= 1
    while when < earliest_ms or number == 0 or not _takes_place(fleet, i, cohort, when, number):
        if when > horizon:
            return NEVER
        number += 1
        when += max(sampled(quantiles, table, draw32(key, _P_GAP, number)), 1)
    fleet.gap_at_ms[i], fleet.gaps[i] = when, number
    return int(when)


def _takes_place(fleet: Fleet, i: int, cohort: int, when: int, number: int) -> bool:
    """Whether check-in `number`, due at `when`, takes place; if so a phone's row is of this check-in."""
    key = fleet.key[i]
    if fleet.by_week[cohort]:
        hour = (when + fleet.zone_ms[i] + fleet.rules[RULE_WEEKDAY_MS]) // HOUR_MS % WEEK_HOURS
        below = fleet.week_below[cohort * WEEK_HOURS + hour]
    else:
        below = fleet.wake_below[cohort]
    if draw32(key, _P_WAKE, number) >= below:
        return False
    if not fleet.phone[cohort]:
        return True
    foreground = int(draw32(key, _P_FOREGROUND, number) < fleet.foreground_below[cohort])
    if not foreground and not fleet.background[i]:
        return False
    if draw32(key, _P_PHONE, number) < fleet.phone_low_below[cohort]:
        return False  # the app defers the work
    fleet.look[i] = number
    fleet.foreground[i] = foreground
    return True


def _session_end(fleet: Fleet, i: int, when: int) -> int:
    """Until when the phone goes on with a check-in at `when`: the app is open, then runs on for a while."""
    cohort = fleet.cohort[i]
    granted = fleet.background_ms[cohort] if fleet.background[i] else 0
    if not fleet.foreground[i]:
        return int(when + granted)
    table = fleet.session_table[cohort]
    if table == NO_ROW:
        return NEVER
    return int(
        when + sampled(fleet.quantiles, table, draw32(fleet.key[i], _P_SESSION, fleet.look[i])) + granted
    )
