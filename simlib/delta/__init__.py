"""Patches between firmware images: an envelope that names base and result, and the codecs inside it."""

from simlib.delta.compare import CodecComparison, compare
from simlib.delta.envelope import MAX_ENVELOPE_BYTES, Envelope, read_envelope
from simlib.delta.patch import apply_patch, codec_names, create_patch, default_result_limit

__all__ = [
    "MAX_ENVELOPE_BYTES",
    "CodecComparison",
    "Envelope",
    "apply_patch",
    "codec_names",
    "compare",
    "create_patch",
    "default_result_limit",
    "read_envelope",
]
