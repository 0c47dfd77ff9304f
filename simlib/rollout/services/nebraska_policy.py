"""What a Nebraska group's rules become for a fleet that knocks: permits, questions at knocks, and holds.

The rules are those of `simlib.rollout.services.nebraska`. They are evaluated

- at a knock that no permit covers, as at any check. If it is granted, so are as many of the checks after it
  as the rules are certain to grant whatever is reported meanwhile: no more than the limit less what is
  recent, and less what is in progress and in safe mode timed out, both with those who are silent and may come
  back. Whatever passes only makes more possible, but for the end of the office hours, one millisecond before
  which the permit is taken back, and a failure that disables;
- while checks are held: one millisecond before time can lift it (the end of a period, a timeout, a day of
  silence, office hours), and when the end of an attempt can. Nobody is asked about meanwhile.

So every check is answered as the server would have answered it after the messages before it; only the end
that lifts a hold, and the failure that disables, count for the checks of the next millisecond on. A device
that comes again after a failure is let in without a question, and counts from the next one on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from simlib.rollout.policy import (
    Action,
    Counter,
    Decision,
    GroupView,
    Message,
    Policy,
    Told,
    Verb,
    View,
    Wake,
)
from simlib.rollout.services.nebraska_attempts import Attempts
from simlib.rollout.services.nebraska_clock import OfficeHours, zone

UNLIMITED: Final = 900_000
"""From so many updates a period on there is no limit."""
_FAILED: Final = int(Told.FAILED)


@dataclass(frozen=True, slots=True)
class NebraskaGroup:
    """A group's policy."""

    enabled: bool
    safe_mode: bool
    office_hours: bool
    timezone: str
    period_ms: int
    most_per_period: int
    timeout_ms: int
    start_ms: int  # when the run starts, since 1970
    disable_on_failed_rollout: bool = False
    ended_check_in: bool = True

    @property
    def unlimited(self) -> bool:
        """Rule 3."""
        return self.most_per_period >= UNLIMITED and not self.safe_mode


class _Answer(Enum):
    """What a check is told."""

    GRANT = 1
    HOLD = 2
    DISABLE = 3  # and it is on hold


