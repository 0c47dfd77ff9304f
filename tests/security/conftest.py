"""Keys and signed images that the security tests share; all keys are derived test keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from simlib.firmware.version import Version
from simlib.security.keys import DecryptionKey, SigningKey, VerifyKey, derive_private
from simlib.security.signing import sign_image
from simlib.security.verification import VerifiedImage, verify_image

KINDS = [
    (algorithm, encrypted)
    for algorithm in ("ecdsa-p256", "ed25519", "rsa-3072")
    for encrypted in (False, True)
]


@dataclass(frozen=True)
class Signed:
    """One signed image and what opens it."""

    data: bytes
    key: SigningKey
    decryption: DecryptionKey | None

    def verify(self, data: bytes | None = None, **options: int) -> VerifiedImage:
        keys: list[VerifyKey] = [self.key.public()]
        return verify_image(
            self.data if data is None else data, keys, decrypt_with=self.decryption, **options
        )


@pytest.fixture(scope="session")
def decryption_key() -> DecryptionKey:
    return DecryptionKey.of(derive_private("ecies-p256", 1, "test decryption"))


@pytest.fixture(scope="session")
def signing_key() -> Callable[[str], SigningKey]:
    return lambda algorithm: SigningKey(algorithm, derive_private(algorithm, 1, "test signing"))


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind[0] + "-encrypted" * kind[1])
def signed(
    request: pytest.FixtureRequest,
    signing_key: Callable[[str], SigningKey],
    decryption_key: DecryptionKey,
) -> Signed:
    """A small image (so that every bit of it can be tried) with a security counter of 7."""
    algorithm, encrypted = request.param
    key = signing_key(algorithm)
    data = sign_image(
        bytes(range(64)),
        Version(1, 2, 3, 4),
        key,
        security_counter=7,
        header_size=48,
        encrypt_to=decryption_key.public() if encrypted else None,
    )
    return Signed(data, key, decryption_key if encrypted else None)
