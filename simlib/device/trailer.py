"""The trailer at the end of a slot: where each field lies, how it is written and how it is read.

From the slot's end downwards (MCUboot docs/design.md, "Image trailer"): magic, image_ok, copy_done,
swap_info, a field for the sizes of unprotected TLVs where the swap is by offset, swap_size, two content keys
where the boot loader decrypts, swap status. A field starts at a multiple of max(8, write size); the status
has so many units of the write size for each of max(128, sectors) sectors: three where a sector is moved
first or goes through a scratch area, two where it is swapped by offset. A layout that never swaps has the
fields down to swap_info alone. What a file may carry as a trailer is decided in `simlib.firmware.trailer`;
this is the trailer as a boot loader keeps it.

Reading is tolerant where a write may have been torn. The magic counts only when it is whole, and it is
always written last, so nothing it vouches for can be torn. A flag or a status unit that is not erased
counts as written: it is written when the step that it records is complete, so half a record is as good as
a whole one, and one that reads as erased only repeats a step that may be repeated. A write that the driver
refuses is a record that is missing: the work goes on without it.

Leaves to others: what the fields mean for a boot (`bootloader`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Final

from simlib.device.config import DeviceConfig
from simlib.device.flash import FlashError, FlashErrorKind
from simlib.device.meter import ceil_div
from simlib.device.partitions import Area
from simlib.device.slots import sector_of, size_of, status_sectors
from simlib.firmware.trailer import FLAG_SET, MAGIC_BYTES, trailer_magic

MIN_ALIGN: Final = 8
CONTENT_KEY_SIZE: Final = 32
SWAP_STATES: Final = {"swap-scratch": 3, "swap-move": 3, "swap-offset": 2, "in-place-journal": 3}
"""Status units a sector, of the layouts that keep a status."""


class Magic(StrEnum):
    """What the magic field holds."""

    GOOD = "good"
    UNSET = "unset"
    BAD = "bad"


class SwapType(StrEnum):
    """What a boot does with the slots."""

    NONE = "none"
    TEST = "test"
    PERMANENT = "permanent"
    REVERT = "revert"


SWAP_NUMBERS: Final = {SwapType.TEST: 2, SwapType.PERMANENT: 3, SwapType.REVERT: 4}
"""The numbers of `swap_info`'s lower four bits (`BOOT_SWAP_TYPE_*`, boot/bootutil/include)."""


def align_up(n: int, unit: int) -> int:
    """The least multiple of `unit` that is not below `n`."""
    return ceil_div(n, unit) * unit


@dataclass(frozen=True)
class TrailerMap:
    """Offsets of the fields in a slot of `slot_size` [byte].

    `states` are the status units of a sector, 0 where there is no swap to keep a status of.
    """

    slot_size: int
    sector_size: int
    write_size: int
    align: int
    status_sectors: int
    encrypted: bool
    states: int = 3
    keeps_tlv_sizes: bool = False

    @classmethod
    def of(cls, config: DeviceConfig, *, encrypted: bool, slot: str = "primary") -> TrailerMap:
        """The trailer of this device's slot; `encrypted`: with room for the two content keys."""
        return _map_of(config, encrypted, slot)

    @property
    def magic(self) -> int:
        """The magic's own 16 bytes; its field may start lower."""
        return self.slot_size - MAGIC_BYTES

    @property
    def magic_field(self) -> int:
        """Where the write of the magic starts."""
        return self.slot_size - align_up(MAGIC_BYTES, self.align)

    @property
    def image_ok(self) -> int:
        """The running image has confirmed itself."""
        return self.magic_field - self.align

    @property
    def copy_done(self) -> int:
        """The swap is complete; where slots are chosen, not swapped: the image has been selected."""
        return self.image_ok - self.align

    @property
    def swap_info(self) -> int:
        """Which kind of swap is under way."""
        return self.copy_done - self.align

    @property
    def swap_size(self) -> int:
        """How many bytes the swap covers.

        MCUboot's field for TLV sizes lies above it where swaps are by offset. This boot loader leaves it
        empty: its `swap_size` counts the TLVs.
        """
        return self.swap_info - self.align * (2 if self.keeps_tlv_sizes else 1)

    def key(self, slot: int) -> int:
        """The content key of the image that was in the primary (0) or the secondary (1) slot."""
        return self.swap_size - (slot + 1) * align_up(CONTENT_KEY_SIZE, self.align)

    @property
    def fields(self) -> int:
        """The lowest field above the status."""
        if not self.states:
            return self.swap_info
        return self.key(1) if self.encrypted else self.swap_size

    @property
    def status_size(self) -> int:
        """Bytes of the swap status."""
        return self.status_sectors * self.states * self.write_size

    @cached_property
    def status(self) -> int:
        """The swap status: also where the trailer starts."""
        return self.fields - self.status_size

    @property
    def size(self) -> int:
        """The whole trailer [byte]."""
        return self.slot_size - self.status

    @property
    def sectors(self) -> int:
        """Sectors the trailer touches."""
        return ceil_div(self.size, self.sector_size)

    @property
    def magic_value(self) -> bytes:
        """What the magic reads when it is good."""
        return trailer_magic(self.align)


