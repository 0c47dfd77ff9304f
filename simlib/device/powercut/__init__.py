"""Power cuts at every flash operation of an update: what boots, and whether it can be updated again."""

from __future__ import annotations

from simlib.device.powercut.case import SECOND_CUTS_ALL, SweepOptions
from simlib.device.powercut.result import CutOperation, PowercutResult, TornOperation
from simlib.device.powercut.second import Tally
from simlib.device.powercut.sweeping import sweep
from simlib.device.powercut.verdict import Fate, First, Harm

__all__ = [
    "SECOND_CUTS_ALL",
    "CutOperation",
    "Fate",
    "First",
    "Harm",
    "PowercutResult",
    "SweepOptions",
    "Tally",
    "TornOperation",
    "sweep",
]
