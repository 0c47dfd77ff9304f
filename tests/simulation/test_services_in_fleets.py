"""Every update service decides over a fleet, the same on each clock, and each device can be explained."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest

from simlib.rollout import service_names
from simlib.scenario import Scenario
from simlib.simulation import simulate
from simlib.study import run
from tests.amounts import FULL
from tests.simulation.clock_comparison import first_difference

ENGINES = ("simpy", "compiled", "fused")
FAULTS = {
    "faults.defect": 0.08,
    "faults.power_cut": 0.01,
    "report.lost": 0.1,
    "report.premature": 0.3,
    "report.resends": 0,
}
NEBRASKA = {
    "policy_updates_enabled": True,
    "policy_safe_mode": True,
    "policy_office_hours": False,
    "policy_timezone": "UTC",
    "policy_period_interval": "2 hours",
    "policy_max_updates_per_period": 25,
    "policy_update_timeout": "6 hours",
}
CONFIGS = {
    "mender": {
        "name": "r",
        "artifact_name": "a",
        "phases": [
            {"batch_size": 10, "start_ts": "2026-01-01T00:00:00Z"},
            {"batch_size": 30, "start_ts": "2026-01-02T03:00:00Z"},
            {"start_ts": "2026-01-03T03:00:00Z"},
        ],
    },
    "nebraska": NEBRASKA,
    "aws-iot": {
        "jobExecutionsRolloutConfig": {
            "exponentialRate": {
                "baseRatePerMinute": 3,
                "incrementFactor": 2,
                "rateIncreaseCriteria": {"numberOfSucceededThings": 40},
            },
            "maximumPerMinute": 50,
        },
        "abortConfig": {
            "criteriaList": [
                {
                    "failureType": "ALL",
                    "action": "CANCEL",
                    "minNumberOfExecutedThings": 60,
                    "thresholdPercentage": 9,
                }
            ]
        },
        "timeoutConfig": {"inProgressTimeoutInMinutes": 300},
        "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 2}]},
    },
}

STOPPING = {
    "faults.defect": 0.3,
    "faults.defect_hardware": [],
    "report.premature": 0,
    "rollout.groups.0.error_threshold": 0.02,
    "rollout.groups.0.min_sample": 5,
}


@cache
def scenario_for(service: str, *, quiet: bool = False, config: str | None = None) -> Scenario:
    changes: dict[str, object] = {"devices": 400, "horizon": "9 d", "rollout.policy": service}
    changes |= {} if quiet else FAULTS
    found = config if config is not None else json.dumps(CONFIGS[service]) if service in CONFIGS else ""
    return Scenario.load("smoke").with_(changes | {"rollout.config": found})


@pytest.mark.parametrize("service", service_names())
def test_a_service_decides_the_same_on_every_clock(service):
    wanted = simulate(scenario_for(service), engine="simpy")
    for engine in ENGINES[1:]:
        assert first_difference(wanted, simulate(scenario_for(service), engine=engine)) is None


@pytest.mark.parametrize("recovery", ["resume", "rollback"])
@pytest.mark.parametrize("service", ["staged", "hawkbit", "aws-iot", "azure"])
def test_a_stop_that_is_answered_is_so_on_every_clock(service, recovery):
    changes = STOPPING | {"recovery.on_halt": recovery, "recovery.delay": "7 h"}
    scenario = scenario_for(service).with_(changes)
    wanted = simulate(scenario, engine="simpy")
    assert wanted.stops
    for engine in ENGINES[1:]:
        assert first_difference(wanted, simulate(scenario, engine=engine)) is None
    if recovery == "resume" and service == "staged":
        assert wanted.stops[0].resumed_ms == wanted.stops[0].at_ms + 7 * 3_600_000


@pytest.mark.parametrize("service", service_names())
def test_a_device_of_every_end_is_explained_as_the_table_has_it(service):
    found = run(scenario_for(service))
    devices = found.devices
    for _, ends in devices.groupby(["outcome", "reason"]):
        explanation = found.explain(int(ends["device"].iloc[-1]))
        assert explanation.agrees, (explanation.device, explanation.differs)


@pytest.mark.parametrize("recovery", ["resume", "rollback"])
def test_a_device_that_a_stop_met_is_explained_as_the_table_has_it(recovery):
    changes = STOPPING | {"recovery.on_halt": recovery, "recovery.delay": "7 h"}
    for service in ("staged", "hawkbit", "aws-iot"):
        found = run(scenario_for(service).with_(changes))
        assert found.summary["halted"]
        for device in range(0, 400, 7 if FULL else 23):
            explanation = found.explain(device)
            assert explanation.agrees, (service, device, explanation.differs)


def test_who_polls_first_is_in_the_first_phase_of_mender():
    config = json.dumps(CONFIGS["mender"])
    devices = run(scenario_for("mender", quiet=True, config=config)).devices
    released = devices[devices["released_ms"] >= 0].sort_values(["released_ms", "device"])
    assert released["group"].is_monotonic_increasing
    assert (released["group"] == 1).sum() == 40 and (released["group"] == 2).sum() == 120
    second = released.loc[released["group"] == 2, "released_ms"].min()
    assert second >= 27 * 3_600_000
    assert (released["released_ms"] == released["offered_ms"]).all()


def test_nebraska_never_grants_more_in_a_period_than_it_may():
    config = json.dumps(NEBRASKA | {"policy_safe_mode": False})
    devices = run(scenario_for("nebraska", quiet=True, config=config)).devices
    granted = np.sort(devices.loc[devices["released_ms"] >= 0, "released_ms"].to_numpy())
    assert len(granted) > 100
    period = 2 * 3_600_000
    for at in granted:
        assert np.count_nonzero((granted > at - period) & (granted <= at)) <= 25


def test_aws_releases_so_many_a_minute_in_an_order_that_a_larger_share_keeps():
    rate = {"jobExecutionsRolloutConfig": {"maximumPerMinute": 7}}
    devices = run(scenario_for("aws-iot", quiet=True, config=json.dumps(rate))).devices
    counts = devices.groupby("released_ms").size()
    assert (counts.iloc[:-1] == 7).all() and (counts.index % 60_000 == 0).all()
    faster = {"jobExecutionsRolloutConfig": {"maximumPerMinute": 14}}
    others = run(scenario_for("aws-iot", quiet=True, config=json.dumps(faster))).devices
    first = set(devices.nsmallest(70, "released_ms")["device"])
    assert first == set(others.nsmallest(70, "released_ms")["device"])


def test_the_deadline_installs_at_the_same_local_time_in_every_zone():
    zones = [{"name": "east", "utc_offset": "+05:00", "share": 0.5}]
    zones.append({"name": "west", "utc_offset": "-03:00", "share": 0.5})
    scenario = scenario_for("deadline", quiet=True, config="").with_(
        {"zones": zones, "rollout.enforce_local": "3 d"}
    )
    devices = run(scenario).devices
    updated = devices[(devices["outcome"] == "updated") & (devices["started_ms"] < 2 * 86_400_000)]
    day = 86_400_000
    for zone, offset in (("east", 5), ("west", -3)):
        mine = updated[updated["zone"] == zone]
        assert len(mine) > 50
        installed = mine["confirmed_ms"] - (3 * day - offset * 3_600_000)
        assert (installed > 0).all() and (installed < 3_600_000).mean() > 0.9


def test_a_hold_off_spreads_the_starts_of_devices_that_come_together():
    together = {"cohorts.0.wake_spread": 0, "cohorts.1.wake_spread": 0, "cohorts.2.wake_spread": 0}
    plain = scenario_for("staged", quiet=True).with_(together)
    held = plain.with_({"transfer.hold_off": "3 h"})
    at_once = run(plain).devices
    spread = run(held).devices
    first = at_once.loc[at_once["started_ms"] >= 0, "started_ms"].value_counts()
    assert first.iloc[0] > 20
    waits = (spread["started_ms"] - spread["offered_ms"])[spread["started_ms"] >= 0]
    assert waits.max() > 3_600_000 and waits.min() >= 0
    assert spread["started_ms"].value_counts().drop(-1, errors="ignore").iloc[0] < first.iloc[0] // 3
    wanted = simulate(held, engine="simpy")
    for engine in ENGINES[1:]:
        assert first_difference(wanted, simulate(held, engine=engine)) is None


def test_what_a_halt_broke_off_is_no_verdict_on_the_release():
    changes = {
        "recovery.on_halt": "resume",
        "recovery.delay": "2 h",
        "rollout.abort_downloads": True,
        "rollout.groups.0.share": 0.5,
        "rollout.groups.0.min_sample": 60,
        "links.0.capacity": "4 kB/s",
        "release.payload": "full",
    }
    scenario = scenario_for("staged").with_(STOPPING | changes)
    for engine in ENGINES:
        (stop, *later) = simulate(scenario, engine=engine).stops
        assert stop.exposure.downloading > 0
        assert all(other.at_ms > stop.resumed_ms for other in later)


def test_a_round_that_failed_during_a_halt_is_followed_by_another_after_it():
    changes = {"recovery.on_halt": "resume", "recovery.delay": "2 d", "transfer.rounds": 3}
    changes |= {"rollout.groups.0.share": 0.5, "report.delay": "6 h"}
    found = run(scenario_for("staged").with_(STOPPING | changes | {"transfer.retry_after": "1 h"}))
    devices, stop = found.devices, found.summary["stops"][0]
    during = devices[
        (devices["outcome"] == "reverted")
        & (devices["offered_ms"] <= stop["at_ms"])
        & (devices["rounds"] > 1)
    ]
    assert stop["resumed_at_ms"] == stop["at_ms"] + 2 * 86_400_000
    once = devices[(devices["outcome"] == "reverted") & (devices["finished_ms"] < stop["resumed_at_ms"])]
    assert len(during) > 3 and len(once) == 0


def test_a_pause_that_was_planned_is_no_halt_and_is_answered_by_a_resume_alone():
    group = {"successCondition": {"condition": "THRESHOLD", "expression": "30"}, "targetPercentage": 50}
    first = group | {"successAction": {"action": "PAUSE", "expression": ""}}
    config = json.dumps({"groups": [first, group]})
    quiet = scenario_for("hawkbit", quiet=True, config=config)
    back = run(quiet.with_({"recovery.on_halt": "rollback", "recovery.delay": "1 h"}))
    (stop,) = back.summary["stops"]
    assert stop["planned"] and not back.summary["halted"]
    assert back.summary["outcomes"]["rolled_back"] == 0
    on = run(quiet.with_({"recovery.on_halt": "resume", "recovery.delay": "1 h"}))
    assert on.groups["opened_ms"].tolist() == [0, stop["at_ms"] + 3_600_000]


def test_a_knock_at_the_start_that_is_turned_away_comes_again_later():
    config = json.dumps(
        NEBRASKA | {"policy_office_hours": True, "simlib": {"start": "2026-01-05T08:59:59.999Z"}}
    )
    together = {f"cohorts.{k}.wake_spread": 0 for k in range(5)}
    scenario = scenario_for("nebraska", quiet=True, config=config).with_(together)
    wanted = simulate(scenario, engine="simpy")
    assert first_difference(wanted, simulate(scenario, engine="fused")) is None
    assert wanted.tables["devices"].frame()["offered_ms"].max() > 0
