"""A verification key whose use costs what the device's core takes for it.

Whether a signature is checked at all, and by which of several keys, is decided inside the verifiers
(`simlib.security.verification`, `simlib.release.manifest`). Charging in the key itself charges exactly then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from simlib.device.meter import Meter
from simlib.security.keys import VerifyKey


@dataclass(frozen=True)
class MeteredKey(VerifyKey):
    """The same key, with the meter that its verifications are charged to."""

    meter: Meter = field(compare=False)

    def accepts(self, signature: bytes, digest: bytes) -> bool:
        """As the key says; the cost is the same for a signature that does not hold."""
        self.meter.verify(self.algorithm)
        return super().accepts(signature, digest)


def metered(keys: Sequence[VerifyKey], meter: Meter) -> tuple[MeteredKey, ...]:
    """The keys, charging to `meter`."""
    return tuple(MeteredKey(key.algorithm, key.public, meter) for key in keys)
