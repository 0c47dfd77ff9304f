"""One run on the SimPy clock: a process a device, the shared links, the service, and the sinks.

The readable reference for what a run is. Every other clock must give the same columns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simlib.engine.simpy_clock import SimpyClock
from simlib.errors import Reason
from simlib.fleet import Population
from simlib.lifecycle.codes import ASK, JOIN, OUTCOME_CODE, REASON_CODE, TIMER
from simlib.lifecycle.columns import Fleet
from simlib.lifecycle.ending import comes_again
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.steps import advance, recover
from simlib.lifecycle.transfer import transfer_ended
from simlib.lifecycle.waiting import next_checkin, notify, window_opens
from simlib.outcomes import Outcome
from simlib.rollout import Policy
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.bound import GONE, BoundRun
from simlib.simulation.links import Attachment
from simlib.simulation.recorder import Recorder, state_of
from simlib.simulation.room import IN_QUESTION, LET_IN, knock, park, unpark
from simlib.simulation.supply import Supply
from simlib.simulation.tally import (
    RATE_HIGH,
    VERDICT,
    counted_errors,
    counted_judged,
    rate_changed,
    tally_of,
)

_UPDATED = OUTCOME_CODE[Outcome.UPDATED]
_INSTALLING = int(Phase.INSTALLING)
_R_HALTED = REASON_CODE[Reason.ROLLOUT_HALTED]
_GONE_STATES = int(Phase.REPORTING) + min(GONE)

Extra = Callable[[SimpyClock, Fleet], None]
"""A notebook's own processes: called before the run with the clock and the columns."""


