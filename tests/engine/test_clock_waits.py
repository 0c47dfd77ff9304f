"""Waits that end early: a transfer that is cut off at a time, and a timer that an earlier wake replaces."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simpy.events import Event

from simlib.engine import FairLink, Rank, SimpyClock

Process = Generator[Event, Any, None]


def clock_of(capacity_bps: int = 10_000, horizon_ms: int = 10_000) -> SimpyClock:
    return SimpyClock([FairLink([10_000], capacity_bps, 8)], horizon_ms)


def transfer(clock: SimpyClock, device: int, size: int, until_ms: int, log: list[tuple[int, int]]) -> Process:
    missing = yield clock.join(device, 0, 0, size, until_ms)
    log.append((clock.now, missing))


def test_a_transfer_is_cut_off_in_its_millisecond_and_says_what_it_misses() -> None:
    clock, log = clock_of(), []
    clock.spawn(0, transfer(clock, 0, 5_000, 200, log))
    clock.run()
    assert log == [(200, 3_000)]  # 10 byte/ms for 200 ms


def test_a_transfer_that_ends_in_the_millisecond_of_its_cut_off_has_ended() -> None:
    clock, log = clock_of(), []
    clock.spawn(0, transfer(clock, 0, 2_000, 200, log))
    clock.run()
    assert log == [(200, 0)]


def test_the_cut_off_of_an_earlier_transfer_does_not_touch_the_next() -> None:
    clock, log = clock_of(), []

    def life() -> Process:
        for until in (500, 9_000):
            missing = yield clock.join(0, 0, 0, 3_000, until)
            log.append((clock.now, missing))

    clock.spawn(0, life())
    clock.run()
    assert log == [(300, 0), (600, 0)]


def test_two_transfers_of_one_device_may_have_the_same_cut_off() -> None:
    clock, log = clock_of(), []

    def life() -> Process:
        for size in (1_000, 9_000):
            missing = yield clock.join(0, 0, 0, size, 400)
            log.append((clock.now, missing))

    clock.spawn(0, life())
    clock.run()
    assert log == [(100, 0), (400, 6_000)]


def test_a_cut_off_frees_the_share_of_the_others() -> None:
    clock, log = clock_of(), []
    clock.spawn(0, transfer(clock, 0, 9_000, 100, log))
    clock.spawn(1, transfer(clock, 1, 1_000, 9_999, log))
    clock.run()
    assert log == [(100, 8_500), (150, 0)]  # 5 byte/ms each, then 10


def sleeper(clock: SimpyClock, times: list[int], log: list[int]) -> Process:
    for time_ms in times:
        yield clock.timer(0, time_ms)
        log.append(clock.now)


def wake_at(clock: SimpyClock, asked_ms: int, time_ms: int) -> list[bool]:
    answers: list[bool] = []
    clock.after(asked_ms, Rank.POLICY, lambda _now: answers.append(clock.wake(0, time_ms)))
    return answers


def test_a_wake_comes_instead_of_a_later_timer_and_the_timer_does_not_come_again() -> None:
    clock, log = clock_of(), []
    clock.spawn(0, sleeper(clock, [1_000, 2_000], log))
    answers = wake_at(clock, 300, 400)
    clock.run()
    assert answers == [True]
    assert log == [400, 2_000]


def test_a_wake_that_is_no_earlier_changes_nothing() -> None:
    for time_ms in (1_000, 1_001):
        clock, log = clock_of(), []
        clock.spawn(0, sleeper(clock, [1_000, 2_000], log))
        answers = wake_at(clock, 300, time_ms)
        clock.run()
        assert answers == [False] and log == [1_000, 2_000]


def test_a_wake_at_the_time_of_the_replaced_timer_is_still_one_event() -> None:
    clock, log = clock_of(), []
    # Woken at 400, it waits for 1,000 again, where the replaced entry still stands in the queue.
    clock.spawn(0, sleeper(clock, [1_000, 1_000, 3_000], log))
    wake_at(clock, 300, 400)
    clock.run()
    assert log == [400, 1_000, 3_000]


def test_a_device_on_a_link_or_gone_is_not_woken() -> None:
    clock, log = clock_of(), []
    clock.spawn(0, transfer(clock, 0, 5_000, 9_999, log))
    during = wake_at(clock, 100, 200)
    after = wake_at(clock, 9_000, 9_500)
    clock.run()
    assert during == after == [False] and log == [(500, 0)]
    assert not clock.running(0)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 60)), max_size=6),
)
def test_whoever_is_woken_goes_on_at_the_earlier_of_both_times(
    delays: list[int], wakes: list[tuple[int, int]]
) -> None:
    """Against a plain account of what the device waits for."""
    clock, log = clock_of(horizon_ms=1_000), []

    def life() -> Process:
        for delay in delays:
            yield clock.timer(0, clock.now + delay)
            log.append(clock.now)

    clock.spawn(0, life())
    for asked_ms, ahead in wakes:
        clock.after(asked_ms, Rank.POLICY, lambda now, ahead=ahead: clock.wake(0, now + ahead))
    clock.run()

    expected: list[int] = []
    left, pending = (
        list(delays),
        sorted(wakes, key=lambda wake: wake[0]),
    )  # of one time as they were asked for
    due: int | None = left.pop(0)
    for now in range(1_001):
        changed = True
        while changed:
            changed = False
            if due == now:
                expected.append(now)
                due = now + left.pop(0) if left else None
                changed = True
                continue
            for entry in [e for e in pending if e[0] == now]:
                pending.remove(entry)
                if due is not None and now + entry[1] < due:
                    due = now + entry[1]
                    changed = True
                if due == now:
                    break
    assert log == expected


def test_a_fair_share_is_what_a_transfer_gets_of_its_own_rate() -> None:
    link = FairLink([1_000, 10_000], 10_000, 8)
    assert link.fair_share(10_000) == 1
    for device in range(4):
        link.join(0, device, 1, 100_000)
    assert link.fair_share(10_000) == Fraction(1, 4)
    assert link.fair_share(1_000) == 1
    assert link.carries(3) and not link.carries(4) and link.fastest_bps == 10_000
    link.set_capacity(10, 0)
    assert link.fair_share(10_000) == 0


@pytest.mark.parametrize("until_ms", [0, -1])
def test_a_cut_off_in_the_past_is_refused(until_ms: int) -> None:
    clock, log = clock_of(), []
    clock.spawn(0, transfer(clock, 0, 10, until_ms, log), at=5)
    with pytest.raises(ValueError, match="expected now"):
        clock.run()
