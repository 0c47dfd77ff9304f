"""The calendar queue gives what a sorted list would, whatever its buckets, cancellations and limits are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simlib.engine import calendar as calendars
from simlib.engine.calendar import (
    AT_BUCKETS,
    AT_HEAP,
    AT_HEAP_ROOM,
    AT_LISTED,
    AT_SHIFT,
    DEVICE_BITS,
    DEVICES_MAX,
    LATEST_MS,
    NEVER,
    NONE,
    Calendar,
    cancel,
    push,
    shape,
    soonest,
    take,
)
from tests.amounts import examples


def made(devices: int, horizon_ms: int, shift: int, heap_room: int) -> Calendar:
    """An empty calendar whose columns are lists of exactly the length that they need: one more raises."""
    state = [0] * calendars.STATES
    state[AT_SHIFT], state[AT_BUCKETS], state[AT_HEAP_ROOM] = shift, (horizon_ms >> shift) + 1, heap_room
    return Calendar(
        due=[NEVER] * devices,
        after=[NONE] * devices,
        before=[NONE] * devices,
        head=[NONE] * state[AT_BUCKETS],
        keys=[0] * devices,
        heap=[0] * heap_room,
        state=state,
    )


class CalendarMachine(RuleBasedStateMachine):
    """A calendar beside a dictionary of who waits until when; `now` never goes back."""

    @initialize(
        devices=st.integers(1, 6),
        horizon=st.sampled_from([0, 7, 40, 1000]),
        shift=st.integers(0, 10),
        spare=st.sampled_from([1, 2, 64]),
    )
    def begin(self, devices, horizon, shift, spare):
        self.devices, self.horizon, self.now = devices, horizon, 0
        # Every device once, and the one that is being pushed: with `spare` 1 the heap fills up soon.
        self.calendar = made(devices, horizon, shift, devices + spare)
        self.waits: dict[int, int] = {}

    def first(self):
        return min(((t, d) for d, t in self.waits.items()), default=None)

    @rule(device=st.integers(0, 5), wait=st.integers(0, 3) | st.integers(0, 1000), data=st.data())
    def push(self, device, wait, data):
        device %= self.devices
        if device in self.waits:
            cancel(self.calendar, device)
        # Times that others wait for, so that many are equal.
        known = sorted(t for t in self.waits.values() if t >= self.now)
        time = min(self.now + wait, self.horizon)
        if known and data.draw(st.booleans()):
            time = data.draw(st.sampled_from(known))
        push(self.calendar, time, device)
        self.waits[device] = time

    @rule(device=st.integers(0, 5))
    def cancel(self, device):
        cancel(self.calendar, device % self.devices)  # also one that waits for nothing
        self.waits.pop(device % self.devices, None)

    @rule(device=st.integers(0, 5), times=st.integers(1, 12))
    def cancel_and_push_again(self, device, times):
        device %= self.devices
        if device not in self.waits:
            return
        for _ in range(times):
            cancel(self.calendar, device)
            push(self.calendar, self.waits[device], device)

    @rule(ahead=st.integers(0, 50) | st.just(NEVER))
    def look(self, ahead):
        self._look(min(self.now + ahead, NEVER))

    def _look(self, limit):
        key, first = soonest(self.calendar, limit), self.first()
        if key == NEVER:
            assert first is None or first[0] > limit
        else:
            assert first is not None and key == first[0] << DEVICE_BITS | first[1]
        return key

    @precondition(lambda self: self.waits)
    @rule(count=st.integers(1, 4))
    def take(self, count):
        for _ in range(min(count, len(self.waits))):
            time, device = self.first()
            assert take(self.calendar, self._look(time)) == device
            del self.waits[device]
            self.now = time

    @rule(ahead=st.integers(0, 30))
    def time_passes_without_an_event_of_the_calendar(self, ahead):
        first = self.first()
        self.now = min(self.now + ahead, self.horizon if first is None else first[0])

    @invariant()
    def each_device_waits_for_what_it_was_told_to(self):
        for device in range(self.devices):
            assert self.calendar.due[device] == self.waits.get(device, NEVER)
        state = self.calendar.state
        assert 0 <= state[AT_HEAP] <= state[AT_HEAP_ROOM] and 0 <= state[AT_LISTED] <= len(self.waits)


TestCalendarMachine = CalendarMachine.TestCase
TestCalendarMachine.settings = settings(max_examples=examples(120), stateful_step_count=40, deadline=None)


@given(
    times=st.lists(st.integers(0, 5000), min_size=1, max_size=200),
    shift=st.integers(0, 13),
    waits=st.lists(st.integers(0, 60), min_size=1, max_size=30),
)
@settings(max_examples=examples(60))
def test_a_fleet_that_goes_on_and_on_is_served_in_order_of_time_and_device(times, shift, waits):
    horizon, devices = 5000, len(times)
    queue = made(devices, horizon, shift, 2 * devices + 64)
    model = {}
    for device, time in enumerate(times):
        push(queue, time, device)
        model[device] = time
    served = 0
    while (key := soonest(queue, NEVER)) != NEVER:
        expected = min((t, d) for d, t in model.items())
        assert (key >> DEVICE_BITS, take(queue, key)) == expected
        time, device = expected
        del model[device]
        following = time + waits[served % len(waits)]
        if served < 3 * devices and following <= horizon:
            push(queue, following, device)
            model[device] = following
        served += 1
    assert not model


@given(
    times=st.lists(st.integers(0, 40), min_size=1, max_size=25),
    changes=st.lists(st.tuples(st.integers(0, 24), st.none() | st.integers(0, 40)), max_size=60),
    shift=st.integers(0, 6),
)
@settings(max_examples=examples(200))
def test_who_is_cancelled_in_whatever_order_leaves_the_others_in_their_buckets(times, changes, shift):
    devices = len(times)
    queue, model = made(devices, 40, shift, devices + 1), dict(enumerate(times))
    for device, time in model.items():
        push(queue, time, device)
    for device, time in changes:  # no bucket is open yet
        cancel(queue, device % devices)
        model.pop(device % devices, None)
        if time is not None:
            push(queue, time, device % devices)
            model[device % devices] = time
    assert queue.state[AT_LISTED] == len(model)
    taken = []
    while (key := soonest(queue, 40)) != NEVER:
        taken.append((key >> DEVICE_BITS, take(queue, key)))
    assert taken == sorted((time, device) for device, time in model.items())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 13, 14, 15, 300])
def test_one_bucket_with_all_devices_is_worked_off_in_order(count):
    horizon = 1023
    queue = made(count, horizon, 10, count + 1)
    for device in range(count):
        push(queue, (device * 7919) % 1024, device)
    taken = []
    while (key := soonest(queue, horizon)) != NEVER:
        taken.append((key >> DEVICE_BITS, take(queue, key)))
    assert taken == sorted((device * 7919 % 1024, device) for device in range(count))


def test_one_device_cancelled_and_pushed_again_at_one_time_never_overfills_the_heap():
    queue = made(1, 100, 7, 2 * 1 + 64)
    push(queue, 5, 0)
    assert soonest(queue, 100) == 5 << DEVICE_BITS  # its bucket is being worked off: pushes go to the heap
    for _ in range(500):
        cancel(queue, 0)
        push(queue, 5, 0)
    assert take(queue, soonest(queue, 100)) == 0
    assert soonest(queue, 100) == NEVER


def test_a_full_heap_forgets_what_was_cancelled_and_nothing_else():
    devices = 20
    queue = made(devices, 1000, 10, devices + 1)
    push(queue, 0, 0)
    soonest(queue, 0)  # the only bucket is open
    for device in range(1, devices):
        push(queue, 500 + device, device)
    for time in range(400, 440):  # device 3 changes its mind until the heap has filled up twice
        cancel(queue, 3)
        push(queue, time, 3)
    order = []
    while (key := soonest(queue, 1000)) != NEVER:
        order.append((key >> DEVICE_BITS, take(queue, key)))
    assert order == [(0, 0), (439, 3), *((500 + d, d) for d in range(1, devices) if d != 3)]


def test_a_limit_leaves_a_later_bucket_closed_so_that_earlier_events_may_still_come():
    queue = made(3, 1000, 4, 4)
    push(queue, 900, 0)
    assert soonest(queue, 500) == NEVER
    push(queue, 510, 1)  # an earlier bucket than the one that was found
    assert soonest(queue, 509) in (NEVER, 510 << DEVICE_BITS | 1)
    assert soonest(queue, 510) == 510 << DEVICE_BITS | 1
    assert take(queue, soonest(queue, 510)) == 1
    push(queue, 510, 2)  # into the bucket that is open
    assert take(queue, soonest(queue, 510)) == 2
    assert take(queue, soonest(queue, NEVER)) == 0


def test_the_latest_time_and_the_last_device_still_come_before_never():
    assert LATEST_MS << DEVICE_BITS | (DEVICES_MAX - 1) < NEVER
    queue = made(1, 0, 0, 2)
    queue.heap[:] = [0, 0]
    queue.state[calendars.AT_END] = LATEST_MS + 1
    push(queue, LATEST_MS, 0)
    key = soonest(queue, LATEST_MS)
    assert key == LATEST_MS << DEVICE_BITS and take(queue, key) == 0


@given(st.integers(1, DEVICES_MAX), st.integers(0, LATEST_MS))
def test_the_shape_has_a_bucket_for_every_time_and_no_more_than_its_bounds(devices, horizon):
    shift, buckets = shape(devices, horizon)
    assert buckets == (horizon >> shift) + 1
    most = min(max(devices, 1 << 10), 1 << 20)
    assert buckets <= most
    assert shift == 0 or (horizon >> (shift - 1)) + 1 > most  # the finest that fits
