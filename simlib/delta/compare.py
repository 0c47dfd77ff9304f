"""What each codec would save on a pair of images.

The fair rival of a patch is the compressed full image, not the raw one: compared with the raw image a patch
looks about 1.6 times better than it is on typical microcontroller firmware. Both are given.
"""

from __future__ import annotations

import lzma
import zlib
from dataclasses import dataclass

from simlib.delta.patch import apply_patch, create_patch
from simlib.delta.registry import codec_names
from simlib.errors import Refused

ZLIB_LEVEL = 9
LZMA_PRESET = 9 | lzma.PRESET_EXTREME


@dataclass(frozen=True, slots=True)
class CodecComparison:
    """One codec on one pair of images; sizes in bytes, the patch with its envelope."""

    codec: str
    patch_bytes: int
    full_raw_bytes: int
    full_zlib_bytes: int
    full_lzma_bytes: int
    applied: bool  # applying the patch gave the new image, byte for byte

    @property
    def ratio(self) -> float:
        """The patch as a share of the raw full image; 0 for an empty image."""
        return self.patch_bytes / self.full_raw_bytes if self.full_raw_bytes else 0.0

    @property
    def ratio_lzma(self) -> float:
        """The patch as a share of the full image compressed with LZMA."""
        return self.patch_bytes / self.full_lzma_bytes


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
        rows.append(CodecComparison(codec, len(patch), len(new), full_zlib_bytes, full_lzma_bytes, applied))
    return rows
