"""The boot loader of the layouts that swap their slots: trial, confirmation, revert.

A boot, in order:

1. a swap that was cut short is finished; one that had not changed a slot yet is checked again first;
2. else the trailers are asked (`decision`), and a candidate is checked before anything is moved: one that is
   refused is erased and never swapped, and the image that is there is confirmed, so that it stays;
3. the image now in the primary slot is checked, at every boot, and runs or nothing does; one on trial that
   does not hold, say by a worn cell, is reverted at once (which helps if the way back leads round that cell);
4. the hardware's security counter follows a confirmed image at a boot that swapped nothing, so that until
   then a revert to an image with a lower counter stays possible (MCUboot, `boot_update_security_counter`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simlib.device.bootloader import loader, swap
from simlib.device.bootloader.check import check_candidate
from simlib.device.bootloader.decision import in_trial
from simlib.device.bootloader.outcome import SWAP_OF, Boot, Swap
from simlib.device.places import Place
from simlib.device.trailer import Magic, SwapType
from simlib.errors import Reason, Refused

if TYPE_CHECKING:
    from simlib.device.device import Device
    from simlib.security.verification import VerifiedImage


@dataclass(slots=True)
class Wanted:
    """What a boot has to do: a swap of this `kind` with the `candidate`, or nothing (any more)."""

    kind: SwapType
    done: Swap  # what the boot will have done
    refused: Reason = Reason.NONE
    candidate: VerifiedImage | None = None
    written_down: bool = False  # an earlier boot has begun it and changed no slot yet
    finished: SwapType = SwapType.NONE  # a swap of this kind was cut short, and has just been finished


class Swapping:
    """The boot loader with one way to swap."""

    def __init__(self, algorithm: swap.Swap) -> None:
        self.algorithm = algorithm

    def boot(self, device: Device) -> Boot:
        """Boot once."""
        done, refused = self._update(device)
        try:
            return self.run(device, done, refused)
        except Refused as refusal:
            if not self.in_trial(device):
                return loader.nothing(device, done, refusal)
        done, refused = self._update(device)
        try:
            return self.run(device, done, refused)
        except Refused as refusal:
            return loader.nothing(device, done, refusal)

    def running(self, device: Device) -> Place:
        """The primary slot."""
        return Place(device.area("primary"))

    def target(self, device: Device) -> Place:
        """The secondary slot."""
        return self.algorithm.candidate(device, SwapType.TEST)

    def prepare(self, device: Device) -> None:
        """Erase the secondary's trailer before anything else."""
        with device.step("erase", "the trailer of the secondary slot"):
            swap.trailer_of(device, "secondary").erase()

    def request(self, device: Device) -> None:
        """Ask for the image in the secondary slot to be tried at the next boot."""
        swap.ask(device, "secondary", "trial")

    def in_trial(self, device: Device) -> bool:
        """By the primary's trailer."""
        return in_trial(swap.trailer_of(device, "primary").state())

    def confirm(self, device: Device) -> None:
        """Set image_ok of an image that was swapped in."""
        trailer = swap.trailer_of(device, "primary")
        state = trailer.state()
        if state.magic is Magic.GOOD and not state.image_ok:
            with device.step("confirm", "image_ok"):
                trailer.write_image_ok()

    def run(self, device: Device, done: Swap, refused: Reason) -> Boot:
        """Check the image in the primary slot and run it; raises `Refused` where it may not."""
        trial = self.in_trial(device)
        settled = done is Swap.NONE and refused is Reason.NONE and not trial
        return loader.run(device, self.running(device), done, refused, trial=trial, raise_counter=settled)

    def _update(self, device: Device) -> tuple[Swap, Reason]:
        """Do what the trailers ask for; the reason is why a candidate was refused."""
        wanted = self.find_out(device)
        if wanted.kind is not SwapType.NONE:
            self.swap(device, wanted)
        return wanted.done, wanted.refused

    def find_out(self, device: Device) -> Wanted:
        """What this boot has to do. A swap that had changed a slot is finished here and now."""
        algorithm = self.algorithm
        kind = algorithm.under_way(device)
        resumed = kind is not SwapType.NONE
        if resumed and not algorithm.untouched(device):
            return self._finished(device, Wanted(SwapType.NONE, Swap.RESUMED, finished=kind))
        if not resumed:
            kind = algorithm.decide(device)
            if kind is SwapType.NONE:
                return Wanted(SwapType.NONE, Swap.NONE)
        try:
            candidate = check_candidate(device, algorithm.candidate(device, kind))
        except Refused as refusal:
            self._discard(device)
            return Wanted(SwapType.NONE, Swap.NONE, refusal.reason)
        return Wanted(kind, Swap.RESUMED if resumed else SWAP_OF[kind], Reason.NONE, candidate, resumed)

    def swap(self, device: Device, wanted: Wanted) -> None:
        """Do the swap that was found to be wanted."""
        try:
            if not wanted.written_down:
                self.algorithm.start(device, wanted.kind)
        except Refused as refusal:
            self._discard(device)
            wanted.done, wanted.refused = Swap.NONE, refusal.reason
            return
        self._finished(device, wanted)

    def _finished(self, device: Device, wanted: Wanted) -> Wanted:
        """A swap that cannot go on, for a lost key or a worn cell, leaves the check to say what may run."""
        try:
            self.algorithm.finish(device)
        except Refused as refusal:
            device.note("swap", f"stopped, {refusal}")
            wanted.done, wanted.refused = Swap.NONE, refusal.reason
        return wanted

    def _discard(self, device: Device) -> None:
        """Erase the candidate, its trailer last, and keep the image that is there."""
        trailer = swap.trailer_of(device, "primary")
        with device.step("boot", "erase the refused candidate"):
            device.area("secondary").erase_all()
            self.algorithm.withdraw(device)
            state = trailer.state()
            if not state.image_ok:
                trailer.write_image_ok()
            if state.magic is Magic.GOOD and not state.copy_done:
                trailer.write_copy_done()
