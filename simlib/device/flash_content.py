"""What every sector of a flash holds, found out by comparing its bytes with images that are known.

A sector is compared with every sector of every known image, so an image is found wherever a swap has put it:
in its slot, one sector higher, in a scratch area, in the clear or encrypted. Only bytes count; where the boot
loader believes an image to be is not asked. What a slot's trailer may occupy is looked at by itself.

Leaves to others: which images are known and when to look (`stages`), and how it is drawn (`simlib.results`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from simlib.device.trailer import TrailerMap

if TYPE_CHECKING:
    from simlib.device.device import Device


class Kind(StrEnum):
    """What a sector is, apart from a trailer in it."""

    ERASED = "erased"
    IMAGE = "image"  # a whole sector of a known image, or its shorter last one
    PART = "part"  # a piece of one, the rest of the sector erased
    ALIKE = "alike"  # a whole sector, or part, that several known images have
    TRAILER = "trailer"  # nothing but a trailer, or a journal, written or being written
    OTHER = "other"


class Known(NamedTuple):
    """An image, or a patch, as it may lie in the flash from a sector's start on."""

    image: str
    data: bytes
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class SectorContent:
    """One sector of the flash. `image` and `image_sector` say of which image, and which sector of it."""

    partition: str
    number: int  # in the partition, from 0
    offset: int  # in the flash [byte]
    kind: Kind
    image: str = ""
    image_sector: int = -1
    encrypted: bool = False
    trailer: bool = False  # whether fields of a trailer, or of a journal, stand in it


class Stretch(NamedTuple):
    """Neighbouring sectors of one partition that hold the same in a row: numbers from `first` to `last`."""

    first: SectorContent
    last: SectorContent


def content_of(device: Device, known: Sequence[Known]) -> tuple[SectorContent, ...]:
    """Every sector of the device's partitions, from the start of the flash; power may be off."""
    sector = device.config.sector_size_bytes
    cells = device.flash.content()
    chunks = [
        _Chunk(each, number, each.data[at : at + sector])
        for each in known
        for number, at in enumerate(range(0, len(each.data), sector))
    ]
    classifier = _Classifier(chunks, device.config.erased_value)
    found = []
    for partition in device.partitions:
        start = trailer_start(device, partition.name)
        for at in range(0, partition.size, sector):
            offset = partition.offset + at
            body = min(max(start - at, 0), sector)
            where = (partition.name, at // sector, offset)
            found.append(classifier.sector(where, cells[offset : offset + sector], body))
    return tuple(found)


def trailer_start(device: Device, partition: str) -> int:
    """Where the trailer, or journal, of this partition begins in it; its end where it has none [byte]."""
    area = device.area(partition)
    layout = device.config.layout
    holders = ("scratch",) if layout == "in-place-journal" else ("primary", "secondary", "scratch")
    if partition not in holders or layout == "single-slot":
        return area.size
    encrypted = device.decryption_key is not None
    return TrailerMap.of(device.config, encrypted=encrypted, slot=partition).status


def stretches(content: Sequence[SectorContent]) -> list[Stretch]:
    """Sectors joined with their neighbours where these go on in the same way."""

    def key(each: SectorContent) -> tuple[object, ...]:
        going_on = each.number - each.image_sector if each.image else None
        return each.partition, each.kind, each.image, each.encrypted, each.trailer, going_on

    groups = (list(members) for _, members in groupby(content, key))
    return [Stretch(members[0], members[-1]) for members in groups]


def missing_sectors(content: Sequence[SectorContent], image: Known, sector: int) -> set[int]:
    """The sectors of `image` of which the flash holds no whole copy, encrypted or not."""
    held = {
        each.image_sector
        for each in content
        if each.kind in (Kind.IMAGE, Kind.ALIKE) and image.image in each.image.split(", ")
    }
    return set(range(-(-len(image.data) // sector))) - held


class _Chunk(NamedTuple):
    known: Known
    number: int
    data: bytes


class _Classifier:
    def __init__(self, chunks: Sequence[_Chunk], erased_value: int) -> None:
        self._chunks = chunks
        self._erased = bytes([erased_value])

    def sector(self, where: tuple[str, int, int], cells: bytes, body: int) -> SectorContent:
        """`body`: how many bytes lie below what a trailer may occupy."""
        if self._is_erased(cells):
            return SectorContent(*where, Kind.ERASED)
        whole = [chunk for chunk in self._chunks if chunk.data == cells]
        if whole:
            return _of(whole, where, Kind.IMAGE, trailer=False)
        below, trailer = cells[:body], not self._is_erased(cells[body:])
        if self._is_erased(below):
            return SectorContent(*where, Kind.TRAILER, trailer=True)
        whole = [chunk for chunk in self._chunks if self._holds(below, chunk.data)]
        if whole:
            return _of(whole, where, Kind.IMAGE, trailer=trailer)
        lengths = [self._part_length(below, chunk.data) for chunk in self._chunks]
        longest = max(lengths, default=0)
        if longest:
            parts = [c for c, length in zip(self._chunks, lengths, strict=True) if length == longest]
            return _of(parts, where, Kind.PART, trailer=trailer)
        return SectorContent(*where, Kind.OTHER, trailer=trailer)

    def _is_erased(self, cells: bytes) -> bool:
        return not cells.strip(self._erased)

    def _holds(self, cells: bytes, data: bytes) -> bool:
        return cells.startswith(data) and self._is_erased(cells[len(data) :])

    def _part_length(self, cells: bytes, data: bytes) -> int:
        """How many bytes of one piece stand there with nothing beside them."""
        data = data.ljust(len(cells), self._erased)[: len(cells)]
        start, stop = len(cells) - len(cells.lstrip(self._erased)), len(cells.rstrip(self._erased))
        return stop - start if cells[start:stop] == data[start:stop] else 0


def _of(chunks: Sequence[_Chunk], where: tuple[str, int, int], kind: Kind, *, trailer: bool) -> SectorContent:
    images = list(dict.fromkeys(chunk.known.image for chunk in chunks))
    first = chunks[0]
    if len(images) > 1:
        kind = Kind.ALIKE
    return SectorContent(
        *where,
        kind=kind,
        image=", ".join(images),
        image_sector=first.number,
        encrypted=all(chunk.known.encrypted for chunk in chunks),
        trailer=trailer,
    )
