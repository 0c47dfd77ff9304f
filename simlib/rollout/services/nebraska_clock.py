"""Time as a Nebraska group's configuration has it: PostgreSQL's intervals, and office hours.

Office hours (flatcar/nebraska, backend/pkg/api/updates.go): Monday to Friday, 9 <= hour < 17 in the
group's zone; an empty or unknown zone counts as outside.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from simlib.rollout.services.calendar import EPOCH, MS
from simlib.scenario import leaves, units

_FIRST_HOUR: Final = 9
_LAST_HOUR: Final = 17
_WORKING_DAYS: Final = 5
_INTERVAL: Final = re.compile(r"([0-9]{1,9}) +(second|minute|hour|day|week)s?")
_UNITS_MS: Final = {
    "second": leaves.SECOND,
    "minute": leaves.MINUTE,
    "hour": leaves.HOUR,
    "day": leaves.DAY,
    "week": 7 * leaves.DAY,
}


def interval(value: object) -> int:
    """An interval as PostgreSQL reads it and Nebraska writes it [ms]. Raises `ExpectedError`."""
    match = _INTERVAL.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= 64 else None
    if match is not None:
        length_ms = int(match[1]) * _UNITS_MS[match[2]]
        if length_ms <= leaves.LONGEST_MS:
            return length_ms
    raise units.ExpectedError('a whole number of minutes, hours or days, up to ten years: "15 minutes"')


def zone(value: object) -> tzinfo | None:
    """A time zone by its IANA name or its fixed offset from UTC; None for a name that is none."""
    if not isinstance(value, str) or not value:
        return None
    try:
        return timezone(timedelta(milliseconds=leaves.utc_offset(value)))
    except units.ExpectedError:
        pass
    try:
        return ZoneInfo(value)
    except (OSError, ValueError, KeyError):  # no such zone, or no name that a file could have
        return None


class OfficeHours:
    """Whether a time of a run is inside the office hours of a zone; a run starts at `start_ms` since 1970."""

    def __init__(self, place: tzinfo | None, start_ms: int) -> None:
        self._place = place
        self._start = EPOCH + start_ms * MS

    def inside(self, time_ms: int) -> bool:
        """Whether `time_ms` since the run's start is inside."""
        if self._place is None:
            return False
        local = (self._start + time_ms * MS).astimezone(self._place)
        return local.weekday() < _WORKING_DAYS and _FIRST_HOUR <= local.hour < _LAST_HOUR

    def next_edge(self, time_ms: int) -> int | None:
        """The first time [ms since the start] after `time_ms` at which `inside` differs; None: never."""
        if self._place is None:
            return None
        now = self.inside(time_ms)
        local = (self._start + time_ms * MS).astimezone(self._place)
        for days in range(9):
            day = local.date() + timedelta(days=days)
            for hour in (_FIRST_HOUR, _LAST_HOUR):
                edge = datetime(day.year, day.month, day.day, hour, tzinfo=self._place).astimezone(UTC)
                edge_ms = -((self._start - edge) // MS)
                if edge_ms > time_ms and self.inside(edge_ms) != now:
                    return edge_ms
        raise AssertionError("no working day within nine days")
