"""The boot loader of the `swap-move` layout: trial, confirmation, revert.

A boot, in order:

1. a swap that was cut short is finished; one that had not changed a slot yet is checked again first;
2. else the trailers are asked (`decision`), and a candidate is checked before anything is moved: one that is
   refused is erased and never swapped, and the image that is there is confirmed, so that it stays;
3. the image now in the primary slot is checked, at every boot, and runs or nothing does;
4. the hardware's security counter follows a confirmed image at a boot that swapped nothing, so that until
   then a revert to an image with a lower counter stays possible (MCUboot, `boot_update_security_counter`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.device.bootloader import swap
from simlib.device.bootloader.check import check_candidate, check_primary
from simlib.device.bootloader.decision import decide, in_trial
from simlib.device.bootloader.outcome import SWAP_OF, Boot, Swap
from simlib.device.trailer import Magic, SwapType
from simlib.errors import Reason, Refused

if TYPE_CHECKING:
    from simlib.device.device import Device


def boot(device: Device) -> Boot:
    """Boot once. Raises `PowerCut` where power fails on the way; the next boot goes on from there."""
    done = Swap.NONE
    try:
        done, refused = _update(device)
        verified, digest = check_primary(device)
    except Refused as refusal:
        device.note("boot", f"nothing to boot: {refusal}")
        return Boot(None, None, False, done, Reason.NO_VALID_IMAGE)
    trial = in_trial(swap.trailer_of(device, "primary").state())
    counter = verified.security_counter or 0
    if done is Swap.NONE and refused is Reason.NONE and counter > device.security_counter:
        device.security_counter = counter
        device.note("boot", f"security counter raised to {counter}")
    device.note("boot", f"{verified.version}{' on trial' if trial else ''}")
    return Boot(verified.version, digest, trial, done, refused)


def request_trial(device: Device) -> None:
    """Ask for the image in the secondary slot to be tried at the next boot."""
    trailer = swap.trailer_of(device, "secondary")
    with device.step("request", "trial"):
        if not trailer.is_clean():
            # What an earlier request left, whole or torn, must not mix with this one.
            trailer.erase()
        trailer.write_magic()


def confirm(device: Device) -> None:
    """The running image declares itself good and stays; without effect where it is not on trial."""
    trailer = swap.trailer_of(device, "primary")
    state = trailer.state()
    if state.magic is Magic.GOOD and not state.image_ok:
        with device.step("confirm", "image_ok"):
            trailer.write_image_ok()


def _update(device: Device) -> tuple[Swap, Reason]:
    """Do what the trailers ask for; the reason is why a candidate was refused."""
    resumed = swap.interrupted(device)
    if resumed and not swap.untouched(device):
        swap.finish(device)
        return Swap.RESUMED, Reason.NONE
    if resumed:
        kind = SwapType.NONE
    else:
        kind = decide(
            swap.trailer_of(device, "primary").state(), swap.trailer_of(device, "secondary").state()
        )
        if kind is SwapType.NONE:
            return Swap.NONE, Reason.NONE
    try:
        check_candidate(device)
        if not resumed:
            swap.start(device, kind)
    except Refused as refusal:
        _discard(device)
        return Swap.NONE, refusal.reason
    swap.finish(device)
    return (Swap.RESUMED if resumed else SWAP_OF[kind]), Reason.NONE


def _discard(device: Device) -> None:
    """Erase the candidate, its trailer last, and keep the image that is there."""
    trailer = swap.trailer_of(device, "primary")
    with device.step("boot", "erase the refused candidate"):
        device.area("secondary").erase_all()
        state = trailer.state()
        if not state.image_ok:
            trailer.write_image_ok()
        if state.magic is Magic.GOOD and not state.copy_done:
            trailer.write_copy_done()
