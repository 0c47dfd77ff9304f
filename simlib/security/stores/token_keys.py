"""Private keys that stay in a token, behind cryptography's own interfaces.

Such a key stands wherever a private key of cryptography does, in `SigningKey` and `DecryptionKey` too, and
does its work in the token. Its private value is never at hand: asking for it raises `InputError`.

- ECDSA draws its nonce in the token, at random; a deterministic signature (RFC 6979) is refused.
- RSA signs by PSS with the token's random salt; or, without chance, over an encoding that is made here
  (`simlib.security.pss`) by CKM_RSA_X_509. The salt's key is kept in the token as well, for CKM_SHA256_HMAC.
- Ed25519 is deterministic by itself.
- ECDH gives the shared secret, which leaves the token: what is derived from it is done here.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simlib.errors import InputError
from simlib.security.pss import SALT_BYTES, encode, salt_message
from simlib.security.stores.token import Token

_PSS_ONLY: Final = "PSS with SHA-256 and 32 bytes of salt over a digest"


class _InToken:
    """What the three kinds of key have in common: one token, one label, one id."""

    def __init__(self, token: Token, label: str, key_id: bytes, public: Any) -> None:
        self._token = token
        self._label = label
        self._id = key_id
        self._public = public

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def public_key(self) -> Any:
        """The public half, which is no secret."""
        return self._public

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        """Never: the private value stays in the token."""
        raise _stays()

    def _use(self, kind: str, verb: str, *arguments: object, **options: object) -> Any:
        """Have the token's object of this class do something; `InputError` where it cannot."""
        where = f"token {self._token.address.label!r}"
        try:
            found = self._token.find(kind, self._label, self._id)
            if not found:
                raise InputError(f"{where}: found no key {self._label!r} any longer, expected one")
            does = getattr(found[0], verb, None)  # the library gives an object what its attributes allow
            if does is None:
                raise InputError(f"{where}: found a key {self._label!r} that may not {verb}, expected it may")
            return does(*arguments, **options)
        except self._token.library.exceptions.PKCS11Error as error:
            found_error = f"{type(error).__name__} from {self._label!r}"
            raise InputError(f"{where}: found {found_error}, expected it to {verb}") from error

    def _sign(self, data: bytes, mechanism: str, parameter: object = None) -> bytes:
        chosen = self._token.library.Mechanism[mechanism]
        return bytes(self._use("PRIVATE_KEY", "sign", data, mechanism=chosen, mechanism_param=parameter))


class TokenEcKey(_InToken, ec.EllipticCurvePrivateKey):
    """A P-256 or P-384 key."""

    @property
    def curve(self) -> ec.EllipticCurve:
        """Its curve."""
        curve: ec.EllipticCurve = self._public.curve
        return curve

    @property
    def key_size(self) -> int:
        """The bits of its scalar."""
        return self.curve.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """An ECDSA signature, in DER. `InputError` for a deterministic one."""
        if not isinstance(signature_algorithm, ec.ECDSA):
            raise InputError("key in a token: found another scheme, expected ECDSA")
        if signature_algorithm.deterministic_signing:
            raise InputError(
                f"release.signature: found ecdsa-p{self.key_size} with a key in a token, which draws a "
                "random nonce for each signature, expected ed25519 or rsa-…"
            )
        how = signature_algorithm.algorithm
        raw = self._sign(bytes(data) if isinstance(how, Prehashed) else _digest(data, how), "ECDSA")
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """The shared secret of ECDH with the peer. ValueError for a key on another curve, as cryptography."""
        if peer_public_key.curve.name != self.curve.name:
            raise ValueError(f"found a peer on {peer_public_key.curve.name}, expected {self.curve.name}")
        library = self._token.library
        point = peer_public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        attribute = library.Attribute
        secret = self._use(
            "PRIVATE_KEY",
            "derive_key",
            library.KeyType.GENERIC_SECRET,
            self.key_size,
            mechanism=library.Mechanism.ECDH1_DERIVE,
            mechanism_param=(library.KDF.NULL, None, point),
            template={attribute.TOKEN: False, attribute.SENSITIVE: False, attribute.EXTRACTABLE: True},
        )
        try:
            return bytes(secret[attribute.VALUE])
        finally:
            secret.destroy()

    def private_numbers(self) -> NoReturn:
        """Never: the private value stays in the token."""
        raise _stays()


class TokenEd25519Key(_InToken, ed25519.Ed25519PrivateKey):
    """An Ed25519 key."""

    def sign(self, data: Any) -> bytes:
        """The signature over the message `data`."""
        return self._sign(bytes(data), "EDDSA")

    def private_bytes_raw(self) -> NoReturn:
        """Never: the private value stays in the token."""
        raise _stays()


class TokenRsaKey(_InToken, rsa.RSAPrivateKey):
    """An RSA key that signs by PSS and does nothing else."""

    @property
    def key_size(self) -> int:
        """The bits of its modulus."""
        size: int = self._public.key_size
        return size

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        """A PSS signature over a SHA-256 digest with a random salt; `InputError` for any other kind."""
        _expect_pss(padding, algorithm)
        library = self._token.library
        parameter = (library.Mechanism.SHA256, library.MGF.SHA256, SALT_BYTES)
        return self._sign(bytes(data), "RSA_PKCS_PSS", parameter)

    def sign_with_derived_salt(self, digest: bytes) -> bytes:
        """A PSS signature over a SHA-256 `digest` that is the same each time (`simlib.security.pss`)."""
        mechanism = self._token.library.Mechanism.SHA256_HMAC
        salt = bytes(self._use("SECRET_KEY", "sign", salt_message(digest), mechanism=mechanism))
        encoded = encode(digest, salt, self.key_size - 1)
        return self._sign(encoded.rjust(-(-self.key_size // 8), b"\0"), "RSA_X_509")

    def decrypt(self, ciphertext: bytes, padding: Any) -> NoReturn:
        """Never: the key is for signatures."""
        raise InputError("key in a token: found something to decrypt, expected to sign with this RSA key")

    def private_numbers(self) -> NoReturn:
        """Never: the private value stays in the token."""
        raise _stays()


def _expect_pss(scheme: Any, algorithm: Any) -> None:
    of_digest = isinstance(algorithm, Prehashed) and algorithm.digest_size == hashes.SHA256.digest_size
    if not of_digest or not isinstance(scheme, padding.PSS) or scheme._salt_length != SALT_BYTES:
        raise InputError(f"key in a token: found another RSA scheme, expected {_PSS_ONLY}")


def _digest(data: Any, algorithm: hashes.HashAlgorithm) -> bytes:
    running = hashes.Hash(algorithm)
    running.update(bytes(data))
    return running.finalize()


def _stays() -> InputError:
    return InputError("key in a token: found a request for its private value, expected none: it stays there")
