"""The reference model's constants, draws and controller in plain Python: what README.md states, once.

Needs nothing but the standard library, so that every peer can use it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import Final

MASK64: Final = (1 << 64) - 1
GOLDEN: Final = 0x9E3779B97F4A7C15
DEVICES_LEAST: Final = 150
DEVICE_BITS: Final = 24
"""An event's key is its time above so many bits of device number."""

# Purposes of draws.
WAKE, BATTERY, CHARGE, WINDOW, CHECK, TRANSFER, DROP, BACKOFF = range(8)
VERIFY, PATCH, INSTALL, REBOOT, HEALTH, DEFECT, FINISH, REPORT = range(8, 16)

# Delays [ms]: the least, and how many more there may be.
WAKE_MS: Final = (1, 14_400_000)
CHARGE_MS: Final = (3_600_000, 3_600_000)
WINDOW_MS: Final = (1, 7_200_000)
CHECK_MS: Final = (200, 1_800)
BACKOFF_MS: Final = (30_000, 60_000)
VERIFY_MS: Final = (500, 1_500)
PATCH_MS: Final = (5_000, 15_000)
INSTALL_MS: Final = (10_000, 20_000)
REBOOT_MS: Final = (2_000, 4_000)
HEALTH_MS: Final = (10_000, 50_000)
CONFIRM_MS: Final = (500, 1_500)
REVERT_MS: Final = (15_000, 15_000)
REPORT_MS: Final = (1, 60_000)
TRANSFER_LEAST_MS: Final = 60_000
TRANSFER_MEAN_MORE_MS: Final = 180_000

# Thresholds of 32-bit draws.
BATTERY_LOW: Final = 5 * (1 << 32) // 100
DROPS: Final = 10 * (1 << 32) // 100
DEFECTIVE: Final = 2 * (1 << 32) // 100

DEVICES_A_SLOT: Final = 150
BOUNDS_PERCENT: Final = (0, 1, 5, 20, 50, 100)
ENOUGH_PERCENT: Final = 90
FAILED_PERCENT: Final = 10
AFTER_TRANSFER: Final = 7
"""Events from VERIFY to REPORT: VERIFY, PATCH, INSTALL, REBOOT, HEALTH, CONFIRM or REVERT, REPORT."""


@dataclass(frozen=True)
class Outcome:
    """What comes out of a run; times in ms."""

    checksum: int
    updated: int
    reverted: int
    waves: int
    events: int
    end_ms: int


def mix(z: int) -> int:
    """SplitMix64's finaliser."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def key_of(seed: int, device: int) -> int:
    """The key of a device's draws."""
    return mix((mix(seed * GOLDEN & MASK64) + (device + 1) * GOLDEN) & MASK64)


def draw(key: int, purpose: int, occurrence: int = 0) -> int:
    """A whole number from 0 to 2**32 - 1."""
    return mix((key + (16 * occurrence + purpose + 1) * GOLDEN) & MASK64) >> 32


def delay(key: int, purpose: int, span: tuple[int, int], occurrence: int = 0) -> int:
    """A delay [ms] out of `span`: the least, and how many more there may be."""
    return span[0] + (draw(key, purpose, occurrence) * span[1] >> 32)


@lru_cache(maxsize=1)
def transfer_table() -> tuple[int, ...]:
    """1,024 quantiles of a transfer's time [ms], in exact arithmetic."""
    context = Context(prec=40)
    table = []
    for j in range(1024):
        share = context.divide(Decimal(2047 - 2 * j), Decimal(2048))
        more = context.multiply(Decimal(-TRANSFER_MEAN_MORE_MS), context.ln(share))
        table.append(TRANSFER_LEAST_MS + int(more.to_integral_value(ROUND_FLOOR)))
    return tuple(table)


def slots_of(devices: int) -> int:
    """How many transfers may run at once."""
    return max(1, devices // DEVICES_A_SLOT)


def bounds_of(devices: int) -> tuple[int, ...]:
    """The first device of each wave, and the number of devices after them."""
    return tuple(devices * percent // 100 for percent in BOUNDS_PERCENT)


class Controller:
    """Opens waves as reports come in, and adds them up. `open_wave` is called with a range of devices."""

    def __init__(self, devices: int, open_wave: Callable[[range], None]) -> None:
        if not DEVICES_LEAST <= devices < 1 << DEVICE_BITS:
            raise ValueError(f"devices: found {devices}, expected {DEVICES_LEAST} to 2**{DEVICE_BITS} - 1")
        self.bounds = bounds_of(devices)
        self.wave_of = [w for w in range(5) for _ in range(self.bounds[w], self.bounds[w + 1])]
        self.open_wave = open_wave
        self.reported = [0] * 5
        self.failed = [0] * 5
        self.waves = 0
        self.events = 0
        self.checksum = 0
        self.end_ms = 0

    def start(self) -> None:
        """Open wave 0."""
        self._open(0)

    def report(self, device: int, now: int, reverted: bool) -> None:
        """A device's report at `now` [ms]."""
        wave = self.wave_of[device]
        self.checksum = (self.checksum + now * (device + 1)) & MASK64
        self.end_ms = now
        self.reported[wave] += 1
        self.failed[wave] += reverted
        size = self.bounds[wave + 1] - self.bounds[wave]
        enough = self.reported[wave] == -(-size * ENOUGH_PERCENT // 100)
        if enough and wave < 4 and self.failed[wave] * 100 <= FAILED_PERCENT * self.reported[wave]:
            self._open(wave + 1)

    def outcome(self) -> Outcome:
        """What has come out so far."""
        reverted = sum(self.failed)
        return Outcome(
            self.checksum, sum(self.reported) - reverted, reverted, self.waves, self.events, self.end_ms
        )

    def _open(self, wave: int) -> None:
        self.waves = wave + 1
        self.open_wave(range(self.bounds[wave], self.bounds[wave + 1]))
