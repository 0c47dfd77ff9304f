"""The type-length-value records behind an MCUboot image's payload (MCUboot docs/design.md, "TLV").

Decides which records may stand in which of the two areas, how long each may be and how often it may
occur, and which values a record of few may have. The protected area is under the image's hash; the
unprotected one is not, so nothing in it is taken on trust: an unknown, repeated, misplaced or wrongly sized
record is refused here, before anybody looks for a hash or a signature. What a record proves is decided in
`simlib.security`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from simlib.errors import InputError, Reason, Refused

AREA_MAGIC: Final = 0x6907
PROTECTED_MAGIC: Final = 0x6908
HEADING: Final = struct.Struct("<HH")
"""Both an area's heading (magic, size with the heading) and a record's (type, length without it)."""
_AREA_LIMIT_BYTES: Final = 0xFFFF


class TlvType(IntEnum):
    """The record types of MCUboot and imgtool 2.5."""

    KEYHASH = 0x01
    PUBKEY = 0x02
    SHA256 = 0x10
    SHA384 = 0x11
    SHA512 = 0x12
    RSA2048 = 0x20
    ECDSASIG = 0x22
    RSA3072 = 0x23
    ED25519 = 0x24
    SIG_PURE = 0x25
    ENCRSA2048 = 0x30
    ENCKW = 0x31
    ENCEC256 = 0x32
    ENCX25519 = 0x33
    ENCX25519_SHA512 = 0x34
    DEPENDENCY = 0x40
    SEC_CNT = 0x50
    BOOT_RECORD = 0x60
    DECOMP_SIZE = 0x70
    DECOMP_SHA = 0x71
    DECOMP_SIGNATURE = 0x72
    COMP_DEC_SIZE = 0x73
    UUID_VID = 0x74
    UUID_CID = 0x75


@dataclass(frozen=True, slots=True)
class _Rule:
    lengths: Container[int]
    protected: bool = False
    repeatable: bool = False
    holds: Callable[[bytes], bool] | None = None  # what must be true of a value of the right length
    value: str = ""  # that in words


# A DER ECDSA signature is 8 bytes at the least; 72 at the most on P-256, 104 on P-384.
_DER_SIGNATURE: Final = range(8, 105)
_SIGNATURES: Final = range(8, 513)
_RULES: Final[dict[TlvType, _Rule]] = {
    TlvType.KEYHASH: _Rule((32, 48, 64)),
    TlvType.PUBKEY: _Rule(range(44, 513)),
    TlvType.SHA256: _Rule((32,)),
    TlvType.SHA384: _Rule((48,)),
    TlvType.SHA512: _Rule((64,)),
    TlvType.RSA2048: _Rule((256,)),
    TlvType.ECDSASIG: _Rule(_DER_SIGNATURE),
    TlvType.RSA3072: _Rule((384,)),
    TlvType.ED25519: _Rule((64,)),
    TlvType.SIG_PURE: _Rule((1,), holds=lambda value: value == b"\x01", value="1"),
    TlvType.ENCRSA2048: _Rule((256,)),
    TlvType.ENCKW: _Rule((24, 40)),
    TlvType.ENCEC256: _Rule((113, 129)),
    TlvType.ENCX25519: _Rule((80, 96)),
    TlvType.ENCX25519_SHA512: _Rule((112, 128)),
    TlvType.DEPENDENCY: _Rule(
        (12,),
        protected=True,
        repeatable=True,
        holds=lambda value: not any(value[1:4]),
        value="zeros behind the image's number",
    ),
    TlvType.SEC_CNT: _Rule((4,), protected=True),
    TlvType.BOOT_RECORD: _Rule(range(1, 1025), protected=True),
    TlvType.DECOMP_SIZE: _Rule((4,), protected=True),
    TlvType.DECOMP_SHA: _Rule((32, 48, 64), protected=True),
    TlvType.DECOMP_SIGNATURE: _Rule(_SIGNATURES, protected=True),
    TlvType.COMP_DEC_SIZE: _Rule((4, 8), protected=True),
    TlvType.UUID_VID: _Rule((16,), protected=True),
    TlvType.UUID_CID: _Rule((16,), protected=True),
}


@dataclass(frozen=True, slots=True)
class Tlv:
    """One record; `offset` [bytes] is where its heading stands in the image, −1 for one not yet placed."""

    type: TlvType
    value: bytes
    protected: bool = False
    offset: int = -1

    def pack(self) -> bytes:
        """The record's heading and value."""
        return HEADING.pack(self.type, len(self.value)) + self.value


