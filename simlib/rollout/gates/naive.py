"""The gate people build first: a significance test, repeated with every report. Kept to be compared with.

Each look asks for the exact binomial tail P(X ≥ x | n, p0) ≤ α, a correct test if there were one look. There
is one for each device, so its false-alarm rate is far above α, and no scenario offers it.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

from simlib.rollout.gates.gate import ARITHMETIC, Walked, decimal_of


class Naive(Walked):
    """Tests p ≤ `threshold`, above 0 and below 1, at `level` again and again from `min_sample` judged."""

    def __init__(self, threshold: Fraction, level: Fraction, min_sample: int) -> None:
        super().__init__()
        self.min_sample = max(min_sample, 1)
        with localcontext(ARITHMETIC):
            self._p, self._q = decimal_of(threshold), decimal_of(1 - threshold)
            self._level = decimal_of(level)
            # The tail at x failures and b − 1 successes is the incomplete beta function I_p(x, b).
            self._tail, self._term = self._p, self._p * self._q  # I_p(1, 1), and p^x q^b / B(x, b)
        self._x, self._b = Decimal(1), Decimal(1)

    def _next_bounds(self, count: int) -> list[int]:
        """I(x + 1, b) = I(x, b) − term/x and I(x, b + 1) = I(x, b) + term/b (DLMF 8.17.20, 8.17.21)."""
        x, b, tail, term = self._x, self._b, self._tail, self._term
        found = []
        with localcontext(ARITHMETIC):
            for _ in range(count):
                while tail > self._level:
                    tail -= term / x
                    term *= self._p * (x + b) / x
                    x += 1
                found.append(int(x))
                tail += term / b
                term *= self._q * (x + b) / b
                b += 1
        self._x, self._b, self._tail, self._term = x, b, tail, term
        return found
