"""The boot loader of the `single-slot` layout: check the only image there is, and run it or nothing.

There is no trailer: an update overwrites the image where it runs, and nothing can be tried or taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.device.bootloader import loader
from simlib.device.bootloader.outcome import Boot, Swap
from simlib.device.places import Place
from simlib.errors import Reason, Refused

if TYPE_CHECKING:
    from simlib.device.device import Device


class SingleSlot:
    """The layout's boot loader."""

    def boot(self, device: Device) -> Boot:
        """Boot once; the security counter follows the image that runs."""
        place = self.running(device)
        try:
            return loader.run(device, place, Swap.NONE, Reason.NONE, trial=False, raise_counter=True)
        except Refused as refusal:
            return loader.nothing(device, Swap.NONE, refusal)

    def running(self, device: Device) -> Place:
        """The only slot."""
        return Place(device.area("primary"))

    def target(self, device: Device) -> Place:
        """The only slot."""
        return self.running(device)

    def prepare(self, device: Device) -> None:
        """The old image is lost with its first sector."""

    def request(self, device: Device) -> None:
        """What is in the slot is what runs."""

    def in_trial(self, device: Device) -> bool:
        """Never."""
        return False

    def confirm(self, device: Device) -> None:
        """Nothing waits for it."""
