"""Secrets derived from a seed and a purpose, so that the same scenario makes the same bytes everywhere.

HKDF-SHA256 (RFC 5869) expands (seed, purpose) into as many bytes as a key needs; each algorithm turns
them into a key by its own rule:

- an EC scalar by FIPS 186-5 A.2.1, reduction of 64 bits more than the order has;
- Ed25519, X25519 and ML-DSA take 32 bytes as their seed;
- RSA searches upwards from derived odd candidates for primes that pass Miller–Rabin.

These are keys of simulated devices: anyone who knows the seed has them. Keys for use come from
`simlib.security.algorithms.generate_private`.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, isqrt
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from simlib.security.algorithms import (
    CURVES,
    HYBRID,
    HYBRID_PARTS,
    ML_DSA,
    RSA_BITS,
    RSA_EXPONENT,
    PrivateKey,
    hybrid_of,
    ml_dsa_private_class,
    unknown_algorithm,
)

_SALT: Final = b"simlib derived test key v1"
# The orders of P-256 and P-384, SP 800-186 section 3.2.1.
_ORDERS: Final = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": (
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF << 128
        | 0x581A0DB248B0A77AECEC196ACCC52973
    ),
}
_EXTRA_BITS: Final = 64
_SEARCH_SPAN: Final = 1 << 16
_WITNESSES: Final = 16


def derive_bytes(seed: int, purpose: str, size: int) -> bytes:
    """`size` secret-looking bytes (at most 8,160) that are a pure function of seed and purpose."""
    return HKDF(SHA256(), size, _SALT, purpose.encode()).derive(f"seed {seed}".encode())


@lru_cache(maxsize=256)
def derive_private(algorithm: str, seed: int, purpose: str) -> PrivateKey:
    """The private key that belongs to (algorithm, seed, purpose); `InputError` for an unknown algorithm.

    Two purposes give unrelated keys, so do two algorithms with one purpose.
    """
    label = f"{algorithm} {purpose}"
    if algorithm in CURVES:
        curve = CURVES[algorithm]
        order = _ORDERS[curve.name]
        wide = derive_bytes(seed, label, (curve.key_size + _EXTRA_BITS) // 8)
        return ec.derive_private_key(int.from_bytes(wide, "big") % (order - 1) + 1, curve)
    if algorithm in RSA_BITS:
        return _derive_rsa(RSA_BITS[algorithm], seed, label)
    if algorithm in ML_DSA:
        key: PrivateKeyTypes = ml_dsa_private_class(algorithm).from_seed_bytes(derive_bytes(seed, label, 32))
        return key
    if algorithm == HYBRID:
        return hybrid_of(*(derive_private(part, seed, label) for part in HYBRID_PARTS))
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(derive_bytes(seed, label, 32))
    if algorithm == "x25519":
        return x25519.X25519PrivateKey.from_private_bytes(derive_bytes(seed, label, 32))
    raise unknown_algorithm(algorithm)


def _derive_rsa(bits: int, seed: int, label: str) -> rsa.RSAPrivateKey:
    p = _derive_prime(bits // 2, seed, f"{label} p")
    q = _derive_prime(bits // 2, seed, f"{label} q")
    d = pow(RSA_EXPONENT, -1, (p - 1) * (q - 1) // gcd(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(RSA_EXPONENT, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


def _derive_prime(bits: int, seed: int, label: str) -> int:
    """The first suitable prime above a derived start; two starts are 2**(bits−100) close with odds 2**-99."""
    attempt = 0
    while True:
        start = int.from_bytes(derive_bytes(seed, f"{label} {attempt}", bits // 8), "big")
        start |= 3 << (bits - 2) | 1  # two leading ones, so that the product of two has all its bits
        composite = _sieve(start)
        for step, struck in enumerate(composite):
            candidate = start + 2 * step
            if struck or candidate.bit_length() > bits or gcd(candidate - 1, RSA_EXPONENT) != 1:
                continue
            if _is_probable_prime(candidate):
                return candidate
        attempt += 1


def _sieve(start: int) -> bytearray:
    """Which of start, start + 2, … have a small prime factor."""
    struck = bytearray(_SEARCH_SPAN // 8)
    for prime in _odd_primes():
        # start + 2k = 0 modulo prime, for k = −start / 2
        first = (-start * ((prime + 1) // 2)) % prime
        struck[first::prime] = b"\x01" * len(range(first, len(struck), prime))
    return struck


@lru_cache(maxsize=1)
def _odd_primes() -> tuple[int, ...]:
    limit = _SEARCH_SPAN
    prime = bytearray(b"\x01") * limit
    for n in range(3, isqrt(limit) + 1, 2):
        if prime[n]:
            prime[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return tuple(n for n in range(3, limit, 2) if prime[n])


def _is_probable_prime(candidate: int) -> bool:
    """Miller–Rabin to the first prime bases; nobody chose the candidates, so 16 rounds are plenty."""
    odd, twos = candidate - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, *_odd_primes()[: _WITNESSES - 1]):
        x = pow(base, odd, candidate)
        if x in {1, candidate - 1}:
            continue
        for _ in range(twos - 1):
            x = x * x % candidate
            if x == candidate - 1:
                break
        else:
            return False
    return True
