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
COUNTER_STORES: Final = ("fuses", "flash", "tpm")
"""Fuses burn one at a time; a protected area of the flash; a TPM's monotonic counter."""


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
    secondary_size_bytes: int = 0  # of the second slot; 0: what the layout takes (`layouts`)
    secondary_sector_bytes: int = 0  # the second slot's erase unit; 0: as everywhere
    scratch_size_bytes: int = 0  # 0: what the layout takes
    downgrade_prevention: bool = False  # overwrite-only refuses a version below the running one
    counter_store: str = "fuses"  # where the security counter is kept, of `COUNTER_STORES`
    ram_bytes: int = 0  # what installing may use; 0: as much as it takes

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
        self._check_second_slot()
        if self.counter_store not in COUNTER_STORES:
            raise InputError(
                f"counter_store: found {self.counter_store!r}, expected one of {', '.join(COUNTER_STORES)}"
            )
        if self.ram_bytes < 0:
            raise InputError(f"ram_bytes: found {self.ram_bytes}, expected 0 or more")
        if self.download_size_bytes < 0 or self.download_size_bytes % sector:
            raise InputError(
                f"download_size_bytes: found {self.download_size_bytes}, "
                f"expected 0 or a multiple of the sector, {sector}"
            )

    def _check_second_slot(self) -> None:
        sector, large = self.sector_size_bytes, self.secondary_sector_bytes
        if large < 0 or large % sector:
            raise InputError(
                f"secondary_sector: found {large}, expected 0 or a multiple of the sector, {sector}"
            )
        for name, size, unit in (
            ("secondary_size", self.secondary_size_bytes, large or sector),
            ("scratch_size", self.scratch_size_bytes, large or sector),
        ):
            if size < 0 or size % unit:
                raise InputError(f"{name}: found {size}, expected 0 or a multiple of the sector, {unit}")

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
            secondary_size_bytes=cohort.secondary_size_bytes,
            secondary_sector_bytes=cohort.secondary_sector_bytes,
            scratch_size_bytes=cohort.scratch_size_bytes,
            downgrade_prevention=cohort.downgrade_prevention,
            counter_store=cohort.counter_store,
            ram_bytes=cohort.ram_bytes,
        )
