"""The `staged` policy: groups one after another, each behind a gate.

A group opens when the one before it has had its success threshold of reported successes (a share of the
group) and has then soaked for its soak time. Every group that has opened stays under watch: when at
least `min_sample` of its devices are judged and more than `error_threshold` of the judged have failed or
gone silent, the whole rollout halts (strictly more, as hawkBit's error condition reads). A group of
which nobody is left to judge has passed. When the last group has passed and soaked, the rollout is
finished; it stays under watch all the same. Thresholds are exact fractions.
"""

from __future__ import annotations

from fractions import Fraction

from simlib.rollout.policy import Action, Counter, Decision, GroupView, Verb, View, Wake
from simlib.scenario.model import GroupSpec, RolloutSpec


def too_many_errors(gate: GroupSpec, seen: GroupView) -> bool:
    """The halt condition of one group."""
    return seen.judged >= max(gate.min_sample, 1) and seen.errors > gate.error_threshold * seen.judged


def errors_to_halt(gate: GroupSpec, succeeded: int) -> int | None:
    """The least number of errors that could halt the rollout beside `succeeded` successes; None: no number.

    errors > threshold × (succeeded + errors) ⇔ errors × (1 − threshold) > threshold × succeeded.
    More successes only raise it, so it is a bound to wake at, not yet the halt.
    """
    if gate.error_threshold >= 1:
        return None
    return int(gate.error_threshold * succeeded / (1 - gate.error_threshold)) + 1


def successes_to_pass(gate: GroupSpec, size: int) -> int:
    """Reported successes that a group of `size` needs before its soak starts, rounded up."""
    return -int(-gate.success_threshold * size // 1)


class Staged:
    """The policy's state: which group is newest, and since when it soaks."""

    def __init__(self, spec: RolloutSpec) -> None:
        self.deadline_ms = spec.deadline_ms
        self._gates = spec.groups
        self._newest = -1
        self._passed_ms: int | None = None
        self._finished = False
        self._halted = False

    def decide(self, view: View) -> Decision:
        """See the module's docstring for the rules."""
        if self._halted:
            return Decision()
        for number in range(self._newest + 1):
            if too_many_errors(self._gates[number], view.groups[number]):
                self._halted = True
                return Decision((Action(Verb.HALT, number, _judgement(view.groups[number])),))
        actions: list[Action] = []
        while not self._finished and self._may_go_on(view):
            if self._newest + 1 == len(self._gates):
                self._finished = True
                actions.append(Action(Verb.FINISH, self._newest))
                break
            self._newest += 1
            self._passed_ms = None
            actions.append(Action(Verb.OPEN, self._newest))
        return Decision(tuple(actions), self._wake(view))

    def _may_go_on(self, view: View) -> bool:
        if self._newest < 0:
            return True
        gate, seen = self._gates[self._newest], view.groups[self._newest]
        settled = seen.judged + seen.skipped
        if self._passed_ms is None and (
            seen.succeeded >= successes_to_pass(gate, seen.size) or settled == seen.size
        ):
            self._passed_ms = view.now_ms
        return self._passed_ms is not None and view.now_ms >= self._passed_ms + gate.soak_ms

    def _wake(self, view: View) -> Wake:
        counts: list[tuple[int, Counter, int]] = []
        for number in range(self._newest + 1):
            gate, seen = self._gates[number], view.groups[number]
            bound = errors_to_halt(gate, seen.succeeded)
            if bound is None:
                continue
            if seen.errors < bound:
                counts.append((number, Counter.ERRORS, bound))
            else:  # enough errors already: only the sample is still too small
                counts.append((number, Counter.JUDGED, max(gate.min_sample, seen.judged + 1)))
        at_ms = None
        if not self._finished:
            gate, seen = self._gates[self._newest], view.groups[self._newest]
            if self._passed_ms is None:
                counts.append((self._newest, Counter.SUCCEEDED, successes_to_pass(gate, seen.size)))
                counts.append((self._newest, Counter.SETTLED, seen.size))
            else:
                at_ms = self._passed_ms + gate.soak_ms
        return Wake(at_ms, tuple(counts))


def _judgement(seen: GroupView) -> str:
    share = Fraction(seen.errors, seen.judged)
    return f"{seen.errors} of {seen.judged} judged failed or silent ({float(share):.2%})"
