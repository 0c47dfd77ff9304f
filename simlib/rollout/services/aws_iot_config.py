"""An AWS IoT job as CreateJob takes it: its keys, its limits, and what simlib keeps of it.

The document is the body of CreateJob, or the parts of it that say who is notified when. What a run does not
depend on (targets, document, URLs, tags) is accepted as it stands.

Points that AWS leaves open are under one further key, ``simlib``:

- ``rounding``: ``floor`` (unless said), ``round`` (half up) or ``ceil``, of a rate that is no whole number;
- ``overshoot``: where one minute crosses several thresholds the rate rises by a step for each (``all``,
  unless said) or by one step a minute (``one``);
- ``abortComparison``: an abort criterion is met by ``at-least`` its percentage (unless said) or by what
  ``exceeds`` it;
- ``startsAt``: the date-time at which a run's time 0 is;
- ``leastIncrementFactor``: 1.1 (unless said) as the API has it, or 1 as CloudFormation does;
- ``largestRatePerMinute`` (1000) and ``mostRetries`` (10): quotas.

Time 0 of a run is ``startsAt``, else ``schedulingConfig.startTime``, else a Monday at midnight UTC, which
only maintenance windows see; an ``endTime`` needs one of the two. Date-times without a zone are UTC, on whole
minutes. A criterion with a percentage of 0 needs one failure. Sources: the developer guide's job
configurations and the API reference of CreateJob.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, NoReturn

from simlib.errors import InputError
from simlib.rollout.policy import Told
from simlib.rollout.service import SILENT
from simlib.rollout.services.aws_iot_tables import JobTable
from simlib.rollout.services.aws_iot_windows import Window, make_window
from simlib.scenario.leaves import DAY, MINUTE
from simlib.scenario.reading import read_object
from simlib.scenario.toml_text import one_line, shown
from simlib.scenario.units import format_share

_RETRIED: Final = {"FAILED": Told.FAILED, "TIMED_OUT": SILENT, "ALL": Told.FAILED | SILENT}
_MONDAY_MS: Final = 1_704_067_200_000  # 2024-01-01 00:00 UTC
_TWO_YEARS_MS: Final = 731 * DAY


@dataclass(frozen=True, slots=True)
class Criterion:
    """An abort criterion."""

    failure: str  # or ALL of them: FAILED, REJECTED, TIMED_OUT
    least: int  # executed things before it counts
    percentage: Fraction  # of the executed things


@dataclass(frozen=True, slots=True)
class Config:
    """A job that AWS IoT would take, as far as a run depends on it."""

    rates: tuple[int, ...]  # [1/min] at first, and after each threshold; the last one stays
    notified: int | None  # a threshold at each multiple of so many
    succeeded: int | None
    step_by_step: bool  # the rate rises by one step a minute at most
    criteria: tuple[Criterion, ...]
    exceeds: bool  # an abort criterion's percentage has to be exceeded
    timeout_ms: int  # 0: none
    forgives: tuple[tuple[Told, int], ...]  # `Policy.forgives`: what is retried, and how often
    epoch_ms: int  # of time 0, since 1970-01-01 00:00 UTC
    start_ms: int
    end_ms: int | None
    end_behavior: str
    windows: tuple[Window, ...]
    continuous: bool

    @property
    def retries(self) -> int:
        """Of an execution that failed; those that timed out are of devices that are silent, and stay so."""
        return sum(number for kinds, number in self.forgives if kinds & Told.FAILED)


def read(document: Mapping[str, object], source: str) -> Config:
    """The job in `document`; the `InputError` for what AWS IoT would refuse begins with `source`."""
    table = read_object(JobTable, document, source)
    where = one_line(source)
    increase = table.rollout.exponential.increase if table.rollout.exponential is not None else None
    epoch_ms, start_ms, end_ms = _times(table, where)
    return Config(
        _rates(table, where),
        increase.notified if increase is not None else None,
        increase.succeeded if increase is not None else None,
        table.simlib.overshoot == "one",
        _criteria(table, where),
        table.simlib.comparison == "exceeds",
        (table.timeout.minutes or 0) * MINUTE,
        _retries(table, where),
        epoch_ms,
        start_ms,
        end_ms,
        table.schedule.behavior,
        tuple(make_window(window.start, window.minutes) for window in table.schedule.windows),
        table.selection == "CONTINUOUS",
    )


def _rates(table: JobTable, where: str) -> tuple[int, ...]:
    """The rate before the first threshold, after it, and so on, up to the one that stays [1/min]."""
    options, key = table.simlib, "jobExecutionsRolloutConfig"
    largest = options.largest_rate
    maximum = largest if table.rollout.maximum is None else table.rollout.maximum
    if not 1 <= maximum <= largest:
        _refuse(where, f"{key}.maximumPerMinute", maximum, f"1 to {largest}")
    ramp = table.rollout.exponential
    if ramp is None:
        return (maximum,)
    key = f"{key}.exponentialRate"
    if not 1 <= ramp.base <= largest:
        _refuse(where, f"{key}.baseRatePerMinute", ramp.base, f"1 to {largest}")
    if ramp.factor < options.least_factor:
        expected = f"a number from {format_share(options.least_factor)} to 5 with at most one decimal"
        _refuse(where, f"{key}.incrementFactor", format_share(ramp.factor), expected)
    if ramp.increase.notified is None and ramp.increase.succeeded is None:
        expected = "numberOfNotifiedThings or numberOfSucceededThings"
        _refuse(where, f"{key}.rateIncreaseCriteria", "neither criterion", expected)
    exact = [Fraction(ramp.base)]
    while exact[-1] < maximum and ramp.factor > 1:
        exact.append(exact[-1] * ramp.factor)
    return tuple(_rounded(min(rate, Fraction(maximum)), options.rounding) for rate in exact)


def _rounded(rate: Fraction, how: str) -> int:
    if how == "ceil":
        return -(-rate.numerator // rate.denominator)
    return int(rate + Fraction(1, 2)) if how == "round" else int(rate)


def _criteria(table: JobTable, where: str) -> tuple[Criterion, ...]:
    if table.abort is None:
        return ()
    if not table.abort.criteria:
        _refuse(where, "abortConfig.criteriaList", "no criterion", "at least 1")
    return tuple(Criterion(each.failure, each.least, each.percentage) for each in table.abort.criteria)


def _retries(table: JobTable, where: str) -> tuple[tuple[Told, int], ...]:
    """The failures that are retried, and how often.

    What is for ALL comes last: a failure has the retries of its own type first.
    """
    if table.retry is None:
        return ()
    key, most = "jobExecutionsRetryConfig.criteriaList", table.simlib.most_retries
    criteria = table.retry.criteria
    if not criteria:
        _refuse(where, key, "no criterion", "at least 1")
    for number, each in enumerate(criteria):
        if not 0 <= each.retries <= most:
            _refuse(where, f"{key}.{number}.numberOfRetries", each.retries, f"0 to {most}")
        if each.failure in (other.failure for other in criteria[:number]):
            _refuse(where, f"{key}.{number}.failureType", f"{each.failure} a second time", "each once")
    if (total := sum(each.retries for each in criteria)) > most:
        _refuse(where, key, f"{total} retries in all", f"at most {most}")
    ordered = sorted(criteria, key=lambda each: each.failure == "ALL")
    return tuple((_RETRIED[each.failure], each.retries) for each in ordered if each.retries)


def _times(table: JobTable, where: str) -> tuple[int, int, int | None]:
    """Time 0 as a date-time, the start and the end of the job [ms]."""
    schedule, zero = table.schedule, table.simlib.starts_at
    if zero is None:
        zero = schedule.start
    if zero is None and schedule.end is not None:
        _refuse(where, "schedulingConfig.endTime", "no startTime", "one, or simlib.startsAt, to count from")
    epoch_ms = _MONDAY_MS if zero is None else zero
    start_ms = 0 if schedule.start is None else schedule.start - epoch_ms
    if start_ms < 0:
        _refuse(where, "schedulingConfig.startTime", "a time before simlib.startsAt", "that or later")
    if schedule.end is None:
        return epoch_ms, start_ms, None
    end_ms = schedule.end - epoch_ms
    if not 30 * MINUTE <= end_ms - start_ms <= _TWO_YEARS_MS:
        minutes = (end_ms - start_ms) // MINUTE
        _refuse(
            where,
            "schedulingConfig.endTime",
            f"{minutes} min after the start",
            "30 minutes to 2 years after it",
        )
    return epoch_ms, start_ms, end_ms


def _refuse(where: str, key: str, found: Any, expected: str) -> NoReturn:
    told = found if isinstance(found, str) else shown(found)
    raise InputError(f"{where}: {key}: found {told}, expected {expected}")
