"""The `hawkbit` policy: groups in a row, each started when the one before it has had success or is complete.

At each tick of the scheduler, for every group that was RUNNING when it began, the oldest first
(JpaRolloutExecutor, ThresholdRolloutGroup*Condition):

1. more errors than the error threshold allows, of the group's size: the group is in ERROR and the rollout
   PAUSED. Its success is not looked at in that pass, which goes on to the groups after it: the option
   ``errorEndsPass`` ends it there;
2. else, with enough finished actions, or when every action has ended: the success action. NEXTGROUP starts
   the next group; PAUSE pauses the rollout if the next group is still SCHEDULED;
3. a group all of whose actions have ended is FINISHED. One that merely passed stays RUNNING and under watch.

The rollout is FINISHED when no group is RUNNING or SCHEDULED, a dynamic one never. A RUNNING rollout none of
whose groups is RUNNING starts the next SCHEDULED one, so that resuming after an error goes past the group in
ERROR. hawkBit knows no silence and no retry. In a fleet of fixed membership the groups keep their size.
DOWNLOAD_ONLY actions end with DOWNLOADED (`hawkbit.words`). Devices of a simulated fleet do not send it, and
count when they have finished.
"""

from __future__ import annotations

from enum import StrEnum

from simlib.rollout.policy import Action, Counter, Decision, GroupView, Policy, Verb, View, Wake
from simlib.rollout.services.hawkbit_config import Config, Group


class Status(StrEnum):
    """A group's, or the rollout's."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    ERROR = "error"


def in_error(group: Group, seen: GroupView) -> bool:
    """Whether more have failed than the error condition allows; of no targets none."""
    return group.error is not None and seen.failed * 100 > group.error * seen.size


def has_success(group: Group, seen: GroupView) -> bool:
    """Whether enough have finished; of no targets none is enough."""
    return seen.succeeded * 100 >= group.success * seen.size


def is_complete(seen: GroupView) -> bool:
    """Whether every action has ended: finished, in error or canceled. A silent one has not."""
    return seen.succeeded + seen.failed + seen.skipped >= seen.size


class HawkBit(Policy):
    """The policy's state: that of the rollout and of each group."""

    def __init__(self, config: Config) -> None:
        self.interval_ms = config.interval_ms
        self._config = config
        self._groups = config.groups
        self._status = [Status.SCHEDULED] * len(config.groups)
        self._rollout = Status.RUNNING
        self._passed = False  # it is paused because a group had success

    def decide(self, view: View) -> Decision:
        """See the module's docstring for the rules."""
        if self._rollout is not Status.RUNNING:
            return Decision()
        return self._pass(view)

    def resume(self, view: View) -> Decision:
        """Running again: a pass at once.

        After a success action PAUSE the operator starts the next group too, for the group that passed would
        pause the rollout again.
        """
        if self._rollout is not Status.PAUSED:
            return Decision((), self._wake(view))
        self._rollout = Status.RUNNING
        if not self._passed:
            return self._pass(view)
        self._passed = False
        return Decision(tuple(self._start_next()), self._wake(view))

    def _pass(self, view: View) -> Decision:
        actions: list[Action] = []
        running = [n for n, status in enumerate(self._status) if status is Status.RUNNING]
        if not running:
            actions += self._start_next()
        for number in running:
            actions += self._judge(number, view.groups[number])
            if self._rollout is Status.PAUSED and (self._passed or self._config.error_ends_pass):
                break
        if self._rollout is Status.RUNNING and not self._config.dynamic and self._is_over():
            self._rollout = Status.FINISHED
            actions.append(Action(Verb.FINISH, len(self._groups) - 1))
        return Decision(tuple(actions), self._wake(view))

    def _judge(self, number: int, seen: GroupView) -> list[Action]:
        group = self._groups[number]
        actions: list[Action] = []
        if in_error(group, seen):
            self._status[number] = Status.ERROR
            if self._rollout is Status.RUNNING:
                self._rollout = Status.PAUSED
                detail = f"{seen.failed} of {seen.size} in error, more than {group.error} %"
                actions.append(Action(Verb.PAUSE, number, detail))
            return actions
        complete = is_complete(seen)
        if (has_success(group, seen) or complete) and self._child_waits(number):
            if not group.pauses:
                actions += self._start_next()
            elif self._rollout is Status.RUNNING:
                self._rollout = Status.PAUSED
                self._passed = True
                detail = f"{seen.succeeded} of {seen.size} finished, success action PAUSE"
                actions.append(Action(Verb.PAUSE, number, detail, planned=True))
        if complete:
            self._status[number] = Status.FINISHED
        return actions

    def _child_waits(self, number: int) -> bool:
        return number + 1 < len(self._status) and self._status[number + 1] is Status.SCHEDULED

    def _start_next(self) -> list[Action]:
        if Status.SCHEDULED not in self._status:
            return []
        number = self._status.index(Status.SCHEDULED)
        self._status[number] = Status.RUNNING
        return [Action(Verb.OPEN, number)]

    def _is_over(self) -> bool:
        return Status.RUNNING not in self._status and Status.SCHEDULED not in self._status

    def _wake(self, view: View) -> Wake:
        if self._rollout is not Status.RUNNING:
            return Wake()
        if Status.RUNNING not in self._status and not self._is_over():
            return Wake(view.now_ms + 1)  # the next pass starts a group, past one in error
        counts: list[tuple[int, Counter, int]] = []
        for number, group in enumerate(self._groups):
            if self._status[number] is not Status.RUNNING:
                continue
            seen = view.groups[number]
            if group.error is not None and group.error < 100:
                counts.append((number, Counter.FAILED, group.error * seen.size // 100 + 1))
            if self._child_waits(number):
                counts.append((number, Counter.SUCCEEDED, -(-group.success * seen.size // 100)))
            counts.append((number, Counter.SETTLED, seen.size + seen.silent))
        return Wake(None, tuple(counts))
