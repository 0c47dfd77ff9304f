"""The update service in a run: counts what is reported, enforces the deadline, and asks the policy when due.

It knows only the messages that arrive. The rules of asking are those of `simlib.rollout.policy`: the
service looks at whole ticks of its interval, and a tick at which nothing the policy asked for has
happened is skipped. At a tick the policy has seen every message up to and including that millisecond;
only the first question, at time 0, comes before anything has happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from simlib.engine.order import Rank
from simlib.lifecycle.codes import (
    SIGNAL_FAILED,
    SIGNAL_OFFERED,
    SIGNAL_SKIPPED,
    SIGNAL_STARTED,
    SIGNAL_SUCCEEDED,
    SIGNAL_TWICE,
)
from simlib.lifecycle.columns import NEVER
from simlib.rollout.policy import Action, Counter, GroupView, Policy, View


class Timer(Protocol):
    """What the service needs of a clock: a call after all device events of a millisecond."""

    def after(self, time_ms: int, rank: int, function: Callable[[int], None]) -> None:
        """Call ``function(now)`` at `time_ms`, in order of rank."""
        ...


class Service:
    """One rollout's counters and the policy behind them."""

    def __init__(
        self,
        policy: Policy,
        sizes: Sequence[int],
        group_of: Sequence[int],
        interval_ms: int,
        clock: Timer,
        act: Callable[[int, Action], None],
    ) -> None:
        groups = len(sizes)
        self._policy = policy
        self._interval_ms = interval_ms
        self._clock = clock
        self._act = act
        self._group_of = group_of
        self._sizes = tuple(sizes)
        self._offered = [0] * groups
        self._started = [0] * groups
        self._counts = {counter: [0] * groups for counter in Counter}
        self._failed = [0] * groups
        self._silent = [0] * groups
        self._skipped = [0] * groups
        self._vanished = [0] * groups
        self._seen = bytearray(len(group_of))  # offered once
        self._settled = bytearray(len(group_of))
        self.duplicates = 0
        """Reports that arrived a second time."""
        self.further_verdicts = 0
        """Verdicts on devices that had one: of a further round or release, or against what came too early."""
        self.last_report_ms = [-1] * groups
        self._deadlines: deque[tuple[int, int]] = deque()
        self._armed: dict[tuple[Counter, int], int] = {}
        self._ask_ms = NEVER
        self._asked_ms = -1

    def start(self) -> None:
        """Ask the policy for the first time, at time 0."""
        self._ask(0)

    def silent(self) -> tuple[int, ...]:
        """Devices of each group that began and missed the deadline."""
        return tuple(self._silent)

    def receive(self, now: int, device: int, signals: int) -> None:
        """Take the messages of one device at `now`."""
        group = self._group_of[device]
        if signals & SIGNAL_OFFERED and not self._seen[device]:
            self._seen[device] = 1
            self._offered[group] += 1
        self.duplicates += bool(signals & SIGNAL_TWICE)
        self.last_report_ms[group] = now
        if signals & SIGNAL_STARTED:
            self._started[group] += 1
            self._expect(now, device)
        if signals & (SIGNAL_SUCCEEDED | SIGNAL_FAILED | SIGNAL_SKIPPED):
            if self._settled[device]:
                self.further_verdicts += 1
                return
            self._settled[device] = 1
            if signals & SIGNAL_SUCCEEDED:
                self._count(now, group, Counter.SUCCEEDED, Counter.JUDGED, Counter.SETTLED)
            elif signals & SIGNAL_FAILED:
                self._failed[group] += 1
                self._count(now, group, Counter.ERRORS, Counter.JUDGED, Counter.SETTLED)
            else:
                self._skipped[group] += 1
                self._count(now, group, Counter.SETTLED)

    def vanish(self, now: int, device: int) -> None:
        """A device that reported success has not been heard of for too long."""
        group = self._group_of[device]
        self._vanished[group] += 1
        self._count(now, group, Counter.ERRORS)

    def view(self, group: int) -> GroupView:
        """What the service knows of one group."""
        return GroupView(
            size=self._sizes[group],
            offered=self._offered[group],
            started=self._started[group],
            succeeded=self._counts[Counter.SUCCEEDED][group],
            failed=self._failed[group],
            silent=self._silent[group],
            skipped=self._skipped[group],
            vanished=self._vanished[group],
        )

    def _expect(self, now: int, device: int) -> None:
        if self._policy.deadline_ms <= 0:
            return
        due = now + self._policy.deadline_ms
        if not self._deadlines:
            self._clock.after(due, Rank.DEADLINE, self._expire)
        # One constant deadline: devices fall due in the order in which they began.
        self._deadlines.append((due, device))

    def _expire(self, now: int) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            _, device = self._deadlines.popleft()
            if not self._settled[device]:
                self._settled[device] = 1
                group = self._group_of[device]
                self._silent[group] += 1
                self._count(now, group, Counter.ERRORS, Counter.JUDGED, Counter.SETTLED)
        if self._deadlines:
            self._clock.after(self._deadlines[0][0], Rank.DEADLINE, self._expire)

    def _count(self, now: int, group: int, *counters: Counter) -> None:
        for counter in counters:
            counts = self._counts[counter]
            counts[group] += 1
            if counts[group] == self._armed.get((counter, group)):
                self._ask_at(now)

    def _ask_at(self, earliest_ms: int) -> None:
        """Have the policy asked at the first tick at or after `earliest_ms`, and at no tick twice."""
        tick = -(-max(earliest_ms, self._asked_ms + 1) // self._interval_ms) * self._interval_ms
        if tick < self._ask_ms:
            self._ask_ms = tick
            self._clock.after(tick, Rank.POLICY, self._due)

    def _due(self, now: int) -> None:
        if now == self._ask_ms:  # an earlier condition may have replaced this call
            self._ask(now)

    def _ask(self, now: int) -> None:
        self._ask_ms = NEVER
        self._asked_ms = now
        self._armed = {}
        decision = self._policy.decide(View(now, self._views()))
        for action in decision.actions:
            self._act(now, action)
        wake = decision.wake
        if wake.at_ms is not None:
            self._ask_at(wake.at_ms)
        for group, counter, least in wake.counts:
            if self._counts[counter][group] >= least:
                self._ask_at(now)
            else:
                self._armed[counter, group] = min(least, self._armed.get((counter, group), least))

    def _views(self) -> tuple[GroupView, ...]:
        return tuple(map(self.view, range(len(self._sizes))))
