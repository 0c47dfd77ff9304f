"""A duration that varies: how a person writes it, and the integer quantile table it is drawn from.

``2 h`` is fixed; ``uniform(1 h, 3 h)`` has its least and most; ``exponential(6 h)`` its mean;
``lognormal(5 min, 0.8)`` its median and the standard deviation of its logarithm; ``pareto(2 d, 1.2)`` its
least and its shape (a share x ** −shape of the draws exceeds x times the least).

A table is 2,049 whole milliseconds, each the quantile rounded to the nearest (ties to even) and capped at ten
years. Entries 0 to 1023 are the quantiles at k/1024; entries 1024 to 2048 divide the last of these cells
again, at 1023/1024 + j/2**20, so that a heavy tail keeps its rare long values. The quantile at 1 may be
infinite; the one at 1 − 2**-22 stands in its place. `simlib.draws.sampled` interpolates between entries.
The quantiles come from `decimal`, whose ``ln``, ``exp`` and ``sqrt`` are correctly rounded by its
specification, or from whole numbers: the same on every platform.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from difflib import get_close_matches
from fractions import Fraction
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final

from simlib.scenario import units

LONGEST_MS: Final = 3_650 * 86_400_000
"""Ten years, the most a distribution may be given or give."""
KINDS: Final = ("fixed", "uniform", "exponential", "lognormal", "pareto")
FORMS: Final = (
    'a duration such as "2 h", or "uniform(1 h, 3 h)", "exponential(6 h)" (its mean), '
    '"lognormal(5 min, 0.8)" (median, sigma) or "pareto(2 d, 1.2)" (least, shape)'
)
SIGMA: Final = (Fraction(0), Fraction(5))
SHAPE: Final = (Fraction(1, 5), Fraction(100))

_CALL: Final = re.compile(r"([A-Za-z]+) *\(([^(),]*)(?:,([^(),]*))?\)")
_NUMBER: Final = re.compile(r"[0-9]{1,32}(?:\.[0-9]{1,31})?|[0-9]{1,64}/[0-9]{1,64}")
_LONGEST_TEXT: Final = 256
# The caller's own context, whatever it is, changes no table.
_ARITHMETIC: Final = Context(prec=34, rounding=ROUND_HALF_EVEN)
_CELLS: Final = 1024  # of the body, and again of the tail
_ENTRIES: Final = 2 * _CELLS + 1  # `simlib.draws.QUANTILES`, which a command that draws nothing does not load
_TAIL: Final = 1 << 20
_LAST: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Distribution:
    """A duration and how it varies; `parse_distribution` makes only those within the limits."""

    kind: str  # one of KINDS
    first_ms: int  # the value, least, mean, median or least
    second: Fraction | None  # nothing, most [ms], nothing, sigma of the logarithm or shape


def parse_distribution(value: object) -> Distribution:
    """The distribution in `value`: a duration (then it is fixed) or one of the forms above.

    Raises `ExpectedError` for another form, a duration above ten years, one below 1 ms where it is a mean,
    a median or the least of a pareto, a least above its most, and a sigma or shape out of its limits.
    """
    call = None
    if isinstance(value, str) and "(" in value:
        call = _CALL.fullmatch(value.strip()) if len(value) <= _LONGEST_TEXT else None
        if call is None:
            raise units.ExpectedError(FORMS)
    if call is None:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise units.ExpectedError(FORMS)
        if isinstance(value, str) and not re.match("[-+0-9]", value.strip()):
            raise units.ExpectedError(FORMS)
        return Distribution("fixed", _duration(value, 0, "a duration"), None)
    kind, first, second = call.groups()
    if kind not in KINDS[1:]:
        near = get_close_matches(kind, KINDS[1:], n=1)
        raise units.ExpectedError(f"{FORMS}{f'; nearest is {near[0]}' if near else ''}")
    if (second is None) != (kind == "exponential"):
        raise units.ExpectedError(FORMS)
    match kind:
        case "exponential":
            return Distribution(kind, _duration(first, 1, "a mean"), None)
        case "uniform":
            least, most = _duration(first, 0, "a least"), _duration(second, 0, "a most")
            if least > most:
                raise units.ExpectedError("uniform(least, most) with the least not above the most")
            return Distribution(kind, least, Fraction(most))
        case "lognormal":
            return Distribution(kind, _duration(first, 1, "a median"), _number(second, "sigma", *SIGMA))
    return Distribution(kind, _duration(first, 1, "a least"), _number(second, "shape", *SHAPE))


def _duration(value: object, least: int, what: str) -> int:
    try:
        duration = units.duration_ms(value)
    except units.ExpectedError as error:
        raise units.ExpectedError(f"{what} of {error}") from None
    if not least <= duration <= LONGEST_MS:
        raise units.ExpectedError(
            f"{what} of {units.format_duration(least)} to {units.format_duration(LONGEST_MS)}"
        )
    return duration


def _number(text: str, name: str, low: Fraction, high: Fraction) -> Fraction:
    complaint = f"a {name} from {_shown(low)} to {_shown(high)}"
    written = text.strip()
    if not _NUMBER.fullmatch(written) or re.search("/0+$", written):
        raise units.ExpectedError(complaint)
    number = Fraction(written)
    if not low <= number <= high:
        raise units.ExpectedError(complaint)
    return number


def format_distribution(distribution: Distribution) -> str:
    """The text of `distribution`; `parse_distribution` gives an equal one back."""
    kind, second = distribution.kind, distribution.second
    first = units.format_duration(distribution.first_ms)
    if kind == "fixed":
        return first
    if second is None:
        return f"{kind}({first})"
    if kind == "uniform":
        return f"{kind}({first}, {units.format_duration(int(second))})"
    return f"{kind}({first}, {_shown(second)})"


def _shown(number: Fraction) -> str:
    return str(number.numerator if number.denominator == 1 else units.format_share(number))


@lru_cache(maxsize=256)
def quantile_table(distribution: Distribution) -> tuple[int, ...]:
    """The 2,049 quantiles of `distribution` [ms], never decreasing, at most ten years."""
    with localcontext(_ARITHMETIC):
        table = tuple(min(_whole(q), LONGEST_MS) for q in _quantiles(distribution))
    assert len(table) == _ENTRIES
    return table


def mean_ms(distribution: Distribution) -> int:
    """The mean of what `simlib.draws.sampled` interpolates [ms], rounded down: exact, cell by cell.

    Below the nominal mean where a heavy tail is cut off, at 1 − 2**-22 or at ten years.
    """
    table = quantile_table(distribution)
    body = sum(a + b for a, b in pairwise(table[:_CELLS]))
    tail = sum(a + b for a, b in pairwise(table[_CELLS:]))
    return (body * _CELLS + tail) // (2 * _TAIL)


def _upper_tails() -> Iterator[Fraction]:
    """1 − q for each entry of a table."""
    yield from (Fraction(_CELLS - k, _CELLS) for k in range(_CELLS))
    yield from (Fraction(_CELLS - j, _TAIL) for j in range(_CELLS))
    yield Fraction(1, _LAST)


def _quantiles(distribution: Distribution) -> Iterator[Fraction | Decimal]:
    first, second = distribution.first_ms, distribution.second
    match distribution.kind, second:
        case "uniform", Fraction():
            yield from (second - (second - first) * tail for tail in _upper_tails())
        case "exponential", None:
            yield from (-logarithm * first for logarithm in _log_tails())
        case "lognormal", Fraction() if second:
            sigma = _decimal(second)
            yield from ((z * sigma).exp() * first for z in _normal_quantiles())
        case "pareto", Fraction():
            shape = _decimal(second)
            yield from ((-logarithm / shape).exp() * first for logarithm in _log_tails())
        case _:
            yield from (Fraction(first) for _ in range(_ENTRIES))


def _whole(quantile: Fraction | Decimal) -> int:
    return round(quantile)  # both kinds round ties to even


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


@cache
def _log_tails() -> tuple[Decimal, ...]:
    """ln(1 − q) for each entry of a table."""
    with localcontext(_ARITHMETIC):
        return tuple(_decimal(tail).ln() for tail in _upper_tails())


@cache
def _normal_quantiles() -> tuple[Decimal, ...]:
    """The standard normal quantile for each entry of a table; the first is minus infinity.

    Each is Halley's method on Φ, begun with the Taylor series at the one before it.
    """
    upper: dict[Fraction, Decimal] = {Fraction(1, 2): Decimal(0)}
    z, previous = Decimal(0), Fraction(1, 2)
    with localcontext(_ARITHMETIC):
        for tail in sorted({t for t in _upper_tails() if t < previous}, reverse=True):
            step = _decimal(previous - tail) / _density(z)
            z += step * (1 + step * (z / 2 + step * (1 + 2 * z * z) / 6))
            z = upper[tail] = _solved(z, _decimal(tail))
            previous = tail
        # Below the median the quantiles mirror those above it: 1 − t is there for every tail t of the body.
        return tuple(
            Decimal("-Infinity") if tail == 1 else upper[tail] if tail in upper else -upper[1 - tail]
            for tail in _upper_tails()
        )


def _solved(z: Decimal, tail: Decimal) -> Decimal:
    """Where Φ = 1 − `tail`, from `z` near it."""
    while True:
        density = _density(z)
        newton = (density * _mills_series(z) - (Decimal("0.5") - tail)) / density
        halley = newton / (1 + z * newton / 2)
        z -= halley
        if abs(halley) < Decimal("1e-9"):  # the error left is of the order of its cube
            return z


def _density(z: Decimal) -> Decimal:
    two_pi = Decimal("6.283185307179586476925286766559005768394")
    return (-z * z / 2).exp() / two_pi.sqrt()


def _mills_series(z: Decimal) -> Decimal:
    """(Φ(z) − 1/2) / φ(z) = z + z³/3 + z⁵/(3·5) + …; Marsaglia, J. Stat. Softw. 11(4), 2004."""
    term = total = z
    square = z * z
    n = 1
    while term > Decimal("1e-32"):
        n += 2
        term = term * square / n
        total += term
    return total
