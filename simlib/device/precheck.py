"""The storage pre-check: whether an artefact has room on a device, told before anything is downloaded.

It asks the layout, not the free space of the moment: the largest image the slots can carry, the partition
that a patch is kept in, and the RAM. Battery and link are the fleet's to check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.device.layouts import get, max_image_bytes
from simlib.device.ram import has_memory

if TYPE_CHECKING:
    from simlib.device.config import DeviceConfig
    from simlib.release import Manifest


def has_room(config: DeviceConfig, manifest: Manifest, *, encrypted: bool) -> bool:
    """Whether a device of this kind can hold what the artefact of `manifest` brings and makes.

    `encrypted` is for devices with a decryption key, whose trailer is larger. A patch also needs a
    layout that takes one.
    """
    if manifest.image_size > max_image_bytes(config, encrypted=encrypted):
        return False
    if not has_memory(config, manifest):
        return False
    layout = get(config.layout)
    if manifest.kind != "full" and not layout.patches:
        return False
    if manifest.kind == "full" and not layout.waits:
        return True
    return manifest.blob_size <= config.download_size_bytes
