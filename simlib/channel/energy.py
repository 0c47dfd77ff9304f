"""Power, time and rate to energy, each result a whole number and rounded up once.

Powers are whole nanowatts and times exact microseconds, so nothing is lost before the rounding.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Final

_FJ_PER_PJ: Final = 1_000
_FJ_PER_NJ: Final = 1_000_000


def energy_pj(power_nw: int, time_us: Fraction | int) -> Fraction:
    """The exact energy [pJ] of `power_nw` for `time_us`: 1 nW for 1 us is 1 fJ."""
    return Fraction(power_nw) * time_us / _FJ_PER_PJ


def energy_nj(power_nw: int, time_us: Fraction | int) -> int:
    """The energy [nJ] of `power_nw` for `time_us`, rounded up."""
    return ceil(Fraction(power_nw) * time_us / _FJ_PER_NJ)


def pj_per_byte(power_nw: int, goodput: Fraction) -> int:
    """The energy of each byte [pJ] at `goodput` [byte/s], rounded up: power over rate."""
    return ceil(Fraction(power_nw * 1_000) / goodput)
