"""A rollout policy alone: what it releases and decides, and when, if devices do what is said of them.

The policy is asked by the contract of `simlib.rollout.policy`. What becomes of its decisions is told in
`simlib.rollout.alone`, what devices do by themselves in `simlib.rollout.replay`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from simlib.rollout.alone import Decided, Release, Rollout
from simlib.rollout.events import Event
from simlib.rollout.policy import Policy
from simlib.rollout.replay import EventRollout

TEN_YEARS_MS: Final = 3_653 * 86_400_000
"""No trace goes on for longer by itself: a policy may look at its clock for ever."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a policy did."""

    sizes: tuple[int, ...]
    releases: tuple[Release, ...]
    decisions: tuple[Decided, ...]

    def document(self) -> dict[str, object]:
        """The object that ``simlib policy trace --json`` prints."""
        return {
            "groups": [{"group": k, "size": size} for k, size in enumerate(self.sizes, start=1)],
            "releases": [
                {"time_ms": r.time_ms, "count": r.count, "cumulative": r.cumulative} for r in self.releases
            ],
            "decisions": [decided.document() for decided in self.decisions],
        }


def trace(
    policy: Policy,
    sizes: Sequence[int],
    events: Sequence[Event] | None = None,
    until_ms: int | None = None,
) -> Trace:
    """What `policy` does with groups of `sizes`, up to and including `until_ms` (None: while anything
    happens, ten years at most). `events` are in order of time; None: every released device succeeds at once.
    """
    rollout = Rollout(policy, sizes) if events is None else EventRollout(policy, sizes, events)
    rollout.run(TEN_YEARS_MS if until_ms is None else until_ms)
    return Trace(rollout.sizes, rollout.releases(), tuple(rollout.decisions))
