"""What is mutated: small genuine images in every form, plain and encrypted.

A form is how an image is signed and how it is encrypted. Images are signed by a publisher, one key an
algorithm, or by a stranger whom nobody trusts. Manifests are signed by a release key of its own, so that
whoever holds that one (a malicious publisher of updates) still cannot sign an image. All keys are test keys,
derived from a fixed seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from simlib.draws import Stream
from simlib.firmware.dependency import Dependency
from simlib.firmware.version import Version
from simlib.security.encryption import decrypt_image
from simlib.security.keys import DecryptionKey, SigningKey, VerifyKey, derive_bytes, derive_private
from simlib.security.signing import sign_image
from tests.mutations import oaep
from tests.mutations.anatomy import ENCRSA, Anatomy, dissect

KEY_SEED = 6
VENDOR_ID, CLASS_ID = b"test key vendor.", b"test key class.."


@dataclass(frozen=True)
class Form:
    """How an image is signed, and how it is encrypted where it is."""

    name: str
    algorithm: str
    wrap: str  # the algorithm of the device's key
    cipher: str
    signed: dict[str, Any] = field(default_factory=dict, hash=False)  # what `sign_image` is told besides
    hmac_hash: str = "sha256"

    @property
    def content_key_bytes(self) -> int:
        return int(self.cipher.removeprefix("aes-")) // 8


FORMS = (
    Form("ecdsa-p256", "ecdsa-p256", "ecies-p256", "aes-256"),
    Form("ed25519", "ed25519", "x25519", "aes-256"),
    Form("rsa-3072", "rsa-3072", "ecies-p256", "aes-128"),
    Form("ecdsa-p384", "ecdsa-p384", "aes-kw", "aes-256"),
    Form("ed25519, pure", "ed25519", "x25519", "aes-128", {"pure": True}, hmac_hash="sha512"),
    Form("rsa-2048, key shown", "rsa-2048", "rsa-2048", "aes-128", {"public_key": True}),
)
STRANGERS = ("ecdsa-p256", "ed25519")
ROLES = (
    "old",
    "new",
    "older",
    "uncounted",
    "other",
    "old in RAM",
    "new in RAM",
    "dependent",
    "identified",
    "old identified",
)
ROLES_THAT_BOOT = ("new", "other")
_VERSIONS = {
    "older": Version(0, 9, 0),
    "old": Version(1, 0, 0),
    "old in RAM": Version(1, 0, 0),
    "old identified": Version(1, 0, 0),
}
_COUNTERS = {"older": 1, "old": 2, "old in RAM": 2, "old identified": 2, "uncounted": None}


@dataclass(frozen=True)
class Genuine:
    """An image that somebody signed: as it travels, and as it lies in a primary slot."""

    role: str
    form: Form
    encrypted: bool
    image: bytes
    clear: bytes
    key: VerifyKey = field(hash=False)
    trusted: bool  # whether the key is a publisher's

    @cached_property
    def anatomy(self) -> Anatomy:
        """Its parts; not to be changed."""
        return dissect(self.image)

    @cached_property
    def clear_payload(self) -> bytes:
        """The payload in the clear."""
        return dissect(self.clear).payload

    @cached_property
    def signed(self) -> bytes:
        """The part under the signature, byte for byte."""
        return self.anatomy.signed_with(self.clear_payload)


@lru_cache
def signing_key(algorithm: str, who: str = "publisher") -> SigningKey:
    """The key of the publisher, of the release or of a stranger."""
    return SigningKey.of(derive_private(algorithm, KEY_SEED, f"test key of a {who}"))


def release_key() -> SigningKey:
    """The key that signs manifests, and no image."""
    return signing_key("ed25519", "release")


@lru_cache
def device_key(wrap: str) -> DecryptionKey:
    """The key that content keys are wrapped for."""
    if wrap == "aes-kw":
        return DecryptionKey.of(derive_bytes(KEY_SEED, "test key, shared", 32))
    if wrap == "rsa-2048":  # the publisher's once more: only its use differs, and a second one takes long
        return DecryptionKey.of(signing_key("rsa-2048").private)
    return DecryptionKey.of(derive_private(wrap, KEY_SEED, "test key of the devices"))


@lru_cache
def another_device_key(wrap: str) -> DecryptionKey:
    """The key of devices that are somebody else's."""
    if wrap in ("aes-kw", "rsa-2048"):
        return DecryptionKey.of(derive_bytes(KEY_SEED, "test key, shared with others", 32))
    return DecryptionKey.of(derive_private(wrap, KEY_SEED, "test key of other devices"))


