"""simlib's only source of chance: pure functions of (seed, device, purpose, occurrence).

There is no running counter, so one more retry never shifts another draw, and two scenarios compared
under one seed share their luck. The mixer is SplitMix64's finaliser (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", OOPSLA 2014). Everything is integer: a probability becomes
a threshold once, and a draw is compared with it.

`Stream` is the same mixer walked by a counter, for content (synthetic firmware) rather than for events.
"""

from __future__ import annotations

from enum import IntEnum
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

MASK64: Final = (1 << 64) - 1
GOLDEN: Final = 0x9E3779B97F4A7C15
PURPOSE_STEP: Final = 0xD1342543DE82EF95
OCCURRENCE_STEP: Final = 0xAF251AF3B0F025B5
CERTAIN: Final = 1 << 32
"""The threshold that every 32-bit draw is below."""
FLEET: Final = -1
"""The device number of the fleet's own draws."""


class Purpose(IntEnum):
    """What a draw decides. A number is never reused, so no two decisions share their luck."""

    COHORT = 1
    GROUP = 2
    BASE = 3
    RATE = 4
    WAKE_PHASE = 5
    WAKE_PRESENT = 6
    BATTERY = 7
    LINK_WEAK = 8
    DROP = 9
    DROP_AT = 10
    CORRUPTION = 11
    CORRUPTION_BIT = 12
    POWER_CUT = 13
    POWER_CUT_AT = 14
    DEFECT = 15
    STALE_INVENTORY = 16


def mix64(z: int) -> int:
    """SplitMix64's finaliser: a bijection of the 64-bit integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def device_key(seed: int, device: int) -> int:
    """The 64-bit key of one device's draws under `seed`; device −1 is the fleet itself."""
    return mix64((mix64((seed * GOLDEN) & MASK64) + (device + 1) * GOLDEN) & MASK64)


def draw32(key: int, purpose: int, occurrence: int) -> int:
    """A uniform integer in [0, 2**32) for this key, purpose and occurrence."""
    return mix64((key + purpose * PURPOSE_STEP + occurrence * OCCURRENCE_STEP) & MASK64) >> 32


def below(key: int, purpose: int, occurrence: int, span: int) -> int:
    """A uniform integer in [0, span), `span` at most 2**31; the bias is at most span / 2**32."""
    return (draw32(key, purpose, occurrence) * span) >> 32


def threshold(probability: Fraction | int) -> int:
    """The integer t such that ``draw32(...) < t`` holds with `probability`, rounded to 2**-32."""
    share = Fraction(probability)
    if not 0 <= share <= 1:
        raise ValueError(f"probability: found {probability}, expected 0 to 1")
    return round(share * CERTAIN)


def mix64_array(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`mix64` for each element."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def device_keys(seed: int, devices: int) -> NDArray[np.uint64]:
    """`device_key` of devices 0 to `devices` − 1."""
    start = np.uint64(mix64((seed * GOLDEN) & MASK64))
    numbers = np.arange(1, devices + 1, dtype=np.uint64)
    return mix64_array(start + numbers * np.uint64(GOLDEN))


def draws32(keys: NDArray[np.uint64], purpose: int, occurrence: int) -> NDArray[np.uint64]:
    """`draw32` of each key."""
    offset = np.uint64((purpose * PURPOSE_STEP + occurrence * OCCURRENCE_STEP) & MASK64)
    return mix64_array(keys + offset) >> np.uint64(32)


class Stream:
    """A sequence of draws for building content: draw n is a pure function of (seed, purpose, n)."""

    __slots__ = ("_count", "_key")

    def __init__(self, seed: int, purpose: int) -> None:
        self._key = mix64((device_key(seed, FLEET) + purpose * PURPOSE_STEP) & MASK64)
        self._count = 0

    def u32(self) -> int:
        """The next 32-bit draw."""
        self._count += 1
        return mix64((self._key + self._count * GOLDEN) & MASK64) >> 32

    def below(self, span: int) -> int:
        """The next draw, in [0, span)."""
        return (self.u32() * span) >> 32

    def block(self, count: int) -> NDArray[np.uint64]:
        """The next `count` 32-bit draws as an array, the same values `u32` would give one by one."""
        numbers = np.arange(self._count + 1, self._count + count + 1, dtype=np.uint64)
        self._count += count
        return mix64_array(np.uint64(self._key) + numbers * np.uint64(GOLDEN)) >> np.uint64(32)
