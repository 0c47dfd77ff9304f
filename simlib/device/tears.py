"""What a flash operation leaves behind in which power fails: its *tear*.

====== ========================================== =================================================
tear   a write leaves                             an erase leaves
====== ========================================== =================================================
none   nothing written                            nothing erased
partial the first half, in whole write units      the first half of the sector erased
garbage the bytes it would have written, at random the sector's bytes at random
====== ========================================== =================================================

Random bytes are harsher than the cell physics of a torn write, where bits already programmed stay so.

`torn` is the one way that a device of a fleet meets. `write_variants` and `erase_variants` are the ways
that a sweep tries: an interrupted cell may read as anything, and what breaks a boot loader is less often
noise than bytes that are almost right.

======= ============================================= ====================================================
tear    a write may leave                             an erase may leave
======= ============================================= ====================================================
none    what was there                                what was there
partial up to 64 bytes: each prefix; above: its first the first half erased, the second half, the first
        write unit, half of it, all but a unit        quarter, all but the last quarter
garbage the old or the new bytes with one bit wrong,  random bytes, the old ones with some bits set back,
        random bytes, each byte the old or the new    each bit the old or the erased one
======= ============================================= ====================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simlib.device.meter import ceil_div
from simlib.draws import Stream

TEARS: Final = ("none", "partial", "garbage")
TEAR_PURPOSE: Final = 0x7EA2
"""The purpose number of the draws that fill a torn operation's bytes."""
EVERY_PREFIX_BYTES: Final = 64
"""Up to this length a write is torn after each of its bytes: flags, magics and keys are not longer."""
_VARIANT_PURPOSE: Final = 0x7EA2_0001 << 32


def torn(tear: str, after: bytes, *, unit: int, seed: int, offset: int) -> bytes:
    """What an operation at `offset` that had `after` to put there has put there, from the first byte on.

    `unit` [byte] is the least that is written at once. Garbage follows from `seed` and `offset`.
    """
    n = len(after)
    if tear == "none":
        return b""
    if tear == "partial":
        return after[: n // unit // 2 * unit]
    return _random(Stream(seed, TEAR_PURPOSE + offset), n)


def write_variants(
    tear: str, before: bytes, data: bytes, *, unit: int, seed: int, offset: int
) -> tuple[bytes, ...]:
    """What the bytes of a write of `data` at `offset` over `before` may be after power failed in it.

    No two are equal, and each is as long as `data`. `unit` [byte] is the least that is written at once. What
    is drawn follows from `seed` and `offset`.
    """
    n = len(data)
    if tear == "none":
        return (before,)
    if tear == "partial":
        if n <= EVERY_PREFIX_BYTES:
            lengths: Iterable[int] = range(min(1, n - 1), n)
        else:
            lengths = (unit, n // unit // 2 * unit, n - unit)
        return _distinct(data[:length] + before[length:] for length in lengths)
    stream = Stream(seed, _VARIANT_PURPOSE + offset)
    flipped = [_one_bit_off(stream, cells) for cells in (before, data)]
    chosen = np.where(_array(_random(stream, n)) & 1 == 1, _array(data), _array(before)).tobytes()
    return _distinct((*flipped, torn(tear, data, unit=unit, seed=seed, offset=offset), chosen))


def erase_variants(tear: str, before: bytes, erased: bytes, *, seed: int, offset: int) -> tuple[bytes, ...]:
    """What the bytes of an erase at `offset` that found `before` may be; `erased` is what it is to leave.

    No two are equal, and each is as long as `erased`. What is drawn follows from `seed` and `offset`.
    """
    n = len(erased)
    half, quarter = n // 2, n // 4
    if tear == "none":
        return (before,)
    if tear == "partial":
        return _distinct(
            (
                erased[:half] + before[half:],
                before[:half] + erased[half:],
                erased[:quarter] + before[quarter:],
                erased[: n - quarter] + before[n - quarter :],
            )
        )
    stream = Stream(seed, _VARIANT_PURPOSE + offset)
    first, second, third = (_array(_random(stream, n)) for _ in range(3))
    old, gone = _array(before), _array(erased)
    few = first & second & third  # one bit in eight
    some = old & ~few | gone & few
    mixed = old & ~first | gone & first
    noise = torn(tear, erased, unit=1, seed=seed, offset=offset)
    return _distinct((noise, some.tobytes(), mixed.tobytes()))


def _random(stream: Stream, n: int) -> bytes:
    return stream.block(ceil_div(n, 4)).astype("<u4").tobytes()[:n]


def _one_bit_off(stream: Stream, cells: bytes) -> bytes:
    at = stream.below(8 * len(cells))
    changed = bytearray(cells)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


def _array(cells: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(cells, dtype=np.uint8)


def _distinct(variants: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(variants))
