"""Policies of one function, and what a test wants to see of their traces."""

from __future__ import annotations

from collections.abc import Callable

from simlib.rollout.policy import Action, Decision, Policy, Verb, View, Wake
from simlib.rollout.trace import Trace

Rule = Callable[[View], Decision]
NEVER = Wake()


class Ruled(Policy):
    """A policy that is one function, and remembers when it was asked."""

    def __init__(self, rule: Rule, **attributes: object) -> None:
        self._rule = rule
        self.asked: list[int] = []
        for name, value in attributes.items():
            setattr(self, name, value)

    def decide(self, view: View) -> Decision:
        self.asked.append(view.now_ms)
        return self._rule(view)


def script(**by_time: Decision) -> Rule:
    """Decisions by time: t0=…, t60000=…; nothing at other times."""
    return lambda view: by_time.get(f"t{view.now_ms}", Decision())


def act(verb: Verb, group: int | None = 0, count: int = 0, wake: Wake = NEVER) -> Decision:
    return Decision((Action(verb, group, "why", count),), wake)


def rows(traced: Trace) -> list[tuple[int, int, int]]:
    return [(r.time_ms, r.count, r.cumulative) for r in traced.releases]


def log(traced: Trace) -> list[tuple[int, str, int | None]]:
    return [(d.time_ms, d.decision, d.group) for d in traced.decisions]
