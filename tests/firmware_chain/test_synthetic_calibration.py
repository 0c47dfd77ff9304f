"""Corpus-like steps against public firmware: the kinds' spread, their weights, and patches of several codecs.

Each kind of step is made equally often and counts with its weight, so that a small sample says as much as a
large one in which kinds are drawn. Tolerances leave a small sample up to twice the distances of a large one
(`benchmarks/synthetic_calibration.py`); the tests at the end change what was fitted and see that the
tolerances notice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from simlib.delta.registry import CODECS
from simlib.firmware.synthetic import KINDS, WEIGHTS, corpus_like_chain, synthetic_chain
from simlib.firmware.synthetic.public import public_ratios

SIZE = 144 << 10
CHAINS, FEW = 11, 5
ALGORITHMS = {
    "bsdiff4": "bsdiff4",
    "hdiffpatch-lzma2": "hdiffpatch_lzma2",
    "zstd-patch-from": "zstd19_patchfrom",
}
"""The measured algorithm of each codec."""
KS, W1 = 0.11, 0.016
KS_OTHER, W1_OTHER = 0.13, 0.02
"""Of the other codecs: scales and weights were fitted to bsdiff4 alone, habits with all in view."""
GAP = 1.8
"""The largest factor between neighbouring ratios."""
SPREAD = 0.45, 2.0
"""How wide a kind is beside the public steps of its rank: the logarithm of p90 over p10, by theirs."""

Chain = Callable[[int, Sequence[int], Sequence[str]], tuple[bytes, ...]]
Ratios = Mapping[str, Sequence[float]]
"""Patch size over image size of each step, by kind."""


@cache
def firmwares(seed: int, make: Chain) -> tuple[tuple[str, bytes, bytes], ...]:
    """A step of each kind, in an order that goes round with the seed."""
    first = seed % len(KINDS)
    steps = (*KINDS, *KINDS)[first : first + len(KINDS)]
    chain = make(seed, [SIZE] * (len(steps) + 1), steps)
    return tuple((kind, *pair) for kind, pair in zip(steps, pairwise(chain), strict=True))


@cache
def ratios(codec: str, make: Chain = corpus_like_chain, chains: int = CHAINS) -> Ratios:
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for seed in range(1, 1 + chains):
        for kind, old, new in firmwares(seed, make):
            found[kind].append(len(CODECS[codec].diff(old, new)) / len(new))
    return found


def distances(codec: str, made: Ratios, weights: Mapping[str, Fraction] = WEIGHTS) -> tuple[float, float]:
    """Kolmogorov-Smirnov, and W1, the mean distance between quantiles."""
    real = np.array(public_ratios(ALGORITHMS[codec]))
    values = np.concatenate([made[kind] for kind in KINDS])
    shares = np.concatenate(
        [np.full(len(made[kind]), float(weights[kind])) / len(made[kind]) for kind in KINDS]
    )
    shares /= shares.sum()
    everywhere = np.concatenate([real, values])
    below_real = (real <= everywhere[:, None]).mean(axis=1)
    below = ((values <= everywhere[:, None]) * shares).sum(axis=1)
    return float(abs(below_real - below).max()), float(wasserstein_distance(real, values, None, shares))


def largest_gap(made: Ratios) -> float:
    """Between the ratios of neighbouring steps from a patch's to a toolchain's."""
    values = np.sort(np.concatenate([made[kind] for kind in KINDS]))
    between = values[(values > 0.015) & (values < 0.5)]
    return float((between[1:] / between[:-1]).max())


def width(values: Sequence[float]) -> float:
    low, high = np.quantile(values, (0.1, 0.9))
    return float(np.log(high / low))


def public_width(kind: str) -> float:
    """Of the public steps that are, by weight, where the kind is among all kinds from the lightest."""
    real = public_ratios("bsdiff4")
    total = sum(WEIGHTS.values())
    before = sum(WEIGHTS[each] for each in list(KINDS)[: list(KINDS).index(kind)])
    start, end = (round(len(real) * share / total) for share in (before, before + WEIGHTS[kind]))
    return width(real[start:end])


@pytest.mark.parametrize("codec", ALGORITHMS)
def test_patches_weigh_what_those_of_public_releases_weigh(codec: str) -> None:
    ks, w1 = distances(codec, ratios(codec))
    assert ks <= (KS if codec == "bsdiff4" else KS_OTHER)
    assert w1 <= (W1 if codec == "bsdiff4" else W1_OTHER)


@pytest.mark.parametrize("kind", list(KINDS)[1:])
def test_a_kind_is_as_wide_as_the_public_steps_of_its_rank(kind: str) -> None:
    least, most = SPREAD
    assert least <= width(ratios("bsdiff4")[kind]) / public_width(kind) <= most


def test_there_are_no_gaps_between_kinds() -> None:
    assert largest_gap(ratios("bsdiff4")) <= GAP


@pytest.mark.parametrize(
    "changed", [{"patch": Fraction(1, 6)}, {"toolchain": Fraction(0)}, {"major": Fraction(2, 5)}]
)
def test_other_weights_are_noticed(changed: Mapping[str, Fraction]) -> None:
    ks, w1 = distances("bsdiff4", ratios("bsdiff4"), {**WEIGHTS, **changed})
    assert ks > KS
    assert w1 > W1


def test_a_narrower_spread_is_noticed() -> None:
    typical = ratios("bsdiff4", synthetic_chain, FEW)
    ks, w1 = distances("bsdiff4", typical)
    assert ks > KS
    assert w1 > W1
    assert largest_gap(typical) > GAP
    for kind in list(KINDS)[1:]:
        assert width(typical[kind]) / public_width(kind) < SPREAD[0]
