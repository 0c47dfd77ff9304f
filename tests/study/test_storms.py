"""Storms: after an event a fleet comes together, and only a wait that begins after the event spreads it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import simlib
from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.study import intervals
from simlib.study.storms import (
    EVENTS,
    FINE_MS,
    TOGETHER,
    VARIANT,
    mean_rate_bps,
    storm,
    storm_fleet,
    storms,
    variants_of,
)

DEVICES = 300
IMAGE, RATE = 480 * 1024, 100_000
FIGURES = (
    "event_ms",
    "peak_transfers",
    "peak_load",
    "storm",
    "saturated_ms",
    "to_95_ms",
    "updated",
    "failed",
    "bytes_wasted",
    "energy_radio_uj",
)


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    return {event: storms(storm_fleet(event, DEVICES), engine="fused") for event in EVENTS}


def of(frames: dict[str, pd.DataFrame], event: str, figure: str) -> dict[str, float]:
    return frames[event].set_index(VARIANT)[figure].astype(float).to_dict()


def test_the_table_has_a_row_a_variant_and_replication_that_a_study_can_sum_up():
    fleet = storm_fleet("outage-waits", 50)
    chosen = {name: variants_of(fleet)[name] for name in (TOGETHER, "hold-off, 4 h")}
    frame = storms(fleet, chosen, replications=2, engine="simpy")
    assert list(frame.columns) == [VARIANT, "replication", "seed", *FIGURES]
    assert frame[VARIANT].tolist() == [TOGETHER, TOGETHER, "hold-off, 4 h", "hold-off, 4 h"]
    assert frame["seed"].tolist() == [1, 2, 1, 2]
    assert len(intervals(frame, ["peak_load", "to_95_ms"])) == 4


def test_the_figures_are_those_of_the_runs_tables(frames):
    fleet = storm_fleet("outage-waits", DEVICES).with_(
        variants_of(storm_fleet("outage-waits"))["hold-off, 4 h"]
    )
    run = simlib.run(fleet, engine="simpy")
    row = frames["outage-waits"].set_index(VARIANT).loc["hold-off, 4 h"]
    after = run.timeline[run.timeline["time_ms"] >= 2 * 3_600_000]
    assert row["peak_transfers"] == (after["downloading"] + after["connecting"]).max() > 0
    rates = np.diff(after["bytes_on_links"]) / np.diff(after["time_ms"]) * 1000
    full = rates >= 0.99 * fleet.spec.links[0].capacity_bps
    assert row["saturated_ms"] == full.sum() * FINE_MS > 0
    done = after["time_ms"][after["updated"] >= 0.95 * after["updated"].iloc[-1]].iloc[0]
    assert row["to_95_ms"] == done - 2 * 3_600_000
    assert row["bytes_wasted"] == run.summary["bytes_wasted"] > 0


@pytest.mark.parametrize("event", EVENTS)
def test_a_fleet_that_polls_together_comes_back_together(event, frames):
    row = frames[event].set_index(VARIANT).loc[TOGETHER]
    expected = DEVICES * 19 // 20 if event == "halt-lifted" else DEVICES
    assert row["storm"] and row["peak_transfers"] == expected
    assert row["peak_load"] == pytest.approx(expected * RATE / (DEVICES * 1000 // 3))
    # The link is full for as long as it takes to carry the images; not while the last few finish.
    alone_ms = expected * IMAGE * 1000 / (DEVICES * 1000 // 3)
    assert 0.9 * alone_ms < row["saturated_ms"] <= 1.05 * alone_ms


def test_nothing_that_was_drawn_before_the_outage_spreads_devices_that_wait_for_its_end(frames):
    peaks = of(frames, "outage-waits", "peak_transfers")
    late = peaks.pop("hold-off, 4 h")
    assert set(peaks.values()) == {DEVICES}
    # Half of the fleet is still in a hold-off twice as long as the outage when this ends.
    assert 0.4 * DEVICES < late < 0.65 * DEVICES


def test_devices_that_retry_by_back_off_keep_the_phase_of_their_polls(frames):
    peaks = of(frames, "outage-retries", "peak_transfers")
    assert all(peak < peaks[TOGETHER] / 4 for name, peak in peaks.items() if name != TOGETHER)
    # Full jitter halves the waits, so that more devices are just trying when the link is back.
    assert peaks["retry jitter, full"] > 2 * peaks["retry jitter, equal"]


def test_after_a_halt_is_lifted_poll_phase_and_hold_off_spread_the_fleet_and_retry_jitter_does_not(frames):
    peaks = of(frames, "halt-lifted", "peak_transfers")
    assert {peaks[name] for name in peaks if name.startswith("retry")} == {peaks[TOGETHER]}
    others = ("poll phase", "hold-off, 1 h", "hold-off, 4 h", "all three")
    assert all(peaks[name] < peaks[TOGETHER] / 20 for name in others)
    longer = of(frames, "halt-lifted", "to_95_ms")
    assert longer["hold-off, 4 h"] > 3 * longer["hold-off, 1 h"] / 2 > 3600_000


@pytest.mark.parametrize("minutes", [2, 4, 8])
def test_a_hold_off_lowers_the_peak_by_about_its_ratio_to_a_transfer(minutes):
    devices, ample = 2000, 10**9
    fleet = storm_fleet("halt-lifted", devices).with_({"links.0.capacity": ample, "faults.drop": 0})
    none = variants_of(fleet)[TOGETHER]
    row = storm(fleet.with_({**none, "transfer.hold_off": minutes * 60_000, "timeline": 1000}), "fused")
    coming = devices * 19 // 20
    expected = coming * (IMAGE / RATE) / (minutes * 60)  # so many transfers at a time, on average
    assert expected < row["peak_transfers"] < expected + 5 * expected**0.5 < coming
    assert row["saturated_ms"] == 0 and not row["storm"]


def test_shorter_waits_use_up_the_attempts_of_a_long_outage():
    fleet = storm_fleet("outage-retries", DEVICES).with_({"transfer.attempts": 10})
    kinds = ("retry jitter, equal", "retry jitter, full", "retry jitter, decorrelated")
    frame = storms(fleet, {name: variants_of(fleet)[name] for name in kinds}, engine="fused")
    equal, full, decorrelated = frame["failed"].tolist()
    assert equal < full < decorrelated
    assert (frame["failed"] + frame["updated"] == DEVICES).all()


def test_both_clocks_see_the_same_storm():
    fleet = storm_fleet("halt-lifted", 120)
    clocks = [storms(fleet, engine=engine) for engine in ("simpy", "fused")]
    pd.testing.assert_frame_equal(*clocks)


def test_a_halt_that_never_comes_leaves_the_figures_of_the_event_missing():
    row = storm(storm_fleet("halt-lifted", 100).with_({"faults.defect": 0}))
    assert row["updated"] == 100
    assert [name for name in FIGURES if row[name] is None] == list(FIGURES[:6])


def test_the_mean_rate_weighs_cohorts_and_the_classes_within_them():
    spec = Scenario.load("storage-120k").spec
    assert mean_rate_bps(spec) == Fraction(400_000, 3)
    cohorts = {"cohorts.0.rates": [10_000, 10_000, 40_000], "cohorts.1.rates": [100_000]}
    mixed = Scenario.load("storage-120k").with_(cohorts).spec
    assert mean_rate_bps(mixed) == Fraction(77, 100) * 20_000 + Fraction(20, 100) * 100_000 + 4_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"links.0.outages": []},
            'outage-waits: links.0.outages: found none and recovery.on_halt "stop", '
            "expected an outage, or a halt that is lifted (resume)",
        ),
        (
            {"links": [{"name": "backend"}, {"name": "other"}]},
            "outage-waits: links: found 2, expected one, whose load is looked at",
        ),
    ],
)
def test_a_scenario_in_which_nothing_happens_is_refused(change, message):
    with pytest.raises(InputError) as refused:
        storms(storm_fleet("outage-waits").with_(change))
    assert str(refused.value) == message


def test_an_event_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r'^event: found "flood", expected one of outage-waits, '):
        storm_fleet("flood")
