"""Making a signed MCUboot image, in the clear or encrypted, as ``imgtool sign --pad-header`` does.

Decides the order of the parts: header filled up with erased bytes, payload (filled with zeros to a
multiple of 16 from the image's start when encrypted), the protected records (security counter, dependencies,
vendor and class), then the hash, SIG_PURE for a pure signature, the key's hash or the key, the signature, and
the wrapped content key. Hash and signature are over the plaintext. `verify_image`, the other way, is in
`simlib.security.verification` and offered here as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from simlib.errors import InputError
from simlib.firmware.dependency import Dependency
from simlib.firmware.identifiers import check_identifier
from simlib.firmware.image import HEADER_BYTES, Flag, Header, Tlv, TlvType, build_area
from simlib.firmware.version import Version
from simlib.security.encryption import (
    BLOCK_BYTES,
    CIPHERS,
    cipher_named,
    ctr_crypt,
    generate_content_key,
    wrap_key,
)
from simlib.security.hashes import Hash, hash_named
from simlib.security.keys import DecryptionKey, EncryptionKey, SigningKey, VerifyKey
from simlib.security.verification import VerifiedImage, verify_image
from simlib.security.wrapping import wrap_record

__all__ = ["VerifiedImage", "sign_image", "verify_image"]

_COUNTER_LIMIT: Final = 0xFFFF_FFFF


def sign_image(
    payload: bytes,
    version: Version,
    key: SigningKey,
    *,
    security_counter: int | None = None,
    header_size: int = HEADER_BYTES,
    erased_value: int = 0xFF,
    load_address: int | None = None,
    rom_fixed: int | None = None,
    dependencies: Iterable[Dependency] = (),
    vendor_id: bytes | None = None,
    class_id: bytes | None = None,
    hash_name: str | None = None,
    pure: bool = False,
    public_key: bool = False,
    encrypt_to: EncryptionKey | None = None,
    cipher: str = next(iter(CIPHERS)),
    hmac_hash: str = Hash.SHA256,
    content_key: bytes | None = None,
    ephemeral: DecryptionKey | None = None,
    deterministic: bool = False,
) -> bytes:
    """The signed image of `payload`: header, payload and TLVs, without padding to a slot.

    `header_size` [bytes] leaves room for a vector table's alignment, filled with `erased_value`.
    A `load_address` makes it an image for RAM, `rom_fixed` says where in flash it was built to lie.
    `dependencies` are on other images; `vendor_id` and `class_id` are 16 bytes each.

    `hash_name` is one of the key's hashes, the first unless given. `pure` signs the image instead of its
    hash, `public_key` puts the key itself beside the signature instead of its hash.

    With `encrypt_to` the payload is encrypted by `cipher` under `content_key`, and that key wrapped with
    `ephemeral` (`wrap_key`), both fresh unless given; `hmac_hash` is of the wrapping. `deterministic` leaves
    nothing of the signature to chance. Raises `InputError` for a value that no image can hold, and for what
    does not go together.
    """
    if encrypt_to is None and (content_key is not None or ephemeral is not None):
        raise InputError("content key: found one without a key to encrypt to, expected encrypt_to as well")
    if not 0 <= erased_value <= 0xFF:
        raise InputError(f"erased value: found {erased_value}, expected 0 to 255")
    public = key.public()
    algorithm = _hash_for(public, hash_name, pure=pure)
    flags, address = _placed(load_address, rom_fixed)
    cipher_flag, key_bytes = cipher_named(cipher)
    body = bytes(payload)
    if encrypt_to is not None:
        flags |= cipher_flag
        if body:  # an empty payload is refused below, not filled up
            body += bytes(-(header_size + len(body)) % BLOCK_BYTES)
    protected = build_area(
        [
            *_counter_records(security_counter),
            *(Tlv(TlvType.DEPENDENCY, each.pack(), protected=True) for each in dependencies),
            *_identifier_records(vendor_id, class_id),
        ],
        protected=True,
    )
    header = Header(header_size, len(protected), len(body), flags, version, address)
    start = header.pack().ljust(header_size, bytes([erased_value]))
    digest = algorithm.digest(start, body, protected)
    message = start + body + protected if pure else digest
    named = (
        Tlv(TlvType.PUBKEY, public.der) if public_key else Tlv(TlvType.KEYHASH, public.keyhash_by(algorithm))
    )
    records = [
        Tlv(algorithm.record, digest),
        *([Tlv(TlvType.SIG_PURE, b"\x01")] if pure else []),
        named,
        Tlv(public.signature_tlv, key.sign(message, deterministic=deterministic)),
    ]
    if encrypt_to is not None:
        content_key = generate_content_key(key_bytes) if content_key is None else content_key
        if len(content_key) != key_bytes:
            raise InputError(
                f"content key: found {len(content_key)} bytes, expected {key_bytes} for {cipher}"
            )
        mac = hash_named(hmac_hash)
        wrapped = wrap_key(content_key, encrypt_to, ephemeral, hmac_hash=mac)
        records.append(Tlv(wrap_record(encrypt_to, mac), wrapped))
        body = ctr_crypt(content_key, body)
    return start + body + protected + build_area(records, protected=False)


def _hash_for(key: VerifyKey, name: str | None, *, pure: bool) -> Hash:
    known = key.hashes
    if pure:
        if key.pure_hash is None:
            raise InputError(f"pure signature: found a key of {key.algorithm}, expected one of ed25519")
        known = (key.pure_hash,)
    return known[0] if name is None else hash_named(name, known)


def _placed(load_address: int | None, rom_fixed: int | None) -> tuple[Flag, int]:
    if load_address is not None and rom_fixed is not None:
        raise InputError("load address: found a fixed place in flash as well, expected one of the two")
    if load_address is not None:
        return Flag.RAM_LOAD, load_address
    if rom_fixed is not None:
        return Flag.ROM_FIXED, rom_fixed
    return Flag(0), 0


def _counter_records(security_counter: int | None) -> list[Tlv]:
    if security_counter is None:
        return []
    if not 0 <= security_counter <= _COUNTER_LIMIT:
        raise InputError(f"security counter: found {security_counter}, expected 0 to {_COUNTER_LIMIT}")
    return [Tlv(TlvType.SEC_CNT, security_counter.to_bytes(4, "little"), protected=True)]


def _identifier_records(vendor_id: bytes | None, class_id: bytes | None) -> list[Tlv]:
    check_identifier(vendor_id, "vendor id")
    check_identifier(class_id, "class id")
    pairs = ((TlvType.UUID_VID, vendor_id), (TlvType.UUID_CID, class_id))
    return [Tlv(kind, value, protected=True) for kind, value in pairs if value is not None]
