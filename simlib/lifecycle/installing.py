"""From a complete download to the end of a trial: install, boots, tests, confirmation or revert.

What happens is in rows of `Fleet.move_*`, which the bench found with real bytes. A row nobody has asked for
yet is asked for (`ASK`): the device's plan stays as it is until the row is there. Before each move the
battery is looked at: one that cannot carry the move is a power cut at the flash operation at which it is
empty.
"""

from __future__ import annotations

from simlib.draws import Purpose, draw32
from simlib.errors import Reason
from simlib.lifecycle.battery import level_uj, plugged, power_returns, stop_drain
from simlib.lifecycle.codes import (
    ASK,
    ASK_BOOT,
    ASK_BROWN_OUT,
    ASK_CONFIRM,
    ASK_INSTALL,
    OUTCOME_CODE,
    REASON_CODE,
    SIGNAL_SUCCEEDED,
    TIMER,
    Step,
)
from simlib.lifecycle.columns import (
    EFFECT_BOND,
    EFFECT_BOOT_LOOP,
    EFFECT_CERTIFICATE,
    EFFECT_CRASH,
    EFFECT_FAULTY,
    EFFECT_SETTINGS,
    ENERGY_BOOT,
    ENERGY_CONFIRM,
    ENERGY_INSTALL,
    ENERGY_REVERT,
    ENERGY_TRIAL,
    NEVER,
    NO_ROW,
    PLAN_BOOT,
    PLAN_CONFIRM,
    PLAN_INSTALL,
    PLAN_NONE,
    PLAN_REVERT,
    RECOVER_BACK,
    RULE_ARTEFACTS,
    RULE_BLUETOOTH,
    RULE_CERTIFICATE,
    RULE_CORRUPT_BELOW,
    RULE_CUT_BELOW,
    RULE_FORGED_BELOW,
    RULE_POWER_OFF,
    RULE_PREMATURE_BELOW,
    RULE_PRIMARY,
    RULE_PROBATION,
    RULE_RECOVERY,
    RULE_RECOVERY_KIND,
    RULE_SELF_TEST,
    RULE_SETTINGS,
    Fleet,
)
from simlib.lifecycle.ending import confirmed, end, report
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.retrying import start_over
from simlib.lifecycle.spending import spend
from simlib.outcomes import Outcome

_INSTALLING, _POWER_OFF, _REBOOTING = int(Phase.INSTALLING), int(Phase.POWER_OFF), int(Phase.REBOOTING)
_TRIAL, _PROBATION, _CONFIRMING = int(Phase.TRIAL), int(Phase.PROBATION), int(Phase.CONFIRMING)
_REVERTING, _RESTORING = int(Phase.REVERTING), int(Phase.RESTORING)
_BRICKED, _LOST = OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.LOST]
_REVERTED, _UPDATED = OUTCOME_CODE[Outcome.REVERTED], OUTCOME_CODE[Outcome.UPDATED]
_ROLLED_BACK = OUTCOME_CODE[Outcome.ROLLED_BACK]
_R_NONE, _R_POWER_CUT = REASON_CODE[Reason.NONE], REASON_CODE[Reason.POWER_CUT]
_R_NO_IMAGE, _R_BROWN_OUT = REASON_CODE[Reason.NO_VALID_IMAGE], REASON_CODE[Reason.BROWN_OUT]
_R_SELF_TEST, _R_CRASH = REASON_CODE[Reason.SELF_TEST_FAILED], REASON_CODE[Reason.CRASH_LOOP]
_R_LOOP, _R_BOND = REASON_CODE[Reason.BOOT_LOOP], REASON_CODE[Reason.BOND_LOST]
_R_CERTIFICATE, _R_SETTINGS = REASON_CODE[Reason.CERTIFICATE_LOST], REASON_CODE[Reason.SETTINGS_CORRUPTED]
_R_EMPTY, _R_HALTED = REASON_CODE[Reason.BATTERY_EMPTY], REASON_CODE[Reason.ROLLOUT_HALTED]
_P_CORRUPTION, _P_POWER_CUT = int(Purpose.CORRUPTION), int(Purpose.POWER_CUT)
_P_FORGED, _P_PREMATURE = int(Purpose.FORGED), int(Purpose.PREMATURE)


