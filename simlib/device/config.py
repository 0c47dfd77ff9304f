"""What a device is made of: the facts that decide how its flash is laid out and what its work costs.

Leaves to others: what the layouts mean (`layouts`), the figures behind a profile's name
(`simlib.scenario.calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simlib.errors import InputError
from simlib.firmware.trailer import WRITE_SIZES

if TYPE_CHECKING:
    from simlib.scenario.model import CohortSpec

SMALLEST_SECTOR_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """One kind of device. Sizes are in bytes; raises `InputError` where they do not fit together."""

    layout: str
    slot_size_bytes: int
    download_size_bytes: int  # of the partition a patch is kept in; 0: there is none
    sector_size_bytes: int = 4096
    write_size_bytes: int = 4
    erased_value: int = 0xFF
    flash: str = "nrf52840"
    core: str = "cortex-m4-64mhz"
    hardware: str = ""  # what a manifest may ask for by name; "": not known, and so not checked

    def __post_init__(self) -> None:
        sector = self.sector_size_bytes
        if self.write_size_bytes not in WRITE_SIZES:
            raise InputError(
                f"write_size_bytes: found {self.write_size_bytes}, expected one of {WRITE_SIZES}"
            )
        if self.erased_value not in (0x00, 0xFF):
            raise InputError(f"erased_value: found {self.erased_value}, expected 0 or 255")
        if sector < SMALLEST_SECTOR_BYTES or sector % self.write_size_bytes:
            raise InputError(
                f"sector_size_bytes: found {sector}, expected a multiple of the write size "
                f"of at least {SMALLEST_SECTOR_BYTES}"
            )
        if self.slot_size_bytes < sector or self.slot_size_bytes % sector:
            raise InputError(
                f"slot_size_bytes: found {self.slot_size_bytes}, expected a multiple of the sector, {sector}"
            )
        if self.download_size_bytes < 0 or self.download_size_bytes % sector:
            raise InputError(
                f"download_size_bytes: found {self.download_size_bytes}, "
                f"expected 0 or a multiple of the sector, {sector}"
            )

    @classmethod
    def from_cohort(cls, cohort: CohortSpec) -> DeviceConfig:
        """The device that every member of this part of the fleet is."""
        return cls(
            layout=cohort.layout,
            slot_size_bytes=cohort.slot_size_bytes,
            download_size_bytes=cohort.download_size_bytes,
            sector_size_bytes=cohort.sector_size_bytes,
            write_size_bytes=cohort.write_size_bytes,
            erased_value=cohort.erased_value,
            flash=cohort.flash,
            core=cohort.core,
            hardware=cohort.hardware,
        )
