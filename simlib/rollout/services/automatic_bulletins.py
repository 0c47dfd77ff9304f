"""The days of monthly bulletins, such as those of Android's security bulletins.

A bulletin has a fixed day of the month; only days that every month has are taken.
"""

from __future__ import annotations

from datetime import date, timedelta

from simlib.rollout.services import calendar


def next_bulletin(day: date, day_of_month: int) -> date:
    """The first bulletin on `day` or later."""
    if day.day <= day_of_month:
        return day.replace(day=day_of_month)
    year, month = divmod(day.year * 12 + day.month, 12)  # of the next month, counted from 0
    return date(year, month + 1, day_of_month)


def bulletins(start: date, count: int, day_of_month: int | None = None) -> tuple[int, ...]:
    """The next `count` bulletins on `start` or later [ms since its midnight], as ``release.published`` wants
    them; by default on the day of the month that `start` is. Raises `ValueError` for a day after the 28th.
    """
    day = start.day if day_of_month is None else day_of_month
    if not 1 <= day <= 28:
        raise ValueError(f"day_of_month: found {day}, expected 1 to 28, which every month has")
    times, bulletin = [], start
    for number in range(count):
        bulletin = next_bulletin(bulletin if not number else bulletin + timedelta(days=1), day)
        times.append(calendar.since(start, bulletin))
    return tuple(times)
