"""A scenario's rollout in hawkBit's words has the scenario's groups, and says what is lost."""

import json
from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from simlib import Scenario
from simlib.rollout.events import read_events
from simlib.rollout.services.hawkbit import SERVICE
from simlib.rollout.trace import trace
from simlib.scenario.json_text import parse_json
from simlib.scenario.model import GroupSpec
from tests.amounts import examples

SPEC = Scenario.load("escooter-120k").spec
GROUP = GroupSpec(None, Fraction(1, 2), Fraction(1, 10), 20, 1000)


def spec_of(devices, *shares, **more):
    groups = tuple(replace(GROUP, share=share) for share in shares)
    return replace(SPEC, devices=devices, rollout=replace(SPEC.rollout, groups=groups, **more))


def sizes_of(spec):
    document = parse_json(json.dumps(SERVICE.translate(spec).document, default=float), "export")
    return SERVICE.sizes(SERVICE.read(document, "export"), spec.devices)


def test_a_group_above_the_quota_becomes_several():
    assert sizes_of(SPEC) == (1200, 10800, 16000, 16000, 16000, 20000, 20000, 20000)
    groups = SERVICE.translate(SPEC).document["groups"]
    assert [group["name"] for group in groups][1:4] == ["group-2", "group-3.1", "group-3.2"]
    assert (
        groups[2]["errorCondition"]
        == groups[4]["errorCondition"]
        == {
            "condition": "THRESHOLD",
            "expression": "3",
        }
    )


def test_what_hawkbit_cannot_say_is_listed():
    rollout = replace(SPEC.rollout, window=(0, 3_600_000), abort_downloads=True)
    transfer = replace(SPEC.transfer, rounds=3)
    lost = SERVICE.translate(replace(SPEC, rollout=rollout, transfer=transfer)).lost
    for key in (
        "rollout.groups.0.soak",
        "rollout.groups.0.min_sample",
        "rollout.groups.2.share",
        "rollout.groups.0.error_threshold",
        "rollout.deadline",
        "rollout.interval",
        "rollout.window",
        "rollout.abort_downloads",
        "transfer.rounds",
    ):
        assert any(sentence.startswith(f"{key}: ") for sentence in lost), key
    assert not any(sentence.startswith("rollout.groups.1.share") for sentence in lost)


def test_a_threshold_that_is_no_whole_percent_is_rounded_and_said():
    group = replace(
        GROUP, share=None, success_threshold=Fraction(855, 1000), error_threshold=Fraction(25, 1000)
    )
    made = SERVICE.translate(replace(SPEC, devices=10, rollout=replace(SPEC.rollout, groups=(group,))))
    told = made.document["groups"][0]
    assert (told["successCondition"]["expression"], told["errorCondition"]["expression"]) == ("86", "3")
    assert sum("rounded" in sentence for sentence in made.lost) == 2


def test_a_group_without_a_gate_has_no_error_condition_and_another_gate_is_lost():
    groups = (replace(GROUP, share=Fraction(1, 2), gate="none"), replace(GROUP, gate="sprt"))
    made = SERVICE.translate(replace(SPEC, devices=10, rollout=replace(SPEC.rollout, groups=groups)))
    assert ["errorCondition" in group for group in made.document["groups"]] == [False, True]
    assert any(sentence.startswith("rollout.groups.1.gate: ") for sentence in made.lost)


def test_a_tail_of_less_than_a_percent_is_said():
    made = SERVICE.translate(spec_of(10_000, Fraction(99, 100), Fraction(1, 200), None))
    assert any("1 % or less" in sentence for sentence in made.lost)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(1_000, 300_000))
def test_sizes_are_the_scenarios(parts, devices):
    total = sum(parts)
    if parts[-1] * 50 < total:  # hawkBit's rule about the last percent is a test of its own
        parts = [*parts[:-1], total]
        total = sum(parts)
    spec = spec_of(devices, *(Fraction(part, total) for part in parts))
    made = sizes_of(spec)
    cuts = [0]
    for size in made:
        cuts.append(cuts[-1] + size)
    for number in range(len(parts) + 1):
        assert int(Fraction(sum(parts[:number]), total) * devices) in cuts
    assert max(made) <= 20_000


def test_devices_are_offered_the_release_once_and_at_any_time():
    spec = replace(
        SPEC,
        transfer=replace(SPEC.transfer, rounds=4),
        rollout=replace(SPEC.rollout, window=(0, 1), abort_downloads=True),
    )
    told = SERVICE.dictate(SERVICE.read({"amountGroups": 1}, "r"), spec)
    assert (told.transfer.rounds, told.rollout.window, told.rollout.abort_downloads) == (1, None, False)


def test_a_trace_reads_the_services_words():
    events = read_events(
        "time_ms,device,status\n1,0,RUNNING\n2,1,warning\n3,0,finished\n4,1,error\n5,2,canceled\n",
        "events.csv",
        SERVICE.statuses,
    )
    config = SERVICE.read({"amountGroups": 1}, "r")
    decisions = trace(SERVICE.policy(config, (3,)), (3,), events).decisions
    assert [(each.time_ms, each.decision) for each in decisions] == [(0, "open"), (2000, "finish")]
