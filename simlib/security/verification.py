"""Whether an image is whole and by one of the given keys: bytes in, verdict out.

The rules, in order; the first one broken refuses the image with its reason:

1. the shape is an image's, and nothing follows that should not (`simlib.firmware.image`);
2. every record is one this verifier can evaluate, or one that the caller says it does; no header flag asks
   for more than it can do;
3. an encrypted payload is decrypted with the given key, whose wrapping must be whole;
4. there is one hash record and it equals the hash of header, payload and protected TLVs;
5. one record names a key, by its hash (KEYHASH, by the image's own hash) or in full (PUBKEY); it is one of
   the given keys, signs images with that hash, and is not revoked;
6. there is one signature record, of that key's type, and the signature holds over the hash, or with a
   SIG_PURE record over what is hashed;
7. the security counter is there and high enough, if a least one was asked for;
8. the image is of this vendor and for this class of devices, if the verifier was given them.

A device that has an identifier refuses an image without one, as MCUboot does; one that has none refuses an
image that carries one, since it cannot compare it.

This is stricter than ``imgtool verify``, which stops at the first signature that holds and ignores what
it does not know, and than MCUboot, which accepts a pure signature without a hash. Whether a version may be
installed, what it depends on and where it is loaded is for the boot loader (`simlib.device`) to say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.dependency import Dependency
from simlib.firmware.header import COMPRESSED
from simlib.firmware.identifiers import check_identifier, shown
from simlib.firmware.image import (
    ENCRYPTION_TLVS,
    HASH_TLVS,
    Flag,
    Header,
    ParsedImage,
    TlvType,
    parse_image,
)
from simlib.firmware.version import Version
from simlib.security.encryption import content_key_of, ctr_crypt
from simlib.security.hashes import Hash
from simlib.security.keyring import KeyRing
from simlib.security.keys import DecryptionKey, VerifyKey

_SIGNATURES: Final = frozenset({TlvType.ECDSASIG, TlvType.ED25519, TlvType.RSA2048, TlvType.RSA3072})
_KEY_NAMES: Final = frozenset({TlvType.KEYHASH, TlvType.PUBKEY})
_EVALUATED: Final = (
    _KEY_NAMES | HASH_TLVS | ENCRYPTION_TLVS | _SIGNATURES | {TlvType.SIG_PURE, TlvType.SEC_CNT}
)
CALLERS: Final = frozenset({TlvType.DEPENDENCY, TlvType.UUID_VID, TlvType.UUID_CID})
"""The records that a caller may take over to evaluate (`verify_image`)."""


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """What is known of an image that passed; `image_size` [bytes] is header, payload and TLVs together."""

    version: Version
    security_counter: int | None
    image_size: int
    header: Header
    digest: bytes
    key: VerifyKey
    hash: Hash = Hash.SHA256  # what `digest` is
    pure: bool = False  # the signature is over the image itself
    dependencies: tuple[Dependency, ...] = ()  # not evaluated: the caller has said that it does
    vendor_id: bytes | None = None
    class_id: bytes | None = None

    @property
    def encrypted(self) -> bool:
        """Whether the image travels encrypted."""
        return self.header.encrypted

    @property
    def load_address(self) -> int | None:
        """Where in RAM the image is to be copied to; None for one that runs from flash."""
        return self.header.load_address if self.header.flags & Flag.RAM_LOAD else None

    @property
    def rom_address(self) -> int | None:
        """Where in flash the image was built to lie; None for one that does not say."""
        return self.header.load_address if self.header.flags & Flag.ROM_FIXED else None


def verify_image(
    data: bytes,
    keys: Sequence[VerifyKey] | KeyRing,
    *,
    decrypt_with: DecryptionKey | None = None,
    min_security_counter: int | None = None,
    plaintext_payload: bool = False,
    erased_value: int | None = 0xFF,
    vendor_id: bytes | None = None,
    class_id: bytes | None = None,
    evaluates: Collection[TlvType] = frozenset(),
) -> VerifiedImage:
    """Check `data` by the module's rules against `keys`; return what is then known of it.

    `plaintext_payload` says that the payload is in the clear although the header says encrypted, as in a
    primary slot. `erased_value` is what erased flash behind the image reads as; None allows nothing behind
    it. `vendor_id` and `class_id` are the verifier's own, 16 bytes. `evaluates` names the records among
    `CALLERS` that the caller itself acts on by what is returned; without it they are refused. Raises
    `Refused` with the reason of the first rule broken; `InputError` without any key, or for an argument that
    cannot be.
    """
    if not keys:
        raise InputError("keys: found none, expected at least one public key")
    if beyond := set(evaluates) - CALLERS:
        raise InputError(f"evaluates: found {min(beyond).name}, expected {', '.join(_names(CALLERS))}")
    check_identifier(vendor_id, "vendor id")
    check_identifier(class_id, "class id")
    ring = keys if isinstance(keys, KeyRing) else KeyRing(tuple(keys))
    parsed = parse_image(data, erased_value=erased_value)
    compared = {TlvType.UUID_VID: vendor_id, TlvType.UUID_CID: class_id}
    _check_evaluable(parsed, {*evaluates, *(kind for kind, own in compared.items() if own is not None)})
    signed = _signed_parts(parsed, _payload_in_clear(parsed, decrypt_with, plaintext_payload))
    algorithm, digest = _check_hash(parsed, signed)
    key = _check_key(parsed, ring, algorithm)
    _check_signature(parsed, key, digest, signed)
    if min_security_counter is not None:
        _check_counter(parsed.security_counter, min_security_counter)
    _check_identifier(Reason.VENDOR_MISMATCH, "vendor id", parsed.vendor_id, vendor_id)
    _check_identifier(Reason.CLASS_MISMATCH, "class id", parsed.class_id, class_id)
    return VerifiedImage(
        version=parsed.header.version,
        security_counter=parsed.security_counter,
        image_size=parsed.size,
        header=parsed.header,
        digest=digest,
        key=key,
        hash=algorithm,
        pure=parsed.pure,
        dependencies=parsed.dependencies,
        vendor_id=parsed.vendor_id,
        class_id=parsed.class_id,
    )


def _check_evaluable(parsed: ParsedImage, besides: set[TlvType]) -> None:
    if beyond := parsed.header.flags & COMPRESSED:
        names = ", ".join(str(flag.name) for flag in beyond)
        raise Refused(
            Reason.HEADER_INVALID, f"header at offset 0x10: found flags {names}, expected no compression"
        )
    for tlv in parsed.tlvs:
        if tlv.type not in _EVALUATED and tlv.type not in besides:
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


def _signed_parts(parsed: ParsedImage, payload: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
    data = memoryview(parsed.data)
    return data[: parsed.header.header_size], payload, data[parsed.payload_end : parsed.hashed_end]


def _check_hash(parsed: ParsedImage, signed: Sequence[bytes | memoryview]) -> tuple[Hash, bytes]:
    records = parsed.find_all(HASH_TLVS)
    if not records:
        raise Refused(Reason.HASH_MISSING, "TLV area: found no hash TLV, expected one")
    record = records[0]
    algorithm = Hash.of(record.type)
    digest = algorithm.digest(*signed)
    if not compare_digest(digest, record.value):
        raise Refused(
            Reason.HASH_MISMATCH,
            f"TLV at offset 0x{record.offset:x}: found {algorithm.label} {record.value.hex()}, "
            f"expected {digest.hex()}",
        )
    if len(records) > 1:
        raise Refused(
            Reason.TLV_DUPLICATE, f"at offset 0x{records[1].offset:x}: found a second hash, expected one"
        )
    return algorithm, digest


def _check_key(parsed: ParsedImage, ring: KeyRing, algorithm: Hash) -> VerifyKey:
    records = parsed.find_all(_KEY_NAMES)
    if not records:
        raise Refused(Reason.KEY_UNKNOWN, "TLV area: found no KEYHASH TLV, expected one that names a key")
    if len(records) > 1:
        raise Refused(
            Reason.TLV_DUPLICATE, f"at offset 0x{records[1].offset:x}: found a second key, expected one"
        )
    (record,) = records
    in_full = record.type is TlvType.PUBKEY
    names = [key.der if in_full else key.keyhash_by(algorithm) for key in ring]
    where = f"{record.type.name} TLV at offset 0x{record.offset:x}"
    key = next((k for k, name in zip(ring, names, strict=True) if compare_digest(name, record.value)), None)
    if key is None:
        found = Hash.SHA256.digest(record.value) if in_full else record.value
        wanted = " or ".join(
            (each.keyhash if in_full else each.keyhash_by(algorithm)).hex()[:16] for each in ring
        )
        raise Refused(Reason.KEY_UNKNOWN, f"{where}: found {found.hex()[:16]}…, expected {wanted}…")
    if ring.is_revoked(key):
        raise Refused(
            Reason.KEY_REVOKED, f"{where}: found key {key.keyhash.hex()[:16]}…, expected one not revoked"
        )
    known = key.hashes if not parsed.pure or key.pure_hash is None else (key.pure_hash,)
    if algorithm not in known:
        raise Refused(
            Reason.HASH_MISSING,
            f"TLV area: found {algorithm.label}, expected {' or '.join(each.label for each in known)} "
            f"for {'a pure signature by ' if parsed.pure else ''}a key of {key.algorithm}",
        )
    return key


def _check_signature(
    parsed: ParsedImage, key: VerifyKey, digest: bytes, signed: Sequence[bytes | memoryview]
) -> None:
    records = parsed.find_all(_SIGNATURES)
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
    if parsed.pure and key.pure_hash is None:
        raise Refused(
            Reason.SIGNATURE_INVALID, f"TLV area: found SIG_PURE, expected none for a key of {key.algorithm}"
        )
    if not key.accepts(record.value, b"".join(signed) if parsed.pure else digest):
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


def _check_identifier(reason: Reason, what: str, found: bytes | None, own: bytes | None) -> None:
    if own is not None and found != own:
        raise Refused(
            reason, f"{what}: found {'none' if found is None else shown(found)}, expected {shown(own)}"
        )


def _names(kinds: Collection[TlvType]) -> list[str]:
    return [kind.name for kind in sorted(kinds)]
