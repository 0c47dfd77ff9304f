"""How a fleet comes together after an event, and which kind of jitter keeps it from doing so.

The events: the last outage of the link is over, or the operator lifts a halt (``recovery.on_halt =
"resume"``). What is looked at begins there. The *load* is what all transfers of a moment could take together
if each had the link to itself, as a share of the link's capacity: transfers times the mean of devices' own
rates. A **storm** is a load above 1: devices hold each other up. The link is *saturated* while it delivers
99 % of its capacity or more. Both are seen at the samples of the timeline, which is made fine for it; a
peak between two samples is missed.

Three kinds of jitter: the phase of the polls (``cohorts.N.wake_spread``), the waits before retries
(``transfer.jitter``), and a hold-off between the offer and the download (``transfer.hold_off``). The question
comes from operators: poll jitter is said not to spread a fleet that comes back together, a random hold-off
between hearing of an update and acting on it is said to do so.

Left out: servers that refuse or break down under load (here a transfer only takes longer), and check-ins that
fail. During an outage a device still hears of the release, but gets no byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pandas as pd

from simlib.device.memo import Memo
from simlib.errors import InputError
from simlib.fleet import routes_of
from simlib.outcomes import Outcome
from simlib.results.device_table import as_table, counted, total
from simlib.scenario import Scenario
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.toml_text import Document, shown, write_toml
from simlib.scenario.units import format_duration
from simlib.simulation import simulate
from simlib.study.comparison import SCENARIO, PairedComparison

VARIANT: Final = "variant"
TOGETHER: Final = "together"
EVENTS: Final = ("outage-waits", "outage-retries", "halt-lifted")
FINE_MS: Final = 5_000
"""Between two samples of the timeline."""
SATURATED: Final = Fraction(99, 100)
_ROWS: Final = 100_000  # of a timeline, at most
_HOUR_MS: Final = 3_600_000
_CARRYING: Final = ("connecting", "downloading")


def storms(
    scenario: Scenario,
    variants: Mapping[str, Mapping[str, object]] | None = None,
    *,
    replications: int = 1,
    engine: str = "auto",
    client: Any = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """`scenario` under each of `variants` (dotted keys and values by name), with the same luck.

    The default are `variants_of`. A row a variant and replication: `variant`, `replication`, `seed`, and the
    figures of `storm`. The scenario has one link, and either an outage of it or a halt that is lifted.
    Raises `InputError` for another one, and for fewer than two variants.
    """
    chosen = variants_of(scenario) if variants is None else variants
    spec = scenario.spec
    if len(spec.links) != 1:
        raise InputError(
            f"{spec.name}: links: found {len(spec.links)}, expected one, whose load is looked at"
        )
    if not spec.links[0].outages and spec.recovery.on_halt != "resume":
        raise InputError(
            f"{spec.name}: links.0.outages: found none and recovery.on_halt {shown(spec.recovery.on_halt)}, "
            "expected an outage, or a halt that is lifted (resume)"
        )
    fine = min(spec.timeline_ms, max(FINE_MS, -(-spec.horizon_ms // _ROWS)))
    named = {
        name: scenario.with_({**changes, "timeline": fine}, source=f"{spec.name}: {name}")
        for name, changes in chosen.items()
    }
    comparison = PairedComparison(named, replications=replications, engine=engine, measure=storm)
    return comparison.run(client, workers, progress=False).rename(columns={SCENARIO: VARIANT})


def variants_of(
    scenario: Scenario, hold_offs_ms: Sequence[int] = (_HOUR_MS, 4 * _HOUR_MS)
) -> dict[str, dict[str, object]]:
    """All devices polling together without any jitter, each kind of jitter alone, and all of them.

    All of them with the first of the hold-offs.
    """

    def phases(share: int) -> dict[str, object]:
        return {f"cohorts.{n}.wake_spread": share for n in range(len(scenario.spec.cohorts))}

    none = {**phases(0), "transfer.jitter": "none", "transfer.hold_off": 0}
    holds = [{"transfer.hold_off": longest_ms} for longest_ms in hold_offs_ms]
    return {
        TOGETHER: none,
        "poll phase": {**none, **phases(1)},
        "retry jitter, equal": {**none, "transfer.jitter": "equal"},
        "retry jitter, full": {**none, "transfer.jitter": "full"},
        "retry jitter, decorrelated": {**none, "transfer.jitter": "decorrelated"},
        **{
            f"hold-off, {format_duration(ms)}": {**none, **hold}
            for ms, hold in zip(hold_offs_ms, holds, strict=True)
        },
        "all three": {**none, **phases(1), "transfer.jitter": "full", **holds[0]},
    }


def storm(scenario: Scenario, engine: str = "auto") -> dict[str, Any]:
    """Simulate `scenario` once; what happens from the event on.

    - `event_ms`: when the last outage ended or the last halt was lifted, None if no halt was;
    - `peak_transfers`: most devices with a transfer at once [devices];
    - `peak_load`: these, as a share of the link's capacity; `storm`: whether that is above 1;
    - `saturated_ms`: how long the link delivered all it can, at the grain of the timeline;
    - `to_95_ms`: from the event until 95 % of those that are updated in the end are so, at the same grain;
    - over the whole run: `updated` and `failed` [devices], `bytes_wasted`, `energy_radio_uj`.

    Raises `InputError`, and KeyboardInterrupt for a run that was broken off.
    """
    made = simulate(scenario, engine=engine, memo=Memo.open_default(), record=False)
    if made.interrupted_ms is not None:
        raise KeyboardInterrupt
    spec = scenario.spec
    lifted = [stop.resumed_ms for stop in made.stops if stop.resumed_ms >= 0]
    ended = [each.from_ms + each.length_ms for each in spec.links[0].outages]
    event_ms = max(lifted or ended, default=None)
    timeline = made.tables["timeline"]
    assert isinstance(timeline, pd.DataFrame)
    devices = as_table(made.tables["devices"])
    outcomes = counted(devices, "outcome")
    return {
        "event_ms": event_ms,
        **_load(timeline, spec, event_ms),
        "updated": outcomes.get(Outcome.UPDATED.value, 0),
        "failed": outcomes.get(Outcome.FAILED.value, 0),
        "bytes_wasted": total(devices, "bytes_wasted"),
        "energy_radio_uj": total(devices, "energy_radio_uj"),
    }


def _load(timeline: pd.DataFrame, spec: ScenarioSpec, event_ms: int | None) -> dict[str, Any]:
    """What the samples from the event on say of the link."""
    if event_ms is None or not (timeline["time_ms"] >= event_ms).any():
        return dict.fromkeys(("peak_transfers", "peak_load", "storm", "saturated_ms", "to_95_ms"))
    capacity_bps = spec.links[0].capacity_bps
    after = timeline[timeline["time_ms"] >= event_ms]
    peak = int(after[list(_CARRYING)].sum(axis=1).max())
    load = peak * mean_rate_bps(spec) / capacity_bps
    spans_ms = np.diff(after["time_ms"].to_numpy())
    delivered = np.diff(after["bytes_on_links"].to_numpy())
    bound = SATURATED.denominator * 1000
    updated = after[Outcome.UPDATED.value].to_numpy()
    reached = after["time_ms"].to_numpy()[updated * 100 >= updated[-1] * 95]
    full = delivered * bound >= spans_ms * (capacity_bps * SATURATED.numerator)
    return {
        "peak_transfers": peak,
        "peak_load": float(load),
        "storm": load > 1,
        "saturated_ms": int(spans_ms[full].sum()),
        "to_95_ms": int(reached[0]) - event_ms,
    }


def mean_rate_bps(spec: ScenarioSpec) -> Fraction:
    """The mean of what the devices could take if each had the link to itself [byte/s]."""
    mean = Fraction(0)
    for cohort, route in zip(spec.cohorts, routes_of(spec), strict=True):
        weighted = sum(w * rate for w, rate in zip(route.weights, route.rates_bps, strict=True))
        mean += cohort.share * Fraction(weighted, sum(route.weights))
    return mean


def storm_fleet(event: str, devices: int = 3000) -> Scenario:
    """A fleet that calls every hour, and an event of `EVENTS` after which it comes back.

    The link could serve the whole fleet in 25 minutes if it were used evenly. ``outage-waits``: the link is
    down for the first 2 hours and a device that has begun waits for it; ``outage-retries``: it gives up after
    a minute without a byte and tries again, backing off; ``halt-lifted``: the first 5 % report failures, the
    gate halts, and 6 hours later the operator lets the rollout go on. Raises `InputError`.
    """
    if event not in EVENTS:
        raise InputError(f"event: found {shown(event)}, expected one of {', '.join(EVENTS)}")
    halted = event == "halt-lifted"
    gated: Document = {"share": "5 %", "error_threshold": "2 %", "min_sample": min(50, max(devices // 40, 1))}
    rest: Document = {"share": "rest", "gate": "none", "error_threshold": 1}
    document: Document = {
        "schema": 1,
        "name": event,
        "devices": devices,
        "horizon": "16 h",
        "timeline": FINE_MS,
        "release": {"size": "480 KiB", "payload": "full", "encrypted": False},
        "links": [
            {
                "name": "backend",
                "capacity": devices * 1000 // 3,
                "outages": [] if halted else [{"from": 0, "length": "2 h"}],
            }
        ],
        "cohorts": [
            {
                "name": "all",
                "link": "backend",
                "slot_size": "1 MiB",
                "download_size": 0,
                "rates": ["100 kB/s"],
                "wake_period": "1 h",
            }
        ],
        "precheck": {"battery": 0},
        "transfer": {"attempts": 20, "stall": 0 if event == "outage-waits" else "1 min"},
        "faults": {"drop": "2 %", "defect": "10 %" if halted else 0},
        "rollout": {"groups": [gated, rest] if halted else [rest]},
        "recovery": {"on_halt": "resume" if halted else "stop", "delay": "6 h"},
    }
    return Scenario.from_toml(write_toml(document), event)
