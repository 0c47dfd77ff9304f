"""The answer in one object: what `summary.json` holds and `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from simlib.outcomes import Outcome
from simlib.results.digest import DIGEST_VERSION, digest_of

FURTHER_TOTALS = ("energy_idle_uj", "bytes_up", "bytes_back")
DAY_MS = 86_400_000
TOTALS = ("bytes_down", "bytes_wasted", "energy_radio_uj", "energy_flash_uj", "energy_compute_uj")


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the wall-clock time of a run went [s]; `wall_s` is the clock alone, `total_s` everything."""

    setup_s: float
    bench_s: float
    wall_s: float
    total_s: float


def time_to_share(devices: pd.DataFrame, percent: int) -> int | None:
    """When `percent` of the whole fleet ran the new version, confirmed [ms]; None if never."""
    need = -(-len(devices) * percent // 100)
    updated = devices[devices["outcome"] == Outcome.UPDATED]
    times = updated["finished_ms"].to_numpy()
    if "confirmed_ms" in devices:  # a fix or a later release may have come after it
        confirmed = updated["confirmed_ms"].to_numpy()
        times = np.where(confirmed >= 0, confirmed, times)
    times = np.sort(times)
    return int(times[need - 1]) if len(times) >= need > 0 else None


def summarise(
    *,
    scenario: str,
    seed: int,
    engine: str,
    devices: pd.DataFrame,
    halted_ms: int,
    exposure: Mapping[str, int] | None,
    events: int,
    timings: Timings,
    interrupted_ms: int | None = None,
    duplicates: int = 0,
    further_verdicts: int = 0,
    recalled: Sequence[str] = (),
    inventory: Mapping[str, Any] | None = None,
    harm: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything but the time it took to write the tables, which `Run.save` adds."""
    counts = devices["outcome"].value_counts()
    summary: dict[str, Any] = {
        "scenario": scenario,
        "seed": seed,
        "engine": engine,
        "devices": len(devices),
        "digest": digest_of(devices),
        "digest_version": DIGEST_VERSION,
        "outcomes": {o.value: int(counts.get(o.value, 0)) for o in Outcome},
        "time_to_50_ms": time_to_share(devices, 50),
        "time_to_90_ms": time_to_share(devices, 90),
        "time_to_95_ms": time_to_share(devices, 95),
        "halted": halted_ms >= 0,
        "halted_at_ms": halted_ms if halted_ms >= 0 else None,
        "exposure_at_halt": dict(exposure) if exposure is not None else None,
        "events": events,
        **{name: round(seconds, 3) for name, seconds in asdict(timings).items()},
        "write_s": 0.0,
    }
    for column in (*TOTALS, *FURTHER_TOTALS):
        if column in devices:
            summary[column] = int(devices[column].sum())
    if "exposed_ms" in devices:
        summary["exposed_device_days"] = round(int(devices["exposed_ms"].sum()) / DAY_MS, 3)
    summary["duplicate_reports"] = duplicates
    summary["further_verdicts"] = further_verdicts
    summary["recalled_figures"] = list(recalled)
    if inventory is not None:
        summary["inventory"] = dict(inventory)
    if harm is not None:
        summary["harm"] = dict(harm)
    if interrupted_ms is not None:
        summary["interrupted_at_ms"] = interrupted_ms
    return summary
