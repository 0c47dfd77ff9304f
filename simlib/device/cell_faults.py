"""What is wrong with single cells of a flash, or with its driver: stuck bits, and writes that fail."""

from __future__ import annotations

from collections.abc import Callable


class CellFaults:
    """The faults of one flash; at first there are none. True if there is any."""

    def __init__(self) -> None:
        self._stuck: dict[int, tuple[int, int]] = {}  # by offset: which bits do not move, and what they read
        self.failing: Callable[[int, int], bool] | None = None
        """Whether a write at an offset, after so many operations, fails; None: no write does."""

    def __bool__(self) -> bool:
        return bool(self._stuck) or self.failing is not None

    def fails(self, offset: int, operations: int) -> bool:
        """Whether a write at `offset`, after so many operations, fails."""
        return self.failing is not None and self.failing(offset, operations)

    def stick(self, offset: int, bits: int, value: int) -> None:
        """The `bits` of the byte at `offset` read as those of `value`, whatever is done to it."""
        self._stuck[offset] = (bits & 0xFF, value & bits)

    def hold(self, cells: bytearray, start: int, end: int) -> None:
        """Let the stuck bits from `start` to before `end` read as they do."""
        for offset, (bits, value) in self._stuck.items():
            if start <= offset < end:
                cells[offset] = cells[offset] & ~bits & 0xFF | value

    def movable(self, set_back: int, offset: int, n: int) -> int:
        """`set_back`, bits of the `n` bytes at `offset`, without the stuck ones: no driver knows of them."""
        for at, (bits, _) in self._stuck.items():
            if offset <= at < offset + n:
                set_back &= ~(bits << 8 * (at - offset))
        return set_back
