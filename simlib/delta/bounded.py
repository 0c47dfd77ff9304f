"""Decompression that cannot be made to allocate more than was agreed.

A bzip2 block of 45 bytes can hold 900 kB, and a stream of any number of blocks is legal, so a few hundred
bytes ask for gigabytes (the class of CVE-2020-15904). The limit is therefore enforced while
decompressing, piece by piece, never after. The stream must end where its container says: an unfinished
stream or a byte behind it is refused, because two readers could disagree about it.
"""

from __future__ import annotations

import bz2
from typing import Final

from simlib.errors import Reason, Refused

PIECE_BYTES: Final = 1 << 18
"""What one step may add to the output [byte]."""


def bz2_ceiling(size_bytes: int) -> int:
    """The largest that bzip2 makes of `size_bytes` bytes: 1 % and 600 bytes more (its manual, 3.4.1)."""
    return size_bytes + size_bytes // 100 + 600


def bunzip2(stream: bytes, limit_bytes: int, where: str) -> bytes:
    """Decompress one whole bzip2 stream to at most `limit_bytes`.

    Raises:
        Refused: PATCH_DAMAGED when it is not a bzip2 stream, holds more than the limit, does not end, or is
            followed by anything.
    """
    engine = bz2.BZ2Decompressor()
    pieces: list[bytes] = []
    room = limit_bytes
    feed = stream
    while not engine.eof:
        try:
            piece = engine.decompress(feed, min(PIECE_BYTES, room + 1))
        except (OSError, ValueError) as error:
            raise Refused(Reason.PATCH_DAMAGED, f"{where}: found {error}, expected a bzip2 stream") from error
        feed = b""
        room -= len(piece)
        if room < 0:
            raise Refused(Reason.PATCH_DAMAGED, f"{where}: found more, expected at most {limit_bytes} bytes")
        if not piece and engine.needs_input:
            raise Refused(Reason.PATCH_DAMAGED, f"{where}: found its end, expected the end of a bzip2 stream")
        pieces.append(piece)
    if engine.unused_data:
        found = f"{len(engine.unused_data)} bytes behind the stream"
        raise Refused(Reason.PATCH_DAMAGED, f"{where}: found {found}, expected none")
    return b"".join(pieces)
