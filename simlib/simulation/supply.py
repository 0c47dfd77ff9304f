"""What the life-cycle asks for during a run: rows of the bench for cases that were not found beforehand, and
what a multicast session gave.

Answers are pure functions of the device's state, its draws and the time, so it does not matter when, or by
which clock, they are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from simlib.channel.multicast import MulticastPlan, outcome
from simlib.fleet import Route
from simlib.lifecycle.battery import level_uj
from simlib.lifecycle.codes import (
    ASK_BOOT,
    ASK_BROWN_OUT,
    ASK_CONFIRM,
    ASK_HEARD,
    ASK_INSTALL,
    ASK_NEED,
)
from simlib.lifecycle.columns import NO_ROW, Fleet
from simlib.simulation.cases import Cases


class Supply:
    """Answers the life-cycle's questions; `seconds` is the wall-clock time that took."""

    def __init__(self, fleet: Fleet, cases: Cases, routes: Sequence[Route]) -> None:
        self._fleet = fleet
        self._cases = cases
        self._routes = routes
        self._plans: dict[tuple[int, int], MulticastPlan] = {}
        self.seconds = 0.0

    def answer(self, now: int, i: int, question: int) -> None:
        """Put the answer to `question` (ASK_*), which device `i` has at `now`, into the columns."""
        began = time.perf_counter()
        fleet, cases = self._fleet, self._cases
        state, artefact = fleet.state[i], fleet.artefact[i]
        if question == ASK_INSTALL:
            row, boot = cases.faulty_install(fleet.key[i], fleet.installs[i], state, artefact)
            fleet.special[i], fleet.special_boot[i] = row, boot
        elif question == ASK_BOOT:
            cases.boot(state)
        elif question == ASK_CONFIRM:
            cases.confirm(state)
        elif question == ASK_NEED:
            cases.need(state, artefact)
        elif question == ASK_BROWN_OUT:
            fleet.special[i] = cases.brown_out(fleet.move[i], level_uj(fleet, i, now))
            fleet.special_boot[i] = NO_ROW
            fleet.browned[i] = 1
        elif question == ASK_HEARD:
            self._hear(i)
        else:
            raise LookupError(f"found question {question}, expected one of ASK_*")
        self.seconds += time.perf_counter() - began

    def _hear(self, i: int) -> None:
        fleet = self._fleet
        plan = self._plan(fleet.cohort[i], fleet.artefact[i])
        first = fleet.session_first[i]
        heard = outcome(plan, fleet.key[i], range(first, first + fleet.sessions[i]))
        fleet.heard_bytes[i] = heard.received_bytes
        fleet.heard_all[i] = int(heard.decoded)

    def _plan(self, cohort: int, artefact: int) -> MulticastPlan:
        plan = self._plans.get((cohort, artefact))
        if plan is None:
            multicast = self._routes[cohort].multicast
            if multicast is None:
                raise LookupError(f"cohort {cohort}: found no multicast, expected one")
            plan = self._plans[cohort, artefact] = multicast.plan(self._fleet.wire_bytes[artefact])
        return plan
