"""An image taken apart into what the format knows, and put together again with any of it wrong.

It shares no code with `simlib.firmware`, so that the oracles do not believe what they are to judge.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from struct import Struct

MAGIC = 0x96F3B83D
UNPROTECTED, PROTECTED = 0x6907, 0x6908
KEYHASH, PUBKEY, SIG_PURE, DEPENDENCY, COUNTER, VENDOR, CLASS = 0x01, 0x02, 0x25, 0x40, 0x50, 0x74, 0x75
HASHES = {0x10: "sha256", 0x11: "sha384", 0x12: "sha512"}
RSA2048, ECDSA, RSA3072, ED25519 = 0x20, 0x22, 0x23, 0x24
SIGNATURES = (RSA2048, ECDSA, RSA3072, ED25519)
ENCRSA, ENCKW, ENCEC, ENCX, ENCX512 = 0x30, 0x31, 0x32, 0x33, 0x34
WRAPPED_KEYS = (ENCRSA, ENCKW, ENCEC, ENCX, ENCX512)
AES128, AES256 = 0x4, 0x8
HEADER_BYTES = 32
HEADER = Struct("<IIHHII8sI")
HEADING = Struct("<HH")


@dataclass
class Record:
    """A TLV; `length` is what its heading says where that is not the truth."""

    kind: int
    value: bytes
    length: int | None = None

    def pack(self) -> bytes:
        length = len(self.value) if self.length is None else self.length
        return HEADING.pack(self.kind & 0xFFFF, length & 0xFFFF) + self.value


@dataclass
class TlvArea:
    """One of the two areas; `size` is what its heading says where that is not the truth."""

    magic: int
    records: list[Record] = field(default_factory=list)
    size: int | None = None
    present: bool = True
    loose: bytes = b""  # behind the last record, within the size

    def pack(self) -> bytes:
        if not self.present:
            return b""
        body = b"".join(record.pack() for record in self.records) + self.loose
        size = HEADING.size + len(body) if self.size is None else self.size
        return HEADING.pack(self.magic & 0xFFFF, size & 0xFFFF) + body

    def find(self, *kinds: int) -> Record | None:
        return next((record for record in self.records if record.kind in kinds), None)


@dataclass
class Anatomy:
    """All parts of an image; a size is None where the header tells the truth about it."""

    magic: int
    load_address: int
    flags: int
    version: bytes
    reserved: int
    padding: bytes  # of the header
    payload: bytes
    protected: TlvArea
    unprotected: TlvArea
    tail: bytes = b""
    header_size: int | None = None
    protected_size: int | None = None
    image_size: int | None = None

    def copy(self) -> Anatomy:
        """Another one, to be changed."""
        areas = []
        for area in (self.protected, self.unprotected):
            records = [Record(r.kind, r.value, r.length) for r in area.records]
            areas.append(TlvArea(area.magic, records, area.size, area.present, area.loose))
        parts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Anatomy(**parts | {"protected": areas[0], "unprotected": areas[1]})

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & (AES128 | AES256))

    def head(self) -> bytes:
        """The header with its padding."""
        sizes = (
            HEADER_BYTES + len(self.padding) if self.header_size is None else self.header_size,
            len(self.protected.pack()) if self.protected_size is None else self.protected_size,
            len(self.payload) if self.image_size is None else self.image_size,
        )
        header = HEADER.pack(
            self.magic & 0xFFFF_FFFF,
            self.load_address & 0xFFFF_FFFF,
            sizes[0] & 0xFFFF,
            sizes[1] & 0xFFFF,
            sizes[2] & 0xFFFF_FFFF,
            self.flags & 0xFFFF_FFFF,
            self.version,
            self.reserved & 0xFFFF_FFFF,
        )
        return header + self.padding

    def signed_with(self, payload: bytes) -> bytes:
        """What is under the hash and the signature, with `payload` in the clear."""
        return self.head() + payload + self.protected.pack()

    def digest_with(self, payload: bytes, name: str) -> bytes:
        """The hash of that, by `hashlib`'s name for it."""
        return hashlib.new(name, self.signed_with(payload)).digest()

    def encode(self) -> bytes:
        """The image's bytes."""
        return self.head() + self.payload + self.protected.pack() + self.unprotected.pack() + self.tail


def dissect(data: bytes) -> Anatomy:
    """The parts of a well-formed image; whatever follows its TLVs is the tail.

    Any lie in a size shows in that `encode` does not give `data` back, or as an exception.
    """
    magic, load_address, header_size, protected_size, image_size, flags, version, reserved = (
        HEADER.unpack_from(data)
    )
    payload_end = header_size + image_size
    protected, at = _area(data, payload_end) if protected_size else (_nothing(), payload_end)
    unprotected, end = _area(data, at)
    return Anatomy(
        magic=magic,
        load_address=load_address,
        flags=flags,
        version=version,
        reserved=reserved,
        padding=data[HEADER_BYTES:header_size],
        payload=data[header_size:payload_end],
        protected=protected,
        unprotected=unprotected,
        tail=data[end:],
    )


def _nothing() -> TlvArea:
    return TlvArea(PROTECTED, present=False)


def _area(data: bytes, offset: int) -> tuple[TlvArea, int]:
    magic, size = HEADING.unpack_from(data, offset)
    end, at = offset + size, offset + HEADING.size
    records = []
    while at < end:
        kind, length = HEADING.unpack_from(data, at)
        at += HEADING.size
        records.append(Record(kind, data[at : at + length]))
        at += length
    return TlvArea(magic, records), end
