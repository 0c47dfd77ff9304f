"""A job's configuration is read as AWS IoT would, and a scenario's rollout is written as one."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from simlib import Scenario
from simlib.errors import InputError
from simlib.rollout.services.aws_iot import SERVICE
from simlib.scenario.json_text import parse_json
from simlib.scenario.model import GroupSpec

SPEC = Scenario.load("escooter-120k").spec
GROUP = GroupSpec(None, Fraction(1, 2), Fraction(1, 10), 20, 1000)
ROLLOUT = "jobExecutionsRolloutConfig"
RETRY = "jobExecutionsRetryConfig"


def ramp(**changes):
    rate = {
        "baseRatePerMinute": 50,
        "incrementFactor": 2,
        "rateIncreaseCriteria": {"numberOfNotifiedThings": 1000},
    }
    return {ROLLOUT: {"exponentialRate": rate | changes}}


def retry(*criteria):
    listed = [{"failureType": failure, "numberOfRetries": number} for failure, number in criteria]
    return {RETRY: {"criteriaList": listed}}


def abort(**changes):
    criterion = {
        "failureType": "FAILED",
        "action": "CANCEL",
        "minNumberOfExecutedThings": 100,
        "thresholdPercentage": 20,
    }
    return {"abortConfig": {"criteriaList": [criterion | changes]}}


def window(start, minutes=10):
    return {"schedulingConfig": {"maintenanceWindows": [{"startTime": start, "durationInMinutes": minutes}]}}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (
            {ROLLOUT: {"maximumPerMinute": 1001}},
            rf"{ROLLOUT}\.maximumPerMinute: found 1001, expected 1 to 1000",
        ),
        ({ROLLOUT: {"maximumPerMinute": 0}}, rf"{ROLLOUT}\.maximumPerMinute: found 0, expected 1 to 1000$"),
        (
            {ROLLOUT: {"maximumPerMinute": 0}, "simlib": {"largestRatePerMinute": 5000}},
            rf"{ROLLOUT}\.maximumPerMinute: found 0, expected 1 to 5000$",
        ),
        (ramp(baseRatePerMinute=-5), r".*baseRatePerMinute: found -5, expected 1 to 1000$"),
        (retry(("FAILED", -1)), r".*0\.numberOfRetries: found -1, expected 0 to 10$"),
        (retry(("FAILED", 10**10)), r".*0\.numberOfRetries: found 10000000000, expected 0 to 10$"),
        ({ROLLOUT: {"maxPerMinute": 5}}, rf"{ROLLOUT}\.maxPerMinute: found an unknown key, expected maximum"),
        (ramp(baseRatePerMinute=1001), r".*baseRatePerMinute: found 1001, expected 1 to 1000"),
        (ramp(incrementFactor=1), r".*incrementFactor: found 1.0, expected a number from 1.1 to 5"),
        (
            ramp(incrementFactor=Decimal("5.1")),
            r".*incrementFactor: found 5.1, expected a number from 1.1 to 5",
        ),
        (ramp(incrementFactor=Decimal("1.25")), r".*incrementFactor: .*at most one decimal"),
        (ramp(rateIncreaseCriteria={}), r".*rateIncreaseCriteria: found neither criterion"),
        (abort(thresholdPercentage=Decimal("10.999")), r".*thresholdPercentage: .*at most two decimals"),
        (
            abort(thresholdPercentage=101),
            r".*thresholdPercentage: found 101, expected a number from 0 to 100",
        ),
        (abort(minNumberOfExecutedThings=0), r".*minNumberOfExecutedThings: found 0, expected 1"),
        (abort(failureType="CANCELED"), r".*failureType: .*FAILED, REJECTED, TIMED_OUT, ALL"),
        (abort(action="PAUSE"), r".*action: .*expected one of CANCEL"),
        ({"timeoutConfig": {"inProgressTimeoutInMinutes": 10081}}, r".*InMinutes: .*expected 1 to 10080"),
        (window("cron(0 2 * * ? *)", 1431), r".*durationInMinutes: found 1431, expected 1 to 1430"),
        (window("cron(0 25 * * ? *)"), r".*startTime: .*expected hours from 0 to 23"),
        (window("02:00"), r".*startTime: .*expected a cron expression of six fields"),
        ({"schedulingConfig": {"endTime": "2026-01-01T00:00"}}, r".*endTime: found no startTime"),
        (
            {"schedulingConfig": {"startTime": "2026-01-01T00:00", "endTime": "2026-01-01T00:29"}},
            r".*endTime: found 29 min after the start, expected 30 minutes to 2 years",
        ),
        ({"targetSelection": "ALL"}, r"targetSelection: .*SNAPSHOT, CONTINUOUS"),
    ],
)
def test_what_aws_would_refuse_is_refused_with_field_and_limit(document, complaint):
    with pytest.raises(InputError, match=f"^job.json: {complaint}"):
        SERVICE.read(document, "job.json")


def test_A7_more_than_ten_retries_are_refused():
    with pytest.raises(InputError, match=r"numberOfRetries: found 12, expected 0 to 10"):
        SERVICE.read(retry(("FAILED", 12)), "job.json")
    with pytest.raises(InputError, match=r"criteriaList: found 12 retries in all, expected at most 10"):
        SERVICE.read(retry(("FAILED", 6), ("TIMED_OUT", 6)), "job.json")
    assert SERVICE.read(retry(("FAILED", 12)) | {"simlib": {"mostRetries": 12}}, "job.json").retries == 12


def test_A7_rejected_executions_are_not_retried():
    with pytest.raises(
        InputError, match=r"failureType: found \"REJECTED\", expected one of FAILED, TIMED_OUT, ALL"
    ):
        SERVICE.read(retry(("REJECTED", 1)), "job.json")


@pytest.mark.parametrize(
    ("criteria", "rounds"), [((), 1), ((("FAILED", 3),), 4), ((("ALL", 10),), 11), ((("TIMED_OUT", 4),), 1)]
)
def test_retries_are_further_rounds_of_failed_devices(criteria, rounds):
    config = SERVICE.read(retry(*criteria) if criteria else {}, "job.json")
    told = SERVICE.dictate(config, SPEC).transfer
    assert (told.rounds, told.retry_after_ms) == (rounds, 0)


def test_other_keys_of_create_job_are_accepted():
    body = {"jobId": "j", "targets": ["arn:x"], "document": "{}", "presignedUrlConfig": {"expiresInSec": 60}}
    assert SERVICE.read(body | {"tags": [], "description": "d"}, "job.json").rates == (1000,)


def test_cloudformations_increment_factor_of_1_is_an_option():
    assert SERVICE.read(ramp(incrementFactor=1) | {"simlib": {"leastIncrementFactor": 1}}, "j").rates == (50,)


def test_the_in_progress_timeout_is_the_deadline():
    job = {"timeoutConfig": {"inProgressTimeoutInMinutes": 5}}
    assert SERVICE.policy(SERVICE.read(job, "j"), (1,)).deadline_ms == 300_000
    assert SERVICE.policy(SERVICE.read({}, "j"), (1,)).deadline_ms == 0


def test_force_cancel_breaks_off_downloads():
    schedule = {"startTime": "2026-01-01T00:00", "endTime": "2026-01-02T00:00"}
    for behavior, forced in (("FORCE_CANCEL", True), ("CANCEL", False)):
        config = SERVICE.read({"schedulingConfig": schedule | {"endBehavior": behavior}}, "j")
        assert SERVICE.dictate(config, SPEC).rollout.abort_downloads == forced


def written(spec):
    made = SERVICE.translate(spec)
    return SERVICE.read(parse_json(json.dumps(made.document, default=float), "export"), "export"), made


def test_a_scenario_becomes_a_job_at_its_groups_pace():
    config, made = written(SPEC)
    assert config.rates[0] == 2, "1,200 devices in 12 hours"
    assert config.rates[-1] == 42, "60,000 devices in a day"
    assert config.succeeded == 960 and config.timeout_ms == SPEC.rollout.deadline_ms
    assert [(c.failure, c.least, c.percentage) for c in config.criteria] == [
        ("FAILED", 100, 2),
        ("TIMED_OUT", 100, 2),
    ]
    for key in (
        "groups",
        "groups.0.soak",
        "groups.1.error_threshold",
        "groups.2.success_threshold",
        "interval",
    ):
        assert any(sentence.startswith(f"rollout.{key}: ") for sentence in made.lost), key


def test_windows_retries_and_a_long_deadline_are_written_as_far_as_they_can():
    rollout = replace(
        SPEC.rollout,
        groups=(GROUP,),
        window=(22 * 3_600_000, 4 * 3_600_000),
        window_clock="local",
        window_ends="cut",
        deadline_ms=20 * 86_400_000,
        abort_downloads=True,
    )
    config, made = written(replace(SPEC, rollout=rollout, transfer=replace(SPEC.transfer, rounds=20)))
    assert config.windows[0].hours == (22,) and config.windows[0].duration_ms == 6 * 3_600_000
    assert config.retries == 10 and config.timeout_ms == 10_080 * 60_000
    for key in (
        "rollout.deadline",
        "rollout.window",
        "rollout.window_clock",
        "rollout.window_ends",
        "rollout.abort_downloads",
        "transfer.rounds",
        "transfer.retry_after",
    ):
        assert any(sentence.startswith(f"{key}: ") for sentence in made.lost), key
    assert not any(sentence.startswith("rollout.groups: ") for sentence in made.lost)


def test_a_group_that_cannot_halt_gives_no_abort_criterion():
    for group in (replace(GROUP, gate="none"), replace(GROUP, error_threshold=Fraction(1))):
        assert not written(replace(SPEC, rollout=replace(SPEC.rollout, groups=(group,))))[0].criteria


def test_the_steepest_ramp_that_is_needed_is_written():
    groups = (replace(GROUP, share=Fraction(1, 2), soak_ms=86_400_000), replace(GROUP, soak_ms=60_000))
    config, _ = written(replace(SPEC, devices=20_000, rollout=replace(SPEC.rollout, groups=groups)))
    assert config.rates[0] == 7 and config.rates[-1] == 1000 and len(config.rates) == 5
