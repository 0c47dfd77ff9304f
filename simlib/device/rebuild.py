"""From a patch to the image it makes, and what that costs, also when the patch is refused.

Charged are the unwrapping of the patch's key, its deciphering and its hash, each byte made, and the hash of
the result. The base was hashed, and that charged, when the manifest was checked; a blob when it was stored.
A compressed image is a patch from nothing.

Leaves to others: storing the patch and writing the image (`updater`), what makes a patch good
(`simlib.release`, `simlib.delta`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from simlib.delta import apply_patch, codec_traits, patch_pieces, read_envelope
from simlib.device.bootloader.check import image_limit, in_the_clear
from simlib.device.flash import LARGEST_WRITE_BYTES
from simlib.device.places import Place, occupied
from simlib.errors import Reason, Refused
from simlib.release import Manifest, unpack_blob

if TYPE_CHECKING:
    from simlib.device.device import Device


def unpacked(device: Device, facts: Manifest) -> bytes:
    """The patch in the download partition, in the clear; raises `Refused` as `unpack_blob` does."""
    blob = device.area("download").read(0, facts.blob_size)
    reason = Reason.NONE
    try:
        return unpack_blob(facts, blob, device.decryption_key)
    except Refused as refusal:
        reason = refusal.reason
        raise
    finally:
        if facts.wrapped_key is not None and device.decryption_key is not None:
            device.meter.unwrap(device.decryption_key.algorithm)
            if reason is not Reason.DECRYPTION_FAILED:
                device.meter.aes_ctr(facts.blob_size, facts.content_key_bytes)


def rebuilt(device: Device, patch: bytes) -> bytes:
    """The image that `patch` makes of the one that runs; raises `Refused` as `apply_patch` does."""
    meter = device.meter
    meter.sha256(len(patch))
    base, effort = base_of(device, patch)
    try:
        image = _patched(base, patch, image_limit(device))
    except Refused as refusal:
        made = _most_bytes_made(patch, refusal.reason)
        meter.patch(made, effort)
        if refusal.reason is Reason.RESULT_MISMATCH:
            meter.sha256(made)
        raise
    meter.patch(len(image), effort)
    meter.sha256(len(image))
    return image


def base_of(device: Device, patch: bytes) -> tuple[bytes, int]:
    """What `patch` starts from on this device, and its codec's effort [percent].

    Raises `Refused` as `read_envelope` does, and where there is no image to start from.
    """
    traits = codec_traits(read_envelope(patch).codec)
    return (running_image(device) if traits.takes_base else b""), traits.effort_percent


def made_while_it_arrives(device: Device, patch: bytes) -> Iterator[bytes]:
    """The image that `patch` makes of the one that runs, in the portions that are written at once.

    Whole portions are given as they are made; what is given before a refusal is worth nothing. Charged as
    `rebuilt` is. Raises `Refused` as `patch_pieces` does.
    """
    meter = device.meter
    base, effort = base_of(device, patch)
    made, waiting = 0, bytearray()
    for piece in patch_pieces(base, patch, max_result_bytes=image_limit(device)):
        waiting += piece
        while len(waiting) >= LARGEST_WRITE_BYTES:
            meter.patch(LARGEST_WRITE_BYTES, effort)
            made += LARGEST_WRITE_BYTES
            yield bytes(waiting[:LARGEST_WRITE_BYTES])
            del waiting[:LARGEST_WRITE_BYTES]
    meter.patch(len(waiting), effort)
    made += len(waiting)
    meter.sha256(len(patch))
    meter.sha256(made)
    if waiting:
        yield bytes(waiting)


def running_image(device: Device) -> bytes:
    """The image that runs, its payload in the clear; raises `Refused` where there is none."""
    return in_the_clear(device, occupied(Place(device.area(device.running_slot))))


def _most_bytes_made(patch: bytes, reason: Reason) -> int:
    """How many bytes a patch refused for `reason` made at most: nothing, unless its codec was begun.

    A codec does not tell where it stopped; it may have been at the last byte.
    """
    envelope = read_envelope(patch)
    payload_is_whole = sha256(patch[envelope.header_size :]).digest() == envelope.patch_sha256
    begun = reason is Reason.RESULT_MISMATCH or (reason is Reason.PATCH_DAMAGED and payload_is_whole)
    return envelope.result_size if begun else 0


@lru_cache(maxsize=8)
def _patched(base: bytes, patch: bytes, max_result_bytes: int) -> bytes:
    """`apply_patch`, remembered: many devices of a bench apply the same patch to the same base."""
    return apply_patch(base, patch, max_result_bytes=max_result_bytes)