def carry_out(fleet: Fleet, now: int, i: int) -> Step:
    """Begin the move that device `i` has planned, or ask for its row."""
    plan = fleet.plan[i]
    row = fleet.special[i]
    if row == NO_ROW:
        if plan == PLAN_INSTALL:
            if _faulty(fleet, i):
                return ASK, ASK_INSTALL, 0
            row = fleet.on_install[fleet.state[i] * fleet.rules[RULE_ARTEFACTS] + fleet.artefact[i]]
            if row == NO_ROW:
                return ASK, ASK_INSTALL, 0
        elif plan == PLAN_CONFIRM:
            row = fleet.on_confirm[fleet.state[i]]
            if row == NO_ROW:
                return ASK, ASK_CONFIRM, 0
        else:
            row = fleet.special_boot[i] if plan == PLAN_BOOT else NO_ROW
            if row == NO_ROW:
                row = fleet.on_boot[fleet.state[i]]
            if row == NO_ROW:
                return ASK, ASK_BOOT, 0
    if fleet.cell_uj[fleet.cohort[i]] and not fleet.browned[i] and not fleet.move_cut[row]:
        need = fleet.move_flash_uj[row] + fleet.move_compute_uj[row]
        begins = max(now, fleet.power_at_ms[i])
        if not plugged(fleet, i, begins) and level_uj(fleet, i, begins) < need:
            fleet.move[i] = row
            return ASK, ASK_BROWN_OUT, 0
    fleet.plan[i] = PLAN_NONE
    fleet.special[i] = NO_ROW
    fleet.move[i] = row
    wait = fleet.move_ms[row]
    if plan == PLAN_INSTALL:
        fleet.phase[i] = _INSTALLING
    elif plan == PLAN_CONFIRM:
        fleet.phase[i] = _CONFIRMING
    else:
        wait += fleet.reboot_ms[fleet.cohort[i]]
        if plan == PLAN_REVERT:
            fleet.phase[i] = _REVERTING
        else:
            fleet.special_boot[i] = NO_ROW
            if fleet.power_at_ms[i] > now:
                wait += fleet.power_at_ms[i] - now
                fleet.phase[i] = _POWER_OFF
            else:
                fleet.phase[i] = _REBOOTING
    return TIMER, now + wait, 0


def _faulty(fleet: Fleet, i: int) -> bool:
    """Whether the install that device `i` is about to make meets a fault, by the draws of its number."""
    rules, key, number = fleet.rules, fleet.key[i], fleet.installs[i]
    return bool(
        draw32(key, _P_CORRUPTION, number) < rules[RULE_CORRUPT_BELOW]
        or draw32(key, _P_POWER_CUT, number) < rules[RULE_CUT_BELOW]
        or draw32(key, _P_FORGED, number) < rules[RULE_FORGED_BELOW]
    )


def _charge(fleet: Fleet, i: int, part: int, core_uj: int) -> int:
    """Book the move that has ended; its row."""
    move = fleet.move[i]
    fleet.state[i] = fleet.move_state[move]
    spend(fleet, i, part, 0, fleet.move_flash_uj[move], fleet.move_compute_uj[move] + core_uj)
    return int(move)


def _plan(fleet: Fleet, now: int, i: int, plan: int) -> Step:
    fleet.plan[i] = plan
    return carry_out(fleet, now, i)


def _lights_out(fleet: Fleet, now: int, i: int) -> Step:
    """Power was cut in the move that has ended; the device boots when it is back."""
    if not fleet.browned[i]:
        fleet.power_at_ms[i] = now + fleet.rules[RULE_POWER_OFF]
        return _plan(fleet, now, i, PLAN_BOOT)
    fleet.browned[i] = 0
    fleet.error[i] = _R_BROWN_OUT
    back = power_returns(fleet, i, now)
    if back >= NEVER:
        fleet.finished_ms[i] = now
        return end(fleet, i, _LOST, _R_EMPTY, fleet.kept_bytes[i])
    fleet.power_at_ms[i] = max(back, now + 1)
    return _plan(fleet, now, i, PLAN_BOOT)


