"""How single values of a scenario are read: a function a kind, each saying what it expects.

`simlib.scenario.schema` and `schema_field` give these to pydantic, whose own conversions are never used: a
value is what it says or is refused with the ``expected …`` half of a message.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator
from pydantic_core import PydanticCustomError

from simlib.scenario import units
from simlib.scenario.distributions import Distribution, parse_distribution
from simlib.scenario.json_text import TwiceError, each_once

T = TypeVar("T")

REST: Final = "rest"
"""The share of the last group that takes what the others leave."""
KIB: Final = 1 << 10
MIB: Final = 1 << 20
SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
LONGEST_MS: Final = 3_650 * DAY
"""Ten years; with the limits on devices, sizes and rates it keeps every product of the clocks below 2**62."""
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WINDOW: Final = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")
_TIME_OF_DAY: Final = re.compile(r"([0-9]{2}):([0-9]{2})")
_OFFSET: Final = re.compile(r"([+-])([0-9]{2}):([0-9]{2})")
_MOST_MONEY: Final = 10**12
_LONGEST_US: Final = 10_000_000
_FURTHEST: Final = 14 * HOUR
_MICROS: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(us|ms|s)")


def leaf(read: Callable[[object], T]) -> PlainValidator:
    """A pydantic validator whose complaint is the ``expected …`` half of a message."""

    def validate(value: Any) -> T:
        try:
            return read(value)
        except units.ExpectedError as error:
            raise PydanticCustomError("leaf", "{expected}", {"expected": str(error)}) from None

    return PlainValidator(validate)


def within(read: Callable[[object], int], low: int, high: int, show: Callable[[int], str]) -> PlainValidator:
    """A whole number read by `read`, from `low` to `high`, which `show` writes."""

    def limited(value: object) -> int:
        amount = read(value)
        if not low <= amount <= high:
            raise units.ExpectedError(f"{show(low)} to {show(high)}")
        return amount

    return leaf(limited)


def size(low: int, high: int) -> PlainValidator:
    """A size [byte]."""
    return within(units.size_bytes, low, high, units.format_size)


def duration(low: int, high: int = LONGEST_MS) -> PlainValidator:
    """A duration [ms]."""
    return within(units.duration_ms, low, high, units.format_duration)


def rate(low: int, high: int) -> PlainValidator:
    """A rate [byte/s]."""
    return within(units.rate_bps, low, high, units.format_rate)


def count(low: int, high: int) -> PlainValidator:
    """A whole number."""
    return within(whole_number, low, high, str)


def whole_number(value: object) -> int:
    """An integer that is no boolean. Raises `ExpectedError`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise units.ExpectedError("a whole number")
    return value


def flag(value: object) -> bool:
    """True or false. Raises `ExpectedError`."""
    if not isinstance(value, bool):
        raise units.ExpectedError("true or false")
    return value


def text(value: object) -> str:
    """One line of text. Raises `ExpectedError`."""
    if not isinstance(value, str):
        raise units.ExpectedError("text")
    if len(value) > 4096 or any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in value):
        raise units.ExpectedError("one line of text without control characters")
    return value


def label(value: object) -> str:
    """A name that goes into tables: one short line."""
    name = text(value)
    if not 0 < len(name) <= 64 or name != name.strip():
        raise units.ExpectedError("a name of 1 to 64 characters, without space around it")
    return name


def file_name(value: object) -> str:
    """A name a file can have on every system. Raises `ExpectedError`."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise units.ExpectedError(
            "a name of letters, digits, '.', '_' and '-', at most 64, the first a letter or digit"
        )
    return value


def one_of(value: object, names: Sequence[str]) -> str:
    """`value` if it is one of `names`. Raises `ExpectedError` that names the nearest."""
    if isinstance(value, str) and value in names:
        return value
    near = get_close_matches(value, names, n=1) if isinstance(value, str) else []
    raise units.ExpectedError(f"one of {', '.join(names)}{f'; nearest is {near[0]}' if near else ''}")


def choice(*names: str) -> PlainValidator:
    """One of `names`."""
    return leaf(lambda value: one_of(value, names))


def group_share(value: object) -> Fraction | None:
    """A group's share; None for the rest. Raises `ExpectedError`."""
    if value == REST:
        return None
    try:
        return units.share(value)
    except units.ExpectedError as error:
        raise units.ExpectedError(f'{error}, or "{REST}" in the last group') from None


