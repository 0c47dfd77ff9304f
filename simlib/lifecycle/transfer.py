"""The download: over a shared link or by listening to a multicast; and what a drop costs.

A transfer that will drop is one of fewer bytes, drawn beforehand. One that outlasts the phone's session, the
device's presence or the window is broken off then: that costs what was fetched since the last whole granule,
but does not count as a failed attempt.
"""

from __future__ import annotations

from simlib.draws import Purpose, below, draw32
from simlib.errors import Reason
from simlib.lifecycle.battery import level_uj, plugged, power_returns
from simlib.lifecycle.codes import ASK, ASK_HEARD, JOIN, OUTCOME_CODE, REASON_CODE, TIMER, Step
from simlib.lifecycle.columns import (
    ENERGY_DOWNLOAD,
    HALT_DOWNLOADS,
    NEVER,
    PLAN_INSTALL,
    RULE_ARTEFACTS,
    RULE_ATTEMPTS,
    RULE_BACKUP_FITS,
    RULE_BACKUP_REQUIRED,
    RULE_DROP_BELOW,
    RULE_DROP_WEAK_BELOW,
    RULE_ENFORCE_MS,
    RULE_ENFORCES,
    RULE_GRANULE,
    RULE_HORIZON,
    RULE_RESUME,
    RULE_STALL,
    RULE_WINDOW_CUTS,
    Fleet,
)
from simlib.lifecycle.ending import end, give_up
from simlib.lifecycle.installing import carry_out
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.retrying import try_again
from simlib.lifecycle.spending import spend
from simlib.lifecycle.targets import stopped
from simlib.lifecycle.waiting import next_absence, online, reachable, window_closes
from simlib.outcomes import Outcome

_OFFERED = int(Phase.OFFERED)
_DOWNLOADING, _BACKING_OFF = int(Phase.DOWNLOADING), int(Phase.BACKING_OFF)
_READY = int(Phase.READY)
_BACKING_UP, _CONNECTING = int(Phase.BACKING_UP), int(Phase.CONNECTING)
_R_DOWNLOAD, _R_HALTED = REASON_CODE[Reason.DOWNLOAD_FAILED], REASON_CODE[Reason.ROLLOUT_HALTED]
_R_BACKUP, _R_FRAGMENTS = REASON_CODE[Reason.BACKUP_FAILED], REASON_CODE[Reason.FRAGMENTS_MISSING]
_R_SESSION, _R_AWAY = REASON_CODE[Reason.SESSION_ENDED], REASON_CODE[Reason.WENT_AWAY]
_R_WINDOW, _R_BROWN_OUT = REASON_CODE[Reason.WINDOW_CLOSED], REASON_CODE[Reason.BROWN_OUT]
_R_EMPTY, _LOST = REASON_CODE[Reason.BATTERY_EMPTY], OUTCOME_CODE[Outcome.LOST]
_P_DROP, _P_DROP_AT = int(Purpose.DROP), int(Purpose.DROP_AT)


def connect(fleet: Fleet, now: int, i: int) -> Step:
    """Begin an attempt: set the connection up, where that takes time, and transfer."""
    cohort = fleet.cohort[i]
    fleet.attempts[i] += 1
    fleet.failures[i] += 1
    if fleet.connect_uj[cohort]:
        spend(fleet, i, ENERGY_DOWNLOAD, fleet.connect_uj[cohort], 0, 0)
    if fleet.connect_ms[cohort]:
        fleet.phase[i] = _CONNECTING
        return TIMER, now + fleet.connect_ms[cohort], 0
    return join(fleet, now, i)


def join(fleet: Fleet, now: int, i: int) -> Step:
    """Transfer what is left, or as far as the link will hold."""
    rules = fleet.rules
    if fleet.halted[0] == HALT_DOWNLOADS and stopped(fleet, now, i):
        return give_up(fleet, now, i, _R_HALTED)  # while it connected
    attempt = fleet.attempts[i] - 1
    fleet.phase[i] = _DOWNLOADING
    run = fleet.left_bytes[i]
    drop_below = rules[RULE_DROP_WEAK_BELOW] if fleet.weak[i] else rules[RULE_DROP_BELOW]
    if draw32(fleet.key[i], _P_DROP, attempt) < drop_below and run > 1:
        # The link fails after a number of bytes drawn beforehand, at least one and short of all.
        run = 1 + below(fleet.key[i], _P_DROP_AT, attempt, run - 1)
    fleet.run_bytes[i] = run
    if fleet.breaks[fleet.cohort[i]]:
        until, stalls = _cut_off(fleet, i, now), _stalls_at(fleet, i, now)
        fleet.stalls[i] = int(stalls < until)
        fleet.until_ms[i] = min(until, stalls)
    return JOIN, run, 0


