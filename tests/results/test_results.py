"""A run's folder holds the run, is written whole or not at all, and its digest can be recomputed."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.results import DEVICE_COLUMNS, Run, Timings, digest_of, summarise
from simlib.results.digest import TEXT_COLUMNS
from simlib.results.store import TABLES, refuse_other_run


def device_frame(n=5, **changes):
    frame = {name: ["x"] * n if name in TEXT_COLUMNS else np.arange(n) for name in DEVICE_COLUMNS}
    frame["outcome"] = ["updated"] * (n - 1) + ["bricked"]
    return pd.DataFrame(frame | changes)


def summary_of(devices, **changes):
    facts = {
        "scenario": "small",
        "seed": 3,
        "engine": "simpy",
        "stops": [],
        "events": 9,
        "timings": Timings(0.1, 0.2, 0.3, 0.7),
    }
    return summarise(devices=devices, **(facts | changes))


def made_run(**changes):
    devices = device_frame(**changes)
    tables = {name: pd.DataFrame({"time_ms": [0]}) for name in TABLES} | {"devices": devices}
    return Run("schema = 1\n", tables, summary_of(devices))


def test_the_digest_is_the_written_rule():
    frame = device_frame()
    sha = hashlib.sha256()
    for name in DEVICE_COLUMNS:
        sha.update(name.encode() + b"\0")
        for value in frame[name]:
            if isinstance(value, str):
                sha.update(value.encode() + b"\0")
            else:
                sha.update(int(value).to_bytes(8, "little", signed=True))
    assert digest_of(frame) == sha.hexdigest()


@given(st.sampled_from(DEVICE_COLUMNS), st.integers(0, 4))
def test_any_changed_value_changes_the_digest(column, row):
    frame = device_frame()
    before = digest_of(frame)
    frame.loc[row, column] = "y" if column in TEXT_COLUMNS else -7
    assert digest_of(frame) != before


def test_a_column_added_later_stays_outside_the_digest():
    assert digest_of(device_frame().assign(energy_idle_uj=1)) == digest_of(device_frame())


def test_a_saved_run_reads_back_equal(tmp_path):
    run = made_run()
    folder = run.save(tmp_path / "r")
    again = Run.load(folder)
    assert again.digest == run.digest == digest_of(again.devices)
    assert again.summary == run.summary == json.loads((folder / "summary.json").read_text())
    pd.testing.assert_frame_equal(again.devices, run.devices, check_dtype=False)
    assert all(again.devices[c].dtype == "int64" for c in DEVICE_COLUMNS if c not in TEXT_COLUMNS)


def test_saving_the_same_scenario_again_is_not_an_error(tmp_path):
    made_run().save(tmp_path / "r")
    made_run().save(tmp_path / "r")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r"]


def test_another_run_is_never_written_over(tmp_path):
    made_run().save(tmp_path / "r")
    before = {p.name: p.read_bytes() for p in (tmp_path / "r").iterdir()}
    other = made_run(attempts=7)
    with pytest.raises(InputError, match="another run"):
        other.save(tmp_path / "r")
    with pytest.raises(InputError, match="another run"):
        refuse_other_run(tmp_path / "r", "schema = 1\nseed = 2\n")
    assert {p.name: p.read_bytes() for p in (tmp_path / "r").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_a_run_that_only_calls_itself_something_else_is_the_same_run(tmp_path):
    made_run().save(tmp_path / "r")
    other = made_run()
    other.scenario_toml = 'schema = 1\ntitle = "another title"\n'
    refuse_other_run(tmp_path / "r", other.scenario_toml)
    other.save(tmp_path / "r")
    assert "another title" in Run.load(tmp_path / "r").scenario_toml


def test_an_interrupted_run_does_not_replace_a_complete_one(tmp_path):
    made_run().save(tmp_path / "r")
    with pytest.raises(InputError, match="another run"):
        made_run(attempts=0).save(tmp_path / "r")
    assert Run.load(tmp_path / "r").digest == made_run().digest


def test_a_complete_run_replaces_an_interrupted_one_of_its_scenario(tmp_path):
    part = made_run(attempts=0)
    part.summary["interrupted_at_ms"] = 5
    part.save(tmp_path / "r")
    made_run().save(tmp_path / "r")
    assert Run.load(tmp_path / "r").digest == made_run().digest


def test_saving_twice_counts_the_writing_once(tmp_path):
    run = made_run()
    for _ in range(2):
        run.save(tmp_path / "r")
        assert run.summary["total_s"] == pytest.approx(0.7 + run.summary["write_s"], abs=0.002)


def test_a_binary_scenario_in_the_way_is_refused_in_one_line(tmp_path):
    (tmp_path / "scenario.toml").write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match="another run"):
        refuse_other_run(tmp_path, "schema = 1\n")


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path):
    run = made_run()
    run.summary["outcomes"] = object()  # cannot be written as JSON
    with pytest.raises(TypeError):
        run.save(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", ["scenario.toml", "summary.json", "devices.parquet"])
def test_an_incomplete_folder_is_refused_by_the_missing_files_name(tmp_path, lost):
    folder = made_run().save(tmp_path / "r")
    (folder / lost).unlink()
    with pytest.raises(InputError, match=lost):
        Run.load(folder)


def test_a_damaged_table_is_refused_in_one_line(tmp_path):
    folder = made_run().save(tmp_path / "r")
    (folder / "devices.parquet").write_bytes(b"no table at all")
    with pytest.raises(InputError) as refused:
        Run.load(folder)
    assert "\n" not in str(refused.value)


def test_the_time_to_a_share_counts_the_whole_fleet():
    devices = device_frame(n=10, finished_ms=np.arange(10) * 100)
    summary = summary_of(devices)
    assert summary["outcomes"]["updated"] == 9 and summary["outcomes"]["bricked"] == 1
    assert (summary["time_to_50_ms"], summary["time_to_90_ms"], summary["time_to_95_ms"]) == (400, 800, None)


def test_the_time_to_a_share_is_that_of_the_confirmation_where_there_is_one():
    confirmed_ms = np.where(np.arange(10) < 5, 10 * np.arange(10), -1)
    devices = device_frame(n=10, finished_ms=np.arange(10) * 100, confirmed_ms=confirmed_ms)
    summary = summary_of(devices)
    assert (summary["time_to_50_ms"], summary["time_to_90_ms"]) == (40, 800)


def test_outcomes_name_every_outcome_and_sum_to_the_fleet():
    summary = summary_of(device_frame())
    assert sum(summary["outcomes"].values()) == summary["devices"] == 5
    assert {"updated", "reverted", "lost", "compromised"} <= set(summary["outcomes"])
