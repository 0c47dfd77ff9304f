"""Compressed streams as portions of bounded size, whoever made them: heatshrink, LZMA alone, CRLE.

A portion is decompressed when it is asked for, so that a stream that would grow without end costs no more
than what its reader takes of it. Each raises Refused PATCH_DAMAGED for bytes that are no such stream.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from typing import Final

from simlib.delta.bounded import BoundedStream
from simlib.delta.packed import damaged

PORTION_BYTES: Final = 1 << 16
"""The largest portion [byte]."""
FEED_BYTES: Final = 1 << 10
"""How much of a heatshrink stream is decompressed at a time [byte]; see `heatshrink_portions`."""
LZMA_HEADER: Final = b"\x5d\x00\x00\x80\x00" + b"\xff" * 8
"""lc 3, lp 0, pb 2, a dictionary of 8 MiB, and a length that is not told (LZMA SDK, lzma.txt)."""
LZMA_DICTIONARY_BYTES: Final = 8 << 20
_LZMA_MEMORY_BYTES: Final = LZMA_DICTIONARY_BYTES + (1 << 20)
_SCATTERED, _REPEATED = 0, 1
_LONGEST_SHIFT: Final = 56


def heatshrink_portions(
    stream: memoryview, window_bits: int, lookahead_bits: int, where: str
) -> Iterator[bytes | memoryview]:
    """What a heatshrink stream of these parameters holds.

    A back-reference of 1 + window + lookahead bits makes at most 2 to the power of lookahead bytes, so
    `FEED_BYTES` become at most 64 KiB with 8 and 7 bits. A stream has no end mark: it ends with the byte that
    completes its last code, so a byte that makes nothing lies behind it.
    """
    from heatshrink2 import core

    decoder = core.Encoder(core.Reader(window_sz2=window_bits, lookahead_sz2=lookahead_bits))
    body, last = stream[:-1], stream[-1:]
    for at in range(0, len(body), FEED_BYTES):
        yield bytes(decoder.fill(bytes(body[at : at + FEED_BYTES])))
    end = bytes(decoder.fill(bytes(last))) + bytes(decoder.finish())
    if last and not end:
        raise damaged(where, "a last byte that makes nothing", "the end of a code")
    yield end


def lzma_alone_portions(stream: memoryview, where: str) -> Iterator[bytes | memoryview]:
    """What a stream of the old .lzma format holds, with the one header that is written here."""
    header = bytes(stream[: len(LZMA_HEADER)])
    if header != LZMA_HEADER:
        raise damaged(f"{where} LZMA header", header.hex() or "nothing", LZMA_HEADER.hex())
    engine = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY_BYTES)
    reader = BoundedStream(stream, where, engine, "an LZMA stream")
    while portion := reader.some(PORTION_BYTES):
        yield portion
    reader.expect_end()


def crle_portions(stream: memoryview, where: str) -> Iterator[bytes | memoryview]:
    """What a stream of conditional run lengths holds: bytes as they are, and bytes so many times.

    A segment is 0, a length and as many bytes; or 1, a length and the byte that is repeated. A length is
    seven bits a byte, the lowest first (detools, compression/crle.py). No segment of a stream is empty.
    """
    at = 0
    while at < len(stream):
        kind = stream[at]
        if kind not in (_SCATTERED, _REPEATED):
            raise damaged(f"{where} segment", str(kind), f"{_SCATTERED} or {_REPEATED}")
        length, at = _crle_length(stream, at + 1, where)
        if not length:
            raise damaged(f"{where} segment", "an empty one", "at least one byte")
        needed = length if kind == _SCATTERED else 1
        if len(stream) - at < needed:
            raise damaged(f"{where} segment", f"{len(stream) - at} bytes", f"{needed}")
        if kind == _SCATTERED:
            yield stream[at : at + length]
        else:
            while length:
                portion = min(length, PORTION_BYTES)
                yield bytes((stream[at],)) * portion
                length -= portion
        at += needed


def _crle_length(stream: memoryview, at: int, where: str) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at == len(stream) or shift > _LONGEST_SHIFT:
            raise damaged(f"{where} length", "its end, or none", "at most nine bytes")
        byte = stream[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if not byte & 0x80:
            return value, at
