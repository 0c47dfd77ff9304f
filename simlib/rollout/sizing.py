"""How large a canary group must be, and how long it must soak, before the rest of the fleet follows.

The model. A defect of the release makes each device fail with chance p, its prevalence, each by itself. What
p is nobody knows; a prior says how likely each rate is (rate 0: no defect). The canary has n of the fleet's
N devices. A failure that is there is *seen* within the soak t with chance F(t): a share of the failures
shows and is reported at once, the others after a delay that varies (onset and report together). So the
number of failures seen is binomial in n and p F(t), and the gate lets the rollout go on if there are fewer
than `failures` of them:

    P(passes | p) = Σ_{j < failures} C(n, j) (p F)^j (1 − p F)^(n − j),   (1 − p F)^n for one failure.

Harm is the number of devices that fail after the gate let the rollout go on, at its mean p (N − n). The risk
is

    P(harm > tolerated) = Σ over rates p with p (N − n) > tolerated of weight(p) P(passes | p).

It falls as n or t grows, so the least of each is found by bisection. The canary's own failures are not harm
but the price of looking (`Sizing.canary_failures`); a canary of nearly the whole fleet harms nobody after
it, and shows that the budget cannot be kept by a canary. Chances are decimals of fixed precision: the same
on every machine.

What the model leaves out: devices that are not independent, a canary that is unlike the fleet (another
hardware, another habit), and failures that never report and that no deadline counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Final

from simlib.errors import InputError
from simlib.rollout.gates.gate import decimal_of
from simlib.scenario.distributions import LONGEST_MS, Distribution, quantile_table
from simlib.scenario.units import format_share

BETA_POINTS: Final = 4096
"""Equally likely rates that stand for a Beta prior."""
_ARITHMETIC: Final = Context(prec=40)
_CLOSE: Final = Decimal("1e-25")
_BODY, _TAIL = 1024, 1 << 20  # cells of a quantile table, as `simlib.scenario.distributions` has them

Prior = Sequence[tuple[Fraction, Fraction]]
"""Rates of failure and how likely each is; the weights sum to 1."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a canary is sized for. Rates, shares and chances are exact fractions."""

    prior: tuple[tuple[Fraction, Fraction], ...]  # (rate, weight), weights sum to 1
    devices: int  # N, in the fleet
    tolerated: int  # devices that may fail after the canary
    budget: Fraction  # chance that is accepted of more of them failing
    at_once: Fraction = Fraction(1)  # share of the failures that is seen without delay
    delay: Distribution | None = None  # until the others are seen; None: they never are
    failures: int = 1  # seen failures at which the gate halts

    def __post_init__(self) -> None:
        """Raise `InputError` for what is no plan."""
        total = sum((weight for _, weight in self.prior), Fraction(0))
        if total != 1:
            raise InputError(
                f"prior: found weights that sum to {format_share(total)}, expected them to sum to 1"
            )
        for rate, weight in self.prior:
            _check(0 <= rate <= 1, "prior: rate", rate, "0 to 1")
            _check(weight >= 0, "prior: weight", weight, "0 or more")
        _check(0 < self.budget < 1, "budget", self.budget, "above 0 and below 1")
        _check(0 <= self.at_once <= 1, "at_once", self.at_once, "0 to 1")
        for name, least in (("devices", 1), ("tolerated", 0), ("failures", 1)):
            number: int = getattr(self, name)
            if number < least:
                raise InputError(f"{name}: found {number}, expected {least} or more")


@dataclass(frozen=True, slots=True)
class Sizing:
    """A canary that keeps its plan's budget."""

    devices: int  # of the canary group
    soak_ms: int
    seen: Fraction  # share of the failures that is seen within the soak
    risk: Fraction  # chance of more harm than is tolerated
    canary_failures: Fraction  # failures in the canary itself, on average over the prior


def devices_to_see(rate: Fraction, confidence: Fraction) -> int:
    """The least n with 1 − (1 − `rate`)^n ≥ `confidence`: so many devices show one failure or more.

    Exact: where the logarithms are too close to tell, the powers are compared as fractions. Raises
    `InputError` for a rate that is not above 0 and at most 1, and a confidence that is not from 0 to below
    1.
    """
    _check(0 < rate <= 1, "rate", rate, "above 0 and at most 1")
    _check(0 <= confidence < 1, "confidence", confidence, "0 or more and below 1")
    if rate == 1 or not confidence:
        return int(confidence > 0)
    with localcontext(_ARITHMETIC):
        exact = decimal_of(1 - confidence).ln() / decimal_of(1 - rate).ln()
        near = round(exact)
        if abs(exact - near) > _CLOSE:
            return int(exact) + 1
    return near if (1 - rate) ** near <= 1 - confidence else near + 1


