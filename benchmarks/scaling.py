"""How the cost of a run grows with the fleet: every clock, the frozen scenario, 1,000 to 10,000,000 devices.

    python benchmarks/scaling.py [--sizes N ...] [--engines NAME ...] [--limit NAME=N ...] [--repeats R]

Each clock and size has a process of its own. Writes results/scaling.json and results/scaling.png: seconds of
the clock alone (the least of the runs), of the set-up, and of everything from the scenario to the digest; the
most memory; and the slope of the clock's curve on logarithmic scales from 10,000 to 1,000,000 devices: 1 is
cost in proportion to the fleet.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import machine
import numpy as np
from run_clocks import FROZEN, HERE

from simlib import Scenario
from simlib.errors import InputError
from simlib.simulation.run import ENGINES
from simlib.study.bench import ENOUGH_S, MB
from simlib.study.bench_worker import Timed, Worker, rehearse

SIZES: Final = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
LIMITS: Final = {"simpy": 100_000}
"""Beyond it a run takes minutes."""
SLOPE_FROM, SLOPE_TO = 10_000, 1_000_000
MARKERS: Final = "osD^v"


def measure_size(devices: int, engines: list[str], repeats: int) -> list[dict[str, Any]]:
    """The points of one size, after a rehearsal on the last and fastest clock."""
    scenario = Scenario.load(FROZEN).with_({"devices": devices})
    with suppress(InputError):  # the point itself will say so
        rehearse(scenario, engines[-1])
    return [measure(scenario, engine, devices, repeats) for engine in engines]


def measure(scenario: Scenario, engine: str, devices: int, repeats: int) -> dict[str, Any]:
    """One point of the curve."""
    runs: list[Timed] = []
    try:
        with Worker(scenario, engine) as worker:
            worker.wait_ready()
            while len(runs) < repeats and sum(run.total_s for run in runs) < ENOUGH_S:
                runs.append(worker.run())
    except InputError as error:
        return {"engine": engine, "devices": devices, "failed": str(error)}
    peak = runs[0].peak_rss_bytes
    return {
        "engine": engine,
        "devices": devices,
        "runs": len(runs),
        "clock_s": min(run.seconds for run in runs),
        "clock_s_max": max(run.seconds for run in runs),
        "setup_s": min(run.setup_s for run in runs),
        "bench_s": min(run.bench_s for run in runs),
        "total_s": min(run.total_s for run in runs),
        "first_total_s": runs[0].total_s,
        "events": runs[0].events,
        "peak_rss_mb": None if peak is None else round(peak / MB, 1),
        "digest": runs[0].digest,
    }


def slope(points: list[dict[str, Any]], engine: str) -> dict[str, Any] | None:
    """The exponent of the clock's seconds in the fleet's size, by least squares on logarithmic scales."""
    curve = [(p["devices"], p["clock_s"]) for p in points if p["engine"] == engine and "clock_s" in p]
    curve = [(n, s) for n, s in curve if SLOPE_FROM <= n <= SLOPE_TO]
    if len(curve) < 2:
        return None
    exponent, _ = np.polyfit([math.log(n) for n, _ in curve], [math.log(s) for _, s in curve], 1)
    return {"from": curve[0][0], "to": curve[-1][0], "exponent": round(float(exponent), 3)}


def plot(facts: dict[str, Any], path: Path) -> None:
    """Seconds and memory over the size of the fleet."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (time, memory) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for k, engine in enumerate(facts["slopes"]):
        curve = [p for p in facts["points"] if p["engine"] == engine and "clock_s" in p]
        sizes = [p["devices"] for p in curve]
        look = {"color": f"C{k}", "marker": MARKERS[k % len(MARKERS)]}
        time.loglog(sizes, [p["clock_s"] for p in curve], label=f"{engine}, the clock", **look)
        time.loglog(sizes, [p["total_s"] for p in curve], label=f"{engine}, in all", linestyle=":", **look)
        memory.loglog(sizes, [p["peak_rss_mb"] or math.nan for p in curve], label=engine, **look)
    time.set(xlabel="devices", ylabel="seconds", title="Time of a run")
    memory.set(xlabel="devices", ylabel="MB (10⁶ bytes)", title="Most memory")
    for axes in (time, memory):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(given: list[str] | None = None) -> int:
    """Measure, write, draw. Exit status 1 if two clocks disagree on a fleet."""
    known = [name for name in ENGINES if name != "auto"]
    parser = argparse.ArgumentParser(description="The scaling curve of simlib's clocks.")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--engines", nargs="+", default=known, choices=known)
    parser.add_argument("--limit", nargs="+", default=[], metavar="NAME=N", help="largest fleet of a clock")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder")
    arguments = parser.parse_args(given)
    limits = LIMITS | {name: int(most) for name, _, most in (text.partition("=") for text in arguments.limit)}
    facts: dict[str, Any] = {"machine": machine.describe(), "points": []}
    for devices in sorted(arguments.sizes):
        able = [engine for engine in arguments.engines if devices <= limits.get(engine, devices)]
        for point in measure_size(devices, able, arguments.repeats) if able else []:
            facts["points"].append(point)
            sys.stderr.write(json.dumps(point) + "\n")
    facts["slopes"] = {engine: slope(facts["points"], engine) for engine in arguments.engines}
    digests = {(p["devices"], p["digest"]) for p in facts["points"] if "digest" in p}
    facts["digests_equal"] = len(digests) == len({devices for devices, _ in digests})
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "scaling.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    plot(facts, arguments.out / "scaling.png")
    print(json.dumps({"slopes": facts["slopes"], "digests_equal": facts["digests_equal"]}, indent=1))
    return 0 if facts["digests_equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
