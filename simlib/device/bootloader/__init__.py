"""The boot loader, MCUboot's behaviour on the flash model: one module a layout's code, one function a boot.

Beside the boot it has what the running firmware needs of it: where a new image goes, the request for it, and
the confirmation that ends a trial (`loader.BootLoader`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simlib.device.bootloader.in_place import InPlace
from simlib.device.bootloader.loader import BootLoader
from simlib.device.bootloader.outcome import Boot, Swap
from simlib.device.bootloader.overwrite import Overwriting
from simlib.device.bootloader.selecting import Selecting
from simlib.device.bootloader.single_slot import SingleSlot
from simlib.device.bootloader.swap_move import SwapMove
from simlib.device.bootloader.swap_offset import SwapOffset
from simlib.device.bootloader.swap_scratch import SwapScratch
from simlib.device.bootloader.swapping import Swapping

if TYPE_CHECKING:
    from simlib.device.device import Device

__all__ = ["Boot", "BootLoader", "Swap", "boot", "boot_loader", "confirm", "request_trial"]

_LOADERS: Final[dict[str, BootLoader]] = {
    "swap-move": Swapping(SwapMove()),
    "swap-scratch": Swapping(SwapScratch()),
    "swap-offset": Swapping(SwapOffset()),
    "overwrite-only": Overwriting(),
    "direct-xip": Selecting(reverts=False),
    "direct-xip-revert": Selecting(reverts=True),
    "ram-load": Selecting(reverts=False),
    "in-place-journal": InPlace(),
    "single-slot": SingleSlot(),
}


def boot_loader(device: Device) -> BootLoader:
    """The code of this device's layout."""
    return _LOADERS[device.config.layout]


def boot(device: Device) -> Boot:
    """Reset the device once and let its boot loader run. Raises `PowerCut` where power fails on the way."""
    return boot_loader(device).boot(device)


def request_trial(device: Device) -> None:
    """Ask for the image that the updater has put in its place, to be tried or, without trials, to stay."""
    boot_loader(device).request(device)


def confirm(device: Device) -> None:
    """The running image declares itself good; without a trial there is nothing to confirm."""
    boot_loader(device).confirm(device)
