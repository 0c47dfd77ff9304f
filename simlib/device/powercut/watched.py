"""A flash that notes, byte by byte, what the work on it looks at, and gives up on work without end."""

from __future__ import annotations

from simlib.device.flash import Flash
from simlib.device.powercut.footprint import Footprint


class EndlessWorkError(BaseException):
    """The work has gone on for longer than any that ends.

    No `Exception`, so that no work takes it for its own.
    """


class WatchedFlash(Flash):
    """A flash whose `seen` grows with each read and write; it changes nothing in what they do.

    What is erased and written is told by `Flash.on_operation`, to whoever wants to know.
    """

    seen: Footprint
    reads_left: int

    @classmethod
    def over(cls, flash: Flash) -> WatchedFlash:
        """The same flash, watched; `flash` itself must not be used any more."""
        watched = cls.__new__(cls)
        vars(watched).update(vars(flash))
        watched.watch(0)
        return watched

    def watch(self, reads: int) -> None:
        """Begin a new footprint; after so many more reads the work has no end."""
        self.seen = Footprint(self.geometry.sector_size)
        self.reads_left = reads

    def peek(self, number: int) -> bytes:
        """The bytes of a sector, without looking."""
        return super().sector(number)

    def content(self) -> bytes:
        """Every byte."""
        self.seen.look(0, self.size_bytes)
        return super().content()

    def sector(self, number: int) -> bytes:
        """The bytes of one sector."""
        cells = super().sector(number)
        self.seen.look(number * len(cells), len(cells))
        return cells

    def read(self, offset: int, n: int) -> bytes:
        """`n` bytes from `offset`."""
        cells = super().read(offset, n)
        self.reads_left -= 1
        if self.reads_left < 0:
            raise EndlessWorkError("reads")
        self.seen.look(offset, n)
        return cells

    def write(self, offset: int, data: bytes) -> None:
        """Program `data` at `offset`: what was there decides whether that is refused."""
        if offset >= 0:
            self.seen.look(offset, min(len(data), self.size_bytes - offset))
        super().write(offset, data)
