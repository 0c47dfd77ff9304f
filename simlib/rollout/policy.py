"""What a rollout policy is shown, and what it may answer.

A policy sees what a real server sees: how many devices of each group were offered the release, began,
reported success or failure, or went silent past the deadline. It never sees the truth.

It is asked at the first of the service's ticks at or after something it asked for happens. So with each
decision it says when it wants to be asked again (`Wake`). The contract that makes skipping ticks exact:
at any tick before the first one at which a wake condition holds, the policy would have decided nothing
and kept its state. Counters only grow, so a condition that has come true stays true. A condition that
already holds when it is declared fires at the next tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group, as the reports so far show it. All are counts of devices that never fall."""

    size: int
    offered: int
    started: int
    succeeded: int
    failed: int  # reported a failure
    silent: int  # began, and reported no end within the deadline
    skipped: int  # reported that they will not update: not eligible, or deferred for good
    vanished: int = 0  # reported success, and have not been heard of since for too long

    @property
    def errors(self) -> int:
        """Failed, silent and vanished devices."""
        return self.failed + self.silent + self.vanished

    @property
    def judged(self) -> int:
        """Devices with a verdict for or against the release; a vanished one has had its own already."""
        return self.succeeded + self.failed + self.silent


@dataclass(frozen=True, slots=True)
class View:
    """Everything the server knows at `now_ms`, reports of that very millisecond included."""

    now_ms: int
    groups: tuple[GroupView, ...]


class Verb(StrEnum):
    """What a policy can do."""

    OPEN = "open"
    HALT = "halt"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do: open a group, halt the rollout, or call it finished. `detail` is for the log.

    `group` is the one to open, the one whose errors halt, or the last one, which has passed.
    """

    verb: Verb
    group: int | None = None
    detail: str = ""


class Counter(StrEnum):
    """A count of a `GroupView` that a wake condition may name."""

    SUCCEEDED = "succeeded"
    ERRORS = "errors"
    JUDGED = "judged"
    SETTLED = "settled"  # judged or skipped


@dataclass(frozen=True, slots=True)
class Wake:
    """When to be asked again: at a time, or when a count of a group reaches a number; whichever is first."""

    at_ms: int | None = None
    counts: tuple[tuple[int, Counter, int], ...] = ()  # (group, counter, at least)


@dataclass(frozen=True, slots=True)
class Decision:
    """A policy's answer: what to do now, and when to ask again."""

    actions: tuple[Action, ...] = ()
    wake: Wake = Wake()


class Policy(Protocol):
    """A rollout policy.

    `deadline_ms` is a permit the clock enforces by itself (see `GroupView.silent`); 0 or less: no deadline.
    """

    deadline_ms: int

    def decide(self, view: View) -> Decision:
        """What to do at ``view.now_ms``; called first at time 0."""
        ...
