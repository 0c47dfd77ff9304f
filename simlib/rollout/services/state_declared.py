"""The policy of services that declare what a device should run, and leave the rest to the device.

Who is meant is told at once, or when the release becomes available; nobody is paced, judged or stopped. A
device that failed is still meant. The declaration is fulfilled when every device that is meant has reported
success or that it will not update.
"""

from __future__ import annotations

from simlib.rollout.policy import Action, Counter, Decision, GroupView, Policy, Verb, View, Wake


class Declared(Policy):
    """One declaration about the first group. `opens_ms` is when it can be followed; None: never."""

    def __init__(self, opens_ms: int | None = 0) -> None:
        self._opens_ms = opens_ms
        self._opened = False
        self._fulfilled = False

    def decide(self, view: View) -> Decision:
        """Open the group at its time; finish when nothing more can come."""
        if self._opens_ms is None or self._fulfilled:
            return Decision()
        if not self._opened:
            if view.now_ms < self._opens_ms:
                return Decision((), Wake(self._opens_ms))
            self._opened = True
            return Decision((Action(Verb.OPEN, 0),), _wake(view.groups[0]))
        group = view.groups[0]
        if group.succeeded + group.skipped >= group.size:
            self._fulfilled = True
            return Decision((Action(Verb.FINISH, 0),))
        return Decision((), _wake(group))


def _wake(group: GroupView) -> Wake:
    """When the group could be through: not before all are settled, then at a success or a refusal."""
    if group.settled < group.size:
        return Wake(None, ((0, Counter.SETTLED, group.size),))
    missing = group.size - group.skipped
    return Wake(None, ((0, Counter.SUCCEEDED, missing), (0, Counter.SKIPPED, group.skipped + 1)))