class Nebraska(Policy):
    """The policy's state: its statistics, its permit, and whether updates are enabled."""

    interval_ms = 1
    pull = True
    wants_news = True

    def __init__(self, config: NebraskaGroup) -> None:
        self._config = config
        self._attempts = Attempts(config.period_ms, config.timeout_ms, config.ended_check_in)
        self._hours = OfficeHours(zone(config.timezone), config.start_ms) if config.office_hours else None
        self._inside = True
        self._edge_ms: int | None = -1 if self._hours is not None else None  # until when `_inside` holds
        self._enabled = config.enabled
        self._permit = 0  # devices that may have been admitted by now
        self._held = True  # nobody is asked about
        self._finished = False

    def decide(self, view: View) -> Decision:
        """See the module's docstring."""
        return self._decide(view, first=view.now_ms == 0 and not view.knocked)

    def resume(self, view: View) -> Decision:
        """The operator enables updates again. What has timed out may disable them at the next check."""
        self._enabled = self._held = True
        return self._decide(view)

    def _decide(self, view: View, first: bool = False) -> Decision:
        now, seen = view.now_ms, view.groups[0]
        admitted, before = seen.released, self._permit
        reason = self._hear(view.news)
        # What a tick permits holds for checks from the next millisecond on; the first one, from now on.
        checks_ms = now if view.knocked or first else now + 1
        # An earlier tick than this one cannot be had any more; at 0 the tick comes before all checks.
        next_tick_ms = now if view.knocked and now else now + 1
        self._attempts.advance(checks_ms)
        more, wake = 0, Wake()
        if self._enabled and not reason:
            answer = self._answer(checks_ms)
            if view.knocked and answer is _Answer.DISABLE:
                reason = f"{self._attempts.timed_out} updates timed out"
            else:
                more, wake = self._permits(view, answer, next_tick_ms)
        actions = []
        permit = min(admitted + more, seen.size)
        if permit != before and (more or before > admitted):
            actions.append(Action(Verb.ADMIT, 0, count=permit))
            self._permit = permit
        if reason and self._enabled:
            self._enabled = False
            actions.append(Action(Verb.DISABLE, 0, reason))
        if not self._finished and seen.settled >= seen.size:
            self._finished = True
            actions.append(Action(Verb.FINISH, 0))
        return Decision(tuple(actions), self._with_counts(wake, seen))

    def _hear(self, news: Sequence[Message]) -> str:
        """Take in the news; why updates are disabled by them, or ""."""
        attempts = self._attempts
        if not self._config.disable_on_failed_rollout:
            attempts.hear(news)
            return ""
        reason = ""
        for message in news:
            failed = int(message.told) & _FAILED
            if failed:
                attempts.advance(message.time_ms)
            before = attempts.ended
            attempts.hear((message,))
            if failed and attempts.ended == before + 1 == 1:
                reason = "the first attempt that ended has failed"
        return reason

    def _answer(self, checks_ms: int) -> _Answer:
        """What a check at `checks_ms` is told: the rules from 2 on."""
        config, attempts = self._config, self._attempts
        if not self._is_inside(checks_ms):
            return _Answer.HOLD
        if config.unlimited:
            return _Answer.GRANT
        most = self._most()
        if attempts.recent >= most or attempts.running >= most:
            return _Answer.HOLD
        if config.safe_mode and attempts.timed_out >= most:
            return _Answer.DISABLE
        return _Answer.GRANT

    def _most(self) -> int:
        """Rule 4."""
        config = self._config
        return 1 if config.safe_mode and self._attempts.ended == 0 else config.most_per_period

    def _is_inside(self, checks_ms: int) -> bool:
        if self._hours is not None and self._edge_ms is not None and checks_ms >= self._edge_ms:
            self._inside = self._hours.inside(checks_ms)
            self._edge_ms = self._hours.next_edge(checks_ms)
        return self._inside

    def _permits(self, view: View, answer: _Answer, next_tick_ms: int) -> tuple[int, Wake]:
        """How many checks more are granted, and when that changes, where `answer` is that of the next one."""
        seen = view.groups[0]
        left = max(self._permit - seen.released, 0)
        if answer is _Answer.HOLD and (view.knocked or self._held or left):
            wake = self._hold()
            self._held = wake.at_ms is None or wake.at_ms >= next_tick_ms
            return 0, wake if self._held else Wake(knock=True)
        certain = self._certain(seen) if answer is _Answer.GRANT else 0
        until_ms = self._until_ms()
        if until_ms is not None and until_ms - 1 < next_tick_ms:
            certain = 0
        if view.knocked:
            certain = max(certain, 1)
        elif not self._held:
            certain = min(certain, left)
        self._held = False
        return certain, Wake(None if until_ms is None or certain == 0 else until_ms - 1, knock=True)

    def _certain(self, seen: GroupView) -> int:
        """So many of the next checks are granted, whenever they come before `_until_ms`."""
        config, attempts = self._config, self._attempts
        if config.unlimited:
            return seen.size
        taken = attempts.not_ended() if config.safe_mode else attempts.most_running()
        return max(self._most() - max(taken, attempts.most_recent()), 0)

    def _until_ms(self) -> int | None:
        """From when on fewer checks may be granted than now; None: never."""
        times = [self._edge_ms]
        if self._config.safe_mode and self._attempts.ended:
            times.append(self._attempts.none_ended_ms())
        return min((time for time in times if time is not None), default=None)

    def _hold(self) -> Wake:
        """When a check that is on hold now may be answered otherwise."""
        config, attempts = self._config, self._attempts
        if not self._inside:
            return Wake(None if self._edge_ms is None else self._edge_ms - 1)
        most, ends = self._most(), config.safe_mode and attempts.ended == 0
        if most == 0:
            time_ms = attempts.none_ended_ms() if config.safe_mode else None
        elif attempts.recent >= most:
            time_ms = attempts.fewer_recent_ms(most)
        else:
            time_ms, ends = attempts.fewer_running_ms(most), True
        return Wake(None if time_ms is None else time_ms - 1, ((0, Counter.SETTLED, 1),) if ends else ())

    def _with_counts(self, wake: Wake, seen: GroupView) -> Wake:
        """`wake`, with its counts on top of what has been seen, and what is always looked for."""
        counts = [(group, counter, seen.settled + more) for group, counter, more in wake.counts]
        if not self._finished:
            counts.append((0, Counter.SETTLED, seen.size))
        config, attempts = self._config, self._attempts
        one_may_be_first = attempts.ended == 0 or not config.ended_check_in
        if config.disable_on_failed_rollout and self._enabled and one_may_be_first:
            counts.append((0, Counter.FAILED, seen.failed + 1))
        return Wake(wake.at_ms, tuple(counts), wake.knock)
