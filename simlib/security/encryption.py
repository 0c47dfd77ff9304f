"""Image encryption as MCUboot does it (docs/encrypted_images.md): AES-256-CTR and ECIES-P256.

The payload is encrypted with a content key of its own, the counter from zero; header and TLVs stay in
the clear, and the hash is over the plaintext. The content key travels in TLV 0x32, wrapped for the
device: ECDH with an ephemeral key, HKDF-SHA256 (no salt) into an AES-256 and an HMAC key, then
``point (65) ‖ HMAC-SHA256 of the ciphertext (32) ‖ AES-CTR ciphertext (32)``.

CTR is not authenticated: whoever tampers with the ciphertext is found by the hash, and by the signature
over it, in `simlib.security.verification`. The point (x, −y) unwraps to the same content key as (x, y);
that changes neither the key nor the payload, so nothing hangs on it.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.image import Flag, ParsedImage, TlvType, parse_image
from simlib.security.keys import DecryptionKey, EncryptionKey

KEY_BYTES: Final = 32
BLOCK_BYTES: Final = 16
WRAPPED_BYTES: Final = 129
_POINT_BYTES: Final = 65
_UNCOMPRESSED: Final = 0x04
_MAC_BYTES: Final = 32
_INFO: Final = b"MCUBoot_ECIES_v1"


def generate_content_key() -> bytes:
    """A fresh content key from the operating system's generator."""
    return os.urandom(KEY_BYTES)


def ctr_crypt(key: bytes, data: bytes, offset: int = 0) -> bytes:
    """`data` encrypted or decrypted (CTR does both the same way) with AES-CTR, the counter from zero.

    `offset` [bytes] is where `data` stands in the stream; it need not be a multiple of the block.
    """
    block, skip = divmod(offset, BLOCK_BYTES)
    return ctr_crypt_from(key, block.to_bytes(BLOCK_BYTES, "big"), data, skip)


def ctr_crypt_from(key: bytes, counter_block: bytes, data: bytes, skip: int = 0) -> bytes:
    """`data` under AES-CTR (SP 800-38A) from any counter block, `skip` bytes of key stream left out."""
    if len(key) != KEY_BYTES:
        raise InputError(f"content key: found {len(key)} bytes, expected {KEY_BYTES}")
    cipher = Cipher(algorithms.AES(key), modes.CTR(counter_block)).encryptor()
    cipher.update(bytes(skip))
    return cipher.update(data) + cipher.finalize()


def wrap_key(content_key: bytes, to: EncryptionKey, ephemeral: DecryptionKey | None = None) -> bytes:
    """The 129 bytes that carry `content_key` to the holder of the key `to`.

    The ephemeral key is a fresh one unless given; a given one makes the result deterministic, and must
    never be given for real secrets.
    """
    if len(content_key) != KEY_BYTES:
        raise InputError(f"content key: found {len(content_key)} bytes, expected {KEY_BYTES}")
    private = ec.generate_private_key(ec.SECP256R1()) if ephemeral is None else ephemeral.private
    cipher_key, mac_key = _agreed_keys(private, to.public)
    ciphertext = ctr_crypt(cipher_key, content_key)
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return point + _mac(mac_key, ciphertext).finalize() + ciphertext


def unwrap_key(wrapped: bytes, key: DecryptionKey) -> bytes:
    """The content key in `wrapped`.

    Raises `Refused` DECRYPTION_FAILED for another length, a point not on the curve, or a MAC that does
    not match: the bytes were changed, or wrapped for another key.
    """
    if len(wrapped) != WRAPPED_BYTES:
        raise _failed(f"wrapped content key: found {len(wrapped)} bytes, expected {WRAPPED_BYTES}")
    point, mac = wrapped[:_POINT_BYTES], wrapped[_POINT_BYTES : _POINT_BYTES + _MAC_BYTES]
    ciphertext = wrapped[_POINT_BYTES + _MAC_BYTES :]
    if point[0] != _UNCOMPRESSED:
        raise _failed(f"wrapped content key: found point form 0x{point[0]:02x}, expected 0x04")
    try:
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise _failed("wrapped content key: found a point off the curve, expected one on P-256") from None
    cipher_key, mac_key = _agreed_keys(key.private, sender)
    try:
        _mac(mac_key, ciphertext).verify(mac)
    except InvalidSignature:
        raise _failed("wrapped content key: found another MAC, expected one made for this key") from None
    return ctr_crypt(cipher_key, ciphertext)


def content_key_of(image: bytes | ParsedImage, key: DecryptionKey) -> bytes:
    """The content key an encrypted image carries for `key`.

    Raises `Refused`: DECRYPTION_FAILED when there is none in ECIES-P256 form or it is for another key,
    and as `parse_image` does.
    """
    parsed = image if isinstance(image, ParsedImage) else parse_image(image, erased_value=0xFF)
    record = parsed.find(TlvType.ENCEC256)
    if record is None or not parsed.header.flags & Flag.ENCRYPTED_AES256:
        raise _failed("image: found no AES-256 key wrapped by ECIES-P256, expected one (TLV 0x32)")
    return unwrap_key(record.value, key)


def decrypt_image(data: bytes, key: DecryptionKey, *, erased_value: int | None = 0xFF) -> bytes:
    """The image with its payload in the clear; header flags, TLVs and trailer as they were.

    The hash is checked before anything is returned, the signature is not. Raises `Refused`:
    DECRYPTION_FAILED (not encrypted, already in the clear, or for another key), HASH_MISSING or
    HASH_MISMATCH, and as `parse_image` does.
    """
    parsed = parse_image(data, erased_value=erased_value)
    content_key = content_key_of(parsed, key)
    record = parsed.find(TlvType.SHA256)
    if record is None:
        raise Refused(Reason.HASH_MISSING, "image: found no SHA256 TLV, expected one")
    if sha256(memoryview(data)[: parsed.hashed_end]).digest() == record.value:
        raise _failed("image: found the payload already in the clear, expected it encrypted")
    clear = _with_payload(parsed, ctr_crypt(content_key, bytes(parsed.payload)))
    found = sha256(memoryview(clear)[: parsed.hashed_end]).hexdigest()
    if found != record.value.hex():
        raise Refused(
            Reason.HASH_MISMATCH, f"decrypted image: found SHA-256 {found}, expected {record.value.hex()}"
        )
    return clear


def _with_payload(parsed: ParsedImage, payload: bytes) -> bytes:
    data = memoryview(parsed.data)
    return b"".join((data[: parsed.header.header_size], payload, data[parsed.payload_end :]))


def _agreed_keys(
    private: ec.EllipticCurvePrivateKey, public: ec.EllipticCurvePublicKey
) -> tuple[bytes, bytes]:
    shared = private.exchange(ec.ECDH(), public)
    derived = HKDF(SHA256(), KEY_BYTES + _MAC_BYTES, None, _INFO).derive(shared)
    return derived[:KEY_BYTES], derived[KEY_BYTES:]


def _mac(key: bytes, ciphertext: bytes) -> HMAC:
    mac = HMAC(key, SHA256())
    mac.update(ciphertext)
    return mac


def _failed(message: str) -> Refused:
    return Refused(Reason.DECRYPTION_FAILED, message)