def charges(value: object) -> tuple[Fraction, Fraction]:
    """Two shares. Raises `ExpectedError`."""
    if not isinstance(value, list) or len(value) != 2:
        raise units.ExpectedError("two shares, the lower first, such as [0.2, 1.0]")
    return units.share(value[0]), units.share(value[1])


def erased_value(value: object) -> int:
    """What erased flash reads as. Raises `ExpectedError`."""
    if whole_number(value) not in (0x00, 0xFF):
        raise units.ExpectedError("255 or 0")
    return whole_number(value)


def write_size(value: object) -> int:
    """MCUboot's write sizes [byte]. Raises `ExpectedError`."""
    if whole_number(value) not in (1, 2, 4, 8, 16, 32):
        raise units.ExpectedError("1, 2, 4, 8, 16 or 32 bytes")
    return whole_number(value)


def window(value: object) -> tuple[int, int] | None:
    """A window of the day [ms after midnight]; None for `""`. Raises `ExpectedError`."""
    if value == "":
        return None
    match = _WINDOW.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        hours, minutes, end_hours, end_minutes = map(int, match.groups())
        start, end = hours * HOUR + minutes * MINUTE, end_hours * HOUR + end_minutes * MINUTE
        if minutes < 60 and end_minutes < 60 and start < DAY and end <= DAY and start != end:
            return start, end
    raise units.ExpectedError('"" or times of day such as "01:00-05:00", not equal')


def format_window(window: tuple[int, int] | None) -> str:
    """The text of `rollout.window`: ``""`` or ``HH:MM-HH:MM``."""
    if window is None:
        return ""
    return "-".join(f"{at // HOUR:02d}:{at % HOUR // MINUTE:02d}" for at in window)


def time_of_day(value: object) -> int:
    """A time of day [ms after midnight]. Raises `ExpectedError`."""
    match = _TIME_OF_DAY.fullmatch(value) if isinstance(value, str) else None
    if match is not None and int(match[1]) < 24 and int(match[2]) < 60:
        return int(match[1]) * HOUR + int(match[2]) * MINUTE
    raise units.ExpectedError('a time of day such as "22:30"')


def format_time_of_day(time_ms: int) -> str:
    """The text `time_of_day` reads."""
    return f"{time_ms // HOUR:02d}:{time_ms % HOUR // MINUTE:02d}"


def utc_offset(value: object) -> int:
    """Local time minus UTC [ms], as ISO 8601 writes it. Raises `ExpectedError`."""
    match = _OFFSET.fullmatch(value) if isinstance(value, str) else None
    if match is not None and int(match[3]) < 60:
        offset = int(match[2]) * HOUR + int(match[3]) * MINUTE
        if offset <= _FURTHEST:
            return -offset if match[1] == "-" else offset
    raise units.ExpectedError('an offset from UTC of at most 14 hours, such as "+05:30"')


def format_utc_offset(offset_ms: int) -> str:
    """The text `utc_offset` reads."""
    return ("-" if offset_ms < 0 else "+") + format_time_of_day(abs(offset_ms))


def micros(value: object) -> int:
    """A short duration [µs]. Raises `ExpectedError`."""
    match = _MICROS.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
    if match is not None:
        amount = Fraction(Decimal(match[1])) * {"us": 1, "ms": 1_000, "s": 1_000_000}[match[2]]
        if amount.denominator == 1 and amount <= _LONGEST_US:
            return int(amount)
    raise units.ExpectedError(
        'a whole number of microseconds, at most 10 s, with a unit (us, ms, s), such as "7.5 ms"'
    )


