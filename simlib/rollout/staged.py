"""The `staged` policy: groups one after another, each behind a gate.

A group opens when the one before it has had its success threshold of reported successes (a share of the
group) and has then soaked for its soak time. Every group that has opened stays under watch: when its gate
(`simlib.rollout.gates`) says that too many of its judged devices have failed or gone silent, the whole
rollout halts. A gate that compares a metric of the group with that of the devices still to come does so
once, when the group has soaked and before the next one opens. A group of which nobody is left to judge has
passed. When the last group has passed and soaked, the rollout is finished; it stays under watch all the
same.

When the operator lifts a halt, the group that caused it is taken as judged: it has passed and is not looked
at again, and the rollout goes on with the others. Thresholds are exact fractions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from simlib.rollout.gates import Gate, gate_of
from simlib.rollout.policy import Action, Counter, Decision, GroupView, Policy, Verb, View, Wake
from simlib.scenario.model import GroupSpec


def successes_to_pass(group: GroupSpec, size: int) -> int:
    """Reported successes that a group of `size` needs before its soak starts, rounded up."""
    return -int(-group.success_threshold * size // 1)


def errors_to_wake_at(gate: Gate, seen: GroupView) -> int | None:
    """The least number of errors above those seen that could halt the rollout; None: no number.

    More successes only raise the bound. A device that vanishes after its success lowers it, as it takes a
    success away with the error it adds; so it is the number that would do if every further error were of that
    kind. It is a number to wake at, not yet the halt.
    """
    succeeded = seen.judged - seen.errors
    if gate.errors_to_halt(0) is None:
        return None
    low, high = 1, 1
    while not _could_halt(gate, seen.errors + high, succeeded - high):
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        if _could_halt(gate, seen.errors + middle, succeeded - middle):
            high = middle
        else:
            low = middle + 1
    return seen.errors + high


def _could_halt(gate: Gate, errors: int, succeeded: int) -> bool:
    least = gate.errors_to_halt(max(succeeded, 0))
    return least is not None and errors >= least


class Staged(Policy):
    """The policy's state: which group is newest, since when it soaks, and what a gate has stopped."""

    def __init__(self, groups: Sequence[GroupSpec], *, interval_ms: int, deadline_ms: int) -> None:
        self.interval_ms = interval_ms
        self.deadline_ms = deadline_ms
        self._groups = tuple(groups)
        self._gates = tuple(map(gate_of, groups))
        self._newest = -1
        self._passed_ms: int | None = None
        self._finished = False
        self._halted: int | None = None  # the group whose gate fired
        self._lifted: set[int] = set()

    def decide(self, view: View) -> Decision:
        """See the module's docstring for the rules."""
        if self._halted is not None:
            return Decision()
        for number in self._watched():
            seen = view.groups[number]
            if self._gates[number].halts(seen):
                return self._halt(number, _judgement(seen))
        actions: list[Action] = []
        while not self._finished and self._may_go_on(view):
            if worse := self._compared(view):
                halt = self._halt(self._newest, worse)
                return Decision((*actions, *halt.actions))
            if self._newest + 1 == len(self._groups):
                self._finished = True
                actions.append(Action(Verb.FINISH, self._newest))
                break
            self._newest += 1
            self._passed_ms = None
            actions.append(Action(Verb.OPEN, self._newest))
        return Decision(tuple(actions), self._wake(view))

    def resume(self, view: View) -> Decision:
        """The group that halted the rollout is taken as judged; the others go on where they were."""
        if self._halted is not None:
            self._lifted.add(self._halted)
            self._halted = None
        return self.decide(view)

    def _watched(self) -> list[int]:
        """The groups whose gates still count."""
        return [number for number in range(self._newest + 1) if number not in self._lifted]

    def _halt(self, number: int, why: str) -> Decision:
        self._halted = number
        return Decision((Action(Verb.CANCEL, number, why),))

    def _may_go_on(self, view: View) -> bool:
        if self._newest < 0 or self._newest in self._lifted:
            return True
        group, seen = self._groups[self._newest], view.groups[self._newest]
        if self._passed_ms is None and (
            seen.succeeded >= successes_to_pass(group, seen.size) or seen.settled == seen.size
        ):
            self._passed_ms = view.now_ms
        return self._passed_ms is not None and view.now_ms >= self._passed_ms + group.soak_ms

    def _compared(self, view: View) -> str:
        """What speaks against the newest group, which has passed and soaked; empty for nothing."""
        number = self._newest
        if number < 0 or number in self._lifted or not self._gates[number].compares or view.metric is None:
            return ""
        canary, control = view.metric(number)
        if not self._gates[number].worse(canary, control):
            return ""
        return f"metric of {len(canary)} devices greater than that of {len(control)} others"

    def _wake(self, view: View) -> Wake:
        counts: list[tuple[int, Counter, int]] = []
        for number in self._watched():
            gate, seen = self._gates[number], view.groups[number]
            if _could_halt(gate, seen.errors, seen.judged - seen.errors):  # only the sample is too small
                counts.append((number, Counter.JUDGED, max(gate.min_sample, seen.judged + 1)))
            elif (errors := errors_to_wake_at(gate, seen)) is not None:
                counts.append((number, Counter.ERRORS, errors))
        at_ms = None
        if not self._finished:
            group, seen = self._groups[self._newest], view.groups[self._newest]
            if self._passed_ms is None:
                counts.append((self._newest, Counter.SUCCEEDED, successes_to_pass(group, seen.size)))
                counts.append((self._newest, Counter.SETTLED, seen.size))
            else:
                at_ms = self._passed_ms + group.soak_ms
        return Wake(at_ms, tuple(counts))


def _judgement(seen: GroupView) -> str:
    share = Fraction(seen.errors, seen.judged)
    return f"{seen.errors} of {seen.judged} judged failed or silent ({float(share):.2%})"


def counts_in(detail: str) -> tuple[int, int] | None:
    """Errors and judged devices of the halt that `detail` tells of; None where no count of errors halted."""
    match = _COUNTS.match(detail)
    return None if match is None else (int(match[1]), int(match[2]))


_COUNTS: Final = re.compile("([0-9]+) of ([0-9]+) judged ")
