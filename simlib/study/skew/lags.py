"""How far behind a fleet is: the share of its devices 1, 2, … releases behind the one that is published.

A lag distribution is a tuple of exact shares that sum to 1; the first is of those one release behind. Devices
that have the release already need nothing, and are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from simlib.errors import InputError
from simlib.scenario.model import ScenarioSpec

Lags = tuple[Fraction, ...]


def geometric(p: Fraction, longest: int) -> Lags:
    """Each release takes along a share `p` of those who have not followed yet: P(k) = p (1 − p)^(k − 1).

    Cut after the `longest` lag; what is beyond it is spread over the others in proportion. Raises
    `InputError` unless 0 < p ≤ 1 and `longest` is 1 or more.
    """
    if not 0 < p <= 1:
        raise InputError(f"p: found {float(p):g}, expected above 0 and at most 1")
    if longest < 1:
        raise InputError(f"longest: found {longest}, expected 1 or more")
    return from_shares([p * (1 - p) ** (k - 1) for k in range(1, longest + 1)])


def from_shares(shares: Sequence[Fraction]) -> Lags:
    """`shares` of those 1, 2, … releases behind, made to sum to 1; only their ratios count.

    Raises `InputError` for one below 0, and where there is none above 0.
    """
    if negative := [share for share in shares if share < 0]:
        raise InputError(f"shares: found {float(negative[0]):g}, expected 0 or more")
    total = sum(shares, Fraction(0))
    if not total:
        raise InputError("shares: found no device behind the release, expected one or more")
    return tuple(Fraction(share) / total for share in shares)


def from_counts(counts: Mapping[int, int], primary: int) -> Lags:
    """The lags of a fleet of which `counts` devices run each firmware, by its index in the chain.

    Those of `primary`, the release's own index, and of newer ones are left out. Raises `InputError` for an
    index or a number below 0, and where nobody is behind.
    """
    for index, count in counts.items():
        if index < 0 or count < 0:
            raise InputError(f"counts: found {count} devices of firmware {index}, expected 0 or more of both")
    behind = {primary - index: count for index, count in counts.items() if index < primary and count}
    return from_shares([Fraction(behind.get(lag, 0)) for lag in range(1, max(behind, default=0) + 1)])


def lags_of(spec: ScenarioSpec) -> Lags:
    """The lags that the cohorts of a scenario say, weighed by their shares. Raises `InputError`."""
    return from_shares(spec.base_shares)
