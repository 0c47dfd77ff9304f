"""Decompression of tinyuz streams, bounded by what they are said to hold.

tinyuz (github.com/sisong/tinyuz, version 1) is an LZ77 code for small devices: its decoder is about a
kilobyte of code and needs a dictionary, a few words and an input buffer of any size. A stream is the
dictionary's size (u32, little endian), then codes. Their bits are kept in bytes of their own, lowest first,
each fetched when the one before is used up; everything else is whole bytes in between.

Bit 1 is followed by a literal byte. Bit 0 starts a match: its length, then, behind a literal, a bit that
says whether its distance is the last one, else the distance. A distance of 0 makes the length an order:
1, a line of literal bytes follows; 2, the bits start afresh; 3, the end.

Numbers are written in groups of bits, the highest first, each with a bit that says whether another follows;
as numbers of n groups begin where those of n − 1 end, none can be written twice. A group has one bit in a
length and two in a distance, whose first seven bits are a byte of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from simlib.delta.packed import MAX_NUMBER, damaged
from simlib.errors import Refused

SIZE_BYTES: Final = 4
SHORTEST_MATCH: Final = 2
SHORTEST_LINE: Final = 15
FAR: Final = 2687
"""Matches from further back than this are one byte longer than they say."""
PORTION_BYTES: Final = 1 << 14
"""How much is decompressed at a time [byte]."""
_LINE, _AFRESH, _END = 1, 2, 3
_NO_BITS: Final = 1
"""A byte of bits that is used up: above the bits that are left stands a one."""
_EIGHT_LITERALS: Final = 0x1FF


def tinyuz_ceiling(size_bytes: int) -> int:
    """No honest stream of `size_bytes` bytes is longer: nine bits a literal are the worst, and the rest."""
    return size_bytes + size_bytes // 8 + 16


def tinyuz_portions(
    stream: memoryview, size_bytes: int, dictionary_bytes: int, where: str
) -> Iterator[bytes]:
    """What the stream holds, in portions; `where` names it in messages.

    Held meanwhile are the stream, the dictionary and a portion, which is `PORTION_BYTES` and one match or
    line more. The stream must hold exactly `size_bytes` bytes and end with the last one.

    Raises:
        Refused: PATCH_DAMAGED when it is not a tinyuz stream, is longer than one of `size_bytes` bytes can be
            or wants a larger dictionary than `dictionary_bytes`. What came before a fault has been given.
    """
    ceiling = tinyuz_ceiling(size_bytes)
    if not SIZE_BYTES < len(stream) <= ceiling:
        raise damaged(where, f"{len(stream)} bytes", f"{SIZE_BYTES + 1} to {ceiling}")
    dictionary = int.from_bytes(stream[:SIZE_BYTES], "little")
    if not 0 < dictionary <= dictionary_bytes:
        raise damaged(where, f"a dictionary of {dictionary} bytes", f"1 to {dictionary_bytes}")
    decoder = _Decoder(bytes(stream), size_bytes, dictionary, where)
    while not decoder.ended:
        yield decoder.portion()
    decoder.expect_end()


class _Decoder:
    """A stream, how far it has been followed, and the latest bytes that it gave."""

    def __init__(self, stream: bytes, size_bytes: int, dictionary: int, where: str) -> None:
        self.ended = False
        self._stream = stream
        self._room = size_bytes
        self._dictionary = dictionary
        self._where = where
        self._at = SIZE_BYTES
        self._bits = _NO_BITS
        self._distance = 1
        self._behind_literal = False
        self._data = bytearray()
        self._fault: Refused | None = None

    def portion(self) -> bytes:
        """The next bytes. Raises Refused PATCH_DAMAGED for a fault when all before it has been given."""
        if self._fault is not None:
            raise self._fault
        data = self._data
        del data[: max(0, len(data) - self._dictionary)]
        start = len(data)
        try:
            self._follow(start + PORTION_BYTES)
        except Refused as fault:
            self._fault = fault
        except IndexError:
            self._fault = damaged(self._where, "its end", "the end of a tinyuz stream")
        return bytes(memoryview(data)[start:])

    def expect_end(self) -> None:
        """Raises Refused PATCH_DAMAGED where bytes are missing or follow."""
        if self._room:
            raise damaged(self._where, f"its end {self._room} bytes early", "as many as are needed")
        if behind := len(self._stream) - self._at:
            raise damaged(self._where, f"{behind} bytes behind the stream", "none")

    def _follow(self, until_bytes: int) -> None:
        """Follow codes until there is so much data; IndexError where the stream is cut short.

        One loop, not a method for each code: a stream may be made of nothing but the shortest ones.
        """
        stream, data = self._stream, self._data
        at, bits, behind_literal, room = self._at, self._bits, self._behind_literal, self._room
        while not self.ended and len(data) < until_bytes:
            if bits == _NO_BITS:
                bits = stream[at] | 0x100
                at += 1
                if bits == _EIGHT_LITERALS and room >= 8 and at + 8 <= len(stream):
                    data += stream[at : at + 8]
                    at += 8
                    room -= 8
                    bits, behind_literal = _NO_BITS, True
                    continue
            is_literal = bits & 1
            bits >>= 1
            if is_literal:
                if not room:
                    raise self._excess(1, 0)
                data.append(stream[at])
                at += 1
                room -= 1
                behind_literal = True
                continue
            length, at, bits = self._number(1, at, bits)
            same = 0
            if behind_literal:
                if bits == _NO_BITS:
                    bits = stream[at] | 0x100
                    at += 1
                same = bits & 1
                bits >>= 1
            distance = self._distance
            if not same:
                distance = stream[at]
                at += 1
                if distance >= 128:
                    high, at, bits = self._number(2, at, bits)
                    distance += high << 7
                    length += distance > FAR
            behind_literal = False
            if distance:
                length += SHORTEST_MATCH
                reach = min(self._dictionary, len(data))
                if distance > reach:
                    raise damaged(self._where, f"a match {distance} bytes back", f"at most {reach}")
                if length > room:
                    raise self._excess(length, room)
                start = len(data) - distance
                if length <= distance:
                    data += data[start : start + length]
                else:
                    data += (data[start:] * (length // distance + 1))[:length]
                room -= length
                self._distance = distance
            elif length == _LINE:
                length, at, bits = self._number(2, at, bits)
                length += SHORTEST_LINE
                if length > room:
                    raise self._excess(length, room)
                if at + length > len(stream):
                    raise IndexError
                data += stream[at : at + length]
                at += length
                room -= length
                behind_literal = True
            elif length in (_AFRESH, _END):
                self._distance, bits = 1, _NO_BITS
                self.ended = length == _END
            else:
                raise damaged(self._where, f"order {length}", "1 to 3")
        self._at, self._bits, self._behind_literal, self._room = at, bits, behind_literal, room

    def _number(self, group_bits: int, at: int, bits: int) -> tuple[int, int, int]:
        """A number in groups of so many bits, and where it ends."""
        stream = self._stream
        value, more = -1, 1
        while more:
            value += 1
            if value > MAX_NUMBER:
                raise damaged(self._where, f"a number above {MAX_NUMBER}", "a length or distance")
            group = 0
            for place in range(group_bits):
                if bits == _NO_BITS:
                    bits = stream[at] | 0x100
                    at += 1
                group |= (bits & 1) << place
                bits >>= 1
            value = (value << group_bits) + group
            if bits == _NO_BITS:
                bits = stream[at] | 0x100
                at += 1
            more = bits & 1
            bits >>= 1
        return value, at, bits

    def _excess(self, size_bytes: int, room: int) -> Refused:
        return damaged(self._where, f"{size_bytes} more bytes", f"at most {room}")
