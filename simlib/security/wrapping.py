"""How a content key travels to its device (MCUboot docs/encrypted_images.md): five ways, a record type each.

ECIES with P-256 or X25519: a Diffie-Hellman exchange with an ephemeral key, HKDF without a salt into a
cipher key as long as the content key and an HMAC key as long as the hash, then ``ephemeral public key ‖ HMAC
of the ciphertext ‖ AES-CTR ciphertext``. Hash and HMAC are SHA-256; X25519 also has a form with SHA-512.
RSA-2048: OAEP with SHA-256 and MGF1-SHA256. AES-KW: RFC 3394 under a shared key.

The length of what is wrapped tells the form and the content key's length, so that unwrapping needs to be told
nothing else; the record's type says the same (`simlib.firmware.tlv` knows the lengths of each).

A P-256 point (x, −y) unwraps to the same content key as (x, y); that changes neither the key nor the payload,
so nothing hangs on it. An X25519 point has one encoding here: those that RFC 7748 would reduce are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simlib.errors import InputError, Reason, Refused
from simlib.firmware.tlv import TlvType
from simlib.security.ctr import KEY_SIZES, check_key, ctr_crypt
from simlib.security.hashes import Hash
from simlib.security.wrapping_keys import AES_KW, DecryptionKey, EncryptionKey

X25519_SHA512: Final = "x25519-sha512"
"""The form of X25519 with SHA-512; the other forms have their key's name."""
KEY_WRAPS: Final = {
    TlvType.ENCEC256: "ecies-p256",
    TlvType.ENCX25519: "x25519",
    TlvType.ENCX25519_SHA512: X25519_SHA512,
    TlvType.ENCRSA2048: "rsa-2048",
    TlvType.ENCKW: AES_KW,
}
"""Which form each record type is."""
_INFO: Final = b"MCUBoot_ECIES_v1"
_P256_POINT_BYTES: Final = 65
_X25519_POINT_BYTES: Final = 32
_UNCOMPRESSED: Final = 0x04
_X25519_PRIME: Final = (1 << 255) - 19
_KW_OVERHEAD_BYTES: Final = 8
_RSA_BYTES: Final = 256
_OAEP: Final = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
_HASHES: Final = {Hash.SHA256: hashes.SHA256(), Hash.SHA512: hashes.SHA512()}


@dataclass(frozen=True, slots=True)
class _Ecies:
    """The parts of an ECIES wrapping."""

    hmac_hash: Hash
    point: bytes
    mac: bytes
    ciphertext: bytes


def wrap_key(
    content_key: bytes,
    to: EncryptionKey,
    ephemeral: DecryptionKey | None = None,
    *,
    hmac_hash: Hash = Hash.SHA256,
) -> bytes:
    """The bytes that carry `content_key`, of 16 or 32, to the holder of the key `to`.

    The ephemeral key, of `to`'s algorithm, is a fresh one unless given; a given one makes the result
    deterministic, and must never be given for real secrets. `hmac_hash` is SHA-512 only with X25519. Raises
    `InputError` for what does not go together.
    """
    check_key(content_key)
    if hmac_hash not in _HASHES or (hmac_hash is Hash.SHA512 and to.algorithm != "x25519"):
        raise InputError(
            f"HMAC: found {hmac_hash} with {to.algorithm}, expected sha256, or sha512 with x25519"
        )
    public = to.public
    if isinstance(public, ec.EllipticCurvePublicKey | x25519.X25519PublicKey):
        return _wrap_ecies(content_key, public, ephemeral, hmac_hash)
    if ephemeral is not None:
        raise InputError(f"ephemeral key: found one with {to.algorithm}, expected none: it has no use for it")
    if isinstance(public, rsa.RSAPublicKey):
        return public.encrypt(content_key, _OAEP)
    return aes_key_wrap(public, content_key)


def unwrap_key(wrapped: bytes, key: DecryptionKey) -> bytes:
    """The content key in `wrapped`, 16 or 32 bytes.

    Raises `Refused` DECRYPTION_FAILED for a length that this kind of key does not have, a point not on the
    curve, or an integrity check that fails: the bytes were changed, or wrapped for another key.
    """
    private = key.private
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return _unwrap_ecies(_split(wrapped, _P256_POINT_BYTES, (Hash.SHA256,)), private)
    if isinstance(private, x25519.X25519PrivateKey):
        return _unwrap_ecies(_split(wrapped, _X25519_POINT_BYTES, (Hash.SHA256, Hash.SHA512)), private)
    if isinstance(private, rsa.RSAPrivateKey):
        return _unwrap_rsa(wrapped, private)
    if len(wrapped) - _KW_OVERHEAD_BYTES not in KEY_SIZES:
        raise _wrong_length(wrapped, [size + _KW_OVERHEAD_BYTES for size in KEY_SIZES])
    try:
        return aes_key_unwrap(private, wrapped)
    except InvalidUnwrap:
        raise failed("wrapped content key: found another check value, expected this key's") from None


