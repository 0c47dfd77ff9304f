"""The answer in one object: what `summary.json` holds and `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simlib.outcomes import Outcome
from simlib.results.device_table import DeviceTable, as_table, counted, parts, total
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


def time_to_share(devices: DeviceTable | pd.DataFrame, percent: int) -> int | None:
    """When `percent` of the whole fleet ran the new version, confirmed [ms]; None if never."""
    table = as_table(devices)
    return _time_to_share(_updated_ms(table), len(table), percent)


def _time_to_share(updated_ms: NDArray[np.int64], devices: int, percent: int) -> int | None:
    need = -(-devices * percent // 100)
    return int(np.partition(updated_ms, need - 1)[need - 1]) if len(updated_ms) >= need > 0 else None


def _updated_ms(table: DeviceTable) -> NDArray[np.int64]:
    """When each updated device had the new version."""
    times = [np.empty(0, dtype=np.int64)]
    for part in parts(table):
        codes, names = table.codes("outcome", *part)
        if Outcome.UPDATED.value not in names:
            continue
        updated = np.flatnonzero(codes == names.index(Outcome.UPDATED.value))
        of_part = table.column("finished_ms", *part)[updated]
        if "confirmed_ms" in table.names:  # a fix or a later release may have come after it
            confirmed = table.column("confirmed_ms", *part)[updated]
            of_part = np.where(confirmed >= 0, confirmed, of_part)
        times.append(of_part)
    return np.concatenate(times)


def _stop(stop: Mapping[str, Any]) -> dict[str, Any]:
    """A stop as the summary has it: its group counts from 1, null is none or never."""
    return {
        "at_ms": stop["at_ms"],
        "decision": str(stop["verb"]),
        "group": stop["group"] + 1 if stop["group"] >= 0 else None,
        "reason": stop["detail"],
        "planned": stop["planned"],
        "resumed_at_ms": stop["resumed_ms"] if stop["resumed_ms"] >= 0 else None,
        "exposure": dict(stop["exposure"]),
    }


def summarise(
    *,
    scenario: str,
    seed: int,
    engine: str,
    devices: DeviceTable | pd.DataFrame,
    stops: Sequence[Mapping[str, Any]],
    events: int,
    timings: Timings,
    interrupted_ms: int | None = None,
    duplicates: int = 0,
    further_verdicts: int = 0,
    recalled: Sequence[str] = (),
    inventory: Mapping[str, Any] | None = None,
    harm: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything but the time it took to write the tables, which `Run.save` adds.

    `stops` are the times at which the rollout stopped: ``at_ms, verb, group`` (from 0; −1 for none),
    ``detail, exposure, planned`` (not by a gate), ``resumed_ms`` (−1: never).
    """
    table = as_table(devices)
    counts, updated_ms = counted(table, "outcome"), _updated_ms(table)
    first = next((stop for stop in stops if not stop["planned"]), None)
    summary: dict[str, Any] = {
        "scenario": scenario,
        "seed": seed,
        "engine": engine,
        "devices": len(table),
        "digest": digest_of(table),
        "digest_version": DIGEST_VERSION,
        "outcomes": {o.value: counts.get(o.value, 0) for o in Outcome},
        "time_to_50_ms": _time_to_share(updated_ms, len(table), 50),
        "time_to_90_ms": _time_to_share(updated_ms, len(table), 90),
        "time_to_95_ms": _time_to_share(updated_ms, len(table), 95),
        "halted": first is not None,
        "halted_at_ms": None if first is None else first["at_ms"],
        "exposure_at_halt": None if first is None else dict(first["exposure"]),
        "stops": [_stop(stop) for stop in stops],
        "events": events,
        **{name: round(seconds, 3) for name, seconds in asdict(timings).items()},
        "write_s": 0.0,
    }
    for column in (*TOTALS, *FURTHER_TOTALS):
        if column in table.names:
            summary[column] = total(table, column)
    if "exposed_ms" in table.names:
        summary["exposed_device_days"] = round(total(table, "exposed_ms") / DAY_MS, 3)
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
