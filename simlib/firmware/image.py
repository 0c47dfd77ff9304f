"""A whole MCUboot image: header, payload, protected and unprotected TLVs (MCUboot docs/design.md).

Decides whether bytes have the shape of an image, in this order:

1. the header is well formed (`simlib.firmware.header`);
2. the sizes it declares lie within the data;
3. the protected area is exactly as long as the header says, or absent when it says 0;
4. both areas hold only records that may be there (`simlib.firmware.tlv`);
5. the header's encryption flag and the presence of a wrapped content key agree;
6. nothing follows but erased flash or a trailer (`simlib.firmware.trailer`).

Nothing is allocated by a declared size. Hash, signature, counter and decryption are for
`simlib.security`: a parsed image is not a trusted one.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Final

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.dependency import Dependency
from simlib.firmware.header import HEADER_BYTES, Flag, Header, parse_header
from simlib.firmware.identifiers import shown
from simlib.firmware.tlv import Tlv, TlvType, build_area, parse_area
from simlib.firmware.trailer import MAX_SECTORS, Trailer, check_fits, padded, parse_trailing

__all__ = [
    "ENCRYPTION_TLVS",
    "HASH_TLVS",
    "HEADER_BYTES",
    "Flag",
    "Header",
    "ParsedImage",
    "Tlv",
    "TlvType",
    "build_area",
    "check_fits_slot",
    "describe_image",
    "image_size",
    "pad_to_slot",
    "parse_header",
    "parse_image",
]

HASH_TLVS: Final = frozenset({TlvType.SHA256, TlvType.SHA384, TlvType.SHA512})
"""The records that name an image by its hash."""
ENCRYPTION_TLVS: Final = frozenset(
    {
        TlvType.ENCRSA2048,
        TlvType.ENCKW,
        TlvType.ENCEC256,
        TlvType.ENCX25519,
        TlvType.ENCX25519_SHA512,
    }
)
"""The records that carry a wrapped content key."""


@dataclass(frozen=True, slots=True)
class ParsedImage:
    """The parts of an image in `data`; sizes and offsets in bytes from its start."""

    data: bytes
    header: Header
    tlvs: tuple[Tlv, ...]
    size: int
    trailer: Trailer | None

    @property
    def payload(self) -> memoryview:
        """The payload as it lies in the data: in the clear or encrypted."""
        return memoryview(self.data)[self.header.header_size : self.payload_end]

    @property
    def payload_end(self) -> int:
        """Where the payload ends and the TLVs begin."""
        return self.header.header_size + self.header.image_size

    @property
    def hashed_end(self) -> int:
        """Where the part under the hash ends: header, payload and protected TLVs."""
        return self.payload_end + self.header.protected_size

    def find(self, tlv_type: TlvType) -> Tlv | None:
        """The first record of this type, None without one."""
        return next((tlv for tlv in self.tlvs if tlv.type is tlv_type), None)

    def find_all(self, kinds: Container[TlvType]) -> tuple[Tlv, ...]:
        """Every record of one of these types, in the image's order."""
        return tuple(tlv for tlv in self.tlvs if tlv.type in kinds)

    @property
    def hash_record(self) -> Tlv | None:
        """The first record that names the image by a hash, None without one."""
        return next(iter(self.find_all(HASH_TLVS)), None)

    @property
    def wrapped_key(self) -> Tlv | None:
        """The record with the wrapped content key, None in an image in the clear."""
        return next(iter(self.find_all(ENCRYPTION_TLVS)), None)

    @property
    def security_counter(self) -> int | None:
        """The value of the SEC_CNT record, None without one."""
        record = self.find(TlvType.SEC_CNT)
        return None if record is None else int.from_bytes(record.value, "little")

    @property
    def pure(self) -> bool:
        """Whether the signature is said to be over the image itself instead of its hash."""
        return self.find(TlvType.SIG_PURE) is not None

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """What the image demands of others, in its own order."""
        return tuple(Dependency.unpack(tlv.value) for tlv in self.find_all({TlvType.DEPENDENCY}))

    @property
    def vendor_id(self) -> bytes | None:
        """The 16 bytes of the vendor's identifier, None without one."""
        return self._value(TlvType.UUID_VID)

    @property
    def class_id(self) -> bytes | None:
        """The 16 bytes of the device class's identifier, None without one."""
        return self._value(TlvType.UUID_CID)

    def _value(self, tlv_type: TlvType) -> bytes | None:
        record = self.find(tlv_type)
        return None if record is None else record.value


def parse_image(data: bytes, *, erased_value: int | None = None) -> ParsedImage:
    """The parts of the image in `data`, which must have the shape the module's rules describe.

    With `erased_value` None the data must end with the image; with the value an erased byte reads as, erased
    padding and a trailer may follow. Raises `Refused` with the reason of the first rule broken.
    """
    header, tlvs, end = _parse_parts(data)
    return ParsedImage(data, header, tlvs, end, parse_trailing(data, end, erased_value))


