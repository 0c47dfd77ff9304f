"""Keys by what they are for: signing and verifying images, encrypting and decrypting content keys.

Each wrapper checks once that its key is of an algorithm that can do the work, so that what takes one
need not. The bare keys are made by `generate_private` and `derive_private` and kept in files by
`save_private`, `load_private` and `load_public`, offered here as well; so are the keys for content keys
(`simlib.security.wrapping_keys`).

Signatures are made over an image's digest as imgtool makes them: ECDSA P-256 and RSA PSS (MGF1-SHA256, 32
bytes of salt) take a SHA-256 and ECDSA P-384 a SHA-384 as the message's hash, Ed25519 takes a SHA-256 or a
SHA-512 as the message. A *pure* Ed25519 signature has the image itself as the message (SIG_PURE), which goes
with SHA-512. To the key it is all one: it is given the bytes that it signs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
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
from simlib.security.hashes import Hash
from simlib.security.keyfiles import load_private, load_public, load_shared, public_path, save_private
from simlib.security.pss import SALT_BYTES, sign_with_derived_salt
from simlib.security.wrapping_keys import ENCRYPTION_ALGORITHMS, DecryptionKey, EncryptionKey

__all__ = [
    "ALGORITHMS",
    "ENCRYPTION_ALGORITHMS",
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
    "load_shared",
    "public_path",
    "save_private",
]

_SIGNATURE_TLVS: Final = {
    "ecdsa-p256": TlvType.ECDSASIG,
    "ecdsa-p384": TlvType.ECDSASIG,
    "ed25519": TlvType.ED25519,
    "rsa-2048": TlvType.RSA2048,
    "rsa-3072": TlvType.RSA3072,
}
SIGNATURE_ALGORITHMS: Final = tuple(_SIGNATURE_TLVS)
"""The algorithms that sign images."""
_HASHES: Final = {
    "ecdsa-p256": (Hash.SHA256,),
    "ecdsa-p384": (Hash.SHA384,),
    "ed25519": (Hash.SHA256, Hash.SHA512),
    "rsa-2048": (Hash.SHA256,),
    "rsa-3072": (Hash.SHA256,),
}
_PURE: Final = {"ed25519": Hash.SHA512}
_PREHASHED: Final = {"ecdsa-p256": Prehashed(SHA256()), "ecdsa-p384": Prehashed(SHA384())}
_PSS_HASH: Final = Prehashed(SHA256())
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

    @property
    def hashes(self) -> tuple[Hash, ...]:
        """The hashes of images this algorithm signs, as imgtool has them; the first is taken unless told."""
        return _HASHES[self.algorithm]

    @property
    def pure_hash(self) -> Hash | None:
        """The hash of an image with a pure signature; None for an algorithm that has none."""
        return _PURE.get(self.algorithm)

    @cached_property
    def der(self) -> bytes:
        """The public key as a PUBKEY record has it, in DER: PKCS#1 for RSA, else SubjectPublicKeyInfo."""
        public = self.public
        assert not isinstance(public, HybridPublicKey)
        is_rsa = isinstance(public, rsa.RSAPublicKey)
        form = PublicFormat.PKCS1 if is_rsa else PublicFormat.SubjectPublicKeyInfo
        return public.public_bytes(Encoding.DER, form)

    @cached_property
    def keyhash(self) -> bytes:
        """SHA-256 of `der`: the key's name outside images, and in those that are hashed with SHA-256."""
        return self.keyhash_by(Hash.SHA256)

    def keyhash_by(self, algorithm: Hash) -> bytes:
        """The hash of `der`, as a KEYHASH record has it in an image hashed with `algorithm`."""
        return algorithm.digest(self.der)

    def accepts(self, signature: bytes, digest: bytes) -> bool:
        """Whether `signature` is this key's over `digest`, or over a pure signature's message.

        A digest of a length that the algorithm does not take is accepted by no signature.
        """
        public = self.public
        try:
            if isinstance(public, ed25519.Ed25519PublicKey):
                public.verify(signature, digest)
            elif len(digest) != self.hashes[0].size:
                return False
            elif isinstance(public, ec.EllipticCurvePublicKey):
                public.verify(signature, digest, ec.ECDSA(_PREHASHED[self.algorithm]))
            elif isinstance(public, rsa.RSAPublicKey):
                public.verify(signature, digest, _PSS, _PSS_HASH)
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
        """The signature over `digest`, by one of the algorithm's hashes, or over a pure signature's message.

        With `deterministic` nothing is left to chance: ECDSA follows RFC 6979 and PSS derives its salt
        (`simlib.security.pss`, for derived keys of simulated devices). Ed25519 needs no telling. Raises
        `InputError` for a digest of a length that the algorithm does not take.
        """
        private = self.private
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return private.sign(digest)
        wanted = _HASHES[self.algorithm][0]
        if len(digest) != wanted.size:
            raise InputError(
                f"digest: found {len(digest)} bytes, expected a {wanted.label} for {self.algorithm}"
            )
        if isinstance(private, rsa.RSAPrivateKey):
            if deterministic:
                return sign_with_derived_salt(private, digest)
            return private.sign(digest, _PSS, _PSS_HASH)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        scheme = ec.ECDSA(_PREHASHED[self.algorithm], deterministic_signing=deterministic)
        return private.sign(digest, scheme)


def _check_signs(algorithm: str, key: PrivateKey | PublicKey) -> None:
    if algorithm not in _SIGNATURE_TLVS:
        raise unknown_algorithm(algorithm, SIGNATURE_ALGORITHMS)
    if (actual := algorithm_of(key)) != algorithm:
        raise InputError(f"signature key: found a key of {actual}, expected one of {algorithm}")
