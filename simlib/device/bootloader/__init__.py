"""The boot loader, MCUboot's behaviour on the flash model: one function a boot, one module a layout's code.

A layout with a trial has two operations besides the boot: `request_trial` and `confirm`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.device.bootloader import single_slot, swap_move
from simlib.device.bootloader.outcome import Boot, Swap

if TYPE_CHECKING:
    from simlib.device.device import Device

__all__ = ["Boot", "Swap", "boot", "confirm", "request_trial"]

_BOOT = {"swap-move": swap_move.boot, "single-slot": single_slot.boot}


def boot(device: Device) -> Boot:
    """Reset the device once and let its boot loader run. Raises `PowerCut` where power fails on the way."""
    return _BOOT[device.config.layout](device)


def request_trial(device: Device) -> None:
    """Ask for the image in the secondary slot to be tried; without a second slot there is nothing to ask."""
    if device.layout.has_trial:
        swap_move.request_trial(device)


def confirm(device: Device) -> None:
    """The running image declares itself good; without a trial there is nothing to confirm."""
    if device.layout.has_trial:
        swap_move.confirm(device)