def image_size(data: bytes) -> int:
    """The bytes of header, payload and TLVs together; whatever follows is not looked at.

    Raises `Refused` as `parse_image` does.
    """
    return _parse_parts(data)[2]


def _parse_parts(data: bytes) -> tuple[Header, tuple[Tlv, ...], int]:
    header = parse_header(data)
    payload_end = header.header_size + header.image_size
    if len(data) < payload_end:
        raise Refused(
            Reason.TRUNCATED, f"payload: found {len(data)} bytes of image, expected more than {payload_end}"
        )
    protected: tuple[Tlv, ...] = ()
    end = payload_end
    if header.protected_size:
        protected, end = parse_area(data, payload_end, protected=True)
        if end - payload_end != header.protected_size:
            raise Refused(
                Reason.TLV_INVALID,
                f"at offset 0x{payload_end:x}: found a protected area of {end - payload_end} bytes, "
                f"expected the {header.protected_size} the header declares",
            )
    unprotected, end = parse_area(data, end, protected=False)
    wraps = [tlv.type.name for tlv in unprotected if tlv.type in ENCRYPTION_TLVS]
    if len(wraps) != header.encrypted:
        expected = "exactly one" if header.encrypted else "none"
        raise Refused(
            Reason.TLV_INVALID,
            f"TLV area: found wrapped content keys {wraps}, expected {expected}, as the header's flags say",
        )
    return header, protected + unprotected, end


def pad_to_slot(
    image: bytes,
    slot_size: int,
    *,
    write_size: int,
    confirm: bool,
    erased_value: int = 0xFF,
    max_sectors: int = MAX_SECTORS,
) -> bytes:
    """`image` filled up to `slot_size` bytes with a trailer that asks for a trial, or is confirmed.

    The same bytes as ``imgtool sign --pad`` (``--confirm``) gives. `write_size` is the flash's write
    alignment, 1 to 32. Raises `InputError` when it does not fit (`check_fits_slot`), `Refused` for no image.
    """
    parse_image(image)
    check_fits_slot(image, slot_size, write_size=write_size, max_sectors=max_sectors)
    return padded(
        image, slot_size, write_size=write_size, confirm=confirm, erased_value=_erased_byte(erased_value)
    )


def check_fits_slot(image: bytes, slot_size: int, *, write_size: int, max_sectors: int = MAX_SECTORS) -> None:
    """Raise `InputError` unless `image` leaves room for a trailer in a slot of `slot_size` bytes.

    The rule is imgtool's: the trailer of a boot loader built for `max_sectors` sectors a slot. Passing does
    not promise that a device can swap the image: its flash may have more sectors, and a swap needs room of
    its own (`simlib.device.layouts.max_image_bytes` knows).
    """
    key_bytes = parse_header(image).content_key_bytes
    check_fits(image, slot_size, write_size=write_size, content_key_bytes=key_bytes, max_sectors=max_sectors)


def describe_image(data: bytes, *, erased_value: int = 0xFF) -> dict[str, Any]:
    """What `simlib image info` shows, JSON-able: header fields, TLVs and what follows, offsets in bytes.

    Nothing in it is verified. What follows the image is named rather than refused: ``none``, ``erased``,
    ``trailer`` or ``unknown``. Raises `Refused` as `image_size` does.
    """
    header, tlvs, end = _parse_parts(data)
    parsed = ParsedImage(data, header, tlvs, end, None)
    trailer = None
    try:
        trailer = parse_trailing(data, end, erased_value)
        following = "trailer" if trailer else "erased" if len(data) > end else "none"
    except Refused:
        following = "unknown"
    return {
        "size_bytes": end,
        "file_bytes": len(data),
        "version": str(header.version),
        "header": {
            "header_size": header.header_size,
            "protected_tlv_size": header.protected_size,
            "image_size": header.image_size,
            "load_address": header.load_address,
            "flags": [flag.name for flag in header.flags],
        },
        "security_counter": parsed.security_counter,
        "dependencies": [{"image": each.image, "least": str(each.least)} for each in parsed.dependencies],
        "vendor_id": parsed.vendor_id and shown(parsed.vendor_id),
        "class_id": parsed.class_id and shown(parsed.class_id),
        "hash": parsed.hash_record and parsed.hash_record.type.name,
        "pure": parsed.pure,
        "key_wrap": parsed.wrapped_key and parsed.wrapped_key.type.name,
        "tlvs": [
            {
                "type": int(tlv.type),
                "name": tlv.type.name,
                "protected": tlv.protected,
                "offset": tlv.offset,
                "length": len(tlv.value),
                "value": tlv.value.hex(),
            }
            for tlv in tlvs
        ],
        "following": following,
        "trailer": trailer and {"image_ok": trailer.image_ok, "copy_done": trailer.copy_done},
    }


def _erased_byte(value: int) -> int:
    if not 0 <= value <= 0xFF:
        raise InputError(f"erased value: found {value}, expected 0 to 255")
    return value
