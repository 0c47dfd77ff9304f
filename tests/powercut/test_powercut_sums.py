"""The sums over a sweep, its numbering, its second cuts, and that it does not matter who did what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simlib.device import layouts
from simlib.device.powercut import SECOND_CUTS_ALL, First, sweep
from simlib.device.powercut.case import build_case
from simlib.device.powercut.course import moments, walk
from simlib.device.powercut.process import Process, ProcessEndedError
from simlib.device.powercut.replay import replay_second
from simlib.device.powercut.runner import Runner
from simlib.device.powercut.second import SecondCutter
from simlib.device.powercut.sharing import shared
from simlib.device.powercut.stand import Stand
from simlib.device.powercut.tearing import torn_situations
from simlib.device.powercut.verdict import Judge
from simlib.device.single import UpdateOptions, update_once
from simlib.device.trailer import Trailer

Options = Callable[..., Any]


@pytest.mark.parametrize("layout", layouts.names())
@pytest.mark.parametrize("tear", ["none", "partial", "garbage", "all"])
def test_each_operation_counts_once_a_mode_and_boots_one_image_or_none(
    options: Options, layout: str, tear: str
) -> None:
    found = sweep(options(layout=layout, tear=tear)).summary()
    assert found["cuts"] == found["ops"] * (3 if tear == "all" else 1)
    assert found["booted_new"] + found["booted_old"] + found["bricked"] == found["cuts"]
    assert sum(found["ops_by_phase"].values()) == found["ops"]
    assert found["variants"] >= found["cuts"]


def test_a_mode_counts_with_the_worst_of_its_ways(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trailer, "write_status_unit", lambda self, unit: None)
    torn = [each for row in sweep(options()).operations for each in row.torn]
    mixed = [each for each in torn if len({fate.first for fate in each.fates}) > 1]
    assert mixed
    for each in mixed:
        bricked, stuck = (any(getattr(fate, how) for fate in each.fates) for how in ("bricked", "stuck"))
        assert (each.worst.bricked, each.worst.stuck) == (bricked, stuck and not bricked)
        assert bricked or stuck or each.worst.first is First.OLD


@pytest.mark.parametrize("layout", ["swap-move", "overwrite-only"])
def test_operations_are_those_of_a_device_update_and_lead_to_the_same_image(
    options: Options, tmp_path: Path, layout: str
) -> None:
    chosen = options(layout=layout)
    firmwares = build_case(chosen).release.firmwares
    files = [tmp_path / "old.bin", tmp_path / "new.bin"]
    for file, firmware in zip(files, firmwares, strict=False):
        file.write_bytes(firmware.payload)
    update = UpdateOptions(layout=layout, sector_size_bytes=512)
    result = sweep(chosen)
    phases = result.ops_of()
    ops = sum(phases.get(name, 0) for name in ("install", "boot", "confirm"))
    assert update_once(*files, update).flash_ops == ops
    names = {str(firmwares[0].version): First.OLD, str(firmwares[1].version): First.NEW}
    for number in (*range(1, ops, 7), ops):
        untouched = result.operations[number - 1].torn[0].fates  # half of a single write unit is nothing
        for torn in result.operations[number - 1].torn:
            cut = update_once(*files, replace(update, cut_at=number, tear=torn.tear))
            assert cut.booted_version is not None
            booted = names[cut.booted_version]
            assert booted in {fate.first for fate in (*torn.fates, *untouched)}
            if torn.tear == "none":
                assert booted is torn.worst.first


def test_wear_is_the_erases_of_each_phase(options: Options) -> None:
    result = sweep(options())
    erases = {
        phase: sum(row.phase == phase and row.kind == "erase" for row in result.operations)
        for phase in result.wear
    }
    assert {phase: sum(wear) for phase, wear in result.wear.items()} == erases
    assert result.summary()["most_erases_of_a_sector"] == max(
        map(sum, zip(*result.wear.values(), strict=True))
    )


def test_a_row_says_where_its_operation_was(options: Options) -> None:
    result = sweep(options(payload="delta"))
    columns = result.columns()
    assert {len(column) for column in columns.values()} == {result.summary()["cuts"]}
    assert set(columns["partition"]) == {"primary", "secondary", "download"}
    installs = {row.partition for row in result.operations if row.phase == "install"}
    assert installs == {"secondary", "download"}
    assert {row.kind for row in result.operations} == {"erase", "write"}


def test_other_seeds_tear_otherwise_and_the_same_seed_the_same(options: Options) -> None:
    one, again, other = (sweep(options(seed=seed)) for seed in (1, 1, 2))
    assert one.operations == again.operations
    assert one.ops == other.ops


@pytest.mark.parametrize("layout", ["swap-move", "in-place-journal"])
def test_all_second_cuts_are_those_that_a_replay_finds(options: Options, layout: str) -> None:
    chosen = options(layout=layout, tear="partial", second_cuts=SECOND_CUTS_ALL)
    result = sweep(chosen)
    for number in (1, result.ops // 2, result.ops):
        assert result.operations[number - 1].second == replay_second(chosen, {number})
    assert result.second is not None
    assert result.second.cuts == sum(row.second.cuts for row in result.operations) > 200


def test_second_cuts_counted_before_are_those_counted_anew(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A boot that goes on as one before it did, but on other bytes that it leaves alone, is another.

    Here a later boot, after a second cut, minds a torn record that the boot after the first does not.
    """
    sound = Trailer.status_units

    def strict_later(self: Trailer) -> int:
        units, unit = sound(self), self.map.write_size
        if units > 3:
            records = self.area.read(self.map.status, 3 * unit)
            assert all(records[at] == 1 for at in range(0, 3 * unit, unit)), "a torn record"
        return units

    monkeypatch.setattr(Trailer, "status_units", strict_later)
    chosen = options(tear="garbage")
    case = build_case(chosen)
    runner = Runner(case.make)
    judge = Judge(case, lambda event, at: runner.run(event, at)[:2])
    kept = SecondCutter(chosen, runner, judge)
    phases = walk(runner, case)
    tallies = []
    for moment in moments(phases, phases[0].ops + 1, phases[0].ops + 16):
        for first in torn_situations(chosen, "garbage", moment.cells, moment.operation, moment.number):
            tallies.append(kept.all(first))
            assert tallies[-1] == SecondCutter(chosen, runner, judge).all(first)
    assert {tally.bricked > 0 for tally in tallies} == {True, False}


