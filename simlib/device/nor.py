"""What is said about a NOR flash: its geometry, its errors, and its state at one moment.

Leaves to others: the flash itself (`flash`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from simlib.errors import SimlibError

LARGEST_WRITE_BYTES: Final = 1024
"""Most bytes in one write call: MCUboot's copy buffer (`BUF_SZ` in boot/bootutil/src/loader.c)."""


class FlashErrorKind(StrEnum):
    """Why an operation was refused."""

    OUT_OF_RANGE = "out-of-range"
    OUT_OF_PARTITION = "out-of-partition"
    UNALIGNED = "unaligned"
    TOO_LARGE = "too-large"
    NOT_ERASED = "not-erased"
    POWER_OFF = "power-off"
    WRITE_FAILED = "write-failed"


class FlashError(SimlibError):
    """The driver refused an operation; nothing was changed. `kind` says which rule it broke."""

    def __init__(self, kind: FlashErrorKind, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class PowerCut(SimlibError):
    """Power failed in the middle of a flash operation; nothing works until `Flash.power_on`."""


class Region(NamedTuple):
    """A part of the flash, from byte `start` to before `stop`, whose erase unit is several sectors [byte]."""

    start: int
    stop: int
    erase_size: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes in bytes; `erased_value` is 0xFF or 0x00.

    A sector is the smallest erase unit; `regions` are the parts with a larger one, a multiple of it.
    """

    sector_size: int
    write_size: int
    erased_value: int
    regions: tuple[Region, ...] = ()

    def erase_size(self, offset: int) -> int:
        """How many bytes an erase at `offset` sets to the erased value."""
        for region in self.regions:
            if region.start <= offset < region.stop:
                return region.erase_size
        return self.sector_size


@dataclass(frozen=True, slots=True)
class FlashState:
    """All of a flash at one moment, for `Flash.restore`."""

    content: bytes
    wear: tuple[int, ...]
    erases: int
    writes: int
    bytes_written: int
    op_end_ns: tuple[int, ...]
    op_end_nj: tuple[int, ...]
