"""What can happen to a device on the bench: an install, a boot, a confirmation, each whole or cut short."""

from __future__ import annotations

from dataclasses import dataclass

from simlib.device.forgery import FORGERIES
from simlib.device.tears import TEARS
from simlib.errors import InputError


@dataclass(frozen=True, slots=True)
class Cut:
    """Power fails in the event's `op`-th flash operation, counted from 1, and leaves this tear.

    An event with fewer operations is finished; then the power goes. After either the device has no power.
    """

    op: int
    tear: str

    def __post_init__(self) -> None:
        if self.op < 1:
            raise InputError(f"cut: found operation {self.op}, expected 1 or more")
        if self.tear not in TEARS:
            raise InputError(f"tear: found {self.tear!r}, expected one of {', '.join(TEARS)}")


@dataclass(frozen=True, slots=True)
class Install:
    """The updater takes the artefact of this name, or what has arrived in its place.

    What the relaying phone has `forged` (`simlib.device.forgery`) it hands on instead; bit `flip_bit` of what
    was sent arrives flipped.
    """

    artefact: str
    flip_bit: int | None = None
    cut: Cut | None = None
    forged: str | None = None

    def __post_init__(self) -> None:
        if self.forged is not None and self.forged not in FORGERIES:
            raise InputError(f"forged: found {self.forged!r}, expected one of {', '.join(FORGERIES)}")


@dataclass(frozen=True, slots=True)
class Boot:
    """A reset, or power coming back."""

    cut: Cut | None = None


@dataclass(frozen=True, slots=True)
class Confirm:
    """The self-test passed: the running image confirms itself."""

    cut: Cut | None = None


Event = Install | Boot | Confirm


def flip_bit(blob: bytes, bit: int) -> bytes:
    """`blob` with one bit changed; bit 0 is the first byte's lowest, and the count wraps at the end."""
    at, low = divmod(bit % (8 * len(blob)), 8)
    flipped = bytearray(blob)
    flipped[at] ^= 1 << low
    return bytes(flipped)
