"""What the service's decisions do in a run, whatever clock it is on: release, stop, answer a stop, sample.

A clock of its own kind is bound by a subclass, which says how devices are sent for, broken off and woken.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simlib.draws import Purpose, draws32
from simlib.engine.order import Rank
from simlib.lifecycle.codes import (
    OUTCOME_CODE,
    SIGNAL_FAILED,
    SIGNAL_OFFERED,
    SIGNAL_SKIPPED,
    SIGNAL_SUCCEEDED,
)
from simlib.lifecycle.columns import HALT_DOWNLOADS, HALT_OFFERS, NEVER, RUNNING, Fleet
from simlib.lifecycle.phases import Phase
from simlib.outcomes import Outcome
from simlib.rollout import Action, Policy
from simlib.rollout.policy import STOPS, Verb
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.links import Attachment
from simlib.simulation.log import Exposure, GroupLog, RunLog, Stop
from simlib.simulation.monitor import Monitor, SharedLink
from simlib.simulation.recorder import Alert, Recorder
from simlib.simulation.room import permit
from simlib.simulation.service import Service
from simlib.simulation.tally import Tally
from simlib.simulation.telemetry import metric

GONE = (OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.LOST])
_OBSERVED = {
    OUTCOME_CODE[Outcome.UPDATED]: SIGNAL_SUCCEEDED,
    OUTCOME_CODE[Outcome.DEFERRED]: SIGNAL_SKIPPED,
}
_STOPPED = {Verb.PAUSE: "rollout-paused", Verb.CANCEL: "rollout-halted", Verb.DISABLE: "rollout-disabled"}


class Clock(Protocol):
    """What decisions need of a clock."""

    @property
    def now(self) -> int:
        """The current time [ms]."""

    def after(self, time_ms: int, rank: int, function: Callable[[int], None]) -> None:
        """Call ``function(now)`` at `time_ms`, after its device events, in order of rank."""


class BoundRun(ABC):
    """Life-cycle, policy and clock together. Build one, run it once, read `fleet`, `log`, `recorder`."""

    def __init__(
        self,
        spec: ScenarioSpec,
        fleet: Fleet,
        keys: NDArray[np.uint64],
        members: Sequence[NDArray[np.int32]],
        tally: Tally,
        attachment: Attachment,
        links: Sequence[SharedLink],
        policy: Policy,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        """`keys` are of the devices' draws, `members` of the groups; `links` are as this clock has them.

        At a service that is asked, all devices are members of the last group until they are let in.
        """
        self.fleet = fleet
        self.recorder = recorder
        self.log = RunLog([GroupLog() for _ in members])
        self._spec = spec
        self.keys = keys
        self._members = list(members)
        self._ordered = [False] * len(members)
        self._released_ms: NDArray[np.int64] | None = None
        self._sizes = tuple(
            spec_size(spec, number) if policy.pull else len(each) for number, each in enumerate(members)
        )
        self._time = clock
        self._missed: set[int] = set()
        self.service = Service(policy, self._sizes, tally, clock, self._act, self._listen, self._metric)
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
    def _send_for(self, now: int, devices: NDArray[np.int32]) -> None:
        """The devices come at their next check-ins, at time 0 at one of that time too."""

    @abstractmethod
    def _listen(self, now: int) -> None:
        """The parked devices come at their next check-ins."""

    @abstractmethod
    def _break_off(self, now: int) -> None:
        """Every download under way is broken off."""

    @abstractmethod
    def _wake(self, now: int, devices: NDArray[np.int32], *, halted: bool) -> None:
        """Those of the devices that are at rest come for what there is for them now.

        With `halted`, only those whom a halt brought to rest.
        """

    @abstractmethod
    def _count_states(self) -> list[int]:
        """How many devices are in each of `recorder.STATES`."""

    @abstractmethod
    def _write_sample(self, now: int) -> None:
        """A row of the timeline."""

    def released_ms(self) -> NDArray[np.int64]:
        """When each device could have the release for the first time, −1: never."""
        if self.service.policy.pull:
            return np.asarray(self.service.tally.released_ms, dtype=np.int64)
        if self._released_ms is not None:
            return self._released_ms
        opened = np.array([group.opened_ms for group in self.log.groups], dtype=np.int64)
        released: NDArray[np.int64] = opened[np.asarray(self.service.tally.group)]
        return released

    def _metric(self, group: int) -> tuple[Sequence[int], Sequence[int]]:
        return metric(
            self.fleet,
            self.keys,
            np.asarray(self.service.tally.group),
            self.released_ms(),
            group,
            self._time.now,
        )

    def _earliest(self, now: int) -> int:
        """The first time of a check-in that a decision of `now` finds unanswered.

        Those of this very millisecond have been answered, except before the first of all.
        """
        return now + self.service.started

    def _tell_observed(self, device: int, outcome: int) -> None:
        """The service knows of a device that had ended before the start, as the inventory says.

        Where devices are let in, it counts as one of the first.
        """
        if self.service.policy.pull:
            released = self.service.released
            group = next(g for g, size in enumerate(self._sizes) if released[g] < size)
            released[group] += 1
            self.service.tally.group[device] = group
            self.service.tally.released_ms[device] = 0
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
        group = action.group
        if action.verb in STOPS:
            self._stop(now, action)
        elif action.verb is Verb.OPEN and group is not None:
            self._release(now, group, self._sizes[group])
        elif action.verb is Verb.RELEASE and group is not None:
            self._release(now, group, min(action.count, self._sizes[group]))
        elif action.verb is Verb.ADMIT and group is not None:
            self._admit(now, group, action.count)
        elif action.verb is Verb.FINISH and group is not None:
            self._pass(now, group)

    def _open(self, now: int, group: int) -> None:
        known = self.log.groups[group]
        if known.decision in ("halted", "stopped"):
            known.decision, known.closed_ms = "open", -1
            self.monitor.opened(now, group)
        if known.opened_ms >= 0:
            return
        if self.service.policy.pull and self.service.started and not self.service.knocking:
            now += 1  # a permit of a tick holds for those who knock after it
        if group > 0 and self.log.groups[group - 1].decision == "open":
            self._pass(now, group - 1)
        self.log.groups[group].opened_ms = now
        self.log.groups[group].decision = "open"
        self.recorder.alert(
            Alert(now, "info", "group-opened", group + 1, -1, f"{self._sizes[group]} devices")
        )
        self.monitor.opened(now, group)

    def _release(self, now: int, group: int, count: int) -> None:
        """The first `count` devices of the group, in the order of release, may have it: the group's own draw.

        It is the draw that cuts the fleet into groups, so shares that grow keep their devices.
        """
        self._open(now, group)
        first = self.service.released[group]
        if count <= first:
            return
        members = self._members[group]
        self.service.released[group] = count
        if count - first < len(members):
            if not self._ordered[group]:
                drawn = draws32(self.keys[members], Purpose.GROUP, 0)
                members = self._members[group] = members[np.argsort(drawn, kind="stable")]
                self._ordered[group] = True
            if self._released_ms is None:
                self._released_ms = self.released_ms()
                self._released_ms[members] = -1  # its first ones are those of now
            members = members[first:count]
        if self._released_ms is not None:
            self._released_ms[members] = now
        self._send_for(now, members)

    def _admit(self, now: int, group: int, count: int) -> None:
        """Let devices in until `count` of the group have been; none any more if that many have."""
        if count:
            self._open(now, group)
        tally, released = self.service.tally, self.service.released
        admitted = released[group] - int(tally.permit[group])
        permit(tally, group, count - released[group])
        released[group] = max(count, admitted)

    def _pass(self, now: int, group: int) -> None:
        self.log.groups[group].closed_ms = now
        self.log.groups[group].decision = "passed"

    def _stop(self, now: int, action: Action) -> None:
        for number, group in enumerate(self.log.groups):
            mine = number == action.group and not action.planned
            if mine or (group.decision == "open" and action.verb is Verb.CANCEL):
                group.closed_ms = now
                group.decision = "halted" if mine else "stopped"
        number = -1 if action.group is None else action.group
        stop = Stop(now, action.verb, number, action.detail, self._exposure(action.verb), action.planned)
        self.log.stops.append(stop)
        shown = -1 if number < 0 else number + 1
        severity = "info" if action.planned else "critical"
        self.recorder.alert(Alert(now, severity, _STOPPED[action.verb], shown, -1, action.detail))
        if action.verb is not Verb.PAUSE:
            for each in range(len(self._sizes)):
                self._admit(now, each, 0)
        if action.verb is Verb.CANCEL:
            self.fleet.halted[0] = HALT_DOWNLOADS if self._spec.rollout.abort_downloads else HALT_OFFERS
            if self._spec.rollout.abort_downloads and now < self.fleet.recovery_ms[0]:
                self._break_off(now)
            self.monitor.halted()
        recovery = self._spec.recovery
        if recovery.on_halt == "resume":
            resume_ms = now + max(recovery.delay_ms, 1)
            self._time.after(resume_ms, Rank.POLICY, lambda at: self._resume(at, stop))
        elif recovery.on_halt != "stop" and not action.planned:
            answer_ms = now + recovery.delay_ms
            if self.fleet.halted[0] != RUNNING:  # an answer that is out already stays so
                self.fleet.recovery_ms[0] = min(self.fleet.recovery_ms[0], answer_ms)
            self._time.after(answer_ms, Rank.POLICY, self._recover)

    def _exposure(self, verb: Verb) -> Exposure:
        counts = self._count_states()
        phase, began = np.asarray(self.fleet.phase), np.asarray(self.fleet.began)
        released = self.released_ms() >= 0
        waiting = int(np.count_nonzero(released & (began == 0) & (phase <= Phase.OFFERED)))
        downloading = sum(counts[p] for p in (Phase.CONNECTING, Phase.DOWNLOADING, Phase.BACKING_OFF))
        recalled = 0
        if verb is Verb.CANCEL:
            recalled = waiting + (downloading if self._spec.rollout.abort_downloads else 0)
        return Exposure(
            offered=int(np.count_nonzero(np.asarray(self.fleet.offered_ms) >= 0)),
            downloading=downloading,
            trial=sum(counts[Phase.READY : Phase.REPORTING]),
            confirmed=counts[Phase.REPORTING + OUTCOME_CODE[Outcome.UPDATED]],
            bricked=counts[Phase.REPORTING + OUTCOME_CODE[Outcome.BRICKED]],
            released=int(np.count_nonzero(released)),
            waiting=waiting,
            recalled=recalled,
        )

    def _recover(self, now: int) -> None:
        """The operator's answer to the stop is out: whoever was offered the release is offered it."""
        if self.fleet.halted[0] == RUNNING:  # only paused: what was released was so still
            self.fleet.halted[0] = HALT_OFFERS
            self.fleet.recovery_ms[0] = now
        self.recorder.alert(Alert(now, "info", "recovery-offered", -1, -1, self._spec.recovery.on_halt))
        self._wake_released(now, halted=False)

    def _resume(self, now: int, stop: Stop) -> None:
        """The operator lifts `stop` and those before it, unless another came after it; all goes on."""
        if stop is not self.log.stops[-1]:
            return
        self.recorder.alert(Alert(now, "info", "rollout-resumed", -1, -1, ""))
        for each in self.log.stops:
            if each.resumed_ms < 0:
                each.resumed_ms = now
        self.fleet.halted[0] = RUNNING
        self.fleet.recovery_ms[0] = NEVER
        for number, group in enumerate(self.log.groups):
            if group.decision == "stopped":
                group.decision, group.closed_ms = "open", -1
                self.monitor.opened(now, number)
        self._wake_released(now, halted=True)
        self.service.resume(now)

    def _wake_released(self, now: int, *, halted: bool) -> None:
        released = np.flatnonzero(self.released_ms() >= 0).astype(np.int32)
        self._wake(now, released, halted=halted)

    def _sample(self, now: int) -> None:
        self.monitor.look(now)
        self._write_sample(now)
        following = min(now + self._spec.timeline_ms, self._spec.horizon_ms)
        if following > now:
            self._time.after(following, Rank.SAMPLING, self._sample)


def spec_size(spec: ScenarioSpec, number: int) -> int:
    """The size of a group whose devices are not known beforehand: its share of the fleet."""
    share = spec.rollout.groups[number].share
    assert share is not None  # a service's groups have their sizes
    return int(share * spec.devices)
