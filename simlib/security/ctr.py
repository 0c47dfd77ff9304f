"""AES in counter mode (SP 800-38A) under a content key of 16 bytes (AES-128) or 32 (AES-256).

CTR is not authenticated: whoever tampers with a ciphertext is found by the hash, and by the signature, of
what it belongs to.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from simlib.errors import InputError

KEY_SIZES: Final = (16, 32)
BLOCK_BYTES: Final = 16


def check_key(key: bytes) -> None:
    """Raise `InputError` unless `key` has the length of a content key."""
    if len(key) not in KEY_SIZES:
        raise InputError(f"content key: found {len(key)} bytes, expected 16 or 32")


def ctr_crypt(key: bytes, data: bytes, offset: int = 0) -> bytes:
    """`data` encrypted or decrypted (CTR does both the same way) with AES-CTR, the counter from zero.

    `offset` [bytes] is where `data` stands in the stream; it need not be a multiple of the block.
    """
    block, skip = divmod(offset, BLOCK_BYTES)
    return ctr_crypt_from(key, block.to_bytes(BLOCK_BYTES, "big"), data, skip)


def ctr_crypt_from(key: bytes, counter_block: bytes, data: bytes, skip: int = 0) -> bytes:
    """`data` under AES-CTR from any counter block, `skip` bytes of key stream left out."""
    check_key(key)
    cipher = Cipher(algorithms.AES(key), modes.CTR(counter_block)).encryptor()
    cipher.update(bytes(skip))
    return cipher.update(data) + cipher.finalize()
