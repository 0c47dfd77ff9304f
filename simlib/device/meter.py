"""What work on a device costs: time in nanoseconds and energy in nanojoules, integers throughout.

Each call is rounded up once, so a cost never depends on how a caller adds things up later. The figures
come from `simlib.scenario.calibration`; a hash over n bytes takes n times the profile's cycles a byte.
Leaves to others: radio energy, and the fleet's milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simlib.errors import InputError

if TYPE_CHECKING:
    from simlib.scenario.calibration import CoreProfile

NS_PER_S: Final = 1_000_000_000
MILLI: Final = 1_000
MEGA: Final = 1_000_000
AES128_KEY_BYTES: Final = 16


def ceil_div(numerator: int, denominator: int) -> int:
    """The quotient of two whole numbers, rounded up."""
    return -(-numerator // denominator)


@dataclass(slots=True)
class Meter:
    """Sums a device's time [ns], flash energy [nJ] and compute energy [nJ]; time only ever grows."""

    core: CoreProfile
    time_ns: int = 0
    flash_nj: int = 0
    compute_nj: int = 0

    def flash(self, time_ns: int, energy_nj: int) -> None:
        """Add one flash operation."""
        self.time_ns += time_ns
        self.flash_nj += energy_nj

    def compute(self, cycles: int) -> None:
        """Add `cycles` of the core."""
        self.time_ns += ceil_div(cycles * NS_PER_S, self.core.clock_hz)
        self.compute_nj += ceil_div(cycles * self.core.nj_per_mcycle, MEGA)

    def sha256(self, n_bytes: int) -> None:
        """Add a SHA-256 over `n_bytes`."""
        self.compute(ceil_div(n_bytes * self.core.sha256_mcpb, MILLI))

    def hash(self, name: str, n_bytes: int) -> None:
        """Add the hash called `name` (sha256, sha384 or sha512) over `n_bytes`."""
        if name == "sha256":
            self.sha256(n_bytes)
        else:
            mcpb = self._known(self.core.sha512_mcpb, name)
            self.compute(ceil_div(n_bytes * mcpb, MILLI))

    def aes_ctr(self, n_bytes: int, key_bytes: int = 32) -> None:
        """Add AES in counter mode over `n_bytes`, under a key of 32 bytes (AES-256) or 16 (AES-128)."""
        mcpb = self.core.aes256_ctr_mcpb
        if key_bytes == AES128_KEY_BYTES:
            mcpb = self._known(self.core.aes128_ctr_mcpb, "AES-128")
        self.compute(ceil_div(n_bytes * mcpb, MILLI))

    def patch(self, n_bytes: int, effort_percent: int = 100) -> None:
        """Add the making of `n_bytes` of output from a patch; the core's figure is for an effort of 100."""
        self.compute(ceil_div(n_bytes * self.core.patch_mcpb * effort_percent, 100 * MILLI))

    def verify(self, signature_name: str) -> None:
        """Add one signature verification. `InputError` where the core has no figure for the scheme."""
        cycles = self.core.verify_cycles.get(signature_name)
        if cycles is None:
            known = ", ".join(sorted(self.core.verify_cycles))
            raise InputError(
                f"core profile {self.core.name}: found signature {signature_name}, expected {known}"
            )
        self.compute(cycles)

    def unwrap(self, wrap_name: str) -> None:
        """Add the unwrapping of one content key, by the wrapping's name (`simlib.security.wrapping`).

        `InputError` where the core has no figure for it.
        """
        cycles = self.core.unwrap_cycles.get(wrap_name)
        if cycles is None:
            known = ", ".join(sorted(self.core.unwrap_cycles))
            raise InputError(f"core profile {self.core.name}: found key wrap {wrap_name}, expected {known}")
        self.compute(cycles)

    def _known(self, mcpb: int, what: str) -> int:
        if mcpb == 0:
            raise InputError(f"core profile {self.core.name}: found no figure for {what}, expected one")
        return mcpb