@lru_cache
def ephemeral_key(wrap: str, purpose: str = "") -> DecryptionKey | None:
    """What content keys are wrapped with, where the form takes such a key."""
    if wrap in ("aes-kw", "rsa-2048"):
        return None
    return DecryptionKey.of(derive_private(wrap, KEY_SEED, f"test key, ephemeral {purpose}"))


@lru_cache
def firmware(role: str) -> bytes:
    """About 1.1 KiB that look like code: words that recur, and for each role a few changes here and there."""
    words = Stream(2, 1).block(64).astype("<u4").tobytes()
    source = Stream(2, 2)
    parts = [words[8 * n : 8 * n + 8] for n in (source.below(32) for _ in range(140))]
    if role != "old":
        source = Stream(2, 3 + ROLES.index(role))
        for _ in range(4):
            at = source.below(len(parts))
            parts[at:at] = [source.block(2).astype("<u4").tobytes()] * (1 + source.below(3))
            del parts[source.below(len(parts))]
            at = source.below(len(parts))
            parts[at] = parts[at][:4] + b"\x55" + parts[at][5:]
    return b"".join(parts)


def _signed(role: str, form: Form, *, encrypted: bool, who: str = "publisher") -> Genuine:
    key = signing_key(form.algorithm, who)
    content_key = derive_bytes(KEY_SEED, f"test content key of {role} {form.name}", form.content_key_bytes)
    told: dict[str, Any] = dict(form.signed)
    if encrypted:
        told |= {
            "encrypt_to": device_key(form.wrap).public(),
            "content_key": content_key,
            "ephemeral": ephemeral_key(form.wrap),
            "cipher": form.cipher,
            "hmac_hash": form.hmac_hash,
        }
    if role == "dependent":
        told["dependencies"] = [Dependency(1, Version(1, 0, 0)), Dependency(2, Version(0, 1, 0))]
    if "identified" in role:
        told |= {"vendor_id": VENDOR_ID, "class_id": CLASS_ID}
    image = sign_image(
        firmware(role),
        _VERSIONS.get(role, Version(1, 1, 0, ROLES.index(role))),
        key,
        security_counter=_COUNTERS.get(role, 3),
        header_size=64 if role in ("older", "other") else 32,
        load_address=0x2000_0000 if "RAM" in role else None,
        deterministic=True,
        **told,
    )
    if encrypted and form.wrap == "rsa-2048":  # OAEP is random by nature; this one is the same each time
        parts = dissect(image)
        record = parts.unprotected.find(ENCRSA)
        assert record is not None
        record.value = oaep.wrapped(content_key, device_key(form.wrap), b"the usual seed")
        image = parts.encode()
    clear = decrypt_image(image, device_key(form.wrap)) if encrypted else image
    return Genuine(role, form, encrypted, image, clear, key.public(), who == "publisher")


@lru_cache
def genuine(role: str, form: Form, encrypted: bool) -> Genuine:
    """The publisher's image of that role."""
    return _signed(role, form, encrypted=encrypted)


@lru_cache
def library() -> tuple[Genuine, ...]:
    """Every image; the strangers' are the last."""
    mine = [genuine(role, form, encrypted) for form in FORMS for encrypted in (False, True) for role in ROLES]
    theirs = [
        _signed(role, form, encrypted=encrypted, who="stranger")
        for role in ROLES_THAT_BOOT
        for form in FORMS
        if form.name in STRANGERS
        for encrypted in (False, True)
    ]
    return tuple(mine + theirs)


@lru_cache
def publishers() -> tuple[VerifyKey, ...]:
    """The keys that images are trusted by, each once."""
    return tuple(signing_key(algorithm).public() for algorithm in dict.fromkeys(f.algorithm for f in FORMS))
