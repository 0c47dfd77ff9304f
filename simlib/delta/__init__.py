"""Patches between firmware images: an envelope that names base and result, and the codecs inside it."""

from simlib.delta.codec import Recipe
from simlib.delta.compare import CodecComparison, compare
from simlib.delta.envelope import MAX_ENVELOPE_BYTES, Envelope, read_envelope
from simlib.delta.patch import (
    apply_patch,
    codec_names,
    codec_ram_bytes,
    create_patch,
    default_result_limit,
    patch_recipe,
)

__all__ = [
    "MAX_ENVELOPE_BYTES",
    "CodecComparison",
    "Envelope",
    "Recipe",
    "apply_patch",
    "codec_names",
    "codec_ram_bytes",
    "compare",
    "create_patch",
    "default_result_limit",
    "patch_recipe",
    "read_envelope",
]