def a_resumption_that_moves_its_own_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a cut in the boot after a cut meets a trailer that is erased and not yet written back."""
    sound = Trailer.status_units

    def rewriting(self: Trailer) -> int:
        units = sound(self)
        if units > 2:
            start = self.map.slot_size - self.map.sectors * self.map.sector_size
            kept = self.area.read(start, self.map.slot_size - start)
            self.erase()
            self.area.write_bytes(start, kept)
        return units

    monkeypatch.setattr(Trailer, "status_units", rewriting)


@pytest.mark.parametrize("second_cuts", [SECOND_CUTS_ALL, 150])
def test_a_fault_that_only_a_second_cut_meets_is_found(
    options: Options, monkeypatch: pytest.MonkeyPatch, second_cuts: int
) -> None:
    a_resumption_that_moves_its_own_records(monkeypatch)
    found = sweep(options(tear="none", second_cuts=second_cuts)).summary()
    assert found["bricked"] == 0
    assert found["second_bricked"] > 0
    kinds = ("second_booted_new", "second_booted_old", "second_bricked")
    assert found["second_cuts"] == sum(found[kind] for kind in kinds)
    assert second_cuts in (SECOND_CUTS_ALL, found["second_cuts"])


def test_what_is_found_does_not_depend_on_the_number_of_processes(options: Options) -> None:
    chosen = options(second_cuts=250)
    alone, together = sweep(chosen), sweep(chosen, workers=2)
    assert replace(alone, seconds=0.0) == replace(together, seconds=0.0)
    assert alone.second is not None
    assert alone.second.cuts == 250


def test_progress_comes_to_its_end(options: Options) -> None:
    told: list[tuple[int, int]] = []
    result = sweep(options(second_cuts=70), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (result.ops + 70, result.ops + 70)
    assert told == sorted(told)


def test_a_process_that_ends_leaves_its_task_to_this_one(options: Options) -> None:
    class Ended(Process):
        def __init__(self) -> None:
            pass

        def do(self, task: Any) -> Any:
            raise ProcessEndedError

    tasks = [lambda stand, n=n: (stand.ops, n) for n in range(20)]
    stand = Stand(options())
    done = dict(shared(tasks, stand, [Ended(), Ended()]))
    assert done == {n: (stand.ops, n) for n in range(20)}


def test_a_process_does_what_this_one_does(options: Options) -> None:
    chosen = options()
    other = Process(chosen)
    try:
        assert other.do(_first_operations) == Stand(chosen).swept(range(1, 4))
    finally:
        other.end()
    with pytest.raises(ProcessEndedError):
        other.do(_first_operations)


def test_few_of_the_many_boots_are_worked_out(options: Options) -> None:
    """Memory, not model; without it a sweep of half a megabyte would take an hour."""
    stand = Stand(options(image_size_bytes=20 << 10, sector_size_bytes=4096))
    rows = stand.swept(range(1, stand.ops + 1))
    followed = sum(len(torn.fates) for row in rows for torn in row.torn)
    assert stand.executed < followed / 4  # and each of those fates is at least five events


def _first_operations(stand: Stand) -> Any:
    return stand.swept(range(1, 4))
