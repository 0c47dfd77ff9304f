"""From a check-in to the start of a download: the offer, the owner, the window and the pre-check."""

from __future__ import annotations

from typing import Final

from simlib.draws import Purpose, below, draw32
from simlib.errors import Reason
from simlib.lifecycle.battery import level_uj
from simlib.lifecycle.codes import (
    ASK,
    ASK_NEED,
    OUTCOME_CODE,
    REASON_CODE,
    SIGNAL_OFFERED,
    SIGNAL_STARTED,
    TIMER,
    Step,
)
from simlib.lifecycle.columns import (
    AUTOMATIC,
    HALT_DOWNLOADS,
    NO_ROW,
    REFUSES,
    RULE_ARTEFACTS,
    RULE_BACKUP_FITS,
    RULE_BATTERY_GATE,
    RULE_CHAIN,
    RULE_DEFERRALS,
    RULE_FREE_TOLD,
    RULE_HOLD_OFF,
    RULE_LINK,
    RULE_STORAGE,
    Fleet,
)
from simlib.lifecycle.ending import afterwards, end, give_up, report
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.targets import next_target, stopped
from simlib.lifecycle.transfer import connect, downloaded, empty, listen, run_dry
from simlib.lifecycle.waiting import HOUR_MS, LONGEST_SPAN, next_checkin, online, reachable, window_opens
from simlib.outcomes import Outcome

_OFFERED = int(Phase.OFFERED)
_DEFERRED, _INELIGIBLE = OUTCOME_CODE[Outcome.DEFERRED], OUTCOME_CODE[Outcome.INELIGIBLE]
_PENDING = OUTCOME_CODE[Outcome.PENDING]
_R_STORAGE, _R_BATTERY = REASON_CODE[Reason.STORAGE_SHORT], REASON_CODE[Reason.BATTERY_LOW]
_R_LINK, _R_HALTED = REASON_CODE[Reason.LINK_WEAK], REASON_CODE[Reason.ROLLOUT_HALTED]
_R_NO_ARTEFACT, _R_CONSENT = REASON_CODE[Reason.NO_ARTEFACT], REASON_CODE[Reason.CONSENT_REFUSED]
_R_NONE, _R_NOT_OFFERED = REASON_CODE[Reason.NONE], REASON_CODE[Reason.NOT_OFFERED]
_P_BATTERY, _P_WEAK, _P_PROMPT = int(Purpose.BATTERY), int(Purpose.LINK_WEAK), int(Purpose.PROMPT)
_P_HOLD_OFF = int(Purpose.HOLD_OFF)
PUT_OFF_FOR_OWNER: Final = -1


def check_in(fleet: Fleet, now: int, i: int) -> Step:
    """A device that has nothing under way is offered what there is for it."""
    target = next_target(fleet, now, i)
    if target == NO_ROW:
        if fleet.halted[0]:
            return end(fleet, i, _PENDING, _R_HALTED, 0)
        fleet.reason[i] = _R_NOT_OFFERED
        return afterwards(fleet, now, i, 0)  # nothing newer yet
    begin_round(fleet, now, i, target)
    if fleet.artefact[i] == NO_ROW:
        command, value, _ = report(fleet, now, i, _INELIGIBLE, _R_NO_ARTEFACT)
        return command, value, SIGNAL_OFFERED
    wait = hold_off(fleet, i)
    if wait:
        fleet.phase[i] = _OFFERED
        return TIMER, reachable(fleet, i, now + wait), SIGNAL_OFFERED
    command, value, signals = begin(fleet, now, i)
    return command, value, signals | SIGNAL_OFFERED


def hold_off(fleet: Fleet, i: int) -> int:
    """How long device `i` waits after the offer of this round before it does anything about it [ms].

    Uniform from 0 to `transfer.hold_off`: a client's scattering, which spreads devices that come together.
    """
    longest = fleet.rules[RULE_HOLD_OFF]
    if not longest:
        return 0
    return int(below(fleet.key[i], _P_HOLD_OFF, fleet.round[i], min(longest + 1, LONGEST_SPAN)))


