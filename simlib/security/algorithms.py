"""Which key algorithms there are, how their private keys are generated, and which a given key is of.

The names are those of `simlib keys new`. An ``ecies-p256`` key is a P-256 key like an ``ecdsa-p256``
one; only its use differs. A hybrid key is a pair, to be used together. Deriving keys from a seed is in
`simlib.security.derivation`, files in `simlib.security.keyfiles`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from simlib.errors import InputError, MissingPartError

CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "ecdsa-p256": ec.SECP256R1(),
    "ecies-p256": ec.SECP256R1(),
    "ecdsa-p384": ec.SECP384R1(),
}
RSA_BITS: Final = {"rsa-2048": 2048, "rsa-3072": 3072}
RSA_EXPONENT: Final = 65537
ML_DSA: Final = {"ml-dsa-44": "MLDSA44", "ml-dsa-65": "MLDSA65", "ml-dsa-87": "MLDSA87"}
HYBRID: Final = "hybrid-p256-ml-dsa-65"
HYBRID_PARTS: Final = ("ecdsa-p256", "ml-dsa-65")

ALGORITHMS: Final = (*CURVES, "ed25519", *RSA_BITS, *ML_DSA, HYBRID, "x25519")


@dataclass(frozen=True, slots=True)
class HybridPublicKey:
    """The public halves of a hybrid pair."""

    classical: PublicKeyTypes
    post_quantum: PublicKeyTypes


@dataclass(frozen=True, slots=True)
class HybridPrivateKey:
    """A classical and a post-quantum private key whose signatures are valid only together."""

    classical: PrivateKeyTypes
    post_quantum: PrivateKeyTypes

    def public_key(self) -> HybridPublicKey:
        """The public halves."""
        return HybridPublicKey(self.classical.public_key(), self.post_quantum.public_key())


PrivateKey: TypeAlias = PrivateKeyTypes | HybridPrivateKey
PublicKey: TypeAlias = PublicKeyTypes | HybridPublicKey


def unknown_algorithm(algorithm: str, expected: tuple[str, ...] = ALGORITHMS) -> InputError:
    """The error for an algorithm that is not one of `expected`."""
    return InputError(f"algorithm: found {algorithm!r}, expected one of {', '.join(expected)}")


def ml_dsa_private_class(algorithm: str) -> Any:
    """cryptography's private key class for an ML-DSA parameter set.

    Raises `MissingPartError` where the installed cryptography or its OpenSSL has no ML-DSA.
    """
    try:
        module = importlib.import_module("cryptography.hazmat.primitives.asymmetric.mldsa")
    except ImportError:
        raise MissingPartError(
            f"{algorithm}: found no ML-DSA, expected a newer cryptography: pip install -U cryptography"
        ) from None
    return getattr(module, f"{ML_DSA[algorithm]}PrivateKey")


def generate_private(algorithm: str) -> PrivateKey:
    """A fresh private key from the operating system's generator; `InputError` for an unknown name."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    if algorithm in RSA_BITS:
        return rsa.generate_private_key(RSA_EXPONENT, RSA_BITS[algorithm])
    if algorithm in ML_DSA:
        key: PrivateKeyTypes = ml_dsa_private_class(algorithm).generate()
        return key
    if algorithm == HYBRID:
        return hybrid_of(*(generate_private(part) for part in HYBRID_PARTS))
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "x25519":
        return x25519.X25519PrivateKey.generate()
    raise unknown_algorithm(algorithm)


def hybrid_of(classical: PrivateKey, post_quantum: PrivateKey) -> HybridPrivateKey:
    """The hybrid key of two simple ones."""
    if isinstance(classical, HybridPrivateKey) or isinstance(post_quantum, HybridPrivateKey):
        raise InputError("hybrid key: found a hybrid part, expected two simple keys")
    return HybridPrivateKey(classical, post_quantum)


def algorithm_of(key: PrivateKey | PublicKey) -> str:
    """The name of the algorithm this key is of; ``ecdsa-p256`` for any P-256 key, whatever its use.

    Raises `InputError` for a key of no algorithm simlib knows.
    """
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        for name, curve in CURVES.items():
            if key.curve.name == curve.name:
                return name
    elif isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        for name, bits in RSA_BITS.items():
            if key.key_size == bits:
                return name
    elif isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return "ed25519"
    elif isinstance(key, x25519.X25519PrivateKey | x25519.X25519PublicKey):
        return "x25519"
    elif isinstance(key, HybridPrivateKey | HybridPublicKey):
        found = (algorithm_of(key.classical), algorithm_of(key.post_quantum))
        if found == HYBRID_PARTS:
            return HYBRID
        raise InputError(f"pair of keys: found {' and '.join(found)}, expected {' and '.join(HYBRID_PARTS)}")
    else:
        for name, prefix in ML_DSA.items():
            if type(key).__name__.startswith(prefix):
                return name
    raise InputError(f"key: found {type(key).__name__}, expected a key of one of {', '.join(ALGORITHMS)}")
