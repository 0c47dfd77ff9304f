"""simlib's only source of chance: pure functions of (seed, device, purpose, occurrence).

There is no running counter, so one more retry never shifts another draw, and two scenarios compared
under one seed share their luck. The mixer is SplitMix64's finaliser (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", OOPSLA 2014). Everything is integer: a probability becomes
a threshold once, and a draw is compared with it.

`Stream` is the same mixer walked by a counter, for content (synthetic firmware) rather than for events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
QUANTILES: Final = 2049
"""The entries of a quantile table: 1,024 of the body, then 1,025 that divide the body's last cell again."""
_BLOCK: Final = 1 << 14
"""Rows that are worked on at a time: three arrays of them lie in half a megabyte of cache."""


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
    FRAGMENT = 17
    ZONE = 18
    LINK = 19
    CHANNEL = 20
    CONSENT = 21
    PROMPT = 22
    FOREGROUND = 23
    SESSION = 24
    PHONE_BATTERY = 25
    PERMISSION = 26
    NOTIFIED = 27
    REACTION = 28
    GAP = 29
    DORMANT = 30
    DORMANT_FOR = 31
    ONLINE = 32
    OFFLINE = 33
    CHARGE = 34
    USE = 35
    CELL = 36
    JITTER = 37
    REPORT_LATE = 38
    REPORT_LATE_BY = 39
    REPORT_LOST = 40
    REPORT_TWICE = 41
    PREMATURE = 42
    RELEASE_DEFECT = 43
    PREVALENCE = 44
    ONSET = 45
    REPAIR = 46
    REPAIR_AFTER = 47
    REPLACE = 48
    REPLACE_AFTER = 49
    FORGED = 50
    ATTENDED = 51
    ATTENDED_AFTER = 52
    DISTANCE = 53
    COHORT_OF_ROW = 54
    HOLD_OFF = 55
    SAMPLE = 56


def mix64(z: int) -> int:
    """SplitMix64's finaliser: a bijection of the 64-bit integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def device_key(seed: int, device: int) -> int:
    """The 64-bit key of one device's draws under `seed`; device −1 is the fleet itself."""
    return keyed(mix64((seed * GOLDEN) & MASK64), device)


def keyed(start: int, device: int) -> int:
    """`device_key` from what the seed alone gives."""
    return mix64((start + (device + 1) * GOLDEN) & MASK64)


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


def sampled(table: Sequence[int] | NDArray[np.int64], start: int, draw: int) -> int:
    """The value that a 32-bit `draw` picks from the quantile table at `table[start : start + QUANTILES]`.

    The draw's top ten bits choose a cell of the body, the others a point in it; in the last cell ten more
    bits choose a cell of the tail. Values between two entries are interpolated linearly and rounded down.
    `draw` is a signed integer (an unsigned and a signed one of 64 bits together would become a float).
    """
    cell = draw >> 22
    if cell < 1023:
        low = table[start + cell]
        return low + ((table[start + cell + 1] - low) * (draw & 0x3FFFFF) >> 22)
    cell = 1024 + ((draw >> 12) & 0x3FF)
    low = table[start + cell]
    return low + ((table[start + cell + 1] - low) * (draw & 0xFFF) >> 12)


def mix64_array(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`mix64` for each element."""
    mixed = z.copy()
    _mix64_in_place(mixed, np.empty_like(mixed))
    return mixed


def _mix64_in_place(z: NDArray[np.uint64], scratch: NDArray[np.uint64]) -> None:
    """`mix64` of each element of `z`, with as much memory again to work in."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        np.right_shift(z, np.uint64(shift), out=scratch)
        np.bitwise_xor(z, scratch, out=z)
        np.multiply(z, np.uint64(factor), out=z)
    np.right_shift(z, np.uint64(31), out=scratch)
    np.bitwise_xor(z, scratch, out=z)


def device_keys(seed: int, devices: int) -> NDArray[np.uint64]:
    """`device_key` of devices 0 to `devices` − 1."""
    start = np.uint64(mix64((seed * GOLDEN) & MASK64))
    keys = np.arange(1, devices + 1, dtype=np.uint64)
    scratch = np.empty(min(devices, _BLOCK), dtype=np.uint64)
    for block in blocks(devices):
        part = keys[block]
        part *= np.uint64(GOLDEN)
        part += start
        _mix64_in_place(part, scratch[: len(part)])
    return keys


def blocks(length: int) -> Iterator[slice]:
    """Slices that cover `length` rows in order: so many that their arithmetic stays within a core's cache."""
    return (slice(start, min(start + _BLOCK, length)) for start in range(0, length, _BLOCK))


def drawn_blocks(
    keys: NDArray[np.uint64], purpose: int, occurrence: int
) -> Iterator[tuple[slice, NDArray[np.uint64]]]:
    """`draws32` of each key block by block, with where the block lies; the next one overwrites its memory."""
    offset = np.uint64((purpose * PURPOSE_STEP + occurrence * OCCURRENCE_STEP) & MASK64)
    buffers = np.empty((2, min(len(keys), _BLOCK)), dtype=np.uint64)
    for block in blocks(len(keys)):
        drawn, scratch = buffers[:, : block.stop - block.start]
        np.add(keys[block], offset, out=drawn)
        _mix64_in_place(drawn, scratch)
        drawn >>= np.uint64(32)
        yield block, drawn


def draws32(keys: NDArray[np.uint64], purpose: int, occurrence: int) -> NDArray[np.uint64]:
    """`draw32` of each key."""
    draws = np.empty(len(keys), dtype=np.uint64)
    for block, drawn in drawn_blocks(keys, purpose, occurrence):
        draws[block] = drawn
    return draws


def scaled(draws: NDArray[np.uint64], span: int | NDArray[np.uint64]) -> NDArray[np.int64]:
    """``draw * span >> 32`` of each 32-bit draw, exact for spans below 2**63: one for all, or one a draw."""
    span = np.asarray(span, dtype=np.uint64)
    high, low = span >> np.uint64(32), span & np.uint64(CERTAIN - 1)
    values: NDArray[np.int64] = (draws * high + (draws * low >> np.uint64(32))).astype(np.int64)
    return values


def sampled_array(table: NDArray[np.int64], draws: NDArray[np.uint64]) -> NDArray[np.int64]:
    """`sampled` for each draw, from the quantile table that begins at `table[0]`."""
    values = np.empty(len(draws), dtype=np.int64)
    for block in blocks(len(draws)):
        signed = draws[block].astype(np.int64)
        body = (signed >> 22) < 1023
        cell = np.where(body, signed >> 22, 1024 + ((signed >> 12) & 0x3FF))
        point = np.where(body, signed & 0x3FFFFF, (signed & 0xFFF) << 10)
        low = table[cell]
        values[block] = low + ((table[cell + 1] - low) * point >> 22)
    return values


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
