"""The hdiffpatch-lzma2 codec: payloads are what `hdiffpatch.diff` writes, applied without trusting them.

The format (github.com/sisong/HDiffPatch, "HDIFF13") is a line with the compression's name, eleven integers
and four blocks: covers; runs; the runs' bytes; and the bytes of the result that no cover makes. An integer
pair gives each block's size and its compressed size, 0 where it is stored. A compressed block is the code of
a dictionary's size and a raw LZMA2 stream.

A cover is how far its place in the base is from the last one's end (with a sign), how many bytes of the
result come before it, and its length. The runs hold, for every byte of the result, what is added to the
base's: in the top two bits of each is whether it is zeros, 255s, one byte over and over, or bytes one by
one.

Nobody has vouched for a payload, and the library's decoder is C++ that would have to be trusted. Here it is
read by the rules in `simlib.delta.packed`, and in this order: the sizes are the ones agreed, the blocks fill
the payload, and none is larger than the result; each holds what is said, its dictionary no larger than that;
the runs and covers make the result exactly. Of the runs there are no more than two for three bytes: those of
equal bytes have two or more, and no two of other bytes stand together. Memory is at most four times the
result and 8 MiB. Time grows with the result: an honest payload takes some 0.2 seconds of a processor for
each MiB, the worst ten times that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simlib.delta.codec import Recipe, Traits
from simlib.delta.lzma_codec import (
    SMALLEST_DICTIONARY_BYTES,
    dictionary_bytes,
    dictionary_code,
    lzma2_pieces,
)
from simlib.delta.packed import check_cover, check_cover_count, damaged, read_number

WHERE: Final = "hdiffpatch-lzma2"
MAGIC: Final = b"HDIFF13&lzma2\0"
LEVEL, WINDOW_LOG = 9, 23
_ZEROS, _ONES, _SAME, _OTHERS = range(4)
_RUN_BITS, _POSITION_BITS = 5, 6
_BLOCKS: Final = ("covers", "runs", "run bytes", "other bytes")
_BACKWARDS: Final = 1 << 7
_LONG_RUN: Final = 1 << _RUN_BITS
_SHORT_RUN: Final = _LONG_RUN - 1
_STATE_BYTES: Final = 1024 * (4 + (3 << 4) // 2)
"""The tables of an LZMA2 decoder, which takes those for lc + lp = 4 (LZMA SDK, Lzma2Dec.c) [byte]."""
_CACHE_BYTES: Final = 6 * (4 << 10) + 4 * (16 << 10)
"""The buffers: six of the patcher's and one of input for each decoder [byte] (``_kCacheDecCount`` times
``hpatch_kStreamCacheSize``, and ``kDecompressBufSize``, as HDiffPatch has them unless told otherwise)."""
TRAITS: Final = Traits(
    takes_base=True,
    streams=False,  # four blocks behind one another, read side by side
    in_place=True,
    decoder="large",
    effort_percent=65,
    source="derived: RAM (HDiffPatch, patch.c and decompress_plugin_demo.h: four LZMA2 decoders; LZMA SDK,"
    " lzma.txt); recalled: the size class, their code and the patcher's; measured: effort"
    " (benchmarks/decoders.py)",
)


class _Numbers:
    """The integers of a block, in order."""

    def __init__(self, block: bytes | memoryview, where: str) -> None:
        self._block = block
        self._where = where
        self.at = 0

    def byte(self) -> int:
        """The next byte. Raises Refused PATCH_DAMAGED where there is none."""
        if self.at == len(self._block):
            raise damaged(self._where, "its end", "as many integers as are needed")
        self.at += 1
        return self._block[self.at - 1]

    def number(self) -> int:
        """The next integer. Raises as `byte` does."""
        first = self.byte()
        return first if first < 128 else read_number(self.byte, first, 7, self._where)

    def more(self) -> bool:
        """Whether there is another."""
        return self.at < len(self._block)

    def expect_end(self) -> None:
        """Raises Refused PATCH_DAMAGED where there is another."""
        if self.more():
            raise damaged(self._where, f"{len(self._block) - self.at} bytes more", "as many as are needed")


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What a payload holds, each block decompressed."""

    cover_count: int
    covers: bytes
    runs: bytes
    run_bytes: bytes
    others: bytes


