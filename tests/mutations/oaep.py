"""RSA-OAEP with a seed that is given (RFC 8017, 7.1.1), so that a wrapped key is the same each time."""

from __future__ import annotations

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import rsa

from simlib.security.keys import DecryptionKey

_HASH_BYTES, _MODULUS_BYTES = 32, 256


def _mask(seed: bytes, size: int) -> bytes:
    count = -(-size // _HASH_BYTES)
    return b"".join(sha256(seed + n.to_bytes(4, "big")).digest() for n in range(count))[:size]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def modulus(key: DecryptionKey) -> int:
    """The modulus of an RSA key."""
    assert isinstance(key.private, rsa.RSAPrivateKey)
    return key.private.public_key().public_numbers().n


def wrapped(message: bytes, key: DecryptionKey, seed: bytes) -> bytes:
    """`message`, of any length that fits, encrypted to the RSA-2048 `key` with SHA-256."""
    seed = sha256(seed).digest()
    padding = bytes(_MODULUS_BYTES - len(message) - 2 * _HASH_BYTES - 2)
    block = sha256(b"").digest() + padding + b"\x01" + message
    masked = _xor(block, _mask(seed, len(block)))
    encoded = b"\0" + _xor(seed, _mask(masked, _HASH_BYTES)) + masked
    number = pow(int.from_bytes(encoded, "big"), 65537, modulus(key))
    return number.to_bytes(_MODULUS_BYTES, "big")
