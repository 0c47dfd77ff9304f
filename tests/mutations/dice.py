"""What a mutation is drawn from: one stream of draws a case, so that any case can be made again alone."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

from simlib.draws import Stream

T = TypeVar("T")


class Family(IntEnum):
    """A kind of case with a numbering of its own."""

    IMAGES = 1
    PATCHES = 2
    SLOTS = 3


class Dice:
    """The draws of one case."""

    def __init__(self, seed: int, family: Family, case: int) -> None:
        self._stream = Stream(seed, (family << 40) + case)

    def below(self, span: int) -> int:
        """A whole number in [0, span), 0 where there is nothing to choose from."""
        return self._stream.below(span) if span > 1 else 0

    def chance(self, times: int, of: int) -> bool:
        """True that often."""
        return self._stream.below(of) < times

    def one(self, choices: Sequence[T]) -> T:
        """One of the choices, each as likely."""
        return choices[self._stream.below(len(choices))]

    def few(self, most: int) -> int:
        """1 to `most`, half of the time 1, a quarter 2, and so on."""
        count = 1
        while count < most and self.chance(1, 2):
            count += 1
        return count

    def octets(self, count: int) -> bytes:
        """Random bytes."""
        return self._stream.block((count + 3) // 4).astype("<u4").tobytes()[:count]

    def integer(self, bits: int, *near: int) -> int:
        """A number that often breaks something, of `bits` bits: a limit, or close to one of `near`."""
        top = 1 << bits
        limits = (0, 1, 2, top - 1, top - 2, top >> 1, (top >> 1) - 1, (top >> 1) + 1, 1 << bits // 2)
        kind = self.below(8)
        if near and kind < 5:
            return (self.one(near) + self.one((-16, -4, -2, -1, 0, 1, 2, 4, 16))) % top
        if near and kind == 5:
            return self.one(near) * self.one((2, 3, 256)) % top
        if kind == 6:
            return int.from_bytes(self.octets(bits // 8), "little")
        return self.one(limits)
