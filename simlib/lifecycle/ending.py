"""How a device's round ends, how the server learns of it, and what may still come afterwards.

A report is sent when the device can next be reached, after the service's own delay. It may be late, be lost
and sent again, and arrive twice. What a device has told may be wrong later: a defect that shows after the
confirmation, of which a device that is cut off tells nobody.
"""

from __future__ import annotations

from simlib.draws import Purpose, draw32, sampled
from simlib.errors import Reason
from simlib.lifecycle.battery import empty_at, power_returns
from simlib.lifecycle.codes import (
    END,
    OUTCOME_CODE,
    REASON_CODE,
    SIGNAL_FAILED,
    SIGNAL_SETBACK,
    SIGNAL_SKIPPED,
    SIGNAL_SUCCEEDED,
    SIGNAL_TWICE,
    TIMER,
    Step,
)
from simlib.lifecycle.columns import (
    EFFECT_BOND,
    EFFECT_BOOT_LOOP,
    EFFECT_CERTIFICATE,
    EFFECT_CRASH,
    EFFECT_DRAIN,
    EFFECT_SETTINGS,
    ENERGY_REPORT,
    NEVER,
    NO_ROW,
    RULE_DEFERRED_ENDS,
    RULE_HORIZON,
    RULE_LAST_VERDICT,
    RULE_LATE_BELOW,
    RULE_LATE_TABLE,
    RULE_LOST_BELOW,
    RULE_PRIMARY,
    RULE_REPORT_DELAY,
    RULE_RESEND,
    RULE_RESENDS,
    RULE_RETRY_AFTER,
    RULE_ROUNDS,
    RULE_TWICE_BELOW,
    Fleet,
)
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.spending import spend
from simlib.lifecycle.targets import next_publication, next_target, recovering, stopped
from simlib.lifecycle.waiting import next_checkin, reachable
from simlib.outcomes import Outcome

_REPORTING, _DONE, _RESTING = int(Phase.REPORTING), int(Phase.DONE), int(Phase.RESTING)
_RESTORING = int(Phase.RESTORING)
_UPDATED, _FAILED = OUTCOME_CODE[Outcome.UPDATED], OUTCOME_CODE[Outcome.FAILED]
_DEFERRED, _INELIGIBLE = OUTCOME_CODE[Outcome.DEFERRED], OUTCOME_CODE[Outcome.INELIGIBLE]
_REVERTED, _LOST = OUTCOME_CODE[Outcome.REVERTED], OUTCOME_CODE[Outcome.LOST]
_ROLLED_BACK, _PENDING = OUTCOME_CODE[Outcome.ROLLED_BACK], OUTCOME_CODE[Outcome.PENDING]
_R_NONE, _R_CRASH = REASON_CODE[Reason.NONE], REASON_CODE[Reason.CRASH_LOOP]
_R_LOOP, _R_BOND = REASON_CODE[Reason.BOOT_LOOP], REASON_CODE[Reason.BOND_LOST]
_R_CERTIFICATE, _R_SETTINGS = REASON_CODE[Reason.CERTIFICATE_LOST], REASON_CODE[Reason.SETTINGS_CORRUPTED]
_R_HORIZON, _R_HALTED = REASON_CODE[Reason.HORIZON], REASON_CODE[Reason.ROLLOUT_HALTED]
_R_EMPTY = REASON_CODE[Reason.BATTERY_EMPTY]
_P_LATE, _P_LATE_BY = int(Purpose.REPORT_LATE), int(Purpose.REPORT_LATE_BY)
_P_LOST, _P_TWICE = int(Purpose.REPORT_LOST), int(Purpose.REPORT_TWICE)
_P_REPAIR, _P_REPAIR_AFTER = int(Purpose.REPAIR), int(Purpose.REPAIR_AFTER)


