"""The quantile of the normal distribution that a one-sided test compares with, the same on every machine."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Final

from simlib.rollout.gates.gate import decimal_of

_ARITHMETIC: Final = Context(prec=70)
_TWO_PI: Final = Decimal("6.283185307179586476925286766559005768394338798750211641949889184615633")
_DIGITS: Final = 20


@lru_cache(maxsize=256)
def upper_quantile(level: Fraction) -> Fraction:
    """z with 1 − Φ(z) = `level`, to 20 places; `level` is above 10**-20 and below 1/2.

    Newton's method from 0: the upper tail is convex there, so every step stays below the answer.
    """
    with localcontext(_ARITHMETIC):
        wanted, z, step = decimal_of(level), Decimal(0), Decimal(1)
        while step > Decimal("1e-25"):
            density = (-z * z / 2).exp() / _TWO_PI.sqrt()
            step = (Decimal("0.5") - density * _series(z) - wanted) / density
            z += step
        return Fraction(round(z, _DIGITS))


def _series(z: Decimal) -> Decimal:
    """(Φ(z) − 1/2) / φ(z) = z + z³/3 + z⁵/(3·5) + …; Marsaglia, J. Stat. Softw. 11(4), 2004."""
    term = total = z
    n = 1
    while term > Decimal("1e-60"):
        n += 2
        term = term * z * z / n
        total += term
    return total
