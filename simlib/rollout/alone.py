"""A rollout of a policy alone, in which every released device has success at once.

It carries out what the policy decides, and logs it. At a service that pushes, OPEN lets a whole group have
the release and RELEASE the first so many of it, at the time of the decision. At one that is asked, a permit
decided at a tick t lets in from t + 1 on who knocks (the one decided at 0 from 0 on), one decided at a knock
from that knock on, and devices knock all the time, in order of number. Devices are numbered from 0 and fill
the groups in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from simlib.rollout.asking import Asked
from simlib.rollout.policy import Action, Message, Policy, Told, Verb

_OPENING: Final = (Verb.OPEN, Verb.RELEASE, Verb.ADMIT)
_AT_ONCE: Final = Told.OFFERED | Told.STARTED | Told.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Release:
    """Devices that were let have the release at one time."""

    time_ms: int
    count: int
    cumulative: int


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as the log has it. `group` counts from 0; None: the whole rollout is meant."""

    time_ms: int
    decision: str  # open, pause, cancel, disable, finish
    group: int | None
    reason: str

    def document(self) -> dict[str, object]:
        """As people and their scripts read it; groups count from 1."""
        group = None if self.group is None else self.group + 1
        return {"time_ms": self.time_ms, "decision": self.decision, "group": group, "reason": self.reason}


class Rollout:
    """A rollout in which every released device succeeds at once. Only counts are kept, no devices."""

    def __init__(self, policy: Policy, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.decisions: list[Decided] = []
        self.asked = Asked(policy, sizes)
        self.released = [0] * len(self.sizes)
        self.permits = [0] * len(self.sizes)  # of a service that is asked
        self.pull = policy.pull
        self.wants_news = policy.wants_news
        self._opened: set[tuple[Verb, int]] = set()
        self._holding: list[Decided] = []  # openings that hold from `_door_ms` on
        self._door_ms: int | None = None  # when the devices that knock all the time are looked at next
        self._released_at: dict[int, int] = {}
        self._firsts = list(accumulate(self.sizes, initial=0))

    def run(self, until_ms: int) -> None:
        """Up to and including `until_ms`."""
        while (now := self._next_ms()) is not None and now <= until_ms:
            if now == 0 == self.asked.due_ms:  # before anything has happened
                self._ask(0)
            if now == self._door_ms:
                self._door_ms = None
                self.decisions += self._holding
                self._holding.clear()
                self._let_in(now)
            self._happen(now)
            if now == self.asked.due_ms:
                self._ask(now)

    def releases(self) -> tuple[Release, ...]:
        """A row for each time at which any were made, in order of time."""
        times = sorted(self._released_at)
        totals = accumulate(self._released_at[time] for time in times)
        return tuple(Release(t, self._released_at[t], total) for t, total in zip(times, totals, strict=True))

    def _next_ms(self) -> int | None:
        return min((t for t in (self.asked.due_ms, self._door_ms) if t is not None), default=None)

    def _happen(self, now: int) -> None:
        """What devices do at `now` by themselves: here, nothing."""

    def _ask(self, now: int) -> None:
        for action in self.asked.ask(now):
            self._carry_out(now, action)
        if self.pull and (self._holding or self._anyone_waits()):
            self._door_ms = now + (now > 0)

    def _question(self, now: int) -> None:
        """A device knocks that no permit covers."""
        for action in self.asked.knock(now):
            self._carry_out(now, action, at_knock=True)

    def _carry_out(self, now: int, action: Action, at_knock: bool = False) -> None:
        verb, group = action.verb, action.group
        if verb not in _OPENING:
            self.decisions.append(
                Decided(now, verb.value, None if verb is Verb.FINISH else group, action.detail)
            )
            if verb in (Verb.CANCEL, Verb.DISABLE):
                self.permits = list(self.released)
            return
        assert group is not None, "a policy opens groups by number"
        may = self.sizes[group] if verb is Verb.OPEN else min(action.count, self.sizes[group])
        if (verb is Verb.OPEN or action.count > 0) and (verb, group) not in self._opened:
            self._opened.add((verb, group))
            later = self.pull and not at_knock
            (self._holding if later else self.decisions).append(
                Decided(now + (later and now > 0), "open", group, action.detail)
            )
        if self.pull:
            self.permits[group] = may
        elif may > self.released[group]:
            first = self._firsts[group] + self.released[group]
            self._release(now, group, range(first, first + may - self.released[group]))

    def _release(self, now: int, group: int, devices: range) -> None:
        """Let `devices`, the next of `group`, have the release."""
        self._book(now, group, len(devices))
        self._received(now, group, devices)

    def _book(self, now: int, group: int, count: int) -> None:
        self.released[group] += count
        self.asked.release(group, count)
        self._released_at[now] = self._released_at.get(now, 0) + count

    def _received(self, now: int, group: int, devices: range) -> None:
        self.asked.tell(now, group, _AT_ONCE, len(devices))
        if self.wants_news:
            for device in devices:
                self.asked.hear(Message(now, device, _AT_ONCE))

    def _room(self, group: int) -> int:
        return max(self.permits[group] - self.released[group], 0)

    def _waiting(self) -> int:
        return self._firsts[-1] - sum(self.released)

    def _anyone_waits(self) -> bool:
        """Whether a look at the door would change anything."""
        if not self._waiting():
            return False
        return self.asked.wants_knock or any(map(self._room, range(len(self.sizes))))

    def _let_in(self, now: int) -> None:
        """Those who knock all the time, the lowest number first, as far as the permits reach.

        Who is turned away knocks again in the next millisecond.
        """
        self._admit_all(now)
        while self._waiting():
            self._question(now)
            if not any(map(self._room, range(len(self.sizes)))):
                break
            self._admit_all(now)
        if self._anyone_waits():
            self._door_ms = now + 1

    def _admit_all(self, now: int) -> None:
        for group in range(len(self.sizes)):
            first = sum(self.released)
            count = min(self._room(group), self._firsts[-1] - first)
            if count:
                self._release(now, group, range(first, first + count))