def format_micros(amount_us: int) -> str:
    """The text `micros` reads."""
    whole, rest = divmod(amount_us, 1_000)
    return f"{amount_us} us" if rest else f"{whole} ms"


def optional(read: Callable[[object], T]) -> Callable[[object], T | None]:
    """`read`, or None for `""`."""

    def read_unless_empty(value: object) -> T | None:
        if value == "":
            return None
        try:
            return read(value)
        except units.ExpectedError as error:
            raise units.ExpectedError(f'{error}, or ""') from None

    return read_unless_empty


def spread(value: object) -> Distribution | None:
    """A duration that varies; None for `""`. Raises `ExpectedError`."""
    return optional(parse_distribution)(value)


def signed_duration(value: object) -> int:
    """A duration [ms] of at most ten years that may be negative. Raises `ExpectedError`."""
    sign, size = 1, value
    if isinstance(value, str) and value.strip().startswith("-"):
        sign, size = -1, value.strip().removeprefix("-")
    elif isinstance(value, int) and not isinstance(value, bool) and value < 0:
        sign, size = -1, -value
    amount = units.duration_ms(size)
    if amount > LONGEST_MS:
        longest = units.format_duration(LONGEST_MS)
        raise units.ExpectedError(f"-{longest} to {longest}")
    return sign * amount


def format_signed_duration(time_ms: int) -> str:
    """The text `signed_duration` reads."""
    return ("-" if time_ms < 0 else "") + units.format_duration(abs(time_ms))


def price(value: object) -> Fraction:
    """An amount of money, exact. Raises `ExpectedError`."""
    amount = None if isinstance(value, str) and "%" in value else units.exact(value)
    if amount is None or not 0 <= amount <= _MOST_MONEY:
        raise units.ExpectedError("an amount of money from 0 to 10**12, such as 12.5")
    return amount


def json_table(value: object) -> str:
    """A JSON object as text on one line, its keys in their order; `""` for none. Raises `ExpectedError`."""
    if value == "":
        return ""
    if isinstance(value, str) and len(value) <= MIB:
        try:
            table = json.loads(value, parse_constant=_no_number, object_pairs_hook=each_once)
        except TwiceError as error:
            raise units.ExpectedError(f"a JSON object with each key once, not {error} twice") from None
        except (ValueError, RecursionError):
            table = None
        if isinstance(table, dict):
            return json.dumps(table, separators=(",", ":"))
    raise units.ExpectedError('"", a JSON object, or the name of a file that ends in .json and holds one')


def _no_number(name: str) -> float:
    raise ValueError(name)


def label_or_none(value: object) -> str:
    """A name, or `""` for none. Raises `ExpectedError`."""
    return "" if value == "" else label(value)


def names(value: object) -> tuple[str, ...]:
    """One name or a list of them. Raises `ExpectedError`."""
    if isinstance(value, str):
        return (label(value),)
    if not isinstance(value, list) or not value:
        raise units.ExpectedError("a name or a list of names")
    return tuple(label(element) for element in value)


def metres(value: object) -> tuple[int, int]:
    """Two distances [m], the shorter first. Raises `ExpectedError`."""
    if not isinstance(value, list) or len(value) != 2:
        raise units.ExpectedError("the least and the greatest distance in metres, such as [1, 30]")
    low, high = whole_number(value[0]), whole_number(value[1])
    if not 0 <= low <= high <= 100_000:
        raise units.ExpectedError("distances from 0 to 100000 m, the shorter first")
    return low, high


Share = Annotated[Fraction, leaf(units.share)]
Label = Annotated[str, leaf(label)]
Flag = Annotated[bool, leaf(flag)]
Texts = dict[str, Annotated[str, leaf(text)]]
Image = Annotated[int, size(1, 64 * MIB)]
Span = Annotated[int, duration(0)]
Period = Annotated[int, duration(1)]
Spread = Annotated[Distribution | None, leaf(spread)]


class Table(BaseModel):
    """A table of the document."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
