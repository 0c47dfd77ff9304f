"""The detools codecs: sequential and in-place patches, each with heatshrink, CRLE or LZMA.

Payloads are what `detools.create_patch` writes, byte for byte (github.com/eerimoq/detools). A sequential one
is a byte (patch type and compression), the result's size, and a compressed body: a size that is 0 here, then
for each part a length and bytes to be added to as many of the base, a length and bytes of its own, and how
far to move in the base. An in-place one has four more sizes in front (memory, segment, shift, base), and such
a sequence for each segment of the result.

An in-place patch is meant for one memory: the base is moved up in it by the shift, and the result written
below, so a segment may only use what the segments before it have not overwritten. The memory is that of the
larger image and `IN_PLACE_SPARE_BYTES`. Here the base is never overwritten before its time (the bench's boot
loader keeps a journal), so what is checked is that a payload keeps to the rule.

The library's own readers expand CRLE and LZMA without a limit and take what is short for what is there. A
payload is therefore read by `simlib.delta.parts`: no length is negative or leaves the result, no position
leaves the base, the parts are no more than an honest encoder writes, and the body ends with the last of them.
Memory is the payload, twice the result, and for LZMA its dictionary of 8 MiB; time grows with the result.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from simlib.delta.codec import DecoderSize, Recipe, Traits
from simlib.delta.packed import MAX_NUMBER, damaged
from simlib.delta.parts import Body, Part, pieces_of, recipe_of
from simlib.delta.portions import (
    LZMA_DICTIONARY_BYTES,
    crle_portions,
    heatshrink_portions,
    lzma_alone_portions,
)

WINDOW_BITS, LOOKAHEAD_BITS = 8, 7
"""What detools itself writes for heatshrink: a window of 256 bytes."""
SEGMENT_BYTES: Final = 4096
IN_PLACE_SPARE_BYTES: Final = 64 << 10
"""By how much the memory of an in-place patch is larger than the larger image [byte]."""
MATCH_BYTES: Final = 9
"""bsdiff's shortest match that makes it begin a new part [byte]; see `simlib.delta.bsdiff4_codec`."""
PATCHER_BYTES: Final = 1024
"""The patcher's variables, some 150 bytes on a 32-bit device (detools.h), and its buffers, which are our
assumption."""
_HEATSHRINK_BYTES: Final = (1 << WINDOW_BITS) + 256 + 16
_LZMA_BYTES: Final = LZMA_DICTIONARY_BYTES + 16_384
_RAM_SOURCE: Final = (
    "read: detools.h; heatshrink_decoder.h (window, input buffer and state); LZMA SDK, lzma.txt (the"
    " dictionary that the header asks for, 16 kB of tables); recalled: the buffers"
)
_SEQUENTIAL, _IN_PLACE = 0, 1
_COMPRESSIONS: Final = {"lzma": 1, "crle": 2, "heatshrink": 4}
_HEATSHRINK_HEADER: Final = WINDOW_BITS - 4 << 4 | LOOKAHEAD_BITS - 3


def _portions(compression: str, stream: memoryview, where: str) -> Iterator[bytes | memoryview]:
    """The body of a payload, decompressed."""
    if compression == "lzma":
        return lzma_alone_portions(stream, where)
    if compression == "crle":
        return crle_portions(stream, where)
    if not stream or stream[0] != _HEATSHRINK_HEADER:
        raise damaged(
            f"{where} heatshrink header", bytes(stream[:1]).hex() or "nothing", f"{_HEATSHRINK_HEADER:x}"
        )
    return heatshrink_portions(stream[1:], WINDOW_BITS, LOOKAHEAD_BITS, where)


def _number(next_byte: Callable[[], int], where: str) -> int:
    """The next integer: a sign and six bits, then seven bits a byte, the lowest first."""
    first = next_byte()
    value, shift, more = first & 0x3F, 6, first >> 7
    while more:
        byte = next_byte()
        value |= (byte & 0x7F) << shift
        shift += 7
        more = byte >> 7
        if value > MAX_NUMBER or shift > 63:
            raise damaged(where, f"a number above {MAX_NUMBER}", "a size or a distance")
    return -value if first & 0x40 else value


@dataclass(frozen=True, slots=True)
class _Sequence:
    """So many bytes of the result, made one after another from part of the base."""

    size: int
    base_from: int  # where it starts in the base, and before which it must not reach
    base_to: int


def _parts_of(body: Body, sequence: _Sequence, where: str) -> Iterator[Part]:
    """The parts of one sequence, checked."""
    if _number(body.byte, where):
        raise damaged(f"{where} data format", "one", "none")
    room, position = sequence.size, sequence.base_from
    parts, limit = 0, sequence.size // MATCH_BYTES + 1
    while room:
        parts += 1
        if parts > limit:
            raise damaged(f"{where} parts", f"{parts} or more", f"at most {limit}")
        added = _length(body, room, where)
        if added and not sequence.base_from <= position <= sequence.base_to - added:
            raise damaged(
                f"{where} position",
                f"{added} bytes at {position}",
                f"a place from {sequence.base_from} to {sequence.base_to}",
            )
        if added:
            yield Part(position, added, body.pieces(added))
        own = _length(body, room - added, where)
        if own:
            yield Part(-1, own, body.pieces(own))
        position += added + _number(body.byte, where)
        room -= added + own


def _length(body: Body, room: int, where: str) -> int:
    length = _number(body.byte, where)
    if not 0 <= length <= room:
        raise damaged(f"{where} length", str(length), f"0 to {room}")
    return length


