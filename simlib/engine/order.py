"""The order of events within one millisecond, the same in every clock.

An instant runs in this order, always the least first, until nothing of it is left:

1. changes of a link's capacity, then each link's completions, which make device events of their devices;
2. device events, by ascending device; a zero-delay step of a device runs on at once;
3. the events of a notebook's own SimPy processes;
4. calls `after` the events: deadlines, then the rollout policy, then sampling;
5. the settling of the links: who finishes next is computed once, when all that happened is known.

Whatever a later part causes in an earlier one (a policy aborts a download, and the device goes on) runs
before the later part continues. The numbers are SimPy priorities; a device number must be below 2**59.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from simpy.events import EventPriority

CAPACITY: Final = EventPriority(-1)
LINK: Final = EventPriority(0)
DEVICE: Final = 1
DEVICES_MAX: Final = 1 << 59
NOTEBOOK: Final = 1 << 60
AFTER: Final = 1 << 61
SETTLE: Final = EventPriority(1 << 62)


class Rank(IntEnum):
    """When, after the events of its millisecond, a call is made."""

    DEADLINE = 0
    POLICY = 1
    SAMPLING = 2
