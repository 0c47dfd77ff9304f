"""What the services that go by the clock share: times, percentages, cuts of a fleet, and what gets lost.

An instant has its offset from UTC. A date or a local date-time has no zone: it is counted from the scenario's
start, which is a date-time of the same kind.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Final

from simlib.fleet.population import group_shares
from simlib.scenario import leaves, units
from simlib.scenario.model import GroupSpec, ScenarioSpec
from simlib.scenario.units import ExpectedError, format_duration, format_share

PLACES: Final = Decimal("1e-9")
"""How finely a share is written where a service takes decimals only."""
START: Final = "2026-01-05T00:00:00Z"
"""A Monday: when a rollout starts whose configuration does not say."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MS: Final = timedelta(milliseconds=1)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")


def instant(value: object) -> int:
    """A date and time with its offset from UTC (RFC 3339) [ms since 1970]. Raises `ExpectedError`."""
    if isinstance(value, str) and len(value) <= 64 and "T" in value.upper():
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None and EPOCH <= moment < _LATEST:
                return (moment - EPOCH) // MS
        except (ValueError, OverflowError):
            pass
    raise ExpectedError(f'a date and time from 1970 to 2199 with an offset from UTC, such as "{START}"')


def format_instant(time_ms: int) -> str:
    """The text of an instant [ms since 1970] that `instant` reads, in UTC."""
    text = (EPOCH + time_ms * MS).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00").removesuffix(".000") + "Z"


def local_date_time(value: object) -> int:
    """A date-time without a zone [ms since 1970-01-01T00:00:00 of the same clock]. Raises `ExpectedError`."""
    if isinstance(value, str) and _DATE_TIME.fullmatch(value):
        try:
            return _ms(datetime.fromisoformat(value))
        except ValueError:
            pass
    raise ExpectedError('local time as yyyy-mm-ddThh:mm:ss, without a zone, such as "2026-01-31T03:00:00"')


def iso_date(value: object) -> date:
    """A date. Raises `ExpectedError`."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ExpectedError('a date as yyyy-mm-dd, such as "2026-02-01"')


def since(start: date, then: date) -> int:
    """From midnight of `start` to midnight of `then` [ms]."""
    return (then - start).days * leaves.DAY


def format_local(time_ms: int) -> str:
    """The text `local_date_time` reads, the seconds rounded up."""
    return datetime.fromtimestamp(-(-time_ms // leaves.SECOND), UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _ms(local: datetime) -> int:
    return (local.replace(tzinfo=UTC) - EPOCH) // MS


def percentage(value: object) -> Fraction:
    """A number of hundredths, 0 to 100, as the share. Raises `ExpectedError`."""
    amount = None if isinstance(value, str) else units.exact(value)
    if amount is None or not 0 <= amount <= 100:
        raise ExpectedError("a number from 0 to 100")
    return amount / 100


def positive_percentage(value: object) -> Fraction:
    """A number of hundredths, above 0 and at most 100, as the share. Raises `ExpectedError`."""
    amount = None if isinstance(value, str) else units.exact(value)
    if amount is None or not 0 < amount <= 100:
        raise ExpectedError("a number above 0, at most 100")
    return amount / 100


def cuts(cumulative: Sequence[Fraction], devices: int) -> tuple[int, ...]:
    """Devices that each cumulative share adds: cut at the shares, rounded down, as the fleet's groups are."""
    reached = [0, *(int(share * devices) for share in cumulative)]
    return tuple(after - before for before, after in pairwise(reached))


def written(share: Fraction) -> int | Decimal:
    """`share` as a number of JSON's: exact where it has a decimal of moderate length, else rounded up to
    `PLACES`, which cuts a fleet of fewer than 10**7 devices at the same one.
    """
    exact = format_share(share)
    if isinstance(exact, Decimal):
        return int(exact) if exact == exact.to_integral_value() else exact.normalize()
    return (Decimal(share.numerator) / share.denominator).quantize(PLACES, rounding=ROUND_CEILING)


def shares_of(spec: ScenarioSpec) -> tuple[Fraction, ...]:
    """The groups' cumulative shares, the last of them 1."""
    return tuple(accumulate(group_shares(spec)))


def lost_from(spec: ScenarioSpec, kept: Collection[str], instead: str) -> Iterator[str]:
    """What a service without gates cannot say of a scenario's rollout, a sentence each, the key first.

    `kept` names the keys it can say; `instead` ends the sentence about a group's condition for the next one.
    """
    rollout = spec.rollout
    for number, group in enumerate(rollout.groups):
        key = f"rollout.groups.{number}"
        if "success_threshold" not in kept and number + 1 < len(rollout.groups):
            yield (
                f"{key}.success_threshold: nothing waits for {percent(group.success_threshold)} of the group "
                f"to report success; {instead}"
            )
        if "error_threshold" not in kept and has_gate(group):
            yield (
                f"{key}.error_threshold: no gate stops the rollout at more than "
                f"{percent(group.error_threshold)} of failures among at least {group.min_sample} judged"
            )
        if group.gate not in ("threshold", "none"):
            yield f'{key}.gate: there is no gate of the kind "{group.gate}"'
        if "soak" not in kept and number + 1 < len(rollout.groups) and group.soak_ms:
            yield f"{key}.soak: nothing waits for {format_duration(group.soak_ms)} after a group"
    if "deadline" not in kept:
        yield (
            f"rollout.deadline: a device that is silent for {format_duration(rollout.deadline_ms)} "
            "is not noticed"
        )
    if "window" not in kept and rollout.window is not None:
        yield f'rollout.window: "{leaves.format_window(rollout.window)}" is left to the devices'
    if rollout.abort_downloads:
        yield "rollout.abort_downloads: downloads under way are not broken off"


def has_gate(group: GroupSpec) -> bool:
    """Whether a share of failures could halt the rollout in this group."""
    return group.gate != "none" and group.error_threshold < 1


def percent(share: Fraction) -> str:
    """`share` as messages and tables of the log show it."""
    hundredths = share * 100
    return f"{hundredths.numerator if hundredths.denominator == 1 else written(hundredths)} %"
