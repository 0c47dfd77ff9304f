"""One run on the SimPy clock: a process a device, the shared links, the service, and the sinks.

The readable reference for what a run is. Every other clock must give the same columns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from simlib.engine.order import Rank
from simlib.engine.simpy_clock import SimpyClock
from simlib.lifecycle.codes import (
    ASK,
    JOIN,
    OUTCOME_CODE,
    SIGNAL_FAILED,
    SIGNAL_OFFERED,
    SIGNAL_SKIPPED,
    SIGNAL_SUCCEEDED,
    TIMER,
)
from simlib.lifecycle.columns import HALT_DOWNLOADS, HALT_OFFERS, Fleet
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.steps import advance, recover
from simlib.lifecycle.transfer import transfer_ended
from simlib.lifecycle.waiting import next_checkin, notify, window_opens
from simlib.outcomes import Outcome
from simlib.rollout import Action, Policy
from simlib.rollout.policy import Verb
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.links import Attachment
from simlib.simulation.monitor import Monitor
from simlib.simulation.recorder import Alert, Recorder, state_of
from simlib.simulation.service import Service
from simlib.simulation.supply import Supply

_VERDICT = SIGNAL_SUCCEEDED | SIGNAL_FAILED | SIGNAL_SKIPPED
_UPDATED = OUTCOME_CODE[Outcome.UPDATED]
_GONE = (OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.LOST])
_OBSERVED = {_UPDATED: SIGNAL_SUCCEEDED, OUTCOME_CODE[Outcome.DEFERRED]: SIGNAL_SKIPPED}
_INSTALLING = int(Phase.INSTALLING)
_GONE_STATES = int(Phase.REPORTING) + min(_GONE)

Extra = Callable[[SimpyClock, Fleet], None]
"""A notebook's own processes: called before the run with the clock and the columns."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Where the fleet stood at the halt: the truth, which the policy does not see."""

    offered: int  # so far, whatever became of them
    downloading: int  # or backing off between two attempts
    trial: int  # past the download and not yet confirmed: installing, rebooting, testing
    confirmed: int
    bricked: int


@dataclass
class GroupLog:
    """What happened to one group."""

    opened_ms: int = -1
    closed_ms: int = -1
    decision: str = "not-opened"


@dataclass
class RunLog:
    """What a run leaves behind beside the fleet's columns."""

    groups: list[GroupLog]
    halted_ms: int = -1
    exposure: Exposure | None = None
    events: int = 0


