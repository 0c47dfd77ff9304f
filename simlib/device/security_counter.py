"""Where a device keeps its security counter, which only ever rises.

- ``fuses``: a register of its own, written in one go;
- ``tpm``: the monotonic counter of a TPM (`simlib.security.counters`), attached to one device as its
  `counter_chip`; the devices of a fleet have a register in its place, which is all that shows of it;
- ``flash``: records in a protected area of two sectors, which only the boot loader and the confirmation write
  to. A record is the value and its complement, in units of max(8, write size). It is appended; where a sector
  is full the other one is erased and begun. The highest whole record counts, so a cut leaves the old value or
  the new one.
"""

from __future__ import annotations

import struct
from typing import Final, Protocol

from simlib.device.partitions import Area

_RECORD: Final = struct.Struct("<II")
_MASK: Final = 0xFFFF_FFFF


class SecurityCounter(Protocol):
    """Wherever it is kept."""

    def read(self) -> int:
        """The least that an image's security counter must be."""
        ...

    def raise_to(self, value: int) -> object:
        """Let it be `value`; without effect where it is not below that."""
        ...


def record(value: int, unit: int, erased_value: int) -> bytes:
    """The record of `value`, filled up to `unit` bytes."""
    return _RECORD.pack(value, value ^ _MASK).ljust(unit, bytes([erased_value]))


class FlashCounter:
    """The counter in `area`, whose records are `unit` bytes."""

    def __init__(self, area: Area, unit: int) -> None:
        self._area = area
        self._unit = unit

    def read(self) -> int:
        """The highest whole record; 0 without one."""
        values = [0]
        for sector in range(self._area.sectors):
            data = self._area.read(sector * self._area.sector, self._area.sector)
            for at in range(0, len(data), self._unit):
                value, complement = _RECORD.unpack_from(data, at)
                if value ^ complement == _MASK:
                    values.append(value)
        return max(values)

    def raise_to(self, value: int) -> None:
        """Write a record of `value`; without effect where the counter is not below it."""
        highest = self.read()
        if value <= highest:
            return
        area, unit = self._area, self._unit
        erased = area.flash.geometry.erased_value
        current = next((s for s in range(area.sectors) if self._holds(s, highest)), 0)
        base = current * area.sector
        for at in range(base, base + area.sector, unit):
            if area.is_erased(at, unit):
                area.write_bytes(at, record(value, unit, erased))
                return
        other = (current + 1) % area.sectors * area.sector
        area.erase(other)
        area.write_bytes(other, record(value, unit, erased))

    def _holds(self, sector: int, value: int) -> bool:
        data = self._area.read(sector * self._area.sector, self._area.sector)
        whole = _RECORD.pack(value, value ^ _MASK)
        return any(data[at : at + _RECORD.size] == whole for at in range(0, len(data), self._unit))
