"""Which sectors of a flash some work depended on, and which it changed.

Work depends on a sector if it looked at what had been there before the work: by a read, or by a write, which
on NOR can only add to it. A sector that was erased first holds nothing but the work's own bytes, so looking
at it afterwards is no dependence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

UNTOUCHED: Final = 0
LOOKED_AT: Final = 1
CHANGED: Final = 2


class SectorAccess:
    """The marks of a flash of `sectors` sectors, at the start none; `marks` has one of the three a sector.

    `looked_at` are the numbers of the sectors the work depended on, in the order in which it came to them.
    """

    __slots__ = ("looked_at", "marks")

    def __init__(self, sectors: int) -> None:
        self.marks = bytearray(sectors)
        self.looked_at: list[int] = []

    @classmethod
    def of(cls, sectors: int, looked_at: Sequence[int], changed: Iterable[int]) -> SectorAccess:
        """The marks after work that looked at these sectors, in this order, and changed those."""
        access = cls(sectors)
        access.looked_at = list(looked_at)
        for sector in looked_at:
            access.marks[sector] = LOOKED_AT
        for sector in changed:
            access.marks[sector] = CHANGED
        return access

    def look(self, first: int, last: int) -> None:
        """Sectors `first` to `last` were read, or written without having been erased."""
        marks = self.marks
        sector = marks.find(UNTOUCHED, first, last + 1)
        while sector >= 0:
            marks[sector] = LOOKED_AT
            self.looked_at.append(sector)
            sector = marks.find(UNTOUCHED, sector + 1, last + 1)

    def change(self, first: int, last: int) -> None:
        """Sectors `first` to `last` hold other bytes now; one not looked at was overwritten as a whole."""
        for sector in range(first, last + 1):
            self.marks[sector] = CHANGED

    def changed(self) -> tuple[int, ...]:
        """The numbers of the sectors that were erased or written, ascending."""
        return tuple(sector for sector, mark in enumerate(self.marks) if mark == CHANGED)
