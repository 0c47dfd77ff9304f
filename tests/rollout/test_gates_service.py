"""The service `staged` reads its own JSON strictly and says a scenario's rollout without losing anything."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from simlib.errors import InputError
from simlib.rollout.policy import GroupView, Verb, View
from simlib.rollout.services.staged import SERVICE
from simlib.scenario import Scenario
from simlib.scenario.json_text import parse_json
from simlib.scenario.toml_text import shown

GROUPS = [{"share": Decimal("0.1"), "gate": "sprt", "soak": "1 h"}, {"share": "rest"}]


def test_keys_have_the_scenarios_defaults():
    config = SERVICE.read({"groups": GROUPS, "interval": "5 min"}, "config")
    assert (config.interval_ms, config.deadline_ms) == (300_000, 86_400_000)
    assert config.groups[0].gate == "sprt" and config.groups[0].soak_ms == 3_600_000
    assert config.groups[1].share is None and config.groups[1].success_threshold == Fraction(9, 10)


def test_sizes_are_cut_at_the_cumulative_shares_and_sum_to_the_fleet():
    groups = [{"share": "1/3"}, {"share": "1/3"}, {"share": "rest"}]
    config = SERVICE.read({"groups": groups}, "config")
    assert SERVICE.sizes(config, 100) == (33, 33, 34)
    assert sum(SERVICE.sizes(config, 7)) == 7


@pytest.mark.parametrize("name", ["smoke", "escooter-120k", "zero-day-1000"])
def test_a_scenarios_rollout_comes_back_as_it_was(name):
    spec = Scenario.load(name).spec
    translation = SERVICE.translate(spec)
    assert translation.lost == ()
    config = SERVICE.read(translation.document, "config")
    assert config.groups == spec.rollout.groups
    assert (config.interval_ms, config.deadline_ms) == (spec.rollout.interval_ms, spec.rollout.deadline_ms)


def test_a_gate_of_each_kind_comes_back_through_json():
    spec = Scenario.load("smoke").spec
    groups = tuple(
        replace(group, gate=gate, gate_level=Fraction(1, 30), gate_bad=Fraction(2, 3))
        for group, gate in zip(spec.rollout.groups, ("mixture", "wilson", "mann-whitney"), strict=True)
    )
    spec = replace(spec, rollout=replace(spec.rollout, groups=groups))
    text = json.dumps(SERVICE.translate(spec).document, default=str)
    assert SERVICE.read(parse_json(text, "config"), "config").groups == groups


def test_the_policy_is_the_staged_one_with_the_configurations_times():
    config = SERVICE.read({"groups": GROUPS, "interval": "5 min", "deadline": "2 h"}, "config")
    policy = SERVICE.policy(config, (10, 90))
    assert (policy.interval_ms, policy.deadline_ms, policy.pull) == (300_000, 7_200_000, False)
    groups = (GroupView(10, 0, 0, 0, 0, 0, 0), GroupView(90, 0, 0, 0, 0, 0, 0))
    assert [(a.verb, a.group) for a in policy.decide(View(0, groups)).actions] == [(Verb.OPEN, 0)]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"group": []}, "group: found an unknown key, expected groups (the nearest known key)"),
        ({"groups": []}, "groups: found an empty list, expected at least one element"),
        ({"groups": [{"gat": "sprt"}]}, "groups.0.gat: found an unknown key, expected gate"),
        ({"groups": [{"gate": "sprint"}]}, 'groups.0.gate: found "sprint", expected one of threshold'),
        ({"groups": [{"share": Decimal("0.5")}]}, "groups: found shares that sum to 0.5, expected"),
        ({"groups": [{"share": "rest"}] * 2}, 'groups.0.share: found "rest", expected a share'),
        ({"groups": [{"share": "1/2"}, {"share": "2/3"}, {}]}, "groups: found shares that sum to 7/6"),
        ({"interval": 0}, "interval: found 0, expected"),
        (
            {"groups": [{"gate": "mixture", "error_threshold": Decimal("0.1")}]},
            "groups.0.gate_bad: found 0.1, expected above the error_threshold, 0.1, and below 1 for the gate",
        ),
    ],
)
def test_what_the_service_does_not_take_is_said_in_one_line(document, message):
    with pytest.raises(InputError) as refused:
        SERVICE.read(document, "rollout.json")
    assert str(refused.value).startswith(f"rollout.json: {message}"), shown(str(refused.value))
    assert "\n" not in str(refused.value)


def test_another_number_of_groups_than_the_rollout_has_is_refused():
    config = SERVICE.read({"groups": GROUPS}, "config")
    with pytest.raises(InputError, match=r"^groups: found 2, expected 3, as the rollout has$"):
        SERVICE.policy(config, (1, 2, 3))
