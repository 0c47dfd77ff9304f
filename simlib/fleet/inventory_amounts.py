"""Sizes, charges and times in an inventory, in whole bytes, millionths and milliseconds.

Numbers are read as decimals and rounded once, ties to even; no float takes part. What most files hold is read
many at once by pyarrow, the rest one by one in Python, to the same numbers.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import numpy as np

from simlib.fleet.inventory_columns import (
    Column,
    Mask,
    Reading,
    as_column,
    as_mask,
    listed,
    the_rest,
    unread,
    with_form,
)
from simlib.fleet.inventory_sheet import UNKNOWN
from simlib.scenario.units import SIZE_UNITS, ExpectedError, size_bytes

FULL_PPM: Final = 1_000_000
LONGEST_DAYS: Final = 36_525
"""A century; a larger number is no count of days."""

_DAY_MS: Final = 86_400_000
_LARGEST: Final = (1 << 63) - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LONGEST_NUMBER: Final = 64
_EXACT: Final = Context(prec=2 * _LONGEST_NUMBER, rounding=ROUND_HALF_EVEN)  # the caller's may be any
_NUMBER: Final = re.compile(
    r"([+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]{1,2})?) *(%?)", re.ASCII
)
_DECIMAL: Final = r"^[0-9]{1,8}(?:\.[0-9]{1,30})?$"  # what pyarrow reads exactly, many at once
_SIZE: Final = re.compile(r"([0-9]{1,15}) *([A-Za-z]+)", re.ASCII)
_SIZE_SCALES: Final = {unit: int(scale) for unit, scale in SIZE_UNITS.items()}

# Timestamps from 1970 to 2199; what lies outside is a placeholder such as 0001-01-01. pyarrow reads the first
# two forms, many at once; the third has the rest of what people write.
_DAY: Final = "(?:19[7-9][0-9]|2[01][0-9]{2})-[0-9]{2}-[0-9]{2}"
_TIME: Final = r"[ T](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_PLAIN: Final = f"^{_DAY}(?:{_TIME})?$"
_ZONED: Final = f"^{_DAY}{_TIME}(?:Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])$"
_STAMP: Final = re.compile(
    r"((?:19[7-9][0-9]|2[01][0-9]{2})(?:-[0-9]{2}-[0-9]{2}|[0-9]{4}))"
    r"(?:[ Tt]((?:[01][0-9]|2[0-3])(?::?[0-5][0-9](?::?[0-5][0-9](?:[.,][0-9]{1,9})?)?)?)"
    r" *([Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)


def sizes(texts: Any) -> Reading:
    """Sizes [byte]: whole numbers, or with a unit as `simlib.scenario.units` has them."""
    import pyarrow as pa

    plain, whole = with_form(texts, "^[0-9]{1,18}$")
    numbers = as_column(whole.cast(pa.int64()))
    for index, text in the_rest(texts, ~plain):
        match = _SIZE.fullmatch(text)
        if match and match[2] in _SIZE_SCALES:
            size = int(match[1]) * _SIZE_SCALES[match[2]]
        else:
            try:
                size = size_bytes(text)
            except ExpectedError:
                continue
        numbers[index] = size if size <= _LARGEST else UNKNOWN
    return Reading(numbers, (unread(numbers, "unreadable-free_storage"),))


def _number(text: str) -> tuple[Decimal, str] | None:
    """The number in `text`, and its percent sign."""
    match = _NUMBER.fullmatch(text) if len(text) <= _LONGEST_NUMBER else None
    return (Decimal(match[1].replace(",", ".")), match[2]) if match else None


def _times(number: Decimal, factor: int) -> int:
    """The product, rounded once to a whole number, ties to even."""
    return int(_EXACT.to_integral_value(_EXACT.multiply(number, factor)))


def _decimals(texts: Any) -> tuple[Mask, Any]:
    """Which texts are plain decimals, and these as pyarrow's, null for the others."""
    import pyarrow as pa

    plain, decimals = with_form(texts, _DECIMAL)
    return plain, decimals.cast(pa.decimal256(38, 30))


