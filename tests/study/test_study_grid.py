"""A study's table: its rows, columns and seeds, and what is refused before anything runs."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import simlib
from simlib.errors import InputError
from simlib.study import Study
from simlib.study.grid import column
from simlib.study.measures import DTYPES, measure

SHARE = "rollout.groups.0.share"
DROP = "faults.drop"


def never(_scenario, _engine):
    raise AssertionError("something ran")


def test_the_table_has_a_row_for_each_point_and_replication_in_grid_order(small, noisy):
    study = Study(small, measure=noisy).vary(SHARE, [0.05, 0.1]).vary(DROP, [0.1, 0.0]).replicate(2)
    frame = study.run()
    assert list(frame.columns) == [SHARE, DROP, "replication", "seed", "cost", "late_ms", "rare"]
    rows = list(frame[[SHARE, DROP, "replication", "seed"]].itertuples(index=False, name=None))
    assert rows == [
        (share, drop, r, small.spec.seed + r) for share in (0.05, 0.1) for drop in (0.1, 0.0) for r in (0, 1)
    ]
    for row in frame.itertuples(index=False):
        expected = noisy(small.with_({DROP: row[1], "seed": row[3]}), "auto")
        assert (row.cost, row.rare) == (expected["cost"], expected["rare"])


def test_a_replication_gives_what_the_run_of_its_scenario_gives(small):
    study = Study(small).vary(DROP, [0.02, 0.3]).replicate(2)
    frame = study.run()
    for row in frame.to_dict("records"):
        run = simlib.run(small.with_({DROP: row[DROP], "seed": row["seed"]}))
        summary = run.summary
        assert row["digest"] == summary["digest"]
        assert {o: row[o] for o in summary["outcomes"]} == summary["outcomes"]
        for name in ("bytes_down", "bytes_wasted", "energy_flash_uj", "energy_idle_uj", "halted"):
            assert row[name] == summary[name], name
        for name in ("time_to_50_ms", "time_to_90_ms", "halted_at_ms"):
            assert (None if pd.isna(row[name]) else row[name]) == summary[name], name
    assert frame["digest"].nunique() == 4


def test_a_halt_brings_the_exposure_with_it():
    halting = simlib.Scenario.load("smoke").with_(
        {
            "devices": 200,
            "faults.defect": 0.9,
            "faults.defect_hardware": ["rev-a"],
            "rollout.groups.0.share": 0.3,
        }
    )
    row = measure(halting)
    summary = simlib.run(halting).summary
    assert row["halted"] and row["halted_at_ms"] == summary["halted_at_ms"]
    assert {k: row[f"exposure_{k}"] for k in summary["exposure_at_halt"]} == summary["exposure_at_halt"]


def test_the_columns_of_measures_have_their_stated_types_whether_or_not_values_are_missing(small):
    frame = Study(small).vary("rollout.policy", ["staged"]).vary("devices", [60]).run()
    assert {name: str(frame[name].dtype) for name in DTYPES} == dict(DTYPES)
    assert (str(frame["rollout.policy"].dtype), str(frame["devices"].dtype)) == ("str", "int64")
    assert not {"wall_s", "total_s", "engine"} & set(frame.columns)


@pytest.mark.parametrize(
    ("values", "dtype", "shown"),
    [
        ([True, False], "bool", [True, False]),
        ([1, 2], "int64", [1, 2]),
        ([1, Decimal("2.5")], "float64", [1.0, 2.5]),
        ([Decimal("0.1"), "rest"], "str", ["0.1", "rest"]),
        ([["1 kB/s"], [Decimal("0.5"), 2]], "str", ['["1 kB/s"]', "[0.5, 2]"]),
        ([1 << 70], "float64", [float(1 << 70)]),
    ],
)
def test_a_key_s_column_has_the_narrowest_type_that_holds_all_values(values, dtype, shown):
    made = column(values)
    assert (str(made.dtype), made.tolist()) == (dtype, shown)


def test_a_study_is_never_changed_by_building_on_it(small):
    base = Study(small).replicate(3)
    varied = base.vary(DROP, [0.1, 0.2])
    assert (len(base.points()), len(varied.points()), varied.replications) == (1, 2, 3)
    assert varied.replicate(5).replications == 5 and varied.replications == 3


def test_a_study_takes_a_preset_s_name_and_a_file(tmp_path, small):
    path = tmp_path / "mine.toml"
    path.write_text(small.to_toml(), encoding="utf-8")
    assert simlib.Study("smoke").scenario == simlib.Scenario.load("smoke")
    assert simlib.Study(path).scenario == small
    assert simlib.Study(str(path)).scenario == small


def test_seeds_given_are_the_same_at_every_point(small, noisy):
    frame = Study(small, measure=noisy).vary(DROP, [0.1, 0.2]).replicate(3, seeds=[9, 4, 7]).run()
    assert frame["seed"].tolist() == [9, 4, 7] * 2


def test_values_may_come_from_an_array_or_be_exact(small):
    points = Study(small).vary(DROP, np.linspace(0.1, 0.3, 2)).vary(SHARE, [Fraction(1, 8)]).points()
    assert [p.scenario.spec.faults.drop for p in points] == [Fraction(1, 10), Fraction(3, 10)]
    assert points[0].scenario.spec.rollout.groups[0].share == Fraction(1, 8)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda s: s.vary(DROP, []), "vary: faults.drop: found no value, expected at least one"),
        (lambda s: s.vary(DROP, "0.1"), 'vary: faults.drop: found "0.1", expected a list of values'),
        (lambda s: s.vary(DROP, [0.1, Decimal("0.10")]), "vary: faults.drop: found 0.10 twice"),
        (lambda s: s.vary(DROP, [0.1]).vary(DROP, [0.2]), 'vary: found "faults.drop" again'),
        (lambda s: s.vary("seed", [1, 2]), "vary: found seed, expected another key"),
        (lambda s: s.replicate(0), "replicate: found 0, expected a whole number, 1 or more"),
        (lambda s: s.replicate(2.5), "replicate: found 2.5"),
        (
            lambda s: s.replicate(2, seeds=[1, 1]),
            "replicate: seeds: found 2, 1 of them different, expected 2",
        ),
        (lambda s: s.replicate(2, seeds=[1, -1]), "replicate: seeds: found -1"),
        (lambda s: s.replicate(1, seeds=[1 << 64]).run(), f"seed: found {1 << 64}"),
        (lambda s: s.run(workers=0), "workers: found 0, expected a whole number, 1 or more"),
        (lambda s: s.run(chunk=3), "chunk: found it without a client"),
        (lambda s: s.run(client=object(), workers=2), "workers: found it beside a client"),
        (lambda s: s.run(client=object()), "client: found object, expected a dask.distributed Client"),
        (lambda s: Study(s.scenario, engine="fast").run(), 'engine: found "fast", expected one of auto'),
    ],
)
def test_what_is_no_study_is_refused_in_one_line(build, says, small):
    with pytest.raises(InputError) as refused:
        build(Study(small, measure=never))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "values", "says"),
    [
        # the schema knows
        (DROP, [0.1, 1.5], f"vary {SHARE} = 0.05, {DROP} = 1.5: {DROP}: found 1.5, expected a share"),
        ("faults.dorp", [0.1], f"vary {SHARE} = 0.05, faults.dorp = 0.1"),
        # only the boot loader knows: the image does not fit
        ("cohorts.0.slot_size", ["256 KiB", "20 KiB"], f'{SHARE} = 0.05, cohorts.0.slot_size = "20 KiB": '),
    ],
)
def test_a_point_that_cannot_run_is_named_before_anything_runs(key, values, says, small):
    with pytest.raises(InputError) as refused:
        Study(small, measure=never).vary(SHARE, [0.05, 0.1]).vary(key, values).replicate(2).run()
    assert says in str(refused.value)


def test_an_error_during_the_run_names_point_replication_and_seed(small):
    def fails(scenario, _engine):
        if scenario.spec.seed == 3 and scenario.spec.faults.drop:
            raise InputError("phone: found none, expected one")
        return {"x": 1}

    study = Study(small, measure=fails).vary(DROP, [0.0, 0.1]).replicate(3)
    with pytest.raises(InputError) as refused:
        study.run()
    expected = "faults.drop = 0.1, replication 2 (seed 3): phone: found none, expected one"
    assert str(refused.value) == expected


def test_ctrl_c_gives_the_finished_rows_and_says_so(small):
    def interrupted(scenario, _engine):
        if scenario.spec.seed == 4:
            raise KeyboardInterrupt
        return {"x": scenario.spec.seed}

    frame = Study(small, measure=interrupted).replicate(9).run(workers=1)
    assert frame["x"].tolist() == [1, 2, 3]
    assert frame.attrs["interrupted"]
    assert not Study(small, measure=interrupted).replicate(3).run().attrs


def test_a_measure_may_not_take_the_name_of_a_key(small):
    study = Study(small, measure=lambda _s, _e: {"devices": 1}).vary("devices", [60])
    with pytest.raises(InputError, match="found a figure called devices"):
        study.run()


def test_the_bar_is_shown_when_asked_for_and_not_otherwise(small, noisy, capsys):
    study = Study(small, measure=noisy).replicate(2)
    study.run()
    assert capsys.readouterr().err == ""
    study.run(progress=True)
    assert "study" in capsys.readouterr().err
