"""What a device's future depends on, and the name it goes by.

Of its flash that is each sector's digest. Wear and the meter's past are not part of it: no verdict depends on
them. How a state came about is kept beside it, so that its bytes can be made when they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

from simlib.device.config import DeviceConfig
from simlib.device.events import Event
from simlib.scenario.calibration import core_profile, flash_profile


@dataclass(frozen=True, slots=True)
class State:
    """A device fresh from the factory with chain index `base`, or what `event` made of the state `parent`."""

    config: DeviceConfig
    digests: tuple[bytes, ...]  # of the flash's sectors
    security_counter: int
    image: str | None  # the running one, by its signed digest; None: nothing boots, or no power
    powered: bool
    base: int
    parent: str | None = None
    event: Event | None = None

    def name(self, facts: str) -> str:
        """SHA-256 in hex, the same for two states that only differ in how they came about.

        `facts` are the configuration's, as `config_facts` gives them.
        """
        parts = (facts, str(self.security_counter), self.image or "nothing", str(self.powered))
        digest = sha256("\0".join(parts).encode())
        digest.update(b"\0" + b"".join(self.digests))
        return digest.hexdigest()


def replaced(digests: tuple[bytes, ...], changed: Sequence[int], now: Sequence[bytes]) -> tuple[bytes, ...]:
    """`digests` with those of the sectors `changed` as they are `now`."""
    if not changed:
        return digests
    after = list(digests)
    for sector, digest in zip(changed, now, strict=True):
        after[sector] = digest
    return tuple(after)


def config_facts(config: DeviceConfig) -> str:
    """SHA-256 in hex over the configuration and the figures behind the names in it."""
    named: tuple[Any, ...] = (config, flash_profile(config.flash), core_profile(config.core))
    lines = []
    for facts in named:
        for field in fields(facts):
            value = getattr(facts, field.name)
            shown = sorted(value.items()) if isinstance(value, Mapping) else value
            lines.append(f"{type(facts).__name__}.{field.name}={shown!r}")
    return sha256("\n".join(lines).encode()).hexdigest()
