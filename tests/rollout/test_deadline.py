"""Apple's declaration: what its schema refuses, when a device enforces it, and a server that only waits."""

import pytest
from hypothesis import given

from simlib.errors import InputError
from simlib.rollout.policy import Counter, Told, Verb
from simlib.rollout.services.deadline import SERVICE, TYPE, dictate, policy, read, sizes, translate
from simlib.scenario import Scenario
from tests.rollout.percentage_driver import asked_alike, changed, empty, log, reports, view

HOUR, DAY = 3_600_000, 86_400_000
PAYLOAD = {
    "TargetOSVersion": "26.0",
    "TargetBuildVersion": "23A309",
    "TargetLocalDateTime": "2026-01-08T01:00:00",
    "DetailsURL": "https://example.com/why",
}
WHOLE = {"Type": TYPE, "Identifier": "EB13EE2B", "ServerToken": "1", "Payload": PAYLOAD}


def run(document, devices=5, told=()):
    made = read(document, "ddm.json")
    parts = sizes(made, devices)
    return log(asked_alike(lambda: policy(made, parts), parts, told, step_ms=HOUR, ticks=24 * 8))


def test_everybody_has_the_declaration_at_once_and_nobody_is_paced():
    assert sizes(read(WHOLE, "ddm.json"), 120_000) == (120_000,)
    assert run(WHOLE, told=[(n, 0, "failed") for n in range(1, 90)]) == [(0, Verb.OPEN, 0)]


def test_a_payload_alone_says_the_same_as_the_whole_declaration():
    assert read(PAYLOAD, "ddm.json") == read(WHOLE, "ddm.json")


def test_a_device_enforces_at_the_local_time_counted_from_the_scenarios_start():
    spec = Scenario.load("smoke").spec
    assert dictate(read(WHOLE, "d"), spec).rollout.enforce_local_ms == 3 * DAY + HOUR
    later = changed(WHOLE, simlib={"start": "2026-01-07T00:00:00"})
    assert dictate(read(later, "d"), spec).rollout.enforce_local_ms == DAY + HOUR


@pytest.mark.parametrize("start", ["2026-01-08T01:00:00", "2026-02-01T00:00:00"])
def test_a_target_time_that_is_past_enforces_at_once(start):
    made = read(changed(WHOLE, simlib={"start": start}), "d")
    assert made.enforce_local_ms is None
    assert dictate(made, Scenario.load("smoke").spec).rollout.enforce_local_ms is None


def test_an_unavailable_version_leaves_the_declaration_idle():
    assert run(changed(WHOLE, simlib={"unavailable": ["23A309"]})) == []
    assert run(changed(PAYLOAD, simlib={"unavailable": ["26.0"]})) == []
    assert run(changed(WHOLE, simlib={"unavailable": ["23A300"]})) == [(0, Verb.OPEN, 0)]


def test_a_version_that_becomes_available_is_processed_then():
    options = {"unavailable": ["23A309"], "availableAfter": "2 d"}
    assert run(changed(WHOLE, simlib=options)) == [(2 * DAY, Verb.OPEN, 0)]


def test_it_is_fulfilled_when_everybody_has_succeeded_or_will_not_update():
    told = [(1, 0, "failed"), (2, 0, "skipped"), *[(n, 0, "succeeded") for n in range(3, 7)]]
    assert run(WHOLE, told=told) == [(0, Verb.OPEN, 0), (6 * HOUR, Verb.FINISH, 0)]
    assert run(WHOLE, told=told[:-1]) == [(0, Verb.OPEN, 0)]


def test_it_does_not_ask_to_be_woken_at_each_of_many_successes():
    made = policy(read(WHOLE, "d"), (1000,))
    wake = made.decide(view(0, empty(1000))).wake
    assert wake.at_ms is None and wake.counts == ((0, Counter.SETTLED, 1000),)


@given(reports(60, 1))
def test_deadline_asked_at_its_wakes_does_what_it_does_asked_always(told):
    run(changed(WHOLE, simlib={"unavailable": ["26.0"], "availableAfter": "7 h"}), devices=12, told=told)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (changed(PAYLOAD, TargetOSVersion=None), "TargetOSVersion: found no such key"),
        (changed(PAYLOAD, TargetLocalDateTime=None), "TargetLocalDateTime: found no such key"),
        (
            changed(PAYLOAD, TargetLocalDateTime="2026-01-08T01:00:00Z"),
            "expected local time as yyyy-mm-ddThh:mm:ss",
        ),
        (
            changed(PAYLOAD, TargetLocalDateTime="2026-02-30T01:00:00"),
            "expected local time as yyyy-mm-ddThh:mm:ss",
        ),
        (
            changed(PAYLOAD, TargetOsVersion="26"),
            "TargetOsVersion: found an unknown key, expected TargetOSVersion",
        ),
        (changed(WHOLE, Type="com.apple.configuration.passcode.settings"), f"expected one of {TYPE}"),
        (changed(WHOLE, Identifier=None), "Identifier: found no such key"),
        ({"Type": TYPE, "Identifier": "x"}, "Payload: found no such key"),
        (
            changed(WHOLE, Payload=changed(PAYLOAD, TargetOSVersion=26)),
            "Payload.TargetOSVersion: found 26, expected text",
        ),
        (
            changed(WHOLE, simlib={"availableAfter": "2 d"}),
            "simlib.availableAfter: found 2 d, expected the version",
        ),
    ],
)
def test_what_apples_schema_refuses_is_refused_by_name(document, complaint):
    with pytest.raises(InputError) as raised:
        read(document, "ddm.json")
    assert str(raised.value).startswith("ddm.json: ") and complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_scenario_becomes_one_deadline_after_its_soaks_and_says_what_is_lost():
    spec = Scenario.load("smoke").with_({"weekday": "wednesday"}).spec
    made = translate(spec)
    assert made.document["simlib"] == {"start": "2026-01-07T00:00:00"}
    again = read(made.document, "made")
    assert again.enforce_local_ms == 12 * HOUR
    lost = "\n".join(made.lost)
    assert "one deadline for everybody in place of 3 groups" in lost
    assert "groups.1.error_threshold" in lost and "groups.0.soak" in lost
    assert translate(dictate(again, spec)).document == made.document


def test_the_status_item_install_state_is_known():
    assert SERVICE.statuses["none"] is Told.SUCCEEDED and SERVICE.statuses["failed"] is Told.FAILED
