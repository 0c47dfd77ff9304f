"""One device of a saved run, replayed: its life from draws and recorded transfers, its bytes on the bench.

What a device shares with others is the link and the rollout's decisions. Both are recorded (when each
transfer ended, when the device could have the release, when the rollout was stopped), so nobody else has to
be simulated.
Every install and boot on its way is run again with real bytes, memory of earlier runs set aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from simlib.device import Step
from simlib.errors import Reason
from simlib.lifecycle.codes import ASK, JOIN, OUTCOMES, REASON_CODE, REASONS, TIMER
from simlib.lifecycle.columns import HALT_DOWNLOADS, HALT_OFFERS, NEVER, NO_ROW, PLAN_NONE, RUNNING, Fleet
from simlib.lifecycle.ending import comes_again
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.steps import advance, recover
from simlib.lifecycle.transfer import transfer_ended
from simlib.lifecycle.waiting import next_checkin, notify
from simlib.rollout import pulls
from simlib.scenario import Scenario
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.cases import Cases
from simlib.simulation.columns import assemble
from simlib.simulation.device_rows import NO_TEXT
from simlib.simulation.run import prepare
from simlib.simulation.supply import Supply
from simlib.simulation.tables import close_pending


@dataclass(frozen=True, slots=True)
class Line:
    """One step of a device's life. `bench` are the steps the bench took in it, with real bytes."""

    time_ms: int
    step: str
    detail: str
    bytes_down: int = 0
    energy_uj: int = 0
    bench: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A device's story; `str` of it is what the command line prints."""

    device: int
    cohort: str
    outcome: str
    reason: str
    lines: tuple[Line, ...]
    differs: Mapping[
        str, tuple[Any, Any]
    ]  # columns in which the run's device table says else: (table, replay)

    @property
    def agrees(self) -> bool:
        """Whether the replay gives the row of the run's device table: end, bytes, energy and times."""
        return not self.differs

    def __str__(self) -> str:
        return "\n".join(self._text())

    def _text(self) -> Iterator[str]:
        yield f"device {self.device} ({self.cohort})"
        for line in self.lines:
            cost = "".join(
                text
                for text in (
                    f", {line.bytes_down} bytes down" if line.bytes_down else "",
                    f", {line.energy_uj} uJ" if line.energy_uj else "",
                )
            )
            yield f"{clock_text(line.time_ms)}  {line.step}: {line.detail}{cost}"
            for step in line.bench:
                spent = f"{step.time_ns / 1e6:.3f} ms, {step.ops} flash operations, {step.bytes} bytes"
                yield f"{'':>16}{step.phase}: {step.detail} ({spent}, {step.energy_nj / 1e3:.1f} uJ)"
        yield f"{self.outcome} {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """The same as one JSON-able object."""
        return asdict(self) | {"agrees": self.agrees}


def clock_text(time_ms: int) -> str:
    """Days and time of day since the scenario's start."""
    seconds, ms = divmod(time_ms, 1000)
    days, rest = divmod(seconds, 86_400)
    return f"{days:3d} d {rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}.{ms:03d}"


@dataclass(frozen=True)
class History:
    """What a saved run knows of one device and of the decisions around it."""

    released_ms: int  # when it could first have the release; −1: never
    stops: tuple[tuple[int, bool, bool, int | None], ...]
    """When, whether it cancelled, whether it was planned, and when it was lifted."""
    end_ms: int  # of the run: the horizon, or when it was interrupted
    interrupted: bool
    transfers: tuple[tuple[int, int], ...]  # when each of its transfers ended, and the bytes it was short
    row: Mapping[str, Any]  # of the device table
    devices: int  # rows of that table


