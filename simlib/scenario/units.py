"""What a person types for a size, a duration, a rate or a share, as exact integers and fractions.

A quantity is an integer in the base unit (bytes, milliseconds, bytes per second) or text with a unit, the
space optional: ``480 KiB``, ``2h``, ``25 kB/s``. Decimal text is read as decimal, never as binary floating
point, and must come to a whole number of base units. A share is a TOML number, or text such as ``1/3`` or
``2.5 %``, and is read as the exact fraction.

The prefixes are those of SI (kB = 1,000 bytes) and IEC 80000-13 (KiB = 1,024 bytes); ``KB`` could mean
either and is refused. Limits that depend on the key are `simlib.scenario.schema`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from typing import Final, TypeVar

from simlib.errors import InputError
from simlib.scenario.toml_text import shown

T = TypeVar("T")

SIZE_UNITS: Final[Mapping[str, Fraction]] = {
    "B": Fraction(1),
    "kB": Fraction(10**3),
    "MB": Fraction(10**6),
    "GB": Fraction(10**9),
    "KiB": Fraction(1 << 10),
    "MiB": Fraction(1 << 20),
    "GiB": Fraction(1 << 30),
}
DURATION_UNITS: Final[Mapping[str, Fraction]] = {
    "ms": Fraction(1),
    "s": Fraction(1_000),
    "min": Fraction(60_000),
    "h": Fraction(3_600_000),
    "d": Fraction(86_400_000),
}
RATE_UNITS: Final[Mapping[str, Fraction]] = {
    **{f"{unit}/s": scale for unit, scale in SIZE_UNITS.items()},
    "bit/s": Fraction(1, 8),
    "kbit/s": Fraction(10**3, 8),
    "Mbit/s": Fraction(10**6, 8),
}

# What a written quantity is shown in: the largest of these that gives a whole number.
_SIZE_SHOWN: Final = ("MiB", "KiB", "MB", "kB", "B")
_DURATION_SHOWN: Final = ("d", "h", "min", "s", "ms")
_RATE_SHOWN: Final = ("MB/s", "kB/s", "B/s")

_QUANTITY: Final = re.compile(r"([+-]?0x[0-9A-Fa-f]+|[+-]?[0-9]+(?:\.[0-9]+)?) *([A-Za-z/%]*)")
_LONGEST: Final = 64  # characters of a number; also the reach of a decimal exponent
# Long enough for every decimal that is read: `format_share` writes those with many places as a ratio.
_RATIO: Final = re.compile(r"([0-9]{1,160})/([0-9]{1,160})")
_LONGEST_RATIO: Final = 321


class ExpectedError(ValueError):
    """A value is not what its key holds; the text is the ``expected …`` half of a message."""


def _quantity(value: object, units: Mapping[str, Fraction], base: str) -> int:
    """`value` in base units, at least 0. Raises `ExpectedError`."""
    like = f"a whole number of {base} or text with a unit ({', '.join(units)})"
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ExpectedError(f"0 or more {base}")
        return value
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= _LONGEST else None
    if match is None:
        raise ExpectedError(like)
    number, unit = match.groups()
    if unit and unit not in units:
        near = get_close_matches(unit, units, n=1)
        hint = f"; nearest is {near[0]}" if near else ""
        if unit.startswith("KB"):
            hint = "; kB is 1000 bytes, KiB is 1024"
        raise ExpectedError(f"one of the units {', '.join(units)}{hint}")
    amount = Fraction(int(number, 16)) if "0x" in number else Fraction(Decimal(number))
    if not unit and amount.denominator != 1:
        raise ExpectedError(like)
    amount *= units[unit] if unit else 1
    if amount < 0:
        raise ExpectedError(f"0 or more {base}")
    if amount.denominator != 1:
        raise ExpectedError(f"a whole number of {base}")
    return int(amount)


def size_bytes(value: object) -> int:
    """A size [byte]. Raises `ExpectedError`."""
    return _quantity(value, SIZE_UNITS, "bytes")


def duration_ms(value: object) -> int:
    """A duration [ms]. Raises `ExpectedError`."""
    return _quantity(value, DURATION_UNITS, "milliseconds")


def rate_bps(value: object) -> int:
    """A rate [byte/s]. Raises `ExpectedError`."""
    return _quantity(value, RATE_UNITS, "bytes per second")


def share(value: object) -> Fraction:
    """A share or probability, 0 to 1. Raises `ExpectedError`."""
    amount = exact(value)
    if amount is None:
        raise ExpectedError('a share from 0 to 1, such as 0.05, "1/3" or "5 %"')
    if not 0 <= amount <= 1:
        raise ExpectedError("a share from 0 to 1")
    return amount


def exact(value: object) -> Fraction | None:
    """The number in `value`, which may be a ratio or a percentage; None for what is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Fraction):
        return Fraction(value)
    if isinstance(value, Decimal):
        # 1e-1000000 is a short text and a fraction of a million digits.
        in_reach = (
            value.is_finite()
            and len(value.as_tuple().digits) <= _LONGEST
            and abs(value.adjusted()) <= _LONGEST
        )
        return Fraction(value) if in_reach else None
    if not isinstance(value, str) or len(value) > _LONGEST_RATIO:
        return None
    if ratio := _RATIO.fullmatch(value.strip()):
        above, below = map(int, ratio.groups())
        return Fraction(above, below) if below else None
    match = _QUANTITY.fullmatch(value.strip()) if len(value) <= 2 * _LONGEST else None
    if match is None or match[2] not in ("", "%") or "0x" in match[1]:
        return None
    return Fraction(Decimal(match[1])) / (100 if match[2] else 1)


