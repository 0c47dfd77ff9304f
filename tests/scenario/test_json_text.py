"""JSON that says something twice, or nothing that can be meant, is refused in one line that says where."""

import pytest

from simlib import Scenario
from simlib.errors import InputError
from simlib.scenario.json_text import parse_json


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "c: found a second time, expected each key once"),
        (r'{"a\nb": 1, "a\u000ab": 2}', r"a\nb: found a second time, expected each key once"),
        (f'{{"{"k" * 99}": 1, "{"k" * 99}": 2}}', f"{'k' * 80}…: found a second time"),
        (f'{{"a": {"9" * 5000}}}', "found a number that is too long, expected JSON"),
        (f'{{"a": 0.{"9" * 5000}}}', "found a number that is too long, expected JSON"),
        ('{"a": 1e99999999999999999999}', "found a number that is out of range, expected JSON"),
        (r'{"\ud800": 1}', r'found "\uD800", expected text of whole characters'),
        (r'{"a": [1, {"b": "x\udc00"}]}', r'a.1.b: found "x\uDC00", expected text of whole characters'),
        (r'{"a": {"\uD834x": 1}}', r'a: found "\uD834x", expected text of whole characters'),
        ('{"a": "\ud800"}', r'a: found "\uD800", expected text of whole characters'),
    ],
)
def test_what_is_refused(text, complaint):
    with pytest.raises(InputError) as refused:
        parse_json(text, "f.json")
    message = str(refused.value)
    assert message.startswith(f"f.json: {complaint}") and message.isprintable()


def test_whole_characters_and_the_same_key_in_other_objects_are_taken():
    text = r'{"a": "\ud83d\ude00", "b": {"a": "\\ud800"}, "c": [{"a": 1}, {"a": 1}]}'
    assert parse_json(text, "f") == {"a": "\U0001f600", "b": {"a": r"\ud800"}, "c": [{"a": 1}, {"a": 1}]}


def test_a_key_that_stands_twice_in_a_scenarios_configuration_is_refused_too():
    changes = {"rollout.policy": "hawkbit", "rollout.config": '{"amountGroups": 2, "amountGroups": 3}'}
    told = r"rollout\.config: found .*, expected a JSON object with each key once, not amountGroups twice$"
    with pytest.raises(InputError, match=told):
        Scenario.load("escooter-120k").with_(changes)
