"""simlib's clocks on the frozen scenario, as `simlib bench` measures them, and on which machine.

python benchmarks/run_clocks.py [--devices N] [--repeats R] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import machine

from simlib import Scenario
from simlib.study.bench import bench

HERE: Final = Path(__file__).parent
FROZEN: Final = HERE / "escooter-frozen.toml"


def main(given: list[str] | None = None) -> int:
    """Measure and write. Exit status 1 if the clocks disagree."""
    parser = argparse.ArgumentParser(description="simlib's clocks on the frozen scenario.")
    parser.add_argument("--devices", type=int)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--out", type=Path, help="default benchmarks/results/clocks-N.json")
    arguments = parser.parse_args(given)
    scenario = Scenario.load(FROZEN)
    if arguments.devices is not None:
        scenario = scenario.with_({"devices": arguments.devices}, source="--devices")
    facts: dict[str, Any] = {"machine": machine.describe()}
    found = bench(scenario, repeats=arguments.repeats)
    facts |= found.to_json()
    facts["digests"] = sorted(found.digests)
    for name, figures in found.engines.items():
        facts["engines"][name] |= {
            "us_per_device": figures.us_per_device,
            "ns_per_event": figures.ns_per_event,
            "total_s": min(run.total_s for run in figures.runs),
        }
    out = arguments.out or HERE / "results" / f"clocks-{found.devices}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=1))
    return 0 if facts["digests_equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