def installed(fleet: Fleet, now: int, i: int) -> Step:
    """The updater has ended."""
    move = _charge(fleet, i, ENERGY_INSTALL, 0)
    number = fleet.installs[i]
    fleet.installs[i] = number + 1
    if fleet.move_cut[move]:
        fleet.error[i] = _R_POWER_CUT
        return _lights_out(fleet, now, i)
    verdict = fleet.move_verdict[move]
    if verdict == _R_NONE:
        command, value, signals = _plan(fleet, now, i, PLAN_BOOT)
        early = draw32(fleet.key[i], _P_PREMATURE, number) < fleet.rules[RULE_PREMATURE_BELOW]
        if early and not fleet.stone[fleet.target[i]]:
            fleet.reported[i] = _UPDATED
            fleet.reported_ms[i] = now
            signals |= SIGNAL_SUCCEEDED
        return command, value, signals
    fleet.reason[i] = verdict
    fleet.error[i] = verdict
    if fleet.in_place[fleet.cohort[i]]:
        # The only slot was overwritten: whatever is in it now, the boot loader has to start it.
        return _plan(fleet, now, i, PLAN_BOOT)
    return start_over(fleet, now, i, verdict)


def booted(fleet: Fleet, now: int, i: int) -> Step:
    """The boot loader has ended: what runs?"""
    move = _charge(fleet, i, ENERGY_BOOT, fleet.reboot_uj[fleet.cohort[i]])
    if fleet.move_cut[move]:
        fleet.error[i] = _R_POWER_CUT
        return _lights_out(fleet, now, i)
    running = fleet.move_running[move]
    fleet.running[i] = running
    if running == NO_ROW:
        fleet.finished_ms[i] = now
        fleet.error[i] = _R_NO_IMAGE
        return end(fleet, i, _BRICKED, _R_NO_IMAGE, fleet.kept_bytes[i])
    if (
        fleet.defect[i] != NO_ROW and fleet.going_back[i]
    ):  # the revert was cut short by an empty battery; the boot loader went on
        return _gone_back(fleet, now, i)
    if running == fleet.target[i]:
        return _begin_trial(fleet, now, i)
    # The old firmware runs: the install was refused, or the boot loader refused its result, or power failed.
    reason = fleet.reason[i]
    if reason == _R_NONE:
        reason = fleet.move_verdict[move]
    if reason == _R_NONE:
        reason = _R_POWER_CUT
    fleet.reason[i] = _R_NONE
    if fleet.defect[i] != NO_ROW and running != fleet.rules[RULE_PRIMARY]:
        fleet.sick_ms[i] = NO_ROW  # the defect went with the release
    return start_over(fleet, now, i, reason)


def _begin_trial(fleet: Fleet, now: int, i: int) -> Step:
    fleet.phase[i] = _TRIAL
    length = fleet.self_test_ms[fleet.cohort[i]]
    if fleet.defect[i] != NO_ROW:
        fleet.sick_ms[i] = NO_ROW
        if fleet.drain_from_ms[i] != NO_ROW:
            stop_drain(fleet, i, now)
        if fleet.target[i] == fleet.rules[RULE_PRIMARY]:
            fleet.sick_ms[i] = now + fleet.onset_ms[i]
            if _resets(fleet, i):
                length = min(length, fleet.onset_ms[i])
    return TIMER, now + length, 0


def _resets(fleet: Fleet, i: int) -> bool:
    """Whether the defect ends a trial by itself: the watchdog resets what crashes."""
    effect = fleet.defect_effect[fleet.defect[i]]
    return bool(effect == EFFECT_CRASH or effect == EFFECT_BOOT_LOOP)


def tested(fleet: Fleet, now: int, i: int) -> Step:
    """The self-test and what belongs to it have ended, or the watchdog has."""
    spend(fleet, i, ENERGY_TRIAL, 0, 0, fleet.self_test_uj[fleet.cohort[i]])
    if _shows(fleet, now, i) and (_resets(fleet, i) or _seen(fleet, i)):
        # A failed self-test ends in a reset; the boot loader finds the trial unconfirmed.
        fleet.going_back[i] = 1
        return _plan(fleet, now, i, PLAN_REVERT)
    probation = fleet.rules[RULE_PROBATION]
    if not probation:
        return _plan(fleet, now, i, PLAN_CONFIRM)
    fleet.phase[i] = _PROBATION
    if fleet.defect[i] != NO_ROW and fleet.sick_ms[i] > now and _resets(fleet, i):
        probation = min(probation, fleet.sick_ms[i] - now)
    return TIMER, now + probation, 0


