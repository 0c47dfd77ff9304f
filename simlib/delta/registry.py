"""Every codec by its name."""

from __future__ import annotations

from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from simlib.delta.bsdiff4_codec import Bsdiff4
from simlib.delta.codec import Codec, Traits
from simlib.delta.detools_codec import DETOOLS
from simlib.delta.hdiffpatch_codec import HDiffPatch
from simlib.delta.heatshrink_codec import FullHeatshrink
from simlib.delta.hpatchlite_codec import HPatchLite
from simlib.delta.lzma_codec import FullLzma
from simlib.delta.zstd_codec import FULL as FULL_ZSTD
from simlib.delta.zstd_codec import PATCH_FROM
from simlib.errors import InputError, Reason, Refused

_ALL: Final[tuple[Codec, ...]] = (
    Bsdiff4(),
    *DETOOLS,
    HDiffPatch(),
    HPatchLite(),
    PATCH_FROM,
    FullHeatshrink(),
    FullLzma(),
    FULL_ZSTD,
)
CODECS: Final = MappingProxyType[str, Codec]({codec.name: codec for codec in _ALL})
"""Every codec by its name in an envelope, in the order in which they are compared."""


def codec_names(*, takes_base: bool | None = None) -> tuple[str, ...]:
    """The names of the codecs; with `takes_base` only of those that write differences, or of the others."""
    return tuple(
        name for name, codec in CODECS.items() if takes_base is None or codec.traits.takes_base == takes_base
    )


def chosen(codec: str) -> Codec:
    """The codec that a person named. Raises InputError for a name that is none."""
    if codec not in CODECS:
        near = get_close_matches(codec, CODECS, n=1, cutoff=0)
        raise InputError(f"codec: found {codec!r}, expected one of {', '.join(CODECS)} (nearest: {near[0]})")
    return CODECS[codec]


def named(codec: str, where: str = "codec") -> Codec:
    """The codec that a manifest or a patch names. Raises Refused CODEC_UNKNOWN for one that is none."""
    if codec not in CODECS:
        raise Refused(Reason.CODEC_UNKNOWN, f"{where}: found {codec!r}, expected one of {', '.join(CODECS)}")
    return CODECS[codec]


def codec_traits(codec: str) -> Traits:
    """What a codec can do on a device. Raises Refused CODEC_UNKNOWN: `codec` is what a manifest says."""
    return named(codec).traits


def codec_ram_bytes(codec: str, payload_size_bytes: int, result_size_bytes: int) -> int:
    """What decoding takes on a device [byte]. Raises Refused CODEC_UNKNOWN."""
    return named(codec).ram_bytes(payload_size_bytes, result_size_bytes)
