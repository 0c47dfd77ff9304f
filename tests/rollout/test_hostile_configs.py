"""What a service would refuse, and what is no configuration at all, ends with one line that says why."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simlib.cli.main import main
from simlib.errors import InputError
from simlib.rollout.export import export
from simlib.rollout.registry import dictated, json_of, pulls, service_named, service_names
from simlib.rollout.trace import trace
from simlib.scenario import Scenario
from simlib.scenario.json_text import parse_json

DAY = 86_400_000
RAMP: dict[str, Any] = {
    "baseRatePerMinute": 50,
    "incrementFactor": 2,
    "rateIncreaseCriteria": {"numberOfNotifiedThings": 1000},
}
CRITERION: dict[str, Any] = {
    "failureType": "FAILED",
    "action": "CANCEL",
    "minNumberOfExecutedThings": 10,
    "thresholdPercentage": 20,
}
SCHEDULE: dict[str, Any] = {
    "startTime": "2026-01-31T03:00",
    "endTime": "2026-02-28T03:00",
    "endBehavior": "CANCEL",
    "maintenanceWindows": [{"startTime": "cron(0 3 * * ? *)", "durationInMinutes": 60}],
}
NEBRASKA: dict[str, Any] = {
    "policy_period_interval": "15 minutes",
    "policy_max_updates_per_period": 2,
    "policy_update_timeout": "60 minutes",
}
ONE_IN_A_HUNDRED: list[dict[str, Any]] = [
    {"batch_size": 1, "start_ts": "2026-01-05T00:00:00Z"},
    {"start_ts": "2026-01-06T00:00:00Z"},
]
VALUES: list[Any] = [
    None, True, -1, 0, 1, 1.5, 0.5, 101, 1001, 10**30, 1e308, "<1e400>", "<-0>", "<1E-400>",
    "", "x", "5", "-1", "1 d", "101", "99999999999 d", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z",
    "2026-01-05T00:00:00+99:00", "\n\u2028\x1b[31m", "\ud800", "\u0663", "u" * 999,
    [], {}, [[]], [None], {"a": 1},
]  # fmt: skip


def exported(service: str) -> dict[str, Any]:
    """A configuration with as many keys as simlib itself writes, and AWS's others."""
    config = json.loads(json_of(export(Scenario.load("escooter-120k").spec, service).config))
    config.pop("service", None)
    if service == "aws-iot":
        config["schedulingConfig"] = SCHEDULE
        config["jobExecutionsRetryConfig"] = {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 3}]}
        config["simlib"] = {"rounding": "ceil", "overshoot": "one", "abortComparison": "exceeds"}
    if service == "hawkbit":
        config["groups"] = config["groups"][:2]
        config["groups"][1]["targetPercentage"] = 99
    return dict(config)


