"""Azure deploys to the whole group at once, and rolls back when enough devices have reported a failure."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.rollout.policy import GroupView, Verb, View
from simlib.rollout.services import azure
from simlib.scenario.leaves import HOUR
from simlib.scenario.reading import read_document


def update(version):
    return {"updateId": {"provider": "contoso", "name": "toaster", "version": version}}


DOCUMENT = {
    "deploymentId": "deployment1",
    "startDateTime": "2026-01-05T02:00:00Z",
    "update": update("2.0"),
    "groupId": "all",
}


def deployment(percentage=None, count=None, **keys):
    document = {**DOCUMENT, **keys}
    if percentage is not None:
        failure = {"devicesFailedPercentage": percentage, "devicesFailedCount": count}
        document["rollbackPolicy"] = {"update": update("1.0"), "failure": failure}
    return azure.read(document, "d.json")


def drive(config, size, reports, until, every):
    """(time, verb) of all actions; a report is (time, "succeeded" or "failed" or "skipped")."""
    policy, log, wake = azure.Azure(config, (size,)), [], None
    counts = dict.fromkeys(("succeeded", "failed", "skipped"), 0)
    for now in range(until + 1):
        for _, what in [r for r in reports if r[0] == now]:
            counts[what] += sum(counts.values()) < size
        told = sum(counts.values())
        seen = GroupView(size, told, told, counts["succeeded"], counts["failed"], 0, counts["skipped"])
        due = wake is None or (wake.at_ms is not None and now >= wake.at_ms)
        if every or due or any(getattr(seen, counter) >= least for _, counter, least in wake.counts):
            decision = policy.decide(View(now, (seen,)))
            wake = decision.wake
            log += [(now, a.verb) for a in decision.actions]
    return log


def failures(*times):
    return [(time, "failed") for time in times]


def test_the_group_opens_whole_at_its_start():
    assert drive(deployment(), 100, [], 50, False) == [(0, Verb.OPEN)]
    assert deployment(simlib={"start": "2026-01-05T00:00:00Z"}).start_ms == 2 * HOUR
    assert deployment(simlib={"start": "2026-02-05T00:00:00Z"}).start_ms == 0
    assert drive(replace(deployment(), start_ms=30), 100, [], 50, False) == [(30, Verb.OPEN)]


@pytest.mark.parametrize(
    ("percentage", "count", "options", "size", "expected"),
    [
        (10, 5, {}, 100, 10),
        (10, 15, {}, 100, 15),
        (10, 15, {"combine": "or"}, 100, 10),
        (10, 5, {"combine": "or"}, 100, 5),
        (10, 5, {"comparison": "more-than"}, 100, 11),
        (10, 15, {"comparison": "more-than"}, 100, 16),
        (10, 0, {}, 101, 11),
        (10, 0, {"comparison": "more-than"}, 109, 11),
        (0, 0, {}, 100, 1),
    ],
)
def test_both_numbers_must_be_reached_unless_an_option_says_otherwise(
    percentage, count, options, size, expected
):
    config = deployment(percentage, count, simlib=options)
    assert azure.failures_to_roll_back(config.rollback, size) == expected
    log = drive(config, size, failures(*range(1, expected)), 120, False)
    assert log == [(0, Verb.OPEN)]
    log = drive(config, size, failures(*range(1, expected + 1)), 120, False)
    assert log == [(0, Verb.OPEN), (expected, Verb.CANCEL)]


def test_without_a_roll_back_policy_nothing_stops_it():
    assert drive(deployment(), 5, failures(1, 2, 3, 4, 5), 9, False) == [(0, Verb.OPEN), (5, Verb.FINISH)]


def test_late_failures_roll_back_a_deployment_that_every_device_had_left():
    log = drive(deployment(20, 1), 5, [*[(n, "succeeded") for n in (1, 2, 3, 4)], (7, "failed")], 9, False)
    assert log == [(0, Verb.OPEN), (7, Verb.CANCEL)]


def test_a_cancelled_deployment_is_not_reactivated():
    policy = azure.Azure(deployment(10, 1), (10,))
    seen = GroupView(10, 1, 1, 0, 1, 0, 0)
    assert [a.verb for a in policy.decide(View(0, (seen,))).actions] == [Verb.OPEN, Verb.CANCEL]
    for decision in (policy.resume(View(5, (seen,))), policy.decide(View(6, (seen,)))):
        assert decision.actions == () and decision.wake.at_ms is None and decision.wake.counts == ()
    assert drive(deployment(isCanceled=True), 10, [], 5, False) == []


@given(
    st.integers(0, 100),
    st.integers(0, 8),
    st.sampled_from(["and", "or"]),
    st.integers(0, 20),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["succeeded", "failed", "skipped"]))),
)
def test_wake_ups_give_what_asking_at_every_millisecond_gives(percent, count, combine, start, size, reports):
    config = replace(deployment(percent, count, simlib={"combine": combine}), start_ms=start)
    assert drive(config, size, reports, 50, False) == drive(config, size, reports, 50, True)


def scenario(**tables):
    return read_document({"schema": 1, "name": "Fleet", "devices": 1000, **tables}, "x")


def test_a_retry_is_one_more_round_and_a_policy_rolls_back():
    spec = azure.dictate(deployment(10, 5, isRetried=True), scenario())
    assert spec.transfer.rounds == 2
    assert (spec.recovery.on_halt, spec.recovery.delay_ms) == ("rollback", 0)
    plain = scenario()
    assert azure.dictate(deployment(), plain) == plain
    fix = scenario(recovery={"on_halt": "forward-fix"})
    assert azure.dictate(deployment(10, 5), fix).recovery == fix.recovery


def test_the_first_groups_gate_becomes_the_roll_back_policy():
    groups = [{"share": "1/10", "error_threshold": "3 %", "min_sample": 50}, {}]
    made = azure.translate(scenario(rollout={"groups": groups}))
    config = azure.read(made.document, "d")
    assert config.rollback == azure.Rollback(3, 2)
    assert any(line.startswith("recovery.on_halt") for line in made.lost)
    never = azure.translate(scenario(rollout={"groups": [{"error_threshold": 1}]}))
    assert azure.read(never.document, "d").rollback is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"deploymentId": "Deployment"}, 'deploymentId: found "Deployment", expected 1 to 73 characters'),
        ({"deploymentId": "d" * 74}, "deploymentId: found "),
        ({"startDateTime": "tomorrow"}, 'startDateTime: found "tomorrow", expected a date and time'),
        ({"rollbackPolicy": {"update": update("1.0")}}, "rollbackPolicy.failure: found no such key"),
        ({"groupid": "x"}, "groupid: found an unknown key, expected groupId"),
        (
            {
                "rollbackPolicy": {
                    "update": update("1.0"),
                    "failure": {"devicesFailedPercentage": 101, "devicesFailedCount": 1},
                }
            },
            "rollbackPolicy.failure.devicesFailedPercentage: found 101, expected 0 to 100",
        ),
        (
            {
                "rollbackPolicy": {
                    "update": update("2.0"),
                    "failure": {"devicesFailedPercentage": 1, "devicesFailedCount": 1},
                }
            },
            "rollbackPolicy.update: found the update of the deployment",
        ),
    ],
)
def test_what_azure_would_refuse_is_refused_with_one_line(keys, message):
    with pytest.raises(InputError) as refused:
        azure.read({**DOCUMENT, **keys}, "d.json")
    assert str(refused.value).startswith(f"d.json: {message}") and "\n" not in str(refused.value)
