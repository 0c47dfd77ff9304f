"""Whether an image in a slot may be used, and what finding out costs.

An image may be used when it has the shape of one, is no larger than the layout can carry, asks for nothing
this boot loader does not do (another cipher, decompression, a copy to RAM), and its hash, its signature by
a known key and its security counter hold (`simlib.security.verification`). The same rules apply to a
candidate in the secondary slot, whose payload may be encrypted, and to the primary at every boot, whose
payload is in the clear.

A device whose counter still stands at 0 also takes an image without one, as if it were 0.

What the image occupies is taken from its own header and TLVs; what lies behind it in the slot, left over
from a longer image, is never looked at.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from simlib.device import layouts
from simlib.errors import Reason, Refused
from simlib.firmware.header import Flag, Header, parse_header
from simlib.firmware.image import image_size
from simlib.security.verification import VerifiedImage, verify_image

if TYPE_CHECKING:
    from simlib.device.device import Device

UNSUPPORTED: Final = Flag.NON_BOOTABLE | Flag.RAM_LOAD | Flag.ROM_FIXED
"""Flags that ask for what this boot loader does not do, besides those `verify_image` refuses."""
AFTER_THE_SIGNATURE: Final = frozenset(
    {Reason.SIGNATURE_INVALID, Reason.SECURITY_COUNTER_MISSING, Reason.SECURITY_COUNTER_LOW}
)
"""Refusals for which a signature has been computed."""


def image_limit(device: Device) -> int:
    """The largest image this device's boot loader takes [byte]."""
    return layouts.max_image_bytes(device.config, encrypted=device.decryption_key is not None)


def occupied(device: Device, slot: str) -> bytes:
    """The image in this slot, header to TLVs; raises `Refused` where there is none of a usable shape."""
    area = device.area(slot)
    content = area.read(0, area.size)
    return content[: image_size(content)]


def check_candidate(device: Device) -> VerifiedImage:
    """Check the image in the secondary slot; raises `Refused`. Costs are charged as far as it gets."""
    with device.step("check", "secondary") as note:
        try:
            image = occupied(device, "secondary")
            header = _supported(device, image)
            if header.encrypted and device.decryption_key is not None:
                device.meter.ecies_unwrap()
                device.meter.aes_ctr(header.image_size)
            verified = _verify(device, image, in_the_clear=False)
        except Refused as refusal:
            note.detail = f"secondary refused, {refusal}"
            raise
        note.detail = f"secondary holds {verified.version}"
        return verified


def check_primary(device: Device) -> tuple[VerifiedImage, bytes]:
    """Check the image in the primary slot; raises `Refused`. Costs are charged as far as it gets.

    With what is known of it comes the SHA-256 over the whole image as it lies there, which costs nothing:
    it names the image in a journal, the device does not compute it.
    """
    with device.step("check", "primary") as note:
        try:
            image = occupied(device, "primary")
            _supported(device, image)
            verified = _verify(device, image, in_the_clear=True)
        except Refused as refusal:
            note.detail = f"primary refused, {refusal}"
            raise
        note.detail = f"primary holds {verified.version}"
        return verified, hashlib.sha256(image).digest()


def _supported(device: Device, image: bytes) -> Header:
    header = parse_header(image)
    if header.flags & UNSUPPORTED:
        raise Refused(
            Reason.HEADER_INVALID,
            f"flags: found {header.flags & UNSUPPORTED!r}, expected an image that runs in place",
        )
    limit = image_limit(device)
    if len(image) > limit:
        raise Refused(Reason.OVERSIZE, f"image: found {len(image)} bytes, expected at most {limit}")
    return header


def _verify(device: Device, image: bytes, *, in_the_clear: bool) -> VerifiedImage:
    device.meter.sha256(len(image))
    try:
        verified = verify_image(
            image,
            device.verify_keys,
            decrypt_with=None if in_the_clear else device.decryption_key,
            min_security_counter=device.security_counter or None,
            plaintext_payload=in_the_clear,
            erased_value=None,
        )
    except Refused as refusal:
        if refusal.reason in AFTER_THE_SIGNATURE:
            device.meter.verify(device.verify_keys[0].algorithm)
        raise
    device.meter.verify(verified.key.algorithm)
    return verified