def explain(scenario: Scenario, device: int, history: History) -> Explanation:
    """Replay `device` of a run of `scenario`. InputError if its inventory has another number of devices."""
    prepared, _ = prepare(scenario, devices=[device], fleet_size=history.devices, every_bit=True)
    spec, population = prepared.spec, prepared.population
    fleet = assemble(
        spec, population, prepared.kind, prepared.routes, prepared.release, prepared.cases, only=device
    )
    labels = [firmware.label for firmware in prepared.release.firmwares]
    replay = _Replay(fleet, _ROW, prepared.cases, Supply(fleet, prepared.cases, prepared.routes), labels)
    halts = _Halts(spec, history)
    released_ms = history.released_ms
    now = NEVER
    if released_ms >= 0 and fleet.phase[_ROW] == Phase.WAITING:
        if pulls(spec):
            now = next_checkin(fleet, _ROW, released_ms)  # it was let in as it came
        else:
            notify(fleet, _ROW, released_ms)
            now = next_checkin(fleet, _ROW, released_ms + 1 if released_ms else 0)
    if released_ms >= 0:
        _live(fleet, replay, halts, history, now)
    halts.set(fleet, history.end_ms, after=True)
    replay.book_the_rest(history.end_ms)
    close_pending(fleet, halted=bool(fleet.halted[0]), interrupted=history.interrupted)
    outcome, reason = OUTCOMES[fleet.outcome[_ROW]].value, REASONS[fleet.reason[_ROW]].value
    cohort = spec.cohorts[population.cohort[device]].name
    # What the device was given at the start differs too, where an inventory has changed since.
    given = {"cohort": cohort, "base_version": labels[population.base[device]]}
    return Explanation(
        device,
        cohort,
        outcome,
        reason,
        tuple(replay.lines),
        differs={
            name: (history.row[name], value)
            for name, value in (given | _row_of(fleet, _ROW, labels)).items()
            if history.row[name] != value
        },
    )


class _Halts:
    """What the service had stopped at a time, as its log says."""

    def __init__(self, spec: ScenarioSpec, history: History) -> None:
        self.kind = HALT_DOWNLOADS if spec.rollout.abort_downloads else HALT_OFFERS
        self._spans: list[tuple[int, int, int, int]] = []  # how, from and until when; the answer is out from
        self.calls: list[tuple[int, bool]] = []  # devices at rest are woken; whether as a halt is lifted
        answered = spec.recovery.on_halt not in ("stop", "resume")
        for at_ms, cancels, planned, resumed_ms in history.stops:
            until_ms = NEVER if resumed_ms is None else resumed_ms
            answers = answered and not planned
            answer_ms = at_ms + spec.recovery.delay_ms if answers else NEVER
            if cancels:
                self._spans.append((self.kind, at_ms, until_ms, answer_ms))
            elif answers:
                self._spans.append((HALT_OFFERS, answer_ms, NEVER, answer_ms))
            if answers:
                self.calls.append((answer_ms, False))
            elif resumed_ms is not None and (resumed_ms, True) not in self.calls:
                self.calls.append((resumed_ms, True))

    def set(self, fleet: Fleet, now: int, *, after: bool = False) -> None:
        """The scenario's columns as a device's step at `now` finds them; `after`: behind that time's
        decisions."""
        fleet.halted[0], fleet.recovery_ms[0] = RUNNING, NEVER
        for kind, from_ms, until_ms, answer_ms in self._spans:
            if from_ms < now + after and now + after <= until_ms:
                out_ms = min(answer_ms, fleet.recovery_ms[0])
                fleet.halted[0], fleet.recovery_ms[0] = kind, out_ms

    def breaks_off(self, now: int) -> bool:
        """Whether downloads were broken off at `now`."""
        return any(kind == HALT_DOWNLOADS and at_ms == now for kind, at_ms, _, _ in self._spans)


def _live(fleet: Fleet, replay: _Replay, halts: _Halts, history: History, now: int) -> None:
    """The life of the only device of `fleet` from `now` on, to the end of the run."""
    transfers = iter(history.transfers)
    calls = iter(halts.calls)
    call = next(calls, None)
    broken_off = False
    while True:
        while call is not None and now > call[0]:
            # Devices at rest are woken before what this one waits for.
            called_ms, lifted = call
            call = next(calls, None)
            if fleet.phase[_ROW] in (Phase.DONE, Phase.RESTING) and not (
                lifted and fleet.reason[_ROW] != _R_HALTED and not comes_again(fleet, _ROW)
            ):
                halts.set(fleet, called_ms, after=True)
                now = min(now, recover(fleet, called_ms, _ROW))
        if now > history.end_ms:
            return
        # A device's own step comes before the decisions of its millisecond, unless the halt caused it.
        halts.set(fleet, now, after=broken_off)
        broken_off = False
        command, value = replay.step(now)
        if command == TIMER:
            now = value
        elif command == JOIN and (transfer := next(transfers, None)) is not None:
            now, missing = transfer
            transfer_ended(fleet, _ROW, missing)
            cut_off = now == fleet.until_ms[_ROW]
            broken_off = missing > 0 and halts.breaks_off(now) and not cut_off
            if missing and now == history.end_ms and not broken_off and not cut_off:
                return  # still on the link at the end
        else:
            now = NEVER


