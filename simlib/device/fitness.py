"""Whether an artefact suits a device, told from its manifest before anything is downloaded.

It asks what the device is made of, not the free space of the moment: its layout, its RAM, the largest image
its slots can carry, and where the bytes go as they arrive:

- an image as shipped goes to its slot, or waits in the download partition where the layout has it wait;
- what has a codec goes to the download partition, if it has room there, and is decoded from it;
- where it has none, a codec that streams is decoded while the bytes arrive, straight into the slot. Not if
  the image is an encrypted one: its content key stands behind its payload, and no byte could be enciphered
  for the slot before the last has come. Nor where the boot loader makes the image later.

Battery and link are the fleet's to check; base and version the device's own (`acceptance`).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from simlib.delta import codec_traits
from simlib.device.layouts import get, max_image_bytes
from simlib.device.ram import ram_needed
from simlib.errors import Reason, Refused

if TYPE_CHECKING:
    from simlib.device.config import DeviceConfig
    from simlib.release import Manifest


class Arrival(Enum):
    """Where a blob goes as its bytes arrive."""

    SLOT = auto()  # as it is
    DOWNLOAD = auto()  # stored until it is whole
    STREAM = auto()  # decoded at once, its result to the slot


def check_fit(config: DeviceConfig, manifest: Manifest, *, encrypted: bool) -> None:
    """Raises `Refused` with the reason why a device of this kind cannot take the artefact of `manifest`.

    `encrypted` is for devices with a decryption key, whose trailer is larger.
    """
    check_codec(config, manifest)
    check_memory(config, manifest)
    check_image(config, manifest, encrypted=encrypted)
    arrival(config, manifest)


def has_room(config: DeviceConfig, manifest: Manifest, *, encrypted: bool) -> bool:
    """Whether `check_fit` has no objection."""
    try:
        check_fit(config, manifest, encrypted=encrypted)
    except Refused:
        return False
    return True


def streams(config: DeviceConfig, manifest: Manifest) -> bool:
    """Whether the artefact is decoded as it arrives; False where it is refused."""
    try:
        return arrival(config, manifest) is Arrival.STREAM
    except Refused:
        return False


def check_codec(config: DeviceConfig, manifest: Manifest) -> None:
    """Raises `Refused` NO_ARTEFACT where the layout can do nothing with the codec; or CODEC_UNKNOWN."""
    if manifest.codec is None:
        return
    layout, traits = get(config.layout), codec_traits(manifest.codec)
    if not layout.patches:
        what = "patch" if manifest.kind == "delta" else "compressed image"
        raise Refused(Reason.NO_ARTEFACT, f"artefact: found a {what}, expected a full one")
    if layout.waits and not traits.in_place:
        raise Refused(
            Reason.NO_ARTEFACT,
            f"codec: found {manifest.codec}, expected one whose result can be made over its base",
        )


def check_memory(config: DeviceConfig, manifest: Manifest) -> None:
    """Raises `Refused` MEMORY_SHORT where install or boot takes more RAM than there is."""
    if not config.ram_bytes:
        return
    needed = ram_needed(config, manifest)
    if needed > config.ram_bytes:
        raise Refused(
            Reason.MEMORY_SHORT, f"RAM: found {config.ram_bytes} bytes, expected {needed} for this artefact"
        )


def check_image(config: DeviceConfig, manifest: Manifest, *, encrypted: bool) -> None:
    """Raises `Refused` STORAGE_SHORT where the slots cannot carry the image."""
    limit = max_image_bytes(config, encrypted=encrypted)
    if manifest.image_size > limit:
        raise Refused(Reason.STORAGE_SHORT, f"image: {manifest.image_size} bytes, expected at most {limit}")


def arrival(config: DeviceConfig, manifest: Manifest) -> Arrival:
    """Where the blob goes. Raises `Refused` STORAGE_SHORT where there is no place for it."""
    layout = get(config.layout)
    if manifest.codec is None and not layout.waits:
        return Arrival.SLOT
    room = config.download_size_bytes
    if manifest.blob_size <= room:
        return Arrival.DOWNLOAD
    if manifest.codec is None:
        raise Refused(
            Reason.STORAGE_SHORT, f"image to wait: {manifest.blob_size} bytes, expected at most {room}"
        )
    if layout.waits:
        why = "the boot loader decodes it"
    elif not codec_traits(manifest.codec).streams:
        why = f"{manifest.codec} does not stream"
    elif manifest.wrapped_key is not None:
        why = "the image's key is the last to come"
    else:
        return Arrival.STREAM
    what = "patch" if manifest.kind == "delta" else "compressed image"
    raise Refused(
        Reason.STORAGE_SHORT, f"{what}: {manifest.blob_size} bytes, expected at most {room}, as {why}"
    )
