"""The SimPy clock against a plain interpreter that looks at every millisecond, and its rules one by one.

A program is a device's list of operations: ("timer", delay), ("join", link, rate class, bytes) or
("abort", another device). What a run did is a log of (time, device, operation, what it was sent).
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simpy.events import Event

from simlib.engine import FairLink, Rank, SimpyClock
from tests.amounts import examples

Operation = tuple[str, int] | tuple[str, int, int, int]
Log = list[tuple[int, int, int, int | bool | None]]
HORIZON_MS = 400
CAPS_BPS = ([3_000, 40_000], [10_000])
CAPACITIES_BPS = (30_000, 12_000)


def fresh_links() -> list[FairLink]:
    return [FairLink(caps, capacity, 8) for caps, capacity in zip(CAPS_BPS, CAPACITIES_BPS, strict=True)]


def life(
    clock: SimpyClock, device: int, program: Sequence[Operation], log: Log
) -> Generator[Event, Any, None]:
    for number, operation in enumerate(program):
        sent: int | bool | None
        if operation[0] == "timer":
            sent = yield clock.timer(device, clock.now + operation[1])
        elif operation[0] == "join":
            sent = yield clock.join(device, *operation[1:])
        else:
            sent = clock.abort(operation[1])
        log.append((clock.now, device, number, sent))


Case = tuple[
    dict[int, tuple[int, list[Operation]]],  # device: (start, program)
    list[tuple[int, int]],  # (time, device) of aborts by the policy
    dict[tuple[int, int], int],  # (time, link): capacity
]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    count = draw(st.integers(1, 8))
    devices = draw(st.sets(st.integers(0, 20), min_size=count, max_size=count))
    some_device = st.sampled_from(sorted(devices))
    link = st.integers(0, 1)
    operation = st.one_of(
        st.tuples(st.just("timer"), st.sampled_from([0, 0, 1, 2, 10]) | st.integers(0, 150)),
        link.flatmap(
            lambda number: st.tuples(
                st.just("join"),
                st.just(number),
                st.integers(0, len(CAPS_BPS[number]) - 1),
                st.sampled_from([1, 10, 100]) | st.integers(1, 1_500),
            )
        ),
        st.tuples(st.just("abort"), some_device),
    )
    starts = st.sampled_from([0, 5, 10]) | st.integers(0, 100)
    programs = {d: (draw(starts), draw(st.lists(operation, max_size=8))) for d in devices}
    times = st.integers(0, HORIZON_MS)
    aborts = draw(st.lists(st.tuples(times, some_device), max_size=4))
    capacities = draw(
        st.dictionaries(st.tuples(times, link), st.sampled_from([0, 5_000, 90_000]), max_size=4)
    )
    return programs, aborts, capacities


def interpret(case: Case) -> Log:
    """Every millisecond in turn: pop both links, then run the least device that is ready until none is."""
    programs, aborts, capacities = case
    links = fresh_links()
    log: Log = []
    at: dict[int, int] = {device: start for device, (start, _) in programs.items()}  # timers
    ready: dict[int, int | None] = {}
    on_link: dict[int, FairLink] = {}
    counter = dict.fromkeys(programs, -1)  # the operation whose end a device waits for; -1: its start

    def abort(now: int, device: int) -> bool:
        if device not in on_link:
            return False
        ready[device] = on_link.pop(device).abort(now, device)
        return True

    def run_ready(now: int) -> None:
        while ready:
            device = min(ready)
            sent: int | bool | None = ready.pop(device)
            _, program = programs[device]
            while True:
                if counter[device] >= 0:
                    log.append((now, device, counter[device], sent))
                counter[device] += 1
                if counter[device] == len(program):
                    break
                kind, *arguments = program[counter[device]]
                if kind == "abort":
                    sent = abort(now, arguments[0])
                elif kind == "join":
                    number, rate_class, size_bytes = arguments
                    links[number].join(now, device, rate_class, size_bytes)
                    on_link[device] = links[number]
                    break
                elif arguments[0]:
                    at[device] = now + arguments[0]
                    break
                else:
                    sent = None

    for now in range(HORIZON_MS + 1):
        for number, link in enumerate(links):
            for device in link.pop_finished(now):
                del on_link[device]
                ready[device] = 0
            if (now, number) in capacities:
                link.set_capacity(now, capacities[now, number])
        for device in [d for d, time in at.items() if time == now]:
            del at[device]
            ready[device] = None
        run_ready(now)
        for time, device in aborts:
            if time == now:
                abort(now, device)
                run_ready(now)
    return log


def run_clock(case: Case, order: Callable[[list[int]], list[int]] = sorted, bystander: bool = False) -> Log:
    programs, aborts, capacities = case
    clock = SimpyClock(fresh_links(), HORIZON_MS)
    log: Log = []
    if bystander:
        clock.env.process(look_on(clock))
    for (time, link), capacity in capacities.items():
        clock.set_capacity(time, link, capacity)
    for device in order(list(programs)):
        start, program = programs[device]
        clock.spawn(device, life(clock, device, program, log), at=start)
    for time, device in aborts:
        clock.after(time, Rank.POLICY, lambda now, device=device: clock.abort(device))
    clock.run()
    return log


def look_on(clock: SimpyClock) -> Iterator[Event]:
    while True:
        clock.links[0].delivered_bytes(clock.now)
        yield clock.env.timeout(3)


@settings(max_examples=examples(150), deadline=None)
@given(cases())
def test_a_run_is_what_a_plain_interpreter_of_every_millisecond_does(case: Case) -> None:
    assert run_clock(case) == interpret(case)


@settings(max_examples=examples(100), deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_in_which_processes_are_spawned_changes_nothing(case: Case, rng: random.Random) -> None:
    expected = run_clock(case)
    assert run_clock(case, lambda devices: rng.sample(devices, len(devices))) == expected
    assert run_clock(case, lambda devices: sorted(devices, reverse=True)) == expected


@settings(max_examples=examples(50), deadline=None)
@given(cases())
def test_a_process_of_a_notebook_that_looks_on_changes_nothing(case: Case) -> None:
    assert run_clock(case, bystander=True) == run_clock(case)


def test_a_large_fleet_runs_as_the_interpreter_says() -> None:
    rng = random.Random(5)
    programs: dict[int, tuple[int, list[Operation]]] = {}
    for device in range(150):
        program: list[Operation] = [
            ("timer", rng.randrange(20)),
            ("join", device % 2, 0, rng.randrange(1, 200)),
            ("timer", 0),
            ("timer", rng.randrange(20)),
            ("abort", rng.randrange(150)),
            ("join", 0, rng.randrange(2), rng.randrange(1, 100)),
        ]
        programs[device] = (rng.randrange(40), program)
    case: Case = (programs, [(100, device) for device in range(150)], {(50, 0): 0, (60, 0): 200_000})
    log = run_clock(case)
    assert len(log) > 600
    assert log == interpret(case)


def test_events_of_one_millisecond_run_by_ascending_device() -> None:
    clock = SimpyClock([], 10)
    order: list[int] = []

    def note(device: int) -> Iterator[Event]:
        yield clock.timer(device, 5)
        order.append(device)

    for device in (3, 1, 4, 0, 9, 2):
        clock.spawn(device, note(device))
    clock.run()
    assert order == [0, 1, 2, 3, 4, 9]


def test_transfers_that_end_together_end_by_device_and_between_the_timers_of_other_devices() -> None:
    clock = SimpyClock([FairLink([500, 1000], 10**6, 8), FairLink([1000], 10**6, 8)], 1000)
    log: Log = []
    programs: dict[int, list[Operation]] = {
        6: [("join", 0, 1, 100)],
        2: [("join", 0, 0, 50)],
        4: [("join", 1, 0, 100)],
        3: [("timer", 100)],
        5: [("timer", 100)],
    }
    for device, program in programs.items():
        clock.spawn(device, life(clock, device, program, log))
    clock.run()
    assert log == [(100, 2, 0, 0), (100, 3, 0, None), (100, 4, 0, 0), (100, 5, 0, None), (100, 6, 0, 0)]


def test_a_zero_delay_chain_runs_on_before_any_higher_device() -> None:
    clock = SimpyClock([], 10)
    log: Log = []
    clock.spawn(1, life(clock, 1, [("timer", 4), ("timer", 0), ("timer", 0)], log))
    clock.spawn(2, life(clock, 2, [("timer", 4)], log))
    clock.run()
    assert [entry[1:3] for entry in log] == [(1, 0), (1, 1), (1, 2), (2, 0)]
    assert clock.events == 2 + 3 + 1  # two starts, and every timer, whether or not time passed


def test_the_policy_of_a_millisecond_has_seen_all_its_reports_and_sampling_comes_last() -> None:
    clock = SimpyClock([FairLink([1000], 1000, 8)], 100)
    reports: list[str] = []

    def report(device: int) -> Iterator[Event]:
        yield clock.join(device, 0, 0, 10)
        yield clock.timer(device, clock.now)
        reports.append(f"device {device}")

    seen: dict[int, list[str]] = {}

    def look(rank: int) -> Callable[[int], None]:
        return lambda now: seen.update({rank: [*reports, str(now)]}) or reports.append(f"rank {rank}")

    for rank in (2, 0, 1):
        clock.after(20, rank, look(rank))
    for device in (1, 0):
        clock.spawn(device, report(device))
    clock.run()
    assert seen[0] == ["device 0", "device 1", "20"]
    assert seen[1] == ["device 0", "device 1", "rank 0", "20"]
    assert seen[2] == ["device 0", "device 1", "rank 0", "rank 1", "20"]


def test_an_abort_by_the_policy_resumes_devices_in_order_before_sampling_and_frees_their_share() -> None:
    clock = SimpyClock([FairLink([1000], 1000, 8)], 10_000)
    log: Log = []
    for device in (2, 0, 1):
        clock.spawn(device, life(clock, device, [("join", 0, 0, 300), ("timer", 0)], log))
    sampled: list[int] = []
    clock.after(300, Rank.SAMPLING, lambda now: sampled.append(len(log)))
    clock.after(300, Rank.POLICY, lambda now: [clock.abort(device) for device in (2, 1)])
    clock.run()
    assert log[:4] == [(300, 1, 0, 200), (300, 1, 1, None), (300, 2, 0, 200), (300, 2, 1, None)]
    assert sampled == [4]
    assert log[4:] == [(500, 0, 0, 0), (500, 0, 1, None)]


def test_an_abort_finds_nothing_without_a_transfer_or_after_its_end() -> None:
    clock = SimpyClock([FairLink([1000], 1000, 8)], 100)
    log: Log = []
    clock.spawn(5, life(clock, 5, [("join", 0, 0, 10), ("timer", 10)], log))
    # Device 1 acts at 10 ms, when the transfer of device 5 is over though device 5 has not gone on yet.
    program: list[Operation] = [("timer", 10), ("abort", 5), ("abort", 99), ("timer", 5), ("abort", 5)]
    clock.spawn(1, life(clock, 1, program, log))
    clock.run()
    assert [entry for entry in log if entry[1] == 1 and isinstance(entry[3], bool)] == [
        (10, 1, 1, False),
        (10, 1, 2, False),
        (15, 1, 4, False),
    ]
    assert [entry for entry in log if entry[1] == 5] == [(10, 5, 0, 0), (20, 5, 1, None)]


def test_calls_of_one_millisecond_run_by_rank_and_may_ask_for_their_own_and_later_ranks_only() -> None:
    clock = SimpyClock([], 10)
    order: list[str] = []

    def policy(now: int) -> None:
        order.append("policy")
        clock.after(now, Rank.SAMPLING, lambda now: order.append("sampling asked by policy"))
        clock.after(now, Rank.POLICY, lambda now: order.append("policy again"))
        with pytest.raises(ValueError, match="rank 0 asked for in a call of rank 1"):
            clock.after(now, Rank.DEADLINE, lambda now: order.append("too late"))
        clock.after(now + 1, Rank.DEADLINE, lambda now: order.append("deadline of the next millisecond"))
        clock.spawn(1, device())

    def device() -> Iterator[Event]:
        order.append("device")
        clock.after(clock.now, Rank.DEADLINE, lambda now: order.append("deadline asked by device"))
        yield clock.timer(1, clock.now + 5)

    clock.after(3, Rank.SAMPLING, lambda now: order.append("sampling"))
    clock.after(3, Rank.POLICY, policy)
    clock.after(3, Rank.DEADLINE, lambda now: order.append("deadline"))
    clock.run()
    assert order == [
        "deadline",
        "policy",
        "device",
        "deadline asked by device",
        "policy again",
        "sampling",
        "sampling asked by policy",
        "deadline of the next millisecond",
    ]
    with pytest.raises(ValueError):
        clock.after(11, 3, print)


def test_a_notebooks_process_runs_after_the_devices_of_its_millisecond_and_before_deadlines() -> None:
    clock = SimpyClock([FairLink([1000], 1000, 8)], 100)
    order: list[str] = []

    def saboteur() -> Iterator[Event]:
        yield clock.env.timeout(20)
        order.append(f"saboteur at {clock.env.now}")
        clock.abort(7)
        clock.set_capacity(clock.now, 0, 0)
        yield clock.env.timeout(0)
        order.append("saboteur again")

    def device(number: int) -> Generator[Event, Any, None]:
        missing = yield clock.join(number, 0, 0, 30)
        order.append(f"device {number} misses {missing}")
        yield clock.timer(number, 20)
        order.append(f"device {number} at {clock.now}")

    clock.after(20, Rank.DEADLINE, lambda now: order.append("deadline"))
    clock.env.process(saboteur())
    clock.spawn(7, device(7))
    clock.spawn(8, timer_then(clock, 8, 20, order))
    clock.run()
    assert order == [
        "device 8",
        "saboteur at 20",
        "device 7 misses 10",
        "device 7 at 20",
        "saboteur again",
        "deadline",
    ]


def timer_then(clock: SimpyClock, device: int, time_ms: int, order: list[str]) -> Iterator[Event]:
    yield clock.timer(device, time_ms)
    order.append(f"device {device}")


def test_a_process_of_a_notebook_keeps_to_whole_milliseconds_and_off_the_devices_events() -> None:
    clock = SimpyClock([], 100)
    with pytest.raises(TypeError, match="whole number of milliseconds"):
        clock.env.timeout(0.5)

    def meddler() -> Iterator[Event]:
        yield clock.timer(1, 50)

    clock.spawn(1, timer_then(clock, 1, 60, []), at=10)
    clock.env.process(meddler())
    with pytest.raises((RuntimeError, AttributeError)):
        clock.run()


def test_the_horizon_belongs_to_the_run_and_what_comes_later_does_not() -> None:
    clock = SimpyClock([FairLink([1000], 1000, 8)], 50)
    log: Log = []
    clock.spawn(0, life(clock, 0, [("timer", 50), ("timer", 0), ("timer", 1)], log))
    clock.spawn(1, life(clock, 1, [("join", 0, 0, 25), ("timer", 1)], log))
    clock.spawn(2, life(clock, 2, [("join", 0, 0, 26)], log))
    clock.spawn(3, life(clock, 3, [], log), at=51)
    called: list[int] = []
    for time in (50, 51):
        clock.after(time, Rank.SAMPLING, called.append)
    clock.run()
    assert log == [(50, 0, 0, None), (50, 0, 1, None), (50, 1, 0, 0)]
    assert called == [50]
    assert clock.now == 50
    assert clock.links[0].delivered_bytes(50) == 50


def test_an_outage_holds_transfers_up_and_of_two_changes_at_one_time_the_later_asked_holds() -> None:
    clock = SimpyClock([FairLink([1000], 1000, 8)], 1000)
    log: Log = []
    clock.spawn(0, life(clock, 0, [("join", 0, 0, 100)], log))
    clock.set_capacity(40, 0, 500)
    clock.set_capacity(40, 0, 0)
    clock.set_capacity(90, 0, 1000)
    clock.run()
    assert log == [(150, 0, 0, 0)]


def test_a_device_may_live_again_after_its_process_has_ended() -> None:
    clock = SimpyClock([], 100)
    log: Log = []
    clock.spawn(4, life(clock, 4, [("timer", 10)], log))
    with pytest.raises(ValueError, match="second process"):
        clock.spawn(4, life(clock, 4, [], log))
    clock.after(10, Rank.POLICY, lambda now: clock.spawn(4, life(clock, 4, [("timer", 10)], log)))
    clock.run()
    assert log == [(10, 4, 0, None), (20, 4, 0, None)]


def test_the_cycle_collector_rests_during_the_run_and_is_restored_whatever_happens() -> None:
    during: list[bool] = []

    def fail(now: int) -> None:
        raise LookupError("a call that fails")

    clock = SimpyClock([], 10)
    clock.after(5, Rank.POLICY, lambda now: during.append(gc.isenabled()))
    clock.after(6, Rank.POLICY, fail)
    assert gc.isenabled()
    with pytest.raises(LookupError):
        clock.run()
    assert gc.isenabled() and during == [False]
    gc.disable()
    try:
        SimpyClock([], 10).run()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_error_in_a_devices_process_ends_the_run_with_that_error() -> None:
    clock = SimpyClock([], 10)

    def broken() -> Iterator[Event]:
        yield clock.timer(1, 5)
        raise LookupError("a device that fails")

    clock.spawn(1, broken())
    with pytest.raises(LookupError, match="a device that fails"):
        clock.run()


def waits_twice(clock: SimpyClock) -> Iterator[Event]:
    clock.timer(1, 5)
    yield clock.timer(1, 6)


def ends_waiting(clock: SimpyClock) -> Iterator[Event]:
    clock.timer(1, 5)
    return
    yield


def yields_another_event(clock: SimpyClock) -> Iterator[Event]:
    yield clock.env.timeout(5)


def yields_an_event_twice(clock: SimpyClock) -> Iterator[Event]:
    wait = clock.timer(1, 5)
    yield wait
    yield wait


def goes_back(clock: SimpyClock) -> Iterator[Event]:
    yield clock.timer(1, 5)
    yield clock.timer(1, 4)


@pytest.mark.parametrize(
    ("process", "error"),
    [
        (waits_twice, RuntimeError),
        (ends_waiting, RuntimeError),
        (yields_another_event, RuntimeError),
        (yields_an_event_twice, RuntimeError),
        (goes_back, ValueError),
    ],
)
def test_a_process_that_breaks_the_protocol_is_refused(
    process: Callable[[SimpyClock], Iterator[Event]], error: type[Exception]
) -> None:
    clock = SimpyClock([], 10)
    clock.spawn(1, process(clock))
    with pytest.raises(error, match="expected"):
        clock.run()


@pytest.mark.parametrize("time_ms", [1.5, "3", None])
def test_a_time_that_is_no_whole_number_is_refused(time_ms: Any) -> None:
    clock = SimpyClock([], 10)

    def device() -> Iterator[Event]:
        yield clock.timer(1, time_ms)

    clock.spawn(1, device())
    with pytest.raises(TypeError, match="whole number of milliseconds"):
        clock.run()
    with pytest.raises(TypeError, match="whole number of milliseconds"):
        clock.after(time_ms, Rank.POLICY, print)
