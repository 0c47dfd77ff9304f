"""What an event did to a device, from its start or from a checkpoint on, so that it need not be done again.

An effect holds for every content that agrees with the one it was seen on in the bytes that the work looked
at: there the same operations take place and the same comes of it. Where the contents differ otherwise, what
the work did not change stays as it was. That is exact, not a guess: the work is a deterministic program.

Effects are linked: an event's is its first stretch, up to the first checkpoint, and then the effect from
there, which may have been seen in another execution.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace

from simlib.device.powercut.cells import Cells, Operation, Situation, differing, put
from simlib.device.powercut.footprint import Footprint, changed_in_turn, looked_in_turn
from simlib.device.powercut.spans import Spans, agree, overlaid


@dataclass(slots=True, eq=False, weakref_slot=True)
class Effect:
    """Seen on `start`; `looked` and `changed` are over all that followed, by sector."""

    start: Cells
    looked: dict[int, Spans]
    changed: dict[int, Spans]
    end: Cells
    counter: int  # the security counter's register afterwards
    running_slot: str  # likewise
    result: Hashable
    own: tuple[Operation, ...]  # up to the next effect
    then: Effect | None
    total: int  # operations, with all that followed
    telling: int = 0  # the sector that last told another content from this one; looked at first

    @classmethod
    def ending(
        cls,
        start: Cells,
        seen: Footprint,
        end: Situation,
        result: Hashable,
        own: tuple[Operation, ...],
    ) -> Effect:
        """The last stretch of an event."""
        return cls(start, seen.looked, seen.changed, *end, result, own, None, len(own))

    @classmethod
    def before(cls, then: Effect, start: Cells, seen: Footprint, own: tuple[Operation, ...]) -> Effect:
        """A stretch with this footprint, and then an effect that is known."""
        return cls(
            start,
            looked_in_turn(seen, then.looked),
            changed_in_turn(seen, then.changed),
            then.end,
            then.counter,
            then.running_slot,
            then.result,
            own,
            then,
            len(own) + then.total,
        )

    def without_link(self) -> Effect:
        """The same effect, its stretch one with the next."""
        if self.then is None:
            return self
        return replace(self, own=self.own + self.then.own, then=self.then.then)

    def on(self, cells: Cells) -> Effect | None:
        """The same on `cells`; None where the work would look at other bytes than it saw."""
        if not self._agrees(cells, self.telling):
            return None
        others = []
        for sector in differing(cells, self.start):
            others.append(sector)
            if not self._agrees(cells, sector):
                self.telling = sector
                return None
        if not others:
            return self
        end = list(self.end)
        for sector in others:
            end[sector] = overlaid(cells[sector], end[sector], self.changed.get(sector, ()))
        return Effect(
            cells,
            self.looked,
            self.changed,
            tuple(end),
            self.counter,
            self.running_slot,
            self.result,
            self.own,
            self.then,
            self.total,
            self.telling,
        )

    def _agrees(self, cells: Cells, sector: int) -> bool:
        found, expected = cells[sector], self.start[sector]
        if found is expected:
            return True
        spans = self.looked.get(sector)
        return not spans or agree(found, expected, spans)

    def operations(self) -> Iterator[Operation]:
        """All flash operations, to the event's end."""
        at: Effect | None = self
        while at is not None:
            yield from at.own
            at = at.then

    def steps(self, cells: Cells) -> Iterator[tuple[list[bytes], Operation]]:
        """What the flash holds just before each operation, where it held `cells` at first, and the operation.

        The list is the same one each time, and changed in between.
        """
        now = list(cells)
        at: Effect | None = self
        while at is not None:
            if at.start == tuple(now):
                now[:] = at.start  # the same bytes, but objects that others know
            for operation in at.own:
                yield now, operation
                put(now, operation.offset, operation.data)
            at = at.then