def begin_round(fleet: Fleet, now: int, i: int, target: int) -> None:
    """Device `i` is offered release `target`: everything that belongs to one round starts anew."""
    if fleet.offered_ms[i] < 0:
        fleet.offered_ms[i] = now  # nothing is there yet of an earlier round
    else:
        _forget_round(fleet, i)
    fleet.tries[i] = fleet.tries[i] + 1 if target == fleet.target[i] else 1
    chain = fleet.rules[RULE_CHAIN]
    artefact = fleet.offer[(fleet.kind[i] * chain + fleet.recorded[i]) * chain + target]
    fleet.target[i] = target
    fleet.artefact[i] = artefact
    fleet.outcome[i] = _PENDING
    fleet.reason[i] = _R_NONE
    fleet.left_bytes[i] = 0 if artefact == NO_ROW else fleet.wire_bytes[artefact]


def _forget_round(fleet: Fleet, i: int) -> None:
    fleet.round[i] += 1
    fleet.finished_ms[i] = -1
    fleet.began[i] = 0
    fleet.put_off[i] = 0
    fleet.failures[i] = 0
    fleet.wait_ms[i] = 0
    fleet.kept_bytes[i] = 0
    fleet.backed_up[i] = 0
    fleet.sessions[i] = 0
    fleet.resent[i] = 0


def go_on(fleet: Fleet, now: int, i: int) -> Step:
    """A device that was offered something comes back for it; a halt may have come before."""
    if stopped(fleet, now, i):
        if not fleet.began[i]:
            return check_in(fleet, now, i)
        if fleet.halted[0] == HALT_DOWNLOADS:
            return give_up(fleet, now, i, _R_HALTED)
    return begin(fleet, now, i)


def begin(fleet: Fleet, now: int, i: int) -> Step:
    """Wait for the window and the owner, pre-check, and start (or go on with) the download."""
    opens = window_opens(fleet, i, now)
    if opens > now:
        fleet.phase[i] = _OFFERED
        cohort = fleet.cohort[i]
        if fleet.phone[cohort] or online(fleet, i, opens) != opens:
            # The window opens to nobody: the first check-in after it is the next chance.
            opens = next_checkin(fleet, i, opens)
        return TIMER, opens, 0
    rules = fleet.rules
    cohort = fleet.cohort[i]
    artefact = fleet.artefact[i]
    if (
        rules[RULE_BATTERY_GATE]
        and fleet.on_need_uj[fleet.state[i] * rules[RULE_ARTEFACTS] + artefact] == NO_ROW
    ):
        fleet.phase[i] = _OFFERED  # so that the answer is not taken for another check-in
        return ASK, ASK_NEED, 0
    if not fleet.agreed[i]:
        refusal = _owner_refuses(fleet, i)
        if refusal == PUT_OFF_FOR_OWNER:
            fleet.phase[i] = _OFFERED
            return TIMER, next_checkin(fleet, i, now + 1), 0
        if refusal:
            return _never(fleet, now, i, _R_CONSENT)
    look = fleet.attempts[i] + fleet.wakes[i]
    if rules[RULE_STORAGE] and not _has_room(fleet, i, artefact):
        return _never(fleet, now, i, _R_STORAGE)
    weak = draw32(fleet.key[i], _P_WEAK, look) < fleet.weak_below[cohort]
    if _battery_low(fleet, now, i, look):
        return _put_off(fleet, now, i, _R_BATTERY)
    if empty(fleet, now, i):
        return run_dry(fleet, now, i)
    if weak and rules[RULE_LINK]:
        return _put_off(fleet, now, i, _R_LINK)
    signals = 0
    if fleet.started_ms[i] < 0:
        fleet.started_ms[i] = now
        signals = SIGNAL_STARTED
    fleet.began[i] = 1
    if fleet.left_bytes[i] == 0:  # the battery was empty when the last byte had come
        command, value, _ = downloaded(fleet, now, i)
    elif fleet.multicast_ms[cohort]:
        command, value, _ = listen(fleet, now, i)
    else:
        fleet.weak[i] = int(weak)
        command, value, _ = connect(fleet, now, i)
    return command, value, signals


def _owner_refuses(fleet: Fleet, i: int) -> int:
    """0: the owner agrees; 1: never; PUT_OFF_FOR_OWNER: not now, or nobody was there to be asked."""
    consent = fleet.consent[i]
    if consent == AUTOMATIC:
        return 0
    if consent == REFUSES:
        return 1
    cohort = fleet.cohort[i]
    if fleet.phone[cohort] and not fleet.foreground[i]:
        return PUT_OFF_FOR_OWNER
    asked = fleet.asked[i]
    if draw32(fleet.key[i], _P_PROMPT, asked) < fleet.accept_below[cohort]:
        fleet.agreed[i] = 1
        return 0
    fleet.asked[i] = asked + 1
    if fleet.asked[i] <= fleet.postponements[cohort]:
        return PUT_OFF_FOR_OWNER
    if fleet.install_then[cohort]:
        fleet.agreed[i] = 1
        return 0
    return 1


