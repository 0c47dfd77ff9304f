"""The reference model in every simulator that is installed, in turns, each run in a process of its own.

    python benchmarks/run_reference.py [--devices N] [--rounds R] [--python PATH] [--only NAME ...]

`--python` is another interpreter, for the peers that are not installed in this one. Every round begins with
the next implementation. A process that aborts, is killed or takes too long is reported as such and not tried
again. Exit status 1 if two that must agree do not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Final

import machine
from reference_model.implementations import IMPLEMENTATIONS, Implementation, named

HERE: Final = Path(__file__).parent
ENOUGH_S: Final = 60.0
"""An implementation whose runs have taken so long together is not run again."""


def run_once(python: str, one: Implementation, devices: int, seed: int, timeout_s: float) -> dict[str, Any]:
    """One run in a process of its own: what `reference_model.child` prints, or what became of it."""
    command = [python, "-m", "reference_model.child", one.name, str(devices), str(seed)]
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    try:
        done = subprocess.run(
            command, env=environment, cwd=HERE, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {timeout_s:.0f} s"}
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    said = " ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-1:])
    if done.returncode < 0:
        return {"failed": f"aborted by {signal.Signals(-done.returncode).name}: {said}"}
    return {"failed": f"exit status {done.returncode}: {said}"}


def disagreements(results: dict[str, Any]) -> list[str]:
    """Who does not agree with whom, in sentences."""
    complaints = []
    ran = {name: found["outcome"] for name, found in results.items() if "outcome" in found}
    checksums = {name: o["checksum"] for name, o in ran.items() if named(name).ties_by_device}
    if len(set(checksums.values())) > 1:
        complaints.append(f"checksums that must be equal are not: {checksums}")
    tallies = {
        name: {key: o[key] for key in ("updated", "reverted", "waves", "events")} for name, o in ran.items()
    }
    if len({tuple(tally.values()) for tally in tallies.values()}) > 1:
        complaints.append(f"tallies that must be equal are not: {tallies}")
    return complaints


def summed_up(runs: list[dict[str, Any]], devices: int) -> dict[str, Any]:
    """All runs of one implementation."""
    if problem := [run for run in runs if "seconds" not in run]:
        return problem[0]
    seconds = [run["seconds"] for run in runs]
    outcome = runs[0]["outcome"]
    if any(run["outcome"] != outcome for run in runs):
        return {"failed": "two runs of the same gave two outcomes"}
    peaks = [run["peak_rss_mb"] for run in runs if run["peak_rss_mb"] is not None]
    return {
        "runs": len(runs),
        "seconds_min": min(seconds),
        "seconds_median": median(seconds),
        "seconds_max": max(seconds),
        "us_per_device": 1e6 * median(seconds) / devices,
        "ns_per_event": 1e9 * median(seconds) / outcome["events"],
        "first_s": median(run["first_s"] for run in runs),
        "peak_rss_mb": median(peaks) if peaks else None,
        "versions": runs[0]["versions"],
        "outcome": outcome,
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything in turns."""
    chosen = [named(name) for name in arguments.only] or list(IMPLEMENTATIONS)
    facts: dict[str, Any] = {
        "machine": machine.describe(),
        "devices": arguments.devices,
        "seed": arguments.seed,
        "rounds": arguments.rounds,
    }
    runs: dict[str, list[dict[str, Any]]] = {one.name: [] for one in chosen}
    for turn in range(arguments.rounds):
        for k in range(len(chosen)):
            one = chosen[(turn + k) % len(chosen)]
            mine = runs[one.name]
            if not arguments.only and arguments.devices > one.most_devices:
                mine[:] = [{"skipped": f"a run of more than {one.most_devices:,} devices takes minutes"}]
            elif all("seconds" in run for run in mine) and sum(run["seconds"] for run in mine) < ENOUGH_S:
                here = all(find_spec(name) is not None for name in one.needs)
                python = sys.executable if here else arguments.python
                mine.append(run_once(python, one, arguments.devices, arguments.seed, arguments.timeout))
                sys.stderr.write(f"round {turn + 1}: {one.name}: {_short(mine[-1])}\n")
    facts["implementations"] = {name: summed_up(each, arguments.devices) for name, each in runs.items()}
    facts["disagreements"] = disagreements(facts["implementations"])
    return facts


def _short(run: dict[str, Any]) -> str:
    if "seconds" in run:
        return f"{run['seconds']:.4f} s"
    return next(f"{what} {why}" for what, why in run.items())


def show(facts: dict[str, Any]) -> None:
    """The table."""
    found = facts["implementations"]
    medians = [one["seconds_median"] for one in found.values() if "seconds_median" in one]
    print(f"{facts['devices']:,} devices, seed {facts['seed']}; seconds of the clock alone, in turns")
    print(
        f"{'':16}{'runs':>5}{'least':>10}{'median':>10}{'most':>10}{'µs a device':>13}{'ns an event':>13}"
        f"{'MB':>7}{'x slowest':>11}{'x fastest':>11}  checksum"
    )
    for name, one in found.items():
        if "seconds_median" not in one:
            print(f"{name:16} {_short(one)}")
            continue
        middle = one["seconds_median"]
        print(
            f"{name:16}{one['runs']:>5}{one['seconds_min']:>10.4f}{middle:>10.4f}{one['seconds_max']:>10.4f}"
            f"{one['us_per_device']:>13.3f}{one['ns_per_event']:>13.1f}{one['peak_rss_mb'] or math.nan:>7.0f}"
            f"{max(medians) / middle:>11.1f}{middle / min(medians):>11.1f}  {one['outcome']['checksum']}"
        )
    for complaint in facts["disagreements"]:
        print(complaint)


def main(given: list[str] | None = None) -> int:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description="The reference model in every simulator that is installed.")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--python", default=sys.executable, help="another interpreter, that has peers")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these, whatever the size")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one run")
    parser.add_argument("--out", type=Path, help="default benchmarks/results/reference-N.json")
    arguments = parser.parse_args(given)
    facts = measure(arguments)
    show(facts)
    out = arguments.out or HERE / "results" / f"reference-{arguments.devices}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return 1 if facts["disagreements"] else 0


if __name__ == "__main__":
    sys.exit(main())
