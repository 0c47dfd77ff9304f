"""The update service in a run: counts what is reported, enforces the deadline, and asks the policy when due.

It knows only the messages that arrive. The rules of asking are those of `simlib.rollout.policy`: the
service looks at whole ticks of the policy's interval, and a tick at which nothing the policy asked for has
happened is skipped. At a tick the policy has seen every message up to and including that millisecond;
only the first question, at time 0, comes before anything has happened.

The counting itself is `simlib.simulation.tally`'s, which a compiled clock does by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from simlib.engine.order import Rank
from simlib.lifecycle.codes import SIGNAL_SETBACK, SIGNAL_STARTED, SIGNAL_TWICE
from simlib.lifecycle.columns import NEVER
from simlib.rollout.policy import Action, Counter, Decision, GroupView, Message, Policy, Told, View
from simlib.simulation import tally as counting
from simlib.simulation.room import listens
from simlib.simulation.tally import COUNTERS, Tally

_TOLD: Final = tuple(Told(signals % SIGNAL_TWICE) for signals in range(2 * SIGNAL_SETBACK))
"""What a message says, by its signals."""


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
        tally: Tally,
        clock: Timer,
        act: Callable[[int, Action], None],
        listen: Callable[[int], None],
        metric: Callable[[int], tuple[Sequence[int], Sequence[int]]] | None = None,
    ) -> None:
        """`sizes` are the groups'; `listen` sends for parked devices, `metric` is `View.metric`."""
        self.tally = tally
        self.policy = policy
        self.released = [0] * len(sizes)
        self.started = False  # the first question of all has been answered
        self.knocking = False  # a device that knocks waits for the answer
        self._clock = clock
        self._act = act
        self._listen = listen
        self._metric = metric
        self._news: list[Message] = []
        self._armed: list[int] = []  # rows of `Tally.armed`
        self._sizes = tuple(sizes)
        self._expecting = False
        self._ask_ms = NEVER
        self._asked_ms = -1

    def close(self) -> None:
        """The run is over: nothing is carried out any more, and nobody is held on to who would do it."""
        self._act = self._listen = _nothing
        self._metric = None

    def start(self) -> None:
        """Ask the policy for the first time, at time 0."""
        self._ask(0)
        self.started = True

    @property
    def duplicates(self) -> int:
        """Reports that arrived a second time."""
        return int(self.tally.state[counting.AT_DUPLICATES])

    @property
    def further_verdicts(self) -> int:
        """Verdicts on devices that had one: of a further round or release, or against what came too early."""
        return int(self.tally.state[counting.AT_FURTHER])

    def silent(self) -> tuple[int, ...]:
        """Devices of each group that began and missed the deadline."""
        return tuple(counting.counted(self.tally, counting.SILENT, g) for g in range(len(self._sizes)))

    def last_report_ms(self, group: int) -> int:
        """When the group was last heard of, −1 if never."""
        return int(self.tally.last_report_ms[group])

    def receive(self, now: int, device: int, signals: int) -> None:
        """Take the messages of one device at `now`."""
        counting.receive(self.tally, now, device, signals)
        self.read_news()
        if signals & SIGNAL_STARTED and not self._expecting:
            self._expect()
        self.look(now)

    def look(self, now: int) -> None:
        """Have the policy asked if a number it wants to be asked at was reached."""
        state = self.tally.state
        if state[counting.AT_TRIPPED]:
            state[counting.AT_TRIPPED] = 0
            self._ask_at(now)

    def vanish(self, now: int, device: int) -> None:
        """A device that reported success has not been heard of for too long."""
        group = self.tally.group[device]
        self.tally.vanished[group] += 1
        counting.count(self.tally, counting.ERRORS, group)
        self.look(now)

    def read_news(self) -> None:
        """Take the messages that the tally has kept, so that it has room for more."""
        state = self.tally.state
        if state[counting.AT_NEWS]:
            rows = iter(_plain(self.tally.news[: 3 * state[counting.AT_NEWS]]))
            state[counting.AT_NEWS] = 0
            self._news += (
                Message(time_ms, device, _TOLD[signals])
                for time_ms, device, signals in zip(rows, rows, rows, strict=True)
            )

    def view(self, group: int) -> GroupView:
        """What the service knows of one group."""
        tally, groups = self.tally, len(self._sizes)
        counts = _plain(tally.counts[group::groups])
        return GroupView(
            self._sizes[group],
            counts[counting.OFFERED],
            counts[counting.STARTED],
            counts[counting.SUCCEEDED],
            counts[counting.FAILED],
            counts[counting.SILENT],
            counts[counting.SKIPPED],
            int(tally.vanished[group]),
            self.released[group] - int(tally.permit[group]),
        )

    def knock(self, now: int) -> None:
        """A device knocks that no permit covers, and the policy wants to be asked: it is so at once."""
        self._ask_ms = NEVER  # what it says now replaces all it asked for before
        self.knocking = True
        self._follow(now, self.policy.decide(self._view(now, knocked=True)))
        self.knocking = False

    def resume(self, now: int) -> None:
        """The operator lifts what a gate has stopped: the policy goes on."""
        self._follow(now, self.policy.resume(self._view(now)))

    def _expect(self) -> None:
        """Have the next deadline looked at when it comes."""
        due = counting.next_deadline(self.tally)
        self._expecting = due < NEVER
        if self._expecting:
            self._clock.after(due, Rank.DEADLINE, self._expire)

    def _expire(self, now: int) -> None:
        while counting.next_deadline(self.tally) <= now:
            counting.give_up_on(self.tally)
        self.look(now)
        self._expect()

    def _ask_at(self, earliest_ms: int) -> None:
        """Have the policy asked at the first tick at or after `earliest_ms`, and at no tick twice."""
        interval_ms = self.policy.interval_ms
        tick = -(-max(earliest_ms, self._asked_ms + 1) // interval_ms) * interval_ms
        if tick < self._ask_ms:
            self._ask_ms = tick
            self._clock.after(tick, Rank.POLICY, self._due)

    def _due(self, now: int) -> None:
        if now == self._ask_ms:  # an earlier condition may have replaced this call
            self._ask(now)

    def _ask(self, now: int) -> None:
        self._ask_ms = NEVER
        self._asked_ms = now
        self._follow(now, self.policy.decide(self._view(now)))

    def _view(self, now: int, *, knocked: bool = False) -> View:
        self.read_news()
        news, self._news = self._news, []
        return View(now, tuple(map(self.view, range(len(self._sizes)))), news, knocked, self._metric)

    def _follow(self, now: int, decision: Decision) -> None:
        for row in self._armed:
            self.tally.armed[row] = 0
        self._armed.clear()
        wake = decision.wake
        self.tally.state[counting.AT_AWAITED] = int(wake.knock)
        for action in decision.actions:
            self._act(now, action)
        if listens(self.tally):
            self._listen(now)
        if wake.at_ms is not None:
            self._ask_at(wake.at_ms)
        for group, counter, least in wake.counts:
            self._arm(now, group, counter, least)

    def _arm(self, now: int, group: int, counter: Counter, least: int) -> None:
        tally, number = self.tally, COUNTERS.index(counter)
        if counting.counted(tally, number, group) >= least:
            self._ask_at(now)
            return
        row = number * len(self._sizes) + group
        known = tally.armed[row]
        tally.armed[row] = least if not known else min(least, known)
        self._armed.append(row)


def _nothing(*_: object) -> None:
    """What a service that is closed does."""


def _plain(numbers: Any) -> list[int]:
    """Numbers of a list or an array as Python has them."""
    listed: list[int] = numbers if isinstance(numbers, list) else numbers.tolist()
    return listed
