"""A policy alone: it is asked when it wants to be, and shown the counts of what it has been told.

The rules of asking are those of `simlib.rollout.policy`, for one who tells of devices in bulk or one by one.
Who has the release, and what becomes of a decision, is the caller's affair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from simlib.rollout.policy import Action, Counter, GroupView, Message, Policy, Told, View
from simlib.rollout.service import SILENT, WITHDRAWN

_COUNTED: Final = {
    int(Told.OFFERED): "offered",
    int(Told.STARTED): "started",
    int(Told.SUCCEEDED): "succeeded",
    int(Told.FAILED): "failed",
    int(Told.SKIPPED): "skipped",
    int(SILENT): "silent",
    int(WITHDRAWN): "withdrawn",
}


class Asked:
    """One policy over one rollout. Times must not fall from call to call."""

    def __init__(self, policy: Policy, sizes: Sequence[int]) -> None:
        """`sizes` are the devices of each group."""
        self._policy = policy
        self._sizes = tuple(sizes)
        self._counts = [dict.fromkeys((*_COUNTED.values(), "released"), 0) for _ in self._sizes]
        self._views: list[GroupView | None] = [None] * len(self._sizes)
        self._armed: dict[int, list[tuple[Counter, int]]] = {}
        self._news: list[Message] = []
        self._asked_ms = -1
        self.wants_knock = False
        self.due_ms: int | None = 0
        """When it is to be asked next, a multiple of its interval; None: never, as things stand."""

    def tell(self, now_ms: int, group: int, told: int, count: int = 1) -> None:
        """So many devices of `group` have, for the first time, done all that the flags `told` say."""
        counts = self._counts[group]
        for flag, name in _COUNTED.items():
            if told & flag:
                counts[name] += count
        self._views[group] = None
        if group in self._armed:
            seen = self.view(group)
            if any(_count(seen, counter) >= least for counter, least in self._armed[group]):
                self._ask_at(now_ms)

    def hear(self, message: Message) -> None:
        """A message as it came in, for a policy that reads them."""
        if self._policy.wants_news:
            self._news.append(message)

    def release(self, group: int, count: int) -> None:
        """So many devices more of `group` may have the release."""
        self._counts[group]["released"] += count
        self._views[group] = None

    def knock(self, now_ms: int) -> tuple[Action, ...]:
        """What the policy decides about a knock without a permit; nothing if it does not care."""
        return self._ask(now_ms, knocked=True) if self.wants_knock else ()

    def ask(self, now_ms: int) -> tuple[Action, ...]:
        """What the policy decides at `due_ms`, which `now_ms` must be."""
        self._asked_ms = now_ms
        return self._ask(now_ms, knocked=False)

    def _ask(self, now_ms: int, knocked: bool) -> tuple[Action, ...]:
        seen = View(now_ms, tuple(map(self.view, range(len(self._sizes)))), tuple(self._news), knocked)
        self._news.clear()
        self.due_ms = None
        decision = self._policy.decide(seen)
        wake = decision.wake
        self.wants_knock = wake.knock
        if wake.at_ms is not None:
            self._ask_at(wake.at_ms)
        armed: dict[int, list[tuple[Counter, int]]] = defaultdict(list)
        for group, counter, least in wake.counts:
            armed[group].append((counter, least))
            if _count(seen.groups[group], counter) >= least:
                self._ask_at(now_ms)
        self._armed = armed
        return decision.actions

    def view(self, group: int) -> GroupView:
        """What the policy would be shown of a group."""
        seen = self._views[group]
        if seen is None:
            seen = self._views[group] = GroupView(self._sizes[group], **self._counts[group])
        return seen

    def _ask_at(self, earliest_ms: int) -> None:
        """Be due at the first tick at or after `earliest_ms`, and at no tick twice."""
        interval = self._policy.interval_ms
        tick = -(-max(earliest_ms, self._asked_ms + 1) // interval) * interval
        self.due_ms = tick if self.due_ms is None else min(self.due_ms, tick)


def _count(seen: GroupView, counter: Counter) -> int:
    return int(getattr(seen, counter.value))
