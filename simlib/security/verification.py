"""Whether an image is whole and by one of the given keys: bytes in, verdict out.

The rules, in order; the first one broken refuses the image with its reason:

1. the shape is an image's, and nothing follows that should not (`simlib.firmware.image`);
2. every record is one this verifier can evaluate, and no header flag asks for more than it can do;
3. an encrypted payload is decrypted with the given key, whose wrapping MAC must match;
4. there is a SHA-256 record and it equals the hash of header, payload and protected TLVs;
5. the KEYHASH record names one of the given keys;
6. there is one signature record, of that key's type, and the signature holds over the hash;
7. the security counter is there and high enough, if a least one was asked for.

This is stricter than ``imgtool verify``, which stops at the first signature that holds and ignores what
it does not know. Whether a version may be installed is for the boot loader (`simlib.device`) to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.header import COMPRESSED
from simlib.firmware.image import Flag, Header, ParsedImage, TlvType, parse_image
from simlib.firmware.version import Version
from simlib.security.encryption import content_key_of, ctr_crypt
from simlib.security.keys import DecryptionKey, VerifyKey

_SIGNATURES: Final = (TlvType.ECDSASIG, TlvType.ED25519, TlvType.RSA3072)
_EVALUATED: Final = frozenset(
    {TlvType.KEYHASH, TlvType.SHA256, TlvType.ENCEC256, TlvType.SEC_CNT, *_SIGNATURES}
)
_BEYOND: Final = Flag.ENCRYPTED_AES128 | COMPRESSED


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """What is known of an image that passed; `image_size` [bytes] is header, payload and TLVs together."""

    version: Version
    security_counter: int | None
    image_size: int
    header: Header
    digest: bytes
    key: VerifyKey

    @property
    def encrypted(self) -> bool:
        """Whether the image travels encrypted."""
        return self.header.encrypted


def verify_image(
    data: bytes,
    keys: Sequence[VerifyKey],
    *,
    decrypt_with: DecryptionKey | None = None,
    min_security_counter: int | None = None,
    plaintext_payload: bool = False,
    erased_value: int | None = 0xFF,
) -> VerifiedImage:
    """Check `data` by the module's rules against `keys`; return what is then known of it.

    `plaintext_payload` says that the payload is in the clear although the header says encrypted, as in a
    primary slot. `erased_value` is what erased flash behind the image reads as; None allows nothing behind
    it. Raises `Refused` with the reason of the first rule broken; `InputError` without any key.
    """
    if not keys:
        raise InputError("keys: found none, expected at least one public key")
    parsed = parse_image(data, erased_value=erased_value)
    _check_evaluable(parsed)
    digest = _check_hash(parsed, _payload_in_clear(parsed, decrypt_with, plaintext_payload))
    key = _check_keyhash(parsed, keys)
    _check_signature(parsed, key, digest)
    if min_security_counter is not None:
        _check_counter(parsed.security_counter, min_security_counter)
    return VerifiedImage(
        version=parsed.header.version,
        security_counter=parsed.security_counter,
        image_size=parsed.size,
        header=parsed.header,
        digest=digest,
        key=key,
    )


def _check_evaluable(parsed: ParsedImage) -> None:
    if beyond := parsed.header.flags & _BEYOND:
        names = ", ".join(str(flag.name) for flag in beyond)
        raise Refused(
            Reason.HEADER_INVALID,
            f"header at offset 0x10: found flags {names}, expected AES-256 or no cipher",
        )
    for tlv in parsed.tlvs:
        if tlv.type not in _EVALUATED:
            raise Refused(
                Reason.TLV_UNKNOWN,
                f"at offset 0x{tlv.offset:x}: found a {tlv.type.name} TLV, expected only ones evaluated here",
            )


def _payload_in_clear(
    parsed: ParsedImage, decrypt_with: DecryptionKey | None, plaintext_payload: bool
) -> bytes | memoryview:
    if not parsed.header.encrypted:
        return parsed.payload
    if decrypt_with is not None:
        # Also for a payload in the clear: a device that has the key must find its wrapping whole.
        content_key = content_key_of(parsed, decrypt_with)
        return parsed.payload if plaintext_payload else ctr_crypt(content_key, bytes(parsed.payload))
    if plaintext_payload:
        return parsed.payload
    raise Refused(
        Reason.DECRYPTION_FAILED,
        "image: found an encrypted payload and no decryption key, expected one: give --decrypt-with",
    )


def _check_hash(parsed: ParsedImage, payload: bytes | memoryview) -> bytes:
    record = parsed.find(TlvType.SHA256)
    if record is None:
        raise Refused(Reason.HASH_MISSING, "TLV area: found no SHA256 TLV, expected one")
    data = memoryview(parsed.data)
    running = sha256(data[: parsed.header.header_size])
    running.update(payload)
    running.update(data[parsed.payload_end : parsed.hashed_end])
    digest = running.digest()
    if not compare_digest(digest, record.value):
        raise Refused(
            Reason.HASH_MISMATCH,
            f"TLV at offset 0x{record.offset:x}: found SHA-256 {record.value.hex()}, expected {digest.hex()}",
        )
    return digest


def _check_keyhash(parsed: ParsedImage, keys: Sequence[VerifyKey]) -> VerifyKey:
    record = parsed.find(TlvType.KEYHASH)
    if record is None:
        raise Refused(Reason.KEY_UNKNOWN, "TLV area: found no KEYHASH TLV, expected one that names a key")
    for key in keys:
        if compare_digest(key.keyhash, record.value):
            return key
    wanted = " or ".join(key.keyhash.hex()[:16] for key in keys)
    raise Refused(
        Reason.KEY_UNKNOWN,
        f"KEYHASH TLV at offset 0x{record.offset:x}: found {record.value.hex()[:16]}…, expected {wanted}…",
    )


def _check_signature(parsed: ParsedImage, key: VerifyKey, digest: bytes) -> None:
    records = [tlv for tlv in parsed.tlvs if tlv.type in _SIGNATURES]
    if not records:
        raise Refused(
            Reason.SIGNATURE_MISSING, f"TLV area: found no signature, expected {key.signature_tlv.name}"
        )
    if len(records) > 1:
        raise Refused(
            Reason.TLV_DUPLICATE, f"at offset 0x{records[1].offset:x}: found a second signature, expected one"
        )
    (record,) = records
    if record.type is not key.signature_tlv:
        raise Refused(
            Reason.SIGNATURE_INVALID,
            f"at offset 0x{record.offset:x}: found {record.type.name}, expected {key.signature_tlv.name} "
            f"for a key of {key.algorithm}",
        )
    if not key.accepts(record.value, digest):
        raise Refused(
            Reason.SIGNATURE_INVALID,
            f"{record.type.name} TLV at offset 0x{record.offset:x}: found a signature that does not hold, "
            f"expected one by key {key.keyhash.hex()[:16]}…",
        )


def _check_counter(found: int | None, least: int) -> None:
    if found is None:
        raise Refused(
            Reason.SECURITY_COUNTER_MISSING,
            f"TLV area: found no SEC_CNT TLV, expected a counter of {least} or more",
        )
    if found < least:
        raise Refused(
            Reason.SECURITY_COUNTER_LOW, f"security counter: found {found}, expected {least} or more"
        )
