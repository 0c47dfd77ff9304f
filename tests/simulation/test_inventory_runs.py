"""A fleet from a file: what the file says stands, what it does not say is drawn, and a bad file says so."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from simlib.cli import main
from simlib.results import Run
from simlib.scenario import Scenario
from simlib.study import run

SCENARIO = """
schema = 1
name = "ours"
devices = 7 # the file has its own number
horizon = "6 d"

[release]
size = "72 KiB"
base_size = "68 KiB"
steps = ["minor", "patch"]

[[zones]]
name = "Berlin"
utc_offset = "+01:00"
share = 0.5

[[zones]]
name = "Tokyo"
utc_offset = "+09:00"
share = 0.5

[[habits]]
name = "away"
dormant_for = "60 d"

[[cohorts]]
name = "a"
share = 0.5
hardware = "rev-a"
slot_size = "128 KiB"
download_size = "64 KiB"
base_mix = [0.5, 0.5]
cell = "lipo-500"
habit = "away"

[[cohorts]]
name = "b"
share = 0.5
hardware = "rev-b"
slot_size = "128 KiB"
download_size = "64 KiB"
base_mix = [0.5, 0.5]

[inventory]
file = "fleet.csv"
columns = { device = "serial", version = "fw" }
seen_before = "10 d"

[[rollout.groups]]
share = 0.5
success_threshold = 0.5
error_threshold = 1

[[rollout.groups]]
error_threshold = 1
"""
ROWS = """serial,hardware,fw,free_storage,battery,last_seen,zone,group,state
d0,rev-a,1.0.0,200 KiB,0.9,2026-11-01T10:00:00Z,Berlin,1,pending
d1,rev-a,1.1.0,200 KiB,0.9,2026-11-01T09:00:00Z,Tokyo,1,
d2,rev-b,1.1.1,,,2026-11-01T10:00:00Z,Berlin,2,updated
d3,rev-b,1.1.0,100,,2026-11-01T10:00:00Z,Berlin,1,
d4,rev-a,1.0.0,200 KiB,0.9,2026-06-01T10:00:00Z,Berlin,1,
d5,rev-b,1.0.0,,,2026-11-01T10:00:00Z,Tokyo,2,bricked
d6,rev-x,1.0.0,,,2026-11-01T10:00:00Z,Tokyo,2,
d7,rev-b,9.9.9,,,2026-11-01T10:00:00Z,Tokyo,2,
d0,rev-b,1.0.0,,,2026-11-01T10:00:00Z,Tokyo,2,
d8,rev-b,1.0.0,,,2026-11-01T10:00:00Z,Nowhere,7,
"""


@pytest.fixture
def place(tmp_path) -> Path:
    (tmp_path / "ours.toml").write_text(SCENARIO, encoding="utf-8")
    (tmp_path / "fleet.csv").write_text(ROWS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def ours(place) -> Run:
    return run(Scenario.load(place / "ours.toml"))


def test_the_rows_that_can_be_used_are_the_fleet(ours):
    assert list(ours.devices["name"]) == ["d0", "d1", "d2", "d3", "d4", "d5", "d8"]
    assert ours.summary["devices"] == 7
    told = ours.summary["inventory"]
    assert told["sha256"] == sha256(ROWS.encode()).hexdigest()
    assert (told["rows_read"], told["rows_used"]) == (10, 7)
    assert {each["reason"] for each in told["dropped"]} == {
        "unknown-hardware",
        "unknown-version",
        "duplicate-device",
    }


def test_what_a_row_says_stands(ours):
    devices = ours.devices.set_index("name")
    assert list(devices.loc[["d0", "d1", "d3"], "base_version"]) == ["1.0.0", "1.1.0", "1.1.0"]
    assert list(devices.loc[["d0", "d1"], "zone"]) == ["Berlin", "Tokyo"]
    assert list(devices.loc[["d0", "d2"], "group"]) == [1, 2]
    assert list(devices.loc[["d0", "d3"], "cohort"]) == ["a", "b"]


def test_storage_that_is_not_free_defers(ours):
    short = ours.devices.set_index("name").loc["d3"]
    assert (short["outcome"], short["reason"]) == ("deferred", "storage-short")


def test_who_was_not_seen_for_months_is_still_away(ours):
    assert ours.devices.set_index("name").loc["d4", "outcome"] == "pending"
    assert ours.devices.set_index("name").loc["d0", "outcome"] == "updated"


def test_a_rollout_starts_from_the_states_that_were_observed(ours):
    devices = ours.devices.set_index("name")
    updated, bricked = devices.loc["d2"], devices.loc["d5"]
    assert (updated["outcome"], updated["finished_ms"], updated["attempts"]) == ("updated", 0, 0)
    assert (bricked["outcome"], bricked["reason"], bricked["final_version"]) == (
        "bricked",
        "observed",
        "none",
    )
    assert ours.groups.loc[1, "updated"] >= 1
    assert list(ours.timeline[["updated", "bricked"]].iloc[0]) == [1, 1]
    assert ours.timeline["updated"].iloc[-1] == ours.summary["outcomes"]["updated"]


def test_what_was_observed_counts_for_the_gates(place):
    """Nobody is left to be updated in the first group, so the second opens after the soak."""
    rows = ROWS.splitlines()
    rows[1:] = [f"d{n},rev-b,1.1.1,,,2026-11-01T10:00:00Z,Berlin,1,updated" for n in range(9)] + [
        "d9,rev-b,1.0.0,,,2026-11-01T10:00:00Z,Berlin,1,failed",
        "d10,rev-b,1.0.0,,,2026-11-01T10:00:00Z,Berlin,2,",
    ]
    (place / "fleet.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    result = run(Scenario.load(place / "ours.toml"))
    assert result.groups.loc[1, "opened_ms"] == 3_600_000
    assert result.devices.set_index("name").loc["d10", "outcome"] == "updated"


def test_a_saved_run_of_an_inventory_is_explained_and_runs_again(place, capsys):
    out = place / "run"
    assert main(["run", str(place / "ours.toml"), "--out", str(out), "--json"]) == 0
    digest = json.loads(capsys.readouterr().out)["digest"]
    for device in range(7):
        assert main(["explain", str(out), "--device", str(device)]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["run", str(out / "scenario.toml"), "--out", str(place / "again"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == digest


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"serial,hardware,fw\n", "row"),
        (b"a,b,c\n1,2,3\n", "serial"),
        (b"\x00\x01\x02" * 50, "not text"),
        (b"serial,fw,fw\nx,1.0.0,1.0.0\n", "fw"),
        (b"serial,hardware,fw\nd,rev-zz,1.0.0\n", "unknown-hardware"),
    ],
)
def test_a_file_that_is_no_fleet_is_one_line_and_status_2(place, capsys, content, says):
    (place / "fleet.csv").write_bytes(content)
    assert main(["run", str(place / "ours.toml"), "--out", str(place / "run")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and says in told and "expected" in told
    assert not (place / "run").exists()


def test_another_encoding_and_another_separator_are_stated_repairs(place):
    text = ROWS.replace(",", ";").replace("d8", "Gerät-8")
    (place / "fleet.csv").write_bytes(text.encode("cp1252"))
    result = run(Scenario.load(place / "ours.toml"))
    assert "Gerät-8" in set(result.devices["name"])
    repaired = {each["what"] for each in result.summary["inventory"]["repaired"]}
    assert len(repaired) >= 3  # the encoding, the separator, and a zone that nobody knows