def places(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values in a document, but for that of the whole."""
    inside = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in inside:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(document: Any, path: tuple[str | int, ...], value: Any = ..., extra: str = "") -> Any:
    """A copy with another value at `path` (without it: `...`), or a further key beside it."""
    document = copy.deepcopy(document)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if extra:
        if isinstance(parent, dict):
            parent[extra] = value
    elif value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return document


def text_of(document: Any) -> str:
    text = json.dumps(document)
    for number in ("1e400", "-0", "1E-400"):
        text = text.replace(f'"<{number}>"', number)
    return text


@pytest.mark.parametrize("service", service_names())
def test_whatever_stands_anywhere_is_taken_or_refused_in_one_line(service: str):
    offered, document = service_named(service), exported(service)
    variants = [changed(document, path, value) for path in places(document) for value in VALUES]
    variants += [changed(document, path) for path in places(document)]
    variants += [changed(document, path, 1, "unheardOf") for path in places(document)]
    refused = 0
    for variant in variants:
        try:
            config = offered.read(parse_json(text_of(variant), "file.json"), "file.json")
            sizes = offered.sizes(config, 150)
            assert sum(sizes) == 150 and min(sizes) >= 0
            trace(offered.policy(config, sizes), sizes, None, 20 * DAY)
        except InputError as error:
            refused += 1
            message = str(error)
            assert message.startswith("file.json: ") and message.isprintable() and len(message) < 1500, (
                message
            )
            assert "found " in message and "expected " in message and len(message) < 1500, message
    assert refused > len(variants) // 4


BAD = {
    "aws-iot": {
        "maximumPerMinute": [
            {"jobExecutionsRolloutConfig": {"maximumPerMinute": n}} for n in (0, -1, 1001, 1.5, "50", True)
        ],
        "baseRatePerMinute": [
            {"jobExecutionsRolloutConfig": {"exponentialRate": {**RAMP, "baseRatePerMinute": n}}}
            for n in (0, 1001)
        ],
        "incrementFactor": [
            {"jobExecutionsRolloutConfig": {"exponentialRate": {**RAMP, "incrementFactor": n}}}
            for n in (1, 1.05, 1.15, 5.1, 6, "2")
        ],
        "rateIncreaseCriteria": [
            {"jobExecutionsRolloutConfig": {"exponentialRate": {**RAMP, "rateIncreaseCriteria": c}}}
            for c in ({}, {"numberOfNotifiedThings": 0}, {"numberOfFailedThings": 5})
        ],
        "inProgressTimeoutInMinutes": [
            {"timeoutConfig": {"inProgressTimeoutInMinutes": n}} for n in (0, 10_081, 1.5)
        ],
        "criteriaList": [
            {"jobExecutionsRetryConfig": {"criteriaList": [{"failureType": kind, "numberOfRetries": n}]}}
            for kind, n in (("FAILED", 11), ("ALL", 12), ("FAILED", -1), ("REJECTED", 1))
        ]
        + [
            {
                "jobExecutionsRetryConfig": {
                    "criteriaList": [
                        {"failureType": "FAILED", "numberOfRetries": 6},
                        {"failureType": "TIMED_OUT", "numberOfRetries": 5},
                    ]
                }
            }
        ],
        "abortConfig": [
            {"abortConfig": {"criteriaList": [{**CRITERION, key: value}]}}
            for key, value in (
                ("failureType", "SUCCEEDED"),
                ("action", "PAUSE"),
                ("minNumberOfExecutedThings", 0),
                ("thresholdPercentage", 101),
                ("thresholdPercentage", -1),
            )
        ],
        "durationInMinutes": [
            {"schedulingConfig": {**SCHEDULE, "maintenanceWindows": [{**window, "durationInMinutes": n}]}}
            for n in (0, 1431)
            for window in SCHEDULE["maintenanceWindows"]
        ],
        "endTime": [
            {"schedulingConfig": {**SCHEDULE, "endTime": end}}
            for end in ("2026-01-31T03:29", "2028-02-02T03:00", "2025-01-01T00:00")
        ],
    },
    "hawkbit": {
        "expression": [
            {"groups": [{"targetPercentage": 100, key: {"condition": "THRESHOLD", "expression": value}}]}
            for key in ("successCondition", "errorCondition")
            for value in ("101", "-1", "10.5", "10%", "", 50.5)
        ],
        "targetPercentage": [{"groups": [{"targetPercentage": n}]} for n in (0, -1, 100.1, "50")],
        "groups": [
            {"groups": [{"targetPercentage": n} for n in (5, 15, 30)]},
            {"groups": [{"targetPercentage": 100} for _ in range(501)]},
            {"groups": []},
        ],
        "amountGroups": [{"amountGroups": n} for n in (0, -1, 501)],
        "action": [
            {"groups": [{"targetPercentage": 100, "errorAction": {"action": "NEXTGROUP"}}]},
            {"groups": [{"targetPercentage": 100, "successAction": {"action": "STOP"}}]},
        ],
    },
    "mender": {
        "batch_size": [
            {
                "phases": [
                    {"batch_size": n, "start_ts": "2026-01-05T01:00:00Z"},
                    {"start_ts": "2026-01-05T02:00:00Z"},
                ]
            }
            for n in (0, -1, 101, 10.5, "10")
        ],
        "phases": [
            {
                "phases": [
                    {"batch_size": 60, "start_ts": "2026-01-05T01:00:00Z"},
                    {"batch_size": 50, "start_ts": "2026-01-05T02:00:00Z"},
                ]
            },
            {
                "phases": [
                    {"batch_size": 10, "start_ts": "2026-01-05T02:00:00Z"},
                    {"start_ts": "2026-01-05T01:00:00Z"},
                ]
            },
        ],
        "retries": [{"retries": n} for n in (-1, 1.5, "2")],
    },
    "azure": {
        "devicesFailed": [
            {"rollbackPolicy": {"failure": {"devicesFailedPercentage": p, "devicesFailedCount": n}}}
            for p, n in ((101, 1), (-1, 1), (1, -1), (1.5, 1), ("1", 1))
        ]
    },
    "nebraska": {
        "policy_period_interval": [
            {**NEBRASKA, "policy_period_interval": text}
            for text in ("", "15", "-5 minutes", "15 fortnights", 15)
        ],
        "policy_max_updates_per_period": [
            {**NEBRASKA, "policy_max_updates_per_period": n} for n in (-1, 1.5, "2")
        ],
        "policy_update_timeout": [{**NEBRASKA, "policy_update_timeout": text} for text in ("", "60", None)],
    },
}


@pytest.mark.parametrize("service", BAD)
def test_the_limits_of_the_service_are_kept_and_the_field_is_named(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = tmp_path / "config.json"
    for field, documents in BAD[service].items():
        for document in documents:
            message = refusal(config, {"service": service, **document}, capsys)
            assert field in message.removeprefix(str(config)), (document, message)


def refusal(path: Path, document: Any, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the command refuses a document (or the bytes of one)."""
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    assert main(["policy", "trace", str(path), "--devices", "1000", "--json"]) == 2, document
    out, message = capsys.readouterr()
    assert out == "" and message.count("\n") == 1 and "Traceback" not in message, message
    assert message.startswith(f"{path}: ") and "found " in message and "expected " in message, message
    return message


def at_rate(number: bytes) -> bytes:
    """A job with this number of things a minute."""
    return b'{"service": "aws-iot", "jobExecutionsRolloutConfig": {"maximumPerMinute": %s}}' % number


TEXTS = {
    "empty": b"",
    "blank": b" \n\t",
    "no-object": b"[]",
    "null": b"null",
    "number": b"1",
    "utf-16": '{"service": "aws-iot"}'.encode("utf-16"),
    "latin-1": b'{"service": "aws-iot", "description": "\xe9"}',
    "nan": at_rate(b"NaN"),
    "infinity": at_rate(b"-Infinity"),
    "digits": at_rate(b"9" * 5000),
    "exponent": at_rate(b"1e999999999"),
    "exponents": at_rate(b"1e99999999999999999999"),
    "tiny": b'{"service": "hawkbit", "groups": [{"targetPercentage": 1e-99999999}]}',
    "tiny-share": b'{"service": "staged", "groups": [{"share": 1e-99999999}, {"share": "rest"}]}',
    "deep-list": b"[" * 100_000,
    "deep": b'{"service": "aws-iot", "description": %s%s}' % (b"[" * 99_999, b"]" * 99_999),
    "deep-object": b'{"a":' * 9_999 + b"1" + b"}" * 9_999,
    "more": b'{"service": "aws-iot"} x',
    "nul": b'{"service": "aws-iot"}\0',
    "comma": b'{"service": "aws-iot",}',
    "control": b'{"service": "aws-iot", "description": "a\x01b"}',
    "no-service": b"{}",
    "service-null": b'{"service": null}',
    "service-list": b'{"service": ["aws-iot"]}',
    "service-module": b'{"service": "aws_iot"}',
    "service-case": b'{"service": "AWS-IoT"}',
    "service-surrogate": b'{"service": "\\ud800"}',
    "key-surrogate": b'{"service": "aws-iot", "\\ud800": 1}',
    "key-escape": b'{"service": "aws-iot", "x\\n\\u001b[31m": 1}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_no_configuration_is_refused_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    message = refusal(tmp_path / "config.json", TEXTS[name], capsys)
    assert message.removesuffix("\n").isprintable() and len(message) < 1000


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = tmp_path / "config.json"
    config.write_bytes(b'\xef\xbb\xbf{"service": "aws-iot"}')
    assert main(["policy", "trace", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["releases"]


def test_a_key_that_stands_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = tmp_path / "config.json"
    for text in (
        b'{"service": "aws-iot", "service": "hawkbit", "amountGroups": 2}',
        at_rate(b'5, "maximumPerMinute": 7'),
    ):
        refusal(config, text, capsys)


def test_a_phase_that_rounds_to_nobody_is_refused_with_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"service": "mender", "phases": ONE_IN_A_HUNDRED}))
    assert main(["policy", "trace", str(config), "--devices", "50"]) == 2
    assert capsys.readouterr().err.startswith(f"{config}: phases.0.batch_size: found ")
    log = tmp_path / "log.csv"
    log.write_text("time_ms,device,status\n5,0,success\n")
    assert main(["policy", "dry-run", str(config), str(log), "--devices", "50"]) == 2
    assert capsys.readouterr().err.startswith(f"{config}: phases.0.batch_size: found ")


@pytest.mark.parametrize(
    ("service", "document", "key"),
    [
        ("mender", {"phases": ONE_IN_A_HUNDRED}, "phases.0.batch_size"),
        ("hawkbit", {"amountGroups": 1}, "amountGroups"),
    ],
)
def test_a_fleet_that_the_service_refuses_is_refused_with_the_scenario(
    service: str, document: dict[str, Any], key: str
):
    rollout = {"rollout.policy": service, "rollout.config": json.dumps(document)}
    devices = 50 if service == "mender" else 20_001
    spec = Scenario.load("escooter-120k").with_({"devices": devices, **rollout}).spec
    for ask in (dictated, pulls):
        with pytest.raises(InputError, match=rf"^{spec.name}: rollout\.config: {key}: found "):
            ask(spec)


def test_the_limit_named_is_the_services(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for number in (1001, 2_000_000_000, 0, -5):
        document = {"service": "aws-iot", "jobExecutionsRolloutConfig": {"maximumPerMinute": number}}
        assert refusal(tmp_path / "config.json", document, capsys).endswith("expected 1 to 1000\n")


def test_no_group_of_an_amount_is_larger_than_the_quota():
    hawkbit = service_named("hawkbit")
    with pytest.raises(InputError, match="amountGroups"):
        hawkbit.sizes(hawkbit.read({"amountGroups": 2}, "c"), 40_001)


def test_messages_have_no_words_of_the_machinery(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    told = {name: refusal(tmp_path / f"{name}.json", TEXTS[name], capsys) for name in TEXTS}
    inner = ("sys.", "<class", "None", "Input should", "raw data")
    assert {name: text for name, text in told.items() if any(word in text for word in inner)} == {}
    for name, found in (("digits", "too long"), ("exponents", "out of range")):
        assert told[name].endswith(f": found a number that is {found}, expected JSON\n")


def test_values_are_shown_as_json_has_them_and_long_keys_are_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for document, told in (
        ({"service": None}, "service: found null, expected one of "),
        ({"service": {}}, "service: found an object, expected one of "),
        ({"groups": [None]}, "groups.0: found null, expected an object\n"),
        ({"groups": {"a": 1}}, "groups: found an object, expected a list\n"),
        ({"groups": [{"targetPercentage": [None, {}]}]}, "found [null, an object], expected a number"),
        ({"k" * 999: 1}, f": {'k' * 80}…: found an unknown key, expected one of "),
    ):
        assert told in refusal(tmp_path / "c.json", {"service": "hawkbit", **document}, capsys)
