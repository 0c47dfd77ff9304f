"""Keys in a PKCS#11 token, from which no private value comes out.

A key of a scenario is derived from its seed and put into the token the first time that it is asked for, so
that the same scenario has the same public key with a token as without. What that protects is the copy in the
token: whoever knows the seed can derive the key, as always. With ``generate=True`` a key is made inside
instead and is nowhere else, and images by it differ from one token to the next.

A scenario leaves nothing of a signature to chance. Of a token's algorithms Ed25519 and RSA can do that, ECDSA
cannot; signing images by hand may use any.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from simlib.errors import InputError
from simlib.security.algorithms import PublicKey, algorithm_of
from simlib.security.derivation import derive_private
from simlib.security.keys import SIGNATURE_ALGORITHMS, DecryptionKey, SigningKey
from simlib.security.stores import token_objects
from simlib.security.stores.key_store import check_value, key_name
from simlib.security.stores.pkcs11_uri import Pkcs11Uri
from simlib.security.stores.token import Token, TokenAddress
from simlib.security.stores.token_keys import TokenEcKey, TokenEd25519Key, TokenRsaKey

DETERMINISTIC: Final = ("ed25519", "rsa-2048", "rsa-3072")
"""What signs without chance in a token: what a scenario may take."""
_MECHANISMS: Final = {
    "ecdsa-p256": ("ECDSA",),
    "ecdsa-p384": ("ECDSA",),
    "ed25519": ("EDDSA",),
    "rsa-2048": ("RSA_PKCS_PSS", "RSA_X_509", "SHA256_HMAC"),
    "rsa-3072": ("RSA_PKCS_PSS", "RSA_X_509", "SHA256_HMAC"),
    token_objects.EXCHANGE: ("ECDH1_DERIVE",),
}


class Pkcs11Store:
    """The keys of an open token; the one that the environment names unless told."""

    def __init__(self, token: Token | None = None, *, generate: bool = False) -> None:
        self.token = Token(TokenAddress.find()) if token is None else token
        self._generate = generate

    @property
    def kind(self) -> str:
        """ "pkcs11", and the token's model and version."""
        return f"pkcs11 ({self.token.maker})"

    def signing_key(self, algorithm: str, seed: int, purpose: str) -> SigningKey:
        """The signing key of this name, put into the token or made there if it is not there yet.

        Raises `InputError` for an algorithm that the token has not, or another key in its place.
        """
        if algorithm not in SIGNATURE_ALGORITHMS:
            raise InputError(
                f"release.signature: found {algorithm} with a token, "
                f"expected one of {', '.join(SIGNATURE_ALGORITHMS)}"
            )
        label, key_id, public = self._kept(algorithm, seed, purpose)
        return SigningKey(algorithm, _key(self.token, label, key_id, public))

    def decryption_key(self, algorithm: str, seed: int, purpose: str) -> DecryptionKey:
        """The decryption key of this name, put into the token or made there if it is not there yet.

        Raises `InputError` for another algorithm than ``ecies-p256``, or another key in its place.
        """
        if algorithm != token_objects.EXCHANGE:
            raise InputError(
                f"release.key_wrap: found {algorithm} with a token, expected {token_objects.EXCHANGE}"
            )
        label, key_id, public = self._kept(algorithm, seed, purpose)
        assert isinstance(public, ec.EllipticCurvePublicKey)
        return DecryptionKey(TokenEcKey(self.token, label, key_id, public))

    def close(self) -> None:
        """Log out of the token."""
        self.token.close()

    def _kept(self, algorithm: str, seed: int, purpose: str) -> tuple[str, bytes, PublicKey]:
        """Label, id and public half of the key in the token."""
        for mechanism in _MECHANISMS[algorithm]:
            if not self.token.can(mechanism):
                raise InputError(
                    f"{algorithm}: found a token without CKM_{mechanism}, expected one that has it"
                )
        made = " generated" if self._generate else ""
        label = f"simlib {purpose} {key_name(algorithm, seed, purpose)}{made}"
        if not (found := self.token.find("PRIVATE_KEY", label)):
            self._make(label, algorithm, seed, purpose)
            found = self.token.find("PRIVATE_KEY", label)
        key_id = bytes(found[0][self.token.library.Attribute.ID])
        public = token_objects.read_public(self.token, label, key_id)
        expected = check_value(algorithm, seed, purpose, public)
        if not self._generate and not hmac.compare_digest(key_id, expected):
            raise InputError(
                f"token {self.token.address.label!r}: found another key under {label!r}, expected the one of "
                "this name; deleting it has it put there anew"
            )
        return label, key_id, public

    def _make(self, label: str, algorithm: str, seed: int, purpose: str) -> None:
        if self._generate:
            token_objects.generate(self.token, label, label.encode(), algorithm)
            return
        private = derive_private(algorithm, seed, purpose)
        check = check_value(algorithm, seed, purpose, private.public_key())
        token_objects.put(self.token, label, check, algorithm, private)


def signing_key_at(uri: Pkcs11Uri, pin: str | None = None) -> SigningKey:
    """The signing key that an address names, whoever put it into the token; `pin` goes before the address's.

    Raises `MissingPartError` and `InputError` as opening the token does, `InputError` where it has no such
    key or one that signs no images.
    """
    token = Token(TokenAddress.find(uri.token, module=uri.module, pin=pin or uri.pin))
    found = token.find("PRIVATE_KEY", uri.object, uri.id)
    named = uri.object if uri.object is not None else f"id {(uri.id or b'').hex()}"
    if len(found) != 1:
        raise InputError(
            f"token {uri.token!r}: found {len(found)} private keys {named!r}, expected exactly one"
        )
    attribute = token.library.Attribute
    label, key_id = str(found[0][attribute.LABEL]), bytes(found[0][attribute.ID])
    public = token_objects.read_public(token, None if key_id else label, key_id or None)
    return SigningKey(algorithm_of(public), _key(token, label, key_id, public))


def _key(
    token: Token, label: str, key_id: bytes, public: PublicKey
) -> TokenEcKey | TokenEd25519Key | TokenRsaKey:
    if isinstance(public, rsa.RSAPublicKey):
        return TokenRsaKey(token, label, key_id, public)
    if isinstance(public, ed25519.Ed25519PublicKey):
        return TokenEd25519Key(token, label, key_id, public)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return TokenEcKey(token, label, key_id, public)