def give_up(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    """The round fails, and what ran before runs on: the old version, or after a refused rollback the new."""
    fleet.bytes_wasted[i] += fleet.kept_bytes[i]
    fleet.kept_bytes[i] = 0
    fleet.error[i] = reason
    updated = fleet.running[i] >= fleet.rules[RULE_PRIMARY]
    return report(fleet, now, i, _UPDATED if updated else _FAILED, reason)


def report(fleet: Fleet, now: int, i: int, outcome: int, reason: int) -> Step:
    """The round has ended; the report arrives later."""
    fleet.phase[i] = _REPORTING
    fleet.outcome[i] = outcome
    fleet.reason[i] = reason
    if fleet.finished_ms[i] < 0:
        fleet.finished_ms[i] = now
    return _send(fleet, now, i, now)


def _send(fleet: Fleet, now: int, i: int, ready_ms: int) -> Step:
    """Send a report as soon as device `i` can be reached from `ready_ms` on, unless its defect is faster."""
    sent = reachable(fleet, i, ready_ms)
    if fleet.defect[i] != NO_ROW:
        sick = fleet.sick_ms[i]
        if sick != NO_ROW and sick <= sent and _silences(fleet, i):
            fleet.phase[i] = _RESTING
            return TIMER, int(max(sick, now)), 0
    number = fleet.reports[i]
    fleet.reports[i] = number + 1
    key = fleet.key[i]
    energy = fleet.report_uj[fleet.cohort[i]]
    if energy and sent <= fleet.rules[RULE_HORIZON]:
        spend(fleet, i, ENERGY_REPORT, energy, 0, 0)
    delay = fleet.rules[RULE_REPORT_DELAY]
    if draw32(key, _P_LATE, number) < fleet.rules[RULE_LATE_BELOW]:
        delay += sampled(fleet.quantiles, fleet.rules[RULE_LATE_TABLE], draw32(key, _P_LATE_BY, number))
    return TIMER, NEVER if sent >= NEVER else int(sent + delay), 0


def _silences(fleet: Fleet, i: int) -> bool:
    """Whether device `i` tells nobody anything any more once its defect shows (or its battery is empty)."""
    effect = fleet.defect_effect[fleet.defect[i]]
    return bool(
        effect == EFFECT_CRASH
        or effect == EFFECT_BOOT_LOOP
        or effect == EFFECT_BOND
        or effect == EFFECT_CERTIFICATE
        or fleet.drain_from_ms[i] != NO_ROW
    )


def reported(fleet: Fleet, now: int, i: int) -> Step:
    """A report arrives, unless it was lost on the way."""
    key, rules = fleet.key[i], fleet.rules
    number = fleet.reports[i] - 1
    if draw32(key, _P_LOST, number) < rules[RULE_LOST_BELOW]:
        if fleet.resent[i] < rules[RULE_RESENDS]:
            fleet.resent[i] += 1
            return _send(fleet, now, i, now + rules[RULE_RESEND])
        return afterwards(fleet, now, i, 0)
    outcome = fleet.outcome[i]
    on_the_way = outcome == _UPDATED and fleet.running[i] < rules[RULE_PRIMARY]
    fleet.reported[i] = _PENDING if on_the_way else outcome
    fleet.reported_ms[i] = now
    fleet.recorded[i] = fleet.running[i]
    if on_the_way and not fleet.halted[0] and next_target(fleet, now, i) != NO_ROW:
        signals = 0  # a stepping stone: no verdict on the release that it leads to
    elif outcome == _UPDATED or outcome == _ROLLED_BACK:
        signals = SIGNAL_SUCCEEDED
    elif fleet.reason[i] == _R_HALTED or (
        rules[RULE_LAST_VERDICT] and not fleet.halted[0] and comes_again(fleet, i)
    ):
        signals = SIGNAL_SETBACK
    elif outcome == _DEFERRED or outcome == _INELIGIBLE:
        signals = SIGNAL_SKIPPED
    else:
        signals = SIGNAL_FAILED
    if draw32(key, _P_TWICE, number) < rules[RULE_TWICE_BELOW]:
        signals |= SIGNAL_TWICE
    return afterwards(fleet, now, i, signals)


def end(fleet: Fleet, i: int, outcome: int, reason: int, wasted_bytes: int) -> Step:
    """The end of a device that reports nothing."""
    fleet.phase[i] = _DONE
    fleet.outcome[i] = outcome
    fleet.reason[i] = reason
    fleet.bytes_wasted[i] += wasted_bytes
    fleet.kept_bytes[i] -= wasted_bytes
    return END, 0, 0


def confirmed(fleet: Fleet, now: int, i: int) -> Step:
    """The new release stays. A defect that cuts the device off before it has told so leaves it mute."""
    fleet.finished_ms[i] = now
    if fleet.confirmed_ms[i] < 0 and fleet.running[i] >= fleet.rules[RULE_PRIMARY]:
        fleet.confirmed_ms[i] = now
    return report(fleet, now, i, _UPDATED, _R_NONE)


def fall_ill(fleet: Fleet, now: int, i: int) -> Step:
    """The defect shows on a device that has confirmed; there is no way back by itself."""
    fleet.sick_ms[i] = NO_ROW
    fleet.shown[i] = 1
    effect = fleet.defect_effect[fleet.defect[i]]
    if effect == EFFECT_CRASH:
        return _lose(fleet, now, i, _R_CRASH)
    if effect == EFFECT_BOOT_LOOP:
        return _lose(fleet, now, i, _R_LOOP)
    if effect == EFFECT_CERTIFICATE:
        return _lose(fleet, now, i, _R_CERTIFICATE)
    if effect == EFFECT_BOND:
        return _lose_bond(fleet, now, i)
    if effect == EFFECT_DRAIN:
        fleet.drain_from_ms[i] = now
        fleet.sick_ms[i] = empty_at(fleet, i, now)
        return afterwards(fleet, now, i, 0)
    if effect == EFFECT_SETTINGS:
        if fleet.backed_up[i]:
            fleet.phase[i] = _RESTORING
            return TIMER, now + fleet.restore_ms[fleet.cohort[i]], 0
        fleet.settings_lost[i] = 1
        fleet.reason[i] = _R_SETTINGS
        fleet.error[i] = _R_SETTINGS
    return afterwards(fleet, now, i, 0)


def rested(fleet: Fleet, now: int, i: int) -> int:
    """What a resting device woke up for: 1 its defect, 2 a mended bond, 0 something it may be offered."""
    if fleet.defect[i] != NO_ROW and fleet.sick_ms[i] != NO_ROW and fleet.sick_ms[i] <= now:
        return 1
    return 2 if fleet.outcome[i] == _LOST else 0


def drained(fleet: Fleet, now: int, i: int) -> Step:
    """The battery is empty because of the defect; an owner who brings another one has to again."""
    fleet.sick_ms[i] = NO_ROW
    back = power_returns(fleet, i, now)
    if back >= NEVER:
        return _lose(fleet, now, i, _R_EMPTY)
    fleet.error[i] = _R_EMPTY
    fleet.sick_ms[i] = empty_at(fleet, i, back)
    return afterwards(fleet, now, i, 0)


def mended(fleet: Fleet, now: int, i: int) -> Step:
    """The owner has paired the device again; it tells that it has updated."""
    return report(fleet, now, i, _UPDATED, _R_NONE)


def after_restore(fleet: Fleet, now: int, i: int) -> Step:
    """The user's data is back; a device that has not told its end yet does."""
    if fleet.reported_ms[i] >= fleet.finished_ms[i] >= 0:
        return afterwards(fleet, now, i, 0)
    return report(fleet, now, i, fleet.outcome[i], fleet.reason[i])


def _lose(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    fleet.finished_ms[i] = now
    fleet.error[i] = reason
    return end(fleet, i, _LOST, reason, 0)


def _lose_bond(fleet: Fleet, now: int, i: int) -> Step:
    cohort = fleet.cohort[i]
    _lose(fleet, now, i, _R_BOND)
    if draw32(fleet.key[i], _P_REPAIR, fleet.round[i]) >= fleet.repair_below[cohort]:
        return END, 0, 0
    fleet.phase[i] = _RESTING
    draw = draw32(fleet.key[i], _P_REPAIR_AFTER, fleet.round[i])
    return TIMER, now + 1 + sampled(fleet.quantiles, fleet.repair_table[cohort], draw), 0


def comes_again(fleet: Fleet, i: int) -> bool:
    """Whether device `i`, whose round has ended without the release, is offered it once more."""
    outcome = fleet.outcome[i]
    refused = outcome == _UPDATED and fleet.running[i] != fleet.target[i]  # the answer; the release runs on
    deferred = outcome == _DEFERRED and not fleet.rules[RULE_DEFERRED_ENDS]
    if outcome != _FAILED and outcome != _REVERTED and not deferred and not refused:
        return False
    return bool(fleet.tries[i] < fleet.rules[RULE_ROUNDS])


def afterwards(fleet: Fleet, now: int, i: int, signals: int) -> Step:
    """What may still come to a device whose round is over; END if nothing does."""
    outcome = fleet.outcome[i]
    wake = NEVER
    if fleet.defect[i] != NO_ROW and fleet.sick_ms[i] != NO_ROW:
        wake = max(fleet.sick_ms[i], now)
    if fleet.halted[0] and not recovering(fleet, now):
        again = NEVER  # the operator's answer wakes whom it is for
    elif stopped(fleet, now, i):  # it took what was halted; the answer is out meanwhile
        again = now + 1
        if outcome == _INELIGIBLE or next_target(fleet, now, i) == NO_ROW:
            again = NEVER
    elif outcome == _UPDATED and not fleet.halted[0] and next_target(fleet, now, i) != NO_ROW:
        again = now + 1  # it has passed a stepping stone
    elif comes_again(fleet, i):
        again = now + max(fleet.rules[RULE_RETRY_AFTER], 1)
    elif fleet.halted[0]:
        again = NEVER
    else:
        again = next_publication(fleet, now, i)
    if again < NEVER and again < wake:
        again = next_checkin(fleet, i, again)
    wake = min(wake, again)
    if outcome == _UPDATED and fleet.running[i] < fleet.rules[RULE_PRIMARY]:
        fleet.outcome[i] = _PENDING  # a stepping stone, or an earlier one of the releases in flight
        fleet.reason[i] = _R_HORIZON
    if fleet.halted[0] and fleet.outcome[i] == _PENDING:
        fleet.reason[i] = _R_HALTED
    if wake >= NEVER:
        fleet.phase[i] = _DONE
        return END, 0, signals
    fleet.phase[i] = _RESTING
    return TIMER, int(wake), signals
