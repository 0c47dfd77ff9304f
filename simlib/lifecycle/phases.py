"""The phases of a device's life in one rollout, and the moves that are legal between them.

A phase says what the device waits for. The numbers are part of no file format; the names are shown in
the timeline.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Final


class Phase(IntEnum):
    """What a device is doing."""

    WAITING = 0  # for its next check-in; nothing offered yet
    OFFERED = 1  # offered; waiting for a window, for its owner, or put off until a later check-in
    CONNECTING = 2
    DOWNLOADING = 3
    BACKING_OFF = 4  # between two attempts
    READY = 5  # has what it will install, and waits for the time to do so
    BACKING_UP = 6  # copies the user's data
    INSTALLING = 7  # verify, decrypt, patch and write
    POWER_OFF = 8  # power was cut; includes the recovery boot that follows
    REBOOTING = 9  # the boot loader's work included
    TRIAL = 10  # the new firmware runs unconfirmed and tests itself
    PROBATION = 11  # the tests passed; it runs on unconfirmed for a while
    CONFIRMING = 12
    REVERTING = 13  # the trial failed; the boot loader goes back
    RESTORING = 14  # puts the user's data back
    REPORTING = 15  # the end is known to the device, not yet to the server
    DONE = 16
    RESTING = (
        17  # ended like DONE, and something is still to come: a defect that shows late, a further release
    )


_ENDING = {Phase.REPORTING, Phase.DONE, Phase.RESTING}
_FETCHING = {Phase.CONNECTING, Phase.DOWNLOADING}
_PREPARING = {Phase.READY, Phase.BACKING_UP, Phase.INSTALLING}

LEGAL_MOVES: Final = MappingProxyType(
    {
        Phase.WAITING: {Phase.OFFERED} | _FETCHING | _ENDING,
        Phase.OFFERED: {Phase.BACKING_OFF} | _FETCHING | _PREPARING | _ENDING,
        Phase.CONNECTING: {Phase.DOWNLOADING} | _ENDING,
        Phase.DOWNLOADING: {Phase.BACKING_OFF} | _PREPARING | _ENDING,
        Phase.BACKING_OFF: {Phase.OFFERED} | _FETCHING | _PREPARING | _ENDING,
        Phase.READY: {Phase.BACKING_UP, Phase.INSTALLING} | _ENDING,
        Phase.BACKING_UP: {Phase.INSTALLING},
        Phase.INSTALLING: {Phase.POWER_OFF, Phase.REBOOTING, Phase.BACKING_OFF} | _ENDING,
        Phase.POWER_OFF: {Phase.TRIAL, Phase.BACKING_OFF, Phase.RESTORING} | _ENDING,
        Phase.REBOOTING: {Phase.POWER_OFF, Phase.TRIAL, Phase.BACKING_OFF} | _ENDING,
        Phase.TRIAL: {Phase.PROBATION, Phase.CONFIRMING, Phase.REVERTING},
        Phase.PROBATION: {Phase.CONFIRMING, Phase.REVERTING},
        Phase.CONFIRMING: {Phase.POWER_OFF, Phase.RESTORING} | _ENDING,
        Phase.REVERTING: {Phase.POWER_OFF, Phase.RESTORING} | _ENDING,
        Phase.RESTORING: _ENDING,
        Phase.REPORTING: {Phase.DONE, Phase.RESTING},
        Phase.DONE: {Phase.OFFERED, Phase.REPORTING} | _FETCHING,  # a further round
        Phase.RESTING: {Phase.OFFERED, Phase.RESTORING} | _FETCHING | _ENDING,
    }
)
"""From each phase, the phases that may follow (a device may also stay where it is)."""
