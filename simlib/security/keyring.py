"""The keys a device trusts, and which of them it trusts no longer.

A revoked key stays known: an image by it is refused under that name (`key-revoked`), whether or not its
signature holds. A device can learn of a revocation in two ways:

- by the order of its keys, oldest first, which the firmware's publisher keeps: once an image by a newer key
  runs and is confirmed, the older ones are revoked (`KeyRing.after`). Nothing has to be stored, since the
  running image says it; MCUboot has this as ``MCUBOOT_KEY_REVOCATION_FROM_PRIMARY``;
- by a list in storage of its own, which confirmed firmware adds to and nothing takes from
  (`KeyRing.revoking`).

Leaves to others: to which image the ring is applied. A boot loader that applies it to what already runs, and
not only to candidates, has nothing to boot if all its images are by a revoked key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from simlib.errors import InputError
from simlib.security.keys import VerifyKey


@dataclass(frozen=True)
class KeyRing:
    """Public keys, oldest first, and the `VerifyKey.keyhash` of each one that is revoked."""

    keys: tuple[VerifyKey, ...]
    revoked: frozenset[bytes] = frozenset()

    def __iter__(self) -> Iterator[VerifyKey]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def is_revoked(self, key: VerifyKey) -> bool:
        """Whether an image by this key is to be refused."""
        return key.keyhash in self.revoked

    def revoking(self, *keys: VerifyKey) -> KeyRing:
        """The ring with these keys revoked as well; they need not be in it."""
        return replace(self, revoked=self.revoked | {key.keyhash for key in keys})

    def after(self, key: VerifyKey) -> KeyRing:
        """The ring once an image by `key` is confirmed: every older key is revoked.

        Raises `InputError` for a key that is not in the ring.
        """
        place = next((n for n, each in enumerate(self.keys) if each.keyhash == key.keyhash), None)
        if place is None:
            raise InputError(f"key ring: found no key {key.keyhash.hex()[:16]}…, expected one of its own")
        return self.revoking(*self.keys[:place])
