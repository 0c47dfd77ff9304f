"""The boot loader of the layouts that run an image from either slot: the highest version is chosen.

`direct-xip` runs it where it lies, `ram-load` copies it to RAM first. No request is needed and none is
looked at: a whole, signed image of a higher version runs at the next boot, and for good. A chosen image that
does not hold is erased, so that the other one is chosen instead (MCUboot, `boot_load_and_validate_images`).
Of equal versions the primary's is chosen.

`direct-xip-revert` looks at the slot's trailer too. An image without a good magic is not complete, and one
that was selected before (copy_done) and has not confirmed itself (image_ok) has failed its trial: both are
erased. Else it is marked as selected and runs, on trial until it confirms itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simlib.device.bootloader import loader, swap
from simlib.device.bootloader.outcome import Boot, Swap
from simlib.device.places import Place, header_at
from simlib.device.trailer import Magic
from simlib.errors import Reason, Refused

if TYPE_CHECKING:
    from simlib.device.device import Device

SLOTS: Final = ("primary", "secondary")
LEFT_OVER: Final = frozenset(
    {
        Reason.TRUNCATED,
        Reason.NOT_AN_IMAGE,
        Reason.HEADER_INVALID,
        Reason.TLV_INVALID,
        Reason.TLV_UNKNOWN,
        Reason.TLV_DUPLICATE,
        Reason.HASH_MISSING,
        Reason.HASH_MISMATCH,
        Reason.SELF_TEST_FAILED,
    }
)
"""What a download that was cut off leaves, or a trial that failed: no image was refused."""


class Selecting:
    """The boot loader of these layouts; `reverts`: it looks at trailers."""

    def __init__(self, *, reverts: bool) -> None:
        self._reverts = reverts

    def boot(self, device: Device) -> Boot:
        """Boot once."""
        refused = Reason.NONE
        done = Swap.NONE
        why: Refused | None = None
        while (place := self._highest(device)) is not None:
            try:
                trial = self._select(device, place)
                booted = loader.run(device, place, done, refused, trial=trial, raise_counter=not trial)
            except Refused as refusal:
                why = refusal
                refused = refused if refusal.reason in LEFT_OVER else refusal.reason
                with device.step("boot", f"erase the image in {place.name}, {refusal}"):
                    place.area.erase_all()
                done = Swap.REVERT if self._reverts else Swap.NONE
                continue
            if trial:
                trailer = swap.trailer_of(device, place.name)
                if not trailer.state().copy_done:
                    with device.step("boot", f"mark {place.name} as selected"):
                        trailer.write_copy_done()
            return booted
        return loader.nothing(device, done, why)

    def running(self, device: Device) -> Place:
        """The slot that the last boot chose."""
        return Place(device.area(device.running_slot))

    def target(self, device: Device) -> Place:
        """The other slot."""
        return Place(device.area(SLOTS[1 - SLOTS.index(device.running_slot)]))

    def prepare(self, device: Device) -> None:
        """Erase the other slot's trailer; without trailers, its header goes with the first sector written."""
        if self._reverts:
            name = self.target(device).name
            with device.step("erase", f"the trailer of the {name} slot"):
                swap.trailer_of(device, name).erase()

    def request(self, device: Device) -> None:
        """Write the magic of the other slot's trailer; without trailers there is nothing to ask for."""
        if self._reverts:
            swap.ask(device, self.target(device).name, "trial")

    def in_trial(self, device: Device) -> bool:
        """Whether the image that runs was selected and has not confirmed itself."""
        if not self._reverts:
            return False
        state = swap.trailer_of(device, device.running_slot).state()
        return state.magic is Magic.GOOD and not state.image_ok

    def confirm(self, device: Device) -> None:
        """Set image_ok of the image that runs."""
        if self.in_trial(device):
            with device.step("confirm", "image_ok"):
                swap.trailer_of(device, device.running_slot).write_image_ok()

    def _highest(self, device: Device) -> Place | None:
        places = [Place(device.area(slot)) for slot in SLOTS]
        found = [(header_at(place), place) for place in places]
        images = [(header.version, place) for header, place in found if header is not None]
        if not images:
            return None
        return max(images, key=lambda each: each[0])[1]  # the first of equals

    def _select(self, device: Device, place: Place) -> bool:
        """Whether the image there would run on trial; raises `Refused` where it has had its chance."""
        if not self._reverts:
            return False
        state = swap.trailer_of(device, place.name).state()
        if state.magic is not Magic.GOOD:
            raise Refused(Reason.TRUNCATED, f"{place.name}: found no request, expected a complete image")
        if state.copy_done and not state.image_ok:
            raise Refused(Reason.SELF_TEST_FAILED, f"{place.name}: found a trial that was not confirmed")
        return not state.image_ok
