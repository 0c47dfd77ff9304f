"""A rollout taken to an update service: the file loads back to the same policy, and what is lost is told."""

from __future__ import annotations

from decimal import Decimal
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.rollout.events import Event
from simlib.rollout.export import export, json_text
from simlib.rollout.policy import Told
from simlib.rollout.registry import configured, service_named, service_names
from simlib.rollout.service import Service
from simlib.rollout.trace import Trace, trace
from simlib.scenario import Scenario
from simlib.scenario.json_text import parse_json
from tests.amounts import examples

DAY = 86_400_000
TIME = attrgetter("time_ms")
SMOKE = Scenario.load("smoke")
PERCENT = st.integers(1, 20).map(lambda n: Decimal(n) / 100)
GROUP = st.fixed_dictionaries(
    {
        "share": PERCENT,
        "success_threshold": PERCENT,
        "error_threshold": PERCENT,
        "min_sample": st.integers(1, 500),
        "soak": st.integers(0, 3 * DAY),
    }
)
ROLLOUTS = st.lists(GROUP, min_size=1, max_size=4).map(
    lambda groups: [*groups[:-1], groups[-1] | {"share": "rest"}]
)


FAILED = st.tuples(st.integers(0, DAY), st.integers(0, 49)).map(
    lambda at: Event(*at, Told.STARTED | Told.FAILED)
)
FAILURES = st.none() | st.lists(FAILED, max_size=40).map(lambda events: sorted(events, key=TIME))


def traced(service: Service, config: Any, devices: int, events: list[Event] | None = None) -> Trace:
    sizes = service.sizes(config, devices)
    return trace(service.policy(config, sizes), sizes, events, until_ms=30 * DAY)


@pytest.mark.parametrize("name", service_names())
@settings(max_examples=examples(30))
@given(ROLLOUTS, st.integers(50, 5000), FAILURES)
def test_what_is_exported_loads_back_to_the_trace_of_the_scenarios_own_policy(
    name: str, groups: list[dict[str, object]], devices: int, events: list[Event] | None
):
    scenario = SMOKE.with_({"rollout.groups": groups, "devices": devices, "rollout.policy": name})
    made = export(scenario.spec, name)
    assert next(iter(made.config.items())) == ("service", name)
    back = parse_json(json_text(made.config), "exported")
    assert back.pop("service") == name
    own = traced(*configured(scenario.spec), devices, events)
    assert own.decisions
    service = service_named(name)
    assert traced(service, service.read(back, "exported"), devices, events) == own


AWS = '{"jobExecutionsRolloutConfig": {"maximumPerMinute": 7}}'


def test_a_configuration_of_that_service_in_the_scenario_is_the_export():
    scenario = SMOKE.with_({"rollout.policy": "aws-iot", "rollout.config": AWS})
    made = export(scenario.spec, "aws-iot")
    assert made.config == {"service": "aws-iot", "jobExecutionsRolloutConfig": {"maximumPerMinute": 7}}
    assert made.lost == ()


def test_of_another_services_configuration_the_groups_are_taken_along_and_the_rest_is_told():
    phases = '[{"batch_size": 10, "start_ts": "2026-01-05T00:00:00Z"}, {"start_ts": "2026-01-05T12:00:00Z"}]'
    mender = f'{{"name": "n", "artifact_name": "a", "phases": {phases}}}'
    scenario = SMOKE.with_({"rollout.policy": "mender", "rollout.config": mender, "devices": 500})
    made = export(scenario.spec, "staged")
    groups = made.config["groups"]
    assert isinstance(groups, list)
    assert [group["share"] for group in groups] == [Decimal("0.1"), Decimal("0.9")]
    assert made.lost[0].startswith("rollout.config: of the mender configuration only the sizes")


def test_a_fleet_that_the_service_refuses_is_told_not_hidden():
    one_group = (
        '{"name": "n", "distributionSetId": 1, "targetFilterQuery": "controllerId==*", '
        '"groups": [{"name": "g", "targetPercentage": 100}]}'
    )
    scenario = SMOKE.with_({"rollout.policy": "hawkbit", "rollout.config": one_group})
    assert export(scenario.with_({"devices": 20_000}).spec, "hawkbit").lost == ()
    (lost,) = export(scenario.with_({"devices": 20_001}).spec, "hawkbit").lost
    assert lost.startswith("devices: hawkbit refuses this fleet:") and "20000" in lost


def test_a_configuration_that_the_service_would_refuse_is_refused():
    with pytest.raises(InputError, match="maximumPerMinute"):
        bad = SMOKE.with_({"rollout.policy": "aws-iot", "rollout.config": AWS.replace("7", "1001")})
        export(bad.spec, "aws-iot")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False, places=7),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(max_examples=examples(50))
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_json_is_written_exactly(document: dict[str, object]):
    assert parse_json(json_text(document), "text") == document


def test_json_is_written_for_people():
    assert json_text({"a": [1, Decimal("1.10")], "b": {}, "c": []}) == (
        '{\n  "a": [\n    1,\n    1.10\n  ],\n  "b": {},\n  "c": []\n}'
    )
