"""The gate `wilson`: the lower Wilson bound of the failure rate exceeds the threshold.

Wilson's interval (J. Amer. Statist. Assoc. 22, 1927) inverts the score test: with n judged, x of them failed,
and z the normal quantile of the one-sided level, the lower bound exceeds p ⇔ x − np > z √(np(1 − p)).

A test at 5 % may be looked at once. This gate is looked at with every report, and each look is another
chance for a false alarm: over a group of thousands at the threshold itself, it halts several times as often
as its level says, and with no end to the reports it halts for sure (law of the iterated logarithm). `sprt`
and `mixture` are the tests that may be looked at as often as one likes.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from simlib.rollout.gates.gate import Gate
from simlib.rollout.gates.normal import upper_quantile


class Wilson(Gate):
    """Halts when the lower bound at one-sided `level` exceeds `threshold`, from `min_sample` judged."""

    def __init__(self, threshold: Fraction, level: Fraction, min_sample: int) -> None:
        self.min_sample = max(min_sample, 1)
        self._p = threshold
        self._z2 = upper_quantile(level) ** 2

    def errors_to_halt(self, succeeded: int) -> int | None:
        """See `Gate`.

        With p = a/d, u = d − a, z² = k/m and s successes: x halts ⇔ (xu − sa)² m > k (x + s) a u and xu > sa
        ⇔ x > (a(2sm + k) + √(ak(4smd + ka))) / (2um), the larger root.
        """
        a, d = self._p.numerator, self._p.denominator
        k, m = self._z2.numerator, self._z2.denominator
        if a == d:
            return None
        root = isqrt(a * k * (4 * succeeded * m * d + k * a))
        return (a * (2 * succeeded * m + k) + root) // (2 * (d - a) * m) + 1