def beta_prior(a: float, b: float, points: int = BETA_POINTS) -> tuple[tuple[Fraction, Fraction], ...]:
    """A Beta(a, b) prior as equally likely rates, each the median of its part, to 12 places.

    Chances far below 1 / `points` are not resolved. Raises `InputError` unless a and b are above 0.
    """
    from scipy.special import betaincinv

    if not (0 < a < 1e9 and 0 < b < 1e9):
        raise InputError(f"prior: found Beta({a}, {b}), expected two numbers above 0 and below 1e9")
    ranks = [(k + 0.5) / points for k in range(points)]
    weight = Fraction(1, points)
    return tuple((Fraction(round(Decimal(float(rate)), 12)), weight) for rate in betaincinv(a, b, ranks))


def share_seen(plan: Plan, soak_ms: int) -> Fraction:
    """F(`soak_ms`): the share of the failures that is seen within the soak."""
    if plan.delay is None:
        return plan.at_once
    return plan.at_once + (1 - plan.at_once) * cumulative(plan.delay, soak_ms)


def cumulative(distribution: Distribution, time_ms: int) -> Fraction:
    """The chance that a draw of `distribution` is at most `time_ms`: its quantile table, read backwards."""
    table = quantile_table(distribution)
    at = bisect_right(table, time_ms) - 1  # the last entry that is at most `time_ms`
    if at < 0:
        return Fraction(0)
    if at + 1 == len(table):
        return Fraction(1)
    within = Fraction(time_ms - table[at], table[at + 1] - table[at])
    return _rank(at) + within * (_rank(at + 1) - _rank(at))


def _rank(entry: int) -> Fraction:
    """Which quantile an entry of a table is: k/1024, and from entry 1024 on 1023/1024 + j/2**20."""
    if entry < _BODY:
        return Fraction(entry, _BODY)
    return Fraction(_BODY - 1, _BODY) + Fraction(entry - _BODY, _TAIL)


def risk(plan: Plan, devices: int, soak_ms: int) -> Fraction:
    """P(harm > tolerated) with a canary of `devices` that soaks for `soak_ms`, to 40 digits."""
    return _risk(plan, devices, share_seen(plan, soak_ms))


def _risk(plan: Plan, canary: int, seen: Fraction) -> Fraction:
    after = plan.devices - canary
    with localcontext(_ARITHMETIC):
        total = Decimal(0)
        for rate, weight in plan.prior:
            if weight and rate * after > plan.tolerated:
                total += decimal_of(weight) * _passes(canary, decimal_of(rate * seen), plan.failures)
        return Fraction(total)


def _passes(canary: int, chance: Decimal, failures: int) -> Decimal:
    """P(fewer than `failures` are seen), each of `canary` devices with `chance`."""
    if chance == 1:
        return Decimal(int(canary < failures))
    term = (1 - chance) ** canary
    total = term
    for j in range(1, min(failures, canary + 1)):
        term = term * (canary - j + 1) / j * chance / (1 - chance)
        total += term
    return total


def canary_for(plan: Plan, soak_ms: int) -> Sizing:
    """The smallest canary that keeps the budget with this soak. The whole fleet does: nobody is left."""
    seen = share_seen(plan, soak_ms)
    return _sizing(plan, _least(plan.devices, lambda n: _risk(plan, n, seen) <= plan.budget), soak_ms)


def soak_for(plan: Plan, devices: int, longest_ms: int = LONGEST_MS) -> Sizing | None:
    """The shortest soak with which a canary of `devices` keeps the budget; None if `longest_ms` does not."""

    def keeps(soak_ms: int) -> bool:
        return risk(plan, devices, soak_ms) <= plan.budget

    if not keeps(longest_ms):
        return None
    return _sizing(plan, devices, _least(longest_ms, keeps))


def smallest(plan: Plan, longest_ms: int) -> Sizing:
    """The smallest canary that any soak up to `longest_ms` allows, and the shortest soak it then needs."""
    canary = canary_for(plan, longest_ms).devices
    found = soak_for(plan, canary, longest_ms)
    assert found is not None
    return found


def trade_off(plan: Plan, soaks_ms: Iterable[int]) -> list[Sizing]:
    """The smallest canary for each soak: a longer one sees more of the failures that are slow to show."""
    return [canary_for(plan, soak_ms) for soak_ms in soaks_ms]


def _sizing(plan: Plan, canary: int, soak_ms: int) -> Sizing:
    mean = sum((rate * weight for rate, weight in plan.prior), Fraction(0))
    return Sizing(canary, soak_ms, share_seen(plan, soak_ms), risk(plan, canary, soak_ms), canary * mean)


def _least(high: int, holds: Callable[[int], bool]) -> int:
    """The least whole number from 0 to `high` for which `holds`, which stays true and is true at `high`."""
    low = 0
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _check(holds: bool, what: str, found: Fraction, expected: str) -> None:
    if not holds:
        raise InputError(f"{what}: found {format_share(found)}, expected {expected}")
