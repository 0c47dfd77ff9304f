"""Whether an image in a slot may be used, and what finding out costs.

An image may be used when it has the shape of one, is no larger than the layout can carry, asks for nothing
this boot loader does not do (another cipher, decompression, a copy to RAM), and its hash, its signature by
a known key and its security counter hold (`simlib.security.verification`). The same rules apply to a
candidate in the secondary slot, whose payload may be encrypted, and to the primary at every boot, whose
payload is in the clear. A device with a decryption key also finds the content key of an encrypted image
whole at every boot: it stands outside what is signed, and without it the image could neither be put into
the other slot nor come back from there.

A device whose counter still stands at 0 also takes an image without one, as if it were 0.

What the image occupies is taken from its own header and TLVs; what lies behind it in the slot, left over
from a longer image, is never looked at.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from simlib.device import layouts
from simlib.device.metered_key import metered
from simlib.errors import Reason, Refused
from simlib.firmware.header import HEADER_BYTES, Flag, Header, parse_header
from simlib.firmware.image import image_size, parse_image
from simlib.firmware.tlv import HEADING
from simlib.security.verification import VerifiedImage, verify_image

if TYPE_CHECKING:
    from simlib.device.device import Device
    from simlib.device.partitions import Area

UNSUPPORTED: Final = Flag.NON_BOOTABLE | Flag.RAM_LOAD | Flag.ROM_FIXED
"""Flags that ask for what this boot loader does not do, besides those `verify_image` refuses."""
BY_ITS_RECORDS: Final = frozenset({Reason.HEADER_INVALID, Reason.TLV_UNKNOWN})
"""Refusals of a well-formed image before anything is computed."""


def image_limit(device: Device) -> int:
    """The largest image this device's boot loader takes [byte]."""
    return layouts.max_image_bytes(device.config, encrypted=device.decryption_key is not None)


def occupied(device: Device, slot: str) -> bytes:
    """The image in this slot, header to TLVs; raises `Refused` where there is none of a usable shape."""
    area = device.area(slot)
    return area.read(0, image_size(_outline(area)))


def _outline(area: Area) -> bytes:
    """As many bytes as the area has, with its header and TLVs in place: all that the size depends on.

    The rest is zeros, so that nobody depends on it. Raises `Refused` where there is no header.
    """
    outline = bytearray(area.size)
    outline[:HEADER_BYTES] = area.read(0, HEADER_BYTES)
    header = parse_header(bytes(outline[:HEADER_BYTES]))
    at = header.header_size + header.image_size
    for _ in range(2 if header.protected_size else 1):
        if at + HEADING.size > area.size:
            break
        _, size_bytes = HEADING.unpack(area.read(at, HEADING.size))
        n = min(max(size_bytes, HEADING.size), area.size - at)
        outline[at : at + n] = area.read(at, n)
        at += n
    return bytes(outline)


def check_candidate(device: Device) -> VerifiedImage:
    """Check the image in the secondary slot; raises `Refused`. Costs are charged as far as it gets."""
    with device.step("check", "secondary") as note:
        try:
            image = occupied(device, "secondary")
            verified = _verify(device, image, _supported(device, image), in_the_clear=False)
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
            verified = _verify(device, image, _supported(device, image), in_the_clear=True)
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


def _verify(device: Device, image: bytes, header: Header, *, in_the_clear: bool) -> VerifiedImage:
    parse_image(image)  # its shape, at no cost; what is refused from here on has cost something
    reason = Reason.NONE
    try:
        return verify_image(
            image,
            metered(device.verify_keys, device.meter),
            decrypt_with=device.decryption_key,
            min_security_counter=device.security_counter or None,
            plaintext_payload=in_the_clear,
            erased_value=None,
        )
    except Refused as refusal:
        reason = refusal.reason
        raise
    finally:
        _charge(device, header, len(image), reason, in_the_clear=in_the_clear)


def _charge(device: Device, header: Header, n_bytes: int, reason: Reason, *, in_the_clear: bool) -> None:
    """What `verify_image` did, up to a refusal for `reason`; the keys charge for themselves."""
    if reason in BY_ITS_RECORDS:
        return
    meter = device.meter
    if header.encrypted and device.decryption_key is not None:
        meter.ecies_unwrap()
    if reason is Reason.DECRYPTION_FAILED:
        return
    if header.encrypted and not in_the_clear:
        meter.aes_ctr(header.image_size)
    if reason is not Reason.HASH_MISSING:
        meter.sha256(n_bytes)
