"""One run on the compiled clocks: the loop of `simlib.simulation.kernel`, and what it leaves to Python.

The loop runs until something outside is due; calls of the service, the policy and the monitor are made
here, at their times and in their order. `simlib.simulation.simpy_run` is what both must agree with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableSequence, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simlib.engine import calendar as calendars
from simlib.engine.order import Rank
from simlib.errors import InputError
from simlib.fleet import Population, Route
from simlib.lifecycle.columns import (
    NEVER,
    RECOVER_BACK,
    RULE_PREMATURE_BELOW,
    RULE_RECOVERY_KIND,
)
from simlib.lifecycle.phases import Phase
from simlib.rollout import Policy
from simlib.scenario.model import ScenarioSpec
from simlib.simulation import book as books
from simlib.simulation import program
from simlib.simulation.bound import BoundRun
from simlib.simulation.cases import Cases
from simlib.simulation.compiled_memory import book_memory, calendar_memory, fleet_memory
from simlib.simulation.links import Attachment
from simlib.simulation.memory import Directory, slots_of, zeros
from simlib.simulation.recorder import STATES, Recorder, state_of
from simlib.simulation.shared_links import LinkView, SharesMemory
from simlib.simulation.supply import Supply
from simlib.simulation.tally import AT_PARKED, tally_of

_BUFFER_ROWS: Final = 1 << 14
_SLICE: Final = 1 << 19
"""Events after which the loop lets Python see whether the user wants to stop."""
_AHEAD: Final = (
    Phase.BACKING_UP,
    Phase.INSTALLING,
    Phase.POWER_OFF,
    Phase.REBOOTING,
    Phase.TRIAL,
    Phase.PROBATION,
    Phase.CONFIRMING,
    Phase.REVERTING,
)
"""Phases whose end nothing outside can touch, and tells nobody anything."""


class CompiledClock:
    """The time of a compiled run, and the calls that are due outside its loop."""

    def __init__(self, state: NDArray[np.int64]) -> None:
        self._state = state
        self._calls: list[tuple[int, int, int, int, Callable[[int], None]]] = []
        self._number = count()

    @property
    def now(self) -> int:
        """The current time [ms]."""
        return int(self._state[books.AT_NOW])

    def after(self, time_ms: int, rank: int, function: Callable[[int], None], order: int = 0) -> None:
        """Call ``function(now)`` at `time_ms`, by rank, then `order`, then as they were asked for."""
        heappush(self._calls, (time_ms, rank, order, next(self._number), function))

    def forget(self) -> None:
        """Make none of the calls that are still to come."""
        self._calls.clear()

    def set_limit(self) -> None:
        """Have the loop stop for the first call."""
        first = self._calls[0][:2] if self._calls else (NEVER, Rank.SAMPLING)
        self._state[books.AT_LIMIT], self._state[books.AT_LIMIT_RANK] = first

    def call_due(self) -> None:
        """Make the first call, if it is due."""
        if self._calls and self._calls[0][0] == self.now:
            time_ms, _, _, _, function = heappop(self._calls)
            self._state[books.AT_AGAIN] = 1
            function(time_ms)


def check_size(spec: ScenarioSpec, wire_bytes: Sequence[int] = ()) -> None:
    """Raise `InputError` for what the compiled clocks have no room for in their integers."""
    if spec.devices > calendars.DEVICES_MAX:
        raise InputError(
            f"{spec.name}: devices: found {spec.devices}, expected at most {calendars.DEVICES_MAX} "
            "on the compiled clocks"
        )
    if spec.horizon_ms > calendars.LATEST_MS:
        raise InputError(
            f"{spec.name}: horizon: found {spec.horizon_ms} ms, expected at most {calendars.LATEST_MS} ms "
            "on the compiled clocks"
        )
    if max(wire_bytes, default=0) >= 1 << 31:
        raise InputError(
            f"{spec.name}: release: found an artefact of {max(wire_bytes)} bytes, expected less than 2 GiB "
            "on the compiled clocks"
        )


class CompiledRun(BoundRun):
    """Binds life-cycle, policy and the compiled loop; `fused` lets devices run ahead of it."""

    def __init__(
        self,
        spec: ScenarioSpec,
        population: Population,
        routes: Sequence[Route],
        devices: Mapping[str, NDArray[Any]],
        others: Mapping[str, MutableSequence[int]],
        attachment: Attachment,
        policy: Policy,
        recorder: Recorder,
        cases: Cases,
        *,
        fused: bool,
        record: bool = True,
    ) -> None:
        """`devices` and `others` are from `columns_of`; without `record` transfers and errors are not kept.

        Raises `InputError` for a fleet that does not fit."""
        check_size(spec, cases.wire_bytes)
        n = spec.devices
        self._code = program.code()
        self._shares = SharesMemory(attachment.links, n)
        self._memory = fleet_memory(spec, population, routes, devices, others, attachment, self._shares)
        fleet = self._memory.fleet
        groups = len(spec.rollout.groups)
        messages = np.zeros((max(n, 1), program.TALLY_BYTES), dtype=np.uint8)
        group = messages[:, :2].view(np.int16)[:n, 0]
        group[:] = groups - 1 if policy.pull else population.group
        tally = tally_of(
            group,
            groups,
            policy.deadline_ms,
            spec.alerts.failure_rate,
            spec.alerts.min_sample,
            lambda rows: np.zeros(max(rows, 1), dtype=np.int64),
            news_room=_BUFFER_ROWS if policy.wants_news else 0,
            pulls=policy.pull,
        )
        self._tally = Directory(slots_of(program.TALLY))
        tally = tally._replace(
            seen=messages[:, 2].view(np.int8),
            settled=messages[:, 3].view(np.int8),
            expected=zeros(n if policy.deadline_ms > 0 else 1, 4).view(np.int32),
            expected_ms=zeros(n if policy.deadline_ms > 0 else 1, 8).view(np.int64),
        )
        for name, memory in tally._asdict().items():
            self._tally.put(program.TALLY[name].slot, memory)
        self._calendar = calendar_memory(n, spec.horizon_ms, self._memory.hot, messages)
        self._book, self._columns = book_memory(
            spec,
            attachment,
            self._memory,
            self._shares,
            buffer_rows=_BUFFER_ROWS,
            slice_events=_SLICE,
        )
        self._state = self._columns["state"]
        self.clock = CompiledClock(self._state)
        views = [LinkView(self._shares, k, link) for k, link in enumerate(attachment.links)]
        super().__init__(
            spec,
            fleet,
            population.keys,
            [np.flatnonzero(group == number).astype(np.int32) for number in range(groups)],
            tally,
            attachment,
            views,
            policy,
            recorder,
            self.clock,
        )
        self.supply = Supply(fleet, cases, routes)
        self._state[books.AT_FUSED] = int(fused)
        self._state[books.AT_RECORDS] = int(record)
        rules, windowed = fleet.rules, spec.rollout.window is not None
        for phase in _AHEAD:
            touched = (
                (phase is Phase.INSTALLING and rules[RULE_PREMATURE_BELOW])
                or (phase is Phase.CONFIRMING and rules[RULE_RECOVERY_KIND] == RECOVER_BACK)
                or (phase is Phase.BACKING_UP and windowed)
            )
            self._columns["fuses"][phase] = int(not touched)
        self._fused = fused
        self._grants: list[NDArray[np.int64]] = []
        self._errors: list[NDArray[np.int64]] = []
        self._addresses = (
            self._memory.directory.address,
            self._calendar.address,
            self._shares.directory.address,
            self._tally.address,
            self._book.address,
        )

    def let_go(self) -> None:
        """Free what only the running clock needed; the fleet's columns and the service's counts stay.

        Nothing refers back to the run any more, so that its memory is free as soon as its results are gone.
        """
        self.service.close()
        self.clock.forget()
        self._calendar.forget()
        self._shares.directory.forget()
        del self._shares.columns["end"]
        self._grants, self._errors = [], []

    def run(self) -> None:
        """Let the scenario's time pass, from 0 to the horizon inclusive.

        A KeyboardInterrupt ends it early, with everything booked up to then, and passes on.
        """
        counts = self._columns["counts"]
        counts[Phase.WAITING] = self._spec.devices
        for i in np.flatnonzero(np.asarray(self.fleet.phase) == Phase.DONE).tolist():
            counts[Phase.WAITING] -= 1
            counts[state_of(self.fleet, i)] += 1
            self._tell_observed(i, self.fleet.outcome[i])
        if self.service.policy.pull:
            self._park_all()
        alerts = self._spec.alerts
        if alerts.stalled_ms or alerts.silent_ms or alerts.storm:
            self._state[books.AT_SAMPLE] = NEVER
            self._sample(0)
        else:
            self._write_sample(0)
        try:
            self.service.start()
            while self._go_on():
                pass
            self._state[books.AT_NOW] = self._spec.horizon_ms
        finally:
            self._close()

    def _go_on(self) -> bool:
        """One stretch of the loop, and what it stopped for; False at the end."""
        self.clock.set_limit()
        reason = self._code.run_on(*self._addresses)
        self._take_notes()
        state = self._state
        if state[books.AT_GRANTS] or state[books.AT_ERRORS]:
            self._empty_buffers()
        if reason == books.EXIT_ASK:
            device, question = int(state[books.AT_DEVICE]), int(state[books.AT_QUESTION])
            self.supply.answer(int(state[books.AT_TIME]), device, question)
            self._memory.renew()
        elif reason == books.EXIT_ROOM:
            self._shares.grow()
        elif reason == books.EXIT_FULL:
            self.service.read_news()
        elif reason == books.EXIT_KNOCK:
            self.service.knock(self.clock.now)
        self.service.look(self.clock.now)
        if reason == books.EXIT_CALL:
            self.clock.call_due()
        return reason != books.EXIT_END

    def _take_notes(self) -> None:
        number = int(self._state[books.AT_NOTES])
        if not number:
            return
        self._state[books.AT_NOTES] = 0
        for kind, now, device, errors, judged in self._columns["notes"][: 5 * number].reshape(-1, 5).tolist():
            group = int(self.service.tally.group[device])
            if kind == books.NOTE_GONE:
                self._await(now, device)
            elif kind == books.NOTE_VIOLATED:
                self.monitor.violated(now, group, device, "installs outside the window")
            else:
                self.monitor.failing(now, group, errors, judged)

    def _await(self, gone_ms: int, device: int) -> None:
        due = gone_ms + self._spec.alerts.silent_ms
        self.clock.after(due, Rank.DEADLINE, lambda now: self._miss(now, device), order=device)

    def _empty_buffers(self) -> None:
        state = self._state
        for place, width, name, into in (
            (books.AT_GRANTS, 3, "grants", self._grants),
            (books.AT_ERRORS, 5, "errors", self._errors),
        ):
            rows = int(state[place])
            if rows:
                into.append(self._columns[name][: width * rows].reshape(-1, width).copy())
                state[place] = 0

    def _close(self) -> None:
        """Book what is under way when the run ends, and hand everything on to the recorder."""
        state, n = self._state, self._spec.devices
        self.log.events = int(state[books.AT_EVENTS])
        taken = int(state[books.AT_SAMPLES])
        if int(self._columns["samples"].reshape(-1, len(STATES) + 2)[taken - 1, 0]) < state[books.AT_NOW]:
            self._write_sample(int(state[books.AT_NOW]))
        fleet, _, shares, _, book = self._addresses
        first = 0
        while first < n:
            first = self._code.close_books(fleet, shares, book, first, n)
            self._empty_buffers()
        self._record()

    def _record(self) -> None:
        recorder = self.recorder
        rows = self._columns["samples"].reshape(-1, len(STATES) + 2)[: int(self._state[books.AT_SAMPLES])]
        recorder.samples = [(row[0], row[1], row[2:]) for row in rows.tolist()]
        recorder.grant_parts = self._grants
        if self._errors:
            errors = np.concatenate(self._errors)
            if self._fused:
                # Nearly sorted already, so one key sorts quickly: twice the time and a device fit 63 bits.
                key = errors[:, 0] << calendars.DEVICE_BITS | errors[:, 1]
                errors = errors[np.argsort(key, kind="stable")]
            errors[:, 0] >>= 1
            recorder.error_parts = [errors]
        recorder.counts = self._count_states()

    def _park_all(self) -> None:
        tally = self.service.tally
        devices = np.flatnonzero(np.asarray(self.fleet.phase) == Phase.WAITING)
        tally.parked[: len(devices)] = devices
        tally.state[AT_PARKED] = len(devices)

    def _send_for(self, now: int, devices: NDArray[np.int32]) -> None:
        self._list(devices)
        self._state[books.AT_EARLIEST] = self._earliest(now)
        fleet, calendar, _, _, book = self._addresses
        self._code.open_members(fleet, calendar, book)

    def _listen(self, now: int) -> None:
        self._state[books.AT_EARLIEST] = self._earliest(now)
        fleet, calendar, _, tally, book = self._addresses
        self._code.send_parked(fleet, calendar, tally, book)

    def _list(self, devices: NDArray[np.int32]) -> None:
        """Tell the loop which devices the next command is about."""
        self._listed = np.ascontiguousarray(devices, dtype=np.int32)
        self._book.put(program.BOOK["members"].slot, self._listed)
        self._state[books.AT_MEMBERS] = len(devices)

    def _break_off(self, now: int) -> None:
        fleet, calendar, shares, _, book = self._addresses
        self._code.break_off(fleet, calendar, shares, book, self._spec.devices)

    def _wake(self, now: int, devices: NDArray[np.int32], *, halted: bool) -> None:
        self._list(devices)
        self._state[books.AT_HALTED] = int(halted)
        fleet, calendar, _, _, book = self._addresses
        self._code.wake_members(fleet, calendar, book)

    def _count_states(self) -> list[int]:
        self._code.count_now(self._book.address)
        counts: list[int] = self._columns["exact"].tolist()
        return counts

    def _write_sample(self, now: int) -> None:
        self._code.take_sample(self._shares.directory.address, self._book.address, now)
