"""The gate `mixture`: a test that stays valid however often it is looked at.

The likelihood ratio of `sprt` needs to know the rate p1. Averaged over many rates θ instead (Robbins, Ann.
Math. Statist. 41, 1970; Lindon and Malek, "Anytime-valid inference for multinomial count data", 2022) it
becomes

    M(x, s) = ∫ (θ/p0)^x ((1 − θ)/(1 − p0))^s π(dθ)

for x failures and s successes, and the rollout halts when M reaches 1/α. π is a Beta(1, b) *conditioned on θ
> p0*, with b = (1 − p1)/(p1 − p0), so that its mean is p1, `gate_bad`: rates just above p0 count most, and
none is left out.

Why the level holds for every true rate p ≤ p0, not only for p0: for a fixed θ > p0 one more device
multiplies the ratio by pθ/p0 + (1 − p)(1 − θ)/(1 − p0) on average, which is 1 at p = p0 and grows with p,
hence at most 1. So each ratio, and their average M, is a nonnegative supermartingale that starts at 1, and
ever reaches 1/α with chance at most α (Ville's inequality). An unconditioned Beta would put weight on θ <
p0, under which a release that is *better* than p0 would halt.

What it takes for granted is that verdicts come in no telling order. Where failures report sooner than
successes do, the first verdicts of a group look worse than the group is.

M needs no integral. With A = 1 + x, B = b + s and C = p0 b, from M(0, 0) = 1 (integration by parts):

    M(x + 1, s) = (A M + C) / ((A + B) p0)        M(x, s + 1) = (B M − C) / ((A + B) (1 − p0))
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

from simlib.rollout.gates.gate import ARITHMETIC, Walked, decimal_of


class Mixture(Walked):
    """Tests p ≤ `threshold` at `level`, planned for `bad`: 0 < threshold < bad < 1."""

    def __init__(self, threshold: Fraction, bad: Fraction, level: Fraction) -> None:
        super().__init__()
        with localcontext(ARITHMETIC):
            self._p, self._q = decimal_of(threshold), decimal_of(1 - threshold)
            self._least = decimal_of(1 / level)
            self._a, self._b = Decimal(1), decimal_of((1 - bad) / (bad - threshold))
            self._c = self._p * self._b
        self._m = Decimal(1)
        self._errors = 0

    def _next_bounds(self, count: int) -> list[int]:
        """Along the bound: failures until M reaches 1/α, then one success more."""
        a, b, m, errors = self._a, self._b, self._m, self._errors
        found = []
        with localcontext(ARITHMETIC):
            for _ in range(count):
                while m < self._least:
                    m = (a * m + self._c) / ((a + b) * self._p)
                    a, errors = a + 1, errors + 1
                found.append(errors)
                m = (b * m - self._c) / ((a + b) * self._q)
                b += 1
        self._a, self._b, self._m, self._errors = a, b, m, errors
        return found
