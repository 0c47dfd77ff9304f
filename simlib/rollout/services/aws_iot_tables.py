"""The keys of an AWS IoT job: what each holds, its default, its limits.

What they mean, and what has to hold between them, is `simlib.rollout.services.aws_iot_config`'s affair.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import Field

from simlib.rollout.services.aws_iot_windows import LONGEST_MINUTES, parse_cron
from simlib.scenario import leaves, units
from simlib.scenario.leaves import Table

LARGEST_RATE: Final = 1_000
MOST_RETRIES: Final = 10
LONGEST_TIMEOUT_MINUTES: Final = 10_080
FAILURES: Final = ("FAILED", "REJECTED", "TIMED_OUT", "ALL")
RETRIED: Final = ("FAILED", "TIMED_OUT", "ALL")
END_BEHAVIORS: Final = ("STOP_ROLLOUT", "CANCEL", "FORCE_CANCEL")
ROUNDINGS: Final = ("floor", "round", "ceil")
OVERSHOOTS: Final = ("all", "one")
COMPARISONS: Final = ("at-least", "exceeds")
_LARGEST: Final = 10**9


def _date_time(value: object) -> int:
    """A date-time on a whole minute [ms since 1970-01-01 00:00 UTC]. Raises `ExpectedError`."""
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 64 else None
    except ValueError:
        when = None
    if when is None or when.second or when.microsecond:
        raise units.ExpectedError('a date-time on a whole minute, such as "2026-01-31T03:00"')
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000


def _factor(value: object) -> Fraction:
    amount = None if isinstance(value, str) else units.exact(value)
    if amount is None or not 1 <= amount <= 5 or (amount * 10).denominator != 1:
        raise units.ExpectedError("a number from 1.1 to 5 with at most one decimal")
    return amount


def _percentage(value: object) -> Fraction:
    amount = None if isinstance(value, str) else units.exact(value)
    if amount is None or not 0 <= amount <= 100 or (amount * 100).denominator != 1:
        raise units.ExpectedError("a number from 0 to 100 with at most two decimals")
    return amount


def _least_factor(value: object) -> Fraction:
    if value not in (1, Decimal("1.1"), Fraction(11, 10)) or isinstance(value, bool):
        raise units.ExpectedError("1.1 or 1")
    return _factor(value)


Positive = Annotated[int, leaves.count(1, _LARGEST)]
Whole = Annotated[int, leaves.leaf(leaves.whole_number)]
"""Its limits are quotas, which an option widens: see `aws_iot_config`."""
DateTime = Annotated[int | None, leaves.leaf(_date_time)]


class IncreaseTable(Table):
    """``rateIncreaseCriteria``."""

    notified: Positive | None = Field(default=None, alias="numberOfNotifiedThings")
    succeeded: Positive | None = Field(default=None, alias="numberOfSucceededThings")


class ExponentialTable(Table):
    """``exponentialRate``."""

    base: Whole = Field(alias="baseRatePerMinute")
    factor: Annotated[Fraction, leaves.leaf(_factor)] = Field(alias="incrementFactor")
    increase: IncreaseTable = Field(alias="rateIncreaseCriteria")


class RolloutTable(Table):
    """``jobExecutionsRolloutConfig``."""

    maximum: Whole | None = Field(default=None, alias="maximumPerMinute")
    exponential: ExponentialTable | None = Field(default=None, alias="exponentialRate")


class AbortCriterionTable(Table):
    """An element of ``abortConfig.criteriaList``."""

    failure: Annotated[str, leaves.choice(*FAILURES)] = Field(alias="failureType")
    action: Annotated[str, leaves.choice("CANCEL")]
    least: Positive = Field(alias="minNumberOfExecutedThings")
    percentage: Annotated[Fraction, leaves.leaf(_percentage)] = Field(alias="thresholdPercentage")


class AbortTable(Table):
    """``abortConfig``."""

    criteria: list[AbortCriterionTable] = Field(alias="criteriaList")


class RetryCriterionTable(Table):
    """An element of ``jobExecutionsRetryConfig.criteriaList``."""

    failure: Annotated[str, leaves.choice(*RETRIED)] = Field(alias="failureType")
    retries: Whole = Field(alias="numberOfRetries")


class RetryTable(Table):
    """``jobExecutionsRetryConfig``."""

    criteria: list[RetryCriterionTable] = Field(alias="criteriaList")


class TimeoutTable(Table):
    """``timeoutConfig``."""

    minutes: Annotated[int | None, leaves.count(1, LONGEST_TIMEOUT_MINUTES)] = Field(
        default=None, alias="inProgressTimeoutInMinutes"
    )


class WindowTable(Table):
    """An element of ``schedulingConfig.maintenanceWindows``."""

    start: Annotated[tuple[tuple[int, ...], ...], leaves.leaf(parse_cron)] = Field(alias="startTime")
    minutes: Annotated[int, leaves.count(1, LONGEST_MINUTES)] = Field(alias="durationInMinutes")


class ScheduleTable(Table):
    """``schedulingConfig``."""

    start: DateTime = Field(default=None, alias="startTime")
    end: DateTime = Field(default=None, alias="endTime")
    behavior: Annotated[str, leaves.choice(*END_BEHAVIORS)] = Field(
        default="STOP_ROLLOUT", alias="endBehavior"
    )
    windows: list[WindowTable] = Field(default=[], alias="maintenanceWindows")


class OptionsTable(Table):
    """``simlib``."""

    rounding: Annotated[str, leaves.choice(*ROUNDINGS)] = "floor"
    overshoot: Annotated[str, leaves.choice(*OVERSHOOTS)] = "all"
    comparison: Annotated[str, leaves.choice(*COMPARISONS)] = Field(
        default="at-least", alias="abortComparison"
    )
    starts_at: DateTime = Field(default=None, alias="startsAt")
    least_factor: Annotated[Fraction, leaves.leaf(_least_factor)] = Field(
        default=Fraction(11, 10), alias="leastIncrementFactor"
    )
    largest_rate: Positive = Field(default=LARGEST_RATE, alias="largestRatePerMinute")
    most_retries: Annotated[int, leaves.count(0, 999)] = Field(default=MOST_RETRIES, alias="mostRetries")


class JobTable(Table):
    """The whole document."""

    rollout: RolloutTable = Field(default=RolloutTable(), alias="jobExecutionsRolloutConfig")
    abort: AbortTable | None = Field(default=None, alias="abortConfig")
    timeout: TimeoutTable = Field(default=TimeoutTable(), alias="timeoutConfig")
    retry: RetryTable | None = Field(default=None, alias="jobExecutionsRetryConfig")
    schedule: ScheduleTable = Field(default=ScheduleTable(), alias="schedulingConfig")
    selection: Annotated[str, leaves.choice("SNAPSHOT", "CONTINUOUS")] = Field(
        default="SNAPSHOT", alias="targetSelection"
    )
    simlib: OptionsTable = OptionsTable()
    job_id: Any = Field(default=None, alias="jobId")
    targets: Any = None
    document: Any = None
    source: Any = Field(default=None, alias="documentSource")
    parameters: Any = Field(default=None, alias="documentParameters")
    description: Any = None
    urls: Any = Field(default=None, alias="presignedUrlConfig")
    tags: Any = None
    namespace: Any = Field(default=None, alias="namespaceId")
    template: Any = Field(default=None, alias="jobTemplateArn")
    packages: Any = Field(default=None, alias="destinationPackageVersions")
