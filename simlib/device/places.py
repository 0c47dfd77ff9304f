"""Where an image lies: in which partition, and how far from its start."""

from __future__ import annotations

from dataclasses import dataclass

from simlib.device.partitions import Area
from simlib.errors import Refused
from simlib.firmware.header import HEADER_BYTES, Header, parse_header
from simlib.firmware.image import image_size
from simlib.firmware.tlv import HEADING


@dataclass(frozen=True, slots=True)
class Place:
    """The bytes of a partition from `offset` on; offsets of reads count from there."""

    area: Area
    offset: int = 0

    @property
    def name(self) -> str:
        """The partition's name."""
        return self.area.name

    @property
    def size(self) -> int:
        """How many bytes there are to the partition's end."""
        return self.area.size - self.offset

    @property
    def address(self) -> int:
        """Where it starts in the flash."""
        return self.area.partition.offset + self.offset

    def read(self, offset: int, n: int) -> bytes:
        """`n` bytes from `offset`."""
        return self.area.read(self.offset + offset, n)


def header_at(place: Place) -> Header | None:
    """The image header there; None where there is none."""
    try:
        return parse_header(place.read(0, HEADER_BYTES))
    except Refused:
        return None


def occupied(place: Place) -> bytes:
    """The image there, header to TLVs; raises `Refused` where there is none of a usable shape.

    What it occupies is taken from its own header and TLVs; what lies behind it, left over from a longer
    image, is never looked at.
    """
    return place.read(0, image_size(_outline(place)))


def _outline(place: Place) -> bytes:
    """As many bytes as there are, with header and TLVs in place: all that the size depends on.

    The rest is zeros, so that nobody depends on it. Raises `Refused` where there is no header.
    """
    outline = bytearray(place.size)
    outline[:HEADER_BYTES] = place.read(0, HEADER_BYTES)
    header = parse_header(bytes(outline[:HEADER_BYTES]))
    at = header.header_size + header.image_size
    for _ in range(2 if header.protected_size else 1):
        if at + HEADING.size > place.size:
            break
        _, size_bytes = HEADING.unpack(place.read(at, HEADING.size))
        n = min(max(size_bytes, HEADING.size), place.size - at)
        outline[at : at + n] = place.read(at, n)
        at += n
    return bytes(outline)
