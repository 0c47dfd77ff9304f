"""One device's life, as plain integer functions: what happens next, given what the bench found.

`advance(fleet, now, i)` is called when what device `i` waited for has come. It updates the device's row
and answers ``(command, value, signals)``:

=========  ==========================================================
TIMER      call again at time `value` [ms]
JOIN       transfer `value` bytes over the shared link, then call `transfer_ended` and `advance`
END        the device is done
=========  ==========================================================

`signals` are the messages the server has received in this step, as bits of SIGNAL_*.

There is no clock and no randomness of its own here: a draw is a pure function of the device's key, a
purpose and an occurrence, and nothing is a probability of an outcome. Whether an install is accepted,
what it costs, and what boots afterwards are rows of `Fleet.move_*`, which the bench computed with real
bytes. The functions use integers and indexing only, so that a compiled clock can run this same source
(with a body of its own for the draws, whose products wrap at 64 bits).
"""

from __future__ import annotations

from typing import Final

from simlib.draws import Purpose, below, draw32
from simlib.errors import Reason
from simlib.lifecycle.columns import (
    HALT_DOWNLOADS,
    NO_ROW,
    RULE_ARTEFACTS,
    RULE_ATTEMPTS,
    RULE_BACKOFF,
    RULE_BACKOFF_MAX,
    RULE_DEFERRALS,
    RULE_DROP_BELOW,
    RULE_DROP_WEAK_BELOW,
    RULE_GRANULE,
    RULE_LINK,
    RULE_POWER_OFF,
    RULE_REPORT_DELAY,
    RULE_RESUME,
    RULE_STORAGE,
    Fleet,
)
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.waiting import next_checkin, window_opens
from simlib.outcomes import Outcome

TIMER: Final = 0
JOIN: Final = 1
END: Final = 2

SIGNAL_OFFERED: Final = 1
SIGNAL_STARTED: Final = 2
SIGNAL_SUCCEEDED: Final = 4
SIGNAL_FAILED: Final = 8
SIGNAL_SKIPPED: Final = 16

REASONS: Final = tuple(Reason)
OUTCOMES: Final = tuple(Outcome)
REASON_CODE: Final = {reason: code for code, reason in enumerate(REASONS)}
OUTCOME_CODE: Final = {outcome: code for code, outcome in enumerate(OUTCOMES)}

# Plain integers under short names: enum look-ups are slow, and a compiled clock cannot make them.
_WAITING, _OFFERED, _DOWNLOADING = int(Phase.WAITING), int(Phase.OFFERED), int(Phase.DOWNLOADING)
_BACKING_OFF, _INSTALLING, _POWER_OFF = int(Phase.BACKING_OFF), int(Phase.INSTALLING), int(Phase.POWER_OFF)
_REBOOTING, _TRIAL, _CONFIRMING = int(Phase.REBOOTING), int(Phase.TRIAL), int(Phase.CONFIRMING)
_REVERTING, _REPORTING, _DONE = int(Phase.REVERTING), int(Phase.REPORTING), int(Phase.DONE)
_UPDATED, _REVERTED = OUTCOME_CODE[Outcome.UPDATED], OUTCOME_CODE[Outcome.REVERTED]
_FAILED, _DEFERRED = OUTCOME_CODE[Outcome.FAILED], OUTCOME_CODE[Outcome.DEFERRED]
_INELIGIBLE, _PENDING = OUTCOME_CODE[Outcome.INELIGIBLE], OUTCOME_CODE[Outcome.PENDING]
_BRICKED, _LOST = OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.LOST]
_R_NONE, _R_STORAGE = REASON_CODE[Reason.NONE], REASON_CODE[Reason.STORAGE_SHORT]
_R_BATTERY, _R_LINK = REASON_CODE[Reason.BATTERY_LOW], REASON_CODE[Reason.LINK_WEAK]
_R_DOWNLOAD, _R_HALTED = REASON_CODE[Reason.DOWNLOAD_FAILED], REASON_CODE[Reason.ROLLOUT_HALTED]
_R_POWER_CUT, _R_NO_IMAGE = REASON_CODE[Reason.POWER_CUT], REASON_CODE[Reason.NO_VALID_IMAGE]
_R_SELF_TEST, _R_CRASH = REASON_CODE[Reason.SELF_TEST_FAILED], REASON_CODE[Reason.CRASH_LOOP]
_R_NO_ARTEFACT, _R_WRONG_BASE = REASON_CODE[Reason.NO_ARTEFACT], REASON_CODE[Reason.WRONG_BASE]
_P_BATTERY, _P_WEAK = int(Purpose.BATTERY), int(Purpose.LINK_WEAK)
_P_DROP, _P_DROP_AT = int(Purpose.DROP), int(Purpose.DROP_AT)

