"""What the service's decisions do in a run, whatever clock it is on: open a group, halt, answer a halt,
sample.

A clock of its own kind is bound by a subclass, which says how devices are sent for, broken off and woken.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from simlib.engine.order import Rank
from simlib.lifecycle.codes import (
    OUTCOME_CODE,
    SIGNAL_FAILED,
    SIGNAL_OFFERED,
    SIGNAL_SKIPPED,
    SIGNAL_SUCCEEDED,
)
from simlib.lifecycle.columns import HALT_DOWNLOADS, HALT_OFFERS, Fleet
from simlib.lifecycle.phases import Phase
from simlib.outcomes import Outcome
from simlib.rollout import Action, Policy
from simlib.rollout.policy import Verb
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.links import Attachment
from simlib.simulation.monitor import Monitor, SharedLink
from simlib.simulation.recorder import Alert, Recorder
from simlib.simulation.service import Service
from simlib.simulation.tally import Tally

GONE = (OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.LOST])
_OBSERVED = {
    OUTCOME_CODE[Outcome.UPDATED]: SIGNAL_SUCCEEDED,
    OUTCOME_CODE[Outcome.DEFERRED]: SIGNAL_SKIPPED,
}


class Clock(Protocol):
    """What decisions need of a clock."""

    @property
    def now(self) -> int:
        """The current time [ms]."""

    def after(self, time_ms: int, rank: int, function: Callable[[int], None]) -> None:
        """Call ``function(now)`` at `time_ms`, after its device events, in order of rank."""


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


class BoundRun(ABC):
    """Life-cycle, policy and clock together. Build one, run it once, read `fleet`, `log`, `recorder`."""

    def __init__(
        self,
        spec: ScenarioSpec,
        fleet: Fleet,
        sizes: Sequence[int],
        tally: Tally,
        attachment: Attachment,
        links: Sequence[SharedLink],
        policy: Policy,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        """`sizes` are the groups'; `links` are the scenario's, as this clock has them."""
        self.fleet = fleet
        self.recorder = recorder
        self.log = RunLog([GroupLog() for _ in sizes])
        self._spec = spec
        self._sizes = tuple(sizes)
        self._time = clock
        self._missed: set[int] = set()
        self.service = Service(policy, sizes, tally, spec.rollout.interval_ms, clock, self._act)
        self.monitor = Monitor(
            spec.alerts,
            self.service,
            [
                (facts.name, link, known.fastest_bps)
                for facts, link, known in zip(spec.links, links, attachment.links, strict=True)
            ],
            clock,
            recorder.alert,
        )

    @abstractmethod
    def _send_for(self, now: int, group: int) -> None:
        """The devices of `group` come at their next check-ins."""

    @abstractmethod
    def _break_off(self, now: int) -> None:
        """Every download under way is broken off."""

    @abstractmethod
    def _wake(self, now: int, group: int) -> None:
        """The devices of `group` that are at rest come for the operator's answer to the halt."""

    @abstractmethod
    def _count_states(self) -> list[int]:
        """How many devices are in each of `recorder.STATES`."""

    @abstractmethod
    def _offered(self) -> int:
        """How many devices were offered anything."""

    @abstractmethod
    def _write_sample(self, now: int) -> None:
        """A row of the timeline."""

    def _tell_observed(self, device: int, outcome: int) -> None:
        """The service knows of a device that had ended before the start, as the inventory says."""
        verdict = _OBSERVED.get(outcome, SIGNAL_FAILED)
        self.service.receive(0, device, SIGNAL_OFFERED | verdict)

    def _await(self, gone_ms: int, device: int) -> None:
        """A device that reported success is gone: the service notices when it has not called for too long."""
        due = gone_ms + self._spec.alerts.silent_ms
        self._time.after(due, Rank.DEADLINE, lambda now: self._miss(now, device))

    def _miss(self, now: int, device: int) -> None:
        if self.fleet.outcome[device] in GONE and device not in self._missed:
            self._missed.add(device)
            self.service.vanish(now, device)
            self.monitor.vanished(now, int(self.service.tally.group[device]), device)

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
            Alert(now, "info", "group-opened", group + 1, -1, f"{self._sizes[group]} devices")
        )
        self.monitor.opened(now, group)
        self._send_for(now, group)

    def _pass(self, now: int, group: int) -> None:
        self.log.groups[group].closed_ms = now
        self.log.groups[group].decision = "passed"

    def _halt(self, now: int, action: Action) -> None:
        counts = self._count_states()
        self.log.halted_ms = now
        self.log.exposure = Exposure(
            offered=self._offered(),
            downloading=counts[Phase.CONNECTING] + counts[Phase.DOWNLOADING] + counts[Phase.BACKING_OFF],
            trial=sum(counts[Phase.BACKING_UP : Phase.REPORTING]),
            confirmed=counts[Phase.REPORTING + OUTCOME_CODE[Outcome.UPDATED]],
            bricked=counts[Phase.REPORTING + OUTCOME_CODE[Outcome.BRICKED]],
        )
        for number, group in enumerate(self.log.groups):
            if number == action.group or group.decision == "open":
                group.closed_ms = now
                group.decision = "halted" if number == action.group else "stopped"
        number = -1 if action.group is None else action.group + 1
        self.recorder.alert(Alert(now, "critical", "rollout-halted", number, -1, action.detail))
        self.fleet.halted[0] = HALT_DOWNLOADS if self._spec.rollout.abort_downloads else HALT_OFFERS
        if self._spec.rollout.abort_downloads:
            self._break_off(now)
        self.monitor.halted()
        if self._spec.recovery.on_halt != "stop":
            self.fleet.recovery_ms[0] = now + self._spec.recovery.delay_ms
            self._time.after(self.fleet.recovery_ms[0], Rank.POLICY, self._recover)

    def _recover(self, now: int) -> None:
        """The operator's answer to the halt is out: whoever was offered the release is offered it."""
        self.recorder.alert(Alert(now, "info", "recovery-offered", -1, -1, self._spec.recovery.on_halt))
        for number, group in enumerate(self.log.groups):
            if group.opened_ms >= 0:
                self._wake(now, number)

    def _sample(self, now: int) -> None:
        self.monitor.look(now)
        self._write_sample(now)
        following = min(now + self._spec.timeline_ms, self._spec.horizon_ms)
        if following > now:
            self._time.after(following, Rank.SAMPLING, self._sample)
