"""What a place for private keys offers, and the place that is none: keys derived anew, in memory.

A scenario's keys are named by (algorithm, seed, purpose) and derived from it (`simlib.security.derivation`),
so that the same scenario has the same keys on every machine. A store decides where they are between two runs
and who can read them there. Leaves to others: what is signed or unwrapped with them.
"""

from __future__ import annotations

import hmac
from typing import Final, Protocol

from simlib.security.algorithms import PublicKey
from simlib.security.derivation import derive_bytes, derive_private
from simlib.security.keyfiles import public_pem
from simlib.security.keys import DecryptionKey, SigningKey

MEMORY: Final = "memory"
_NAME_BYTES: Final = 8


class KeyStore(Protocol):
    """A place where private keys are kept."""

    @property
    def kind(self) -> str:
        """What the place is, for a person; of a store that had to go without its place, "memory"."""
        ...

    def signing_key(self, algorithm: str, seed: int, purpose: str) -> SigningKey:
        """The signing key of this name. `InputError` where the store has no such keys."""
        ...

    def decryption_key(self, algorithm: str, seed: int, purpose: str) -> DecryptionKey:
        """The decryption key of this name. `InputError` where the store has no such keys."""
        ...


class MemoryStore:
    """Keys that are derived when they are asked for, and kept nowhere."""

    kind: Final = MEMORY

    def signing_key(self, algorithm: str, seed: int, purpose: str) -> SigningKey:
        """The signing key of this name."""
        return SigningKey.of(derive_private(algorithm, seed, purpose))

    def decryption_key(self, algorithm: str, seed: int, purpose: str) -> DecryptionKey:
        """The decryption key of this name."""
        return DecryptionKey.of(derive_private(algorithm, seed, purpose))


def key_name(algorithm: str, seed: int, purpose: str) -> str:
    """A short name of the key in a store; another rule of deriving keys gives other names."""
    label = f"name of the {algorithm} key for {purpose}"
    return f"{algorithm}-{derive_bytes(seed, label, _NAME_BYTES).hex()}"


def check_value(algorithm: str, seed: int, purpose: str, public: PublicKey) -> bytes:
    """32 bytes that bind a public key to its name, kept beside it.

    They tell a key that was put in another's place from the right one without deriving it, which takes most
    of a second for RSA. Whoever knows the seed can make them: they find a mistake, not an attack.
    """
    key = derive_bytes(seed, f"check value of the {algorithm} key for {purpose}", 32)
    return hmac.digest(key, public_pem(public), "sha256")
