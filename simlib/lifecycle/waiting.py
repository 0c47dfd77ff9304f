"""When a device is next heard of, and when the install window next opens: times computed, never events."""

from __future__ import annotations

from typing import Final

from simlib.draws import Purpose, draw32
from simlib.lifecycle.columns import NEVER, RULE_HORIZON, RULE_WINDOW_FROM, RULE_WINDOW_TO, Fleet

DAY_MS: Final = 86_400_000

_P_WAKE = int(Purpose.WAKE_PRESENT)


def next_checkin(fleet: Fleet, i: int, earliest_ms: int) -> int:
    """The first time at or after `earliest_ms` at which device `i` checks in, or NEVER.

    Scheduled check-ins are at phase + k × period; number k takes place if its own draw says so. None of
    them is an event: polls that find nothing cost energy, which is charged arithmetically.
    """
    cohort = fleet.cohort[i]
    period = fleet.wake_period_ms[cohort]
    present = fleet.wake_below[cohort]
    phase = fleet.wake_phase_ms[i]
    key = fleet.key[i]
    horizon = fleet.rules[RULE_HORIZON]
    if present == 0:
        return NEVER
    k = max(0, -((phase - earliest_ms) // period))
    when = phase + k * period
    while when <= horizon:
        if draw32(key, _P_WAKE, k) < present:
            return int(when)
        k += 1
        when += period
    return NEVER


def window_opens(fleet: Fleet, now: int) -> int:
    """The first time at or after `now` inside the daily install window (which may run over midnight)."""
    start, end = int(fleet.rules[RULE_WINDOW_FROM]), int(fleet.rules[RULE_WINDOW_TO])
    length = (end - start) % DAY_MS
    if length == 0:  # no window, or one of a whole day
        return now
    into_window = (now - start) % DAY_MS
    if into_window < length:
        return now
    return now + DAY_MS - into_window
