"""A patch taken apart, put together again with any of it wrong, and what its triples would make.

Like `anatomy` it shares no code with what it tests: the reading here is the format's plainest.
"""

from __future__ import annotations

import bz2
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from struct import Struct

MAGIC = b"SIMDELTA"
PAYLOAD_MAGIC = b"BSDIFF40"
START = Struct("<8sHB")
FACTS = Struct("<32sQ32sQ32sQ")
TOP = 1 << 63
LARGEST_MADE_BYTES = 1 << 16


def number(value: int) -> bytes:
    """bsdiff's integer: 8 bytes, little endian, sign and magnitude."""
    magnitude = abs(value) % TOP
    return (magnitude | (TOP if value < 0 else 0)).to_bytes(8, "little")


def value_of(octets: bytes) -> int:
    """The integer in 8 bytes."""
    word = int.from_bytes(octets, "little")
    return word if word < TOP else TOP - word


@dataclass
class Instructions:
    """The content of a bsdiff4 payload: triples (x, y, z), diff bytes, extra bytes."""

    triples: list[list[int]]
    diff: bytes
    extra: bytes

    def copy(self) -> Instructions:
        return Instructions([list(triple) for triple in self.triples], self.diff, self.extra)

    def streams(self, level: int) -> list[bytes]:
        """The three bzip2 streams."""
        control = b"".join(number(value) for triple in self.triples for value in triple)
        return [bz2.compress(block, level) for block in (control, self.diff, self.extra)]


@lru_cache(maxsize=256)
def _instructions(payload: bytes) -> Instructions:
    control_size, diff_size = value_of(payload[8:16]), value_of(payload[16:24])
    diff_from = 32 + control_size
    blocks = (
        payload[32:diff_from],
        payload[diff_from : diff_from + diff_size],
        payload[diff_from + diff_size :],
    )
    control, diff, extra = map(bz2.decompress, blocks)
    numbers = [value_of(control[at : at + 8]) for at in range(0, len(control), 8)]
    return Instructions([numbers[n : n + 3] for n in range(0, len(numbers), 3)], diff, extra)


def instructions_in(payload: bytes) -> Instructions:
    """The content of a genuine payload, to be changed."""
    return _instructions(payload).copy()


def made_of(base: bytes, instructions: Instructions) -> bytes:
    """What a lax reader would make of the instructions: outside the base it finds zeros."""
    parts: list[bytes] = []
    position = diff_at = extra_at = made = 0
    for added_bytes, appended_bytes, z in instructions.triples:
        x, y = (min(max(n, 0), LARGEST_MADE_BYTES - made) for n in (added_bytes, appended_bytes))
        source = bytes(max(0, min(-position, x))) + base[max(0, position) : max(0, position + x)]
        added = instructions.diff[diff_at : diff_at + x].ljust(x, b"\0")
        parts.append(bytes((a + b) & 0xFF for a, b in zip(source.ljust(x, b"\0"), added, strict=True)))
        parts.append(instructions.extra[extra_at : extra_at + y].ljust(y, b"\0"))
        position, diff_at, extra_at, made = position + x + z, diff_at + x, extra_at + y, made + x + y
        if made >= LARGEST_MADE_BYTES:
            break
    return b"".join(parts)[:LARGEST_MADE_BYTES]


@dataclass
class Payload:
    """A bsdiff4 payload; a size is None where its header tells the truth about it."""

    streams: list[bytes]
    result_size: int
    magic: bytes = PAYLOAD_MAGIC
    control_size: int | None = None
    diff_size: int | None = None

    def encode(self) -> bytes:
        control = len(self.streams[0]) if self.control_size is None else self.control_size
        diff = len(self.streams[1]) if self.diff_size is None else self.diff_size
        header = self.magic + number(control) + number(diff) + number(self.result_size)
        return header + b"".join(self.streams)


@dataclass
class Cover:
    """An envelope: what it says of base, result and payload, whether that is so or not."""

    base_sha256: bytes
    base_size: int
    result_sha256: bytes
    result_size: int
    payload: bytes
    codec: bytes = b"bsdiff4"
    version: int = 1
    magic: bytes = MAGIC
    name_size: int | None = None
    payload_sha256: bytes | None = None
    payload_size: int | None = None
    own_hash: bytes | None = None

    @classmethod
    def of(cls, base: bytes, result: bytes, payload: bytes) -> Cover:
        """The one that says how it is."""
        return cls(sha256(base).digest(), len(base), sha256(result).digest(), len(result), payload)

    def encode(self) -> bytes:
        name_size = len(self.codec) if self.name_size is None else self.name_size
        payload_sha256 = self.payload_sha256 or sha256(self.payload).digest()
        payload_size = len(self.payload) if self.payload_size is None else self.payload_size
        head = START.pack(self.magic, self.version & 0xFFFF, name_size & 0xFF) + self.codec
        head += FACTS.pack(
            self.base_sha256,
            self.base_size % (1 << 64),
            self.result_sha256,
            self.result_size % (1 << 64),
            payload_sha256,
            payload_size % (1 << 64),
        )
        return head + (self.own_hash or sha256(head).digest()) + self.payload
