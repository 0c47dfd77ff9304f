"""What a flash operation leaves behind in which power fails: its *tear*.

====== ========================================== =================================================
tear   a write leaves                             an erase leaves
====== ========================================== =================================================
none   nothing written                            nothing erased
partial the first half, in whole write units      the first half of the sector erased
garbage the bytes it would have written, at random the sector's bytes at random
====== ========================================== =================================================

Random bytes are harsher than the cell physics of a torn write, where bits already programmed stay so.
"""

from __future__ import annotations

from typing import Final

from simlib.device.meter import ceil_div
from simlib.draws import Stream

TEARS: Final = ("none", "partial", "garbage")
TEAR_PURPOSE: Final = 0x7EA2
"""The purpose number of the draws that fill a torn operation's bytes."""


def torn(tear: str, after: bytes, *, unit: int, seed: int, offset: int) -> bytes:
    """What an operation at `offset` that had `after` to put there has put there, from the first byte on.

    `unit` [byte] is the least that is written at once. Garbage follows from `seed` and `offset`.
    """
    n = len(after)
    if tear == "none":
        return b""
    if tear == "partial":
        return after[: n // unit // 2 * unit]
    stream = Stream(seed, TEAR_PURPOSE + offset)
    return stream.block(ceil_div(n, 4)).astype("<u4").tobytes()[:n]
