"""The reference clock: SimPy, one process a device, in the canonical order of events.

Decides what happens next; what happens then, and why, is the generators' and the calls' business. SimPy
breaks ties by the order of insertion; here `order` does, so that the run depends on nothing but what its
devices do, and a compiled clock with the same rule gives the same run. Time is whole milliseconds.

A device's process is a generator that yields what `SimpyClock.timer` and `SimpyClock.join` return. It waits
for one thing at a time, so one SimPy event for each device is enough, armed again for each wait, and no event
or callback is made on the way. Ordinary SimPy processes may run beside the devices in `SimpyClock.env`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappush
from typing import Any, Final, cast

from simpy.events import Event, EventPriority, ProcessGenerator

from simlib.engine.environment import FleetEnvironment, whole_ms
from simlib.engine.link import INF, FairLink
from simlib.engine.order import AFTER, CAPACITY, DEVICE, DEVICES_MAX, LINK, SETTLE, Rank

_AFTER_WAITS: Final = 1 << 40
"""Added to the number of a cut-off's entry, so that it comes after what the device itself waits for."""


class _DeviceProcess(Event):
    """One device's process: the event it waits for and the generator that goes on when it comes."""

    __slots__ = (
        "_ok",
        "_value",
        "alarm",
        "callbacks",
        "clock",
        "device",
        "due_ms",
        "env",
        "priority",
        "send",
        "serial",
        "transfer",
    )

    def __init__(self, clock: SimpyClock, device: int, generator: ProcessGenerator) -> None:
        self.env = clock.env
        self.clock = clock
        self.device = device
        self.priority = EventPriority(DEVICE + device)
        self.send = generator.send
        self.alarm: _LinkAlarm | None = None  # of the link its transfer is on
        self.transfer = 0  # how many it has begun
        self.due_ms = -1  # when it goes on; what rings at another time was replaced by an earlier wake
        self.serial = 0  # of its entries in the queue: SimPy cannot take one back
        self.callbacks = _RESUME
        self._ok = True
        self._value = None


class _LinkAlarm(Event):
    """When a link is looked at next. SimPy cannot take an event back, so earlier alarms may ring in vain.

    `armed_ms` holds the times in the queue, latest first: a time is added only if it comes before the rest.
    """

    __slots__ = (
        "_ok",
        "_value",
        "armed_ms",
        "callbacks",
        "clock",
        "due_ms",
        "env",
        "link",
        "number",
        "touched",
    )

    def __init__(self, clock: SimpyClock, number: int, link: FairLink) -> None:
        self.env = clock.env
        self.clock = clock
        self.number = number
        self.link = link
        self.armed_ms: list[int] = []
        self.due_ms = INF
        self.touched = False
        self.callbacks = _RING
        self._ok = True
        self._value = None


class _CutOff(Event):
    """When a transfer is broken off unless it has ended."""

    __slots__ = ("_ok", "_value", "callbacks", "env", "process", "transfer")

    def __init__(self, process: _DeviceProcess) -> None:
        self.env = process.env
        self.process = process
        self.transfer = process.transfer
        self.callbacks = _CUT_OFF
        self._ok = True
        self._value = None


class _Call(Event):
    """A function to call at a time and rank."""

    __slots__ = ("_ok", "_value", "callbacks", "clock", "env", "function", "rank")

    def __init__(self, clock: SimpyClock, rank: int, function: Callable[[int], object]) -> None:
        self.env = clock.env
        self.clock = clock
        self.rank = rank
        self.function = function
        self.callbacks = _CALL
        self._ok = True
        self._value = None


