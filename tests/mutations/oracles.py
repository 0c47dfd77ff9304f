"""What an accepted image has to be: signed by a trusted key, every signed byte as it was signed.

Header, its padding, the payload in the clear and the protected TLVs are under the signature and must be
those of one genuine image. What may differ is listed here, each with the reason why it harms nobody:

- the order of the unprotected TLVs: nothing is decided by it, and each may occur once;
- the key is named by its hash or shown in full: either way it is the same trusted key that is used;
- an ECDSA signature may be its twin (r, −s), which holds for the same bytes under the same key;
- the wrapped content key and the ciphertext, as long as what they decipher to is the signed payload: whoever
  knows the payload can encrypt it anew for a device, whose public key is no secret;
- where nobody gave a decryption key and the payload is in the clear, any wrapped key will do;
- what stands behind the image: erased bytes, and a trailer's magic with its two flags.

Everything else, an additional record or a byte hidden between the parts, is an accepted forgery.
Nothing here asks the verifier how it came to its verdict.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache

from simlib.errors import Refused
from simlib.security.encryption import content_key_of, ctr_crypt
from simlib.security.keys import DecryptionKey, VerifyKey
from tests.mutations.anatomy import (
    CLASS,
    COUNTER,
    DEPENDENCY,
    ECDSA,
    HASHES,
    KEYHASH,
    PUBKEY,
    SIGNATURES,
    VENDOR,
    WRAPPED_KEYS,
    Anatomy,
    Record,
    dissect,
)
from tests.mutations.signatures import public_bytes, twin
from tests.mutations.subjects import Genuine, library

TRAILER_MAGICS = {
    8: bytes.fromhex("77c295f360d2ef7f3552500f2cb67980"),
    16: bytes.fromhex("10002de15d29410b8d77679c110f1f8a"),
    32: bytes.fromhex("20002de15d29410b8d77679c110f1f8a"),
}


@dataclass(frozen=True)
class Asked:
    """What the verifier was asked."""

    keys: tuple[VerifyKey, ...]
    decrypt_with: DecryptionKey | None
    least_counter: int | None
    in_the_clear: bool
    erased_value: int | None
    revoked: frozenset[bytes] = frozenset()
    vendor_id: bytes | None = None
    class_id: bytes | None = None
    evaluates: frozenset[int] = frozenset()  # the protected records that whoever asked acts on by himself


@lru_cache
def by_signed_part() -> dict[bytes, list[Genuine]]:
    """Every image of the library by its part under the signature."""
    found: dict[bytes, list[Genuine]] = {}
    for image in library():
        found.setdefault(image.signed, []).append(image)
    return found


def complaint(data: bytes, asked: Asked) -> str | None:
    """Why `data`, which was accepted, is no genuine image; None where it is one."""
    try:
        parts = dissect(data)
    except (struct.error, IndexError) as error:
        return f"accepted, and cannot be taken apart: {error}"
    if parts.encode() != data:
        return "accepted, with sizes that do not agree with the parts"
    payload = _payload(parts, asked)
    if isinstance(payload, str):
        return payload
    candidates = by_signed_part().get(parts.signed_with(payload), [])
    if not candidates:
        return "accepted, and nobody has signed these bytes"
    keyhashes = {key.keyhash for key in asked.keys} - asked.revoked
    trusted = [image for image in candidates if image.key.keyhash in keyhashes]
    if not trusted:
        return "accepted, and signed by no trusted key"
    reasons = [_unlike(parts, image, asked) for image in trusted]
    if None not in reasons:
        return reasons[0]
    return (
        _counter_complaint(parts, asked)
        or _device_complaint(parts, asked)
        or _tail_complaint(parts.tail, asked.erased_value)
    )


def _payload(parts: Anatomy, asked: Asked) -> bytes | str:
    """The payload in the clear, or why there is none."""
    if not parts.encrypted or asked.in_the_clear:
        return parts.payload
    if asked.decrypt_with is None:
        return "accepted, encrypted, and without a key to decrypt it"
    content_key = _content_key(parts, asked.decrypt_with)
    if content_key is None:
        return "accepted, and its content key cannot be unwrapped"
    return ctr_crypt(content_key, parts.payload)


def _content_key(parts: Anatomy, key: DecryptionKey) -> bytes | None:
    """What the wrapped key unwraps to. If that were wrong, the payload would not be the signed one."""
    bare = parts.copy()
    bare.tail = b""
    try:
        return content_key_of(bare.encode(), key)
    except Refused:
        return None


def _parts_played(parts: Anatomy) -> dict[str, Record]:
    """The unprotected records by what they are for."""
    return {_part_of(record.kind): record for record in parts.unprotected.records}


def _part_of(kind: int) -> str:
    for part, kinds in (
        ("hash", tuple(HASHES)),
        ("key", (KEYHASH, PUBKEY)),
        ("signature", SIGNATURES),
        ("wrapped key", WRAPPED_KEYS),
    ):
        if kind in kinds:
            return part
    return f"record of type 0x{kind:02x}"


def _unlike(parts: Anatomy, image: Genuine, asked: Asked) -> str | None:
    """What the records that are not signed have that `image`'s have not."""
    genuine, found = _parts_played(image.anatomy), _parts_played(parts)
    if len(found) != len(parts.unprotected.records):
        return "accepted, with something that occurs twice"
    if set(found) != set(genuine):
        return f"accepted, with {sorted(found)} in place of {sorted(genuine)}"
    for part, record in found.items():
        if record == genuine[part]:
            continue
        if part == "signature" and _is_twin(record, genuine[part], image.form.algorithm):
            continue
        if part == "key" and _names(record, image.key, HASHES[genuine["hash"].kind]):
            continue
        key = asked.decrypt_with
        if part == "wrapped key" and (key is None or _content_key(parts, key) is not None):
            continue
        return f"accepted, with another {part}"
    return None


