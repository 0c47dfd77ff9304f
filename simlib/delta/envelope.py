"""What a patch says about itself before anything in it is used.

A bsdiff patch applied to the wrong base raises no error and gives the right length of wrong bytes, so the
base and the result are named by size and SHA-256, and so is the payload. The envelope is, little endian::

    magic "SIMDELTA" | u16 version = 1 | u8 n | n bytes codec name
    | base SHA-256, u64 size | result SHA-256, u64 size | payload SHA-256, u64 size
    | SHA-256 of all of the above | payload

The last hash tells a damaged envelope from a wrong base: a device downloads again in the one case and asks
for the full image in the other. It is no protection against an attacker, who can recompute it; that is the
signed manifest's work (`simlib.release`).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from simlib.errors import Reason, Refused

MAGIC: Final = b"SIMDELTA"
VERSION: Final = 1
NAME_BYTES: Final = 32
_START: Final = struct.Struct("<8sHB")
_FACTS: Final = struct.Struct("<32sQ32sQ32sQ")
_HASH_BYTES: Final = 32
MAX_ENVELOPE_BYTES: Final = _START.size + NAME_BYTES + _FACTS.size + _HASH_BYTES
_NAME: Final = re.compile(rb"[a-z0-9-]{1,%d}" % NAME_BYTES)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The facts in front of a payload; sizes in bytes, hashes as 32 bytes. `patch_*` is the payload's."""

    codec: str
    base_sha256: bytes
    base_size: int
    result_sha256: bytes
    result_size: int
    patch_sha256: bytes
    patch_size: int

    @property
    def header_size(self) -> int:
        """The bytes in front of the payload."""
        return _START.size + len(self.codec) + _FACTS.size + _HASH_BYTES


def seal(codec: str, old: bytes, new: bytes, payload: bytes) -> bytes:
    """The envelope for `payload`, which turns `old` into `new`, and the payload behind it."""
    name = codec.encode("ascii")
    facts = _FACTS.pack(
        sha256(old).digest(), len(old), sha256(new).digest(), len(new), sha256(payload).digest(), len(payload)
    )
    head = _START.pack(MAGIC, VERSION, len(name)) + name + facts
    return head + sha256(head).digest() + payload


def read_envelope(patch: bytes) -> Envelope:
    """Read the envelope of `patch`; its own hash and the payload's length are checked, its payload is not.

    Raises:
        Refused: NOT_A_PATCH for another file or format version, TRUNCATED or TRAILING_BYTES when the length
            is not the one declared, PATCH_DAMAGED when the envelope does not match its own hash.
    """
    if len(patch) < _START.size or patch[: len(MAGIC)] != MAGIC:
        found = patch[: len(MAGIC)].hex() or "nothing"
        raise Refused(Reason.NOT_A_PATCH, f"patch magic: found {found}, expected {MAGIC.hex()}")
    _, version, name_size = _START.unpack_from(patch)
    if version != VERSION:
        raise Refused(Reason.NOT_A_PATCH, f"patch version: found {version}, expected {VERSION}")
    facts_from = _START.size + name_size
    hash_from = facts_from + _FACTS.size
    payload_from = hash_from + _HASH_BYTES
    if len(patch) < payload_from:
        raise Refused(Reason.TRUNCATED, f"patch: found {len(patch)} bytes, expected at least {payload_from}")
    name = patch[_START.size : facts_from]
    if sha256(patch[:hash_from]).digest() != patch[hash_from:payload_from] or not _NAME.fullmatch(name):
        raise Refused(Reason.PATCH_DAMAGED, "patch: the envelope does not match its own hash")
    envelope = Envelope(name.decode("ascii"), *_FACTS.unpack_from(patch, facts_from))
    payload_size = len(patch) - payload_from
    if payload_size != envelope.patch_size:
        reason = Reason.TRUNCATED if payload_size < envelope.patch_size else Reason.TRAILING_BYTES
        raise Refused(reason, f"patch payload: found {payload_size} bytes, expected {envelope.patch_size}")
    return envelope
