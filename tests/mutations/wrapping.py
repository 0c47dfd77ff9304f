"""Content keys: the ciphertext that goes with a plaintext, and wrapped keys in other forms."""

from __future__ import annotations

from functools import lru_cache

from simlib.security.encryption import content_key_of, ctr_crypt, wrap_key
from simlib.security.hashes import Hash
from tests.mutations import oaep
from tests.mutations.anatomy import ENCEC, ENCKW, ENCRSA, ENCX, ENCX512
from tests.mutations.dice import Dice
from tests.mutations.subjects import Form, Genuine, another_device_key, device_key, ephemeral_key

P256_PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
X25519_PRIME = (1 << 255) - 19
P256_POINT_BYTES, X25519_POINT_BYTES = 65, 32
LOW_ORDER_POINTS = (
    0,
    1,
    X25519_PRIME - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
"""Points whose shared secret with anybody is zero (RFC 7748, section 6.1)."""


@lru_cache(maxsize=512)
def content_key(origin: Genuine) -> bytes:
    """The content key of a genuine encrypted image."""
    return content_key_of(origin.image, device_key(origin.form.wrap))


def ciphertext(origin: Genuine, payload: bytes) -> bytes:
    """`payload` as it travels in an image that is encrypted like `origin`, or not."""
    return ctr_crypt(content_key(origin), payload) if origin.encrypted else payload


def under(key: bytes, payload: bytes) -> bytes:
    """`payload` under any content key."""
    return ctr_crypt(key, payload)


@lru_cache(maxsize=64)
def wrapped_for_the_device(key: bytes, form: Form, purpose: str = "") -> bytes:
    """`key` wrapped as anybody can, who has the device's public key (or the secret it shares)."""
    to = device_key(form.wrap)
    if form.wrap == "rsa-2048":
        return oaep.wrapped(key, to, purpose.encode())
    return wrap_key(key, to.public(), ephemeral_key(form.wrap, purpose), hmac_hash=Hash(form.hmac_hash))


def other_wrap(dice: Dice, origin: Genuine, kind: int, wrapped: bytes) -> bytes:
    """The wrapped key in another form, of which some unwrap to the same content key."""
    form = origin.form
    if not origin.anatomy.encrypted or not wrapped:
        return wrapped
    match dice.below(8):
        case 0:
            return wrapped_for_the_device(content_key(origin), form, "once more")
        case 1:
            to = another_device_key(form.wrap)
            if isinstance(to.private, bytes):
                return wrap_key(content_key(origin), to.public())
            return wrap_key(content_key(origin), to.public(), ephemeral_key(form.wrap))
        case 2 | 3:
            at = dice.below(len(wrapped))
            return wrapped[:at] + bytes([wrapped[at] ^ 1 << dice.below(8)]) + wrapped[at + 1 :]
        case 4:
            return wrapped_for_the_device(bytes(dice.one((16, 32))), form)
    if kind == ENCEC and len(wrapped) > P256_POINT_BYTES:
        return _other_point(dice, wrapped)
    if kind in (ENCX, ENCX512) and len(wrapped) > X25519_POINT_BYTES:
        return _other_x25519(dice, wrapped)
    if kind == ENCRSA and form.wrap == "rsa-2048":
        return _other_rsa(dice, wrapped)
    if kind == ENCKW:
        return dice.one(
            (wrapped[8:] + wrapped[:8], b"\xa6" * len(wrapped), wrapped[:24], wrapped.ljust(40, b"\0"))
        )
    return wrapped


def _other_point(dice: Dice, wrapped: bytes) -> bytes:
    """The first of these, (x, −y), is harmless."""
    rest = wrapped[P256_POINT_BYTES:]
    x, y = wrapped[1:33], int.from_bytes(wrapped[33:P256_POINT_BYTES], "big")
    minus = ((P256_PRIME - y) % (1 << 256)).to_bytes(32, "big")
    big = ((y + P256_PRIME) % (1 << 256)).to_bytes(32, "big")
    points = (
        *(b"\x04" + x + minus, b"\x04" + x + minus),
        *(b"\x02" + x, b"\x03" + x, b"\x06" + wrapped[1:65], b"\x07" + wrapped[1:65], b"\0"),
        *(b"\x04" + bytes(64), b"\x04" + b"\xff" * 64, b"\x04" + x * 2, b"\x04" + x + big),
    )
    return dice.one(points).ljust(P256_POINT_BYTES, b"\0") + dice.one((rest, rest, bytes(len(rest))))


def _other_x25519(dice: Dice, wrapped: bytes) -> bytes:
    point, rest = int.from_bytes(wrapped[:X25519_POINT_BYTES], "little"), wrapped[X25519_POINT_BYTES:]
    others = (*LOW_ORDER_POINTS, point | 1 << 255, point + X25519_PRIME, X25519_PRIME, X25519_PRIME + 1)
    return (dice.one(others) % (1 << 256)).to_bytes(X25519_POINT_BYTES, "little") + rest


def _other_rsa(dice: Dice, wrapped: bytes) -> bytes:
    key = device_key("rsa-2048")
    modulus, number = oaep.modulus(key), int.from_bytes(wrapped, "big")
    if dice.chance(1, 2):
        message = dice.octets(dice.one((0, 1, 15, 17, 31, 33, 190)))
        return oaep.wrapped(message, key, b"a content key of another length")
    others = (0, 1, modulus - 1, modulus, number + modulus, abs(modulus - number))
    return (dice.one(others) % (1 << 2048)).to_bytes(256, "big")