@dataclass(frozen=True, slots=True)
class Detools:
    """One kind of detools patch with one compression."""

    name: str
    compression: str  # "heatshrink", "crle" or "lzma"
    in_place: bool
    working_bytes: int  # of RAM for the decompressor
    traits: Traits

    def ram_bytes(self, payload_size_bytes: int, result_size_bytes: int) -> int:
        """The decompressor, and the patcher's own variables and buffers, whatever the sizes."""
        return self.working_bytes + PATCHER_BYTES

    def diff(self, old: bytes, new: bytes) -> bytes:
        """What `detools.create_patch` gives, byte for byte."""
        import detools

        out = io.BytesIO()
        detools.create_patch(
            io.BytesIO(old),
            io.BytesIO(new),
            out,
            compression=self.compression,
            patch_type="in-place" if self.in_place else "sequential",
            algorithm="bsdiff",
            suffix_array_algorithm="divsufsort",
            memory_size=_whole_segments(max(len(old), len(new))) + IN_PLACE_SPARE_BYTES,
            segment_size=SEGMENT_BYTES,
            minimum_shift_size=2 * SEGMENT_BYTES,
            data_format=None,
            use_mmap=False,
            heatshrink_window_sz2=WINDOW_BITS,
            heatshrink_lookahead_sz2=LOOKAHEAD_BITS,
        )
        return out.getvalue()

    def apply(self, old: bytes, payload: bytes | memoryview, result_size_bytes: int) -> bytes:
        """Apply a payload that nobody has vouched for, by the rules in the module's docstring.

        Raises:
            Refused: PATCH_DAMAGED when one of them is broken.
        """
        return b"".join(self.pieces(old, payload, result_size_bytes))

    def pieces(
        self, old: bytes, payload: bytes | memoryview, result_size_bytes: int
    ) -> Iterator[bytes | memoryview]:
        """The result in pieces of about 64 KiB; raises as `apply` does."""
        return pieces_of(self._parts(len(old), memoryview(payload), result_size_bytes), old)

    def recipe(self, old_size_bytes: int, payload: bytes | memoryview, result_size_bytes: int) -> Recipe:
        """The recipe of a payload that nobody has vouched for; raises as `apply` does."""
        return recipe_of(
            self._parts(old_size_bytes, memoryview(payload), result_size_bytes), result_size_bytes
        )

    def _parts(self, old_size: int, payload: memoryview, result_size: int) -> Iterator[Part]:
        header = Body(iter([payload]), f"{self.name} header")
        kind = (_IN_PLACE if self.in_place else _SEQUENTIAL) << 4 | _COMPRESSIONS[self.compression]
        if (found := header.byte()) != kind:
            raise damaged(f"{self.name} kind", f"{found:#04x}", f"{kind:#04x}")
        sequences = self._in_segments if self.in_place else self._in_one
        plan = sequences(header, old_size, result_size)
        rest = header.rest()
        if not result_size:
            if rest:
                raise damaged(self.name, f"{len(rest)} bytes behind an empty result", "none")
            return
        body = Body(_portions(self.compression, memoryview(rest), self.name), self.name)
        for sequence in plan:
            yield from _parts_of(body, sequence, self.name)
        body.expect_end()

    def _in_one(self, header: Body, old_size: int, result_size: int) -> tuple[_Sequence, ...]:
        self._expect("result size", _number(header.byte, self.name), result_size)
        return (_Sequence(result_size, 0, old_size),)

    def _in_segments(self, header: Body, old_size: int, result_size: int) -> tuple[_Sequence, ...]:
        memory, segment, shift, base, result = (_number(header.byte, self.name) for _ in range(5))
        self._expect("result size", result, result_size)
        self._expect("base size", base, old_size)
        self._expect("segment size", segment, SEGMENT_BYTES)
        if not 0 < shift <= memory or memory < result or shift % segment or memory % segment:
            raise damaged(
                f"{self.name} memory and shift", f"{memory} and {shift}", "whole segments that hold both"
            )
        kept = min(base, memory - shift)
        starts = range(0, result, segment)
        free = (min(max(at + segment - shift, 0), kept) for at in starts)  # below, the result lies by then
        return tuple(
            _Sequence(min(segment, result - at), first, kept) for at, first in zip(starts, free, strict=True)
        )

    def _expect(self, what: str, found: int, expected: int) -> None:
        if found != expected:
            raise damaged(f"{self.name} {what}", str(found), str(expected))


def _whole_segments(size_bytes: int) -> int:
    return -(-size_bytes // SEGMENT_BYTES) * SEGMENT_BYTES


_DECOMPRESSORS: Final[tuple[tuple[str, int, DecoderSize, int], ...]] = (
    ("heatshrink", _HEATSHRINK_BYTES, "small", 50),
    ("crle", 16, "small", 10),
    ("lzma", _LZMA_BYTES, "medium", 60),
)


def _codec(
    compression: str, working_bytes: int, decoder: DecoderSize, effort_percent: int, *, in_place: bool
) -> Detools:
    how = "recalled: effort, a copy" if compression == "crle" else "measured: effort (benchmarks/decoders.py)"
    return Detools(
        name=f"detools-{'in-place-' if in_place else ''}{compression}",
        compression=compression,
        in_place=in_place,
        working_bytes=working_bytes,
        traits=Traits(
            takes_base=True,
            streams=True,
            in_place=True,
            decoder=decoder,
            effort_percent=effort_percent,
            source=f"{_RAM_SOURCE}; {how}",
        ),
    )


DETOOLS: Final = tuple(
    _codec(*each, in_place=in_place) for in_place in (False, True) for each in _DECOMPRESSORS
)