def _all_times(decimals: Any, factor: int) -> Column:
    """`_times` of each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    product = pc.multiply(decimals, pa.scalar(Decimal(factor), pa.decimal256(9, 0)))
    return as_column(pc.round(product, ndigits=0, round_mode="half_to_even").cast(pa.int64()))


def charges(texts: Any) -> Reading:
    """Charges [millionths of full]: with a percent sign, or all of a column in percent if one is above 1."""
    import pyarrow.compute as pc

    plain, decimals = _decimals(texts)
    others = [(index, text, _number(text)) for index, text in the_rest(texts, ~plain)]
    above = as_mask(pc.and_(pc.greater(decimals, 1), pc.less_equal(decimals, 100)))
    percent = bool(above.any()) or any(n is not None and not n[1] and 1 < n[0] <= 100 for _, _, n in others)
    full = 100 if percent else 1
    outside = as_mask(pc.greater(decimals, full))
    numbers = _all_times(decimals, FULL_PPM // full)
    numbers[outside] = UNKNOWN
    as_percent = plain & ~outside & percent
    unreadable, commas = (np.zeros(len(texts), dtype=np.bool_) for _ in range(2))
    for index, text, parts in others:
        if parts is None:
            unreadable[index] = True
            continue
        number, sign = parts
        most = 100 if sign else full
        if not 0 <= number <= most:
            outside[index] = True
            continue
        numbers[index] = _times(number, FULL_PPM // most)
        as_percent[index] = percent and not sign
        commas[index] = "," in text
    return Reading(
        numbers,
        (
            ("unreadable-battery", unreadable),
            ("out-of-range-battery", outside),
            ("battery-as-percent", as_percent),
            ("battery-decimal-comma", commas),
        ),
    )


def ages(texts: Any) -> tuple[Reading, int | None]:
    """How long ago [ms], and the time they are counted back from [ms since 1970]; None without timestamps.

    A number is days ago. A timestamp (ISO 8601, in UTC where it names no zone) is counted back from the
    newest of all.
    """
    import pyarrow.compute as pc

    numbers, unzoned = _stamps(texts)
    stamped = numbers != UNKNOWN
    newest = int(numbers[stamped].max()) if stamped.any() else None
    if newest is not None:
        numbers[stamped] = newest - numbers[stamped]
    plain, decimals = _decimals(texts)
    days = as_mask(pc.less_equal(decimals, LONGEST_DAYS)) & ~stamped
    numbers[days] = _all_times(decimals, _DAY_MS)[days]
    for index, text in the_rest(texts, ~plain & ~stamped):
        parts = _number(text) if "," not in text else None
        if parts is not None and not parts[1] and 0 <= parts[0] <= LONGEST_DAYS:
            numbers[index] = _times(parts[0], _DAY_MS)
            days[index] = True
    return Reading(
        numbers,
        (
            unread(numbers, "unreadable-last_seen"),
            ("last_seen-taken-as-utc", unzoned),
            ("last_seen-as-days-ago", days),
        ),
    ), newest


def _stamps(texts: Any) -> tuple[Column, Mask]:
    """Timestamps [ms since 1970], and which name no zone."""
    import pyarrow as pa

    numbers = np.full(len(texts), UNKNOWN, dtype=np.int64)
    unzoned = np.zeros(len(texts), dtype=np.bool_)
    for form, kind in ((_PLAIN, pa.timestamp("us")), (_ZONED, pa.timestamp("us", "UTC"))):
        which, dates = _existing(with_form(texts, form)[1])
        numbers[which] = as_column(dates.cast(kind).cast(pa.int64()))[which] // 1000
        unzoned |= which & (form == _PLAIN)
    numbers[numbers < 0] = UNKNOWN  # in 1970 by its own clock only
    for index, text in the_rest(texts, numbers == UNKNOWN):
        stamp = _stamp(text)
        if stamp is not None:
            numbers[index], unzoned[index] = stamp
    return numbers, unzoned


def _existing(stamps: Any) -> tuple[Mask, Any]:
    """Which have a day that the calendar has, and a null in place of those that do not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    days = pc.utf8_slice_codeunits(stamps, 0, 10).dictionary_encode()
    exists = np.array([_is_day(text) for text in listed(days.dictionary)] + [False], dtype=np.bool_)
    which: Mask = exists[as_column(days.indices)]
    return which, pc.if_else(pa.array(which), stamps, pa.scalar(None, pa.string()))


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _stamp(text: str) -> tuple[int, bool] | None:
    """A timestamp [ms since 1970], and whether it names no zone."""
    match = _STAMP.fullmatch(text)
    if match is None:
        return None
    day, time, zone = match.groups()
    zone = "Z" if zone in ("z", "UTC", "GMT") else zone or ""
    try:
        when = datetime.fromisoformat(f"{day}T{time}{zone}" if time else day)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    number = (when - _EPOCH) // _MILLISECOND
    return (number, not zone) if number >= 0 else None
