"""The keys that content keys are wrapped to and unwrapped with.

A device has a key pair of P-256, X25519 or RSA-2048 and publishes the public half, or it shares a secret AES
key with its publisher (AES-KW), which then does both. How a content key is wrapped to one is in
`simlib.security.wrapping`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simlib.errors import InputError
from simlib.security.algorithms import (
    HybridPrivateKey,
    HybridPublicKey,
    PrivateKey,
    PublicKey,
    algorithm_of,
)

AES_KW: Final = "aes-kw"
ENCRYPTION_ALGORITHMS: Final = ("ecies-p256", "x25519", "rsa-2048", AES_KW)
"""What a content key can be wrapped with, named after the key it is wrapped to."""
SHARED_KEY_BYTES: Final = (16, 32)
_SHARED_LABEL: Final = b"simlib shared key v1\0"

WrappingKey: TypeAlias = ec.EllipticCurvePublicKey | x25519.X25519PublicKey | rsa.RSAPublicKey | bytes
UnwrappingKey: TypeAlias = ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey | rsa.RSAPrivateKey | bytes


@dataclass(frozen=True)
class EncryptionKey:
    """A key that content keys are wrapped to: P-256, X25519 or RSA-2048, public, or 16 or 32 shared bytes.

    `InputError` for any other.
    """

    public: WrappingKey = field(repr=False)

    def __post_init__(self) -> None:
        _algorithm(self.public)

    @classmethod
    def of(cls, key: PrivateKey | PublicKey | bytes) -> EncryptionKey:
        """The wrapper of a bare key, or of a private key's public half."""
        _algorithm(key)
        public = key.public_key() if hasattr(key, "public_key") else key
        assert isinstance(
            public, ec.EllipticCurvePublicKey | x25519.X25519PublicKey | rsa.RSAPublicKey | bytes
        )
        return cls(public)

    @property
    def algorithm(self) -> str:
        """One of `ENCRYPTION_ALGORITHMS`."""
        return _algorithm(self.public)

    @property
    def fingerprint(self) -> bytes:
        """What names the key: SHA-256 of its SubjectPublicKeyInfo, or of a shared key behind a label."""
        if isinstance(self.public, bytes):
            return sha256(_SHARED_LABEL + self.public).digest()
        return sha256(self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


@dataclass(frozen=True)
class DecryptionKey:
    """A key that unwraps content keys: P-256, X25519 or RSA-2048, private, or 16 or 32 shared bytes.

    `InputError` for any other.
    """

    private: UnwrappingKey = field(repr=False)

    def __post_init__(self) -> None:
        _check_private(self.private)

    @classmethod
    def of(cls, private: PrivateKey | PublicKey | bytes) -> DecryptionKey:
        """The wrapper of a bare private key."""
        _check_private(private)
        assert isinstance(
            private, ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey | rsa.RSAPrivateKey | bytes
        )
        return cls(private)

    @property
    def algorithm(self) -> str:
        """One of `ENCRYPTION_ALGORITHMS`."""
        return _algorithm(self.private)

    def public(self) -> EncryptionKey:
        """The key that wraps content keys for this one."""
        return EncryptionKey.of(self.private)


def _algorithm(key: PrivateKey | PublicKey | bytes) -> str:
    if isinstance(key, bytes):
        if len(key) not in SHARED_KEY_BYTES:
            raise InputError(f"encryption key: found {len(key)} shared bytes, expected 16 or 32")
        return AES_KW
    name = algorithm_of(key)
    if name == "ecdsa-p256":
        name = "ecies-p256"
    if name not in ENCRYPTION_ALGORITHMS:
        raise InputError(
            f"encryption key: found a key of {name}, expected one of {', '.join(ENCRYPTION_ALGORITHMS[:3])}"
        )
    return name


def _check_private(key: PrivateKey | PublicKey | bytes) -> None:
    name = _algorithm(key)
    if isinstance(key, HybridPrivateKey | HybridPublicKey) or not (
        isinstance(key, bytes) or hasattr(key, "private_bytes")
    ):
        raise InputError(f"decryption key: found a public key of {name}, expected a private one")
