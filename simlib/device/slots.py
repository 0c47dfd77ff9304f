"""How large each partition of a device is, by its configuration: sizes and erase units in bytes.

Where the configuration leaves a size to the layout, it is the one the layout takes: a second slot like the
first, for `swap-offset` one sector larger (the image starts in its second sector); a scratch area of one
erase unit for `swap-scratch`, and for `in-place-journal` of the sectors of its journal and four spare ones.

Leaves to others: which partitions a layout has and what they are for (`layouts`).
"""

from __future__ import annotations

from typing import Final

from simlib.device.config import DeviceConfig
from simlib.firmware.trailer import MAX_SECTORS, trailer_size

SPARE_SECTORS: Final = 4
"""Spare sectors of an in-place journal whose size nobody has said."""


def sector_of(config: DeviceConfig, slot: str) -> int:
    """The erase unit of this slot."""
    if slot == "secondary" and config.secondary_sector_bytes:
        return config.secondary_sector_bytes
    return config.sector_size_bytes


def common_unit(config: DeviceConfig) -> int:
    """The least that can be erased in both slots: the larger of their erase units."""
    return max(config.sector_size_bytes, config.secondary_sector_bytes)


def size_of(config: DeviceConfig, slot: str) -> int:
    """The size of this slot, of the layouts that have it."""
    if slot == "secondary":
        if config.secondary_size_bytes:
            return config.secondary_size_bytes
        extra = sector_of(config, "secondary") if config.layout == "swap-offset" else 0
        return config.slot_size_bytes + extra
    if slot == "scratch":
        return config.scratch_size_bytes or _usual_scratch(config)
    if slot == "download":
        return config.download_size_bytes
    return config.slot_size_bytes


def status_sectors(config: DeviceConfig) -> int:
    """For how many sectors a swap status has room: MCUboot's 128, or more where a slot has more."""
    return max(MAX_SECTORS, config.slot_size_bytes // config.sector_size_bytes)


def _usual_scratch(config: DeviceConfig) -> int:
    if config.layout != "in-place-journal":
        return common_unit(config)
    sector = config.sector_size_bytes
    trailer = trailer_size(config.write_size_bytes, encrypted=True, max_sectors=status_sectors(config))
    return (-(-trailer // sector) + SPARE_SECTORS) * sector
