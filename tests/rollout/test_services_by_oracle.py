"""Policies of update services do what plain simulators of the documented rules do, on drawn configurations.

A larger run: ``python -m tests.rollout.test_services_by_oracle --runs 2000 [--first 0] [--service NAME]``.
"""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from simlib.cli.main import main
from tests.rollout.oracle_cases import (
    DAY,
    DRAWN,
    HOUR,
    MINUTE,
    Case,
    difference,
    found,
    without_reasons,
)
from tests.rollout.oracles import AwsIot, Row
from tests.rollout.oracles_asked import Mender, Nebraska
from tests.rollout.oracles_groups import HawkBit


@pytest.mark.parametrize("service", sorted(DRAWN))
def test_a_policy_does_what_its_oracle_does(service: str):
    told = {}
    for seed in range(150 if service == "mender" else 300):
        different = difference(DRAWN[service](Random(f"{service}/{seed}")))
        if different:
            told[seed] = different
    assert told == {}


@pytest.mark.parametrize("service", sorted(DRAWN))
@pytest.mark.parametrize("seed", [1, 8])
def test_so_does_the_command(service: str, seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    case = DRAWN[service](Random(f"{service}/{seed}"))
    config, events = tmp_path / "config.json", tmp_path / "events.csv"
    config.write_text(json.dumps({"service": service, **case.document}))
    arguments = [
        "policy",
        "trace",
        str(config),
        "--devices",
        str(case.devices),
        "--until",
        str(case.until_ms),
    ]
    if case.rows is not None:
        events.write_text(case.csv())
        arguments += ["--events", str(events)]
    assert main([*arguments, "--json"]) == 0
    assert without_reasons(json.loads(capsys.readouterr().out)) == case.expected()


def nothing(now: int, device: int) -> list[Row]:
    return []


def test_the_oracles_know_the_reference():
    """A1, A3, H1, H5, M1 and N1: what the oracles are themselves held against."""
    increase = {"numberOfNotifiedThings": 1000}
    ramp = {"baseRatePerMinute": 50, "incrementFactor": 2, "rateIncreaseCriteria": increase}
    aws = AwsIot({"jobExecutionsRolloutConfig": {"exponentialRate": ramp}}, 6000, nothing)
    aws.run(HOUR)
    at = {time // MINUTE: total for time, _, total in aws.releases}
    assert [at[minute] for minute in (1, 20, 30, 35, 38, 39)] == [50, 1000, 2000, 3000, 4200, 5000]

    criterion = {"failureType": "FAILED", "minNumberOfExecutedThings": 100, "thresholdPercentage": 20}
    for failed, others, aborts in ((19, 80, False), (20, 80, True), (99, 0, False)):
        words = ["FAILED"] * failed + ["SUCCEEDED"] * others
        rows = [Row(MINUTE + 9, device, word) for device, word in enumerate(words)]
        job = AwsIot({"abortConfig": {"criteriaList": [criterion]}}, 200, nothing, rows)
        job.run(2 * MINUTE)
        assert ((MINUTE + 9, "cancel", None) in job.decisions) == aborts

    def cut(devices: int, *percentages: int) -> tuple[int, ...] | None:
        return HawkBit.cut(devices, [Fraction(p) for p in percentages])

    assert cut(1003, 20, 20, 20, 20, 20) == (201, 201, 200, 201, 200)
    assert cut(1000, 5, 15, 30, 50) == (50, 150, 300, 500)
    assert (cut(7, 50, 50), cut(1000, 5, 15, 30)) == ((4, 3), None)

    threshold = {"condition": "THRESHOLD"}
    group = {
        "targetPercentage": 50,
        "successCondition": {**threshold, "expression": "50"},
        "successAction": {"action": "NEXTGROUP"},
        "errorCondition": {**threshold, "expression": "10"},
    }
    rows = [Row(3000, device, "finished") for device in range(50)]
    rows += [Row(5000 + device, device, "error") for device in range(60, 71)]
    late = HawkBit({"groups": [group, group]}, 200, nothing, rows)
    late.run(60_000)
    assert late.decisions == [(0, "open", 0), (4000, "open", 1), (6000, "pause", 0)]

    phases = [
        {"batch_size": 5, "start_ts": "2026-01-05T00:00:00Z"},
        {"batch_size": 15, "start_ts": "2026-01-05T01:00:00Z"},
        {"start_ts": "2026-01-05T02:00:00Z"},
    ]
    mender = Mender({"phases": phases}, 101, nothing)
    mender.run(DAY)
    assert mender.releases == [(0, 5, 5), (HOUR, 15, 20), (2 * HOUR, 81, 101)]

    policy = {
        "policy_updates_enabled": True,
        "policy_safe_mode": False,
        "policy_office_hours": False,
        "policy_period_interval": "15 minutes",
        "policy_max_updates_per_period": 2,
        "policy_update_timeout": "60 minutes",
    }
    polls = [Row(0, device, "check") for device in range(5)] + [Row(901_000, 3, "check")]
    nebraska = Nebraska(policy, 5, nothing, polls)
    nebraska.run(DAY)
    assert nebraska.releases == [(0, 2, 2)]


def test_an_instance_that_checks_on_has_checked_in():
    canary = {
        "policy_updates_enabled": True,
        "policy_safe_mode": True,
        "policy_office_hours": False,
        "policy_period_interval": "15 minutes",
        "policy_max_updates_per_period": 1,
        "policy_update_timeout": "60 minutes",
    }
    rows = [Row(hour * HOUR, 0, "check") for hour in range(30)] + [Row(25 * HOUR + 5, 1, "check")]
    oracle = Nebraska(canary, 2, nothing, rows)
    oracle.run(2 * DAY)
    assert oracle.decisions == [(0, "open", 0), (25 * HOUR + 5, "disable", 0)]
    assert difference(Case("nebraska", canary, 2, tuple(oracle.rows), 2 * DAY, oracle)) == ""


def test_a_pass_over_the_groups_goes_on_after_one_in_error():
    half = {"condition": "THRESHOLD", "expression": "50"}
    group = {"successCondition": half, "successAction": {"action": "NEXTGROUP"}}
    first = {"targetPercentage": 40, **group, "errorCondition": {**half, "expression": "49"}}
    document = {"groups": [first, *({"targetPercentage": 30, **group} for _ in range(2))]}
    rows = [Row(100, 0, "finished"), Row(100, 1, "finished"), Row(2100, 2, "error"), Row(2100, 3, "error")]
    rows += [Row(2200, 4, "finished"), Row(2200, 5, "finished")]
    oracle = HawkBit(document, 10, nothing, rows)
    oracle.run(60_000)
    assert oracle.decisions == [(0, "open", 0), (2000, "open", 1), (4000, "pause", 0), (4000, "open", 2)]
    assert difference(Case("hawkbit", document, 10, tuple(oracle.rows), 60_000, oracle)) == ""


def test_a_download_only_group_is_complete_when_all_have_downloaded():
    document = {"type": "downloadonly", "groups": [{"targetPercentage": 50}, {"targetPercentage": 50}]}
    rows = (Row(100, 0, "downloaded"), Row(100, 1, "downloaded"))
    oracle = HawkBit.__new__(HawkBit)
    case = Case("hawkbit", document, 4, rows, 60_000, oracle)
    assert [d["time_ms"] for d in found(case)["decisions"] if d["decision"] == "open"] == [0, 2000]


def main_run() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--service", choices=sorted(DRAWN))
    given = parser.parse_args()
    for service in [given.service] if given.service else sorted(DRAWN):
        bad = []
        for seed in range(given.first, given.first + given.runs):
            case = DRAWN[service](Random(f"{service}/{seed}"))
            told = difference(case)
            if told:
                bad.append(seed)
                if len(bad) <= 5:
                    print(f"{service} {seed}: {told}")
        print(f"{service}: {len(bad)} of {given.runs} differ: {bad[:20]}")


if __name__ == "__main__":
    main_run()
