"""What each codec would save on a pair of images, and what it asks of a device for it.

The fair rival of a patch is the compressed full image, not the raw one: compared with the raw image a patch
looks about 1.6 times better than it is on typical microcontroller firmware. Which compressed image is the
rival depends on the device: zlib and LZMA as on a computer are given for reference, and the smallest that a
codec of ours makes, which a device can decode.
"""

from __future__ import annotations

import lzma
import zlib
from dataclasses import dataclass, replace

from simlib.delta.codec import DecoderSize
from simlib.delta.envelope import read_envelope
from simlib.delta.patch import apply_patch, create_patch
from simlib.delta.registry import codec_names, codec_ram_bytes, codec_traits
from simlib.errors import Refused

ZLIB_LEVEL = 9
LZMA_PRESET = 9 | lzma.PRESET_EXTREME


@dataclass(frozen=True, slots=True)
class CodecComparison:
    """One codec on one pair of images; sizes in bytes, the patch with its envelope.

    A codec that takes no base has a row like the others: its patch is the new image, compressed.
    """

    codec: str
    patch_bytes: int
    full_raw_bytes: int
    full_zlib_bytes: int
    full_lzma_bytes: int
    full_best_bytes: int  # the smallest patch of a codec that takes no base
    applied: bool  # applying the patch gave the new image, byte for byte
    takes_base: bool
    streams: bool
    in_place: bool
    ram_bytes: int  # of the decoder, on a device that can read base and patch in its flash
    decoder: DecoderSize
    effort_percent: int  # of bsdiff4's for a byte of the result

    @property
    def ratio(self) -> float:
        """The patch as a share of the raw full image; 0 for an empty image."""
        return self.patch_bytes / self.full_raw_bytes if self.full_raw_bytes else 0.0

    @property
    def ratio_lzma(self) -> float:
        """The patch as a share of the full image compressed with LZMA."""
        return self.patch_bytes / self.full_lzma_bytes

    @property
    def ratio_best_full(self) -> float:
        """The patch as a share of the smallest full image that a codec makes; 1 and above saves nothing."""
        return self.patch_bytes / self.full_best_bytes


def compare(old: bytes, new: bytes) -> list[CodecComparison]:
    """A row for each codec, each patch really made and really applied."""
    full_zlib_bytes = len(zlib.compress(new, ZLIB_LEVEL))
    full_lzma_bytes = len(lzma.compress(new, preset=LZMA_PRESET))
    rows = []
    for codec in codec_names():
        patch = create_patch(old, new, codec)
        try:
            applied = apply_patch(old, patch, max_result_bytes=len(new)) == new
        except Refused:
            applied = False
        traits = codec_traits(codec)
        rows.append(
            CodecComparison(
                codec=codec,
                patch_bytes=len(patch),
                full_raw_bytes=len(new),
                full_zlib_bytes=full_zlib_bytes,
                full_lzma_bytes=full_lzma_bytes,
                full_best_bytes=0,
                applied=applied,
                takes_base=traits.takes_base,
                streams=traits.streams,
                in_place=traits.in_place,
                ram_bytes=codec_ram_bytes(codec, read_envelope(patch).patch_size, len(new)),
                decoder=traits.decoder,
                effort_percent=traits.effort_percent,
            )
        )
    best = min(row.patch_bytes for row in rows if not row.takes_base)
    return [replace(row, full_best_bytes=best) for row in rows]
