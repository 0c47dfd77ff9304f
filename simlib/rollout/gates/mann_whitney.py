"""The gate `mann-whitney`: failures as at `threshold`, and a metric of the canary against the control's.

Mann and Whitney (Ann. Math. Statist. 18, 1947): U counts the pairs in which the canary's value is the
greater, ties half. One-sided: a canary whose metric (power drawn, say) is greater beyond chance, at
`gate_level`, halts. It is looked at once a group, when that has passed and soaked, so the level holds; over
k groups the chances add up.

Up to `EXACT` values in all, the chance is counted over all ways to part the values, ties as they are. Above,
U is compared with the normal distribution, with the correction for ties and for continuity (Lehmann,
*Nonparametrics*, 1.4): exactly, as (2U − n₁n₂ − 1)² ≥ 4 z² var U in whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb
from typing import Final

import numpy as np

from simlib.rollout.gates.gate import Threshold
from simlib.rollout.gates.normal import upper_quantile

EXACT: Final = 60
"""Values in all up to which every way to part them is counted."""


class MannWhitney(Threshold):
    """The gate at `threshold` and `min_sample` for failures, at `level` for the metric."""

    compares = True

    def __init__(self, threshold: Fraction, level: Fraction, min_sample: int) -> None:
        super().__init__(threshold, min_sample)
        self._level = level

    def worse(self, canary: Sequence[int], control: Sequence[int]) -> bool:
        """See `Gate`; False where one of the two has no value."""
        if not len(canary) or not len(control):
            return False
        if len(canary) + len(control) <= EXACT:
            return exact_p_value(canary, control) <= self._level
        return _beyond(canary, control, upper_quantile(self._level))


def exact_p_value(canary: Sequence[int], control: Sequence[int]) -> Fraction:
    """The chance of a rank sum at least as great as the canary's, were all ways to part the values as likely.

    Sums of twice the midranks are counted with a polynomial whose coefficients lie side by side in a whole
    number: coefficient k of ways[m] is the number of choices of m values with the sum k.
    """
    ranks, _ = _doubled_midranks(canary, control)
    chosen, values = len(canary), len(ranks)
    width = values + 1  # bits: no count exceeds 2**values
    ways = [1] + [0] * chosen
    for number, rank in enumerate(ranks, 1):
        for m in range(min(number, chosen), 0, -1):
            ways[m] += ways[m - 1] << (rank * width)
    total = ways[chosen] >> (sum(ranks[:chosen]) * width)
    mask, count = (1 << width) - 1, 0
    while total:
        count += total & mask
        total >>= width
    return Fraction(count, comb(values, chosen))


def _beyond(canary: Sequence[int], control: Sequence[int], z: Fraction) -> bool:
    ranks, ties = _doubled_midranks(canary, control)
    n, m = len(canary), len(control)
    values = n + m
    distance = sum(ranks[:n]) - n * (n + 1) - n * m - 1  # 2U less twice its mean and the correction
    variance = Fraction(n * m, 12) * (
        values + 1 - Fraction(sum(t**3 - t for t in ties), values * (values - 1))
    )
    return distance > 0 and distance**2 >= 4 * z**2 * variance


def _doubled_midranks(canary: Sequence[int], control: Sequence[int]) -> tuple[list[int], list[int]]:
    """Twice the rank of each value, the canary's first, and how many values share each rank."""
    values = np.concatenate([np.asarray(canary, dtype=np.int64), np.asarray(control, dtype=np.int64)])
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: list[int] = (2 * last - counts + 1)[place].tolist()
    ties: list[int] = counts.tolist()
    return ranks, ties
