"""The `aws-iot` policy: a job that notifies its targets at a rate, and aborts on what executions say.

- The things of a minute are notified at its end. The rate of a minute is fixed when it begins (what is
  reported in its first millisecond still counts): the base rate times the increment factor for each whole
  multiple of the criterion that the things notified, or those that succeeded, have reached (either, where
  both are given), up to the maximum. So thresholds are cumulative and the rate is geometric.
- Abort criteria are looked at in their order, whenever a count changes, over the executions that are
  completed: succeeded, failed, timed out and rejected; one that was removed or canceled is in neither number.
  The job is then cancelled: what is QUEUED is cancelled, what is IN_PROGRESS goes on. In the same millisecond
  aborting comes before notifying.
- A failed or timed-out execution is retried at once as often as the job says, and counts after the last time.
- Only minutes that lie in a maintenance window are used, if there are any, and only those that end by the end
  time. Then the rollout stops, or the job is cancelled, by its end behaviour.
- A snapshot job is completed when every execution has ended; after the rollout has stopped, every one there
  is. A continuous job never is. A device that never starts stays QUEUED, which has no timer.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from simlib.rollout.policy import Action, Counter, Decision, GroupView, Policy, Verb, View, Wake
from simlib.rollout.services.aws_iot_config import Config, Criterion
from simlib.rollout.services.aws_iot_windows import next_minute
from simlib.scenario.leaves import MINUTE
from simlib.scenario.units import format_share

_COUNTED: Final = {"FAILED": Counter.FAILED, "REJECTED": Counter.SKIPPED, "TIMED_OUT": Counter.SILENT}


def failures(criterion: Criterion, seen: GroupView) -> int:
    """Completed executions of the kind that `criterion` counts."""
    if criterion.failure == "ALL":
        return seen.failed + seen.skipped + seen.silent
    return int(getattr(seen, _COUNTED[criterion.failure].value))


def executed(seen: GroupView) -> int:
    """Completed executions, as an abort criterion counts them."""
    return seen.judged + seen.skipped


def failures_needed(percentage: Fraction, others: int, *, exceeds: bool) -> int | None:
    """The least number of failures that meet a percentage beside `others` completed executions; None: no
    number.

    f ≥ p (f + others) / 100 ⇔ f (100 − p) ≥ p × others. It only grows with `others`.
    """
    if percentage == 100:
        return 1 if others == 0 and not exceeds else None
    bound = percentage * others / (100 - percentage)
    return int(bound) + 1 if exceeds else max(-(-bound.numerator // bound.denominator), 1)


def is_met(criterion: Criterion, seen: GroupView, *, exceeds: bool) -> bool:
    """Whether the job is aborted by this criterion."""
    failed = failures(criterion, seen)
    needed = failures_needed(criterion.percentage, executed(seen) - failed, exceeds=exceeds)
    return executed(seen) >= criterion.least and needed is not None and failed >= needed


class AwsIot(Policy):
    """The policy's state: how many were notified, and which minute is next."""

    def __init__(self, config: Config, things: int) -> None:
        self.interval_ms = 1
        self.deadline_ms = config.timeout_ms
        self.forgives = config.forgives
        self._config = config
        self._things = things
        self._notified = 0
        self._stage = 0
        self._minute_ms = self._usable(config.start_ms)  # the one under way or to come begins then
        self._rate: int | None = None  # of the one under way
        self._hears_ms = int(config.succeeded is not None)
        """So long after it begins its rate is fixed: what is reported in its first millisecond counts."""
        self._end_ms = config.end_ms
        self._stopped = False
        self._over = False

    def decide(self, view: View) -> Decision:
        """See the module's docstring for the rules."""
        if self._over:
            return Decision()
        seen, now = view.groups[0], view.now_ms
        for criterion in self._config.criteria:
            if is_met(criterion, seen, exceeds=self._config.exceeds):
                return self._stop_for_good(Action(Verb.CANCEL, None, self._reason(criterion, seen)))
        actions = self._notify(now, seen)
        if self._is_completed(seen):
            return self._stop_for_good(*actions, Action(Verb.FINISH, 0))
        if self._end_ms is not None and now >= self._end_ms:
            self._end_ms = None
            behavior = self._config.end_behavior
            if behavior != "STOP_ROLLOUT":
                return self._stop_for_good(
                    *actions, Action(Verb.CANCEL, None, f"endTime, {behavior}", planned=True)
                )
            if self._notified < self._things:
                actions.append(Action(Verb.PAUSE, None, f"endTime, {behavior}", planned=True))
            self._minute_ms, self._stopped = None, True
            if self._is_completed(seen):
                return self._stop_for_good(*actions, Action(Verb.FINISH, 0))
        return Decision(tuple(actions), self._wake(seen))

    def _stop_for_good(self, *actions: Action) -> Decision:
        self._over = True
        return Decision(actions)

    def _usable(self, from_ms: int) -> int | None:
        """The beginning of the next minute in which things may be notified."""
        minute_ms = next_minute(self._config.windows, from_ms, self._config.epoch_ms)
        end_ms = self._config.end_ms
        if minute_ms is None or (end_ms is not None and minute_ms + MINUTE > end_ms):
            return None
        return minute_ms

    def _notify(self, now: int, seen: GroupView) -> list[Action]:
        actions: list[Action] = []
        if self._minute_ms is not None and self._rate is not None and now >= self._minute_ms + MINUTE:
            self._notified = min(self._notified + self._rate, self._things)
            actions.append(Action(Verb.RELEASE, 0, f"{self._rate} a minute", self._notified))
            self._rate = None
            left = self._notified < self._things
            self._minute_ms = self._usable(self._minute_ms + MINUTE) if left else None
        if self._minute_ms is not None and self._rate is None and now >= self._minute_ms + self._hears_ms:
            self._rate = self._next_rate(seen)
        return actions

    def _next_rate(self, seen: GroupView) -> int:
        config = self._config
        reached = max(
            self._notified // config.notified if config.notified is not None else 0,
            seen.succeeded // config.succeeded if config.succeeded is not None else 0,
        )
        if config.step_by_step:
            reached = min(reached, self._stage + 1)
        self._stage = reached
        return config.rates[min(reached, len(config.rates) - 1)]

    def _is_completed(self, seen: GroupView) -> bool:
        if self._config.continuous:
            return False
        return (self._stopped or self._notified == self._things) and seen.settled >= self._notified

    def _reason(self, criterion: Criterion, seen: GroupView) -> str:
        how = "more than" if self._config.exceeds else "at least"
        return (
            f"{criterion.failure}: {failures(criterion, seen)} of {executed(seen)} executed things, "
            f"{how} {str(format_share(criterion.percentage)).removesuffix('.0')} %"
        )

    def _wake(self, seen: GroupView) -> Wake:
        times = [self._end_ms]
        if self._minute_ms is not None:
            times.append(self._minute_ms + (MINUTE if self._rate is not None else self._hears_ms))
        at_ms = min((time for time in times if time is not None), default=None)
        counts = [self._earliest(each, seen) for each in self._config.criteria]
        if not self._config.continuous and (self._stopped or self._notified == self._things):
            counts.append((0, Counter.SETTLED, self._notified))
        return Wake(at_ms, tuple(each for each in counts if each is not None))

    def _earliest(self, criterion: Criterion, seen: GroupView) -> tuple[int, Counter, int] | None:
        """A count that is reached before, or when, `criterion` is met, which it is not yet."""
        failed, completed = failures(criterion, seen), executed(seen)
        needed = failures_needed(criterion.percentage, completed - failed, exceeds=self._config.exceeds)
        if needed is None:
            return None
        if completed < criterion.least or criterion.failure == "ALL":
            least = max(criterion.least, completed + max(needed - failed, 1))
            return (0, Counter.SETTLED, least + seen.withdrawn)
        return (0, _COUNTED[criterion.failure], needed)
