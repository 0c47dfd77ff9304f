"""What a layout's boot loader does, and the step that ends every boot.

The running firmware needs as little of it as the boot loader: where the new image goes, that nothing
half-written may look requested, the request, and the confirmation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from simlib.device.bootloader.check import check_running
from simlib.device.bootloader.outcome import Boot, Swap
from simlib.device.places import Place
from simlib.errors import Reason, Refused

if TYPE_CHECKING:
    from simlib.device.device import Device


class BootLoader(Protocol):
    """The code of one layout."""

    def boot(self, device: Device) -> Boot:
        """Reset the device once. Raises `PowerCut` where power fails; the next boot goes on from there."""
        ...

    def running(self, device: Device) -> Place:
        """Where the image that runs lies."""
        ...

    def target(self, device: Device) -> Place:
        """Where the updater puts the next image; without a second slot, where the running one lies."""
        ...

    def prepare(self, device: Device) -> None:
        """Before the first byte of a new image: what is half-written must not look requested."""
        ...

    def request(self, device: Device) -> None:
        """Ask for the image at the target."""
        ...

    def in_trial(self, device: Device) -> bool:
        """Whether the image that runs is on trial, and reverts unless it is confirmed."""
        ...

    def confirm(self, device: Device) -> None:
        """The image that runs declares itself good; without effect where it is not on trial."""
        ...


class WithoutTrial:
    """What is the same in boot loaders that run the primary slot and try nothing."""

    def running(self, device: Device) -> Place:
        """The primary slot."""
        return Place(device.area("primary"))

    def in_trial(self, device: Device) -> bool:
        """Never."""
        return False

    def confirm(self, device: Device) -> None:
        """Nothing waits for it."""

    def run(self, device: Device, done: Swap, refused: Reason) -> Boot:
        """Run the image in the primary slot, or nothing; the security counter follows it."""
        try:
            return run(device, self.running(device), done, refused, trial=False, raise_counter=True)
        except Refused as refusal:
            return nothing(device, done, refusal)


def run(
    device: Device, place: Place, done: Swap, refused: Reason, *, trial: bool, raise_counter: bool
) -> Boot:
    """Check the image there and run it, or nothing.

    `raise_counter`: the security counter follows the image. Raises `Refused` where the image may not run.
    """
    verified, digest = check_running(device, place)
    if raise_counter:
        device.raise_security_counter(verified.security_counter or 0, "boot")
    device.note("boot", f"{verified.version}{' on trial' if trial else ''}")
    device.running_slot = place.name
    return Boot(verified.version, digest, trial, done, refused, place.name)


def nothing(device: Device, done: Swap, why: Refused | None = None) -> Boot:
    """The device stays where it is: no image may run."""
    device.note("boot", f"nothing to boot: {why or 'no slot holds an image'}")
    return Boot(None, None, False, done, Reason.NO_VALID_IMAGE)
