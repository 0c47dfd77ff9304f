"""How near synthetic histories come to public firmware: patches of several codecs, and compressed images.

    python benchmarks/synthetic_calibration.py [--histories N] [--releases N] [--seed N] [--processes N]

Makes histories (`simlib.firmware.synthetic.synthetic_history`) that begin with 96 to 256 KiB and compares
sizes over the newer image's, with each codec that the public measurements have a counterpart of. For
neighbours it prints quantiles of both, the Kolmogorov-Smirnov distance, and the mean distance between their
quantiles (W1, Wasserstein) of the ratios and of their logarithms; then quartiles across more releases, and of
whole images compressed. Exit status 1 if bsdiff4's Kolmogorov-Smirnov distance is above 0.15.

The public ratios are of few projects, and those of one chain depend on each other: a distance is no test of
significance.
"""

from __future__ import annotations

import argparse
import lzma
import sys
import zlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.stats import ks_2samp, wasserstein_distance

from simlib.delta.registry import CODECS
from simlib.firmware.synthetic import synthetic_history
from simlib.firmware.synthetic.public import public_ratios

PATCHES = {
    "bsdiff4": "bsdiff4",
    "detools-heatshrink": "detools_seq_heatshrink",
    "detools-crle": "detools_seq_crle",
    "detools-lzma": "detools_seq_lzma",
    "hdiffpatch-lzma2": "hdiffpatch_lzma2",
    "zstd-patch-from": "zstd19_patchfrom",
}
"""The measured algorithm of each codec."""
WHOLE = ("full_lzma", "full_zlib9", "full_heatshrink_w11l4")
FIRST_SIZES_KIB = (96, 128, 160, 192, 256)
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
ACROSS = (1, 2, 3, 4, 6, 8)
WORST = 0.15

Ratios = dict[tuple[str, int], list[float]]
"""By measured algorithm and number of steps; 0 steps: whole images."""


def measured(seed: int, releases: int) -> Ratios:
    """All ratios of one history; across more than one step those of bsdiff4 alone."""
    size = FIRST_SIZES_KIB[seed % len(FIRST_SIZES_KIB)] << 10
    firmwares = synthetic_history(seed, releases, size).firmwares
    ratios: Ratios = defaultdict(list)
    for old, new in pairwise(firmwares):
        for name, algorithm in PATCHES.items():
            if name in CODECS:
                ratios[algorithm, 1].append(len(CODECS[name].diff(old, new)) / len(new))
    for steps in ACROSS[1:]:
        for old, new in zip(firmwares, firmwares[steps:], strict=False):
            ratios["bsdiff4", steps].append(len(CODECS["bsdiff4"].diff(old, new)) / len(new))
    for image in firmwares:
        ratios["full_lzma", 0].append(len(lzma.compress(image)) / len(image))
        ratios["full_zlib9", 0].append(len(zlib.compress(image, 9)) / len(image))
        if "full-heatshrink" in CODECS:
            packed = CODECS["full-heatshrink"].diff(b"", image)
            ratios["full_heatshrink_w11l4", 0].append(len(packed) / len(image))
    return ratios


def quantiles(ratios: Sequence[float]) -> str:
    """The quantiles of a column, and the mean."""
    return " ".join(f"{q:6.3f}" for q in (*np.quantile(ratios, QUANTILES), np.mean(ratios)))


def compared(algorithm: str, made: Sequence[float]) -> float:
    """Prints what one algorithm makes of both; returns the Kolmogorov-Smirnov distance."""
    real = public_ratios(algorithm)
    distance = float(ks_2samp(real, made).statistic)
    of_logs = wasserstein_distance(np.log(real), np.log(made))
    print(f"{algorithm:24} public    {len(real):5} {quantiles(real)}")
    print(
        f"{'':24} synthetic {len(made):5} {quantiles(made)}  {distance:.3f}"
        f"  {wasserstein_distance(real, made):.3f}  {of_logs:.3f}"
    )
    return distance


def main() -> int:
    """Makes, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--histories", type=int, default=40)
    parser.add_argument("--releases", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1, help="of the first history")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    ratios: Ratios = defaultdict(list)
    seeds = range(args.seed, args.seed + args.histories)
    with ProcessPoolExecutor(args.processes) as pool:
        for one in pool.map(partial(measured, releases=args.releases), seeds):
            for key, values in one.items():
                ratios[key] += values

    print(f"{'patch / newer image':34} pairs    p10    p25    p50    p75    p90   mean     KS     W1  W1log")
    distances = {a: compared(a, ratios[a, 1]) for a in PATCHES.values() if (a, 1) in ratios}
    print("\np25 p50 p75, public and synthetic: bsdiff4 across more releases, whole images compressed")
    for algorithm, steps in [*(("bsdiff4", k) for k in ACROSS), *((a, 0) for a in WHOLE)]:
        if (algorithm, steps) in ratios:
            both = public_ratios(algorithm, steps), ratios[algorithm, steps]
            columns = ("  ".join(f"{q:.3f}" for q in np.quantile(r, QUANTILES[1:4])) for r in both)
            print(f"{algorithm:24} {steps or '':2} ", "    ".join(columns))
    missing = sorted(set(PATCHES) - set(CODECS))
    if missing:
        print(f"\nnot registered: {', '.join(missing)}")
    return int(distances["bsdiff4"] > WORST)


if __name__ == "__main__":
    sys.exit(main())
