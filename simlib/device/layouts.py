"""How a boot layout divides the flash, and the largest image it can carry.

- ``swap-move``: two slots that the boot loader swaps through a one-sector gap (MCUboot docs/design.md,
  "Swap without using scratch"). The gap and the trailer bound the image: with N sectors a slot and a
  trailer of T sectors, (N − 1 − T) sectors.
- ``single-slot``: the image runs from the only slot, and an update overwrites it there. It may fill the slot.

A download partition follows where the configuration gives it a size.
Leaves to others: what happens at a boot (`bootloader`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from simlib.device.config import DeviceConfig
from simlib.device.meter import ceil_div
from simlib.device.partitions import Partition
from simlib.device.trailer import TrailerMap
from simlib.errors import InputError


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to divide the flash. `slots` are partition names, each of the configured slot size."""

    name: str
    slots: tuple[str, ...]
    image_limit: Callable[[DeviceConfig, bool], int]

    @property
    def has_trial(self) -> bool:
        """Whether a new image is tried first and can be reverted."""
        return "secondary" in self.slots

    def partitions(self, config: DeviceConfig) -> tuple[Partition, ...]:
        """The partition table, from the start of the flash, without gaps."""
        sizes = [(name, config.slot_size_bytes) for name in self.slots]
        if config.download_size_bytes:
            sizes.append(("download", config.download_size_bytes))
        table: list[Partition] = []
        offset = 0
        for name, size in sizes:
            table.append(Partition(name, offset, size))
            offset += size
        return tuple(table)


def _swap_move_limit(config: DeviceConfig, encrypted: bool) -> int:
    sector = config.sector_size_bytes
    sectors = config.slot_size_bytes // sector
    trailer = TrailerMap.of(config, encrypted=encrypted)
    return max(0, sectors - 1 - ceil_div(trailer.size, sector)) * sector


def _whole_slot(config: DeviceConfig, encrypted: bool) -> int:
    return config.slot_size_bytes


_LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("swap-move", ("primary", "secondary"), _swap_move_limit),
        Layout("single-slot", ("primary",), _whole_slot),
    )
}


def names() -> tuple[str, ...]:
    """The layouts there are."""
    return tuple(_LAYOUTS)


def get(name: str) -> Layout:
    """The layout of this name; `InputError` naming the nearest known one otherwise."""
    layout = _LAYOUTS.get(name)
    if layout is None:
        near = get_close_matches(name, _LAYOUTS, n=1)
        expected = f"{near[0]!r}?" if near else "one of " + ", ".join(_LAYOUTS)
        raise InputError(f"layout: found {name!r}, expected {expected}")
    return layout


def max_image_bytes(config: DeviceConfig, *, encrypted: bool = False) -> int:
    """The largest image, header and TLVs included, that this device can install [byte].

    `encrypted` is for a boot loader with a decryption key: its trailer keeps two content keys.
    """
    return get(config.layout).image_limit(config, encrypted)