Step = tuple[int, int, int]


def advance(fleet: Fleet, now: int, i: int) -> Step:
    """What device `i` does at `now`, now that what it waited for has come."""
    phase = fleet.phase[i]
    if phase == _WAITING:
        return _check_in(fleet, now, i)
    if phase == _OFFERED or phase == _BACKING_OFF:
        return _begin(fleet, now, i)
    if phase == _DOWNLOADING:
        return _downloaded(fleet, now, i)
    if phase == _INSTALLING:
        return _installed(fleet, now, i)
    if phase == _REBOOTING or phase == _POWER_OFF:
        return _booted(fleet, now, i)
    if phase == _TRIAL:
        return _tested(fleet, now, i)
    if phase == _CONFIRMING:
        return _confirmed(fleet, now, i)
    if phase == _REVERTING:
        return _reverted(fleet, now, i)
    return _reported(fleet, now, i)


def transfer_ended(fleet: Fleet, i: int, missing_bytes: int) -> None:
    """Book the transfer of device `i` that has just ended, `missing_bytes` short if it was broken off."""
    received = fleet.run_bytes[i] - missing_bytes
    fleet.run_bytes[i] = received
    fleet.left_bytes[i] -= received
    fleet.kept_bytes[i] += received
    fleet.bytes_down[i] += received
    fleet.radio_uj[i] += -(-received * fleet.rx_pj_per_byte[fleet.cohort[i]] // 1_000_000)


def move_due(fleet: Fleet, i: int) -> int:
    """The row of `Fleet.move_*` that `advance` is about to book for device `i`, or NO_ROW if none."""
    phase = fleet.phase[i]
    if phase == _INSTALLING:
        return _install_move(fleet, i)
    if phase == _REBOOTING or phase == _POWER_OFF:
        return _boot_move(fleet, i)
    if phase == _CONFIRMING:
        return _confirm_move(fleet, i)
    if phase == _REVERTING:
        return _boot_move(fleet, i)
    return NO_ROW


def _check_in(fleet: Fleet, now: int, i: int) -> Step:
    if fleet.halted[0]:
        return _end(fleet, i, _PENDING, _R_HALTED, 0)
    fleet.offered_ms[i] = now
    if fleet.artefact[i] == NO_ROW:
        command, value, _ = _report(fleet, now, i, _INELIGIBLE, _R_NO_ARTEFACT)
        return command, value, SIGNAL_OFFERED
    fleet.left_bytes[i] = fleet.wire_bytes[fleet.artefact[i]]
    command, value, signals = _begin(fleet, now, i)
    return command, value, signals | SIGNAL_OFFERED


def _begin(fleet: Fleet, now: int, i: int) -> Step:
    """Wait for the window, pre-check, and start (or go on with) the download."""
    if fleet.halted[0] and fleet.started_ms[i] < 0:
        return _end(fleet, i, _PENDING, _R_HALTED, 0)
    if fleet.halted[0] == HALT_DOWNLOADS:
        return _give_up(fleet, now, i, _R_HALTED)
    opens = window_opens(fleet, now)
    if opens > now:
        fleet.phase[i] = _OFFERED
        return TIMER, opens, 0
    rules = fleet.rules
    cohort = fleet.cohort[i]
    artefact = fleet.artefact[i]
    look = fleet.attempts[i] + fleet.wakes[i]
    if rules[RULE_STORAGE] and not fleet.room[cohort * rules[RULE_ARTEFACTS] + artefact]:
        return _never(fleet, now, i, _R_STORAGE)
    weak = draw32(fleet.key[i], _P_WEAK, look) < fleet.weak_below[cohort]
    if draw32(fleet.key[i], _P_BATTERY, look) < fleet.battery_low_below[cohort]:
        return _put_off(fleet, now, i, _R_BATTERY)
    if weak and rules[RULE_LINK]:
        return _put_off(fleet, now, i, _R_LINK)
    signals = 0
    if fleet.started_ms[i] < 0:
        fleet.started_ms[i] = now
        signals = SIGNAL_STARTED
    attempt = fleet.attempts[i]
    fleet.attempts[i] = attempt + 1
    fleet.phase[i] = _DOWNLOADING
    run = fleet.left_bytes[i]
    drop_below = rules[RULE_DROP_WEAK_BELOW] if weak else rules[RULE_DROP_BELOW]
    if draw32(fleet.key[i], _P_DROP, attempt) < drop_below and run > 1:
        # The link fails after a number of bytes drawn beforehand, at least one and short of all.
        run = 1 + below(fleet.key[i], _P_DROP_AT, attempt, run - 1)
    fleet.run_bytes[i] = run
    return JOIN, run, signals


def _put_off(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    fleet.wakes[i] += 1
    if fleet.wakes[i] > fleet.rules[RULE_DEFERRALS]:
        return _never(fleet, now, i, reason)
    fleet.phase[i] = _OFFERED
    return TIMER, next_checkin(fleet, i, now + 1), 0


def _never(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    """The pre-check refuses for good: `deferred` if nothing had begun, `failed` otherwise."""
    if fleet.started_ms[i] < 0:
        return _report(fleet, now, i, _DEFERRED, reason)
    return _give_up(fleet, now, i, reason)


def _downloaded(fleet: Fleet, now: int, i: int) -> Step:
    if fleet.left_bytes[i] == 0:
        fleet.phase[i] = _INSTALLING
        return TIMER, now + fleet.move_ms[_install_move(fleet, i)], 0
    if fleet.halted[0] == HALT_DOWNLOADS:
        return _give_up(fleet, now, i, _R_HALTED)
    kept = fleet.kept_bytes[i]
    worth = kept // fleet.rules[RULE_GRANULE] * fleet.rules[RULE_GRANULE] if fleet.rules[RULE_RESUME] else 0
    fleet.bytes_wasted[i] += kept - worth
    fleet.kept_bytes[i] = worth
    fleet.left_bytes[i] += kept - worth
    return _try_again(fleet, now, i, _R_DOWNLOAD)


def _try_again(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    """Back off before the next attempt, or give up after the last."""
    attempts = fleet.attempts[i]
    if attempts >= fleet.rules[RULE_ATTEMPTS]:
        return _give_up(fleet, now, i, reason)
    fleet.phase[i] = _BACKING_OFF
    # Doubled after each attempt; the shift is bounded so that it cannot leave 63 bits.
    wait = min(fleet.rules[RULE_BACKOFF] << min(attempts - 1, 20), fleet.rules[RULE_BACKOFF_MAX])
    return TIMER, now + wait, 0


def _give_up(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    fleet.bytes_wasted[i] += fleet.kept_bytes[i]
    fleet.kept_bytes[i] = 0
    return _report(fleet, now, i, _FAILED, reason)


def _install_move(fleet: Fleet, i: int) -> int:
    """The row of what the bench found for the install that device `i` is about to make."""
    if fleet.faults[i] != NO_ROW:
        row = fleet.fault_install[fleet.faults[i] * fleet.rules[RULE_ATTEMPTS] + fleet.installs[i]]
        if row != NO_ROW:
            return int(row)
    return _known(fleet.on_install[fleet.state[i] * fleet.rules[RULE_ARTEFACTS] + fleet.artefact[i]])


def _boot_move(fleet: Fleet, i: int) -> int:
    """The same for the boot after the latest install; a fault meets a boot once."""
    if fleet.faults[i] != NO_ROW and fleet.phase[i] == _REBOOTING:
        row = fleet.fault_boot[fleet.faults[i] * fleet.rules[RULE_ATTEMPTS] + fleet.installs[i] - 1]
        if row != NO_ROW:
            return int(row)
    return _known(fleet.on_boot[fleet.state[i]])


def _confirm_move(fleet: Fleet, i: int) -> int:
    return _known(fleet.on_confirm[fleet.state[i]])


def _known(row: int) -> int:
    """The row itself: a missing one would be read as the last row of the table."""
    if row == NO_ROW:
        raise LookupError("found a transition that the bench was not asked for")
    return row


def _charge(fleet: Fleet, i: int, move: int) -> None:
    fleet.state[i] = fleet.move_state[move]
    fleet.flash_uj[i] += fleet.move_flash_uj[move]
    fleet.compute_uj[i] += fleet.move_compute_uj[move]


def _boot(fleet: Fleet, now: int, i: int, phase: int, wait_ms: int) -> Step:
    """Let the boot loader run after `wait_ms`; its verdict is read in `phase`."""
    fleet.phase[i] = phase
    boot_ms = fleet.reboot_ms[fleet.cohort[i]] + fleet.move_ms[_boot_move(fleet, i)]
    return TIMER, now + wait_ms + boot_ms, 0


def _installed(fleet: Fleet, now: int, i: int) -> Step:
    move = _install_move(fleet, i)
    fleet.installs[i] += 1
    _charge(fleet, i, move)
    if fleet.move_cut[move]:
        return _boot(fleet, now, i, _POWER_OFF, fleet.rules[RULE_POWER_OFF])
    verdict = fleet.move_verdict[move]
    if verdict == _R_NONE:
        return _boot(fleet, now, i, _REBOOTING, 0)
    fleet.reason[i] = verdict
    if fleet.in_place[fleet.cohort[i]]:
        # The only slot was overwritten: whatever is in it now, the boot loader has to start it.
        return _boot(fleet, now, i, _REBOOTING, 0)
    return _start_over(fleet, now, i, verdict)


def _start_over(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    """The downloaded artefact is of no use any more: fetch it, or the full image, again."""
    fleet.bytes_wasted[i] += fleet.kept_bytes[i]
    fleet.kept_bytes[i] = 0
    if reason == _R_WRONG_BASE:
        fleet.artefact[i] = fleet.full[fleet.cohort[i]]
    fleet.left_bytes[i] = fleet.wire_bytes[fleet.artefact[i]]
    return _try_again(fleet, now, i, reason)


def _booted(fleet: Fleet, now: int, i: int) -> Step:
    move = _boot_move(fleet, i)
    _charge(fleet, i, move)
    if fleet.move_cut[move]:
        return _boot(fleet, now, i, _POWER_OFF, fleet.rules[RULE_POWER_OFF])
    running = fleet.move_running[move]
    fleet.running[i] = running
    if running == NO_ROW:
        fleet.finished_ms[i] = now
        return _end(fleet, i, _BRICKED, _R_NO_IMAGE, fleet.kept_bytes[i])
    if running == fleet.target[i]:
        fleet.phase[i] = _TRIAL
        return TIMER, now + fleet.self_test_ms[fleet.cohort[i]], 0
    # The old firmware runs: the install was refused, or the boot loader refused its result, or power failed.
    reason = fleet.reason[i]
    if reason == _R_NONE:
        reason = fleet.move_verdict[move]
    if reason == _R_NONE:
        reason = _R_POWER_CUT
    fleet.reason[i] = _R_NONE
    return _start_over(fleet, now, i, reason)


def _tested(fleet: Fleet, now: int, i: int) -> Step:
    if fleet.defective[i]:
        # A failed self-test ends in a reset; the boot loader finds the trial unconfirmed.
        return _boot(fleet, now, i, _REVERTING, 0)
    fleet.phase[i] = _CONFIRMING
    return TIMER, now + fleet.move_ms[_confirm_move(fleet, i)], 0


def _confirmed(fleet: Fleet, now: int, i: int) -> Step:
    _charge(fleet, i, _confirm_move(fleet, i))
    fleet.finished_ms[i] = now
    return _report(fleet, now, i, _UPDATED, _R_NONE)


def _reverted(fleet: Fleet, now: int, i: int) -> Step:
    move = _boot_move(fleet, i)
    _charge(fleet, i, move)
    running = fleet.move_running[move]
    fleet.running[i] = running
    fleet.finished_ms[i] = now
    if running == NO_ROW:
        return _end(fleet, i, _BRICKED, _R_NO_IMAGE, fleet.kept_bytes[i])
    if running == fleet.target[i]:
        # No second slot to go back to: the defective firmware starts again and again.
        return _end(fleet, i, _LOST, _R_CRASH, 0)
    return _report(fleet, now, i, _REVERTED, _R_SELF_TEST)


def _report(fleet: Fleet, now: int, i: int, outcome: int, reason: int) -> Step:
    fleet.phase[i] = _REPORTING
    fleet.outcome[i] = outcome
    fleet.reason[i] = reason
    if fleet.finished_ms[i] < 0:
        fleet.finished_ms[i] = now
    return TIMER, now + fleet.rules[RULE_REPORT_DELAY], 0


def _reported(fleet: Fleet, now: int, i: int) -> Step:
    outcome = fleet.outcome[i]
    fleet.phase[i] = _DONE
    fleet.reported[i] = outcome
    fleet.reported_ms[i] = now
    if outcome == _UPDATED:
        return END, 0, SIGNAL_SUCCEEDED
    if outcome == _DEFERRED or outcome == _INELIGIBLE:
        return END, 0, SIGNAL_SKIPPED
    return END, 0, SIGNAL_FAILED


def _end(fleet: Fleet, i: int, outcome: int, reason: int, wasted_bytes: int) -> Step:
    """The end of a device that reports nothing."""
    fleet.phase[i] = _DONE
    fleet.outcome[i] = outcome
    fleet.reason[i] = reason
    fleet.bytes_wasted[i] += wasted_bytes
    return END, 0, 0