def build_area(records: Sequence[Tlv], *, protected: bool) -> bytes:
    """A whole area with its heading; no bytes at all for a protected area without records.

    Raises `InputError` when the records do not fit in the 16-bit size of an area.
    """
    if protected and not records:
        return b""
    body = b"".join(record.pack() for record in records)
    size_bytes = HEADING.size + len(body)
    if size_bytes > _AREA_LIMIT_BYTES:
        raise InputError(f"TLV area: found {size_bytes} bytes, expected at most {_AREA_LIMIT_BYTES}")
    return HEADING.pack(PROTECTED_MAGIC if protected else AREA_MAGIC, size_bytes) + body


def parse_area(data: bytes, offset: int, *, protected: bool) -> tuple[tuple[Tlv, ...], int]:
    """The records of the area at `offset` of `data`, and the offset behind it.

    Raises `Refused`: TRUNCATED when `data` ends inside the area, TLV_INVALID for a wrong magic, size,
    length or area, TLV_UNKNOWN for a type without a meaning, TLV_DUPLICATE for a second record of a type.
    """
    expected_magic = PROTECTED_MAGIC if protected else AREA_MAGIC
    if len(data) < offset + HEADING.size:
        raise _truncated(len(data), offset + HEADING.size)
    magic, size_bytes = HEADING.unpack_from(data, offset)
    if magic != expected_magic:
        raise _invalid(offset, f"TLV area magic 0x{magic:04x}", f"0x{expected_magic:04x}")
    if size_bytes < HEADING.size:
        raise _invalid(offset + 2, f"TLV area size {size_bytes}", f"{HEADING.size} or more")
    end = offset + size_bytes
    if len(data) < end:
        raise _truncated(len(data), end)
    records: list[Tlv] = []
    seen: set[TlvType] = set()
    at = offset + HEADING.size
    while at < end:
        record = _parse_record(data, at, end, protected=protected)
        if record.type in seen and not _RULES[record.type].repeatable:
            raise Refused(
                Reason.TLV_DUPLICATE,
                f"at offset 0x{at:x}: found a second {record.type.name} TLV, expected one",
            )
        seen.add(record.type)
        records.append(record)
        at += HEADING.size + len(record.value)
    return tuple(records), end


def _parse_record(data: bytes, at: int, end: int, *, protected: bool) -> Tlv:
    if end - at < HEADING.size:
        raise _invalid(at, f"{end - at} bytes left in the area", "a whole TLV or none")
    kind, length = HEADING.unpack_from(data, at)
    try:
        tlv_type = TlvType(kind)
    except ValueError:
        raise Refused(
            Reason.TLV_UNKNOWN,
            f"at offset 0x{at:x}: found TLV type 0x{kind:02x}, expected one MCUboot defines",
        ) from None
    rule = _RULES[tlv_type]
    if rule.protected != protected:
        where = "protected" if rule.protected else "unprotected"
        raise _invalid(at, f"{tlv_type.name} in the wrong area", f"the {where} area")
    value_at = at + HEADING.size
    if length not in rule.lengths:
        raise _invalid(at + 2, f"{tlv_type.name} of {length} bytes", _lengths(rule.lengths))
    if value_at + length > end:
        beyond = f"{tlv_type.name} reaching 0x{value_at + length:x}"
        raise _invalid(at + 2, beyond, f"its area's end 0x{end:x}")
    value = bytes(data[value_at : value_at + length])
    if rule.holds is not None and not rule.holds(value):
        raise _invalid(value_at, f"{tlv_type.name} {value.hex()}", rule.value)
    return Tlv(tlv_type, value, protected, at)


def _lengths(lengths: Container[int]) -> str:
    if isinstance(lengths, range):
        return f"{lengths.start} to {lengths.stop - 1} bytes"
    if isinstance(lengths, tuple):
        return " or ".join(str(length) for length in lengths) + " bytes"
    raise TypeError(f"lengths: found {type(lengths).__name__}, expected a range or a tuple")


def _invalid(offset: int, found: str, expected: str) -> Refused:
    return Refused(Reason.TLV_INVALID, f"at offset 0x{offset:x}: found {found}, expected {expected}")


def _truncated(found: int, expected: int) -> Refused:
    return Refused(Reason.TRUNCATED, f"TLV area: found {found} bytes of image, expected at least {expected}")