def proved(fleet: Fleet, now: int, i: int) -> Step:
    """The probation has ended."""
    spend(fleet, i, ENERGY_TRIAL, 0, 0, fleet.probation_uj[fleet.cohort[i]])
    if _shows(fleet, now, i) and _resets(fleet, i):
        fleet.going_back[i] = 1
        return _plan(fleet, now, i, PLAN_REVERT)
    return _plan(fleet, now, i, PLAN_CONFIRM)


def _shows(fleet: Fleet, now: int, i: int) -> bool:
    if fleet.defect[i] == NO_ROW:
        return False
    return bool(fleet.sick_ms[i] != NO_ROW and fleet.sick_ms[i] <= now)


def _seen(fleet: Fleet, i: int) -> bool:
    """Whether the validation sees a defect that shows."""
    row, rules = fleet.defect[i], fleet.rules
    effect = fleet.defect_effect[row]
    if fleet.defect_visible[row] and rules[RULE_SELF_TEST]:
        return True
    return bool(
        (effect == EFFECT_BOND and rules[RULE_BLUETOOTH])
        or (effect == EFFECT_CERTIFICATE and rules[RULE_CERTIFICATE])
        or (effect == EFFECT_SETTINGS and rules[RULE_SETTINGS])
    )


def confirmation_ended(fleet: Fleet, now: int, i: int) -> Step:
    """The image has confirmed itself, and the security counter follows it."""
    move = _charge(fleet, i, ENERGY_CONFIRM, 0)
    if fleet.move_cut[move]:
        fleet.error[i] = _R_POWER_CUT
        return _lights_out(fleet, now, i)
    back = fleet.rules[RULE_RECOVERY_KIND] == RECOVER_BACK
    if back and fleet.halted[0] and fleet.target[i] == fleet.rules[RULE_RECOVERY]:
        return report(fleet, now, i, _ROLLED_BACK, _R_HALTED)
    if fleet.defect[i] != NO_ROW and fleet.defect_effect[fleet.defect[i]] == EFFECT_FAULTY:
        fleet.sick_ms[i] = NO_ROW  # nobody looked, and nothing more is known of it
    return confirmed(fleet, now, i)


def reverted(fleet: Fleet, now: int, i: int) -> Step:
    """The boot loader has gone back, if it could."""
    move = _charge(fleet, i, ENERGY_REVERT, fleet.reboot_uj[fleet.cohort[i]])
    if fleet.move_cut[move]:
        fleet.error[i] = _R_POWER_CUT
        return _lights_out(fleet, now, i)
    fleet.running[i] = fleet.move_running[move]
    return _gone_back(fleet, now, i)


def _gone_back(fleet: Fleet, now: int, i: int) -> Step:
    running = fleet.running[i]
    fleet.going_back[i] = 0
    fleet.finished_ms[i] = now
    reason = _reason_of(fleet, i)
    fleet.error[i] = reason
    if fleet.defect[i] != NO_ROW:
        fleet.sick_ms[i] = NO_ROW
    if running == NO_ROW:
        return end(fleet, i, _BRICKED, _R_NO_IMAGE, fleet.kept_bytes[i])
    if running == fleet.target[i]:
        # No second slot to go back to: the defective firmware starts again and again.
        return end(fleet, i, _LOST, _R_CRASH, 0)
    if fleet.backed_up[i]:
        fleet.outcome[i] = _REVERTED
        fleet.reason[i] = reason
        fleet.phase[i] = _RESTORING
        return TIMER, now + fleet.restore_ms[fleet.cohort[i]], 0
    return report(fleet, now, i, _REVERTED, reason)


def _reason_of(fleet: Fleet, i: int) -> int:
    """Why a trial failed."""
    if fleet.defect[i] == NO_ROW:
        return _R_SELF_TEST
    effect = fleet.defect_effect[fleet.defect[i]]
    if effect == EFFECT_CRASH:
        return _R_CRASH
    if effect == EFFECT_BOOT_LOOP:
        return _R_LOOP
    if effect == EFFECT_BOND:
        return _R_BOND
    if effect == EFFECT_CERTIFICATE:
        return _R_CERTIFICATE
    return _R_SETTINGS if effect == EFFECT_SETTINGS else _R_SELF_TEST
