"""Image encryption as MCUboot does it (docs/encrypted_images.md): AES-CTR under a key of the image's own.

The payload is encrypted with a content key, 16 bytes (AES-128) or 32 (AES-256) as the header's flag says, the
counter from zero; header and TLVs stay in the clear, and the hash is over the plaintext. The content key
travels in a record, wrapped for the device (`simlib.security.wrapping`).
"""

from __future__ import annotations

import os
from hmac import compare_digest
from typing import Final

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.header import Flag
from simlib.firmware.image import ParsedImage, parse_image
from simlib.security.ctr import BLOCK_BYTES, KEY_SIZES, ctr_crypt, ctr_crypt_from
from simlib.security.hashes import Hash
from simlib.security.keys import DecryptionKey
from simlib.security.wrapping import KEY_WRAPS, X25519_SHA512, failed, unwrap_key, wrap_key

__all__ = [
    "BLOCK_BYTES",
    "CIPHERS",
    "KEY_BYTES",
    "WRAPPED_BYTES",
    "cipher_named",
    "content_key_of",
    "ctr_crypt",
    "ctr_crypt_from",
    "decrypt_image",
    "generate_content_key",
    "key_wrap_of",
    "unwrap_key",
    "wrap_key",
]

CIPHERS: Final = {"aes-256": Flag.ENCRYPTED_AES256, "aes-128": Flag.ENCRYPTED_AES128}
"""The ciphers of a payload, and the header flag of each; the first is the one that is taken unless told."""
KEY_BYTES: Final = 32
"""The length of an AES-256 content key."""
WRAPPED_BYTES: Final = 129
"""The length of an AES-256 content key wrapped by ECIES-P256."""

_FORM_SUFFIX: Final = X25519_SHA512.removeprefix("x25519")


def cipher_named(name: str) -> tuple[Flag, int]:
    """The header flag of a cipher and the length of its content keys; `InputError` for an unknown name."""
    if name not in CIPHERS:
        raise InputError(f"cipher: found {name!r}, expected one of {', '.join(CIPHERS)}")
    return CIPHERS[name], int(name.removeprefix("aes-")) // 8


def generate_content_key(key_bytes: int = KEY_BYTES) -> bytes:
    """A fresh content key from the operating system's generator."""
    if key_bytes not in KEY_SIZES:
        raise InputError(f"content key: found {key_bytes} bytes, expected 16 or 32")
    return os.urandom(key_bytes)


def key_wrap_of(parsed: ParsedImage) -> str | None:
    """By which form of `simlib.security.wrapping` the image's content key is wrapped; None in the clear."""
    record = parsed.wrapped_key
    return None if record is None else KEY_WRAPS[record.type]


def content_key_of(image: bytes | ParsedImage, key: DecryptionKey) -> bytes:
    """The content key an encrypted image carries for `key`, as long as the cipher in its header asks for.

    Raises `Refused`: DECRYPTION_FAILED when there is none in a form of this key's, it is for another key or
    another cipher, and as `parse_image` does.
    """
    parsed = image if isinstance(image, ParsedImage) else parse_image(image, erased_value=0xFF)
    record, form = parsed.wrapped_key, key_wrap_of(parsed)
    if record is None or form is None or form.removesuffix(_FORM_SUFFIX) != key.algorithm:
        raise failed(
            f"image: found {'no wrapped key' if form is None else f'a key wrapped by {form}'}, "
            f"expected one wrapped by {key.algorithm}"
        )
    content_key = unwrap_key(record.value, key)
    if len(content_key) != parsed.header.content_key_bytes:
        raise failed(
            f"content key: found {len(content_key)} bytes, expected {parsed.header.content_key_bytes} "
            "by the header's cipher"
        )
    return content_key


def decrypt_image(data: bytes, key: DecryptionKey, *, erased_value: int | None = 0xFF) -> bytes:
    """The image with its payload in the clear; header flags, TLVs and trailer as they were.

    The hash is checked before anything is returned, the signature is not. Raises `Refused`:
    DECRYPTION_FAILED (not encrypted, already in the clear, or for another key), HASH_MISSING or
    HASH_MISMATCH, and as `parse_image` does.
    """
    parsed = parse_image(data, erased_value=erased_value)
    content_key = content_key_of(parsed, key)
    record = parsed.hash_record
    if record is None:
        raise Refused(Reason.HASH_MISSING, "image: found no hash TLV, expected one")
    algorithm = Hash.of(record.type)
    if compare_digest(algorithm.digest(memoryview(data)[: parsed.hashed_end]), record.value):
        raise failed("image: found the payload already in the clear, expected it encrypted")
    clear = _with_payload(parsed, ctr_crypt(content_key, bytes(parsed.payload)))
    found = algorithm.digest(memoryview(clear)[: parsed.hashed_end])
    if not compare_digest(found, record.value):
        raise Refused(
            Reason.HASH_MISMATCH,
            f"decrypted image: found {algorithm.label} {found.hex()}, expected {record.value.hex()}",
        )
    return clear


def _with_payload(parsed: ParsedImage, payload: bytes) -> bytes:
    data = memoryview(parsed.data)
    return b"".join((data[: parsed.header.header_size], payload, data[parsed.payload_end :]))
