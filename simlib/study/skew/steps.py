"""A chain of patches, release by release, against one patch from where a device is, and the whole image.

A chain needs one patch for each release and no more. But what changed twice is sent twice, and every release
on the way is an install: with its erases and writes, its reboots, and its chance that the power fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

import pandas as pd

from simlib.delta import create_patch
from simlib.errors import InputError
from simlib.firmware.measurements import MeasuredUpdate, delta_pairs, measured_versions
from simlib.study.skew.measured import distinct_pairs


@dataclass(frozen=True, slots=True)
class Install:
    """What one install takes with its boots, and a byte of the download, on the device in question.

    Such as `simlib.study.payloads.update_costs` finds them. Raises `InputError` for what cannot be.
    """

    uj: int = 0  # of one install
    ms: int = 0
    nj_per_byte: int = 0  # of the radio
    power_cut: Fraction = Fraction(0)  # chance that power fails in one install

    def __post_init__(self) -> None:
        for name in ("uj", "ms", "nj_per_byte"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: found {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.power_cut <= 1:
            raise InputError(f"power_cut: found {float(self.power_cut):g}, expected 0 to 1")


def steps_of_images(
    images: Sequence[bytes],
    codec: str = "bsdiff4",
    full_codec: str = "full-lzma",
    install: Install | None = None,
) -> pd.DataFrame:
    """To the newest of `images`, oldest first, from each older one: three rows a lag, one a way.

    The ways are ``direct``, ``chain`` and ``whole``; the columns `lag`, `way`, `bytes` (patches in their
    envelopes), `times_bytes` (of the direct patch's), `installs`, `ms` and `uj` (installs, and the radio's
    bytes), `cut`: the chance that power fails in any of the installs, 1 − (1 − p)^installs. Every patch is
    made. Raises `InputError` for fewer than two images.
    """
    if len(images) < 2:
        raise InputError(f"images: found {len(images)}, expected 2 or more")
    install = Install() if install is None else install
    newest = images[-1]
    whole = len(create_patch(b"", newest, full_codec))
    rows = []
    chained = 0
    for lag in range(1, len(images)):
        base, following = images[-1 - lag], images[len(images) - lag]
        step = len(create_patch(base, following, codec))
        direct = step if lag == 1 else len(create_patch(base, newest, codec))
        chained += step
        rows += [_row(lag, *way, direct, install) for way in _ways(lag, direct, chained, whole)]
    return pd.DataFrame(rows)


def _ways(lag: int, direct: int, chained: int, whole: int) -> Iterator[tuple[str, int, int]]:
    yield "direct", direct, 1
    yield "chain", chained, lag
    yield "whole", whole, 1


def _row(lag: int, way: str, n_bytes: int, installs: int, direct: int, install: Install) -> dict[str, object]:
    return {
        "lag": lag,
        "way": way,
        "bytes": n_bytes,
        "times_bytes": n_bytes / direct,
        "installs": installs,
        "ms": installs * install.ms,
        "uj": installs * install.uj + -(-n_bytes * install.nj_per_byte // 1_000),
        "cut": float(1 - (1 - install.power_cut) ** installs),
    }


def measured_steps(
    algorithm: str = "bsdiff4", updates: tuple[MeasuredUpdate, ...] | None = None
) -> pd.DataFrame:
    """The same question to the public measurements: how many times the direct patch a chain comes to.

    A row for each distance of 2 and more: `lag`, `pairs`, `installs` of the chain, and `least`, `median` and
    `most` of the bytes of its patches over the direct one's. Pairs are those of `distinct_pairs` of which
    every step was measured. Raises `InputError` for an algorithm that was not.
    """
    updates = delta_pairs() if updates is None else updates
    versions = measured_versions(updates)
    steps = {
        (u.chain, u.target): u.update_bytes for u in updates if u.algorithm == algorithm and u.steps == 1
    }
    times: dict[int, list[Fraction]] = {}
    for pair in distinct_pairs(updates, algorithm):
        chain = versions[pair.chain]
        last = chain.index(pair.target)
        way = [steps.get((pair.chain, each)) for each in chain[last - pair.steps + 1 : last + 1]]
        if pair.steps > 1 and None not in way:
            together = sum(n_bytes for n_bytes in way if n_bytes is not None)
            times.setdefault(pair.steps, []).append(Fraction(together, pair.update_bytes))
    return pd.DataFrame(
        [
            {
                "lag": lag,
                "pairs": len(found),
                "installs": lag,
                "least": float(min(found)),
                "median": float(median(found)),
                "most": float(max(found)),
            }
            for lag, found in sorted(times.items())
        ]
    )
