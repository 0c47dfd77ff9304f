"""The statistics a Nebraska group keeps of its updates, and when each of them changes by itself.

A poll at time u sees, of the instances that have checked in within a day (checked in > u - 1 day):

- granted in the last period: granted > u - period;
- in progress: not ended, u - granted <= timeout;
- timed out: not ended, u - granted > timeout;
- ended: an attempt that has succeeded or failed.

Source: flatcar/nebraska, backend/pkg/api/internal/dbreads/groups.go (the query of the updates'
statistics). A bricked device thus leaves them after a day of silence. A device whose attempt has ended
goes on checking in as every client that runs does, although no clock tells; with `ended_stay` False it is
forgotten like the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from simlib.rollout.policy import Message, Told
from simlib.scenario.leaves import DAY

# Plain numbers: flags of an enumeration are slow.
_OFFERED = int(Told.OFFERED)
_ENDS = int(Told.SUCCEEDED | Told.FAILED | Told.SKIPPED)


class _Attempt:
    """The newest attempt of one device."""

    __slots__ = ("ended", "granted_ms", "heard_ms", "known", "late", "recent")

    def __init__(self, granted_ms: int) -> None:
        self.granted_ms = granted_ms
        self.heard_ms = granted_ms
        self.recent = True  # granted within the last period
        self.late = False  # past the timeout
        self.ended = False
        self.known = True  # checked in within a day


class Attempts:
    """All devices that were granted the update. Everything is amortised constant time a message."""

    def __init__(self, period_ms: int, timeout_ms: int, ended_stay: bool = True) -> None:
        self.recent = 0
        self.running = 0
        self.timed_out = 0
        self.ended = 0
        # Not ended, and silent for a day: they count again if they are heard of again.
        self.away_recent = 0  # ended ones too
        self.away_running = 0
        self.away_timed_out = 0
        self._period_ms = period_ms
        self._timeout_ms = timeout_ms
        self._ended_stay = ended_stay
        self._end_heard_ms = 0  # when one that has ended was last heard of
        self._of: dict[int, _Attempt] = {}
        # Each in the order of time: (since, device).
        self._granted: deque[tuple[int, int]] = deque()
        self._started: deque[tuple[int, int]] = deque()
        self._heard: deque[tuple[int, int]] = deque()

    def hear(self, news: Iterable[Message]) -> None:
        """Take in messages, in the order of time; no earlier than the last call of `advance`."""
        attempts, stay = self._of, self._ended_stay
        granted, started, heard = self._granted, self._started, self._heard
        for time_ms, device, flags in news:
            told = int(flags)
            attempt = attempts.get(device)
            if told & _OFFERED and (attempt is None or attempt.ended):
                if attempt is not None:
                    self._count(attempt, -1)
                attempt = attempts[device] = _Attempt(time_ms)
                self.recent += 1
                self.running += 1
                granted.append((time_ms, device))
                started.append((time_ms, device))
                heard.append((time_ms, device))
            elif attempt is None:
                continue
            ends = bool(told & _ENDS) and not attempt.ended
            if not attempt.known:
                self._count(attempt, -1)
                attempt.known = True
                self._count(attempt, 1)
            if ends:
                attempt.ended = True
                self.ended += 1
                if attempt.late:
                    self.timed_out -= 1
                else:
                    self.running -= 1
            if attempt.ended:
                self._end_heard_ms = time_ms
            if attempt.heard_ms != time_ms or ends:
                attempt.heard_ms = time_ms
                if not attempt.ended or not stay:
                    heard.append((time_ms, device))

    def advance(self, to_ms: int) -> None:
        """Bring the counts to what a poll at `to_ms` sees; no earlier than the last message or call."""
        attempts = self._of
        granted, before_ms = self._granted, to_ms - self._period_ms
        while granted and granted[0][0] <= before_ms:
            since, device = granted.popleft()
            attempt = attempts[device]
            if attempt.granted_ms == since and attempt.recent:
                attempt.recent = False
                if attempt.known:
                    self.recent -= 1
                else:
                    self.away_recent -= 1
        started, before_ms = self._started, to_ms - self._timeout_ms
        while started and started[0][0] < before_ms:
            since, device = started.popleft()
            attempt = attempts[device]
            if attempt.granted_ms == since and not attempt.late:
                self._count(attempt, -1)
                attempt.late = True
                self._count(attempt, 1)
        heard, before_ms = self._heard, to_ms - DAY
        while heard and heard[0][0] <= before_ms:
            since, device = heard.popleft()
            attempt = attempts[device]
            if attempt.heard_ms == since and attempt.known and not self._stays(attempt):
                self._count(attempt, -1)
                attempt.known = False
                self._count(attempt, 1)

    def most_recent(self) -> int:
        """The most that can be recent from now on if nothing more is granted."""
        return self.recent + self.away_recent

    def most_running(self) -> int:
        """The most that can be in progress from now on if nothing more is granted."""
        return self.running + self.away_running

    def not_ended(self) -> int:
        """The most that can be in progress and timed out together if nothing more is granted."""
        return self.most_running() + self.timed_out + self.away_timed_out

    def fewer_recent_ms(self, most: int) -> int | None:
        """Of `most` or more recent ones, before when there will not be fewer; None: never."""
        if most <= 0:
            return None
        period_ms = self._period_ms
        if period_ms <= DAY:  # nobody is forgotten before that
            return self._granted[self.recent - most][0] + period_ms
        return self._first_forgotten_ms(self._granted[0][0] + period_ms)

    def fewer_running_ms(self, most: int) -> int | None:
        """Of `most` or more in progress, before when there will not be fewer unless one ends; None: never."""
        if most <= 0:
            return None
        started, timeout_ms = self._started, self._timeout_ms
        while self._timer_is_off(*started[0]):
            started.popleft()
        if timeout_ms < DAY:
            return started[self.running - most][0] + timeout_ms + 1
        return self._first_forgotten_ms(started[0][0] + timeout_ms + 1)

    def none_ended_ms(self) -> int | None:
        """Of one or more that have ended, before when they will not all be forgotten; None: never."""
        return None if self._ended_stay else self._end_heard_ms + DAY

    def _first_forgotten_ms(self, latest_ms: int) -> int:
        """When the next one may be forgotten, at most `latest_ms`."""
        heard = self._heard
        while heard and self._was_heard_since(*heard[0]):
            heard.popleft()
        return min(heard[0][0] + DAY, latest_ms) if heard else latest_ms

    def _timer_is_off(self, since: int, device: int) -> bool:
        attempt = self._of[device]
        return attempt.ended or attempt.granted_ms != since

    def _was_heard_since(self, since: int, device: int) -> bool:
        attempt = self._of[device]
        return attempt.heard_ms != since or self._stays(attempt)

    def _stays(self, attempt: _Attempt) -> bool:
        return attempt.ended and self._ended_stay

    def _count(self, attempt: _Attempt, by: int) -> None:
        if not attempt.known:
            if attempt.recent:
                self.away_recent += by
            if attempt.ended:
                return
            if attempt.late:
                self.away_timed_out += by
            else:
                self.away_running += by
            return
        if attempt.recent:
            self.recent += by
        if attempt.ended:
            self.ended += by
        elif attempt.late:
            self.timed_out += by
        else:
            self.running += by
