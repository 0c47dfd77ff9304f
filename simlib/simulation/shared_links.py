"""The links of a compiled run in memory: made from `FairLink`s, grown as transfers come, and looked at by the
monitor.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simlib.engine import shares as sharing
from simlib.engine.calendar import NEVER
from simlib.engine.link import FairLink
from simlib.engine.shares import Shares
from simlib.simulation.memory import Directory, elements, slots_of, zeros
from simlib.simulation.program import SHARES

_FIRST_ROOM: Final = 64
_OF_LINKS: Final = Shares._fields[: Shares._fields.index("cap")]
_OF_CLASSES: Final = Shares._fields[Shares._fields.index("cap") : Shares._fields.index("ends")]
_ENTRIES: Final = ("ends", "devices", "sizes")


class SharesMemory:
    """The columns of `Shares` for these links and so many devices. `directory` is for compiled code."""

    def __init__(self, links: Sequence[FairLink], devices: int) -> None:
        classes = [len(link.caps) for link in links]
        self.directory = Directory(slots_of(SHARES))
        self.columns: dict[str, NDArray[Any]] = {
            **elements(_OF_LINKS, dict.fromkeys(_OF_LINKS, len(links))),
            **elements(_OF_CLASSES, dict.fromkeys(_OF_CLASSES, sum(classes))),
            "rules": np.zeros(sharing.RULES, dtype=np.int64),
            "end": zeros(devices, 8, dense=True),
        }
        self.first_class = [sum(classes[:number]) for number in range(len(links))]
        self.link_of_class = np.repeat(np.arange(len(links)), classes).astype(np.int64)
        columns = self.columns
        columns["rules"][sharing.AT_UNIT] = links[0].unit
        columns["rules"][sharing.AT_LINKS] = len(links)
        for number, link in enumerate(links):
            first, last = self.first_class[number], self.first_class[number] + classes[number]
            columns["classes_from"][number], columns["classes_to"][number] = first, last
            columns["capacity"][number] = link.capacity
            columns["carry_of"][number] = 1
            columns["first_shared"][number] = last
            columns["due_ms"][number] = NEVER
            columns["cap"][first:last] = link.caps
        self.columns |= {
            "ends": np.zeros(0, dtype=np.int64),
            "devices": np.zeros(0, dtype=np.int32),
            "sizes": np.zeros(0, dtype=np.int32),
        }
        self._place([_FIRST_ROOM] * sum(classes))
        for name, memory in columns.items():
            self.directory.put(SHARES[name].slot, memory)

    def grow(self) -> None:
        """Give every class that is full twice the room."""
        sizes, rooms = self.columns["heap_size"].tolist(), self.columns["heap_room"].tolist()
        self._place([2 * room if size == room else room for size, room in zip(sizes, rooms, strict=True)])

    def _place(self, rooms: list[int]) -> None:
        columns = self.columns
        starts = np.concatenate([[0], np.cumsum(rooms)])
        for name in _ENTRIES:
            fresh = np.zeros(int(starts[-1]), dtype=columns[name].dtype)
            for row, size in enumerate(columns["heap_size"].tolist()):
                old, new = int(columns["heap_at"][row]), int(starts[row])
                fresh[new : new + size] = columns[name][old : old + size]
            columns[name] = fresh
            self.directory.put(SHARES[name].slot, fresh)
        columns["heap_at"][:] = starts[:-1]
        columns["heap_room"][:] = rooms


class LinkView:
    """One link of a compiled run, as the monitor looks at it."""

    def __init__(self, memory: SharesMemory, number: int, link: FairLink) -> None:
        self._columns = memory.columns
        self._number = number
        self._link = link

    @property
    def active(self) -> int:
        """The number of transfers on it."""
        return int(self._columns["active"][self._number])

    def fair_share(self, rate_bps: int) -> Fraction:
        """What a transfer of a class of `rate_bps` gets now, as a share of that rate."""
        columns, number = self._columns, self._number
        available, sharers = int(columns["capacity"][number]), self.active
        for row in range(int(columns["classes_from"][number]), int(columns["classes_to"][number])):
            cap, carried = int(columns["cap"][row]), int(columns["carried"][row])
            if cap * sharers > available:
                break
            available -= cap * carried
            sharers -= carried
        if not sharers:
            return Fraction(1)
        return min(Fraction(available, sharers * self._link.rate(rate_bps)), Fraction(1))