class SimpyClock:
    """Runs device processes, shared links and calls up to and including `horizon_ms`.

    Attributes: `env`, the SimPy environment, for processes of a notebook's own; `links`; `horizon_ms`.
    """

    def __init__(self, links: Sequence[FairLink], horizon_ms: int) -> None:
        self.env = FleetEnvironment()
        self.links = tuple(links)
        self.horizon_ms = horizon_ms
        self._queue = self.env._queue
        self._processes: dict[int, _DeviceProcess] = {}
        self._alarms = [_LinkAlarm(self, number, link) for number, link in enumerate(self.links)]
        self._touched: list[_LinkAlarm] = []
        self._settling = _Call(self, -1, self._settle)
        self._rank = -1  # of the call under way
        self._at_once = Event(self.env)  # already processed: whoever yields it goes on
        self._at_once._ok = True
        self._at_once._value = None
        self._at_once.callbacks = None  # type: ignore[assignment]

    @property
    def now(self) -> int:
        """The current time [ms]."""
        return cast(int, self.env._now)

    @property
    def events(self) -> int:
        """The number of device events so far: starts, timers, completed and aborted transfers."""
        return self.env.device_events

    def spawn(self, device: int, generator: ProcessGenerator, at: int | None = None) -> None:
        """Start a device's process now, or at the time `at` [ms].

        Raises `ValueError` if the device's last process has not ended, or the device or time is out of range.
        """
        time_ms = self.now if at is None else self._not_past(at)
        if not 0 <= device < DEVICES_MAX:
            raise ValueError(f"device {device}: found number {device}, expected 0 to 2**59 - 1")
        if device in self._processes:
            raise ValueError(f"device {device}: found a second process, expected one at a time")
        process = self._processes[device] = _DeviceProcess(self, device, generator)
        process.due_ms = time_ms
        if time_ms <= self.horizon_ms:
            heappush(self._queue, (time_ms, process.priority, 0, process))

    def timer(self, device: int, time_ms: int) -> Event:
        """What `device`'s process yields to go on at `time_ms`, an absolute time that is not past."""
        process = self._processes[device]
        if process.callbacks is not None:
            raise RuntimeError(f"device {device}: found a second wait, expected one yield for each")
        if type(time_ms) is not int:
            time_ms = whole_ms(time_ms)
        now = self.env._now
        if time_ms > now:
            process.callbacks = _RESUME
            process._value = None
            process.due_ms = time_ms
            if time_ms <= self.horizon_ms:
                heappush(self._queue, (time_ms, process.priority, process.serial, process))
            return process
        self._not_past(time_ms)
        return self._at_once

    def running(self, device: int) -> bool:
        """Whether `device` has a process that has not ended."""
        return device in self._processes

    def wake(self, device: int, time_ms: int) -> bool:
        """Have `device`'s process, which waits for a timer, go on at `time_ms` instead, if that is earlier.

        Returns whether it will: not if it has ended, waits for a transfer or comes earlier anyway.
        """
        process = self._processes.get(device)
        if process is None or process.alarm is not None or process.due_ms <= time_ms:
            return False
        process.serial += 1
        process.due_ms = self._not_past(time_ms)
        if time_ms <= self.horizon_ms:
            heappush(self._queue, (time_ms, process.priority, process.serial, process))
        return True

    def join(
        self, device: int, link_index: int, rate_class: int, size_bytes: int, until_ms: int = INF
    ) -> Event:
        """What `device`'s process yields to transfer `size_bytes` over a link, in the given rate class.

        The process goes on in the millisecond the transfer ends, and is sent 0, or, if the transfer was
        aborted, the bytes it misses. At `until_ms`, which is later than now, a transfer that has not ended
        is aborted.
        """
        process = self._processes[device]
        if process.callbacks is not None:
            raise RuntimeError(f"device {device}: found a second wait, expected one yield for each")
        alarm = self._alarms[link_index]
        alarm.link.join(self.now, device, rate_class, size_bytes)
        process.callbacks = _RESUME
        process.alarm = alarm
        process.transfer += 1
        process.due_ms = -1
        if until_ms <= self.horizon_ms:
            number = _AFTER_WAITS + next(self.env._eid)
            entry = (self._not_past(until_ms), process.priority, number, _CutOff(process))
            heappush(self._queue, entry)
        self._touch(alarm)
        return process

    def abort(self, device: int) -> bool:
        """Break off the device's transfer; its process goes on in this millisecond, in device order.

        Returns whether there was a transfer: one that has ended in this very millisecond stays ended.
        """
        process = self._processes.get(device)
        if process is None or process.alarm is None:
            return False
        alarm = process.alarm
        process._value = alarm.link.abort(self.now, device)
        process.alarm = None
        process.due_ms = self.now
        heappush(self._queue, (self.env._now, process.priority, process.serial, process))
        self._touch(alarm)
        return True

    def after(self, time_ms: int, rank: int, function: Callable[[int], object]) -> None:
        """Call ``function(now)`` at `time_ms`, after all device events of that millisecond.

        Calls are made by ascending `Rank`, those of one rank in the order they were asked for. A call may ask
        for another of its own or a later rank in the same millisecond; `ValueError` for an earlier one, which
        has had its turn.
        """
        rank = Rank(rank)
        self._not_past(time_ms)
        if time_ms == self.env._now and rank < self._rank:
            raise ValueError(
                f"time {time_ms} ms: found a call of rank {rank} asked for in a call of rank {self._rank}, "
                "expected the same or a later rank"
            )
        if time_ms <= self.horizon_ms:
            self._push_call(time_ms, EventPriority(AFTER + rank), _Call(self, rank, function))

    def set_capacity(self, time_ms: int, link_index: int, capacity_bps: int) -> None:
        """Change a link's capacity [byte/s] at `time_ms`; 0 is an outage.

        Of two changes at one time the one asked for later holds.
        """
        alarm = self._alarms[link_index]
        self._not_past(time_ms)
        if time_ms <= self.horizon_ms:
            call = _Call(self, -1, partial(self._change_capacity, alarm, capacity_bps))
            self._push_call(time_ms, CAPACITY, call)

    def run(self) -> None:
        """Process every event up to and including the horizon; `now` is the horizon afterwards.

        Python's cycle collector rests meanwhile: the devices are many and none of them is garbage yet.
        """
        env, queue, step, horizon_ms = self.env, self._queue, self.env.step, self.horizon_ms
        collecting = gc.isenabled()
        gc.disable()
        try:
            while queue and queue[0][0] <= horizon_ms:
                step()
            env._now = max(env._now, horizon_ms)
        finally:
            if collecting:
                gc.enable()

    def _not_past(self, time_ms: int) -> int:
        if type(time_ms) is not int:
            time_ms = whole_ms(time_ms)
        if time_ms < self.env._now:
            raise ValueError(f"time: found {time_ms} ms, expected now ({self.env._now}) or later")
        return time_ms

    def _push_call(self, time_ms: int, priority: EventPriority, call: _Call) -> None:
        heappush(self._queue, (time_ms, priority, next(self.env._eid), call))

    def _change_capacity(self, alarm: _LinkAlarm, capacity_bps: int, now: int) -> None:
        alarm.link.set_capacity(now, capacity_bps)
        self._touch(alarm)

    def _touch(self, alarm: _LinkAlarm) -> None:
        """Have the link settled at the end of this instant."""
        if not alarm.touched:
            alarm.touched = True
            if not self._touched:
                heappush(self._queue, (self.env._now, SETTLE, 0, self._settling))
            self._touched.append(alarm)

    def _settle(self, now: int) -> None:
        for alarm in self._touched:
            alarm.touched = False
            alarm.due_ms = alarm.link.next_finish()
            self._arm(alarm)
        self._touched.clear()

    def _arm(self, alarm: _LinkAlarm) -> None:
        due_ms, armed_ms = alarm.due_ms, alarm.armed_ms
        if due_ms <= self.horizon_ms and (not armed_ms or due_ms < armed_ms[-1]):
            armed_ms.append(due_ms)
            heappush(self._queue, (due_ms, LINK, alarm.number, alarm))


