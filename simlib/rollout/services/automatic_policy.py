"""The policy of automatic deployment: each ring is offered the release on its day, and one rule watches all.

The rule is Windows Update's: when the share of devices that rolled back among the judged ones of any ring
that is open reaches the threshold, its action is done. ``alertError`` changes nothing about who is offered
what, so it is no affair of the policy. A ring counts as done when nothing more is awaited of it or its
deadline has passed; the rollout is finished when every ring is done. Who resumes a paused deployment has
accepted the failures so far: only what comes in later is judged. Rings whose day came meanwhile open then.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from simlib.rollout.policy import Action, Counter, Decision, GroupView, Policy, Verb, View, Wake
from simlib.rollout.services.calendar import percent


@dataclass(frozen=True, slots=True)
class Ring:
    """A part of the fleet that is offered the release together."""

    name: str
    share: Fraction  # of the fleet
    opens_ms: int  # since the start
    done_ms: int | None  # its deadline, since the start; None: it has none


@dataclass(frozen=True, slots=True)
class Rule:
    """When the deployment is paused."""

    threshold: Fraction  # of the judged devices; at least this share
    min_sample: int  # judged devices before the share counts
    verb: Verb  # what a pause is: CANCEL withdraws the release from who has not begun, PAUSE keeps rings shut

    def met(self, failed: int, judged: int) -> bool:
        """Whether so many failures are too many."""
        return failed > 0 and judged >= self.min_sample and failed >= self.threshold * judged

    def least(self, others: int) -> int | None:
        """The fewest failures that could meet the threshold beside `others` judged devices; None: no number.

        failed ≥ threshold × (failed + others) ⇔ failed × (1 − threshold) ≥ threshold × others. More others
        only raise it, so it is a bound to wake at, not yet the pause.
        """
        if self.threshold == 1:
            return None if others else 1
        return max(1, -int(-self.threshold * others / (1 - self.threshold) // 1))


class Automatic(Policy):
    """One deployment; see the module's docstring for the rules."""

    def __init__(self, rings: tuple[Ring, ...], rule: Rule | None, silent_ms: int) -> None:
        self.deadline_ms = silent_ms
        self._rings = rings
        self._rule = rule
        self._order = sorted(range(len(rings)), key=lambda number: rings[number].opens_ms)
        self._opened = 0  # rings of that order
        self._paused = False
        self._finished = False
        self._accepted = [(0, 0)] * len(rings)  # failed and judged of each ring when it was resumed

    def decide(self, view: View) -> Decision:
        """The rule first, then the rings that are due."""
        if self._paused:
            return Decision()
        if self._rule is not None:
            for number in self._order[: self._opened]:
                failed, judged = self._judgement(view, number)
                if self._rule.met(failed, judged):
                    self._paused = True
                    found = f"{failed} of {judged} judged devices rolled back"
                    detail = f"{found}, at least {percent(self._rule.threshold)}: pausedByMonitoring"
                    return Decision((Action(self._rule.verb, number, detail),))
        return Decision(tuple(self._go_on(view)), self._wake(view))

    def resume(self, view: View) -> Decision:
        """The rings that were open are open again, and those whose day came meanwhile."""
        if not self._paused:
            return Decision((), self._wake(view))
        self._paused = False
        self._accepted = [(ring.failed, ring.judged) for ring in view.groups]
        again = [Action(Verb.OPEN, number, "resumed") for number in self._order[: self._opened]]
        return Decision((*again, *self._go_on(view)), self._wake(view))

    def _go_on(self, view: View) -> list[Action]:
        actions = []
        while (due_ms := self._next_ms()) is not None and due_ms <= view.now_ms:
            number = self._order[self._opened]
            actions.append(Action(Verb.OPEN, number, self._rings[number].name))
            self._opened += 1
        if self._opened == len(self._rings) and not self._finished:
            self._finished = all(map(self._done, self._rings, view.groups, [view.now_ms] * self._opened))
            if self._finished:
                actions.append(Action(Verb.FINISH, self._opened - 1))
        return actions

    def _next_ms(self) -> int | None:
        """When the next ring opens."""
        if self._opened == len(self._rings):
            return None
        return self._rings[self._order[self._opened]].opens_ms

    def _done(self, ring: Ring, seen: GroupView, now_ms: int) -> bool:
        return seen.settled >= seen.size or (ring.done_ms is not None and now_ms >= ring.done_ms)

    def _judgement(self, view: View, number: int) -> tuple[int, int]:
        """Failed and judged devices of a ring since the deployment was last resumed."""
        seen, (failed, judged) = view.groups[number], self._accepted[number]
        return seen.failed - failed, seen.judged - judged

    def _wake(self, view: View) -> Wake:
        times: list[int] = []
        counts: list[tuple[int, Counter, int]] = []
        if (due_ms := self._next_ms()) is not None:
            times.append(due_ms)
        elif not self._finished:
            for number, (ring, seen) in enumerate(zip(self._rings, view.groups, strict=True)):
                if not self._done(ring, seen, view.now_ms):
                    counts.append((number, Counter.SETTLED, seen.size))
                    if ring.done_ms is not None:
                        times.append(ring.done_ms)
        if self._rule is not None:
            for number in self._order[: self._opened]:
                counts += self._watch(self._rule, view, number)
        return Wake(min(times, default=None), tuple(counts))

    def _watch(self, rule: Rule, view: View, number: int) -> list[tuple[int, Counter, int]]:
        failed, judged = self._judgement(view, number)
        bound = rule.least(judged - failed)
        if bound is None:
            return []
        accepted_failed, accepted_judged = self._accepted[number]
        if failed < bound:
            return [(number, Counter.FAILED, accepted_failed + bound)]
        # enough failures already: only the sample is still too small
        return [(number, Counter.JUDGED, accepted_judged + max(rule.min_sample, judged + 1))]
