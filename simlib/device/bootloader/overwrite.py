"""The boot loader of the `overwrite-only` layout: a requested image is copied over the old one.

The candidate is checked, then copied sector by sector from the bottom up. A copy that was cut short is done
again from the start: the request stands in the secondary's trailer until all is copied. Then trailer and
header of the secondary are erased. There is no way back to the old image, and so no trial.

With downgrade prevention (MCUboot's `MCUBOOT_DOWNGRADE_PREVENTION`, which only this mode has) a candidate of
a version below that of the image in the primary slot is refused. A refused candidate is erased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.device.bootloader import loader, swap
from simlib.device.bootloader.check import check_candidate
from simlib.device.bootloader.outcome import Boot, Swap
from simlib.device.payload_cipher import cipher_of
from simlib.device.places import Place, header_at, occupied
from simlib.device.trailer import Magic
from simlib.errors import Reason, Refused

if TYPE_CHECKING:
    from simlib.device.device import Device


class Overwriting(loader.WithoutTrial):
    """The layout's boot loader."""

    def boot(self, device: Device) -> Boot:
        """Boot once."""
        done, refused = Swap.NONE, Reason.NONE
        if swap.trailer_of(device, "secondary").magic() is Magic.GOOD:
            try:
                self._check(device)
            except Refused as refusal:
                refused = refusal.reason
                with device.step("boot", "erase the refused candidate"):
                    device.area("secondary").erase_all()
            else:
                copy_over(device, self.target(device), occupied(self.target(device)))
                self._forget(device)
                done = Swap.COPIED
        return self.run(device, done, refused)

    def target(self, device: Device) -> Place:
        """The secondary slot."""
        return Place(device.area("secondary"))

    def prepare(self, device: Device) -> None:
        """Erase the secondary's trailer before anything else."""
        with device.step("erase", "the trailer of the secondary slot"):
            swap.trailer_of(device, "secondary").erase()

    def request(self, device: Device) -> None:
        """Write the magic of the secondary's trailer."""
        swap.ask(device, "secondary", "overwrite")

    def _check(self, device: Device) -> None:
        candidate = check_candidate(device, self.target(device))
        there = header_at(self.running(device))
        if device.config.downgrade_prevention and there is not None and candidate.version < there.version:
            raise Refused(
                Reason.VERSION_LOW, f"version: found {candidate.version}, expected {there.version} or more"
            )

    def _forget(self, device: Device) -> None:
        with device.step("copy", "erase the secondary's trailer and header"):
            swap.trailer_of(device, "secondary").erase()
            device.area("secondary").erase(0)


def copy_over(device: Device, source: Place, image: bytes) -> None:
    """Write the image that lies at `source` over the primary slot, deciphered, sector by sector."""
    cipher = cipher_of(image, device.decryption_key, device.meter)
    primary, n = device.area("primary"), len(image)
    with device.step("copy", f"{n} bytes over the primary slot"):
        for at in range(0, n, primary.sector):
            device.checkpoint("copy", at, n, cipher)
            data = source.read(at, min(primary.sector, n - at))
            swap.put(primary, at, cipher.turn(at, data, device.meter))
