"""A rollout of a policy alone, in which only the listed things happen.

Rows of one time come first, then the deadlines of that time, then the policy. A device comes to a service
that is asked where a row says that it knocks; if none does, devices knock all the time, in order of number,
but for those that have reported already. A report is taken as it comes, before the release too: a device's
first message implies that it was offered it, and of its verdicts the first counts that the service does not
forgive (`Policy.forgives`). After one that it forgives the device is as before it began: its timers are gone,
and start anew when it begins again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from simlib.rollout.alone import Rollout
from simlib.rollout.events import Event
from simlib.rollout.policy import Message, Policy, Told
from simlib.rollout.service import KNOCK, SILENT, WITHDRAWN

# Plain numbers: flags of an enumeration are slow, and there may be millions of rows.
_OFFERED: Final = int(Told.OFFERED)
_STARTED: Final = int(Told.STARTED)
_SILENT: Final = int(SILENT)
_NO_MESSAGE: Final = int(SILENT | WITHDRAWN)
_VERDICT: Final = int(Told.SUCCEEDED | Told.FAILED | Told.SKIPPED | SILENT | WITHDRAWN)
_ADMITTED: Final = 128  # beside those of `Told`


class EventRollout(Rollout):
    """A rollout in which only the listed things happen."""

    def __init__(self, policy: Policy, sizes: Sequence[int], events: Sequence[Event]) -> None:
        super().__init__(policy, sizes)
        self.forgives = policy.forgives
        self._retries = Retries(policy.forgives)
        self._events = events
        self._at = 0  # of the next event
        self._deadline_ms = policy.deadline_ms
        self._told = bytearray(self._firsts[-1])  # what each device has told so far
        self._groups: dict[int, int] = {}  # of devices that were let into another than their number's
        self._timers: dict[int, Timers] = {}
        self._due: list[tuple[int, int]] = []  # (time, device), the earliest first; may be out of date
        self._knocks_listed = any(event.told == KNOCK for event in events)
        self._next_waiting = 0

    def group_of(self, device: int) -> int:
        """The group of a device: the one it was let into, or its number's."""
        found = self._groups.get(device)
        return bisect_right(self._firsts, device) - 1 if found is None else found

    def _next_ms(self) -> int | None:
        times = [super()._next_ms()]
        if self._at < len(self._events):
            times.append(self._events[self._at].time_ms)
        if self._due:
            times.append(self._due[0][0])
        return min((t for t in times if t is not None), default=None)

    def _happen(self, now: int) -> None:
        events = self._events
        while self._at < len(events) and events[self._at].time_ms == now:
            self._take(events[self._at])
            self._at += 1
        while self._due and self._due[0][0] == now:
            _, device = heappop(self._due)
            timers = self._timers.get(device)
            if timers is not None and timers.due_ms == now and not self._told[device] & _VERDICT:
                self._give_up_on(now, device)

    def _take(self, event: Event) -> None:
        """One row: a knock, or a report as it comes."""
        now, device = event.time_ms, event.device
        if event.told == KNOCK:
            self._knock(now, device)
            return
        told = int(event.told) | (0 if self._told[device] & _OFFERED else _OFFERED)
        again = self._is_retried(device, told)
        if again:
            told &= ~_VERDICT
        self._note(now, device, told)
        if self.wants_news and told & ~_NO_MESSAGE:
            self.asked.hear(Message(now, device, Told(told & ~_NO_MESSAGE)))
        if not again and not self._told[device] & _VERDICT:
            self._set_timers(event)

    def _give_up_on(self, now: int, device: int) -> None:
        if not self._is_retried(device, _SILENT):
            self._note(now, device, _SILENT)

    def _is_retried(self, device: int, told: int) -> bool:
        """Whether this is a verdict that is forgiven; the device's timers are then gone."""
        if not told & _VERDICT or self._told[device] & _VERDICT or not self._retries.forgive(device, told):
            return False
        self._timers.pop(device, None)
        return True

    def _note(self, now: int, device: int, told: int) -> None:
        """Count what a device has not told before, and only its first verdict."""
        known = self._told[device]
        new = told & ~known
        if known & _VERDICT:
            new &= ~_VERDICT
        if new:
            self._told[device] |= new
            self.asked.tell(now, self.group_of(device), new)

    def _knock(self, now: int, device: int) -> None:
        """Nothing at a service that pushes, whose words of no meaning these are.

        Who was let in or has reported already shows that it is still there.
        """
        if not self.pull:
            return
        if self._told[device]:
            self._hear_of(now, device)
            return
        group = self._open_group()
        if group is None:
            self._question(now)
            group = self._open_group()
        if group is not None:
            self._admit(now, group, device)

    def _hear_of(self, now: int, device: int) -> None:
        """A sign of life, which tells nothing."""
        if self.wants_news:
            self.asked.hear(Message(now, device, KNOCK))

    def _open_group(self) -> int | None:
        """The first group with a permit left."""
        return next((group for group in range(len(self.sizes)) if self._room(group)), None)

    def _admit(self, now: int, group: int, device: int) -> None:
        self._book(now, group, 1)
        self._groups[device] = group
        self._told[device] |= _ADMITTED
        self._note(now, device, _OFFERED)
        if self.wants_news:
            self.asked.hear(Message(now, device, Told.OFFERED))

    def _received(self, now: int, group: int, devices: range) -> None:
        """What a push released is on its way; nothing comes back that is not listed."""

    def _anyone_waits(self) -> bool:
        return not self._knocks_listed and super()._anyone_waits()

    def _waiting(self) -> int:
        """0 if nobody does: there is nobody that has neither been let in nor reported."""
        while self._next_waiting < len(self._told) and self._told[self._next_waiting]:
            self._next_waiting += 1
        return len(self._told) - self._next_waiting

    def _let_in(self, now: int) -> None:
        if not self._knocks_listed:
            super()._let_in(now)

    def _admit_all(self, now: int) -> None:
        for group in range(len(self.sizes)):
            while self._room(group) and self._waiting():
                self._admit(now, group, self._next_waiting)

    def _set_timers(self, event: Event) -> None:
        started = int(event.told) & _STARTED and self._deadline_ms > 0
        if not started and event.step_timeout_ms is None:
            return
        timers = self._timers.setdefault(event.device, Timers())
        if started and timers.progress_ms is None:
            timers.progress_ms = event.time_ms + self._deadline_ms
        if event.step_timeout_ms is not None:
            gone = event.step_timeout_ms < 0
            timers.step_ms = None if gone else event.time_ms + event.step_timeout_ms
        if timers.due_ms is not None:
            heappush(self._due, (timers.due_ms, event.device))


class Retries:
    """What is left of each device's budgets of forgiven verdicts."""

    def __init__(self, budgets: Sequence[tuple[Told, int]]) -> None:
        """`budgets` are `Policy.forgives`."""
        self._kinds = tuple(int(kinds) for kinds, _ in budgets)
        self._most = tuple(most for _, most in budgets)
        self._left: dict[int, list[int]] = {}

    def forgive(self, device: int, told: int) -> bool:
        """Whether a verdict is forgiven; if so, it is charged."""
        for number, kinds in enumerate(self._kinds):
            if told & kinds:
                left = self._left.setdefault(device, list(self._most))
                if left[number] > 0:
                    left[number] -= 1
                    return True
        return False


@dataclass(slots=True)
class Timers:
    """When a device that has begun is given up on, as AWS IoT Jobs has it.

    A step timer replaces the one before it and cannot outlive the timer of the whole.
    """

    progress_ms: int | None = None
    step_ms: int | None = None

    @property
    def due_ms(self) -> int | None:
        """The earlier of the two; None if there is neither."""
        return min((t for t in (self.progress_ms, self.step_ms) if t is not None), default=None)
