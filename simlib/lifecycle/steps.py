"""One device's life, as plain integer functions: what happens next, given what the bench found.

`advance(fleet, now, i)` is called when what device `i` waited for has come. It updates the device's row
and answers ``(command, value, signals)``:

=========  ==========================================================
TIMER      call again at time `value` [ms]
JOIN       transfer `value` bytes over the shared link, broken off at `Fleet.until_ms`; then call
           `transfer_ended` and `advance`
END        the device is done
ASK        have the bench find what `value` (ASK_*) names, put it into the columns, and call again
=========  ==========================================================

`signals` are the messages the server has received in this step, as bits of SIGNAL_*. `Fleet.error` says what
went wrong in it, if anything.

There is no clock and no randomness of its own here: a draw is a pure function of the device's key, a
purpose and an occurrence, and nothing is a probability of an outcome. Whether an install is accepted,
what it costs, and what boots afterwards are rows of `Fleet.move_*`, which the bench computed with real
bytes. The functions use integers and indexing only, so that a compiled clock can run this same source
(with a body of its own for the draws, whose products wrap at 64 bits).
"""

from __future__ import annotations

from simlib.lifecycle import ending
from simlib.lifecycle.battery import settle
from simlib.lifecycle.codes import OUTCOME_CODE, Step
from simlib.lifecycle.columns import (
    ENERGY_BACKUP,
    ENERGY_RESTORE,
    NEVER,
    NO_ROW,
    PLAN_INSTALL,
    PLAN_NONE,
    Fleet,
)
from simlib.lifecycle.installing import (
    booted,
    carry_out,
    confirmation_ended,
    installed,
    proved,
    reverted,
    tested,
)
from simlib.lifecycle.offering import check_in, go_on
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.spending import spend
from simlib.lifecycle.targets import next_target
from simlib.lifecycle.transfer import downloaded, heard, join, ready
from simlib.lifecycle.waiting import next_checkin, notify
from simlib.outcomes import Outcome

# Plain integers under short names: enum look-ups are slow, and a compiled clock cannot make them.
_WAITING, _OFFERED, _DOWNLOADING = int(Phase.WAITING), int(Phase.OFFERED), int(Phase.DOWNLOADING)
_BACKING_OFF, _INSTALLING, _POWER_OFF = int(Phase.BACKING_OFF), int(Phase.INSTALLING), int(Phase.POWER_OFF)
_REBOOTING, _TRIAL, _CONFIRMING = int(Phase.REBOOTING), int(Phase.TRIAL), int(Phase.CONFIRMING)
_REVERTING, _DONE = int(Phase.REVERTING), int(Phase.DONE)
_BACKING_UP, _PROBATION, _RESTORING = int(Phase.BACKING_UP), int(Phase.PROBATION), int(Phase.RESTORING)
_RESTING, _CONNECTING, _READY = int(Phase.RESTING), int(Phase.CONNECTING), int(Phase.READY)
_GONE = (OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.LOST], OUTCOME_CODE[Outcome.INELIGIBLE])


def advance(fleet: Fleet, now: int, i: int) -> Step:
    """What device `i` does at `now`, now that what it waited for has come."""
    if fleet.plan[i] != PLAN_NONE:
        return carry_out(fleet, now, i)  # the bench has answered; what went wrong in this step still did
    fleet.error[i] = 0
    if fleet.rechargeable[fleet.cohort[i]]:
        settle(fleet, i, now)
    phase = fleet.phase[i]
    if phase == _WAITING or phase == _DONE:
        return check_in(fleet, now, i)
    if phase == _OFFERED or phase == _BACKING_OFF:
        return go_on(fleet, now, i)
    if phase == _CONNECTING:
        return join(fleet, now, i)
    if phase == _DOWNLOADING:
        return heard(fleet, now, i) if fleet.multicast_ms[fleet.cohort[i]] else downloaded(fleet, now, i)
    if phase == _READY:
        return ready(fleet, now, i)
    if phase == _BACKING_UP:
        return _backed_up(fleet, now, i)
    if phase == _INSTALLING:
        return installed(fleet, now, i)
    if phase == _REBOOTING or phase == _POWER_OFF:
        return booted(fleet, now, i)
    if phase == _TRIAL:
        return tested(fleet, now, i)
    if phase == _PROBATION:
        return proved(fleet, now, i)
    if phase == _CONFIRMING:
        return confirmation_ended(fleet, now, i)
    if phase == _REVERTING:
        return reverted(fleet, now, i)
    if phase == _RESTORING:
        return _restored(fleet, now, i)
    if phase == _RESTING:
        return _rested(fleet, now, i)
    return ending.reported(fleet, now, i)


def recover(fleet: Fleet, now: int, i: int) -> int:
    """The operator's answer to the halt is out at `now`: when device `i`, at rest, comes for it, or NEVER.

    Of a device at rest (waiting, done, resting) only.
    """
    if fleet.outcome[i] in _GONE or next_target(fleet, now, i) == NO_ROW:
        return NEVER
    notify(fleet, i, now)
    return next_checkin(fleet, i, now + 1)


def _backed_up(fleet: Fleet, now: int, i: int) -> Step:
    cohort = fleet.cohort[i]
    fleet.backed_up[i] = 1
    fleet.bytes_up[i] += fleet.backup_bytes[cohort]
    spend(
        fleet,
        i,
        ENERGY_BACKUP,
        fleet.backup_radio_uj[cohort],
        fleet.backup_flash_uj[cohort],
        fleet.backup_compute_uj[cohort],
    )
    fleet.plan[i] = PLAN_INSTALL
    return carry_out(fleet, now, i)


def _restored(fleet: Fleet, now: int, i: int) -> Step:
    cohort = fleet.cohort[i]
    fleet.backed_up[i] = 0
    fleet.bytes_back[i] += fleet.restore_bytes[cohort]
    spend(
        fleet,
        i,
        ENERGY_RESTORE,
        fleet.restore_radio_uj[cohort],
        fleet.restore_flash_uj[cohort],
        fleet.restore_compute_uj[cohort],
    )
    return ending.after_restore(fleet, now, i)


def _rested(fleet: Fleet, now: int, i: int) -> Step:
    why = ending.rested(fleet, now, i)
    if why == 1:
        if fleet.drain_from_ms[i] != NO_ROW:
            return ending.drained(fleet, now, i)
        return ending.fall_ill(fleet, now, i)
    if why == 2:
        return ending.mended(fleet, now, i)
    if next_target(fleet, now, i) == NO_ROW:
        return ending.afterwards(fleet, now, i, 0)
    return check_in(fleet, now, i)
