"""How a boot layout divides the flash, and the largest image it can carry.

==================  ====================  =======================================================  =======
layout              partitions            the new image                                            trial
==================  ====================  =======================================================  =======
swap-scratch        primary, secondary,   is swapped in through a scratch area                     yes
                    scratch
swap-move           primary, secondary    is swapped in through a gap of one sector                yes
swap-offset         primary, secondary    is swapped in, one sector higher in the secondary        yes
overwrite-only      primary, secondary    is copied over the old one                               no
direct-xip          primary, secondary    runs where it is: the highest version is chosen          no
direct-xip-revert   primary, secondary    likewise, and is erased if it does not confirm itself    yes
ram-load            primary, secondary    is copied to RAM and runs there; the highest version     no
in-place-journal    primary, scratch      is made over the old one, sector by sector, with a       no
                                          journal of what it still needs
single-slot         primary               overwrites the old one where it runs                     no
==================  ====================  =======================================================  =======

All but the last two are MCUboot's (docs/design.md, "Image slots"). A download partition follows where the
configuration gives it a size.

The largest image, of slots of N sectors with a trailer of T sectors, header and TLVs included:

- ``swap-move``: N − 1 − T sectors, for the gap;
- ``swap-offset``: N − T sectors of the primary, and one less than is left below the secondary's trailer;
- ``swap-scratch``: up to the trailer, which may share the image's last sector; if that sector's data and
  the short trailer of the scratch area do not fit in it together, so much less;
- ``overwrite-only``, ``direct-xip``, ``direct-xip-revert``, ``ram-load``: up to the field swap_info, for no
  swap is kept a status of;
- ``in-place-journal``, ``single-slot``: the whole slot.

Leaves to others: what happens at a boot (`bootloader`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from simlib.device.config import DeviceConfig
from simlib.device.partitions import Partition
from simlib.device.slots import common_unit, sector_of, size_of
from simlib.device.trailer import TrailerMap
from simlib.errors import InputError


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to divide the flash. `slots` are partition names."""

    name: str
    slots: tuple[str, ...]
    image_limit: Callable[[DeviceConfig, bool], int]
    has_trial: bool = False
    """Whether a new image is tried first and can be reverted."""
    in_place: bool = False
    """Whether an install overwrites the image that runs, so that a failed one leaves it broken."""
    on_request: bool = True
    """Whether the boot loader looks at a new image only once it is asked to."""
    runs_from_both: bool = False
    """Whether an image runs from the slot it is in, the one as well as the other."""
    runs_from_ram: bool = False
    """Whether an image is copied to RAM and runs there."""
    waits: bool = False
    """Whether what arrives waits in the download partition, a full image too, for the boot loader to use."""
    patches: bool = True
    """Whether there is a place to make an image from a patch."""
    encrypts: bool = True
    """Whether the boot loader takes encrypted images."""

    def partitions(self, config: DeviceConfig) -> tuple[Partition, ...]:
        """The partition table, from the start of the flash, without gaps."""
        sizes = [(name, size_of(config, name)) for name in self.slots]
        if config.download_size_bytes:
            sizes.append(("download", config.download_size_bytes))
        if config.counter_store == "flash":
            sizes.append(("counter", 2 * config.sector_size_bytes))
        table: list[Partition] = []
        offset = 0
        for name, size in sizes:
            table.append(Partition(name, offset, size))
            offset += size
        return tuple(table)


def _below_trailer(config: DeviceConfig, encrypted: bool, slot: str) -> int:
    """Whole sectors of a slot that its trailer leaves free, as bytes."""
    trailer = TrailerMap.of(config, encrypted=encrypted, slot=slot)
    return trailer.slot_size - trailer.sectors * trailer.sector_size


def _swap_move_limit(config: DeviceConfig, encrypted: bool) -> int:
    sector = config.sector_size_bytes
    moved = _below_trailer(config, encrypted, "primary") - sector
    return max(0, min(moved, _below_trailer(config, encrypted, "secondary")))


def _swap_offset_limit(config: DeviceConfig, encrypted: bool) -> int:
    sector = config.sector_size_bytes
    shifted = _below_trailer(config, encrypted, "secondary") - sector
    return max(0, min(_below_trailer(config, encrypted, "primary"), shifted))