def wrap_record(to: EncryptionKey, hmac_hash: Hash = Hash.SHA256) -> TlvType:
    """The type of the record for a content key wrapped to this key."""
    name = X25519_SHA512 if hmac_hash is Hash.SHA512 else to.algorithm
    return next(kind for kind, wrap in KEY_WRAPS.items() if wrap == name)


def failed(message: str) -> Refused:
    """The refusal of what cannot be decrypted."""
    return Refused(Reason.DECRYPTION_FAILED, message)


def _wrap_ecies(
    content_key: bytes,
    public: ec.EllipticCurvePublicKey | x25519.X25519PublicKey,
    ephemeral: DecryptionKey | None,
    hmac_hash: Hash,
) -> bytes:
    private: object = None if ephemeral is None else ephemeral.private
    if isinstance(public, ec.EllipticCurvePublicKey):
        if private is None:
            private = ec.generate_private_key(ec.SECP256R1())
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise InputError("ephemeral key: found one of another algorithm, expected ecies-p256")
        shared = private.exchange(ec.ECDH(), public)
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    else:
        if private is None:
            private = x25519.X25519PrivateKey.generate()
        if not isinstance(private, x25519.X25519PrivateKey):
            raise InputError("ephemeral key: found one of another algorithm, expected x25519")
        try:
            shared = private.exchange(public)
        except ValueError:
            raise InputError("encryption key: found a point of small order, expected one of X25519") from None
        point = private.public_key().public_bytes_raw()
    cipher_key, mac_key = _derived(shared, len(content_key), hmac_hash)
    ciphertext = ctr_crypt(cipher_key, content_key)
    return point + _mac(mac_key, ciphertext, hmac_hash).finalize() + ciphertext


def _split(wrapped: bytes, point_bytes: int, forms: tuple[Hash, ...]) -> _Ecies:
    for form in forms:
        if len(wrapped) - point_bytes - form.size in KEY_SIZES:
            end = point_bytes + form.size
            return _Ecies(form, wrapped[:point_bytes], wrapped[point_bytes:end], wrapped[end:])
    raise _wrong_length(wrapped, [point_bytes + form.size + size for form in forms for size in KEY_SIZES])


def _unwrap_ecies(parts: _Ecies, private: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey) -> bytes:
    if isinstance(private, ec.EllipticCurvePrivateKey):
        shared = _p256_shared(parts.point, private)
    else:
        shared = _x25519_shared(parts.point, private)
    cipher_key, mac_key = _derived(shared, len(parts.ciphertext), parts.hmac_hash)
    try:
        _mac(mac_key, parts.ciphertext, parts.hmac_hash).verify(parts.mac)
    except InvalidSignature:
        raise failed("wrapped content key: found another MAC, expected one made for this key") from None
    return ctr_crypt(cipher_key, parts.ciphertext)


def _p256_shared(point: bytes, private: ec.EllipticCurvePrivateKey) -> bytes:
    if point[0] != _UNCOMPRESSED:
        raise failed(f"wrapped content key: found point form 0x{point[0]:02x}, expected 0x04")
    try:
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise failed("wrapped content key: found a point off the curve, expected one on P-256") from None
    return private.exchange(ec.ECDH(), sender)


def _x25519_shared(point: bytes, private: x25519.X25519PrivateKey) -> bytes:
    if int.from_bytes(point, "little") >= _X25519_PRIME:
        raise failed("wrapped content key: found a point beyond the field, expected one of X25519")
    try:
        return private.exchange(x25519.X25519PublicKey.from_public_bytes(point))
    except ValueError:
        raise failed("wrapped content key: found a point of small order, expected one of X25519") from None


def _unwrap_rsa(wrapped: bytes, private: rsa.RSAPrivateKey) -> bytes:
    if len(wrapped) != _RSA_BYTES:
        raise _wrong_length(wrapped, [_RSA_BYTES])
    try:
        content_key = private.decrypt(wrapped, _OAEP)
    except ValueError:
        raise failed("wrapped content key: found another padding, expected OAEP for this key") from None
    if len(content_key) not in KEY_SIZES:
        raise failed(f"content key: found {len(content_key)} bytes, expected 16 or 32")
    return content_key


def _derived(shared: bytes, key_bytes: int, hmac_hash: Hash) -> tuple[bytes, bytes]:
    derived = HKDF(_HASHES[hmac_hash], key_bytes + hmac_hash.size, None, _INFO).derive(shared)
    return derived[:key_bytes], derived[key_bytes:]


def _mac(key: bytes, ciphertext: bytes, hmac_hash: Hash) -> HMAC:
    mac = HMAC(key, _HASHES[hmac_hash])
    mac.update(ciphertext)
    return mac


def _wrong_length(wrapped: bytes, lengths: list[int]) -> Refused:
    expected = " or ".join(map(str, lengths))
    return failed(f"wrapped content key: found {len(wrapped)} bytes, expected {expected}")
