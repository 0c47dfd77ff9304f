"""One run on the SimPy clock: a process a device, the shared links, the service, and the sinks.

The readable reference for what a run is. Every other clock must give the same columns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from simlib.engine.order import Rank
from simlib.engine.simpy_clock import SimpyClock
from simlib.lifecycle.columns import HALT_DOWNLOADS, HALT_OFFERS, Fleet
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.steps import JOIN, OUTCOME_CODE, TIMER, advance, transfer_ended
from simlib.lifecycle.waiting import next_checkin
from simlib.outcomes import Outcome
from simlib.rollout import Action, Policy
from simlib.rollout.policy import Verb
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.links import Attachment
from simlib.simulation.recorder import Alert, Recorder, state_of
from simlib.simulation.service import Service

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
    ) -> None:
        self.fleet = fleet
        self.recorder = recorder
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

    def run(self, extra: Extra | None = None) -> None:
        """Let the scenario's time pass, from 0 to the horizon inclusive.

        A KeyboardInterrupt ends it early, with everything booked up to then, and passes on.
        """
        if extra is not None:
            extra(self.clock, self.fleet)
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
            self.recorder.sample(now, self._bytes_on_links(now))
        for i, phase in enumerate(self.fleet.phase):
            if phase == Phase.DOWNLOADING:
                missing = self._attachment.links[self._attachment.link[i]].abort(now, i)
                transfer_ended(self.fleet, i, missing)
                self.recorder.grants.append((i, now, missing))

    def _life(self, i: int) -> Generator[Any, int, None]:
        """The process of one device; it begins at the check-in at which it may be offered the release."""
        fleet, clock, recorder = self.fleet, self.clock, self.recorder
        receive = self.service.receive
        link, rate_class = self._attachment.link[i], self._attachment.rate_class[i]
        horizon_ms = self._spec.horizon_ms
        state = state_of(fleet, i)
        while True:
            command, value, signals = advance(fleet, clock.now, i)
            after = state_of(fleet, i)
            if after != state:
                recorder.moved(state, after)
                state = after
            if signals:
                receive(clock.now, i, signals)
            if command == TIMER:
                if value > horizon_ms:
                    return
                yield clock.timer(i, value)
            elif command == JOIN:
                missing = yield clock.join(i, link, rate_class, value)
                transfer_ended(fleet, i, missing)
                recorder.grants.append((i, clock.now, missing))
            else:
                return

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
        # A check-in of this very millisecond has already been answered, except at the start.
        earliest = now + 1 if now else 0
        for i in self._members[group]:
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
            downloading=counts[Phase.DOWNLOADING] + counts[Phase.BACKING_OFF],
            trial=sum(counts[Phase.INSTALLING : Phase.REPORTING]),
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

    def _ended(self, outcome: Outcome) -> int:
        return self.recorder.counts[Phase.REPORTING + OUTCOME_CODE[outcome]]

    def _sample(self, now: int) -> None:
        self.recorder.sample(now, self._bytes_on_links(now))
        following = min(now + self._spec.timeline_ms, self._spec.horizon_ms)
        if following > now:
            self.clock.after(following, Rank.SAMPLING, self._sample)

    def _bytes_on_links(self, now: int) -> int:
        return sum(link.delivered_bytes(now) for link in self._attachment.links)
