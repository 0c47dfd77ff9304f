"""The policy of a rollout by percentages: a person raises the share by the clock, and may look at failures.

The service has no gate of its own. A plan says at which times somebody sets which share. Who judges looks at
the dashboard at fixed times: at a look, when at least `min_sample` devices are judged and failures are at
least `halt_at` of them, in all groups together, the rollout is halted: nobody who has not begun may have the
release any more, and the plan stands still. A person who resumes it has accepted the failures so far: only
what comes in later is judged, and the rest of the plan is later by as long as the halt took.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from simlib.rollout.policy import Action, Counter, Decision, Policy, Verb, View, Wake
from simlib.rollout.services.calendar import percent


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody sets at a time."""

    at_ms: int  # since the start
    groups: int  # that may have the release from then on
    halted: bool = False  # the release is halted, whatever was open; nothing follows


@dataclass(frozen=True, slots=True)
class Judge:
    """A person who looks at the share of failures, and halts."""

    first_ms: int  # of the looks, since the start
    every_ms: int  # between two looks
    halt_at: Fraction  # of the judged devices; at least this share
    min_sample: int  # judged devices before the share counts
    silent_ms: int  # a device that began and has not reported its end by then counts as failed; 0: never

    def looks_at(self, now_ms: int) -> bool:
        """Whether there is a look at `now_ms`."""
        return now_ms >= self.first_ms and (now_ms - self.first_ms) % self.every_ms == 0

    def next_look(self, now_ms: int) -> int:
        """The first look after `now_ms` [ms]."""
        if now_ms < self.first_ms:
            return self.first_ms
        return self.first_ms + ((now_ms - self.first_ms) // self.every_ms + 1) * self.every_ms


class _Counts(NamedTuple):
    errors: int
    judged: int


class Percentage(Policy):
    """One run of a plan; see the module's docstring for the rules."""

    def __init__(self, steps: tuple[Step, ...], judge: Judge | None, groups: int) -> None:
        self.deadline_ms = judge.silent_ms if judge else 0
        self._steps = steps
        self._judge = judge
        self._groups = groups
        self._next = 0  # step of the plan
        self._reached = 0  # groups that have been opened
        self._halted = False  # by the plan or by the judge
        self._stopped_ms: int | None = None  # since when the judge has the plan stand still
        self._late_ms = 0  # how much later than planned the steps are
        self._seen = self._accepted = _Counts(0, 0)  # at the last look; when the rollout was resumed

    def decide(self, view: View) -> Decision:
        """The steps that are due, after a look if one is due as well."""
        if self._stopped_ms is not None:
            return Decision()
        actions: list[Action] = []
        if self._judge is not None and not self._halted and self._judge.looks_at(view.now_ms):
            self._seen = self._counts(view)
            if self._too_bad(self._judge):
                self._halted = True
                self._stopped_ms = view.now_ms
                return Decision((Action(Verb.CANCEL, None, self._verdict(self._judge)),))
        while self._next < len(self._steps) and self._due_ms() <= view.now_ms:
            actions += self._take(self._steps[self._next])
            self._next += 1
        return Decision(tuple(actions), self._wake(view))

    def resume(self, view: View) -> Decision:
        """Whatever was open is open again, and the plan goes on where a judge stopped it."""
        if not self._halted:
            return Decision((), self._wake(view))
        self._halted = False
        if self._stopped_ms is not None:
            self._late_ms += view.now_ms - self._stopped_ms
            self._stopped_ms = None
            self._seen = self._accepted = self._counts(view)
        opened = tuple(Action(Verb.OPEN, group, "resumed") for group in range(self._reached))
        return Decision(opened, self._wake(view))

    def _take(self, step: Step) -> list[Action]:
        if step.halted:
            self._halted = True
            return [Action(Verb.CANCEL, None, "halted by the plan")]
        before, self._reached = self._reached, max(self._reached, step.groups)
        actions = [Action(Verb.OPEN, group) for group in range(before, self._reached)]
        if before < self._reached == self._groups:
            actions.append(Action(Verb.FINISH, self._groups - 1))
        return actions

    def _due_ms(self) -> int:
        return self._steps[self._next].at_ms + self._late_ms

    def _counts(self, view: View) -> _Counts:
        opened = view.groups[: self._reached]
        return _Counts(sum(g.errors for g in opened), sum(g.judged for g in opened))

    def _since_accepted(self) -> _Counts:
        seen, accepted = self._seen, self._accepted
        return _Counts(seen.errors - accepted.errors, seen.judged - accepted.judged)

    def _too_bad(self, judge: Judge) -> bool:
        errors, judged = self._since_accepted()
        return errors > 0 and judged >= judge.min_sample and errors >= judge.halt_at * judged

    def _verdict(self, judge: Judge) -> str:
        errors, judged = self._since_accepted()
        return f"{errors} of {judged} judged devices failed, at least {percent(judge.halt_at)}"

    def _wake(self, view: View) -> Wake:
        times = [self._due_ms()] if self._next < len(self._steps) else []
        counts: list[tuple[int, Counter, int]] = []
        if self._judge is not None and not self._halted:
            errors, judged = self._counts(view)
            known_errors, known_judged = self._since_accepted()
            # More failures make the verdict worse; more judged devices only where the sample was too small.
            too_few = known_errors > 0 and known_judged < self._judge.min_sample
            if errors > self._seen.errors or (too_few and judged > self._seen.judged):
                times.append(self._judge.next_look(view.now_ms))
            else:
                for number, group in enumerate(view.groups[: self._reached]):
                    counts.append((number, Counter.ERRORS, group.errors + 1))
                    if too_few:
                        counts.append((number, Counter.JUDGED, group.judged + 1))
        return Wake(min(times, default=None), tuple(counts))
