"""`simlib policy trace`, `dry-run` and `export`: the answers, the files, and one line for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]
MENDER = {
    "service": "mender",
    "name": "n",
    "artifact_name": "a",
    "phases": [
        {"batch_size": 5, "start_ts": "2026-01-05T00:00:00Z"},
        {"batch_size": 15, "start_ts": "2026-01-05T12:00:00Z"},
        {"start_ts": "2026-01-06T12:00:00Z"},
    ],
}
AWS = {
    "service": "aws-iot",
    "jobExecutionsRolloutConfig": {"maximumPerMinute": 1000},
    "abortConfig": {
        "criteriaList": [
            {
                "failureType": "FAILED",
                "action": "CANCEL",
                "minNumberOfExecutedThings": 4,
                "thresholdPercentage": 50,
            }
        ]
    },
    "timeoutConfig": {"inProgressTimeoutInMinutes": 20},
}
STAGED = {
    "service": "staged",
    "interval": "1 min",
    "deadline": "1 h",
    "groups": [
        {"share": 0.5, "success_threshold": 0.5, "error_threshold": 0.1, "min_sample": 2, "soak": "10 min"},
        {"share": "rest", "success_threshold": 0.5, "error_threshold": 0.1, "min_sample": 2, "soak": 0},
    ],
}
EVENTS = "time_ms,device,status\n"
LOG = """time_ms,device,status
0,0,started
60000,0,succeeded
90000,1,started
100000,2,offered
120000,1,failed
130000,2,started
140000,5,started
150000,2,failed
160000,5,failed
170000,4,started
"""


@pytest.fixture
def files(here: Path) -> Path:
    for name, config in (("mender", MENDER), ("aws", AWS), ("staged", STAGED)):
        (here / f"{name}.json").write_text(json.dumps(config))
    (here / "log.csv").write_text(LOG)
    return here


def test_a_trace_has_groups_releases_and_decisions(files: Path, simlib: Call):
    half_day = 43_200_000
    assert simlib("policy trace mender.json --json").json == {
        "groups": [{"group": 1, "size": 50}, {"group": 2, "size": 150}, {"group": 3, "size": 800}],
        "releases": [
            {"time_ms": 0, "count": 50, "cumulative": 50},
            {"time_ms": half_day, "count": 150, "cumulative": 200},
            {"time_ms": 3 * half_day, "count": 800, "cumulative": 1000},
        ],
        "decisions": [
            {"time_ms": 0, "decision": "open", "group": 1, "reason": ""},
            {"time_ms": half_day, "decision": "open", "group": 2, "reason": ""},
            {"time_ms": 3 * half_day, "decision": "open", "group": 3, "reason": ""},
            {"time_ms": 3 * half_day, "decision": "finish", "group": None, "reason": ""},
        ],
    }
    early = simlib("policy trace mender.json --devices 101 --until", half_day, "--json").json
    assert [row["count"] for row in early["releases"]] == [5, 15]
    assert len(simlib("policy trace mender.json --json --until", half_day - 1).json["releases"]) == 1


def test_a_person_is_shown_tables(files: Path, simlib: Call):
    lines = [line.split() for line in simlib("policy trace mender.json").out.splitlines()]
    assert ["1", "d", "12:00:00", "open", "3"] in lines
    assert ["1", "d", "12:00:00", "finish", "all"] in lines
    assert ["0", "d", "12:00:00", "150", "200"] in lines
    (files / "slow.json").write_text(
        json.dumps(AWS | {"jobExecutionsRolloutConfig": {"maximumPerMinute": 1}})
    )
    out = simlib("policy trace slow.json --devices 100").out
    assert "… 88 more" in out and "0 d 01:40:00        1     100" in out


def test_events_are_in_the_services_words_and_in_any_order(files: Path, simlib: Call):
    rows = [f"{500_000 + d},{d},{'failed' if d < 2 else 'SUCCEEDED'}" for d in range(4)]
    (files / "events.csv").write_text(EVENTS + "\n".join(reversed(rows)))
    decisions = simlib("policy trace aws.json --devices 10 --events events.csv --json").json["decisions"]
    assert [(d["time_ms"], d["decision"], d["group"]) for d in decisions][-1] == (500_003, "cancel", None)
    (files / "events.csv").write_text(EVENTS + "\n".join(rows[1:]))
    decisions = simlib("policy trace aws.json --devices 10 --events events.csv --json").json["decisions"]
    assert [d["decision"] for d in decisions] == ["open"]


def test_aws_events_may_set_step_timers(files: Path, simlib: Call):
    criterion = AWS["abortConfig"]["criteriaList"][0] | {
        "failureType": "TIMED_OUT",
        "minNumberOfExecutedThings": 1,
    }
    (files / "timed.json").write_text(json.dumps(AWS | {"abortConfig": {"criteriaList": [criterion]}}))
    header = "time_ms,device,status,step_timeout_minutes\n"
    steps = ["0,0,IN_PROGRESS,", "300000,0,IN_PROGRESS,7", "600000,0,IN_PROGRESS,5", "780000,0,IN_PROGRESS,9"]
    for count, minute in ((1, 20), (2, 12), (3, 15), (4, 20)):
        (files / "steps.csv").write_text(header + "\n".join(steps[:count]))
        made = simlib("policy trace timed.json --devices 1 --events steps.csv --json").json["decisions"]
        assert made[-1] | {"reason": ""} == {
            "time_ms": minute * 60_000,
            "decision": "cancel",
            "group": None,
            "reason": "",
        }


def test_a_dry_run_tells_what_would_have_been_decided_and_who_spared(files: Path, simlib: Call):
    made = simlib("policy dry-run staged.json log.csv --json").json
    assert made["groups"] == [{"group": 1, "size": 3}, {"group": 2, "size": 3}]
    assert made["log"] == {"rows": 10}
    stop = made["stop"]
    assert (stop["time_ms"], stop["decision"]) == (120_000, "cancel")
    assert (stop["offered"], stop["started"], stop["succeeded"], stop["failed"]) == (3, 2, 1, 1)
    assert stop["later"] == {"offered": 2, "started": 3, "failed": 2}
    assert stop["spared"] == {"devices": 3, "failed": 2, "silent": 1}
    assert made["decisions"][-1] == {k: v for k, v in stop.items() if k not in ("later", "spared")}
    out = simlib("policy dry-run staged.json log.csv").out
    assert "the first stop, cancel, after 0 d 00:02:00" in out
    assert "devices it would have spared" in out
    nothing = simlib("policy dry-run staged.json log.csv --until 119999")
    assert "nothing would have stopped this rollout" in nothing.out


def test_a_logs_own_groups_are_taken(files: Path, simlib: Call):
    lines = LOG.splitlines()
    own = [f"{line},{1 if line.split(',')[1] in '05' else 2}" for line in lines[1:]]
    (files / "own.csv").write_text("\n".join([f"{lines[0]},group", *own]))
    made = simlib("policy dry-run staged.json own.csv --json").json
    assert made["groups"] == [{"group": 1, "size": 2}, {"group": 2, "size": 4}]
    assert (made["stop"]["time_ms"], made["stop"]["spared"]["devices"]) == (180_000, 0)


def test_an_export_goes_to_standard_output_and_what_is_lost_to_standard_error(files: Path, simlib: Call):
    answer = simlib("policy export smoke --service hawkbit")
    assert next(iter(answer.json.items())) == ("service", "hawkbit")
    lost = answer.err.splitlines()
    assert lost and all(line.startswith("cannot be expressed: ") for line in lost)
    shown = simlib("policy export smoke --service hawkbit --json")
    assert shown.err == ""
    assert shown.json == {
        "service": "hawkbit",
        "config": answer.json,
        "lost": [line.removeprefix("cannot be expressed: ") for line in lost],
        "out": None,
    }


def test_an_exported_file_is_traced_and_not_written_over(files: Path, simlib: Call, refuses: Call):
    answer = simlib("policy export smoke --service aws-iot --out out.json")
    assert answer.err == "" and "cannot be expressed: rollout." in answer.out
    assert simlib("policy trace out.json --json").json["groups"] == [{"group": 1, "size": 1000}]
    refuses(2, "policy export smoke --service aws-iot --out out.json", "out.json: found an existing file")
    made = simlib("policy export smoke --service mender --out out.json --force --json").json
    assert (made["out"], json.loads((files / "out.json").read_text())) == ("out.json", made["config"])


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("trace absent.json", ("absent.json: found no such file",)),
        ("trace words.txt", ("words.txt: found text that is not JSON",)),
        ("trace none.json", ("none.json: service: found no such key, expected one of staged, hawkbit",)),
        ("trace odd.json", ('odd.json: service: found "hawkbat", expected one of staged, hawkbit',)),
        ("trace extra.json", ("extra.json: phase: found an unknown key, expected phases",)),
        ("trace mender.json --devices 0", ("--devices: found 0, expected 1 to",)),
        ("trace mender.json --devices ten", ("--devices",)),
        ("trace mender.json --until -1", ("--until",)),
        ("trace mender.json --events absent.csv", ("absent.csv: found no such file",)),
        ("trace mender.json --events log.csv", ("log.csv: line 2: status",)),
        ("trace mender.json --events noise", ("noise: found bytes that are not text at offset 0",)),
        ("trace aws.json --devices 4 --events far.csv", ("far.csv: line 2: device: found", "0 to 3")),
        ("dry-run staged.json empty.csv", ("empty.csv: found no rows",)),
        ("dry-run staged.json strange.csv", ("strange.csv: line 2: status", "offered, started")),
        ("dry-run staged.json third.csv", ("third.csv: group of device 0: found 3, expected 1 to 2",)),
        ("export smoke --service hawkbat", ('--service: found "hawkbat", expected one of staged',)),
        ("export absent --service mender", ("absent",)),
        ("export smoke --service mender --out no/x.json", ("no/x.json: found no folder",)),
    ],
)
def test_what_is_wrong_is_one_line(files: Path, refuses: Call, command: str, names: tuple[str, ...]):
    for name, config in (
        ("none", {key: value for key, value in MENDER.items() if key != "service"}),
        ("odd", MENDER | {"service": "hawkbat"}),
        ("extra", MENDER | {"phase": []}),
    ):
        (files / f"{name}.json").write_text(json.dumps(config))
    (files / "far.csv").write_text(EVENTS + "0,4,QUEUED\n")
    (files / "empty.csv").write_text(EVENTS)
    (files / "strange.csv").write_text(EVENTS + "0,0,IN_PROGRESS\n")
    (files / "third.csv").write_text("time_ms,device,status,group\n0,0,started,3\n")
    refuses(2, f"policy {command}", *names)
