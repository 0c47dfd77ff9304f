"""The dry run of a gate: what a policy would have decided, and when, shown the log of a past rollout.

What happened, happened: the log's devices came, began and reported as they did under whoever decided then,
and the policy judges what it is shown of it. Its deadline runs from a device's start in the log. At a service
that is asked, a device's first row is its knock, of which the policy may learn where it has no permit for it.

Who a stop would have spared: of CANCEL those that began later in the log (or reported an end later, without
a word about a beginning), of DISABLE those that were offered the release later, of PAUSE the latter in groups
that the policy had not opened.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simlib.errors import InputError
from simlib.rollout.alone import Decided
from simlib.rollout.events import Event
from simlib.rollout.policy import STOPS, Action, Policy, Told, Verb
from simlib.rollout.replay import EventRollout, Retries
from simlib.rollout.service import SILENT, WITHDRAWN
from simlib.rollout.trace import TEN_YEARS_MS

COUNTED: Final = ("offered", "started", "succeeded", "failed", "silent")
_NEVER: Final = 1 << 62
_STARTED: Final = int(Told.STARTED)
_FAILED: Final = int(Told.FAILED)
_VERDICT: Final = int(Told.SUCCEEDED | Told.FAILED | Told.SKIPPED | SILENT | WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Spared:
    """What a stop would have kept from happening."""

    devices: int
    failed: int  # of them reported a failure in the log
    silent: int  # of them began and never reported an end in the log


@dataclass(frozen=True, slots=True)
class Stop:
    """The first decision that stops something, as the place in the decisions."""

    place: int
    offered_later: int  # devices first offered the release in the log after the decision
    started_later: int
    failed_later: int
    spared: Spared


@dataclass(frozen=True, slots=True)
class DryRun:
    """What the policy would have decided; `by_then` has, for each decision, the counts of `COUNTED`."""

    sizes: tuple[int, ...]
    rows: int
    decisions: tuple[Decided, ...]
    by_then: tuple[tuple[int, ...], ...]
    stop: Stop | None

    def document(self) -> dict[str, Any]:
        """The object that ``simlib policy dry-run --json`` prints."""
        decisions = [
            decided.document() | dict(zip(COUNTED, counts, strict=True))
            for decided, counts in zip(self.decisions, self.by_then, strict=True)
        ]
        stop = None
        if self.stop is not None:
            spared = self.stop.spared
            stop = decisions[self.stop.place] | {
                "later": {
                    "offered": self.stop.offered_later,
                    "started": self.stop.started_later,
                    "failed": self.stop.failed_later,
                },
                "spared": {"devices": spared.devices, "failed": spared.failed, "silent": spared.silent},
            }
        return {
            "groups": [{"group": k, "size": size} for k, size in enumerate(self.sizes, start=1)],
            "log": {"rows": self.rows},
            "decisions": decisions,
            "stop": stop,
        }


def dry_run(
    policy: Policy,
    sizes: Sequence[int],
    log: Sequence[Event],
    until_ms: int | None = None,
    groups: Sequence[int] | None = None,
) -> DryRun:
    """What `policy` makes of `log`, in order of time, up to and including `until_ms` (None: while anything
    happens). `groups` has each device's group, from 0; None: they fill the groups of `sizes` in order.
    """
    rollout = _LogRollout(policy, sizes, log, groups)
    rollout.run(TEN_YEARS_MS if until_ms is None else until_ms)
    stops = [k for k, decided in enumerate(rollout.decisions) if decided.decision in STOPS]
    stop = _stop(rollout, stops[0], log) if stops else None
    return DryRun(rollout.sizes, len(log), tuple(rollout.decisions), tuple(rollout.by_then), stop)


def groups_in(log: Sequence[Event], count: int, devices: int, source: str) -> tuple[int, ...] | None:
    """Each device's group as the log has it, for a policy of `count` groups.

    None where the log has no groups, or the policy only one. A device that the log does not name is in the
    last group. Raises `InputError` for a group there is not, and for a device in two.
    """
    if count == 1 or not log or log[0].group is None:
        return None
    found: dict[int, int] = {}
    for event in log:
        assert event.group is not None, "a column is there in every row"
        where = f"{source}: group of device {event.device}"
        if event.group >= count:
            raise InputError(f"{where}: found {event.group + 1}, expected 1 to {count}, the policy's groups")
        before = found.setdefault(event.device, event.group)
        if before != event.group:
            raise InputError(f"{where}: found {event.group + 1} after {before + 1}, expected one group")
    return tuple(found.get(device, count - 1) for device in range(devices))


def sizes_of(groups: Sequence[int], count: int) -> tuple[int, ...]:
    """Devices in each of `count` groups."""
    held = Counter(groups)
    return tuple(held[group] for group in range(count))


class _LogRollout(EventRollout):
    def __init__(
        self, policy: Policy, sizes: Sequence[int], log: Sequence[Event], groups: Sequence[int] | None
    ) -> None:
        super().__init__(policy, sizes, log)
        self.by_then: list[tuple[int, ...]] = []
        self.opened_by_stop: frozenset[int] = frozenset()
        self._stopped = False
        self._knocks_listed = True
        if groups is not None:
            self._groups = dict(enumerate(groups))

    def run(self, until_ms: int) -> None:
        super().run(until_ms)
        self._count()

    def _happen(self, now: int) -> None:
        self._count()
        super()._happen(now)

    def _ask(self, now: int) -> None:
        self._count()
        super()._ask(now)
        self._count()

    def _question(self, now: int) -> None:
        self._count()
        super()._question(now)
        self._count()

    def _count(self) -> None:
        """Note what is known by now, for the decisions that have been logged since."""
        if len(self.by_then) < len(self.decisions):
            seen = [self.asked.view(group) for group in range(len(self.sizes))]
            counts = tuple(sum(getattr(group, name) for group in seen) for name in COUNTED)
            self.by_then += [counts] * (len(self.decisions) - len(self.by_then))

    def _carry_out(self, now: int, action: Action, at_knock: bool = False) -> None:
        if action.verb in STOPS and not self._stopped:
            self._stopped = True
            self.opened_by_stop = frozenset(group for _, group in self._opened)
        super()._carry_out(now, action, at_knock)

    def _take(self, event: Event) -> None:
        if self.pull and not self._told[event.device]:
            self._knock(event.time_ms, event.device)
        elif self.pull and not int(event.told):
            self._hear_of(event.time_ms, event.device)
        if int(event.told):
            if self.pull and not self._told[event.device]:
                self._book(event.time_ms, self.group_of(event.device), 1)
            super()._take(event)

    def _knock(self, now: int, device: int) -> None:
        if self.pull and not self._room(self.group_of(device)):
            self._question(now)


def _stop(rollout: _LogRollout, place: int, log: Sequence[Event]) -> Stop:
    """What the decision at `place` would have spared of what the log has."""
    decided = rollout.decisions[place]
    devices = sum(rollout.sizes)
    offered, started, began, failed = (array("q", [_NEVER]) * devices for _ in range(4))
    ended = bytearray(devices)
    retries = Retries(rollout.forgives)
    for event in log:  # in order of time: the first of its kind is the earliest
        told, device, time = int(event.told), event.device, event.time_ms
        if told:
            offered[device] = min(offered[device], time)
        if told & _STARTED:
            started[device] = min(started[device], time)
        if told & (_STARTED | _VERDICT):
            began[device] = min(began[device], time)
        if told & _VERDICT and not ended[device] and not retries.forgive(device, told):
            ended[device] = 1
            if told & _FAILED:
                failed[device] = time

    def later(times: Sequence[int]) -> Iterator[int]:
        return (device for device in range(devices) if decided.time_ms < times[device] < _NEVER)

    spared = list(later(began if decided.decision == Verb.CANCEL else offered))
    if decided.decision == Verb.PAUSE:
        spared = [device for device in spared if rollout.group_of(device) not in rollout.opened_by_stop]
    return Stop(
        place,
        offered_later=sum(1 for _ in later(offered)),
        started_later=sum(1 for _ in later(started)),
        failed_later=sum(1 for _ in later(failed)),
        spared=Spared(
            len(spared),
            sum(failed[device] < _NEVER for device in spared),
            sum(began[device] < _NEVER and not ended[device] for device in spared),
        ),
    )