def _opened(view: memoryview, old_size_bytes: int, result_size_bytes: int) -> _Blocks:
    """The blocks of a payload whose header holds."""
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise damaged(f"{WHERE} magic", bytes(view[: len(MAGIC)]).hex() or "nothing", MAGIC.hex())
    numbers = _Numbers(view[len(MAGIC) :], f"{WHERE} header")
    sizes = (numbers.number(), numbers.number())
    if sizes != (result_size_bytes, old_size_bytes):
        raise damaged(
            f"{WHERE} sizes of result and base",
            f"{sizes[0]} and {sizes[1]}",
            f"{result_size_bytes} and {old_size_bytes}",
        )
    cover_count = numbers.number()
    check_cover_count(cover_count, result_size_bytes, WHERE)
    pairs = [(numbers.number(), numbers.number()) for _ in range(4)]
    rest = view[len(MAGIC) + numbers.at :]
    length = sum(compressed or size for size, compressed in pairs)
    if length != len(rest):
        raise damaged(f"{WHERE} blocks", f"{len(rest)} bytes", str(length))
    # A cover and a run by themselves may take more bytes than they make, hence the 8.
    limits = (result_size_bytes + 8, result_size_bytes * 2 // 3 + 8, result_size_bytes, result_size_bytes)
    blocks = []
    for name, limit, (size, compressed) in zip(_BLOCKS, limits, pairs, strict=True):
        where = f"{WHERE} {name}"
        if size > limit:
            raise damaged(where, f"{size} bytes", f"at most {limit}")
        block, rest = rest[: compressed or size], rest[compressed or size :]
        blocks.append(_decompressed(block, size, where) if compressed else bytes(block))
    return _Blocks(cover_count, *blocks)


def _decompressed(block: memoryview, size_bytes: int, where: str) -> bytes:
    honest = dictionary_code(size_bytes)
    if block[0] > honest:
        raise damaged(f"{where} dictionary", f"code {block[0]}", f"at most {honest}")
    return b"".join(lzma2_pieces(block[1:], size_bytes, dictionary_bytes(block[0]), where))


def _expanded(runs: bytes, run_bytes: bytes, result_size_bytes: int) -> NDArray[np.uint8]:
    """What is added to each byte that comes from the base."""
    numbers = _Numbers(runs, f"{WHERE} runs")
    added = bytearray(result_size_bytes)
    at = used = 0
    while numbers.more():
        first = numbers.byte()
        size = 1 + (first & _SHORT_RUN)
        if first & _LONG_RUN:
            size = 1 + read_number(numbers.byte, first, _RUN_BITS, f"{WHERE} runs")
        kind, stop = first >> 6, at + size
        if stop > result_size_bytes:
            raise damaged(f"{WHERE} runs", f"{stop} bytes", f"{result_size_bytes}")
        taken = size if kind == _OTHERS else int(kind == _SAME)
        if used + taken > len(run_bytes):
            raise damaged(f"{WHERE} run bytes", f"{len(run_bytes)} bytes", f"at least {used + taken}")
        if kind == _OTHERS:
            added[at:stop] = run_bytes[used : used + size]
        elif kind != _ZEROS:
            added[at:stop] = (b"\xff" if kind == _ONES else run_bytes[used : used + 1]) * size
        used += taken
        at = stop
    if (at, used) != (result_size_bytes, len(run_bytes)):
        raise damaged(
            f"{WHERE} runs", f"{at} bytes from {used}", f"{result_size_bytes} from {len(run_bytes)}"
        )
    return np.frombuffer(added, dtype=np.uint8)


def _covers(blocks: _Blocks, old_size_bytes: int, result_size_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Each cover: how many bytes come before it, its place in the base, its length."""
    numbers = _Numbers(blocks.covers, f"{WHERE} covers")
    room, last_end = result_size_bytes, 0
    for _ in range(blocks.cover_count):
        first = numbers.byte()
        far = read_number(numbers.byte, first, _POSITION_BITS, f"{WHERE} covers")
        position = last_end - far if first & _BACKWARDS else last_end + far
        before, length = numbers.number(), numbers.number()
        if before > room:
            raise damaged(f"{WHERE} bytes before a cover", str(before), f"at most {room}")
        check_cover(position, length, old_size_bytes, room - before, WHERE)
        room -= before + length
        last_end = position + length
        yield before, position, length
    numbers.expect_end()


def _places(
    blocks: _Blocks, values: NDArray[np.uint8], old_size_bytes: int
) -> Iterator[tuple[int, int, int]]:
    """Where the base has its share: from a byte of the result, a place in the base, a length.

    `values` is what is added there; in between the bytes of no cover are put in as the places are given.
    """
    others = np.frombuffer(blocks.others, dtype=np.uint8)
    at = used = 0
    for before, position, length in _covers(blocks, old_size_bytes, len(values)):
        if used + before > len(others):
            raise damaged(f"{WHERE} other bytes", f"{len(others)} bytes", f"at least {used + before}")
        values[at : at + before] = others[used : used + before]
        used += before
        yield at + before, position, length
        at += before + length
    if len(others) - used != len(values) - at:
        expected = str(used + len(values) - at)
        raise damaged(f"{WHERE} other bytes", f"{len(others)} bytes", expected)
    values[at:] = others[used:]


@dataclass(frozen=True, slots=True)
class HDiffPatch:
    """The codec of HDiffPatch with LZMA2, of the hdiffpatch package."""

    name: str = WHERE
    traits: Traits = TRAITS

    def ram_bytes(self, payload_size_bytes: int, result_size_bytes: int) -> int:
        """Four LZMA2 decoders side by side with their tables, their dictionaries and the buffers.

        A dictionary is as large as its block, rounded up to the next size that has a code, at most 1.5 times.
        The runs' bytes and the others are together no longer than the result. For covers and runs, which
        real firmware makes a tenth of that (greatfet_usb, 2019.9.1 to 2026.0.0), the half that is over is
        more than enough.
        """
        dictionaries = 2 * min(result_size_bytes, 2 << WINDOW_LOG) + 4 * SMALLEST_DICTIONARY_BYTES
        return 4 * _STATE_BYTES + dictionaries + _CACHE_BYTES

    def diff(self, old: bytes, new: bytes) -> bytes:
        """What `hdiffpatch.diff` gives with LZMA2 of level 9 and a window of at most 8 MiB."""
        import hdiffpatch

        lzma2 = hdiffpatch.Lzma2Config(level=LEVEL, window=WINDOW_LOG, threads=1)
        return hdiffpatch.diff(old, new, compression=lzma2, validate=False)

    def apply(self, old: bytes, payload: bytes | memoryview, result_size_bytes: int) -> bytes:
        """Apply a payload that nobody has vouched for, by the rules in the module's docstring.

        Raises:
            Refused: PATCH_DAMAGED when one of them is broken.
        """
        blocks = _opened(memoryview(payload), len(old), result_size_bytes)
        values = _expanded(blocks.runs, blocks.run_bytes, result_size_bytes)
        base = np.frombuffer(old, dtype=np.uint8)
        for at, position, length in _places(blocks, values, len(old)):
            values[at : at + length] += base[position : position + length]
        return values.tobytes()

    def pieces(
        self, old: bytes, payload: bytes | memoryview, result_size_bytes: int
    ) -> Iterator[bytes | memoryview]:
        """Not to be had: the format does not stream."""
        raise NotImplementedError

    def recipe(self, old_size_bytes: int, payload: bytes | memoryview, result_size_bytes: int) -> Recipe:
        """The recipe of a payload that nobody has vouched for; raises as `apply` does."""
        blocks = _opened(memoryview(payload), old_size_bytes, result_size_bytes)
        values = _expanded(blocks.runs, blocks.run_bytes, result_size_bytes)
        sources = np.full(result_size_bytes, -1, dtype=np.int32)
        for at, position, length in _places(blocks, values, old_size_bytes):
            sources[at : at + length] = np.arange(position, position + length, dtype=np.int32)
        return Recipe(sources, values)
