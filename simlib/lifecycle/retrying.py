"""When a device tries again after a failed download or install, and when it gives up.

Waits grow with the failures of a round, capped, with the jitter of M. Brooker, "Exponential Backoff And
Jitter" (AWS Architecture Blog, 2015): none; equal (half of it sure); full; decorrelated (up to three times
the wait before).
"""

from __future__ import annotations

from simlib.draws import Purpose, below
from simlib.errors import Reason
from simlib.lifecycle.codes import REASON_CODE, TIMER, Step
from simlib.lifecycle.columns import (
    JITTER_DECORRELATED,
    JITTER_EQUAL,
    JITTER_FULL,
    JITTER_NONE,
    RULE_ATTEMPTS,
    RULE_BACKOFF,
    RULE_BACKOFF_MAX,
    RULE_CHAIN,
    RULE_JITTER,
    Fleet,
)
from simlib.lifecycle.ending import give_up
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.waiting import LONGEST_SPAN, reachable

_BACKING_OFF = int(Phase.BACKING_OFF)
_R_WRONG_BASE = REASON_CODE[Reason.WRONG_BASE]
_P_JITTER = int(Purpose.JITTER)


def start_over(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    """The downloaded artefact is of no use any more: fetch it, or the full image, again."""
    fleet.bytes_wasted[i] += fleet.kept_bytes[i]
    fleet.kept_bytes[i] = 0
    fleet.sessions[i] = 0
    if reason == _R_WRONG_BASE:
        fleet.artefact[i] = fleet.without_patch[fleet.kind[i] * fleet.rules[RULE_CHAIN] + fleet.target[i]]
    fleet.left_bytes[i] = fleet.wire_bytes[fleet.artefact[i]]
    return try_again(fleet, now, i, reason)


def try_again(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    """Back off before the next attempt, or give up after the last."""
    failures = fleet.failures[i]
    fleet.error[i] = reason
    if failures >= fleet.rules[RULE_ATTEMPTS]:
        return give_up(fleet, now, i, reason)
    fleet.phase[i] = _BACKING_OFF
    wait = back_off(fleet, i, failures)
    return TIMER, reachable(fleet, i, now + wait), 0


def back_off(fleet: Fleet, i: int, failures: int) -> int:
    """How long device `i` waits after its `failures`-th failed attempt of a round [ms]."""
    rules = fleet.rules
    least, most = rules[RULE_BACKOFF], rules[RULE_BACKOFF_MAX]
    # Doubled after each failure; the shift is bounded so that it cannot leave 63 bits.
    wait = min(least << min(failures - 1, 20), most)
    jitter = rules[RULE_JITTER]
    if jitter != JITTER_NONE:
        number = fleet.attempts[i]
        if jitter == JITTER_FULL:
            wait = _up_to(fleet, i, number, wait)
        elif jitter == JITTER_EQUAL:
            wait = wait // 2 + _up_to(fleet, i, number, wait - wait // 2)
        elif jitter == JITTER_DECORRELATED:
            before = max(fleet.wait_ms[i], least)
            wait = min(most, least + _up_to(fleet, i, number, 3 * before - least))
            fleet.wait_ms[i] = wait
    return int(wait)


def _up_to(fleet: Fleet, i: int, number: int, span: int) -> int:
    """A uniform whole number from 0 to `span`; the product stays within 63 bits for spans up to 24 days."""
    return below(fleet.key[i], _P_JITTER, number, min(span + 1, LONGEST_SPAN))
