"""How much RAM an install takes, by layout and artefact, beside the device's own firmware; and where RAM is.

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
from simlib.device.layouts import get

if TYPE_CHECKING:
    from simlib.device.config import DeviceConfig
    from simlib.release import Manifest

CONTEXT_BYTES: Final = 2048
"""Stack, and the contexts of hash, signature and cipher."""
RAM_START: Final = 0x2000_0000
RAM_STOP: Final = 0x4000_0000
"""The SRAM region of a Cortex-M (Armv7-M Architecture Reference Manual, B3.1)."""


def ram_needed(config: DeviceConfig, manifest: Manifest) -> int:
    """What the larger of install and boot takes for the artefact of `manifest` [byte]."""
    return max(install_ram(manifest), boot_ram(config, manifest))


def install_ram(manifest: Manifest) -> int:
    """What the updater takes [byte]."""
    ram = CONTEXT_BYTES + LARGEST_WRITE_BYTES
    if manifest.codec is not None:
        ram += codec_ram_bytes(manifest.codec, manifest.blob_size, manifest.image_size)
    return ram


def boot_ram(config: DeviceConfig, manifest: Manifest) -> int:
    """What the boot loader takes, the image included where it runs from RAM [byte]."""
    ram = CONTEXT_BYTES + LARGEST_WRITE_BYTES
    layout = get(config.layout)
    if layout.runs_from_ram:
        ram += manifest.image_size
    if layout.waits and manifest.codec is not None:
        ram += config.sector_size_bytes
        ram += codec_ram_bytes(manifest.codec, manifest.blob_size, manifest.image_size)
    return ram


def wrong_load_address(config: DeviceConfig, address: int, n_bytes: int) -> str | None:
    """Why an image of `n_bytes` cannot be loaded to `address`; None where it can."""
    stop = RAM_START + config.ram_bytes if config.ram_bytes else RAM_STOP
    if RAM_START <= address <= stop - n_bytes:
        return None
    return (
        f"load address: found 0x{address:x} for {n_bytes} bytes, "
        f"expected within 0x{RAM_START:x} to 0x{stop:x}"
    )