def _resume(process: _DeviceProcess) -> None:
    clock = process.clock
    env = clock.env
    if process.due_ms != env._now:  # an earlier wake has come instead
        process.callbacks = _RESUME
        return
    at_once = clock._at_once
    process.due_ms = -1
    try:
        env.device_events += 1
        target = process.send(process._value)
        while target is at_once:
            env.device_events += 1
            target = process.send(None)
    except StopIteration:
        del clock._processes[process.device]
        if process.callbacks is not None:
            raise RuntimeError(
                f"device {process.device}: found its end, expected its last wait yielded"
            ) from None
        process.callbacks = _RESUME  # entries that a wake has replaced may still ring
        process.due_ms = -1
        return
    if target is not process or process.callbacks is None:
        raise RuntimeError(
            f"device {process.device}: found {target!r} yielded, expected a timer or join of its own"
        )


def _ring(alarm: _LinkAlarm) -> None:
    alarm.callbacks = _RING
    alarm.armed_ms.pop()
    clock = alarm.clock
    now = clock.now
    if alarm.due_ms != now:
        clock._arm(alarm)
        return
    queue, processes = clock._queue, clock._processes
    for device in alarm.link.pop_finished(now):
        process = processes[device]
        process.alarm = None
        process._value = 0
        process.due_ms = now
        heappush(queue, (now, process.priority, process.serial, process))
    clock._touch(alarm)


def _cut_off(cut: _CutOff) -> None:
    process = cut.process
    if process.alarm is not None and process.transfer == cut.transfer:
        process.clock.abort(process.device)


def _call(call: _Call) -> None:
    call.callbacks = _CALL
    clock = call.clock
    clock._rank = call.rank
    try:
        call.function(clock.now)
    finally:
        clock._rank = -1


# An event's callbacks are shared by all of a kind, and tuples: a process that is not the device's own and
# yields a device's event fails at once, as it cannot be added to them.
_RESUME: Final = cast(Any, (_resume,))
_RING: Final = cast(Any, (_ring,))
_CALL: Final = cast(Any, (_call,))
_CUT_OFF: Final = cast(Any, (_cut_off,))
