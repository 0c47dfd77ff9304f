"""`simlib compare`: strategies under common seeds, saved runs device by device, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from simlib.cli.compare import compare, register
from simlib.cli.main import app, main
from simlib.scenario import Scenario
from simlib.study.comparison import PairedComparison

SMALL = ("compare", "smoke", "--devices", "80", "--replications", "3", "--engine", "compiled")
BOTH = ("--strategies", "all-at-once,canary-1")


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    """The command, for as long as the program does not have it by itself."""
    if not any(command.callback is compare for command in app.registered_commands):
        register(app)


@pytest.fixture(scope="module")
def planned() -> PairedComparison:
    small = Scenario.load("smoke").with_({"devices": 80})
    return PairedComparison(small, ("all-at-once", "canary-1"), replications=3, engine="compiled")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[str]:
    """The same fleet with and without a check of the storage, and one under another seed."""
    where = tmp_path_factory.mktemp("runs")
    made = []
    for name, flags in (
        ("checked", []),
        ("unchecked", ["--set", "precheck.storage=false"]),
        ("other", ["--seed", "9"]),
    ):
        made.append(str(where / name))
        assert main(["run", "smoke", "--devices", "80", "--out", made[-1], *flags]) == 0
    return made


def test_json_is_one_object_with_means_differences_and_sentences(planned, capsys):
    assert main([*SMALL, *BOTH, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["baseline"], answer["replications"]) == ("all-at-once", 3)
    assert answer["strategies"] == ["all-at-once", "canary-1"]
    assert answer["seeds"] == list(planned.seeds)
    frame = planned.run()
    assert answer["sentences"] == planned.sentences(frame)
    means = {(row["strategy"], row["measure"]): row["mean"] for row in answer["summary"]}
    assert means["canary-1", "bytes_down"] == frame["bytes_down"][3:].mean()
    wanted = planned.differences(frame).set_index(["measure", "statistic"])
    for row in answer["differences"]:
        expected = wanted.loc[(row["measure"], row["statistic"]), "difference"]
        assert row["difference"] == (None if pd.isna(expected) else expected)


def test_a_person_sees_a_line_for_each_strategy_and_the_sentences(planned, capsys):
    assert main([*SMALL, *BOTH]) == 0
    out = capsys.readouterr().out
    assert "3 replications of each under the same seeds" in out and "±" in out
    assert "compared with all-at-once" in out
    for name in ("all-at-once", "canary-1"):
        assert any(line.startswith(f"  {name} ") for line in out.splitlines())
    for sentence in planned.sentences(planned.run()):
        assert sentence in out


def test_scenarios_are_compared_and_the_baseline_may_be_named(tmp_path, capsys):
    mine = tmp_path / "mine.toml"
    mine.write_text(Scenario.load("smoke").with_({"name": "mine"}).to_toml(), encoding="utf-8")
    assert main([*SMALL, str(mine), "--baseline", "mine", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["baseline"], answer["strategies"]) == ("mine", ["smoke", "mine"])
    assert {row["other"] for row in answer["differences"]} == {"smoke"}
    assert all(row["difference"] in (0, None) for row in answer["differences"])  # the same fleet


@pytest.mark.parametrize("name", ["x.parquet", "x.csv"])
def test_the_file_holds_a_row_a_replication(name, planned, tmp_path, capsys):
    path = tmp_path / name
    assert main([*SMALL, *BOTH, "--out", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    read = pd.read_parquet(path) if name.endswith("parquet") else pd.read_csv(path)
    assert read["digest"].tolist() == planned.run()["digest"].tolist()
    assert main([*SMALL, *BOTH, "--out", str(path)]) == 2
    assert "expected a new name or --force" in capsys.readouterr().err


def test_saved_runs_are_compared_by_summary_and_device_by_device(folders, capsys):
    checked, unchecked, _ = folders
    assert main(["compare", checked, unchecked, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["baseline"], answer["replications"]) == (checked, 1)
    bricked = [json.loads((Path(f) / "summary.json").read_text())["outcomes"]["bricked"] for f in folders]
    (row,) = [r for r in answer["differences"] if (r["measure"], r["statistic"]) == ("bricked", "mean")]
    assert (row["difference"], row["low"], row["high"]) == (bricked[1] - bricked[0], None, None)
    tables = [pd.read_parquet(Path(f) / "devices.parquet", columns=["outcome"]) for f in folders]
    differ = int((tables[0]["outcome"].astype(str) != tables[1]["outcome"].astype(str)).sum())
    assert sum(move["devices"] for move in answer["ended_differently"][unchecked]) == differ > 0
    assert any(f"{differ} of 80 devices ended differently" in text for text in answer["sentences"])


def test_saved_runs_have_no_intervals_and_say_so(folders, capsys):
    assert main(["compare", *folders]) == 0
    out = capsys.readouterr().out
    assert out.startswith("One run each: what follows has no confidence intervals.") and "±" not in out
    assert "are not the same devices under the same seed" in out  # the third


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["smoke"], 'found "smoke" alone, expected two or more'),
        (["smoke", "smoke"], 'scenario: found "smoke" twice'),
        (["smok", "smoke"], "nearest is smoke"),
        (["smoke", "--strategies", "own,stagd-5"], "nearest is staged-5"),
        (["smoke", *BOTH, "--replications", "0"], "replicate: found 0"),
        (["smoke", *BOTH, "--replications", "x"], '--replications: found "x"'),
        (["smoke", *BOTH, "--engine", "quick"], 'engine: found "quick"'),
        (["smoke", *BOTH, "--baseline", "own"], "baseline: found"),
        (["smoke", *BOTH, "--out", "x.txt"], 'found ".txt", expected .parquet or .csv'),
        (["smoke", *BOTH, "--set", "rollout.groups.0.share=0.1"], "found --strategies as well"),
        (["smoke", *BOTH, "--set", "devcies=3"], "devcies: found an unknown key"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, complaint, capsys):
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert complaint in captured.err and captured.err.count("\n") == 1 and captured.out == ""


@pytest.mark.parametrize(
    ("further", "complaint"),
    [
        (["smoke"], "found a scenario beside saved runs"),
        (["--strategies", "own,canary-1"], "--strategies: found the saved run"),
        (["--seed", "3"], "--seed: found the saved run"),
        (["--set", "devices=3"], "--set: found the saved run"),
        ([], "alone, expected two or more"),
    ],
)
def test_a_saved_run_is_what_it_is(further, complaint, folders, capsys):
    assert main(["compare", folders[0], *further]) == 2
    assert complaint in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(tmp_path, folders, capsys):
    assert main(["compare", folders[0], str(tmp_path)]) == 2
    assert "expected the folder of a run" in capsys.readouterr().err


def test_a_run_whose_table_was_changed_fails_verification(folders, tmp_path, capsys):
    import shutil

    changed = tmp_path / "changed"
    shutil.copytree(folders[0], changed)
    table = pd.read_parquet(changed / "devices.parquet")
    table.loc[0, "bytes_down"] += 1
    table.to_parquet(changed / "devices.parquet")
    assert main(["compare", folders[0], str(changed)]) == 1
    assert "found digest" in capsys.readouterr().err
