"""One member of a firmware chain."""

from __future__ import annotations

from dataclasses import dataclass

from simlib.firmware.version import Version


@dataclass(frozen=True, slots=True)
class Firmware:
    """A raw binary as a build leaves it, unsigned, with the version it will be signed as."""

    label: str  # as people call it; unique in its chain
    version: Version
    payload: bytes
