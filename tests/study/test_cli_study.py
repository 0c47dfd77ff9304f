"""`simlib study`: the table it writes, the answers it prints, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator

import distributed
import pandas as pd
import pytest

from simlib.cli.main import main
from simlib.scenario import Scenario
from simlib.study import Study

SHARE = "rollout.groups.0.share"
SMALL = ("study", "smoke", "--devices", "60", "--replications", "2")


@pytest.fixture(scope="module")
def expected() -> pd.DataFrame:
    base = Scenario.load("smoke").with_({"devices": 60})
    return Study(base).vary(SHARE, [0.05, 0.1]).vary("precheck.storage", [True, False]).replicate(2).run()


VARIED = ("--vary", f"{SHARE}=0.05,0.1", "--vary", "precheck.storage=true,false")


@pytest.mark.parametrize("name", ["x.parquet", "x.csv"])
def test_the_file_holds_the_table_of_the_library(name, expected, tmp_path, capsys):
    path = tmp_path / name
    assert main([*SMALL, *VARIED, "--out", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    if name == "x.parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(path), expected, check_exact=True)
    else:
        found = pd.read_csv(path, dtype={n: expected[n].dtype for n in expected.columns})
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_json_is_one_object_with_rows_and_intervals(expected, capsys):
    assert main([*SMALL, *VARIED, "--json", "--workers", "2"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["varied"] == [SHARE, "precheck.storage"]
    assert (answer["scenario"], answer["replications"], answer["interrupted"]) == ("smoke", 2, False)
    assert [row["digest"] for row in answer["rows"]] == expected["digest"].tolist()
    assert answer["rows"][0]["halted"] is False
    assert answer["rows"][0]["time_to_95_ms"] is None
    (first, *_) = [row for row in answer["summary"] if row["measure"] == "bytes_down"]
    assert first["mean"] == expected["bytes_down"][:2].mean()
    assert first["low"] < first["mean"] < first["high"]


def test_a_person_sees_a_line_for_each_point(capsys):
    assert main([*SMALL, "--vary", f"{SHARE}=0.05,0.1"]) == 0
    out = capsys.readouterr().out
    assert f"{SHARE} = 0.05" in out and f"{SHARE} = 0.1" in out and "±" in out


def test_values_may_be_words_lists_and_quoted_text(capsys):
    line = [
        *SMALL,
        "--vary",
        'cohorts.0.rates=["25 kB/s"],["12 kB/s","50 kB/s"]',
        "--vary",
        "faults.tear=none,all",
    ]
    assert main([*line[:-1], 'faults.tear=partial,"none"', "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    points = list(dict.fromkeys((row["cohorts.0.rates"], row["faults.tear"]) for row in rows))
    assert points == [
        (rates, tear) for rates in ('["25 kB/s"]', '["12 kB/s", "50 kB/s"]') for tear in ("partial", "none")
    ]


def test_set_changes_every_point_and_seed_is_the_first(capsys):
    assert main([*SMALL, "--seed", "7", "--set", "faults.drop=0", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["seed"] for row in rows] == [7, 8]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--vary", "faults.drop"], '--vary: found "faults.drop", expected KEY=V1,V2,...'),
        (["--vary", "faults.drop=0.1,1.5"], "vary faults.drop = 1.5: faults.drop: found 1.5"),
        (["--vary", "faults.drop=0.1,"], "found"),
        (["--replications", "0"], "replicate: found 0"),
        (["--replications", "many"], '--replications: found "many"'),
        (["--workers", "0"], "workers: found 0"),
        (["--workers", "2", "--scheduler", "localhost:1"], "--workers: found --scheduler as well"),
        (["--scheduler", "nowhere://1"], '--scheduler "nowhere://1": found no answer'),
        (["--out", "table.txt"], '--out table.txt: found ".txt", expected .parquet or .csv'),
        (["--engine", "steam"], 'engine: found "steam"'),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(more, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, *more]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1 and not captured.out
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept_unless_forced(tmp_path, capsys):
    path = tmp_path / "x.csv"
    path.write_text("mine")
    assert main([*SMALL, "--out", str(path)]) == 2
    assert "expected a new name or --force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main([*SMALL, "--out", str(path), "--force"]) == 0
    assert len(pd.read_csv(path)) == 2


def test_ctrl_c_keeps_what_is_finished_and_is_exit_status_130(tmp_path, capsys, monkeypatch):
    from simlib.study import measures

    plain = measures.measure

    def interrupted(scenario, engine):
        if scenario.spec.seed == 2:
            raise KeyboardInterrupt
        return plain(scenario, engine)

    monkeypatch.setattr(Study.__init__, "__kwdefaults__", {"engine": "auto", "measure": interrupted})
    path = tmp_path / "x.csv"
    assert main([*SMALL, "--workers", "1", "--out", str(path), "--json"]) == 130
    captured = capsys.readouterr()
    assert json.loads(captured.out)["interrupted"] is True
    assert captured.err == "interrupted\n"
    assert pd.read_csv(path)["seed"].tolist() == [1]


@pytest.fixture(scope="module")
def address(cache) -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


def test_a_scheduler_s_workers_give_the_same_table(address, expected, tmp_path):
    path = tmp_path / "x.parquet"
    assert main([*SMALL, *VARIED, "--scheduler", address, "--out", str(path)]) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(path), expected, check_exact=True)
