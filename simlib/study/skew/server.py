"""What a server carries and computes for a release, and for a history of releases.

Storage is the bytes of what is published: whole images and patches. The time to build a patch is known in two
ways. `measured_build_ms` takes it, and differs from run to run; nothing that is compared may stand on it.
`build_ms` is a model that gives the same on every machine: so many nanoseconds for a byte of both images, by
codec, as they were measured once. It is meant for plans and for the ratio of one codec to another; a machine
of one's own has rates of its own, which can be given.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Final

import pandas as pd

from simlib.delta import create_patch
from simlib.delta.registry import chosen
from simlib.errors import InputError
from simlib.study.skew.costs import Costs, Kept, is_kept

BUILD_NS_PER_BYTE: Final[Mapping[str, int]] = MappingProxyType(
    {
        "bsdiff4": 290,
        "detools-heatshrink": 430,
        "detools-crle": 650,
        "detools-lzma": 620,
        "detools-in-place-heatshrink": 1190,
        "detools-in-place-crle": 1680,
        "detools-in-place-lzma": 1410,
        "hdiffpatch-lzma2": 180,
        "hpatchlite-tuz": 370,
        "zstd-patch-from": 300,
        "full-heatshrink": 120,
        "full-lzma": 560,
        "full-zstd": 130,
    }
)
"""Processor time to build, for each byte of base and result together [ns].

Measured: the mean over patches to one synthetic firmware of 256 KiB from 1, 2 and 3 releases behind
(toolchain, minor, patch), of each the shorter of two runs of `measured_build_ms`, on one virtual core of a
busy 64-bit server, in 2026. From 64 to 512 KiB the rates of the delta codecs rise, by a factor of 1.4 to 4:
building takes longer than in proportion to the bytes.
"""


def build_ms(
    codec: str, base_bytes: int, result_bytes: int, rates: Mapping[str, int] = BUILD_NS_PER_BYTE
) -> int:
    """What building a patch is planned to take of a processor [ms], rounded up.

    Of a codec that takes no base, `base_bytes` do not count. Raises `InputError` for one that `rates` lack.
    """
    takes_base = chosen(codec).traits.takes_base
    if codec not in rates:
        raise InputError(f"codec: found {codec}, expected one of {', '.join(rates)}, whose rates are known")
    n_bytes = result_bytes + (base_bytes if takes_base else 0)
    return -(-n_bytes * rates[codec] // 1_000_000)


def measured_build_ms(base: bytes, result: bytes, codec: str, repeats: int = 1) -> float:
    """What building the patch does take of a processor here [ms]: the least of so many times."""

    def once() -> int:
        began = time.process_time_ns()
        create_patch(base, result, codec)
        return time.process_time_ns() - began

    return min(once() for _ in range(repeats)) / 1_000_000


def storage(costs: Costs, kept: Kept) -> Fraction:
    """What is published for a release: the raw image, the compressed one if there is one, and patches.

    In the unit of `costs`; patches that are not worth it are not among them.
    """
    wholes = costs.raw + (costs.whole if costs.whole < costs.raw else 0)
    lags = range(1, len(costs.patches) + 1)
    return wholes + sum((costs.patch(k) for k in lags if is_kept(k, kept) and costs.worth_it(k)), Fraction(0))


def history_of_images(
    images: Sequence[bytes],
    kept: int,
    codec: str = "bsdiff4",
    full_codec: str = "full-lzma",
    full_above: Fraction = Fraction(1),
) -> tuple[Costs, ...]:
    """The costs of each of `images`, oldest first, with patches from the last `kept` before it [byte]."""
    found = []
    for number, image in enumerate(images):
        bases = images[max(number - kept, 0) : number]
        patches = tuple(Fraction(len(create_patch(base, image, codec))) for base in reversed(bases))
        raw = Fraction(len(image))
        whole = min(Fraction(len(create_patch(b"", image, full_codec))), raw)
        found.append(Costs(patches, whole, raw, full_above))
    return tuple(found)


def growth(history: Sequence[Costs], kept: int) -> pd.DataFrame:
    """What the server carries as releases are published, a row for each, with patches for the last `kept`.

    `history` are the costs of each release; of a release before which there were n others, patches from n
    bases at most are published. Columns: `release` (from 1), `built` and `published` (patches);
    `newest_only`: storage where all that led to an older release is dropped; `everything`: where nothing is.
    Both are in the unit of the costs. Raises `InputError` for a `kept` below 0.
    """
    if kept < 0:
        raise InputError(f"kept: found {kept}, expected 0 or more")
    rows, everything = [], Fraction(0)
    for before, costs in enumerate(history):
        built = min(kept, before)
        added = storage(costs, built)
        everything += added
        rows.append(
            {
                "release": before + 1,
                "built": built,
                "published": sum(costs.worth_it(k) for k in range(1, built + 1)),
                "newest_only": float(added),
                "everything": float(everything),
            }
        )
    return pd.DataFrame(rows)
