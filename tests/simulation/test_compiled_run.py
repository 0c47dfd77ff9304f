"""The compiled clocks at their edges: what fills up, what they refuse, interrupts, the truth at a halt."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from simlib.device.memo import Memo
from simlib.engine import calendar as calendars
from simlib.errors import InputError
from simlib.rollout.staged import Staged
from simlib.scenario import Scenario
from simlib.simulation import book, compiled_run, program, shared_links, simulate
from simlib.simulation import run as simulation_run
from tests.simulation.clock_comparison import first_difference

COMPILED = ("compiled", "fused")
CROWD = {
    "devices": 900,
    "links.0.capacity": "100 B/s",
    "horizon": "20 h",
    "rollout.groups.0.share": 0.9,
    "rollout.groups.1.share": 0.05,
    "rollout.groups.0.error_threshold": 1,
}
"""Hundreds of transfers at once, many of them still under way at the end."""
HALTING = {
    "devices": 900,
    "links.0.capacity": "300 B/s",  # so that many are downloading
    "validation.probation": "3 h",  # and many on trial when the rollout halts
    "rollout.groups.0.share": 0.7,
    "rollout.groups.1.share": 0.2,
    "rollout.groups.0.error_threshold": 0.1,
    "alerts.failure_rate": 0.05,
    "alerts.min_sample": 10,
}


@pytest.fixture(scope="module")
def memo(tmp_path_factory) -> Memo:
    return Memo(tmp_path_factory.mktemp("bench") / "bench.sqlite3")


@pytest.fixture(scope="module")
def everything() -> Scenario:
    return Scenario.load(str(Path(__file__).with_name("field.toml"))).with_({"devices": 200})


@pytest.fixture
def exits(monkeypatch) -> Counter[int]:
    """Counts for what the loop stopped."""
    seen: Counter[int] = Counter()
    code = program.code()

    def run_on(*addresses: int) -> int:
        reason = code.run_on(*addresses)
        seen[reason] += 1
        return reason

    monkeypatch.setattr(program, "code", lambda: replace(code, run_on=run_on))
    return seen


def grown(monkeypatch) -> list[list[int]]:
    """Notes the rooms of all heaps after each growth."""
    rooms = []
    own = shared_links.SharesMemory.grow

    def grow(self) -> None:
        own(self)
        rooms.append(self.columns["heap_room"].tolist())

    monkeypatch.setattr(shared_links.SharesMemory, "grow", grow)
    return rooms


@pytest.mark.parametrize("engine", COMPILED)
def test_heaps_of_a_link_grow_while_their_transfers_go_on(monkeypatch, smoke, memo, exits, engine):
    scenario = smoke.with_(CROWD)
    rooms = grown(monkeypatch)
    expected = simulate(scenario, engine="simpy", memo=memo)
    assert first_difference(expected, simulate(scenario, engine=engine, memo=memo)) is None
    assert exits[book.EXIT_ROOM] == len(rooms) >= 2
    assert (
        max(rooms[-1]) >= 4 * shared_links._FIRST_ROOM
    )  # more than a hundred transfers of one class at once


@pytest.mark.parametrize("engine", COMPILED)
def test_buffers_that_fill_up_lose_nothing(monkeypatch, smoke, memo, exits, engine):
    scenario = smoke.with_(CROWD)
    expected = simulate(scenario, engine="simpy", memo=memo)
    spare = 8
    monkeypatch.setattr(compiled_run, "_BUFFER_ROWS", book.SPARE_ROWS + spare)
    full = []
    own = compiled_run.CompiledRun._empty_buffers

    def empty(self) -> None:
        full.append((int(self._state[book.AT_GRANTS]), int(self._state[book.AT_ERRORS])))
        own(self)

    monkeypatch.setattr(compiled_run.CompiledRun, "_empty_buffers", empty)
    found = simulate(scenario, engine=engine, memo=memo)
    assert first_difference(expected, found) is None
    assert exits[book.EXIT_FULL] > 3
    grants, errors = zip(*full, strict=True)
    assert max(grants) > spare and max(errors) > 1
    assert sum(grants) == len(found.tables["grants"]) and sum(errors) == len(found.tables["errors"])
    assert sum(rows > spare for rows in grants[-5:]) > 3  # the last ones are of transfers under way


@pytest.mark.parametrize("engine", COMPILED)
def test_everything_at_once_with_little_room_runs_as_with_plenty(
    monkeypatch, everything, memo, exits, engine
):
    expected = simulate(everything, engine="simpy", memo=memo)
    monkeypatch.setattr(compiled_run, "_BUFFER_ROWS", book.SPARE_ROWS + 1)
    monkeypatch.setattr(compiled_run, "_SLICE", 7)
    monkeypatch.setattr(shared_links, "_FIRST_ROOM", 1)
    assert first_difference(expected, simulate(everything, engine=engine, memo=memo)) is None
    for reason in (
        book.EXIT_FULL,
        book.EXIT_SLICE,
        book.EXIT_ROOM,
        book.EXIT_ASK,
        book.EXIT_TRIPPED,
    ):
        assert exits[reason] > 0


def test_more_devices_ahead_than_the_ring_holds_are_counted_where_they_are_now(smoke, memo):
    changes = HALTING | {
        "devices": 60_000,
        "horizon": "2 d",
        "links.0.capacity": "1 MB/s",
        "validation.probation": "20 h",
        "rollout.groups.0.share": 0.98,
        "rollout.groups.1.share": 0.01,
        "rollout.groups.0.error_threshold": 0.02,
        "rollout.groups.0.min_sample": 6_000,
        "rollout.abort_downloads": True,
        "faults.corruption": 0,  # each flipped bit and each power cut would be a case for the bench
        "faults.power_cut": 0,
    }
    one, other = (
        simulate(smoke.with_(changes), engine=engine, memo=memo, record=False) for engine in COMPILED
    )
    assert one.exposure is not None and one.exposure.trial > book.RING
    assert first_difference(one, other) is None


# Sizes


@pytest.mark.parametrize("engine", COMPILED)
def test_a_fleet_above_the_most_devices_is_refused_in_one_line(monkeypatch, smoke, memo, engine):
    monkeypatch.setattr(calendars, "DEVICES_MAX", 100)
    with pytest.raises(InputError) as caught:
        simulate(smoke.with_({"devices": 101}), engine=engine, memo=memo)
    assert str(caught.value) == "smoke: devices: found 101, expected at most 100 on the compiled clocks"
    assert len(simulate(smoke.with_({"devices": 100}), engine=engine, memo=memo).tables["devices"]) == 100


@pytest.mark.parametrize(
    ("changes", "wire_bytes", "named"),
    [
        ({"devices": 1 << 24}, [5], None),
        ({"devices": (1 << 24) + 1}, [5], "devices: found 16777217, expected at most 16777216"),
        ({"horizon_ms": (1 << 38) - 1}, [5], None),
        ({"horizon_ms": 1 << 38}, [5], "horizon: found 274877906944 ms, expected at most 274877906943 ms"),
        ({}, [(1 << 31) - 1], None),
        ({}, [7, 1 << 31], "release: found an artefact of 2147483648 bytes, expected less than 2 GiB"),
    ],
)
def test_what_the_integers_have_no_room_for_is_refused_and_the_last_that_fits_is_not(
    smoke, changes, wire_bytes, named
):
    spec = SimpleNamespace(**{"name": "large", "devices": 5, "horizon_ms": 5} | changes)
    if named is None:
        compiled_run.check_size(spec, wire_bytes)
        return
    with pytest.raises(InputError) as caught:
        compiled_run.check_size(spec, wire_bytes)
    assert str(caught.value) == f"large: {named} on the compiled clocks"


@pytest.mark.parametrize("engine", COMPILED)
def test_processes_of_a_notebook_are_refused(smoke, engine):
    called = []
    with pytest.raises(InputError) as caught:
        simulate(smoke, engine=engine, extra=lambda clock, fleet: called.append(1))
    assert str(caught.value) == f"engine: found {engine!r} with SimPy processes of your own, expected simpy"
    assert not called


# Interrupts


def stopping_at(number: int):
    """An `on_alert` that is interrupted at that alert and at any later one, and the alerts it was told of."""
    told = []

    def on_alert(alert) -> None:
        told.append(alert)
        if len(told) >= number:
            raise KeyboardInterrupt

    return on_alert, told


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_interrupt_at_an_alert_leaves_the_same_on_every_clock_and_each_alert_is_told_once(
    smoke, memo, number
):
    scenario = smoke.with_({"validation.probation": "3 h"})
    partial = {}
    for engine in ("simpy", *COMPILED):
        on_alert, told = stopping_at(number)
        partial[engine] = simulate(scenario, engine=engine, memo=memo, on_alert=on_alert)
        assert [alert.alert for alert in told] == ["group-opened"] * number
        assert partial[engine].interrupted_ms == told[-1].time_ms
        assert partial[engine].tables["timeline"]["time_ms"].iloc[-1] == told[-1].time_ms
    for engine in COMPILED:
        assert first_difference(partial["simpy"], partial[engine]) is None


@pytest.mark.parametrize("hour", [0, 3, 6, 30])
@pytest.mark.parametrize("abort", [False, True])
def test_an_interrupt_while_devices_run_ahead_leaves_each_where_it_was_at_that_time(
    monkeypatch, memo, hour, abort
):
    scenario = Scenario.load("smoke").with_(HALTING | {"rollout.abort_downloads": abort, "timeline": "7 min"})

    class Interrupted(Staged):
        """The user presses Ctrl-C in the first question at or after some hour."""

        def decide(self, view):
            if view.now_ms >= hour * 3_600_000:
                raise KeyboardInterrupt
            decision = super().decide(view)
            # Asked at every tick from then on.
            return replace(
                decision, wake=replace(decision.wake, at_ms=max(view.now_ms + 1, hour * 3_600_000))
            )

    def made(spec, _sizes):
        rollout = spec.rollout
        return Interrupted(rollout.groups, interval_ms=rollout.interval_ms, deadline_ms=rollout.deadline_ms)

    monkeypatch.setattr(simulation_run, "make_policy", made)
    partial = {engine: simulate(scenario, engine=engine, memo=memo) for engine in ("simpy", *COMPILED)}
    for engine in COMPILED:
        assert first_difference(partial["simpy"], partial[engine]) is None
    found = partial["fused"]
    assert found.interrupted_ms == hour * 3_600_000 and found.engine == "fused"
    devices = found.tables["devices"].frame()
    assert devices[["offered_ms", "finished_ms", "confirmed_ms"]].max().max() <= found.interrupted_ms
    assert found.tables["timeline"]["time_ms"].iloc[-1] == found.interrupted_ms
    if hour == 3:  # before the halt
        last = found.tables["timeline"].iloc[-1]
        assert last["probation"] > 20 and last["downloading"] > 20


# The truth at a halt


@pytest.mark.parametrize("abort", [False, True])
@pytest.mark.parametrize("answer", ["stop", "rollback", "forward-fix"])
def test_exposure_at_a_halt_and_what_follows_it_are_the_same_on_every_clock(memo, abort, answer):
    changes = {"rollout.abort_downloads": abort, "recovery.on_halt": answer, "recovery.delay": "1 h"}
    scenario = Scenario.load("smoke").with_(HALTING | changes)
    expected = simulate(scenario, engine="simpy", memo=memo)
    assert expected.halted_ms > 0 and expected.exposure is not None
    assert expected.exposure.trial > 50 and expected.exposure.downloading > 50 and expected.exposure.confirmed
    for engine in COMPILED:
        assert first_difference(expected, simulate(scenario, engine=engine, memo=memo)) is None
    # What the run did about it is seen in it.
    offered = (expected.tables["alerts"]["alert"] == "recovery-offered").sum()
    assert offered == (answer != "stop")
    broken_off = np.unique(expected.tables["grants"]["ended_ms"], return_counts=True)
    at_the_halt = dict(zip(*broken_off, strict=True)).get(expected.halted_ms, 0)
    assert (at_the_halt > 50) == abort
