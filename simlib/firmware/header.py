"""The 32-byte header at the start of an MCUboot image (MCUboot docs/design.md, "Image format").

Decides what a well-formed header is: the magic, only known flags, reserved bytes zero, a load address
only with the flag that gives it a meaning, at most one cipher. Whether the rest of the image agrees
with it is decided in `simlib.firmware.image`; whether a flag is acceptable, by whoever verifies or boots.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.version import Version

MAGIC: Final = 0x96F3B83D
HEADER_BYTES: Final = 32
_LAYOUT: Final = struct.Struct("<IIHHII8sI")
_MAGIC_BYTES: Final = MAGIC.to_bytes(4, "little")


class Flag(IntFlag):
    """The header flags MCUboot and imgtool define."""

    PIC = 0x1
    ENCRYPTED_AES128 = 0x4
    ENCRYPTED_AES256 = 0x8
    NON_BOOTABLE = 0x10
    RAM_LOAD = 0x20
    ROM_FIXED = 0x100
    COMPRESSED_LZMA1 = 0x200
    COMPRESSED_LZMA2 = 0x400
    COMPRESSED_ARM_THUMB = 0x800


KNOWN_FLAGS: Final = Flag(sum(Flag))
ENCRYPTED: Final = Flag.ENCRYPTED_AES128 | Flag.ENCRYPTED_AES256
LOADED: Final = Flag.RAM_LOAD | Flag.ROM_FIXED
"""The flags that give the load address a meaning."""
COMPRESSED: Final = Flag.COMPRESSED_LZMA1 | Flag.COMPRESSED_LZMA2 | Flag.COMPRESSED_ARM_THUMB


@dataclass(frozen=True, slots=True)
class Header:
    """An image header: `header_size` and `image_size` [bytes] count the padded header and the payload.

    `protected_size` [bytes] is the protected TLV area with its own four-byte heading, 0 without one.
    """

    header_size: int
    protected_size: int
    image_size: int
    flags: Flag
    version: Version
    load_address: int = 0

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("header size", self.header_size, HEADER_BYTES, 0xFFFF),
            ("protected TLV size", self.protected_size, 0, 0xFFFF),
            ("payload", self.image_size, 1, 0xFFFF_FFFF),
            ("load address", self.load_address, 0, 0xFFFF_FFFF),
        ):
            if not low <= value <= high:
                raise InputError(f"{name}: found {value}, expected {low} to {high}")

    @property
    def encrypted(self) -> bool:
        """Whether the payload travels encrypted."""
        return bool(self.flags & ENCRYPTED)

    @property
    def content_key_bytes(self) -> int:
        """The length of the key that the payload is encrypted under [byte], 0 in the clear."""
        if self.flags & Flag.ENCRYPTED_AES256:
            return 32
        return 16 if self.flags & Flag.ENCRYPTED_AES128 else 0

    def pack(self) -> bytes:
        """The header's `HEADER_BYTES` bytes; the padding up to `header_size` is not among them."""
        return _LAYOUT.pack(
            MAGIC,
            self.load_address,
            self.header_size,
            self.protected_size,
            self.image_size,
            self.flags,
            self.version.pack(),
            0,
        )


def parse_header(data: bytes) -> Header:
    """The header at the start of `data`.

    Raises `Refused`: NOT_AN_IMAGE without the magic, TRUNCATED when less than a header is there,
    HEADER_INVALID for a field that no image may have.
    """
    start = bytes(data[:4])
    if not _MAGIC_BYTES.startswith(start):
        raise Refused(
            Reason.NOT_AN_IMAGE,
            f"at offset 0x0: found bytes {start.hex()}, expected the magic {_MAGIC_BYTES.hex()}",
        )
    if len(data) < HEADER_BYTES:
        raise Refused(Reason.TRUNCATED, f"header: found {len(data)} bytes, expected {HEADER_BYTES}")
    fields = _LAYOUT.unpack_from(data)
    _, load_address, header_size, protected_size, image_size, flag_bits, version, reserved = fields
    if header_size < HEADER_BYTES:
        raise _invalid(0x8, f"header size {header_size}", f"{HEADER_BYTES} or more")
    if image_size == 0:
        raise _invalid(0xC, "an empty payload", "at least one byte")
    if unknown := flag_bits & ~int(KNOWN_FLAGS):
        raise _invalid(0x10, f"unknown flags 0x{unknown:x}", f"flags among 0x{int(KNOWN_FLAGS):x}")
    flags = Flag(flag_bits)
    if flags & ENCRYPTED == ENCRYPTED:
        raise _invalid(0x10, "both AES-128 and AES-256", "one cipher")
    if flags & Flag.RAM_LOAD and flags & Flag.ROM_FIXED:
        raise _invalid(0x10, "both RAM_LOAD and ROM_FIXED", "one meaning for the load address")
    if load_address and not flags & LOADED:
        raise _invalid(0x4, f"load address 0x{load_address:x} without a flag that uses it", "0")
    if reserved:
        raise _invalid(0x1C, f"reserved field 0x{reserved:x}", "0")
    return Header(
        header_size=header_size,
        protected_size=protected_size,
        image_size=image_size,
        flags=flags,
        version=Version.unpack(version),
        load_address=load_address,
    )


def _invalid(offset: int, found: str, expected: str) -> Refused:
    where = f"header at offset 0x{offset:x}"
    return Refused(Reason.HEADER_INVALID, f"{where}: found {found}, expected {expected}")