class SimpyRun:
    """Binds life-cycle, policy and clock. Build it, call `run` once, read `fleet`, `log`, `recorder`."""

    def __init__(
        self,
        spec: ScenarioSpec,
        fleet: Fleet,
        group_of: Sequence[int],
        attachment: Attachment,
        policy: Policy,
        recorder: Recorder,
        supply: Supply,
    ) -> None:
        self.fleet = fleet
        self.recorder = recorder
        self.supply = supply
        self._group_of = group_of
        self._missed = bytearray(len(group_of))
        self._spec = spec
        self._attachment = attachment
        self._members: list[list[int]] = [[] for _ in spec.rollout.groups]
        for device, group in enumerate(group_of):
            self._members[group].append(device)
        self.clock = SimpyClock(attachment.links, spec.horizon_ms)
        self.log = RunLog([GroupLog() for _ in self._members])
        self.service = Service(
            policy,
            [len(m) for m in self._members],
            group_of,
            spec.rollout.interval_ms,
            self.clock,
            self._act,
        )
        self.monitor = Monitor(
            spec.alerts,
            self.service,
            [
                (facts.name, link, link.fastest_bps)
                for facts, link in zip(spec.links, attachment.links, strict=True)
            ],
            self.clock,
            recorder.alert,
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
        self._tell_what_was_observed()
        self._sample(0)
        self.service.start()
        try:
            self.clock.run()
        finally:
            self._close()

    def _tell_what_was_observed(self) -> None:
        """The service knows of the devices that had ended before the start, as the inventory says."""
        for i, phase in enumerate(self.fleet.phase):
            if phase == Phase.DONE:
                self.recorder.moved(int(Phase.WAITING), state_of(self.fleet, i))
                verdict = _OBSERVED.get(self.fleet.outcome[i], SIGNAL_FAILED)
                self.service.receive(0, i, SIGNAL_OFFERED | verdict)

    def _close(self) -> None:
        """Book what is under way when the run ends: bytes on the links, and a last sample."""
        now = self.clock.now
        self.log.events = self.clock.events
        if self.recorder.samples[-1][0] < now:
            self.recorder.sample(now, self._bytes_on_links(now))
        for i, phase in enumerate(self.fleet.phase):
            link = self._attachment.links[self._attachment.link[i]]
            if phase == Phase.DOWNLOADING and link.carries(i):
                missing = link.abort(now, i)
                transfer_ended(self.fleet, i, missing)
                self.recorder.grants.append((i, now, missing))

    def _life(self, i: int) -> Generator[Any, int, None]:
        """The process of one device; it begins at the check-in at which it may be offered the release."""
        fleet, clock, recorder = self.fleet, self.clock, self.recorder
        receive = self.service.receive
        link, rate_class = self._attachment.link[i], self._attachment.rate_class[i]
        horizon_ms = self._spec.horizon_ms
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
                if after >= _GONE_STATES and fleet.outcome[i] in _GONE:
                    self._await(i)
                if windowed and after == _INSTALLING and window_opens(fleet, i, now) > now:
                    monitor.violated(now, self._group_of[i], i, "installs outside the window")
            if errors[i]:
                recorder.error(now, i, phase, errors[i], fleet.attempts[i])
            if signals:
                receive(now, i, signals)
                if signals & _VERDICT:
                    monitor.received(now, self._group_of[i])
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

    def _await(self, i: int) -> None:
        """A device that reported success is gone: when will the service notice that it no longer calls?"""
        patience_ms = self._spec.alerts.silent_ms
        if patience_ms and self.fleet.reported[i] == _UPDATED:
            self.clock.after(self.clock.now + patience_ms, Rank.DEADLINE, lambda now: self._miss(now, i))

    def _miss(self, now: int, i: int) -> None:
        if self.fleet.outcome[i] in _GONE and not self._missed[i]:
            self._missed[i] = 1
            self.service.vanish(now, i)
            self.monitor.vanished(now, self._group_of[i], i)

    def _act(self, now: int, action: Action) -> None:
        if action.verb is Verb.OPEN and action.group is not None:
            self._open(now, action.group)
        elif action.verb is Verb.HALT:
            self._halt(now, action)
        elif action.verb is Verb.FINISH and action.group is not None:
            self._pass(now, action.group)

    def _open(self, now: int, group: int) -> None:
        if group > 0:
            self._pass(now, group - 1)
        self.log.groups[group].opened_ms = now
        self.log.groups[group].decision = "open"
        self.recorder.alert(
            Alert(now, "info", "group-opened", group + 1, -1, f"{len(self._members[group])} devices")
        )
        self.monitor.opened(now, group)
        # A check-in of this very millisecond has already been answered, except at the start.
        earliest = now + 1 if now else 0
        for i in self._members[group]:
            if self.fleet.phase[i] != Phase.WAITING:
                continue  # the inventory says that it has ended
            notify(self.fleet, i, now)
            first = next_checkin(self.fleet, i, earliest)
            if first <= self._spec.horizon_ms:
                self.clock.spawn(i, self._life(i), at=first)

    def _pass(self, now: int, group: int) -> None:
        self.log.groups[group].closed_ms = now
        self.log.groups[group].decision = "passed"

    def _halt(self, now: int, action: Action) -> None:
        counts = self.recorder.counts
        self.log.halted_ms = now
        self.log.exposure = Exposure(
            offered=sum(1 for t in self.fleet.offered_ms if t >= 0),
            downloading=counts[Phase.CONNECTING] + counts[Phase.DOWNLOADING] + counts[Phase.BACKING_OFF],
            trial=sum(counts[Phase.BACKING_UP : Phase.REPORTING]),
            confirmed=self._ended(Outcome.UPDATED),
            bricked=self._ended(Outcome.BRICKED),
        )
        for number, group in enumerate(self.log.groups):
            if number == action.group or group.decision == "open":
                group.closed_ms = now
                group.decision = "halted" if number == action.group else "stopped"
        number = -1 if action.group is None else action.group + 1
        self.recorder.alert(Alert(now, "critical", "rollout-halted", number, -1, action.detail))
        self.fleet.halted[0] = HALT_DOWNLOADS if self._spec.rollout.abort_downloads else HALT_OFFERS
        if self._spec.rollout.abort_downloads:
            for i, phase in enumerate(self.fleet.phase):
                if phase == Phase.DOWNLOADING:
                    self.clock.abort(i)
        self.monitor.halted()
        if self._spec.recovery.on_halt != "stop":
            self.fleet.recovery_ms[0] = now + self._spec.recovery.delay_ms
            self.clock.after(self.fleet.recovery_ms[0], Rank.POLICY, self._recover)

    def _recover(self, now: int) -> None:
        """The operator's answer to the halt is out: whoever was offered the release is offered it."""
        self.recorder.alert(Alert(now, "info", "recovery-offered", -1, -1, self._spec.recovery.on_halt))
        for group, members in zip(self.log.groups, self._members, strict=True):
            if group.opened_ms < 0:
                continue
            for i in members:
                if self.fleet.phase[i] not in (Phase.DONE, Phase.RESTING):
                    continue
                first = recover(self.fleet, now, i)
                if first > self._spec.horizon_ms or self.clock.wake(i, first) or self.clock.running(i):
                    continue
                self.clock.spawn(i, self._life(i), at=first)

    def _ended(self, outcome: Outcome) -> int:
        return self.recorder.counts[Phase.REPORTING + OUTCOME_CODE[outcome]]

    def _sample(self, now: int) -> None:
        self.monitor.look(now)
        self.recorder.sample(now, self._bytes_on_links(now))
        following = min(now + self._spec.timeline_ms, self._spec.horizon_ms)
        if following > now:
            self.clock.after(following, Rank.SAMPLING, self._sample)

    def _bytes_on_links(self, now: int) -> int:
        return sum(link.delivered_bytes(now) for link in self._attachment.links)
