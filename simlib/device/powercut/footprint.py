"""What some work looked at and what it changed, byte by byte.

Work depends on a byte if it looked at what had been there before the work: by a read, or by a write, which on
NOR is refused over bits that are not erased. A byte that the work itself has erased or written before is no
dependence. This is `simlib.device.access`, by bytes in the place of sectors: a boot loader's status lies in
one sector with everything else that it keeps, and a resumed copy must not seem to depend on all of it.

Leaves to others: noting the work (`watched`) and what the dependences are good for (`effect`).
"""

from __future__ import annotations

from simlib.device.powercut.spans import Spans, minus, pieces, union


class Footprint:
    """Of one stretch of work on a flash with sectors of `sector_size` bytes; by sector number."""

    __slots__ = ("_sector_size", "_whole", "changed", "looked")

    def __init__(self, sector_size: int) -> None:
        self.looked: dict[int, Spans] = {}
        self.changed: dict[int, Spans] = {}
        self._sector_size = sector_size
        self._whole: Spans = ((0, sector_size),)

    def look(self, offset: int, n: int) -> None:
        """These bytes were read, or are about to be written over."""
        for sector, start, stop in pieces(offset, n, self._sector_size):
            known = self.looked.get(sector, ())
            if known == self._whole:
                continue
            mine = self.changed.get(sector, ())
            if mine == self._whole:
                continue
            looked = union(known, minus(((start, stop),), mine))
            if looked:
                self.looked[sector] = looked

    def change(self, offset: int, n: int) -> None:
        """These bytes are the work's own from here on."""
        for sector, start, stop in pieces(offset, n, self._sector_size):
            known = self.changed.get(sector, ())
            if known != self._whole:
                self.changed[sector] = union(known, ((start, stop),))


def looked_in_turn(first: Footprint, looked: dict[int, Spans]) -> dict[int, Spans]:
    """What `first` depended on together with work after it that by itself depended on `looked`."""
    both = dict(looked)
    for sector, mine in first.changed.items():
        if sector in both:
            both[sector] = minus(both[sector], mine)
    for sector, spans in first.looked.items():
        both[sector] = union(spans, both.get(sector, ()))
    return both


def changed_in_turn(first: Footprint, changed: dict[int, Spans]) -> dict[int, Spans]:
    """What `first` changed together with work after it that changed `changed`."""
    both = dict(changed)
    for sector, spans in first.changed.items():
        both[sector] = union(spans, both.get(sector, ()))
    return both
