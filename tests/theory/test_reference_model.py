"""The benchmarks' reference model: each implementation does the stated work; the page is of results."""

from __future__ import annotations

import heapq
import json
import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TIED = (3_000, 2)
"""A fleet and a seed in which two devices ask for the last slot in one millisecond."""
FLEETS = [(150, 1), (150, 78), (200, 146), (1_000, 5), TIED]
WAVES = {(150, 78): 1, (200, 146): 4, TIED: 5}
COMPILED = ("simlib-compiled", "simlib-fused")
NUMBA = "numba-fused"
"""One of those through numba is enough here: each compiles for seconds. A measurement compares them all."""
AS_STATED = ("simlib-clock", *COMPILED, NUMBA) if find_spec("numba") else ("simlib-clock", *COMPILED)


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], ModuleType]]:
    """Import a module of the benchmarks, which are no package of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield import_module


@pytest.fixture(scope="module")
def m(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("reference_model.model")


@pytest.fixture(scope="module")
def runs(load: Callable[[str], ModuleType]) -> Callable[[str, int, int], Any]:
    """What came out of an implementation."""

    def run(name: str, devices: int, seed: int) -> Any:
        one = load("reference_model.implementations").named(name)
        seconds, outcome = getattr(load(f"reference_model.{one.module}"), one.function)(devices, seed)
        assert seconds > 0
        return outcome

    return run


def stated(m: ModuleType, devices: int, seed: int) -> Any:
    """The model straight from its page: one sorted list of (time, device, event), and a table of events."""
    after = {
        "VERIFY": ("PATCH", 9, m.PATCH_MS),
        "PATCH": ("INSTALL", 10, m.INSTALL_MS),
        "INSTALL": ("REBOOT", 11, m.REBOOT_MS),
        "REBOOT": ("HEALTH", 12, m.HEALTH_MS),
    }
    keys = [m.key_of(seed, d) for d in range(devices)]
    wakes, starts = [0] * devices, [0] * devices
    remaining = [m.transfer_table()[m.draw(k, 5, 0) >> 22] for k in keys]
    bounds = [devices * p // 100 for p in (0, 1, 5, 20, 50, 100)]
    verdicts: list[list[bool]] = [[] for _ in range(5)]
    free, waiting = max(1, devices // 150), deque[int]()
    events = waves = checksum = end_ms = 0
    queue: list[tuple[int, int, str]] = []

    def start(now: int, d: int) -> None:
        nonlocal events
        events += 1
        drops = m.draw(keys[d], 6, starts[d]) * 100 < 10 << 32
        duration = (remaining[d] + 1) // 2 if drops else remaining[d]
        heapq.heappush(queue, (now + duration, d, "DROPPED" if drops else "TRANSFERRED"))

    def open_wave(now: int) -> None:
        nonlocal waves
        for d in range(bounds[waves], bounds[waves + 1]):
            heapq.heappush(queue, (now + m.delay(keys[d], 0, m.WAKE_MS), d, "WAKE"))
        waves += 1

    open_wave(0)
    while queue:
        now, d, event = heapq.heappop(queue)
        events += 1
        key, then, wait = keys[d], "", 0
        if event == "WAKE":
            wakes[d] += 1
            if m.draw(key, 1, wakes[d] - 1) * 100 < 5 << 32:
                then, wait = "WAKE", m.delay(key, 2, m.CHARGE_MS, wakes[d] - 1)
            else:
                then, wait = "WINDOW", m.delay(key, 3, m.WINDOW_MS)
        elif event == "WINDOW":
            then, wait = "CHECK", m.delay(key, 4, m.CHECK_MS)
        elif event in ("CHECK", "AGAIN"):
            if free:
                free -= 1
                start(now, d)
            else:
                waiting.append(d)
        elif event in ("DROPPED", "TRANSFERRED"):
            if waiting:
                start(now, waiting.popleft())
            else:
                free += 1
            if event == "DROPPED":
                remaining[d] = max(1, remaining[d] // 2)
                then, wait = "AGAIN", m.delay(key, 7, m.BACKOFF_MS, starts[d])
                starts[d] += 1
            else:
                then, wait = "VERIFY", m.delay(key, 8, m.VERIFY_MS)
        elif event in after:
            then, purpose, span = after[event]
            wait = m.delay(key, purpose, span)
        elif event == "HEALTH":
            defect = m.draw(key, 13, 0) * 100 < 2 << 32
            then = "REVERT" if defect else "CONFIRM"
            wait = m.delay(key, 14, m.REVERT_MS if defect else m.CONFIRM_MS)
        elif event in ("REVERT", "CONFIRM"):
            then, wait = f"REPORT of {event}", m.delay(key, 15, m.REPORT_MS)
        else:
            wave = next(w for w in range(5) if d < bounds[w + 1])
            verdicts[wave].append("REVERT" in event)
            checksum, end_ms = (checksum + now * (d + 1)) % 2**64, now
            size = bounds[wave + 1] - bounds[wave]
            enough = len(verdicts[wave]) == math.ceil(size * 9 / 10) and wave < 4
            if enough and sum(verdicts[wave]) * 10 <= len(verdicts[wave]):
                open_wave(now)
        if then:
            assert wait > 0
            heapq.heappush(queue, (now + wait, d, then))
    reverted = sum(map(sum, verdicts))
    reported = sum(map(len, verdicts))
    return m.Outcome(checksum, reported - reverted, reverted, waves, events, end_ms)


def test_the_mixer_is_splitmix64(m: ModuleType) -> None:
    # The first outputs of the published generator from the state 1234567.
    state = [(1_234_567 + k * m.GOLDEN) & m.MASK64 for k in (1, 2, 3)]
    assert [m.mix(z) for z in state] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_the_table_of_transfers_is_an_exponential_behind_a_minute(m: ModuleType) -> None:
    table = m.transfer_table()
    assert len(table) == 1024
    for j, entry in enumerate(table):
        assert entry == pytest.approx(60_000 - 180_000 * math.log((2047 - 2 * j) / 2048), abs=1)
    assert (table[0], table[512], table[-1]) == (60_087, 184_942, 1_432_431)


def test_the_page_of_the_model_states_every_delay(m: ModuleType) -> None:
    page = (BENCHMARKS / "reference_model" / "README.md").read_text(encoding="utf-8")
    spans = {name: span for name, span in vars(m).items() if isinstance(span, tuple) and "_MS" in name}
    assert len(spans) == 13
    for name, (least, more) in spans.items():
        assert f"{least:,} + below({more:,})" in page, name


@pytest.mark.parametrize("name", AS_STATED)
def test_who_breaks_ties_as_stated_gives_the_stated_outcome(
    name: str, m: ModuleType, runs: Callable[..., Any]
) -> None:
    for fleet in FLEETS:
        expected = stated(m, *fleet)
        assert runs(name, *fleet) == expected, fleet
        assert expected.waves == WAVES.get(fleet, expected.waves)
        assert expected.updated + expected.reverted <= fleet[0]


def test_the_checksum_of_a_fleet_is_the_same_on_every_machine(runs: Callable[..., Any]) -> None:
    for name in COMPILED:
        outcome = runs(name, 10_000, 1)
        assert (outcome.checksum, outcome.events) == (3897397309874639, 123_887)


@pytest.mark.parametrize("name", COMPILED)
def test_an_event_later_than_there_is_room_for_is_an_error_and_no_result(
    name: str, load: Callable[[str], ModuleType], runs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    end_ms = runs(name, 150, 1).end_ms
    code = load("reference_model.simlib_code")
    monkeypatch.setattr(code, "LATEST_MS", end_ms)
    assert runs(name, 150, 1).end_ms == end_ms
    for latest_ms in (end_ms - 1, end_ms // 2, 10_000):
        monkeypatch.setattr(code, "LATEST_MS", latest_ms)
        with pytest.raises(RuntimeError, match=f"found an event later than {latest_ms} ms"):
            runs(name, 150, 1)


def test_a_tie_broken_otherwise_changes_the_checksum_and_no_tally(
    m: ModuleType, runs: Callable[..., Any]
) -> None:
    plain, expected = runs("simpy-plain", *TIED), runs("simlib-fused", *TIED)
    assert plain.checksum != expected.checksum
    for name in ("updated", "reverted", "waves", "events"):
        assert getattr(plain, name) == getattr(expected, name)
    assert runs("simpy-plain", 150, 1) == stated(m, 150, 1)


def test_a_fleet_too_small_for_its_waves_is_refused(runs: Callable[..., Any]) -> None:
    for name in ("simpy-plain", *AS_STATED):
        with pytest.raises(ValueError, match="devices: found 149, expected 150"):
            runs(name, 149, 1)


def test_the_runner_times_in_processes_and_finds_who_disagrees(
    load: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner, out = load("run_reference"), tmp_path / "reference-200.json"
    names = ["simpy-plain", "simlib-clock"]
    asked = ["--devices", "200", "--rounds", "2", "--out", str(out), "--only", *names]
    assert runner.main(asked) == 0
    facts, shown = json.loads(out.read_text()), capsys.readouterr().out
    for name in names:
        one = facts["implementations"][name]
        assert 0 < one["seconds_min"] <= one["seconds_median"] <= one["seconds_max"]
        assert one["runs"] == 2 and one["ns_per_event"] > 0 and one["versions"]
        assert f"\n{name}" in shown
    facts["implementations"]["simlib-fused"] = facts["implementations"]["simlib-clock"] | {
        "outcome": facts["implementations"]["simlib-clock"]["outcome"] | {"checksum": 7}
    }
    assert "checksums that must be equal" in runner.disagreements(facts["implementations"])[0]
    facts["implementations"]["simpy-plain"]["outcome"]["reverted"] += 1
    assert "tallies that must be equal" in runner.disagreements(facts["implementations"])[1]


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.abort()", "aborted by SIGABRT"),
        ("raise SystemExit('no room')", "exit status 1: no room"),
        ("import time; time.sleep(60)", "took more than 1 s"),
    ],
)
def test_a_process_that_fails_is_reported_and_not_fatal(
    code: str, said: str, load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{code}\n")
    python.chmod(0o755)
    one = load("reference_model.implementations").named("cimba")
    found = load("run_reference").run_once(str(python), one, 150, 1, timeout_s=1)
    assert found["failed"].startswith(said)


def test_the_page_is_what_the_results_say(load: Callable[[str], ModuleType]) -> None:
    assert load("page").main(["--check"]) == 0


def test_a_figure_of_the_page_comes_from_its_file(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    page = load("page")
    machine = load("machine").describe()
    point = {"engine": "fused", "devices": 10_000, "peak_rss_mb": 512.4, "setup_s": 0.1, "total_s": 0.5}
    facts = {
        "machine": machine,
        "points": [
            point | {"clock_s": 0.0123456, "first_total_s": 1.75},
            {"engine": "fused", "devices": 10_000_000, "failed": "memory: found too little"},
        ],
        "slopes": {"fused": {"from": 10_000, "to": 1_000_000, "exponent": 1.018}},
    }
    (tmp_path / "scaling.json").write_text(json.dumps(facts))
    blank = "<!-- measured: scaling -->\nold <!-- end -->\n<!-- measured: clocks -->\n<!-- end -->"
    once = page.written(blank, tmp_path)
    assert "| fused | 10,000 | 0.0123 | 0.100 | 0.500 | 1.75 | 1.235 | 512 |" in once
    assert "memory: found too little" in once and "exponent 1.018" in once and machine["system"] in once
    assert "old" not in once and once.count(page.NOTHING) == 1
    assert page.written(once, tmp_path) == once
