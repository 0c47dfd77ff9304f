"""The boot loader of the `single-slot` layout: check the only image there is, and run it or nothing.

There is no trailer: an update overwrites the image where it runs, and nothing can be tried or taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.device.bootloader import loader
from simlib.device.bootloader.outcome import Boot, Swap
from simlib.device.places import Place
from simlib.errors import Reason

if TYPE_CHECKING:
    from simlib.device.device import Device


class SingleSlot(loader.WithoutTrial):
    """The layout's boot loader."""

    def boot(self, device: Device) -> Boot:
        """Boot once; the security counter follows the image that runs."""
        return self.run(device, Swap.NONE, Reason.NONE)

    def target(self, device: Device) -> Place:
        """The only slot."""
        return self.running(device)

    def prepare(self, device: Device) -> None:
        """The old image is lost with its first sector."""

    def request(self, device: Device) -> None:
        """What is in the slot is what runs."""