class SimpyRun(BoundRun):
    """Binds life-cycle, policy and clock."""

    def __init__(
        self,
        spec: ScenarioSpec,
        fleet: Fleet,
        population: Population,
        attachment: Attachment,
        policy: Policy,
        recorder: Recorder,
        supply: Supply,
    ) -> None:
        self.supply = supply
        self._attachment = attachment
        groups = len(spec.rollout.groups)
        group_of = [groups - 1] * spec.devices if policy.pull else population.group.tolist()
        members: list[list[int]] = [[] for _ in range(groups)]
        for device, group in enumerate(group_of):
            members[group].append(device)
        self.clock = SimpyClock(attachment.links, spec.horizon_ms)
        tally = tally_of(
            group_of,
            groups,
            policy.deadline_ms,
            spec.alerts.failure_rate,
            spec.alerts.min_sample,
            lambda rows: [0] * rows,
            news_room=1 if policy.wants_news else 0,
            pulls=policy.pull,
        )
        super().__init__(
            spec,
            fleet,
            population.keys,
            [np.array(each, dtype=np.int32) for each in members],
            tally,
            attachment,
            attachment.links,
            policy,
            recorder,
            self.clock,
        )
        for number, changes in enumerate(attachment.capacities):
            for time_ms, capacity_bps in changes:
                self.clock.set_capacity(time_ms, number, capacity_bps)

    def run(self, extra: Extra | None = None) -> None:
        """Let the scenario's time pass, from 0 to the horizon inclusive.

        A KeyboardInterrupt ends it early, with everything booked up to then, and passes on.
        """
        if extra is not None:
            extra(self.clock, self.fleet)
        for i, phase in enumerate(self.fleet.phase):
            if phase == Phase.DONE:
                self.recorder.moved(int(Phase.WAITING), state_of(self.fleet, i))
                self._tell_observed(i, self.fleet.outcome[i])
            elif self.service.policy.pull:
                park(self.service.tally, i)
        self._sample(0)
        self.service.start()
        try:
            self.clock.run()
        finally:
            self._close()

    def _close(self) -> None:
        """Book what is under way when the run ends: bytes on the links, and a last sample."""
        now = self.clock.now
        self.log.events = self.clock.events
        if self.recorder.samples[-1][0] < now:
            self._write_sample(now)
        for i, phase in enumerate(self.fleet.phase):
            link = self._attachment.links[self._attachment.link[i]]
            if phase == Phase.DOWNLOADING and link.carries(i):
                missing = link.abort(now, i)
                transfer_ended(self.fleet, i, missing)
                self.recorder.grants.append((i, now, missing))

    def _life(self, i: int) -> Generator[Any, int, None]:
        """The process of one device; it begins at the check-in at which it may be offered the release."""
        fleet, clock, recorder, tally = self.fleet, self.clock, self.recorder, self.service.tally
        if fleet.phase[i] == Phase.WAITING and not self._let_in(i):
            return
        receive = self.service.receive
        link, rate_class = self._attachment.link[i], self._attachment.rate_class[i]
        horizon_ms, patience_ms = self._spec.horizon_ms, self._spec.alerts.silent_ms
        monitor, windowed = self.monitor, self._spec.rollout.window is not None
        phases, errors = fleet.phase, fleet.error
        state = state_of(fleet, i)
        while True:
            now, phase = clock.now, phases[i]
            command, value, signals = advance(fleet, now, i)
            while command == ASK:
                self.supply.answer(now, i, value)
                command, value, more = advance(fleet, now, i)
                signals |= more
            after = state_of(fleet, i)
            if after != state:
                recorder.moved(state, after)
                state = after
                if after >= _GONE_STATES and fleet.outcome[i] in GONE:
                    if patience_ms and fleet.reported[i] == _UPDATED:
                        self._await(now, i)
                elif windowed and after == _INSTALLING and window_opens(fleet, i, now) > now:
                    monitor.violated(now, tally.group[i], i, "installs outside the window")
            if errors[i]:
                recorder.error(now, i, phase, errors[i], fleet.attempts[i])
            if signals:
                receive(now, i, signals)
                if signals & VERDICT and rate_changed(tally, i) == RATE_HIGH:
                    monitor.failing(now, tally.group[i], counted_errors(tally, i), counted_judged(tally, i))
            if command == TIMER:
                if value > horizon_ms:
                    return
                yield clock.timer(i, value)
            elif command == JOIN:
                missing = yield clock.join(i, link, rate_class, value, fleet.until_ms[i])
                transfer_ended(fleet, i, missing)
                recorder.grants.append((i, clock.now, missing))
            else:
                return

    def _send_for(self, now: int, devices: NDArray[np.int32]) -> None:
        earliest = self._earliest(now)
        for i in devices.tolist():
            if self.fleet.phase[i] != Phase.WAITING:
                continue  # the inventory says that it has ended
            notify(self.fleet, i, now)
            self._come(i, next_checkin(self.fleet, i, earliest))

    def _listen(self, now: int) -> None:
        for i in unpark(self.service.tally):
            self._come(i, next_checkin(self.fleet, i, self._earliest(now)))

    def _let_in(self, i: int) -> bool:
        """Whether device `i`, which comes for the first time, may have the release."""
        now, tally = self.clock.now, self.service.tally
        answer = knock(tally, now, i, 0)
        if answer == IN_QUESTION:
            self.service.knock(now)
            answer = knock(tally, now, i, 1)
        return answer == LET_IN

    def _come(self, i: int, first: int) -> None:
        if first <= self._spec.horizon_ms:
            self.clock.spawn(i, self._life(i), at=first)

    def _break_off(self, now: int) -> None:
        for i, phase in enumerate(self.fleet.phase):
            if phase == Phase.DOWNLOADING:
                self.clock.abort(i)

    def _wake(self, now: int, devices: NDArray[np.int32], *, halted: bool) -> None:
        for i in devices.tolist():
            if self.fleet.phase[i] not in (Phase.DONE, Phase.RESTING):
                continue
            if halted and self.fleet.reason[i] != _R_HALTED and not comes_again(self.fleet, i):
                continue
            first = recover(self.fleet, now, i)
            if first > self._spec.horizon_ms or self.clock.wake(i, first) or self.clock.running(i):
                continue
            self.clock.spawn(i, self._life(i), at=first)

    def _count_states(self) -> list[int]:
        return self.recorder.counts

    def _write_sample(self, now: int) -> None:
        self.recorder.sample(now, sum(link.delivered_bytes(now) for link in self._attachment.links))
