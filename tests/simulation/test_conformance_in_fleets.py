"""The reference's numbered cases that are about fleets, and the services' blind spots, on every clock."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from simlib.scenario import Scenario
from simlib.simulation import simulate

HOUR, MINUTE = 3_600_000, 60_000
CLOCKS = pytest.mark.parametrize("engine", ["simpy", "compiled", "fused"])
QUIET = 'schema = 1\nname = "plain"\ndevices = 200\nhorizon = "6 d"\n[release]\nsize = "64 KiB"\n'
ONE_SLOT = {"cohorts__0__layout": "single-slot"}  # a power cut in an install bricks it, silently


@cache
def plain() -> Scenario:
    return Scenario.from_toml(QUIET)


def ran(engine: str, service: str, config: dict[str, Any], **changes: Any) -> Any:
    keys = {"rollout.policy": service, "rollout.config": json.dumps(config)}
    keys |= {key.replace("__", "."): value for key, value in changes.items()}
    return simulate(plain().with_(keys), engine=engine)


def devices_of(made: Any) -> Any:
    return made.tables["devices"].frame()


def hawkbit(*groups: tuple[int, int | None, int]) -> dict[str, Any]:
    """A rollout; of each group the success and the error threshold, and its share of all [%]."""
    told = []
    for success, error, share in groups:
        group: dict[str, Any] = {"targetPercentage": share}
        group["successCondition"] = {"condition": "THRESHOLD", "expression": str(success)}
        group["successAction"] = {"action": "NEXTGROUP", "expression": ""}
        if error is not None:
            group["errorCondition"] = {"condition": "THRESHOLD", "expression": str(error)}
            group["errorAction"] = {"action": "PAUSE", "expression": ""}
        told.append(group)
    return {"name": "r", "groups": told}


@CLOCKS
def test_H4_a_release_that_fails_everywhere_walks_the_whole_fleet(engine):
    made = ran(engine, "hawkbit", hawkbit((50, None, 20), (50, None, 80)), faults__defect=1)
    assert not made.stops
    assert devices_of(made)["outcome"].eq("reverted").all()
    assert made.tables["groups"]["opened_ms"].iloc[1] > 0


@CLOCKS
def test_H5_late_errors_pause_while_the_next_group_runs_on(engine):
    made = ran(engine, "hawkbit", hawkbit((50, 10, 50), (50, 10, 50)), faults__defect=0.14, seed=3)
    (stop, *_) = made.stops
    groups, devices = made.tables["groups"], devices_of(made)
    assert stop.verb == "pause" and stop.group == 0
    assert 0 < groups["opened_ms"].iloc[1] < stop.at_ms
    second = devices[devices["group"] == 2]
    assert (second["offered_ms"] > stop.at_ms).any() and (second["offered_ms"] >= 0).all()
    assert stop.exposure.recalled == 0


@CLOCKS
def test_H6_silent_bricks_stall_the_rollout_and_reported_errors_pause_it(engine):
    gates = hawkbit((80, 20, 50), (80, 20, 50))
    silent = ran(engine, "hawkbit", gates, faults__power_cut=0.25, **ONE_SLOT)
    assert not silent.stops and silent.tables["groups"]["decision"].tolist() == ["open", "not-opened"]
    assert devices_of(silent)["outcome"].eq("bricked").sum() > 15
    told = ran(engine, "hawkbit", gates, faults__defect=0.25)
    assert told.stops[0].verb == "pause"
    assert told.stops[0].detail.startswith("21 of 100")


@CLOCKS
def test_H7_success_before_the_reboot_opens_the_next_group(engine):
    made = ran(engine, "hawkbit", hawkbit((80, 20, 50), (80, 20, 50)), faults__defect=1, report__premature=1)
    devices, groups = devices_of(made), made.tables["groups"]
    assert groups["opened_ms"].iloc[1] > 0 and not made.stops
    assert devices["outcome"].eq("reverted").all()


def job(rate: int = 1000, **more: Any) -> dict[str, Any]:
    return {"jobExecutionsRolloutConfig": {"maximumPerMinute": rate}} | more


FAILED = {"failureType": "FAILED", "action": "CANCEL", "minNumberOfExecutedThings": 5}


@CLOCKS
def test_A4_an_abort_leaves_what_is_in_progress_running(engine):
    abort = {"criteriaList": [FAILED | {"thresholdPercentage": 20}]}
    made = ran(
        engine,
        "aws-iot",
        job(2, abortConfig=abort),
        faults__defect=1,
        cohorts__0__wake_period="10 min",
        cohorts__0__self_test="20 min",
    )
    (stop,) = made.stops
    at, devices = stop.at_ms, devices_of(made)
    seen = stop.exposure
    assert stop.verb == "cancel" and seen.trial > 10 and seen.waiting > 5
    assert seen.released == (devices["released_ms"] >= 0).sum() == at // MINUTE * 2
    assert seen.recalled == seen.waiting
    assert (devices["started_ms"] <= at).all()
    assert (devices["finished_ms"] > at).sum() >= seen.trial
    assert devices["outcome"].eq("reverted").sum() == seen.released - seen.recalled


@CLOCKS
def test_A6_an_offline_device_stays_queued_and_the_job_never_completes(engine):
    made = ran(
        engine,
        "aws-iot",
        job(timeoutConfig={"inProgressTimeoutInMinutes": 30}),
        cohorts=[{"name": "there", "share": 0.9}, {"name": "off", "share": 0.1, "wake_presence": 0}],
    )
    devices = devices_of(made)
    off = devices[devices["cohort"] == "off"]
    assert (off["released_ms"] >= 0).all() and (off["offered_ms"] < 0).all()
    assert made.tables["groups"]["decision"].tolist() == ["open"]
    assert devices["outcome"].value_counts().to_dict() == {"updated": 180, "pending": 20}


@CLOCKS
def test_A7_a_failure_is_retried_and_counts_only_after_the_last_retry(engine):
    abort = {"criteriaList": [FAILED | {"thresholdPercentage": 20}]}
    retry = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 3}]}
    once = ran(engine, "aws-iot", job(abortConfig=abort), faults__defect=1)
    again = ran(engine, "aws-iot", job(abortConfig=abort, jobExecutionsRetryConfig=retry), faults__defect=1)
    assert devices_of(once)["rounds"].max() == 1
    assert devices_of(again)["rounds"].max() == 4
    assert again.stops[0].at_ms > once.stops[0].at_ms + HOUR


PULL = {
    "policy_updates_enabled": True,
    "policy_safe_mode": True,
    "policy_office_hours": False,
    "policy_timezone": "UTC",
    "policy_period_interval": "15 minutes",
    "policy_max_updates_per_period": 20,
    "policy_update_timeout": "60 minutes",
}
DYING = ONE_SLOT | {"faults__power_cut": 1}


@CLOCKS
def test_N3_a_silent_first_canary_has_the_next_check_disable_updates(engine):
    made = ran(engine, "nebraska", PULL, **DYING)
    (stop,) = made.stops
    devices = devices_of(made)
    granted = devices.loc[devices["released_ms"] >= 0, "released_ms"]
    assert len(granted) == 1 and stop.verb == "disable"
    assert granted.iloc[0] + HOUR < stop.at_ms <= granted.iloc[0] + 2 * HOUR


@CLOCKS
def test_N5_where_polls_are_rare_a_dead_canary_leaves_the_statistics_and_another_follows(engine):
    rare = {"cohorts__0__wake_period": "30 h", "cohorts__0__wake_spread": 0, "devices": 50}
    made = ran(engine, "nebraska", PULL, **DYING, **rare)
    devices = devices_of(made)
    assert not made.stops
    assert sorted(devices.loc[devices["released_ms"] >= 0, "released_ms"]) == [
        30 * HOUR * day for day in range(5)
    ]
    assert devices["outcome"].eq("bricked").sum() == 5


@CLOCKS
def test_phases_of_mender_open_by_time_whatever_happened(engine):
    starts = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]
    phases = [{"batch_size": 5, "start_ts": starts[0]}, {"batch_size": 15, "start_ts": starts[1]}]
    made = ran(engine, "mender", {"phases": [*phases, {"start_ts": starts[2]}]}, faults__defect=1)
    groups = made.tables["groups"]
    assert groups["size"].tolist() == [10, 30, 160]
    assert groups["opened_ms"].tolist() == [0, 24 * HOUR, 48 * HOUR]
    assert devices_of(made)["outcome"].eq("reverted").all() and not made.stops
