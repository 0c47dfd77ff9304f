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
        self.forgotten = 0  # not ended, and silent for a day
        self._period_ms = period_ms
        self._timeout_ms = timeout_ms
        self._ended_stay = ended_stay
        self._of: dict[int, _Attempt] = {}
        # Each in the order of time: (since, device).
        self._granted: deque[tuple[int, int]] = deque()
        self._started: deque[tuple[int, int]] = deque()
        self._heard: deque[tuple[int, int]] = deque()

    def hear(self, message: Message) -> None:
        """Take in one message; messages come in the order of time."""
        time_ms, device = message.time_ms, message.device
        told = int(message.told)
        attempt = self._of.get(device)
        if told & _OFFERED and (attempt is None or attempt.ended):
            if attempt is not None:
                self._count(attempt, -1)
            attempt = self._of[device] = _Attempt(time_ms)
            self._count(attempt, 1)
            self._granted.append((time_ms, device))
            self._started.append((time_ms, device))
            self._heard.append((time_ms, device))
        elif attempt is None:
            return
        ends = bool(told & _ENDS) and not attempt.ended
        if ends or not attempt.known:
            self._count(attempt, -1)
            attempt.known = True
            attempt.ended = attempt.ended or ends
            self._count(attempt, 1)
        if attempt.heard_ms != time_ms or ends:
            attempt.heard_ms = time_ms
            if not attempt.ended or not self._ended_stay:
                self._heard.append((time_ms, device))

    def advance(self, to_ms: int) -> None:
        """Bring the counts to what a poll at `to_ms` sees; no earlier than the last message or call."""
        granted, period_ms = self._granted, self._period_ms
        while granted and granted[0][0] + period_ms <= to_ms:
            since, device = granted.popleft()
            attempt = self._of[device]
            if attempt.granted_ms == since and attempt.recent:
                self._count(attempt, -1)
                attempt.recent = False
                self._count(attempt, 1)
        started, timeout_ms = self._started, self._timeout_ms
        while started and started[0][0] + timeout_ms < to_ms:
            since, device = started.popleft()
            attempt = self._of[device]
            if attempt.granted_ms == since and not attempt.late:
                self._count(attempt, -1)
                attempt.late = True
                self._count(attempt, 1)
        heard = self._heard
        while heard and heard[0][0] + DAY <= to_ms:
            since, device = heard.popleft()
            attempt = self._of[device]
            if attempt.heard_ms == since and attempt.known and not self._stays(attempt):
                self._count(attempt, -1)
                attempt.known = False
                self._count(attempt, 1)

    def next_change(self) -> int | None:
        """The first time after the last `advance` at which a count may change without a message."""
        granted, started, heard = self._granted, self._started, self._heard
        while started and self._timer_is_off(*started[0]):
            started.popleft()
        while heard and self._was_heard_since(*heard[0]):
            heard.popleft()
        times = []
        if granted:
            times.append(granted[0][0] + self._period_ms)
        if started:
            times.append(started[0][0] + self._timeout_ms + 1)
        if heard:
            times.append(heard[0][0] + DAY)
        return min(times, default=None)

    def soonest(self) -> int:
        """How long after a grant a count may first change by itself [ms]."""
        return min(self._period_ms, self._timeout_ms + 1, DAY)

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
            self.forgotten += by * (not attempt.ended)
            return
        if attempt.recent:
            self.recent += by
        if attempt.ended:
            self.ended += by
        elif attempt.late:
            self.timed_out += by
        else:
            self.running += by
