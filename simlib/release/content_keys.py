"""What encrypts one plaintext of a release, derived from the seed and from the plaintext itself.

Under AES-CTR with the counter from zero, one key must never meet two plaintexts, so its purpose names the
bytes that it encrypts. The same firmware signed twice has the same key: the plaintext is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from simlib.scenario.model import ReleaseSpec
from simlib.security.encryption import cipher_named
from simlib.security.keys import DecryptionKey, derive_bytes, derive_private


@dataclass(frozen=True, slots=True)
class ContentKey:
    """A content key, and the ephemeral key it is wrapped with."""

    key: bytes
    ephemeral: DecryptionKey


def content_key_for(spec: ReleaseSpec, what: str, plaintext: bytes) -> ContentKey:
    """The content key of `plaintext` for the cipher of `spec`; `what` is "image" or "patch"."""
    name = f"{what} {sha256(plaintext).hexdigest()}"
    ephemeral = derive_private(spec.key_wrap, spec.seed, f"ephemeral key of {name}")
    _, key_bytes = cipher_named(spec.cipher)
    key = derive_bytes(spec.seed, f"content key of {name}", key_bytes)
    return ContentKey(key, DecryptionKey.of(ephemeral))