def _has_room(fleet: Fleet, i: int, artefact: int) -> bool:
    if fleet.rules[RULE_FREE_TOLD]:
        free = fleet.free_bytes[i]
        if free != NO_ROW and free < fleet.wire_bytes[artefact]:
            return False
    return bool(fleet.room[fleet.kind[i] * fleet.rules[RULE_ARTEFACTS] + artefact])


def _battery_low(fleet: Fleet, now: int, i: int, look: int) -> bool:
    cohort = fleet.cohort[i]
    if not fleet.cell_uj[cohort]:
        return bool(draw32(fleet.key[i], _P_BATTERY, look) < fleet.battery_low_below[cohort])
    if not fleet.rules[RULE_BATTERY_GATE]:
        need = fleet.gate_uj[cohort]
    else:
        need = energy_needed(fleet, i) + _idle_until_heard(fleet, now, i) + fleet.reserve_uj[cohort]
    return bool(need > 0 and level_uj(fleet, i, now) < need)


def _idle_until_heard(fleet: Fleet, now: int, i: int) -> int:
    """What device `i` takes until the next multicast session is over [µJ]; 0 for a transfer of its own."""
    cohort = fleet.cohort[i]
    every = fleet.multicast_ms[cohort]
    if not every:
        return 0
    row = fleet.kind[i] * fleet.rules[RULE_ARTEFACTS] + fleet.artefact[i]
    wait = -now % every + fleet.session_ms[row]
    return int((wait // HOUR_MS + 1) * fleet.idle_uj_per_hour[cohort])


def energy_needed(fleet: Fleet, i: int) -> int:
    """Energy of the rest of device `i`'s download, the install, the boots, the trial and a revert [µJ].

    With the user's data copied before and put back after it. A download by multicast is one session: before
    each further one the gate asks again.
    """
    cohort = fleet.cohort[i]
    row = fleet.state[i] * fleet.rules[RULE_ARTEFACTS] + fleet.artefact[i]
    if fleet.multicast_ms[cohort]:
        received = fleet.listen_uj[fleet.kind[i] * fleet.rules[RULE_ARTEFACTS] + fleet.artefact[i]]
    else:
        received = -(-fleet.left_bytes[i] * (fleet.rx_pj_per_byte[i] + fleet.tx_pj_per_byte[i]) // 1_000_000)
    radio = received + fleet.connect_uj[cohort] + fleet.report_uj[cohort]
    data = data_needed(fleet, cohort, fleet.backed_up[i])
    return int(radio + core_needed(fleet, cohort) + data + fleet.on_need_uj[row])


def core_needed(fleet: Fleet, cohort: int) -> int:
    """What a device's core takes for an update and its revert [µJ]: two boots and the trial."""
    return int(2 * fleet.reboot_uj[cohort] + fleet.self_test_uj[cohort] + fleet.probation_uj[cohort])


def data_needed(fleet: Fleet, cohort: int, backed_up: int) -> int:
    """What the user's data takes [µJ]: putting it back, and copying it unless that is done."""
    if not fleet.backup_ms[cohort] or not fleet.rules[RULE_BACKUP_FITS]:
        return 0
    energy = (
        fleet.restore_radio_uj[cohort] + fleet.restore_flash_uj[cohort] + fleet.restore_compute_uj[cohort]
    )
    if not backed_up:
        energy += (
            fleet.backup_radio_uj[cohort] + fleet.backup_flash_uj[cohort] + fleet.backup_compute_uj[cohort]
        )
    return int(energy)


def _put_off(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    fleet.wakes[i] += 1
    fleet.put_off[i] += 1
    fleet.error[i] = reason
    if fleet.put_off[i] > fleet.rules[RULE_DEFERRALS]:
        return _never(fleet, now, i, reason)
    fleet.phase[i] = _OFFERED
    return TIMER, next_checkin(fleet, i, now + 1), 0


def _never(fleet: Fleet, now: int, i: int, reason: int) -> Step:
    """The pre-check or the owner refuses for good: `deferred` if nothing had begun, `failed` otherwise."""
    if not fleet.began[i]:
        fleet.error[i] = reason
        return report(fleet, now, i, _DEFERRED, reason)
    return give_up(fleet, now, i, reason)
