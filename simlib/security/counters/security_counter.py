"""A device's security counter in a monotonic counter, which counts by ones and begins where it must.

A security counter goes from one release's value to the next one's, and is small; a TPM's counter begins above
what its TPM counted before. So the device keeps the difference, the *origin*, from when it was made, and
rises by as many increments as there are between two values. The origin is no secret, but it belongs where
nobody can change it: with a higher one the device would take older releases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simlib.errors import InputError
from simlib.security.counters.monotonic import MonotonicCounter

MAX_INCREMENTS: Final = 10_000
"""The largest step of one update: a real part takes milliseconds for each, and wears."""


@dataclass(frozen=True, slots=True)
class TpmSecurityCounter:
    """A security counter: the monotonic counter's value less the origin."""

    counter: MonotonicCounter
    origin: int

    @classmethod
    def provision(cls, counter: MonotonicCounter, value: int = 0) -> TpmSecurityCounter:
        """The counter of a device that is made with the security counter `value`."""
        return cls(counter, counter.read() - value)

    def read(self) -> int:
        """The security counter."""
        return self.counter.read() - self.origin

    def raise_to(self, value: int) -> int:
        """Count up to `value`; without effect where the counter is not below it. What it then is.

        A power cut between two increments leaves a value between the old and the new one. Raises `InputError`
        for a step of more than `MAX_INCREMENTS`, before the first of them.
        """
        step = value - self.read()
        if step > MAX_INCREMENTS:
            raise InputError(
                f"security counter: found a step of {step}, expected at most {MAX_INCREMENTS} in a counter "
                "that rises by ones"
            )
        for _ in range(step):
            self.counter.increment()
        return self.read()
