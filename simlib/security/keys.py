"""Keys by what they are for: signing and verifying images, encrypting and decrypting content keys.

Each wrapper checks once that its key is of an algorithm that can do the work, so that what takes one
need not. The bare keys are made by `generate_private` and `derive_private` and kept in files by
`save_private`, `load_private` and `load_public`, offered here as well.

Signatures are made over an image's SHA-256 digest as imgtool makes them: ECDSA P-256 and RSA-3072 PSS
(MGF1-SHA256, 32 bytes of salt) take it as the message's hash, Ed25519 takes it as the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simlib.errors import InputError
from simlib.firmware.tlv import TlvType
from simlib.security.algorithms import (
    ALGORITHMS,
    HybridPrivateKey,
    HybridPublicKey,
    PrivateKey,
    PublicKey,
    algorithm_of,
    generate_private,
    unknown_algorithm,
)
from simlib.security.derivation import derive_bytes, derive_private
from simlib.security.keyfiles import load_private, load_public, public_path, save_private
from simlib.security.pss import SALT_BYTES, sign_with_derived_salt

__all__ = [
    "ALGORITHMS",
    "SIGNATURE_ALGORITHMS",
    "DecryptionKey",
    "EncryptionKey",
    "HybridPrivateKey",
    "HybridPublicKey",
    "PrivateKey",
    "PublicKey",
    "SigningKey",
    "VerifyKey",
    "algorithm_of",
    "derive_bytes",
    "derive_private",
    "generate_private",
    "load_private",
    "load_public",
    "public_path",
    "save_private",
]

_SIGNATURE_TLVS: Final = {
    "ecdsa-p256": TlvType.ECDSASIG,
    "ed25519": TlvType.ED25519,
    "rsa-3072": TlvType.RSA3072,
}
SIGNATURE_ALGORITHMS: Final = tuple(_SIGNATURE_TLVS)
"""The algorithms that sign images."""
_PREHASHED: Final = Prehashed(SHA256())
_PSS: Final = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=SALT_BYTES)


@dataclass(frozen=True)
class VerifyKey:
    """A public key that image signatures are checked with. `InputError` unless `algorithm` signs images."""

    algorithm: str
    public: PublicKey

    def __post_init__(self) -> None:
        _check_signs(self.algorithm, self.public)

    @classmethod
    def of(cls, key: PrivateKey | PublicKey) -> VerifyKey:
        """The wrapper of a bare key, or of a private key's public half."""
        public = key.public_key() if hasattr(key, "public_key") else key
        return cls(algorithm_of(public), public)

    @property
    def signature_tlv(self) -> TlvType:
        """The record type this key's signatures stand in."""
        return _SIGNATURE_TLVS[self.algorithm]

    @cached_property
    def keyhash(self) -> bytes:
        """SHA-256 of the public key's DER: PKCS#1 for RSA, SubjectPublicKeyInfo for the others."""
        public = self.public
        assert not isinstance(public, HybridPublicKey)
        is_rsa = isinstance(public, rsa.RSAPublicKey)
        form = PublicFormat.PKCS1 if is_rsa else PublicFormat.SubjectPublicKeyInfo
        return sha256(public.public_bytes(Encoding.DER, form)).digest()

    def accepts(self, signature: bytes, digest: bytes) -> bool:
        """Whether `signature` is this key's over the SHA-256 `digest`."""
        public = self.public
        try:
            if isinstance(public, ec.EllipticCurvePublicKey):
                public.verify(signature, digest, ec.ECDSA(_PREHASHED))
            elif isinstance(public, rsa.RSAPublicKey):
                public.verify(signature, digest, _PSS, _PREHASHED)
            elif isinstance(public, ed25519.Ed25519PublicKey):
                public.verify(signature, digest)
            else:
                return False
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """A private key that signs images. `InputError` unless `algorithm` signs images."""

    algorithm: str
    private: PrivateKey

    def __post_init__(self) -> None:
        _check_signs(self.algorithm, self.private)

    @classmethod
    def of(cls, private: PrivateKey) -> SigningKey:
        """The wrapper of a bare private key."""
        return cls(algorithm_of(private), private)

    def public(self) -> VerifyKey:
        """The key that checks this key's signatures."""
        return VerifyKey(self.algorithm, self.private.public_key())

    def sign(self, digest: bytes, *, deterministic: bool = False) -> bytes:
        """The signature over a SHA-256 `digest`.

        With `deterministic` nothing is left to chance: ECDSA follows RFC 6979 and PSS derives its salt
        (`simlib.security.pss`, for derived keys of simulated devices). Ed25519 needs no telling.
        """
        private = self.private
        if isinstance(private, ec.EllipticCurvePrivateKey):
            return private.sign(digest, ec.ECDSA(_PREHASHED, deterministic_signing=deterministic))
        if isinstance(private, rsa.RSAPrivateKey):
            if deterministic:
                return sign_with_derived_salt(private, digest)
            return private.sign(digest, _PSS, _PREHASHED)
        assert isinstance(private, ed25519.Ed25519PrivateKey)
        return private.sign(digest)


@dataclass(frozen=True)
class EncryptionKey:
    """A P-256 public key that content keys are wrapped to (ECIES-P256). `InputError` for any other."""

    public: ec.EllipticCurvePublicKey

    def __post_init__(self) -> None:
        _check_p256(self.public)

    @classmethod
    def of(cls, key: PrivateKey | PublicKey) -> EncryptionKey:
        """The wrapper of a bare key, or of a private key's public half."""
        public = key.public_key() if hasattr(key, "public_key") else key
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise _not_p256(key)
        return cls(public)


@dataclass(frozen=True)
class DecryptionKey:
    """A P-256 private key that unwraps content keys. `InputError` for any other."""

    private: ec.EllipticCurvePrivateKey

    def __post_init__(self) -> None:
        _check_p256(self.private)

    @classmethod
    def of(cls, private: PrivateKey | PublicKey) -> DecryptionKey:
        """The wrapper of a bare private key."""
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise _not_p256(private)
        return cls(private)

    def public(self) -> EncryptionKey:
        """The key that wraps content keys for this one."""
        return EncryptionKey(self.private.public_key())


def _check_signs(algorithm: str, key: PrivateKey | PublicKey) -> None:
    if algorithm not in _SIGNATURE_TLVS:
        raise unknown_algorithm(algorithm, SIGNATURE_ALGORITHMS)
    if (actual := algorithm_of(key)) != algorithm:
        raise InputError(f"signature key: found a key of {actual}, expected one of {algorithm}")


def _check_p256(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> None:
    if algorithm_of(key) != "ecdsa-p256":
        raise _not_p256(key)


def _not_p256(key: PrivateKey | PublicKey) -> InputError:
    return InputError(f"encryption key: found a key of {algorithm_of(key)}, expected ecies-p256")
