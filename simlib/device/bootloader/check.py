"""Whether an image in a slot may be used, and what finding out costs.

An image may be used when it has the shape of one, is no larger than the layout can carry, asks for nothing
this boot loader does not do (another cipher, decompression), lies or is loaded where it says it runs, and its
hash, its signature by a known key and its security counter hold (`simlib.security.verification`). The same
rules apply to a candidate, whose payload may be encrypted, and to the image that is to run at every boot,
whose payload is in the clear. A device with a decryption key also finds the content key of an encrypted
image whole at every boot: it stands outside what is signed, and without it the image could neither be put
into the other slot nor come back from there.

A device whose counter still stands at 0 also takes an image without one, as if it were 0.

A key that the device has revoked signs no candidate, though an image by it that runs goes on running. An
image for another vendor or class of devices is not this device's. Dependencies on other images are for a
device that has several (`several`); with one image there is nothing they could be met by, and they are
refused.

An image that names an address (flag ROM_FIXED) must run at it, whatever slot it waits in. One that is to be
copied to RAM (RAM_LOAD) is for a boot loader that does so, which takes no other, and must fit in the RAM from
its load address on.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from simlib.device import layouts
from simlib.device.metered_key import metered
from simlib.device.payload_cipher import turned
from simlib.device.places import Place, occupied
from simlib.device.ram import wrong_load_address
from simlib.errors import Reason, Refused
from simlib.firmware.header import Flag, Header, parse_header
from simlib.firmware.image import ParsedImage, parse_image
from simlib.security.hashes import Hash
from simlib.security.keyring import KeyRing
from simlib.security.verification import VerifiedImage, verify_image

if TYPE_CHECKING:
    from simlib.device.device import Device

BY_ITS_RECORDS: Final = frozenset({Reason.HEADER_INVALID, Reason.TLV_UNKNOWN})
"""Refusals of a well-formed image before anything is computed."""


def image_limit(device: Device) -> int:
    """The largest image this device's boot loader takes [byte]."""
    return layouts.max_image_bytes(device.config, encrypted=device.decryption_key is not None)


def check_candidate(device: Device, place: Place) -> VerifiedImage:
    """Check the image there, which may be encrypted; raises `Refused`.

    Costs are charged as far as it gets.
    """
    with device.step("check", place.name) as note:
        try:
            image = occupied(place)
            verified = check_bytes(device, image, place, in_the_clear=False)
        except Refused as refusal:
            note.detail = f"{place.name} refused, {refusal}"
            raise
        note.detail = f"{place.name} holds {verified.version}"
        return verified


def check_running(device: Device, place: Place) -> tuple[VerifiedImage, bytes]:
    """Check the image there, which is to run; raises `Refused`. Costs are charged as far as it gets.

    With what is known of it comes the SHA-256 over the whole image, its payload in the clear, which costs
    nothing: it names the image in a journal, the device does not compute it.
    """
    with device.step("check", place.name) as note:
        try:
            image = occupied(place)
            encrypted = keeps_encrypted(device)
            verified = check_bytes(device, image, place, in_the_clear=not encrypted, runs=True)
        except Refused as refusal:
            note.detail = f"{place.name} refused, {refusal}"
            raise
        note.detail = f"{place.name} holds {verified.version}"
        return verified, hashlib.sha256(in_the_clear(device, image)).digest()


def check_bytes(
    device: Device, image: bytes, place: Place, *, in_the_clear: bool, runs: bool = False
) -> VerifiedImage:
    """Check an image that lies at `place` or is to be put there; raises `Refused`. Costs are charged.

    `runs`: it is the one to run, which no revocation takes from the device.
    """
    header = parse_header(image)
    if header.flags & Flag.NON_BOOTABLE:
        raise Refused(Reason.HEADER_INVALID, "flags: found NON_BOOTABLE, expected an image that runs")
    if header.encrypted and not device.layout.encrypts:
        raise Refused(
            Reason.HEADER_INVALID, "flags: found an encrypted image, expected one that runs in place"
        )
    limit = image_limit(device)
    if len(image) > limit:
        raise Refused(Reason.OVERSIZE, f"image: found {len(image)} bytes, expected at most {limit}")
    _check_address(device, header, len(image), place)
    return _verify(device, image, in_the_clear=in_the_clear, runs=runs)


def keeps_encrypted(device: Device) -> bool:
    """Whether an image lies as shipped in the slot that it runs from: what runs is a copy in RAM."""
    return device.layout.runs_from_ram and device.decryption_key is not None


def in_the_clear(device: Device, image: bytes) -> bytes:
    """The image that lies in the slot it runs from, its payload in the clear, at no cost."""
    return turned(image, device.decryption_key) if keeps_encrypted(device) else image


def _check_address(device: Device, header: Header, n_bytes: int, place: Place) -> None:
    loads, address = device.layout.runs_from_ram, header.load_address
    if bool(header.flags & Flag.RAM_LOAD) is not loads:
        expected = "RAM_LOAD, for images run from RAM" if loads else "an image that runs in place"
        raise Refused(Reason.HEADER_INVALID, f"flags: found {header.flags!r}, expected {expected}")
    if loads:
        if (wrong := wrong_load_address(device.config, address, n_bytes)) is not None:
            raise Refused(Reason.LOAD_ADDRESS_WRONG, wrong)
    elif header.flags & Flag.ROM_FIXED:
        will_run = place if device.layout.runs_from_both else Place(device.area("primary"))
        if address != will_run.address:
            raise Refused(
                Reason.LOAD_ADDRESS_WRONG,
                f"address: found 0x{address:x}, expected 0x{will_run.address:x}, where {will_run.name} is",
            )


def _verify(device: Device, image: bytes, *, in_the_clear: bool, runs: bool) -> VerifiedImage:
    parsed = parse_image(image)  # its shape, at no cost; what is refused from here on has cost something
    reason = Reason.NONE
    try:
        return verify_image(
            image,
            KeyRing(metered(device.verify_keys, device.meter), frozenset() if runs else device.revoked),
            decrypt_with=device.decryption_key,
            min_security_counter=device.security_counter or None,
            plaintext_payload=in_the_clear,
            erased_value=None,
            vendor_id=device.vendor_id,
            class_id=device.class_id,
            evaluates=device.evaluates,
        )
    except Refused as refusal:
        reason = refusal.reason
        raise
    finally:
        _charge(device, parsed, reason, in_the_clear=in_the_clear)


def _charge(device: Device, parsed: ParsedImage, reason: Reason, *, in_the_clear: bool) -> None:
    """What `verify_image` did, up to a refusal for `reason`; the keys charge for themselves."""
    if reason in BY_ITS_RECORDS:
        return
    meter, header, record = device.meter, parsed.header, parsed.hash_record
    if header.encrypted and device.decryption_key is not None:
        meter.unwrap(device.decryption_key.algorithm)
    if reason is Reason.DECRYPTION_FAILED:
        return
    if header.encrypted and not in_the_clear:
        meter.aes_ctr(header.image_size, header.content_key_bytes)
    if reason is not Reason.HASH_MISSING and record is not None:
        meter.hash(Hash.of(record.type), parsed.size)
