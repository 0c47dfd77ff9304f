"""Maintenance windows of an AWS IoT job: a cron expression that says when they open, and how long they last.

The expression has the six fields of AWS: minutes, hours, day of month, month, day of week and year, in UTC,
and may stand in ``cron(…)``. Fields are ``*``, ``?``, numbers, names of months and weekdays (SUN is 1),
lists, ranges and steps; ``L``, ``W`` and ``#`` are not read. A day has to fit both day fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from simlib.scenario.leaves import DAY, MINUTE
from simlib.scenario.units import ExpectedError

LONGEST_MINUTES: Final = 1_430
_DAYS_AHEAD: Final = 2 * 366
"""A window that does not open for so long does not open while a job can last."""
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LIMITS: Final = (
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 1, 7, _WEEKDAYS),
    ("year", 1970, 2199, ()),
)
_ITEM: Final = re.compile(r"(\*|[0-9A-Z]+)(?:-([0-9A-Z]+))?(?:/([0-9]{1,4}))?")
_EXAMPLE: Final = 'such as "cron(30 2 ? * MON-FRI *)"'


@dataclass(frozen=True, slots=True)
class Window:
    """When it opens, and for how long."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # Sunday is 1
    years: frozenset[int]
    duration_ms: int

    def opens_on(self, day: date) -> bool:
        """Whether it opens at all on `day`."""
        return (
            day.year in self.years
            and day.month in self.months
            and day.day in self.days
            and day.isoweekday() % 7 + 1 in self.weekdays
        )

    def openings(self, day: date, midnight_ms: int) -> Iterator[int]:
        """The times at which it opens on `day`, which begins at `midnight_ms`."""
        if self.opens_on(day):
            for hour in self.hours:
                for minute in self.minutes:
                    yield midnight_ms + (hour * 60 + minute) * MINUTE


def parse_cron(value: object) -> tuple[tuple[int, ...], ...]:
    """The values of each of the six fields. Raises `ExpectedError`."""
    text = value.strip() if isinstance(value, str) else ""
    if text.startswith("cron(") and text.endswith(")"):
        text = text[5:-1]
    fields = text.upper().split()
    if len(text) > 256 or len(fields) != len(_LIMITS):
        raise ExpectedError(f"a cron expression of six fields, {_EXAMPLE}")
    return tuple(_values(field, *limit) for field, limit in zip(fields, _LIMITS, strict=True))


def make_window(fields: tuple[tuple[int, ...], ...], duration_minutes: int) -> Window:
    """The window that `parse_cron` read."""
    minutes, hours, *rest = fields
    days, months, weekdays, years = map(frozenset, rest)
    return Window(minutes, hours, days, months, weekdays, years, duration_minutes * MINUTE)


def _values(field: str, name: str, low: int, high: int, names: Sequence[str]) -> tuple[int, ...]:
    found: set[int] = set()
    for item in ("*" if field == "?" else field).split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ExpectedError(f"{name} from {low} to {high}, {_EXAMPLE}")
        first = low if match[1] == "*" else _number(match[1], name, low, high, names)
        if match[2] is not None:
            last = _number(match[2], name, low, high, names)
        else:
            last = high if match[1] == "*" or match[3] is not None else first
        step = int(match[3] or 1)
        if step == 0 or last < first or (match[1] == "*" and match[2] is not None):
            raise ExpectedError(f"{name} in ascending order with steps of 1 or more, {_EXAMPLE}")
        found.update(range(first, last + 1, step))
    return tuple(sorted(found))


def _number(text: str, name: str, low: int, high: int, names: Sequence[str]) -> int:
    number = names.index(text) + low if text in names else int(text) if text.isdigit() else -1
    if not low <= number <= high:
        raise ExpectedError(f"{name} from {low} to {high}, {_EXAMPLE}")
    return number


def next_minute(windows: Sequence[Window], from_ms: int, epoch_ms: int) -> int | None:
    """The first whole minute at or after `from_ms` that lies in a window; None: none within two years.

    Times are milliseconds since the scenario's start, which is `epoch_ms` after 1970-01-01 00:00 UTC, both
    on whole minutes. Without windows every minute does.
    """
    if not windows:
        return from_ms
    first_day = (from_ms + epoch_ms) // DAY - 1  # a window may have opened the day before
    for number in range(first_day, first_day + _DAYS_AHEAD):
        day = datetime(1970, 1, 1, tzinfo=UTC).date() + timedelta(days=number)
        midnight_ms = number * DAY - epoch_ms
        minutes = [
            max(opens_ms, from_ms)
            for window in windows
            for opens_ms in window.openings(day, midnight_ms)
            if opens_ms + window.duration_ms >= from_ms + MINUTE
        ]
        if minutes:
            return min(minutes)
    return None
