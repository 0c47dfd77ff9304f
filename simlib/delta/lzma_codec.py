"""The full-lzma codec: an image compressed as MCUboot's compressed images are, and LZMA2 streams in bounds.

MCUboot's imgtool (version 2.5, option ``--compression lzma2``) writes two bytes, the code of the dictionary's
size and the properties lc, lp and pb, then a raw LZMA2 stream: dictionary 128 KiB, lc 3, lp 1, pb 2. The
payload is that, byte for byte. Its BCJ filter for Thumb code (``lzma2armthumb``) is not used: an image here
may be any core's.

A stream is read as a file is (`bounded`), and must end where its container says.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from simlib.delta.bounded import BoundedStream
from simlib.delta.codec import Recipe, Traits
from simlib.delta.packed import damaged

WHERE: Final = "full-lzma"
DICTIONARY_BYTES: Final = 128 << 10
LC, LP, PB = 3, 1, 2
SMALLEST_DICTIONARY_BYTES: Final = 4096
STATE_BYTES: Final = 1024 * (4 + (3 << (LC + LP)) // 2)
"""The decoder's tables [byte]: 4 kB and 1.5 kB times 2 to the power of lc + lp (LZMA SDK, lzma.txt,
"Memory requirements for decompressing")."""
TRAITS: Final = Traits(
    takes_base=False,
    streams=True,
    in_place=False,
    decoder="medium",
    effort_percent=125,
    source="read: imgtool 2.5 (dictionary and properties); LZMA SDK, lzma.txt and LzmaLib.h (2 to 8 kB of"
    " code; RAM); measured: effort (benchmarks/decoders.py)",
)


def lzma2_ceiling(size_bytes: int) -> int:
    """No honest stream is longer: what does not compress is stored, with 3 bytes before each 64 KiB."""
    return size_bytes + 6 * (size_bytes // (1 << 16) + 2)


def dictionary_code(size_bytes: int) -> int:
    """The code of the smallest dictionary that holds so much: 4 KiB, 6 KiB, 8 KiB, 12 KiB, …"""
    return next(code for code in range(40) if dictionary_bytes(code) >= size_bytes)


def dictionary_bytes(code: int) -> int:
    """The size that a code stands for [byte]."""
    return (2 | code & 1) << (code // 2 + 11)


def lzma2_pieces(
    stream: memoryview, size_bytes: int, dictionary_limit_bytes: int, where: str
) -> Iterator[bytes]:
    """What a raw LZMA2 stream of a known size holds, in pieces of up to 64 KiB; `where` names it in messages.

    Memory is a piece and the dictionary, no larger than the stream's contents.

    Raises:
        Refused: PATCH_DAMAGED when it is no such stream, is longer than one of so many bytes can be, holds
            more or less than it should, or bytes follow it.
    """
    ceiling = lzma2_ceiling(size_bytes)
    if len(stream) > ceiling:
        raise damaged(where, f"{len(stream)} bytes", f"at most {ceiling}")
    # No distance reaches behind the stream's start, so a larger dictionary would decode nothing more.
    dictionary = max(SMALLEST_DICTIONARY_BYTES, min(dictionary_limit_bytes, size_bytes))
    engine = lzma.LZMADecompressor(
        lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": dictionary}]
    )
    reader = BoundedStream(stream, where, engine, "an LZMA2 stream")
    room = size_bytes
    while room and (piece := reader.some(room)):
        room -= len(piece)
        yield piece
    reader.expect_end()
    if room:
        raise damaged(where, f"its end {room} bytes early", "as many as are needed")


@dataclass(frozen=True, slots=True)
class FullLzma:
    """An image as MCUboot's compressed images carry it."""

    name: str = WHERE
    traits: Traits = TRAITS

    def ram_bytes(self, payload_size_bytes: int, result_size_bytes: int) -> int:
        """The dictionary and the tables: a device takes what the header asks, whatever the sizes."""
        return DICTIONARY_BYTES + STATE_BYTES

    def diff(self, old: bytes, new: bytes) -> bytes:
        """`new` as imgtool compresses it; `old` does not count."""
        filters = [
            {
                "id": lzma.FILTER_LZMA2,
                "preset": 9,
                "dict_size": DICTIONARY_BYTES,
                "lc": LC,
                "lp": LP,
                "pb": PB,
            }
        ]
        return _HEADER + lzma.compress(new, lzma.FORMAT_RAW, filters=filters)

    def apply(self, old: bytes, payload: bytes | memoryview, result_size_bytes: int) -> bytes:
        """Decompress a payload that nobody has vouched for.

        Memory is twice the result and the dictionary.

        Raises:
            Refused: PATCH_DAMAGED when it is not one header and one LZMA2 stream of so many bytes.
        """
        return b"".join(self.pieces(old, payload, result_size_bytes))

    def pieces(
        self, old: bytes, payload: bytes | memoryview, result_size_bytes: int
    ) -> Iterator[bytes | memoryview]:
        """The result in pieces of up to 64 KiB; raises as `apply` does."""
        view = memoryview(payload)
        header = bytes(view[: len(_HEADER)])
        if header != _HEADER:
            raise damaged(f"{WHERE} header", header.hex() or "nothing", _HEADER.hex())
        yield from lzma2_pieces(view[len(_HEADER) :], result_size_bytes, DICTIONARY_BYTES, WHERE)

    def recipe(self, old_size_bytes: int, payload: bytes | memoryview, result_size_bytes: int) -> Recipe:
        """Not to be had: the result is made of itself, not of a base."""
        raise NotImplementedError


_HEADER: Final = bytes((dictionary_code(DICTIONARY_BYTES), (PB * 5 + LP) * 9 + LC))
