"""Update services by their documented rules, each as a plain loop over time: what policies are held against.

Nothing here is taken from `simlib.rollout`. An oracle keeps every device by itself, looks at each moment at
which anything can change, and writes down what it does. Devices learn what to report from a `Behaviour`, when
they are let have the release, or by rows that are there from the start; what was reported is kept in `rows`,
so that the same reports can be shown to the policy.

Rules that the services leave open are the ones simlib documents: an AWS minute's things are notified at its
end, at the rate of its start; reports of a millisecond come before the decision of that millisecond; a
device's first verdict counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from heapq import heappop, heappush
from math import floor
from typing import Any, NamedTuple

MINUTE = 60_000


class Row(NamedTuple):
    """A report of a device in its service's words; `step` is AWS's stepTimeoutInMinutes, if any."""

    time_ms: int
    device: int
    status: str
    step: int | None = None


Behaviour = Callable[[int, int], Sequence[Row]]
"""What a device that is let have the release at a time will report: (time, device) -> rows."""


class Oracle:
    """A rollout of `sizes`, devices filling the groups in order; subclasses are services."""

    interval_ms = 1
    hears_at_once = False  # what a device says when it is let in counts for the next one
    words: dict[str, str] = {}  # a service's status -> offered, started, succeeded, failed, silent, skipped

    def __init__(self, sizes: Sequence[int], behave: Behaviour, rows: Sequence[Row] = ()) -> None:
        self.sizes = tuple(sizes)
        self.devices = sum(sizes)
        self.behave = behave
        self.rows: list[Row] = []
        self.releases: list[tuple[int, int, int]] = []
        self.decisions: list[tuple[int, str, int | None]] = []
        self.verdict: list[str | None] = [None] * self.devices
        self.started_at: dict[int, int] = {}
        self.released: set[int] = set()
        self.group_of = [k for k, size in enumerate(self.sizes) for _ in range(size)]
        self.queue: list[tuple[int, int, Row | None]] = []
        self._serial = 0
        self._last_decision = -1
        for row in sorted(rows, key=lambda row: row.time_ms):
            self._expect(row)
        self._look_at(0)

    # -- what a service says -------------------------------------------------------------------------------

    def decide(self, now: int) -> None:
        """What the service does at `now`."""
        raise NotImplementedError

    def report(self, now: int, row: Row) -> None:
        """Take one report; a service may add to what counts."""
        word = self.words[row.status]
        if word == "started":
            self.started_at.setdefault(row.device, now)
        elif word != "offered" and self.verdict[row.device] is None and not self.retries(row.device, word):
            self.verdict[row.device] = word

    def retries(self, device: int, word: str) -> bool:
        """Whether the service starts the device again after this verdict, which then does not count."""
        return False

    def before(self, now: int) -> None:
        """What holds from `now` on, for the reports of `now` already."""

    def timers(self, now: int) -> None:
        """Give up on devices whose time has run out at `now`."""

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self, until_ms: int) -> None:
        if self.queue and until_ms >= 0:
            self._decide(0)  # before anything has happened
        while self.queue and self.queue[0][0] <= until_ms:
            now = self.queue[0][0]
            self.before(now)
            while self.queue and self.queue[0][0] == now:
                _, _, row = heappop(self.queue)
                if row is not None:
                    self.rows.append(row)
                    self.report(now, row)
                    self._look_at(now)
            self.timers(now)
            if now % self.interval_ms == 0 and now > self._last_decision:
                self._decide(now)

    def _decide(self, now: int) -> None:
        self._last_decision = now
        before = (len(self.releases), len(self.decisions))
        self.decide(now)
        if before != (len(self.releases), len(self.decisions)):
            self._look_at(now + 1)

    def _stop_at(self, time: int) -> None:
        """Look at devices' timers at `time`."""
        self._serial += 1
        heappush(self.queue, (time, self._serial, None))

    def _look_at(self, time: int) -> None:
        """Have the service look at its first tick at or after `time`."""
        tick = -(-max(time, self._last_decision + 1) // self.interval_ms) * self.interval_ms
        self._serial += 1
        heappush(self.queue, (tick, self._serial, None))

    def _expect(self, row: Row) -> None:
        self._serial += 1
        heappush(self.queue, (row.time_ms, self._serial, row))

    def let_have(self, now: int, devices: Sequence[int]) -> None:
        """Let devices have the release."""
        if not devices:
            return
        if self.releases and self.releases[-1][0] == now:
            _, count, total = self.releases.pop()
        else:
            count, total = 0, len(self.released)
        self.released.update(devices)
        self.releases.append((now, count + len(devices), total + len(devices)))
        for device in devices:
            for row in self.behave(now, device):
                if row.time_ms == now and self.hears_at_once:
                    self.report(now, row)
                    self._look_at(now)
                else:
                    self._expect(row)

    def say(self, now: int, decision: str, group: int | None) -> None:
        self.decisions.append((now, decision, group))

    def members(self, group: int) -> list[int]:
        return [device for device in range(self.devices) if self.group_of[device] == group]

    def count(self, *words: str, group: int | None = None) -> int:
        of = range(self.devices) if group is None else self.members(group)
        return sum(self.verdict[device] in words for device in of)

    def everybody_has_ended(self, group: int | None = None) -> bool:
        of = range(self.devices) if group is None else self.members(group)
        return all(self.verdict[device] is not None for device in of)


class AwsIot(Oracle):
    """AWS IoT Jobs (b2): so many things a minute, abort criteria over completed executions, two timers."""

    words = {
        "QUEUED": "offered",
        "IN_PROGRESS": "started",
        "SUCCEEDED": "succeeded",
        "FAILED": "failed",
        "TIMED_OUT": "silent",
        "REJECTED": "rejected",
        "REMOVED": "removed",
        "CANCELED": "canceled",
    }
    failures = {
        "FAILED": ("failed",),
        "REJECTED": ("rejected",),
        "TIMED_OUT": ("silent",),
        "ALL": ("failed", "rejected", "silent"),
    }

    def __init__(
        self, config: dict[str, Any], devices: int, behave: Behaviour, rows: Sequence[Row] = ()
    ) -> None:
        super().__init__((devices,), behave, rows)
        rollout = config.get("jobExecutionsRolloutConfig", {})
        self.maximum = rollout.get("maximumPerMinute", 1000)
        self.ramp = rollout.get("exponentialRate")
        self.criteria = config.get("abortConfig", {}).get("criteriaList", [])
        minutes = config.get("timeoutConfig", {}).get("inProgressTimeoutInMinutes")
        retries = config.get("jobExecutionsRetryConfig", {}).get("criteriaList", [])
        self.retried = {each["failureType"]: each["numberOfRetries"] for each in retries}
        self.retried_of: dict[tuple[int, str], int] = {}
        self.in_progress_ms = None if minutes is None else minutes * MINUTE
        self.step_at: dict[int, int | None] = {}
        self.level = 0
        self.over = False
        self._look_at(1)
        self._look_at(MINUTE)

    def rate(self) -> int:
        """Things of the minute that begins now."""
        if self.ramp is None:
            return self.maximum
        criteria = self.ramp["rateIncreaseCriteria"]
        notified, succeeded = len(self.released), self.count("succeeded")
        while self._reached(criteria, "numberOfNotifiedThings", notified) or self._reached(
            criteria, "numberOfSucceededThings", succeeded
        ):
            self.level += 1
            if self._uncapped() > 1_000_000:
                break
        return min(floor(self._uncapped()), self.maximum)

    def _uncapped(self) -> Fraction:
        return self.ramp["baseRatePerMinute"] * Fraction(str(self.ramp["incrementFactor"])) ** self.level

    def _reached(self, criteria: dict[str, int], name: str, number: int) -> bool:
        return name in criteria and number >= (self.level + 1) * criteria[name]

    def report(self, now: int, row: Row) -> None:
        if self.verdict[row.device] is None:
            if row.step is not None:
                self.step_at[row.device] = None if row.step == -1 else now + row.step * MINUTE
            if row.status == "IN_PROGRESS" and row.device not in self.started_at and self.in_progress_ms:
                self._look_at(now + self.in_progress_ms)
            if row.step is not None and row.step > 0:
                self._look_at(now + row.step * MINUTE)
        super().report(now, row)

    def retries(self, device: int, word: str) -> bool:
        own = {"failed": "FAILED", "silent": "TIMED_OUT"}.get(word)
        for kind in (own, "ALL") if own is not None else ():
            so_far = self.retried_of.get((device, kind), 0)
            if so_far < self.retried.get(kind, 0):
                self.retried_of[device, kind] = so_far + 1
                self.started_at.pop(device, None)
                self.step_at.pop(device, None)
                return True
        return False

    def timers(self, now: int) -> None:
        for device in set(self.started_at) | set(self.step_at):
            due = []
            if device in self.started_at and self.in_progress_ms is not None:
                due.append(self.started_at[device] + self.in_progress_ms)
            step = self.step_at.get(device)
            if step is not None:
                due.append(step)
            if self.verdict[device] is None and due and min(due) <= now:
                if not self.retries(device, "silent"):
                    self.verdict[device] = "silent"
                self._look_at(now)

    def decide(self, now: int) -> None:
        if self.over:
            return
        if (
            now % MINUTE == 1
        ):  # the minute has begun, and whoever was notified last may have succeeded at once
            self.this_minute = self.rate()
        executed = sum(verdict not in (None, "removed", "canceled") for verdict in self.verdict)
        for criterion in self.criteria:
            if executed < criterion["minNumberOfExecutedThings"]:
                continue
            bad = self.count(*self.failures[criterion["failureType"]])
            if bad * 100 >= Fraction(str(criterion["thresholdPercentage"])) * executed:
                self.say(now, "cancel", None)
                self.over = True
                return
        if len(self.released) == self.devices and self.everybody_has_ended():
            self.say(now, "finish", None)
            self.over = True
            return
        if now and now % MINUTE == 0:
            first = len(self.released)
            last = min(first + self.this_minute, self.devices)
            if first == 0:
                self.say(now, "open", 0)
            self.let_have(now, range(first, last))
            if last < self.devices:
                self._look_at(now + MINUTE)
