"""Which image it is: named by what its publisher signed.

That is the image's SHA-256 record, over header, payload in the clear and protected TLVs. Two good copies that
differ elsewhere, say by another signature or another wrapping of the content key, are the same image to a
boot loader. The record itself proves nothing: it names an image only once a boot loader has found it good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.device.bootloader.check import occupied
from simlib.errors import Reason, Refused
from simlib.firmware.image import TlvType, parse_image

if TYPE_CHECKING:
    from simlib.device.device import Device


def signed_digest(image: bytes) -> str:
    """The digest the image's signature is over, in hex; raises `Refused` where there is none."""
    record = parse_image(image).find(TlvType.SHA256)
    if record is None:
        raise Refused(Reason.HASH_MISSING, "TLV area: found no SHA256 TLV, expected one")
    return record.value.hex()


def running_digest(device: Device) -> str:
    """`signed_digest` of the image in the primary slot, which a boot has found good."""
    return signed_digest(occupied(device, "primary"))
