"""How a device's update can end. The names are those of every table, plot and message."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """A device ends in exactly one of these; the value is what tables show."""

    UPDATED = "updated"  # runs the new version, confirmed
    REVERTED = "reverted"  # the trial failed; the boot loader went back; the old version runs
    ROLLED_BACK = "rolled_back"  # updated, then brought back by the operator
    FAILED = "failed"  # gave up before any trial; the old version runs
    DEFERRED = "deferred"  # pre-check, window or owner never let it start
    INELIGIBLE = "ineligible"  # no artefact fits it
    PENDING = "pending"  # the horizon came first
    BRICKED = "bricked"  # no slot boots a valid image without physical access
    LOST = "lost"  # boots a valid image but can never be reached again
    COMPROMISED = "compromised"  # runs something its publisher did not sign
