"""A verification key whose use costs what the device's core takes for it.

Whether a signature is checked at all, and by which of several keys, is decided inside the verifiers
(`simlib.security.verification`, `simlib.release.manifest`). Charging in the key itself charges exactly then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from simlib.device.meter import Meter
from simlib.security.hashes import Hash
from simlib.security.keyring import KeyRing
from simlib.security.keys import VerifyKey


@dataclass(frozen=True)
class MeteredKey(VerifyKey):
    """The same key, with the meter that its verifications are charged to."""

    meter: Meter = field(compare=False)

    def accepts(self, signature: bytes, digest: bytes) -> bool:
        """As the key says; the cost is the same for a signature that does not hold.

        A pure signature's message is longer than any digest, and the algorithm hashes it by itself.
        """
        if self.pure_hash is not None and len(digest) > Hash.SHA512.size:
            self.meter.hash(self.pure_hash, len(digest))
        self.meter.verify(self.algorithm)
        return super().accepts(signature, digest)


@overload
def metered(keys: KeyRing, meter: Meter) -> KeyRing: ...
@overload
def metered(keys: Sequence[VerifyKey], meter: Meter) -> tuple[MeteredKey, ...]: ...
def metered(keys: Sequence[VerifyKey] | KeyRing, meter: Meter) -> tuple[MeteredKey, ...] | KeyRing:
    """The keys, charging to `meter`; a ring stays one, with what it has revoked."""
    charging = tuple(MeteredKey(key.algorithm, key.public, meter) for key in keys)
    return replace(keys, keys=charging) if isinstance(keys, KeyRing) else charging
