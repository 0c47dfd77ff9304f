"""A scenario's staged rollout as the AWS IoT job that comes nearest, and what a job cannot express.

A job has a rate in place of groups. It starts with the first group spread over its soak, ends with the last
group spread over its own, and rises each time as many things have succeeded as let the first group pass, by
the smallest factor that gets it there before the last group's turn. So it waits for successes as groups do,
and opens the fleet at their pace, if each device comes at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Final

from simlib.fleet.population import apportion, group_shares
from simlib.rollout.service import Translation
from simlib.rollout.services.aws_iot_tables import LARGEST_RATE, LONGEST_TIMEOUT_MINUTES, MOST_RETRIES
from simlib.rollout.services.aws_iot_windows import LONGEST_MINUTES
from simlib.rollout.services.calendar import has_gate
from simlib.scenario.leaves import DAY, HOUR, MINUTE, format_window
from simlib.scenario.model import GroupSpec, ScenarioSpec
from simlib.scenario.toml_text import Document
from simlib.scenario.units import format_duration, format_share

_FACTORS: Final = tuple(Fraction(tenths, 10) for tenths in range(11, 51))


def translate(spec: ScenarioSpec) -> Translation:
    """The job: a rate, the first group's gate as abort criteria, the deadline as timeout, and so on."""
    document: Document = {
        "description": spec.title or spec.name,
        "targetSelection": "SNAPSHOT",
        "jobExecutionsRolloutConfig": _rollout(spec),
    }
    first = spec.rollout.groups[0]
    if has_gate(first):
        document["abortConfig"] = {
            "criteriaList": [
                {
                    "failureType": failure,
                    "action": "CANCEL",
                    "minNumberOfExecutedThings": first.min_sample,
                    "thresholdPercentage": _number(_threshold(first)),
                }
                for failure in ("FAILED", "TIMED_OUT")
            ]
        }
    document["timeoutConfig"] = {"inProgressTimeoutInMinutes": _timeout_minutes(spec)}
    if retries := min(spec.transfer.rounds - 1, MOST_RETRIES):
        document["jobExecutionsRetryConfig"] = {
            "criteriaList": [{"failureType": "FAILED", "numberOfRetries": retries}]
        }
    if spec.rollout.window is not None:
        document["schedulingConfig"] = {"maintenanceWindows": [_window(*spec.rollout.window)]}
    return Translation(document, tuple(_lost(spec)))


