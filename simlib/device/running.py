"""Which image it is: named by what its publisher signed.

That is the image's hash record, over header, payload in the clear and protected TLVs. Two good copies that
differ elsewhere, say by another signature or another wrapping of the content key, are the same image to a
boot loader. The record itself proves nothing: it names an image only once a boot loader has found it good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.device.places import Place, occupied
from simlib.errors import Reason, Refused
from simlib.firmware.image import parse_image

if TYPE_CHECKING:
    from simlib.device.device import Device


def signed_digest(image: bytes) -> str:
    """The digest the image's signature is over, in hex; raises `Refused` where there is none."""
    record = parse_image(image).hash_record
    if record is None:
        raise Refused(Reason.HASH_MISSING, "TLV area: found no hash TLV, expected one")
    return record.value.hex()


def running_digest(device: Device) -> str:
    """`signed_digest` of the image that runs, which a boot has found good."""
    return signed_digest(occupied(Place(device.area(device.running_slot))))


def slot_of(device: Device, image: str | None) -> str:
    """Where the image with this signed digest lies, of the slots that an image may run from.

    The primary slot if it lies in both, for it makes no difference, or in none.
    """
    if image is None or not device.layout.runs_from_both:
        return "primary"
    for slot in ("primary", "secondary"):
        try:
            if signed_digest(occupied(Place(device.area(slot)))) == image:
                return slot
        except Refused:
            continue
    return "primary"