def _names(record: Record, key: VerifyKey, hash_name: str) -> bool:
    der = public_bytes(key)
    return record.value == (der if record.kind == PUBKEY else hashlib.new(hash_name, der).digest())


def _is_twin(record: Record, genuine: Record, algorithm: str) -> bool:
    if record.kind != genuine.kind or record.kind != ECDSA:
        return False
    return record.value == twin(genuine.value, algorithm)


def _device_complaint(parts: Anatomy, asked: Asked) -> str | None:
    for kind, own in ((VENDOR, asked.vendor_id), (CLASS, asked.class_id)):
        record = parts.protected.find(kind)
        if own is not None and (record is None or record.value != own):
            return "accepted, for another vendor or class of devices"
        if own is None and record is not None and kind not in asked.evaluates:
            return "accepted, with an identifier that nobody compares"
    if parts.protected.find(DEPENDENCY) is not None and DEPENDENCY not in asked.evaluates:
        return "accepted, with a dependency that nobody looks at"
    return None


def _counter_complaint(parts: Anatomy, asked: Asked) -> str | None:
    if asked.least_counter is None:
        return None
    record = parts.protected.find(COUNTER)
    if record is None or int.from_bytes(record.value, "little") < asked.least_counter:
        return f"accepted, with a security counter below {asked.least_counter}"
    return None


def _tail_complaint(tail: bytes, erased_value: int | None) -> str | None:
    if not tail:
        return None
    if erased_value is None:
        return "accepted, with bytes behind it where none may be"
    for align, magic in TRAILER_MAGICS.items():
        span = max(16, align)
        if tail.endswith(magic) and len(tail) >= span + 4 * align:
            flags = {tail[-span - align], tail[-span - 2 * align]}
            if not flags <= {0x01, erased_value}:
                return "accepted, with a flag that is none"
            blank = bytearray(tail)
            for at in (-span - align, -span - 2 * align):
                blank[at] = erased_value
            tail = bytes(blank[:-16])
            break
    return None if set(tail) <= {erased_value} else "accepted, with something hidden behind it"