@lru_cache(maxsize=64)
def _map_of(config: DeviceConfig, encrypted: bool, slot: str) -> TrailerMap:
    states = SWAP_STATES.get(config.layout, 0)
    return TrailerMap(
        slot_size=size_of(config, slot),
        sector_size=sector_of(config, slot),
        write_size=config.write_size_bytes,
        align=max(MIN_ALIGN, config.write_size_bytes),
        # A scratch area keeps the status of the one region that it helps to swap.
        status_sectors=1 if (slot, config.layout) == ("scratch", "swap-scratch") else status_sectors(config),
        encrypted=encrypted,
        states=states,
        keeps_tlv_sizes=config.layout == "swap-offset",
    )


@dataclass(frozen=True, slots=True)
class TrailerState:
    """The three fields that decide what a boot does."""

    magic: Magic
    image_ok: bool
    copy_done: bool


@dataclass(frozen=True, slots=True)
class Trailer:
    """The trailer in one slot."""

    area: Area
    map: TrailerMap

    def state(self) -> TrailerState:
        """Magic and flags, read tolerantly."""
        return TrailerState(self.magic(), self._written(self.map.image_ok), self._written(self.map.copy_done))

    def magic(self) -> Magic:
        """Whether the magic is whole, absent or damaged."""
        found = self.area.read(self.map.magic, MAGIC_BYTES)
        if found == self.map.magic_value:
            return Magic.GOOD
        return Magic.UNSET if self.area.is_erased(self.map.magic, MAGIC_BYTES) else Magic.BAD

    def swap_type(self) -> SwapType:
        """The swap that was started; NONE where the field holds no such number."""
        number = self.area.read(self.map.swap_info, 1)[0] & 0x0F
        return next((kind for kind, n in SWAP_NUMBERS.items() if n == number), SwapType.NONE)

    def swap_size(self) -> int:
        """How many bytes the started swap covers."""
        (size,) = struct.unpack("<I", self.area.read(self.map.swap_size, 4))
        return int(size)

    def content_key(self, slot: int) -> bytes | None:
        """The content key kept for this slot's image; None where none was: an erased field is no key.

        One of AES-128 leaves the second half of the field erased.
        """
        if self.area.is_erased(self.map.key(slot), CONTENT_KEY_SIZE):
            return None
        half = CONTENT_KEY_SIZE // 2
        short = self.area.is_erased(self.map.key(slot) + half, half)
        return self.area.read(self.map.key(slot), half if short else CONTENT_KEY_SIZE)

    def status_units(self) -> int:
        """The number of the highest status unit written, counted from 1; 0: none."""
        erased = bytes([self.area.flash.geometry.erased_value])
        return ceil_div(
            len(self.area.read(self.map.status, self.map.status_size).rstrip(erased)), self.map.write_size
        )

    def is_clean(self) -> bool:
        """Whether every field above the status is erased."""
        return self.area.is_erased(self.map.fields, self.map.slot_size - self.map.fields)

    def erase(self) -> None:
        """Erase the trailer's sectors, the one with the magic last: until then it vouches for what it did."""
        start = self.map.slot_size - self.map.sectors * self.map.sector_size
        self.area.erase_range(start, self.map.slot_size - start)

    def write_magic(self) -> None:
        """Write the magic: from here on the other fields count."""
        pad = bytes([self.area.flash.geometry.erased_value]) * (self.map.magic - self.map.magic_field)
        self.area.write_bytes(self.map.magic_field, pad + self.map.magic_value)

    def write_image_ok(self) -> None:
        """Confirm the image of this slot."""
        self.area.write_bytes(self.map.image_ok, bytes([FLAG_SET]))

    def write_copy_done(self) -> None:
        """Record that the swap is complete."""
        self.area.write_bytes(self.map.copy_done, bytes([FLAG_SET]))

    def write_swap_type(self, kind: SwapType) -> None:
        """Record which swap is being started, of image number 0."""
        self.area.write_bytes(self.map.swap_info, bytes([SWAP_NUMBERS[kind]]))

    def write_swap_size(self, size: int) -> None:
        """Record how many bytes the swap covers."""
        self.area.write_bytes(self.map.swap_size, struct.pack("<I", size))

    def write_content_key(self, slot: int, key: bytes) -> None:
        """Keep a content key for the swap, so that it can be resumed."""
        self.area.write_bytes(self.map.key(slot), key)

    def write_status_unit(self, unit: int) -> None:
        """Record the step of this number, counted from 0, as complete, if the driver takes it."""
        try:
            self.area.write_bytes(self.map.status + unit * self.map.write_size, bytes([FLAG_SET]))
        except FlashError as error:
            if error.kind is not FlashErrorKind.WRITE_FAILED:
                raise

    def _written(self, offset: int) -> bool:
        return not self.area.is_erased(offset, self.map.align)