def _stalls_at(fleet: Fleet, i: int, now: int) -> int:
    """When a transfer that starts now has had no byte for so long that the device gives it up, or NEVER."""
    patience, link = fleet.rules[RULE_STALL], fleet.link[i]
    if patience:
        for outage in range(fleet.outages_from[link], fleet.outages_to[link]):
            at = max(fleet.outage_from_ms[outage], now) + patience
            if at < fleet.outage_to_ms[outage]:
                return int(at)
    return NEVER


def _cut_off(fleet: Fleet, i: int, now: int) -> int:
    """When a transfer that starts now would be broken off from outside, or NEVER.

    What ended while the device connected breaks it off at once, that is in the next millisecond.
    """
    until = next_absence(fleet, i, now)
    if fleet.phone[fleet.cohort[i]]:
        until = min(until, fleet.session_until_ms[i])
    if fleet.rules[RULE_WINDOW_CUTS]:
        until = min(until, window_closes(fleet, i, now))
    return int(max(until, now + 1))


def transfer_ended(fleet: Fleet, i: int, missing_bytes: int) -> None:
    """Book the transfer of device `i` that has just ended, `missing_bytes` short if it was broken off."""
    received = fleet.run_bytes[i] - missing_bytes
    fleet.run_bytes[i] = received
    fleet.left_bytes[i] -= received
    fleet.kept_bytes[i] += received
    fleet.bytes_down[i] += received
    energy = -(-received * (fleet.rx_pj_per_byte[i] + fleet.tx_pj_per_byte[i]) // 1_000_000)
    spend(fleet, i, ENERGY_DOWNLOAD, energy, 0, 0)


def listen(fleet: Fleet, now: int, i: int) -> Step:
    """Wait for the next multicast session and listen to it."""
    every = fleet.multicast_ms[fleet.cohort[i]]
    number = -(-now // every)
    start = number * every
    length = fleet.session_ms[fleet.kind[i] * fleet.rules[RULE_ARTEFACTS] + fleet.artefact[i]]
    while online(fleet, i, start) != start or next_absence(fleet, i, start) < start + length:
        if start > fleet.rules[RULE_HORIZON]:
            return TIMER, NEVER, 0
        number += 1
        start += every
    if number != fleet.session_first[i] + fleet.sessions[i]:
        # Fragments are kept from one session to the next; who misses one starts again.
        fleet.bytes_wasted[i] += fleet.kept_bytes[i]
        fleet.kept_bytes[i] = 0
        fleet.session_first[i] = number
        fleet.sessions[i] = 0
    fleet.sessions[i] += 1
    fleet.attempts[i] += 1
    fleet.failures[i] += 1
    fleet.phase[i] = _DOWNLOADING
    fleet.heard_bytes[i] = -1
    spend(fleet, i, ENERGY_DOWNLOAD, fleet.connect_uj[fleet.cohort[i]], 0, 0)
    return TIMER, start + length, 0


def heard(fleet: Fleet, now: int, i: int) -> Step:
    """A multicast session is over: what was heard, together with earlier ones, gives the artefact or not."""
    if fleet.heard_bytes[i] < 0:
        return ASK, ASK_HEARD, 0
    received = fleet.heard_bytes[i]
    fleet.bytes_down[i] += received
    fleet.kept_bytes[i] += received
    row = fleet.kind[i] * fleet.rules[RULE_ARTEFACTS] + fleet.artefact[i]
    spend(fleet, i, ENERGY_DOWNLOAD, fleet.listen_uj[row], 0, 0)
    if fleet.halted[0] == HALT_DOWNLOADS and stopped(fleet, now, i) and not empty(fleet, now, i):
        return give_up(fleet, now, i, _R_HALTED)  # a listener learns of it when the session is over
    if fleet.heard_all[i]:
        size = fleet.left_bytes[i]
        fleet.bytes_wasted[i] += fleet.kept_bytes[i] - size
        fleet.kept_bytes[i] = size
        fleet.left_bytes[i] = 0
        return downloaded(fleet, now, i)
    if empty(fleet, now, i):
        return run_dry(fleet, now, i)
    fleet.error[i] = _R_FRAGMENTS
    if fleet.failures[i] >= fleet.rules[RULE_ATTEMPTS]:
        return give_up(fleet, now, i, _R_FRAGMENTS)
    fleet.phase[i] = _BACKING_OFF
    return TIMER, now + 1, 0


def downloaded(fleet: Fleet, now: int, i: int) -> Step:
    """A transfer has ended: everything is there, or it dropped, or was broken off."""
    dry = empty(fleet, now, i)
    if fleet.left_bytes[i] == 0:
        return run_dry(fleet, now, i) if dry else ready(fleet, now, i)
    kept = fleet.kept_bytes[i]
    worth = kept // fleet.rules[RULE_GRANULE] * fleet.rules[RULE_GRANULE] if fleet.rules[RULE_RESUME] else 0
    fleet.bytes_wasted[i] += kept - worth
    fleet.kept_bytes[i] = worth
    fleet.left_bytes[i] += kept - worth
    if dry:
        return run_dry(fleet, now, i)
    if fleet.halted[0] == HALT_DOWNLOADS and stopped(fleet, now, i):
        return give_up(fleet, now, i, _R_HALTED)
    if fleet.breaks[fleet.cohort[i]] and now == fleet.until_ms[i] and not fleet.stalls[i]:
        fleet.failures[i] -= 1
        fleet.error[i] = _why_cut(fleet, i, now)
        fleet.phase[i] = _BACKING_OFF
        return TIMER, reachable(fleet, i, now + 1), 0
    return try_again(fleet, now, i, _R_DOWNLOAD)


def empty(fleet: Fleet, now: int, i: int) -> bool:
    """Whether receiving has emptied the battery of device `i`."""
    if not fleet.cell_uj[fleet.cohort[i]] or plugged(fleet, i, now):
        return False
    return level_uj(fleet, i, now) == 0


def run_dry(fleet: Fleet, now: int, i: int) -> Step:
    """The battery is empty while nothing was being written: with power back, what was fetched is there."""
    fleet.error[i] = _R_BROWN_OUT
    back = power_returns(fleet, i, now)
    if back >= NEVER:
        fleet.finished_ms[i] = now
        return end(fleet, i, _LOST, _R_EMPTY, fleet.kept_bytes[i])
    fleet.phase[i] = _BACKING_OFF if fleet.began[i] else _OFFERED
    return TIMER, reachable(fleet, i, max(back, now + 1) + fleet.reboot_ms[fleet.cohort[i]]), 0


def _why_cut(fleet: Fleet, i: int, now: int) -> int:
    if fleet.phone[fleet.cohort[i]] and now >= fleet.session_until_ms[i]:
        return _R_SESSION
    return _R_AWAY if online(fleet, i, now) != now else _R_WINDOW


def ready(fleet: Fleet, now: int, i: int) -> Step:
    """Everything is there: install, unless that is only to be done at a time by the device's own clock."""
    if fleet.rules[RULE_ENFORCES]:
        time_ms = fleet.rules[RULE_ENFORCE_MS] - fleet.zone_ms[i]
        if now < time_ms:
            fleet.phase[i] = _READY
            return TIMER, int(time_ms), 0
    return _back_up(fleet, now, i)


def _back_up(fleet: Fleet, now: int, i: int) -> Step:
    """Copy the user's data before anything is overwritten, if that is asked for, and install."""
    cohort = fleet.cohort[i]
    if fleet.backup_ms[cohort] and not fleet.backed_up[i]:
        if fleet.rules[RULE_BACKUP_FITS]:
            fleet.phase[i] = _BACKING_UP
            return TIMER, now + fleet.backup_ms[cohort], 0
        fleet.error[i] = _R_BACKUP
        if fleet.rules[RULE_BACKUP_REQUIRED]:
            return give_up(fleet, now, i, _R_BACKUP)
    fleet.plan[i] = PLAN_INSTALL
    return carry_out(fleet, now, i)
