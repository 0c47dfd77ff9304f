"""What a key is in a token: the attributes of its objects, and its public half read back from them.

A signing key is a private object that is sensitive, not extractable and made for one use, and a public object
beside it under the same label and id, since a module need not tell a curve point from a private one. An RSA
key has a third, a secret from which the salts of deterministic signatures are made (`token_keys`); of a
derived key it is the private exponent, as in `simlib.security.pss`, so that signatures are the same bytes.
"""

from __future__ import annotations

from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simlib.errors import InputError
from simlib.security.algorithms import CURVES, RSA_BITS, RSA_EXPONENT, PrivateKey, PublicKey
from simlib.security.stores.token import Token

ED25519: Final = "ed25519"
EXCHANGE: Final = "ecies-p256"
_OIDS: Final = {  # the named curve of each algorithm, in DER
    "secp256r1": bytes.fromhex("06082a8648ce3d030107"),
    "secp384r1": bytes.fromhex("06052b81040022"),
    ED25519: bytes.fromhex("06032b6570"),
}
_OCTET_STRING: Final = 0x04
_SALT_KEY_BYTES: Final = 32


def put(token: Token, label: str, key_id: bytes, algorithm: str, private: PrivateKey) -> None:
    """Store a private key in the token. Whatever was there under its label is replaced."""
    remove(token, label)
    a, kinds = token.library.Attribute, token.library.ObjectClass
    made_of, public = _private_value(token, private), _public_value(token, private.public_key())
    names = {a.LABEL: label, a.ID: key_id, a.TOKEN: True}
    use = {a.SIGN: algorithm != EXCHANGE, a.DERIVE: algorithm == EXCHANGE}
    session = token.session
    session.create_object({**names, **public, a.CLASS: kinds.PUBLIC_KEY, a.VERIFY: algorithm != EXCHANGE})
    if isinstance(private, rsa.RSAPrivateKey):
        secret = private.private_numbers().d.to_bytes(-(-private.key_size // 8), "big")
        _put_salt_key(token, {**names, a.VALUE: secret})
    # last, since a key is there when its private object is
    session.create_object({**names, **made_of, **_guarded(token), **use, a.CLASS: kinds.PRIVATE_KEY})


def generate(token: Token, label: str, key_id: bytes, algorithm: str) -> None:
    """Make a key in the token. Whatever was there under its label is replaced."""
    remove(token, label)
    library, session = token.library, token.session
    a, mechanisms = library.Attribute, library.Mechanism
    names = {a.LABEL: label, a.ID: key_id, a.TOKEN: True}
    templates = {
        "public_template": {**names, a.VERIFY: algorithm != EXCHANGE},
        "private_template": {
            **names,
            **_guarded(token),
            a.SIGN: algorithm != EXCHANGE,
            a.DERIVE: algorithm == EXCHANGE,
        },
        "store": True,
    }
    if algorithm in RSA_BITS:
        _put_salt_key(token, {**names, a.VALUE: session.generate_random(_SALT_KEY_BYTES * 8)})
        session.generate_keypair(library.KeyType.RSA, RSA_BITS[algorithm], **templates)
        return
    curve = ED25519 if algorithm == ED25519 else CURVES[algorithm].name
    kind = library.KeyType.EC_EDWARDS if algorithm == ED25519 else library.KeyType.EC
    parameters = session.create_domain_parameters(kind, {a.EC_PARAMS: _OIDS[curve]}, local=True)
    how = mechanisms.EC_EDWARDS_KEY_PAIR_GEN if algorithm == ED25519 else mechanisms.EC_KEY_PAIR_GEN
    parameters.generate_keypair(mechanism=how, **templates)


def remove(token: Token, label: str) -> None:
    """Take every object of this label out of the token."""
    for kind in ("PRIVATE_KEY", "PUBLIC_KEY", "SECRET_KEY"):
        for each in token.find(kind, label):
            each.destroy()


def read_public(token: Token, label: str | None, key_id: bytes | None) -> PublicKey:
    """The public half of a key, from the public object beside it.

    Raises `InputError` where there is none, or one of a kind that simlib does not know.
    """
    named = label if label is not None else f"id {(key_id or b'').hex()}"
    found = token.find("PUBLIC_KEY", label, key_id)
    if not found:
        raise InputError(f"token {token.address.label!r}: found no public key object {named!r}, expected one")
    a, kinds = token.library.Attribute, token.library.KeyType
    public = found[0]
    kind = public.key_type
    if kind == kinds.RSA:
        exponent, modulus = (int.from_bytes(public[x], "big") for x in (a.PUBLIC_EXPONENT, a.MODULUS))
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    try:
        if kind == kinds.EC_EDWARDS:
            return ed25519.Ed25519PublicKey.from_public_bytes(_unwrapped(bytes(public[a.EC_POINT])))
        if kind == kinds.EC:
            parameters = bytes(public[a.EC_PARAMS])
            curve = next(c for c in CURVES.values() if _OIDS[c.name] == parameters)
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, _unwrapped(bytes(public[a.EC_POINT])))
    except (ValueError, StopIteration):
        pass
    raise InputError(
        f"token {token.address.label!r}: found {named!r} of a kind that signs no image, expected "
        "a key on P-256 or P-384, of Ed25519 or of RSA"
    )


def _private_value(token: Token, private: PrivateKey) -> dict[Any, Any]:
    a, kinds = token.library.Attribute, token.library.KeyType
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.private_numbers()
        values = {
            a.MODULUS: numbers.public_numbers.n,
            a.PUBLIC_EXPONENT: RSA_EXPONENT,
            a.PRIVATE_EXPONENT: numbers.d,
            a.PRIME_1: numbers.p,
            a.PRIME_2: numbers.q,
            a.EXPONENT_1: numbers.dmp1,
            a.EXPONENT_2: numbers.dmq1,
            a.COEFFICIENT: numbers.iqmp,
        }
        return {a.KEY_TYPE: kinds.RSA, **{name: _octets(value) for name, value in values.items()}}
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return {
            a.KEY_TYPE: kinds.EC_EDWARDS,
            a.EC_PARAMS: _OIDS[ED25519],
            a.VALUE: private.private_bytes_raw(),
        }
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    scalar = private.private_numbers().private_value.to_bytes(-(-private.key_size // 8), "big")
    return {a.KEY_TYPE: kinds.EC, a.EC_PARAMS: _OIDS[private.curve.name], a.VALUE: scalar}


def _public_value(token: Token, public: PublicKey) -> dict[Any, Any]:
    a, kinds = token.library.Attribute, token.library.KeyType
    if isinstance(public, rsa.RSAPublicKey):
        modulus = public.public_numbers().n
        return {a.KEY_TYPE: kinds.RSA, a.MODULUS: _octets(modulus), a.PUBLIC_EXPONENT: _octets(RSA_EXPONENT)}
    if isinstance(public, ed25519.Ed25519PublicKey):
        point, curve, kind = public.public_bytes_raw(), ED25519, kinds.EC_EDWARDS
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        curve, kind = public.curve.name, kinds.EC
    wrapped = bytes([_OCTET_STRING, len(point)]) + point  # the points here are shorter than 128 bytes
    return {a.KEY_TYPE: kind, a.EC_PARAMS: _OIDS[curve], a.EC_POINT: wrapped}


def _put_salt_key(token: Token, named: dict[Any, Any]) -> None:
    a = token.library.Attribute
    token.session.create_object(
        {
            **named,
            **_guarded(token),
            a.CLASS: token.library.ObjectClass.SECRET_KEY,
            a.KEY_TYPE: token.library.KeyType.GENERIC_SECRET,
            a.SIGN: True,
        }
    )


def _guarded(token: Token) -> dict[Any, Any]:
    a = token.library.Attribute
    return {a.PRIVATE: True, a.SENSITIVE: True, a.EXTRACTABLE: False}


def _octets(number: int) -> bytes:
    return number.to_bytes(-(-number.bit_length() // 8), "big")


def _unwrapped(point: bytes) -> bytes:
    """A curve point from a DER octet string, or as it is where a module gives it bare."""
    if len(point) > 2 and point[0] == _OCTET_STRING and point[1] == len(point) - 2:
        return point[2:]
    return point