def _located(read: Callable[[object], T], value: object, where: str) -> T:
    try:
        return read(value)
    except ExpectedError as error:
        raise InputError(f"{where}: found {shown(value)}, expected {error}") from None


def parse_size(value: str | int, where: str) -> int:
    """The size `value` [byte]; `where` names the file and key in the `InputError`."""
    return _located(size_bytes, value, where)


def parse_duration(value: str | int, where: str) -> int:
    """The duration `value` [ms]; `where` names the file and key in the `InputError`."""
    return _located(duration_ms, value, where)


def parse_rate(value: str | int, where: str) -> int:
    """The rate `value` [byte/s]; `where` names the file and key in the `InputError`."""
    return _located(rate_bps, value, where)


def parse_share(value: str | int | Decimal | Fraction, where: str) -> Fraction:
    """The share `value`, 0 to 1; `where` names the file and key in the `InputError`."""
    return _located(share, value, where)


def _largest_whole(amount: int, units: Mapping[str, Fraction], order: tuple[str, ...]) -> str:
    for unit in order:
        scaled = amount / units[unit]
        if amount and scaled.denominator == 1:
            return f"{scaled} {unit}"
    return f"{amount} {order[-1]}"


def format_size(size: int) -> str:
    """`size` [byte] with the largest unit that keeps it whole; `parse_size` gives it back."""
    return _largest_whole(size, SIZE_UNITS, _SIZE_SHOWN)


def format_duration(duration: int) -> str:
    """`duration` [ms] with the largest unit that keeps it whole; `parse_duration` gives it back."""
    return _largest_whole(duration, DURATION_UNITS, _DURATION_SHOWN)


def format_rate(rate: int) -> str:
    """`rate` [byte/s] with the largest unit that keeps it whole; `parse_rate` gives it back."""
    return _largest_whole(rate, RATE_UNITS, _RATE_SHOWN)


def format_share(amount: Fraction) -> Decimal | str:
    """`amount` as a decimal where it has one of moderate length, else as text ``a/b``; exact either way."""
    below, places = amount.denominator, 0
    for prime in (2, 5):
        power = 0
        while below % prime == 0:
            below //= prime
            power += 1
        places = max(places, power)
    if below != 1 or places > 20:
        return f"{amount.numerator}/{amount.denominator}"
    scaled = amount.numerator * 10**places // amount.denominator
    whole, rest = divmod(scaled, 10**places)
    return Decimal(f"{whole}.{rest:0{places}d}" if places else f"{whole}.0")
