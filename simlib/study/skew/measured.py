"""Costs by lag out of the public measurements: the mean patch, as a share of the compressed image.

The measurements (`simlib.firmware.measurements`) are of some chains of public firmware, a few of which are
built from one code base for several boards: what comes out says what those projects do, and no more. A pair
that several of them share, with the same sizes and the same patch, is counted once. The means weigh each
pair alike.

Releases are measured 1, 2, 3, 4, 6 and 8 places apart. Between two of these the mean is interpolated; beyond
the last one, what a patch saves is taken to shrink by the same factor for each further release as it does on
average from the first to the last distance: (1 − c(8)) / (1 − c(1)) to the power of 1/7. A longer way is
never taken to be cheaper than a shorter one, nor any to cost more than the whole image.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final

from simlib.errors import InputError
from simlib.firmware.measurements import MeasuredUpdate, delta_pairs
from simlib.scenario.toml_text import shown
from simlib.study.skew.costs import Costs

COMPRESSED: Final = "full_lzma"
_PLACES: Final = 12  # of a mean that is a root, or a mean of many fractions


def distinct_pairs(
    updates: tuple[MeasuredUpdate, ...], algorithm: str, chains: Collection[str] | None = None
) -> tuple[MeasuredUpdate, ...]:
    """The measured patches by `algorithm`, of `chains` or of all, each pair of images once.

    Two chains have a pair in common if sizes, distance and patch are the same. Raises `InputError` for an
    algorithm or a chain that was not measured.
    """
    known = {update.algorithm for update in updates if update.base is not None}
    if algorithm not in known:
        raise InputError(f"algorithm: found {shown(algorithm)}, expected one of {', '.join(sorted(known))}")
    if unknown := sorted(set(chains or ()) - {update.chain for update in updates}):
        raise InputError(f"chains: found {shown(unknown[0])}, expected one that was measured")
    found: dict[tuple[int, int, int, int], MeasuredUpdate] = {}
    for update in updates:
        if update.base is None or update.algorithm != algorithm or update.steps < 1:
            continue
        if chains is None or update.chain in chains:
            same = (update.base_size_bytes, update.target_size_bytes, update.steps, update.update_bytes)
            found.setdefault(same, update)
    return tuple(found.values())


def mean_costs(
    algorithm: str = "bsdiff4",
    compressed: str = COMPRESSED,
    chains: Collection[str] | None = None,
    updates: tuple[MeasuredUpdate, ...] | None = None,
) -> dict[int, Fraction]:
    """By distance in releases, the mean of patch / whole image `compressed` of the same target, as measured.

    Raises `InputError` as `distinct_pairs` does, and for another `compressed`.
    """
    updates = delta_pairs() if updates is None else updates
    wholes = {
        (u.chain, u.target): u.update_bytes for u in updates if u.base is None and u.algorithm == compressed
    }
    if not wholes:
        known = sorted({u.algorithm for u in updates if u.base is None})
        raise InputError(f"compressed: found {shown(compressed)}, expected one of {', '.join(known)}")
    ratios: dict[int, list[Fraction]] = {}
    for pair in distinct_pairs(updates, algorithm, chains):
        whole = wholes[pair.chain, pair.target]
        ratios.setdefault(pair.steps, []).append(Fraction(pair.update_bytes, whole))
    return {k: _plain(sum(ratios[k], Fraction(0)) / len(ratios[k])) for k in sorted(ratios)}


def measured_costs(
    longest: int,
    algorithm: str = "bsdiff4",
    compressed: str = COMPRESSED,
    chains: Collection[str] | None = None,
    *,
    full_above: Fraction = Fraction(1),
    updates: tuple[MeasuredUpdate, ...] | None = None,
) -> Costs:
    """Costs for lags up to `longest` as shares of the compressed image, by the rules of this module.

    Raises `InputError` as `mean_costs` does.
    """
    updates = delta_pairs() if updates is None else updates
    means = mean_costs(algorithm, compressed, chains, updates)
    patches = continued(means, longest)
    raws = [u for u in updates if u.base is None and u.algorithm == compressed]
    if chains is not None:
        raws = [u for u in raws if u.chain in chains]
    ratios = [Fraction(u.target_size_bytes, u.update_bytes) for u in raws]
    raw = _plain(sum(ratios, Fraction(0)) / len(ratios))
    return Costs(patches, Fraction(1), max(raw, Fraction(1)), full_above)


def continued(means: dict[int, Fraction], longest: int) -> tuple[Fraction, ...]:
    """Costs for each lag from 1 to `longest` out of those at some distances, which begin with 1.

    Raises `InputError` where the first is missing.
    """
    if 1 not in means:
        raise InputError("costs: found none for neighbours, expected the distance 1 among them")
    known = sorted(means)
    rising = dict(means)
    for shorter, longer in pairwise(known):
        rising[longer] = max(rising[longer], rising[shorter])
    rising = {k: min(cost, Fraction(1)) for k, cost in rising.items()}
    found = {}
    for shorter, longer in pairwise(known):
        for k in range(shorter, longer):
            part = Fraction(k - shorter, longer - shorter)
            found[k] = rising[shorter] + part * (rising[longer] - rising[shorter])
    last = known[-1]
    found[last] = rising[last]
    factor = _factor(1 - rising[1], 1 - rising[last], last - 1)
    for k in range(last + 1, longest + 1):
        saved = 1 - found[k - 1]
        found[k] = 1 - min(saved, _plain(saved * factor))  # rounding must not make it save more
    return tuple(found[k] for k in range(1, longest + 1))


def _factor(first: Fraction, last: Fraction, steps: int) -> Fraction:
    """By what a saving shrinks a step on average; it stays where it was measured at one distance only."""
    if not steps or not first:
        return Fraction(1)
    return _plain((float(last / first)) ** (1 / steps))


def _plain(value: Fraction | float) -> Fraction:
    """To so many places that no later figure shows it, and fewer than two machines could differ in."""
    number = Decimal(value) if isinstance(value, float) else Decimal(value.numerator) / value.denominator
    return Fraction(round(number, _PLACES))
