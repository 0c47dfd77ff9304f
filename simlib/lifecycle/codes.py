"""The life-cycle's plain integers: what a step answers, what it signals, and the codes of names.

Enum look-ups are slow, and a compiled clock cannot make them; here each name becomes a number once.
"""

from __future__ import annotations

from typing import Final

from simlib.errors import Reason
from simlib.outcomes import Outcome

TIMER: Final = 0
JOIN: Final = 1
END: Final = 2
ASK: Final = 3

ASK_INSTALL: Final = (
    0  # the row of the install that the device is about to make, with the faults drawn for it
)
ASK_BOOT: Final = 1
ASK_CONFIRM: Final = 2
ASK_BROWN_OUT: Final = 3  # the row of the planned move, cut where the battery is empty
ASK_NEED: Final = 4  # what the device's update takes, of `Fleet.on_need_uj`
ASK_HEARD: Final = 5  # what a multicast session gave

SIGNAL_OFFERED: Final = 1
SIGNAL_STARTED: Final = 2
SIGNAL_SUCCEEDED: Final = 4
SIGNAL_FAILED: Final = 8
SIGNAL_SKIPPED: Final = 16
SIGNAL_TWICE: Final = 32  # the report of this step arrived a second time
SIGNAL_SETBACK: Final = 64  # it reported an end that is no verdict: broken off, or to be tried again

REASONS: Final = tuple(Reason)
OUTCOMES: Final = tuple(Outcome)
REASON_CODE: Final = {reason: code for code, reason in enumerate(REASONS)}
OUTCOME_CODE: Final = {outcome: code for code, outcome in enumerate(OUTCOMES)}

Step = tuple[int, int, int]
"""Command, value and signals."""
