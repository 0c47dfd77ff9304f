"""Signatures in forms that a lax reader might take, and by keys that nobody trusts."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simlib.security.keys import VerifyKey
from tests.mutations.anatomy import (
    ECDSA,
    ED25519,
    HASHES,
    KEYHASH,
    PUBKEY,
    RSA2048,
    RSA3072,
    SIGNATURES,
    Anatomy,
    Record,
)
from tests.mutations.dice import Dice
from tests.mutations.subjects import STRANGERS, signing_key

ORDERS = {
    "ecdsa-p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ecdsa-p384": int(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        16,
    ),
}
"""Of the curves' groups (SP 800-186, section 3.2.1)."""
ED25519_ORDER = (1 << 252) + 27742317777372353535851937790883648493
SMALL_ORDER_POINTS = (
    bytes(32),
    b"\x01" + bytes(31),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
)
"""Some that satisfy the equation of a careless verifier for any message (RFC 8032, 5.1.7)."""


def twin(signature: bytes, algorithm: str) -> bytes:
    """The other ECDSA signature that holds wherever this one does: (r, −s)."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, ORDERS[algorithm] - s)


def other_form(dice: Dice, kind: int, value: bytes, key: VerifyKey) -> bytes:
    """The signature written or changed in a way that is special to its algorithm."""
    if kind == ECDSA and key.algorithm in ORDERS:
        return _other_ecdsa(dice, value, key.algorithm)
    if kind == ED25519 and len(value) == 64:
        return _other_ed25519(dice, value)
    if kind in (RSA2048, RSA3072) and isinstance(key.public, rsa.RSAPublicKey):
        modulus, bits = key.public.public_numbers().n, key.public.key_size
        number = int.from_bytes(value, "big")
        others = (number + modulus, abs(modulus - number), 0, 1, modulus, modulus - 1)
        return (dice.one(others) % (1 << bits)).to_bytes(bits // 8, "big")
    return value


def _other_ecdsa(dice: Dice, value: bytes, algorithm: str) -> bytes:
    size = 33 if algorithm == "ecdsa-p256" else 49
    try:
        r, s = decode_dss_signature(value)
    except ValueError:
        return value
    n = ORDERS[algorithm]
    match dice.below(5):
        case 0:
            return twin(value, algorithm) if 0 < s < n else value
        case 1:
            pairs = (
                (0, 0),
                (r, 0),
                (0, s),
                (r, s + n),
                (r + n, s),
                (n, s),
                (r, n),
                (n - r if r < n else 0, s),
            )
            return encode_dss_signature(*dice.one(pairs))
        case 2:
            return r.to_bytes(64, "big")[1 - size :] + s.to_bytes(64, "big")[1 - size :]  # not DER at all
        case 3:  # DER that is not the shortest
            numbers = b"".join(_der(2, b"\0" + number.to_bytes(64, "big")[-size:]) for number in (r, s))
            return _der(0x30, numbers)
        case _:
            body = value[2:]
            padded = value + b"\0" * dice.few(4)
            return dice.one((padded, b"\x30\x81" + value[1:2] + body, b"\x30\x80" + body + b"\0\0"))


def _der(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def _other_ed25519(dice: Dice, value: bytes) -> bytes:
    scalar = int.from_bytes(value[32:], "little")
    match dice.below(3):
        case 0:
            return value[:32] + ((scalar + dice.few(8) * ED25519_ORDER) % (1 << 256)).to_bytes(32, "little")
        case 1:
            return dice.one(SMALL_ORDER_POINTS) + dice.one((bytes(32), value[32:]))
        case _:
            return value[32:] + value[:32]


def sign_as_a_stranger(dice: Dice, parts: Anatomy, payload: bytes) -> None:
    """A signature by a key that nobody trusts, under that key's hash or under the one that was there."""
    key = signing_key(dice.one(STRANGERS), "stranger")
    public = key.public()
    hashed = parts.unprotected.find(*HASHES)
    if hashed is None:
        hashed = Record(0, b"")
        parts.unprotected.records.append(hashed)
    digest = parts.digest_with(payload, "sha256")
    hashed.kind, hashed.value = 0x10, digest
    record = parts.unprotected.find(*SIGNATURES)
    if record is None:
        record = Record(0, b"")
        parts.unprotected.records.append(record)
    record.kind, record.value = int(public.signature_tlv), key.sign(digest, deterministic=True)
    named = parts.unprotected.find(KEYHASH, PUBKEY)
    if named is not None and dice.chance(2, 3):
        named.kind, named.value = dice.one(((KEYHASH, public.keyhash), (PUBKEY, public_bytes(public))))


def public_bytes(key: VerifyKey) -> bytes:
    """The public key's DER, as a PUBKEY record holds it."""
    is_rsa = isinstance(key.public, rsa.RSAPublicKey)
    form = PublicFormat.PKCS1 if is_rsa else PublicFormat.SubjectPublicKeyInfo
    return key.public.public_bytes(Encoding.DER, form)