def _row_of(fleet: Fleet, i: int, labels: list[str]) -> dict[str, Any]:
    """What the replay says a device's row is, of the columns that it can differ in."""
    return {
        "final_version": NO_TEXT if fleet.running[i] == NO_ROW else labels[fleet.running[i]],
        "outcome": OUTCOMES[fleet.outcome[i]].value,
        "reason": REASONS[fleet.reason[i]].value,
        "attempts": fleet.attempts[i],
        "bytes_down": fleet.bytes_down[i],
        "bytes_wasted": fleet.bytes_wasted[i],
        "energy_radio_uj": fleet.radio_uj[i],
        "energy_flash_uj": fleet.flash_uj[i],
        "energy_compute_uj": fleet.compute_uj[i],
        "offered_ms": fleet.offered_ms[i],
        "started_ms": fleet.started_ms[i],
        "finished_ms": fleet.finished_ms[i],
        "reported_ms": fleet.reported_ms[i],
    }


_R_HALTED: Final = REASON_CODE[Reason.ROLLOUT_HALTED]
_ROW: Final = 0
"""Of the device, which is alone in its columns."""
_MOVING = (Phase.INSTALLING, Phase.POWER_OFF, Phase.REBOOTING, Phase.CONFIRMING, Phase.REVERTING)


class _Replay:
    """Advances one device and writes a line for each phase it comes through."""

    def __init__(self, fleet: Fleet, device: int, cases: Cases, supply: Supply, labels: list[str]) -> None:
        self._supply = supply
        self.lines: list[Line] = []
        self._fleet = fleet
        self._device = device
        self._cases = cases
        self._labels = labels
        self._spent = (0, 0)

    def step(self, now: int) -> tuple[int, int]:
        """One call of `advance`, written down with what it and the transfer before it cost."""
        fleet, i = self._fleet, self._device
        before = Phase(fleet.phase[i])
        row = fleet.move[i] if before in _MOVING and fleet.plan[i] == PLAN_NONE else NO_ROW
        bench = self._cases.moves[row].found.steps if row != NO_ROW else ()
        command, value, _ = advance(fleet, now, i)
        while command == ASK:
            self._supply.answer(now, i, value)
            command, value, _ = advance(fleet, now, i)
        down, energy = self._since_last()
        self.lines.append(Line(now, before.name.lower(), self._detail(now), down, energy, bench))
        return command, value

    def book_the_rest(self, now: int) -> None:
        """A line for a transfer that the end of the run, at `now`, found under way."""
        down, energy = self._since_last()
        if down:
            self.lines.append(Line(now, "downloading", "under way at the end of the run", down, energy))

    def _since_last(self) -> tuple[int, int]:
        """Bytes and energy since the last line."""
        fleet, i = self._fleet, self._device
        spent = fleet.bytes_down[i], fleet.radio_uj[i] + fleet.flash_uj[i] + fleet.compute_uj[i]
        down, energy = spent[0] - self._spent[0], spent[1] - self._spent[1]
        self._spent = spent
        return down, energy

    def _detail(self, now: int) -> str:
        fleet, i = self._fleet, self._device
        after = Phase(fleet.phase[i])
        if after is Phase.DOWNLOADING:
            name = self._cases.artefacts[fleet.artefact[i]]
            return f"checks passed, downloads {name}, {fleet.left_bytes[i]} bytes to go"
        if after in (Phase.REPORTING, Phase.DONE, Phase.RESTING):
            outcome, reason = OUTCOMES[fleet.outcome[i]].value, REASONS[fleet.reason[i]].value
            arrived = "ends, reported" if fleet.reported_ms[i] == now else "ends"
            told = "reports" if after is Phase.REPORTING else arrived
            return f"{told} {outcome} ({reason})"
        if after is Phase.TRIAL:
            return f"boots {self._runs()} on trial, tests itself"
        return f"goes on to {after.name.lower().replace('_', ' ')}"

    def _runs(self) -> str:
        running = self._fleet.running[self._device]
        return "nothing" if running == NO_ROW else self._labels[running]
