"""RSA-PSS without chance: the salt is derived from the private key and the digest.

PSS (RFC 8017 section 8.1) takes a random salt, so one image signed twice is two images, and a patch made
between such images is of another length each time. Here the salt is HMAC-SHA256 under the private exponent
over a context string and the digest, as RFC 6979 derives the nonce of an ECDSA signature: nobody without
the key can tell it from a random one, and any verifier of PSS accepts it.

The private operation is Python's own exponentiation, which takes a time that depends on the key. That is
harmless for derived keys of simulated devices; a key in use is to sign through cryptography, with a random
salt, as `SigningKey.sign` does unless told otherwise. A key that is kept elsewhere, and does the operation
there, signs for itself (`simlib.security.stores.token_keys`).
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final, Protocol, runtime_checkable

from cryptography.hazmat.primitives.asymmetric import rsa

SALT_BYTES: Final = 32
_HASH_BYTES: Final = 32
_SALT_CONTEXT: Final = b"simlib derived PSS salt v1\0"


@runtime_checkable
class SaltsItself(Protocol):
    """A private key whose numbers are not at hand, which makes the whole signature itself."""

    def sign_with_derived_salt(self, digest: bytes) -> bytes:
        """As the function of this name."""
        ...


def sign_with_derived_salt(private: rsa.RSAPrivateKey, digest: bytes) -> bytes:
    """The RSASSA-PSS signature (SHA-256, MGF1-SHA256, 32 bytes of salt) over a SHA-256 `digest`."""
    if isinstance(private, SaltsItself):
        return private.sign_with_derived_salt(digest)
    numbers = private.private_numbers()
    size = _octets(private.key_size)
    secret = numbers.d.to_bytes(size, "big")
    salt = hmac.digest(secret, salt_message(digest), "sha256")
    message = int.from_bytes(encode(digest, salt, private.key_size - 1), "big")
    # RFC 8017 section 5.2.1, by the Chinese remainder theorem.
    of_p = pow(message, numbers.dmp1, numbers.p)
    of_q = pow(message, numbers.dmq1, numbers.q)
    lift = (of_p - of_q) * numbers.iqmp % numbers.p
    return (of_q + lift * numbers.q).to_bytes(size, "big")


def salt_message(digest: bytes) -> bytes:
    """What the salt of a signature over `digest` is the HMAC-SHA256 of."""
    return _SALT_CONTEXT + digest


def encode(digest: bytes, salt: bytes, encoded_bits: int) -> bytes:
    """EMSA-PSS-ENCODE (RFC 8017 section 9.1.1) of a SHA-256 `digest`, for at most `encoded_bits` bits."""
    size = _octets(encoded_bits)
    hashed = sha256(bytes(8) + digest + salt).digest()
    block = (b"\x01" + salt).rjust(size - _HASH_BYTES - 1, b"\0")
    mask = _mgf1(hashed, len(block))
    masked = bytearray(a ^ b for a, b in zip(block, mask, strict=True))
    masked[0] &= 0xFF >> (8 * size - encoded_bits)
    return bytes(masked) + hashed + b"\xbc"


def _mgf1(seed: bytes, size: int) -> bytes:
    """The mask generation function of RFC 8017 appendix B.2.1 with SHA-256."""
    blocks = range(-(-size // _HASH_BYTES))
    return b"".join(sha256(seed + number.to_bytes(4, "big")).digest() for number in blocks)[:size]


def _octets(bits: int) -> int:
    return -(-bits // 8)
