"""SimPy's environment with the clock's rules: whole milliseconds, and devices before everything else."""

from __future__ import annotations

from heapq import heappush
from operator import index
from typing import Any

import simpy
from simpy.core import SimTime
from simpy.events import NORMAL, Event, EventPriority

from simlib.engine.order import NOTEBOOK


class FleetEnvironment(simpy.Environment):
    """A SimPy environment whose ordinary events come after the device events of their millisecond."""

    def __init__(self) -> None:
        super().__init__(0)
        self.device_events = 0

    def schedule(self, event: Event, priority: EventPriority = NORMAL, delay: SimTime = 0) -> None:
        """Schedule an ordinary SimPy event; raises `TypeError` unless `delay` is a whole number [ms]."""
        if type(delay) is not int:
            delay = whole_ms(delay)
        heappush(self._queue, (self._now + delay, EventPriority(NOTEBOOK + priority), next(self._eid), event))


def whole_ms(value: Any) -> int:
    """`value` as an integer [ms]. Raises `TypeError` for what is none."""
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"time: found {value!r}, expected a whole number of milliseconds") from None
