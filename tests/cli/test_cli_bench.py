"""`simlib bench`: every clock measured on the same scenario, in turns, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.simulation.run import ENGINES
from simlib.study import bench as module
from simlib.study import run as run_scenario
from simlib.study.bench import Benchmark, EngineFigures, bench
from simlib.study.bench_worker import Timed, Worker, peak_rss_bytes

Call = Callable[..., Any]
CLOCKS = [name for name in ENGINES if name != "auto"]
FROZEN = Path(__file__).parents[2] / "benchmarks" / "escooter-frozen.toml"


def timed(seconds: float, digest: str = "d", *, events: int = 400, peak: int | None = 123_100_000) -> Timed:
    return Timed(seconds, 0.1, 0.2, seconds + 0.3, events, 100, digest, peak)


def test_the_answer_has_every_clock_and_says_that_they_agree(simlib: Call) -> None:
    answer = simlib("bench smoke --devices 120 --repeats 2 --json")
    assert answer.status == 0 and answer.err == ""
    found = answer.json
    assert set(found) == {"devices", "engines", "digests_equal"}
    assert found["devices"] == 120 and found["digests_equal"] is True
    assert list(found["engines"]) == CLOCKS
    for figures in found["engines"].values():
        assert figures["runs"] == 2
        assert 0 < figures["seconds_min"] <= figures["seconds_median"] <= figures["seconds_max"]
        assert figures["events"] > 0 and figures["peak_rss_mb"] > 20
        rate = figures["events"] / figures["seconds_median"]
        assert figures["events_per_s"] == pytest.approx(rate, rel=1e-3)


def test_it_measures_what_a_run_gives() -> None:
    scenario = Scenario.load("smoke").with_({"devices": 60})
    summary = run_scenario(scenario, engine="simpy").summary
    measured = bench(scenario, repeats=1, engines=["simpy"])
    assert measured.digests == {summary["digest"]}
    (run,) = measured.engines["simpy"].runs
    assert (run.events, run.devices) == (summary["events"], 60)
    assert run.seconds + run.setup_s + run.bench_s < run.total_s


def test_lines_for_a_person_hold_the_same_figures(simlib: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"simpy": EngineFigures((timed(3.0),) * 2), "fused": EngineFigures((timed(0.02, peak=None),))}
    monkeypatch.setattr(module, "bench", lambda *_, **__: Benchmark("smoke", 7, figures, False))
    out = simlib("bench smoke").out
    assert "smoke: 100 devices, seed 7" in out
    table = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith("  ")}
    simpy = [
        "simpy",
        "2",
        *["3.0000", "s"] * 3,
        "400",
        "133",
        "30,000.00",
        "µs",
        "7,500,000",
        "ns",
        "123",
        "MB",
    ]
    assert table["simpy"] == simpy
    assert table["fused"][-1] == "unknown"
    assert "fused: 150.0 times as fast as simpy" in out
    assert "digest d, the same in every run" in out


def test_clocks_that_disagree_are_said_to(simlib: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"simpy": EngineFigures((timed(3.0),)), "fused": EngineFigures((timed(0.1, "e"),))}
    made = Benchmark("smoke", 7, figures, False)
    monkeypatch.setattr(module, "bench", lambda *_, **__: made)
    assert simlib("bench smoke --json").json["digests_equal"] is False
    assert "DIGESTS DIFFER: fused e" in simlib("bench smoke").out


class Played:
    """Stands where a worker does; tells who ran when."""

    log: list[str] = []
    seconds = {"simpy": 6.0, "compiled": 0.5, "fused": 0.1}
    interrupt_at = -1

    def __init__(self, _scenario: Scenario, engine: str) -> None:
        self.engine = engine

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.append(f"end of {self.engine}")

    def wait_ready(self) -> None:
        pass

    def run(self) -> Timed:
        if len(self.log) == self.interrupt_at:
            raise KeyboardInterrupt
        self.log.append(self.engine)
        return timed(self.seconds[self.engine])


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[Played]:
    monkeypatch.setattr(module, "Worker", Played)
    monkeypatch.setattr(
        module, "rehearse", lambda _scenario, engine: Played.log.append(f"rehearsal {engine}")
    )
    monkeypatch.setattr(module, "ENGINES", ("auto", *Played.seconds))
    monkeypatch.setattr(Played, "log", [])
    return Played


def test_each_round_begins_with_the_next_clock(played: type[Played]) -> None:
    bench("smoke", repeats=4)
    assert played.log[0] == "rehearsal fused"
    assert played.log[1:13] == [
        *("simpy", "compiled", "fused"),
        *("compiled", "fused", "simpy"),
        *("fused", "simpy", "compiled"),
        *("simpy", "compiled", "fused"),
    ]
    assert sorted(played.log[13:]) == ["end of compiled", "end of fused", "end of simpy"]


def test_a_slow_clock_is_not_run_again_unless_told(played: type[Played]) -> None:
    found = bench("smoke")
    assert {name: len(figures.runs) for name, figures in found.engines.items()} == {
        "simpy": 2,  # 6 s each: after the second it has had its 10 s
        "compiled": module.ROUNDS,
        "fused": module.ROUNDS,
    }
    found = bench("smoke", repeats=3)
    assert {len(figures.runs) for figures in found.engines.values()} == {3}


def test_what_was_measured_before_an_interruption_is_kept_and_marked(
    played: type[Played], simlib: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(played, "interrupt_at", 3)  # behind the rehearsal and two runs
    answer = simlib("bench smoke --json")
    assert answer.status == 130 and answer.err == "interrupted\n"
    assert answer.json["interrupted"] is True and set(answer.json["engines"]) == {"simpy", "compiled"}
    played.log.clear()
    monkeypatch.setattr(played, "interrupt_at", 1)  # before the first run
    assert simlib("bench smoke --json").status == 130


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("bench smokey", ['"smokey"', "found no preset", "smoke"]),
        ("bench nowhere.toml", ["nowhere.toml"]),
        ("bench smoke --devices 0", ["--devices", "devices", "0"]),
        ("bench smoke --devices many", ["--devices", "many"]),
        ("bench smoke --repeats 0", ["repeats", "found 0", "1 or more"]),
        ("bench smoke --repeats -1", ["--repeats"]),
        ("bench smoke --engine fused", ["--engine"]),
    ],
)
def test_bad_input_is_one_line(refuses: Call, arguments: str, said: list[str]) -> None:
    assert refuses(2, arguments, *said).out == ""


def test_what_only_the_run_can_refuse_is_refused_the_same_way(here: Path, simlib: Call) -> None:
    scenario = Scenario.load("smoke").with_({"inventory.file": "gone.csv"})
    (here / "odd.toml").write_text(scenario.to_toml())
    answer = simlib("bench odd.toml")
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "smoke: inventory.file" in answer.err


def test_a_clock_that_does_not_exist_is_bad_input() -> None:
    with pytest.raises(InputError, match="engines: found warp, expected some of simpy"):
        bench("smoke", engines=["simpy", "warp"])
    with pytest.raises(InputError, match="engines: found none"):
        bench("smoke", engines=[])


def test_a_worker_that_dies_is_bad_input_and_leaves_nobody_waiting() -> None:
    with Worker(Scenario.load("smoke"), "simpy") as worker:
        worker.wait_ready()
        worker._process.kill()
        with pytest.raises(InputError, match="engine simpy: found its process ended"):
            worker.run()
    assert worker._process.poll() is not None


def test_the_memory_of_a_process_is_not_its_parents() -> None:
    """A child's own; Linux's `ru_maxrss` would begin at what the parent had."""
    ballast = bytearray(b"x") * 150_000_000
    own = peak_rss_bytes()
    if own is None:
        pytest.skip("the system does not tell")
    assert own > len(ballast)
    code = "from simlib.study.bench_worker import peak_rss_bytes as p; print(p())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert 10_000_000 < int(said) < own - len(ballast) // 2
    assert len(ballast) == 150_000_000


def test_the_frozen_scenario_is_what_it_was() -> None:
    spec = Scenario.load(FROZEN).spec
    assert (spec.name, spec.devices, spec.seed) == ("escooter-frozen", 120_000, 1)
    assert [c.share for c in spec.cohorts] == [pytest.approx(s) for s in (0.3, 0.45, 0.25)]
