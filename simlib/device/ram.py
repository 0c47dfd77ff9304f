"""How much RAM an install takes, by layout and artefact: what a device must have beside its own firmware's.

The figures are those of the code on a device, not of this model, which holds whole images: buffers that its
work passes through, and the state of what decodes. They are derived, each from its source:

- a buffer of 1,024 bytes to copy flash through (MCUboot's `BUF_SZ`), and 2 KiB of stack and contexts of hash,
  signature and cipher (our assumption, a round figure above MCUboot's own need);
- a patch: what its codec declares (`simlib.delta`);
- an image made in place: one sector of the result;
- `ram-load`: the whole image, for it runs there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simlib.delta import codec_ram_bytes
from simlib.device.flash import LARGEST_WRITE_BYTES

if TYPE_CHECKING:
    from simlib.device.config import DeviceConfig
    from simlib.release import Manifest

CONTEXT_BYTES: Final = 2048
"""Stack, and the contexts of hash, signature and cipher."""


def ram_needed(config: DeviceConfig, manifest: Manifest) -> int:
    """What the larger of install and boot takes for the artefact of `manifest` [byte]."""
    return max(install_ram(config, manifest), boot_ram(config, manifest))


def install_ram(config: DeviceConfig, manifest: Manifest) -> int:
    """What the updater takes [byte]."""
    ram = CONTEXT_BYTES + LARGEST_WRITE_BYTES
    if manifest.codec is not None:
        ram += codec_ram_bytes(manifest.codec, manifest.blob_size, manifest.image_size)
    return ram


def boot_ram(config: DeviceConfig, manifest: Manifest) -> int:
    """What the boot loader takes, the image included where it runs from RAM [byte]."""
    ram = CONTEXT_BYTES + LARGEST_WRITE_BYTES
    if config.layout == "ram-load":
        ram += manifest.image_size
    if config.layout == "in-place-journal" and manifest.codec is not None:
        ram += config.sector_size_bytes
        ram += codec_ram_bytes(manifest.codec, manifest.blob_size, manifest.image_size)
    return ram
