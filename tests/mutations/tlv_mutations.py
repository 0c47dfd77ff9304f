"""What can be done to the TLVs of an image, record by record and area by area."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.mutations.anatomy import (
    COUNTER,
    HASHES,
    PROTECTED,
    UNPROTECTED,
    Anatomy,
    Record,
    TlvArea,
)
from tests.mutations.byte_mutations import flip_bits
from tests.mutations.dice import Dice
from tests.mutations.subjects import Genuine

KINDS = (
    *(0x01, 0x02, 0x10, 0x11, 0x12, 0x20, 0x22, 0x23, 0x24, 0x25),
    *(0x30, 0x31, 0x32, 0x33, 0x34, 0x40, 0x50, 0x60, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75),
    *(0x00, 0xA0, 0xFF, 0xFFFE, 0xFFFF),
)
"""Every type of TLV that MCUboot defines, and some that it does not."""
LENGTHS = (0, 1, 4, 8, 12, 16, 24, 32, 40, 48, 64, 72, 96, 104, 112, 113, 128, 129, 256, 294, 384, 512)


@dataclass
class Work:
    """An image being changed: `payload` is what its payload would be in the clear."""

    origin: Genuine
    parts: Anatomy
    payload: bytes

    def rehash(self) -> None:
        """Let the hash be right again, as anybody can."""
        record = self.parts.unprotected.find(*HASHES)
        if record is not None:
            record.value = self.parts.digest_with(self.payload, HASHES[record.kind])


def _area(dice: Dice, work: Work) -> TlvArea:
    return work.parts.unprotected if dice.chance(3, 4) else work.parts.protected


def _record(dice: Dice, work: Work) -> tuple[TlvArea, int] | None:
    area = _area(dice, work)
    return (area, dice.below(len(area.records))) if area.records else None


def area_heading(dice: Dice, work: Work) -> None:
    area = _area(dice, work)
    if dice.chance(1, 2):
        area.magic = dice.one((UNPROTECTED, PROTECTED, dice.integer(16, area.magic)))
    else:
        area.size = dice.integer(16, len(area.pack()), 4)
    area.present = True


def area_dropped(dice: Dice, work: Work) -> None:
    _area(dice, work).present = False


def area_left_over(dice: Dice, work: Work) -> None:
    _area(dice, work).loose = dice.octets(1 + dice.below(5))


def areas_changed_over(dice: Dice, work: Work) -> None:
    parts = work.parts
    parts.protected.records, parts.unprotected.records = parts.unprotected.records, parts.protected.records
    parts.protected.present = True


def tlv_type(dice: Dice, work: Work) -> None:
    if found := _record(dice, work):
        area, n = found
        area.records[n].kind = (
            dice.one(KINDS) if dice.chance(3, 4) else dice.integer(16, area.records[n].kind)
        )


def tlv_length(dice: Dice, work: Work) -> None:
    if found := _record(dice, work):
        area, n = found
        area.records[n].length = dice.integer(16, len(area.records[n].value), len(area.pack()))


def tlv_value(dice: Dice, work: Work) -> None:
    if found := _record(dice, work):
        area, n = found
        value = area.records[n].value
        match dice.below(5):
            case 0:
                value = bytes(len(value))
            case 1:
                value = b"\xff" * len(value)
            case 2:
                value = dice.octets(len(value))
            case _:
                value = flip_bits(dice, value)
        area.records[n].value = value


def tlv_resized(dice: Dice, work: Work) -> None:
    if found := _record(dice, work):
        area, n = found
        size = (
            dice.one(LENGTHS) if dice.chance(1, 2) else max(0, len(area.records[n].value) + dice.one((-1, 1)))
        )
        area.records[n].value = area.records[n].value[:size].ljust(size, b"\0")


def tlv_twice(dice: Dice, work: Work) -> None:
    if found := _record(dice, work):
        area, n = found
        again = Record(area.records[n].kind, area.records[n].value)
        area.records.insert(dice.below(len(area.records) + 1), again)


def tlv_dropped(dice: Dice, work: Work) -> None:
    if found := _record(dice, work):
        area, n = found
        del area.records[n]
        if not area.records and area is work.parts.protected:
            area.present = dice.chance(1, 2)


def tlvs_reordered(dice: Dice, work: Work) -> None:
    """Harmless in the unprotected area: nothing depends on the order."""
    records = work.parts.unprotected.records
    for n in range(len(records) - 1, 0, -1):
        other = dice.below(n + 1)
        records[n], records[other] = records[other], records[n]


def tlv_added(dice: Dice, work: Work) -> None:
    area = _area(dice, work)
    area.present = True
    record = Record(dice.one(KINDS), dice.octets(dice.one(LENGTHS)))
    area.records.insert(dice.below(len(area.records) + 1), record)


def tlv_moved_over(dice: Dice, work: Work) -> None:
    """A record, or bytes of it, stand in the other area."""
    if found := _record(dice, work):
        area, n = found
        other = work.parts.protected if area is work.parts.unprotected else work.parts.unprotected
        record = area.records.pop(n)
        if dice.chance(1, 3):
            area.records.insert(n, Record(record.kind, record.value[4:]))
            record = Record(record.kind, record.value[:4])
        other.records.insert(dice.below(len(other.records) + 1), record)
        other.present = True


def sizes_shifted(dice: Dice, work: Work) -> None:
    """The header draws the line between payload, protected and unprotected bytes elsewhere."""
    parts = work.parts
    by = dice.one((-16, -8, -4, -1, 1, 4, 8, 16, len(parts.protected.pack()), -len(parts.protected.pack())))
    parts.image_size = len(parts.payload) + by
    if dice.chance(1, 2):
        parts.protected_size = max(0, len(parts.protected.pack()) - by)


def counter_value(dice: Dice, work: Work) -> None:
    record = work.parts.protected.find(COUNTER)
    if record is not None:
        record.value = dice.integer(32, 1, 2, 3).to_bytes(4, "little")


OF_TLVS: tuple[Callable[[Dice, Work], None], ...] = (
    *(area_heading, area_dropped, area_left_over, areas_changed_over),
    *(tlv_type, tlv_length, tlv_value, tlv_resized, tlv_twice, tlv_dropped, tlvs_reordered, tlv_added),
    *(tlv_moved_over, sizes_shifted, counter_value),
)
