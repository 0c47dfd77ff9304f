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

from dataclasses import dataclass
from typing import Any, Final

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.header import HEADER_BYTES, Flag, Header, parse_header
from simlib.firmware.tlv import Tlv, TlvType, build_area, parse_area
from simlib.firmware.trailer import MAX_SECTORS, Trailer, check_fits, padded, parse_trailing

__all__ = [
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

_ENCRYPTION_TLVS: Final = frozenset(
    {
        TlvType.ENCRSA2048,
        TlvType.ENCKW,
        TlvType.ENCEC256,
        TlvType.ENCX25519,
        TlvType.ENCX25519_SHA512,
    }
)


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

    @property
    def security_counter(self) -> int | None:
        """The value of the SEC_CNT record, None without one."""
        record = self.find(TlvType.SEC_CNT)
        return None if record is None else int.from_bytes(record.value, "little")


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
    wraps = [tlv.type.name for tlv in unprotected if tlv.type in _ENCRYPTION_TLVS]
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
    encrypted = parse_header(image).encrypted
    check_fits(image, slot_size, write_size=write_size, encrypted=encrypted, max_sectors=max_sectors)


def describe_image(data: bytes, *, erased_value: int = 0xFF) -> dict[str, Any]:
    """What `simlib image info` shows, JSON-able: header fields, TLVs and what follows, offsets in bytes.

    Nothing in it is verified. What follows the image is named rather than refused: ``none``, ``erased``,
    ``trailer`` or ``unknown``. Raises `Refused` as `image_size` does.
    """
    header, tlvs, end = _parse_parts(data)
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
        "security_counter": ParsedImage(data, header, tlvs, end, None).security_counter,
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
