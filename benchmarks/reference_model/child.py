"""Run one implementation once, in this process, and print what came out as one line of JSON.

    python -m reference_model.child NAME DEVICES SEED

A run with 150 devices comes first and is not in the figures: it compiles what is to be compiled. Where a
package is missing the line says which.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import model as m
from .implementations import Implementation, named


def peak_rss_mb() -> float | None:
    """The most memory this process has had resident [10**6 bytes]; None where the system does not tell."""
    try:
        # Not ru_maxrss: on Linux that begins at what the parent had.
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def measured(implementation: Implementation, devices: int, seed: int) -> dict[str, Any]:
    """What one run gave: seconds of the clock alone, and the outcome."""
    if missing := [name for name in implementation.needs if find_spec(name) is None]:
        return {"missing": ", ".join(missing)}
    began = time.perf_counter()
    run = getattr(import_module(f"reference_model.{implementation.module}"), implementation.function)
    run(m.DEVICES_LEAST, seed)
    first_s = time.perf_counter() - began
    gc.collect()
    seconds, outcome = run(devices, seed)
    return {
        "seconds": seconds,
        "first_s": first_s,
        "peak_rss_mb": peak_rss_mb(),
        "versions": {name: version(name) for name in implementation.needs},
        "outcome": asdict(outcome),
    }


if __name__ == "__main__":
    name, devices, seed = sys.argv[1:]
    print(json.dumps(measured(named(name), int(devices), int(seed))))
