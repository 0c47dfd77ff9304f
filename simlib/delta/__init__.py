"""Patches between firmware images: an envelope that names base and result, and the codecs inside it."""

from simlib.delta.codec import Recipe, Traits
from simlib.delta.compare import CodecComparison, compare
from simlib.delta.envelope import MAX_ENVELOPE_BYTES, Envelope, read_envelope
from simlib.delta.patch import (
    apply_patch,
    create_patch,
    default_result_limit,
    patch_pieces,
    patch_recipe,
)
from simlib.delta.registry import codec_names, codec_ram_bytes, codec_traits

__all__ = [
    "MAX_ENVELOPE_BYTES",
    "CodecComparison",
    "Envelope",
    "Recipe",
    "Traits",
    "apply_patch",
    "codec_names",
    "codec_ram_bytes",
    "codec_traits",
    "compare",
    "create_patch",
    "default_result_limit",
    "patch_pieces",
    "patch_recipe",
    "read_envelope",
]