def _swap_scratch_limit(config: DeviceConfig, encrypted: bool) -> int:
    trailer = TrailerMap.of(config, encrypted=encrypted)
    unit = common_unit(config)
    shared = unit - trailer.status % unit  # bytes of the trailer in the first sector that it touches
    short = TrailerMap.of(config, encrypted=encrypted, slot="scratch").size
    return max(0, trailer.status - max(0, short - shared))


def _below_swap_info(config: DeviceConfig, encrypted: bool) -> int:
    maps = (TrailerMap.of(config, encrypted=encrypted, slot=slot) for slot in ("primary", "secondary"))
    return max(0, min(each.swap_info for each in maps))


def _whole_slot(config: DeviceConfig, encrypted: bool) -> int:
    return config.slot_size_bytes


_TWO = ("primary", "secondary")
_LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("swap-move", _TWO, _swap_move_limit, has_trial=True),
        Layout("swap-scratch", (*_TWO, "scratch"), _swap_scratch_limit, has_trial=True),
        Layout("swap-offset", _TWO, _swap_offset_limit, has_trial=True),
        Layout("overwrite-only", _TWO, _below_swap_info),
        Layout("direct-xip", _TWO, _below_swap_info, on_request=False, runs_from_both=True, encrypts=False),
        Layout(
            "direct-xip-revert",
            _TWO,
            _below_swap_info,
            has_trial=True,
            on_request=False,
            runs_from_both=True,
            encrypts=False,
        ),
        Layout("ram-load", _TWO, _below_swap_info, on_request=False, runs_from_both=True, runs_from_ram=True),
        Layout("in-place-journal", ("primary", "scratch"), _whole_slot, waits=True),
        Layout("single-slot", ("primary",), _whole_slot, in_place=True, on_request=False, patches=False),
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


def check_geometry(config: DeviceConfig) -> None:
    """Raise `InputError` where the slots of `config` are none that its layout's boot loader can work with.

    The rules are MCUboot's `boot_slots_compatible`, one for each way to swap.
    """
    layout = get(config.layout)
    if config.scratch_size_bytes and "scratch" not in layout.slots:
        raise InputError(f"scratch_size: found one for {layout.name}, expected a layout with a scratch area")
    if config.downgrade_prevention and layout.name != "overwrite-only":
        raise InputError(f"downgrade_prevention: found it on {layout.name}, expected overwrite-only")
    if "secondary" not in layout.slots:
        if config.secondary_size_bytes or config.secondary_sector_bytes:
            raise InputError(f"secondary_size: found one for {layout.name}, expected a layout with two slots")
        if "scratch" in layout.slots:
            _check_journal(config)
        return
    primary, secondary = size_of(config, "primary"), size_of(config, "secondary")
    unit, sector = sector_of(config, "secondary"), config.sector_size_bytes
    if secondary % unit:
        raise InputError(f"secondary_size: found {secondary}, expected a multiple of its sector, {unit}")
    if layout.name in ("swap-move", "swap-offset") and unit != sector:
        raise InputError(
            f"secondary_sector: found {unit} for {layout.name}, expected {sector}, the primary's"
        )
    allowed: tuple[int, ...] = ()
    match layout.name:
        case "swap-move":
            allowed = (primary, primary - sector)
        case "swap-offset":
            allowed = (primary, primary + sector)
        case "swap-scratch":
            allowed = (primary,)
            scratch = size_of(config, "scratch")
            if scratch % common_unit(config) or primary % common_unit(config):
                raise InputError(
                    f"scratch_size: found {scratch} for slots of {primary}, "
                    f"expected multiples of the largest sector, {common_unit(config)}"
                )
    if allowed and secondary not in allowed:
        expected = " or ".join(map(str, allowed))
        raise InputError(f"secondary_size: found {secondary} for {layout.name}, expected {expected}")


def _check_journal(config: DeviceConfig) -> None:
    trailer = TrailerMap.of(config, encrypted=True, slot="scratch")
    least = (trailer.sectors + 1) * trailer.sector_size
    if trailer.slot_size < least:
        raise InputError(f"scratch_size: found {trailer.slot_size}, expected {least} or more for a journal")


def max_image_bytes(config: DeviceConfig, *, encrypted: bool = False) -> int:
    """The largest image, header and TLVs included, that this device can install [byte].

    `encrypted` is for a boot loader with a decryption key: its trailer keeps two content keys.
    """
    return get(config.layout).image_limit(config, encrypted)