def _rollout(spec: ScenarioSpec) -> Document:
    """``jobExecutionsRolloutConfig``."""
    groups = spec.rollout.groups
    sizes = apportion(group_shares(spec), spec.devices)
    base = _rate(sizes[0], groups[0].soak_ms)
    maximum = max(_rate(sizes[-1], groups[-1].soak_ms), base)
    if len(groups) == 1 or maximum == base:
        return {"maximumPerMinute": maximum}
    succeeded = max(-int(-groups[0].success_threshold * sizes[0] // 1), 1)
    steps = sum(sizes[:-1]) // succeeded
    factor = next((f for f in _FACTORS if _steps(base, f, maximum) <= steps), _FACTORS[-1])
    return {
        "maximumPerMinute": maximum,
        "exponentialRate": {
            "baseRatePerMinute": base,
            "incrementFactor": _number(factor),
            "rateIncreaseCriteria": {"numberOfSucceededThings": succeeded},
        },
    }


def _rate(things: int, soak_ms: int) -> int:
    """`things` spread over `soak_ms`, rounded up [1/min], within AWS's limits."""
    per_minute = -(-things * MINUTE // soak_ms) if soak_ms else LARGEST_RATE
    return min(max(per_minute, 1), LARGEST_RATE)


def _steps(base: int, factor: Fraction, maximum: int) -> int:
    """How often `base` has to be multiplied by `factor` to reach `maximum`."""
    rate, steps = Fraction(base), 0
    while rate < maximum:
        rate, steps = rate * factor, steps + 1
    return steps


def _threshold(group: GroupSpec) -> Fraction:
    """Of errors [percent], rounded up to two decimals."""
    return Fraction(-int(-group.error_threshold * 10_000 // 1), 100)


def _number(amount: Fraction) -> int | Decimal:
    return int(amount) if amount.denominator == 1 else Decimal(amount.numerator) / amount.denominator


def _timeout_minutes(spec: ScenarioSpec) -> int:
    return min(-(-spec.rollout.deadline_ms // MINUTE), LONGEST_TIMEOUT_MINUTES)


def _window(opens_ms: int, closes_ms: int) -> Document:
    """A window of every day."""
    hours, minutes = opens_ms // HOUR, opens_ms % HOUR // MINUTE
    return {
        "startTime": f"cron({minutes} {hours} * * ? *)",
        "durationInMinutes": min((closes_ms - opens_ms) % DAY // MINUTE, LONGEST_MINUTES),
    }


def _lost(spec: ScenarioSpec) -> Iterator[str]:
    rollout, groups = spec.rollout, spec.rollout.groups
    if len(groups) > 1:
        yield (
            f"rollout.groups: a job has a rate in place of {len(groups)} groups; which of them a thing is in "
            "does not count"
        )
    for number, group in enumerate(groups):
        yield from _lost_of_group(spec, number, group)
    if rollout.interval_ms != 1:
        yield "rollout.interval: a job notifies every minute, and its abort criteria are looked at at once"
    if (exact := Fraction(rollout.deadline_ms, MINUTE)) != _timeout_minutes(spec):
        how = "the longest timeout" if exact > LONGEST_TIMEOUT_MINUTES else "timeouts are whole minutes"
        deadline = format_duration(rollout.deadline_ms)
        yield f"rollout.deadline: {_timeout_minutes(spec)} min in place of {deadline}: {how}"
    if rollout.window is not None:
        yield from _lost_of_window(spec, *rollout.window)
    if rollout.abort_downloads:
        yield "rollout.abort_downloads: an abort leaves executions in progress alone"
    if spec.transfer.rounds > 1:
        yield "transfer.retry_after: a failed execution is queued again at once"
    if spec.transfer.rounds - 1 > MOST_RETRIES:
        yield f"transfer.rounds: {MOST_RETRIES} retries, the most there are, not {spec.transfer.rounds - 1}"


def _lost_of_window(spec: ScenarioSpec, opens_ms: int, closes_ms: int) -> Iterator[str]:
    told = format_window(spec.rollout.window)
    yield f'rollout.window: "{told}" is when things are notified; they may start later'
    if spec.rollout.window_clock == "local":
        yield f'rollout.window_clock: "{told}" is UTC, not each device\'s own time'
    if spec.rollout.window_ends == "cut":
        yield "rollout.window_ends: downloads under way go on when a window closes"
    if (closes_ms - opens_ms) % DAY > LONGEST_MINUTES * MINUTE:
        yield f"rollout.window: a window lasts {LONGEST_MINUTES} min at most"


def _lost_of_group(spec: ScenarioSpec, number: int, group: GroupSpec) -> Iterator[str]:
    key, last = f"rollout.groups.{number}", number + 1 == len(spec.rollout.groups)
    if number == 0:
        if has_gate(group) and Fraction(_threshold(group), 100) != group.error_threshold:
            yield f"{key}.error_threshold: {_share(group.error_threshold)} rounded up to two decimals"
        if has_gate(group):
            yield (
                f"{key}.error_threshold: two criteria over all completed executions, FAILED and TIMED_OUT "
                "apart, each met by at least the percentage, not by more; rejected things count as executed"
            )
        if not last:
            yield f"{key}.success_threshold: successes raise the rate, nothing waits for them"
    else:
        if has_gate(group):
            yield (
                f"{key}.error_threshold: {_share(group.error_threshold)} of at least {group.min_sample}; "
                "the job's criteria are the first group's"
            )
        if not last:
            yield f"{key}.success_threshold: nothing waits for {_share(group.success_threshold)} of the group"
    if group.soak_ms and not last:
        yield f"{key}.soak: nothing waits for {format_duration(group.soak_ms)}; the rate goes on"
    if group.gate not in ("threshold", "none"):
        yield f"{key}.gate: no {group.gate} gate; the percentage is compared as it is"


def _share(share: Fraction) -> str:
    return f"{str(format_share(share * 100)).removesuffix('.0')} %"
