"""What a rollout policy is shown, and what it may answer.

A policy sees what a real server sees: how many devices of each group it has released, which of them came,
began, reported success or failure, or went silent past the deadline. It never sees the truth.

It is asked at the first of the service's ticks at or after something it asked for happens. So with each
decision it says when it wants to be asked again (`Wake`). The contract that makes skipping ticks exact:
at any tick before the first one at which a wake condition holds, the policy would have decided nothing
and kept its state. Counters only grow, so a condition that has come true stays true. A condition that
already holds when it is declared fires at the next tick.

There are two ways to let devices have the release. A service that pushes names them: whole groups (OPEN) or
the first so many of a group in the fleet's order of release (RELEASE); each comes at its next check-in. At a
service that is asked (`Policy.pull`) every device of the fleet knocks at each of its check-ins until it is
admitted, and an ADMIT is a permit that the clock enforces by itself: the next to knock are let in until so
many of the group have been. What a policy decides at a tick holds for events after it. With `Wake.knock`, a
knock that no permit covers has the policy asked at once, in the middle of its millisecond, beside the
questions at ticks; what it permits then holds for that knock already.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group, as the reports so far show it. All are counts of devices that never fall."""

    size: int
    offered: int  # have come and been offered the release
    started: int
    succeeded: int
    failed: int  # reported a failure
    silent: int  # began, and reported no end within the deadline
    skipped: int  # reported that they will not update: not eligible, or deferred for good
    vanished: int = 0  # reported success, and have not been heard of since for too long
    released: int = 0  # may have it: of a pulling service's groups those that were admitted
    withdrawn: int = 0  # the service itself took the release back from them

    @property
    def errors(self) -> int:
        """Failed, silent and vanished devices."""
        return self.failed + self.silent + self.vanished

    @property
    def judged(self) -> int:
        """Devices with a verdict for or against the release; a vanished one has had its own already."""
        return self.succeeded + self.failed + self.silent

    @property
    def settled(self) -> int:
        """Devices of which nothing more is awaited."""
        return self.judged + self.skipped + self.withdrawn


class Told(IntFlag):
    """What a message of a device says; one message may say several."""

    OFFERED = 1  # it has come and was offered the release
    STARTED = 2
    SUCCEEDED = 4
    FAILED = 8
    SKIPPED = 16  # it will not update


class Message(NamedTuple):
    """A message of one device, as it arrived."""

    time_ms: int
    device: int
    told: Told


@dataclass(frozen=True, slots=True)
class View:
    """Everything the server knows at `now_ms`, reports of that very millisecond included.

    `news` are the messages since the policy was last asked, in the order in which they came, for a policy
    with `wants_news`; `knocked` says that a device is knocking, and waits for what the policy decides.
    `metric(group)` gives what the devices last told of a continuous quantity (their own power [µJ/h]): of the
    group's devices that reported success, and of the control, devices that may not have the release yet.
    """

    now_ms: int
    groups: tuple[GroupView, ...]
    news: Sequence[Message] = ()
    knocked: bool = False
    metric: Callable[[int], tuple[Sequence[int], Sequence[int]]] | None = None


class Verb(StrEnum):
    """What a policy can do."""

    OPEN = "open"  # all devices of the group may have the release
    RELEASE = "release"  # so do the first `count` of the group, of a service that pushes
    ADMIT = "admit"  # let devices in that knock until `count` of the group have been, of one that is asked
    PAUSE = "pause"  # no further group will open; what has been released stays released
    CANCEL = "cancel"  # nobody who has not begun may have the release any more
    DISABLE = "disable"  # no further device is let in; who was let in stays so
    FINISH = "finish"


STOPS = (Verb.PAUSE, Verb.CANCEL, Verb.DISABLE)
"""What a service does when a gate fires."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do. `detail` is for the log.

    `group` counts from 0: the one to open, release or admit to, the one whose errors stop the rollout, or of
    FINISH the last one, which has passed. None where the whole rollout is meant. `count` is cumulative: a
    RELEASE or ADMIT that names no more than were released or admitted before lets nobody in.
    """

    verb: Verb
    group: int | None = None
    detail: str = ""
    count: int = 0
    planned: bool = False  # of a stop: by the rollout's own plan, not because of what was reported


class Counter(StrEnum):
    """A count of a `GroupView` that a wake condition may name."""

    OFFERED = "offered"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SILENT = "silent"
    SKIPPED = "skipped"
    ERRORS = "errors"
    JUDGED = "judged"
    SETTLED = "settled"  # judged, skipped or withdrawn


@dataclass(frozen=True, slots=True)
class Wake:
    """When to be asked again: at a time, when a count of a group reaches a number, or when a device knocks
    that no permit covers; whichever is first.
    """

    at_ms: int | None = None
    counts: tuple[tuple[int, Counter, int], ...] = ()  # (group, counter, at least)
    knock: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """A policy's answer: what to do now, and when to ask again."""

    actions: tuple[Action, ...] = ()
    wake: Wake = Wake()


class Policy(ABC):
    """A rollout policy: one object a run, asked in the order of time.

    Attributes, which a subclass or its object may set:

    - `interval_ms`: the service looks at multiples of this; 1: at once;
    - `deadline_ms`: a device that began and has not reported its end by then is silent, a permit the clock
      enforces by itself; 0: no deadline;
    - `pull`: devices knock, and ADMIT lets them in;
    - `wants_news`: `View.news` is filled;
    - `forgives`: verdicts that the service has retried, each as flags (`FAILED`, or `service.SILENT`) and how
      many verdicts of these kinds a device is forgiven in all. A verdict is charged to the first budget that
      names its kind and has something left; then it is not counted, and the device may start again. Only a
      rollout alone (`simlib.rollout.replay`) goes by this: in a fleet devices try again by themselves, as
      `Service.dictate` has it.
    """

    interval_ms: int = 1
    deadline_ms: int = 0
    pull: bool = False
    wants_news: bool = False
    forgives: tuple[tuple[Told, int], ...] = ()

    @abstractmethod
    def decide(self, view: View) -> Decision:
        """What to do at ``view.now_ms``; called first at time 0, before anything has happened."""

    def resume(self, view: View) -> Decision:
        """The operator lifts what has stopped the rollout. By default the policy is only asked again."""
        return self.decide(view)
