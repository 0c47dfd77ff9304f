"""What it costs to keep a copy of the user's data in the device's own flash, and to put it back.

A backup hashes the data, erases the sectors of an area for it, writes them, and hashes what it reads back:
only a copy that reads right counts. A restore hashes the copy, against the digest noted at the backup, before
it erases and writes the area of the settings. Both run on the flash model itself; a read is free there, and
the hash over it is charged.

Leaves to others: where the copy and its digest lie, whether there is room, and copies that leave the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from simlib.device.config import DeviceConfig
from simlib.device.flash import Flash, Geometry
from simlib.device.meter import Meter, ceil_div
from simlib.device.partitions import Area, Partition
from simlib.draws import Stream
from simlib.errors import InputError
from simlib.scenario.calibration import core_profile, flash_profile

CONTENT_PURPOSE: Final = 0xBAC4
"""The purpose number of the draws that stand for the user's data."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What work takes: time [ns], energy of the flash and of the core [nJ]."""

    time_ns: int
    flash_nj: int
    compute_nj: int


@lru_cache(maxsize=64)
def backup_cost(config: DeviceConfig, n_bytes: int) -> Cost:
    """The cost of copying `n_bytes` of user data to the device's own flash, read back and checked.

    Raises:
        InputError: a negative size, or a profile that there is not.
    """
    data, area = _data(n_bytes), _area(config, n_bytes)
    digest = _hashed(area, data)
    _write(area, data)
    _check(_hashed(area, area.read(0, n_bytes)), digest)
    return _spent(area)


@lru_cache(maxsize=64)
def restore_cost(config: DeviceConfig, n_bytes: int) -> Cost:
    """The cost of checking a copy of `n_bytes` and writing it over the settings.

    Raises:
        InputError: a negative size, or a profile that there is not.
    """
    data, area = _data(n_bytes), _area(config, n_bytes)
    digest = _hashed(area, data)
    _write(area, data)
    _check(sha256(area.read(0, n_bytes)).digest(), digest)  # the model's own, not the device's: not charged
    return _spent(area)


def _data(n_bytes: int) -> bytes:
    if n_bytes < 0:
        raise InputError(f"backup size: found {n_bytes} bytes, expected 0 or more")
    return Stream(0, CONTENT_PURPOSE).block(ceil_div(n_bytes, 4)).astype("<u4").tobytes()[:n_bytes]


def _area(config: DeviceConfig, n_bytes: int) -> Area:
    """A flash of its own, as many sectors as hold `n_bytes` and at least one, its meter at nothing."""
    sector = config.sector_size_bytes
    size = max(1, ceil_div(n_bytes, sector)) * sector
    geometry = Geometry(sector, config.write_size_bytes, config.erased_value)
    flash = Flash(size, geometry, flash_profile(config.flash), Meter(core_profile(config.core)))
    return Area(flash, Partition("copy", 0, size))


def _hashed(area: Area, data: bytes) -> bytes:
    area.flash.meter.sha256(len(data))
    return sha256(data).digest()


def _write(area: Area, data: bytes) -> None:
    area.erase_range(0, len(data))
    area.write_bytes(0, data)


def _check(found: bytes, expected: bytes) -> None:
    if found != expected:
        raise RuntimeError(f"backup: the data reads as {found.hex()}, expected {expected.hex()}")


def _spent(area: Area) -> Cost:
    meter = area.flash.meter
    return Cost(meter.time_ns, meter.flash_nj, meter.compute_nj)
