"""The gate `sprt`: Wald's sequential probability ratio test (Ann. Math. Statist. 16, 1945).

It weighs p1, the rate that must not be overlooked, against p0, the rate that is put up with: x failures and
s successes have the likelihood ratio (p1/p0)^x ((1 − p1)/(1 − p0))^s, and the rollout halts when that
reaches (1 − β)/α, where α is the level and 1 − β the power. For any true rate up to p0 the ratio is a
nonnegative supermartingale, so by Ville's inequality it ever gets there with chance at most α/(1 − β). That
is a little more than α; the ratio jumps past the bound by up to p1/p0, which brings the chance down again:
with p0 = 5 %, α = 5 % and β = 10 % it is 4.4 % for p1 = 10 %, but 5.2 % for p1 = 6 % (over 40,000 devices). A
power of 1 makes the bound 1/α, which always keeps the level.

Wald's test also ends when the ratio falls to β/(1 − α), in favour of p0 (`Sprt.accepts`). A rollout
does not need that end: a group has passed when its success threshold says so, and stays under watch.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Final

from simlib.rollout.gates.gate import ARITHMETIC, Gate, decimal_of

_CLOSE: Final = Decimal("1e-30")
"""Logarithms this close are compared as the whole numbers they come from."""


class Sprt(Gate):
    """Tests p0 = `threshold` against p1 = `bad`, 0 < p0 < p1 < 1, with `level` < `power` ≤ 1."""

    def __init__(self, threshold: Fraction, bad: Fraction, level: Fraction, power: Fraction) -> None:
        self._up, self._down = bad / threshold, (1 - threshold) / (1 - bad)
        self._halt = power / level
        self._accept = (1 - power) / (1 - level)
        with localcontext(ARITHMETIC):
            self._log_up, self._log_down = decimal_of(self._up).ln(), decimal_of(self._down).ln()
            self._log_halt = decimal_of(self._halt).ln()

    def errors_to_halt(self, succeeded: int) -> int:
        """See `Gate`: the least x with x ln(p1/p0) ≥ ln((1 − β)/α) + s ln((1 − p0)/(1 − p1))."""
        with localcontext(ARITHMETIC):
            exact = (self._log_halt + succeeded * self._log_down) / self._log_up
            near = round(exact)
            if abs(exact - near) > _CLOSE:
                return int(exact) + 1
        return near if self._up**near >= self._halt * self._down**succeeded else near + 1

    def accepts(self, succeeded: int, errors: int) -> bool:
        """Whether Wald's test would end here in favour of p0; False for a power of 1."""
        if not self._accept:
            return False
        with localcontext(ARITHMETIC):
            above = errors * self._log_up - succeeded * self._log_down - decimal_of(self._accept).ln()
            if abs(above) > _CLOSE:
                return above < 0
        return self._up**errors <= self._accept * self._down**succeeded
