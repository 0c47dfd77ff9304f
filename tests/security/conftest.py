"""Keys and signed images that the security tests share; all keys are derived test keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from simlib.firmware.dependency import Dependency
from simlib.firmware.tlv import TlvType
from simlib.firmware.version import Version
from simlib.security.keys import DecryptionKey, SigningKey, VerifyKey, derive_bytes, derive_private
from simlib.security.signing import sign_image
from simlib.security.verification import VerifiedImage, verify_image

ALGORITHMS = ("ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048", "rsa-3072")
WRAPS = {
    "ecies-p256": TlvType.ENCEC256,
    "x25519": TlvType.ENCX25519,
    "x25519-sha512": TlvType.ENCX25519_SHA512,
    "rsa-2048": TlvType.ENCRSA2048,
    "aes-kw": TlvType.ENCKW,
}


@dataclass(frozen=True)
class Kind:
    """How an image is made: each value of every choice is in at least one kind."""

    algorithm: str
    hash_name: str | None = None
    pure: bool = False
    public_key: bool = False
    wrap: str | None = None
    cipher: str = "aes-256"
    facts: bool = False  # with dependencies, vendor and class

    def __str__(self) -> str:
        encrypted = f"{self.cipher}-{self.wrap}" if self.wrap else ""
        switches = ("pure" * self.pure, "key-in-full" * self.public_key, "facts" * self.facts)
        return "-".join(filter(None, (self.algorithm, self.hash_name, *switches, encrypted)))


KINDS = [
    *(Kind(algorithm) for algorithm in ALGORITHMS),
    *(Kind(algorithm, wrap="ecies-p256") for algorithm in ("ecdsa-p256", "ed25519", "rsa-3072")),
    Kind("ecdsa-p256", wrap="ecies-p256", cipher="aes-128", facts=True),
    Kind("ecdsa-p384", wrap="x25519", public_key=True),
    Kind("rsa-2048", wrap="rsa-2048", cipher="aes-128"),
    Kind("ed25519", "sha512", facts=True),
    Kind("ed25519", pure=True, public_key=True, wrap="x25519-sha512"),
    Kind("ed25519", pure=True, wrap="x25519", cipher="aes-128"),
    Kind("rsa-2048", public_key=True, wrap="aes-kw"),
]
DEPENDENCIES = (Dependency(1, Version(1, 2, 3)), Dependency(2, Version(0, 1, 0, 7)))
VENDOR, CLASS = bytes(range(16)), bytes(range(16, 32))


@dataclass(frozen=True)
class Signed:
    """One signed image and what opens it."""

    kind: Kind
    data: bytes
    key: SigningKey
    decryption: DecryptionKey | None

    @property
    def wrap_tlv(self) -> TlvType | None:
        return None if self.kind.wrap is None else WRAPS[self.kind.wrap]

    def verify(self, data: bytes | None = None, **options: Any) -> VerifiedImage:
        keys: list[VerifyKey] = [self.key.public()]
        own: dict[str, Any] = {"decrypt_with": self.decryption}
        if self.kind.facts:
            own |= {"vendor_id": VENDOR, "class_id": CLASS, "evaluates": {TlvType.DEPENDENCY}}
        return verify_image(self.data if data is None else data, keys, **(own | options))


@pytest.fixture(scope="session")
def decryption_key() -> DecryptionKey:
    return DecryptionKey.of(derive_private("ecies-p256", 1, "test decryption"))


@pytest.fixture(scope="session")
def signing_key() -> Callable[[str], SigningKey]:
    return lambda algorithm: SigningKey(algorithm, derive_private(algorithm, 1, "test signing"))


@pytest.fixture(scope="session")
def unwrapping_key() -> Callable[[str], DecryptionKey]:
    """The device's key for a form of wrapping."""

    def make(wrap: str) -> DecryptionKey:
        if wrap == "aes-kw":
            return DecryptionKey.of(derive_bytes(1, "test decryption", 32))
        algorithm = wrap.removesuffix("-sha512")
        return DecryptionKey.of(derive_private(algorithm, 1, "test decryption"))

    return make


@pytest.fixture(scope="session", params=KINDS, ids=str)
def signed(
    request: pytest.FixtureRequest,
    signing_key: Callable[[str], SigningKey],
    unwrapping_key: Callable[[str], DecryptionKey],
) -> Signed:
    """A small image (so that every bit of it can be tried) with a security counter of 7."""
    kind: Kind = request.param
    key = signing_key(kind.algorithm)
    decryption = None if kind.wrap is None else unwrapping_key(kind.wrap)
    data = sign_image(
        bytes(range(64)),
        Version(1, 2, 3, 4),
        key,
        security_counter=7,
        header_size=48,
        dependencies=DEPENDENCIES if kind.facts else (),
        vendor_id=VENDOR if kind.facts else None,
        class_id=CLASS if kind.facts else None,
        hash_name=kind.hash_name,
        pure=kind.pure,
        public_key=kind.public_key,
        encrypt_to=None if decryption is None else decryption.public(),
        cipher=kind.cipher,
        hmac_hash="sha512" if kind.wrap == "x25519-sha512" else "sha256",
    )
    return Signed(kind, data, key, decryption)
