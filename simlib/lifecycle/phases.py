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
    OFFERED = 1  # offered; waiting for a window, or put off until a later check-in
    DOWNLOADING = 2
    BACKING_OFF = 3  # between two attempts
    INSTALLING = 4  # verify, decrypt, patch and write
    POWER_OFF = 5  # power was cut; includes the recovery boot that follows
    REBOOTING = 6  # the boot loader's work included
    TRIAL = 7  # the new firmware runs unconfirmed and tests itself
    CONFIRMING = 8
    REVERTING = 9  # the self-test failed; the boot loader goes back
    REPORTING = 10  # the end is known to the device, not yet to the server
    DONE = 11


LEGAL_MOVES: Final = MappingProxyType(
    {
        Phase.WAITING: {Phase.OFFERED, Phase.DOWNLOADING, Phase.REPORTING, Phase.DONE},
        Phase.OFFERED: {Phase.OFFERED, Phase.DOWNLOADING, Phase.REPORTING, Phase.DONE},
        Phase.DOWNLOADING: {Phase.BACKING_OFF, Phase.INSTALLING, Phase.REPORTING},
        Phase.BACKING_OFF: {Phase.OFFERED, Phase.DOWNLOADING, Phase.REPORTING},
        Phase.INSTALLING: {Phase.POWER_OFF, Phase.REBOOTING, Phase.BACKING_OFF, Phase.REPORTING},
        Phase.POWER_OFF: {Phase.TRIAL, Phase.BACKING_OFF, Phase.REPORTING, Phase.DONE},
        Phase.REBOOTING: {Phase.POWER_OFF, Phase.TRIAL, Phase.BACKING_OFF, Phase.REPORTING, Phase.DONE},
        Phase.TRIAL: {Phase.CONFIRMING, Phase.REVERTING},
        Phase.CONFIRMING: {Phase.REPORTING},
        Phase.REVERTING: {Phase.REPORTING, Phase.DONE},
        Phase.REPORTING: {Phase.DONE},
        Phase.DONE: set(),
    }
)
"""From each phase, the phases that may follow (a device may also stay where it is)."""
