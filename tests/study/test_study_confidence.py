"""Confidence intervals and paired comparisons against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from simlib.errors import InputError
from simlib.study import Study, compare, intervals

# Student's t for 0.975, to four digits, as printed tables have it.
T_2, T_3 = 4.3027, 3.1824


def table(**columns: list[object]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"replication": range(n), "seed": np.arange(5, 5 + n, dtype="uint64"), **columns})


def two_points() -> pd.DataFrame:
    """Costs 10, 14, 12 at 0.1 and 13, 18, 14 at 0.2: differences 3, 4, 2."""
    parts = [table(cost=[10, 14, 12]), table(cost=[13, 18, 14])]
    for part, key in zip(parts, (0.1, 0.2), strict=True):
        part.insert(0, "faults.drop", key)
    return pd.concat(parts, ignore_index=True)


def test_the_interval_of_a_mean_is_that_of_the_textbook():
    # mean 5, variance (9 + 1 + 1 + 9) / 3 = 20/3, standard error sqrt(20/3 / 4) = 1.29099
    (row,) = intervals(table(x=[2, 4, 6, 8]), "x").to_dict("records")
    assert (row["measure"], row["n"], row["missing"], row["mean"]) == ("x", 4, 0, 5)
    assert row["sd"] == pytest.approx(math.sqrt(20 / 3))
    assert (row["low"], row["high"]) == pytest.approx((5 - T_3 * 1.29099, 5 + T_3 * 1.29099), abs=1e-3)


def test_a_wider_level_gives_a_wider_interval():
    frame = table(x=[2, 4, 6, 8])
    widths = [np.ptp(intervals(frame, "x", level=p)[["low", "high"]].to_numpy()) for p in (0.5, 0.9, 0.99)]
    assert widths == sorted(widths) and widths[0] < widths[-1]


def test_each_point_has_its_own_interval_in_the_table_s_order():
    frame = two_points().iloc[::-1].reset_index(drop=True)
    found = intervals(frame, ["cost"])
    assert found["faults.drop"].tolist() == [0.2, 0.1]
    assert found["mean"].tolist() == [15, 12]


def test_missing_values_are_counted_and_truths_count_as_one():
    frame = table(
        late_ms=pd.array([5, None, 7], dtype="Int64"), halted=[True, False, True], digest=list("abc")
    )
    found = intervals(frame).set_index("measure")
    assert list(found.index) == ["late_ms", "halted"]
    assert found.loc["late_ms", ["n", "missing", "mean"]].tolist() == [2, 1, 6]
    assert found.loc["halted", "mean"] == pytest.approx(2 / 3)


def test_one_replication_has_no_interval():
    (row,) = intervals(table(x=[3]), "x").to_dict("records")
    assert row["mean"] == 3 and math.isnan(row["low"]) and math.isnan(row["sd"])


def test_the_paired_interval_is_that_of_the_differences():
    # differences 3, 4, 2: mean 3, variance 1, standard error 1 / sqrt(3)
    found = compare(0.1, 0.2, "cost", two_points())
    assert (found.n, found.missing, found.mean_a, found.mean_b, found.difference) == (3, 0, 12, 15, 3)
    half = T_2 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half), abs=1e-4)
    assert found.half_width == pytest.approx(half, abs=1e-4)


def test_pairing_is_weighed_against_independent_seeds():
    # variances 4 at a, 7 at b, 1 of the differences
    found = compare({"faults.drop": 0.1}, {"faults.drop": 0.2}, "cost", two_points())
    assert (found.variance_paired, found.variance_unpaired) == pytest.approx((1, 11))
    assert found.variance_reduction == pytest.approx(11)
    assert found.to_json()["variance_reduction"] == found.variance_reduction


def test_the_paired_interval_agrees_with_scipy(noisy, small):
    frame = Study(small, measure=noisy).vary("faults.drop", [0.1, 0.2]).replicate(12).run()
    a, b = (frame.loc[frame["faults.drop"] == x, "cost"].to_numpy() for x in (0.1, 0.2))
    expected = stats.ttest_rel(b, a).confidence_interval(0.9)
    found = compare(0.1, 0.2, "cost", frame, level=0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.variance_reduction > 5  # the noise of a seed is ten times that of a point


def test_common_seeds_make_a_real_comparison_sharper(small):
    """80 devices under the same seeds: the same fleet meets another drop rate."""
    frame = Study(small).vary("faults.drop", [0.05, 0.1]).replicate(8).run()
    assert compare(0.05, 0.1, "bytes_down", frame).variance_reduction > 2


def test_pairs_are_matched_by_seed_and_not_by_row():
    frame = two_points()
    shuffled = frame.iloc[[2, 0, 1, 5, 4, 3]].reset_index(drop=True)
    assert compare(0.1, 0.2, "cost", shuffled) == compare(0.1, 0.2, "cost", frame)


def test_two_tables_of_one_point_each_are_compared_too():
    frame = two_points()
    a, b = frame[frame["faults.drop"] == 0.1], frame[frame["faults.drop"] == 0.2]
    assert compare(a, b, "cost") == compare(0.1, 0.2, "cost", frame)


def test_a_pair_without_a_value_is_left_out_and_counted():
    frame = two_points().astype({"cost": "Int64"})
    frame.loc[1, "cost"] = pd.NA
    found = compare(0.1, 0.2, "cost", frame)
    assert (found.n, found.missing, found.difference) == (2, 1, 2.5)


def test_the_bootstrap_stands_beside_student_s_interval_and_is_repeatable(noisy, small):
    frame = Study(small, measure=noisy).vary("faults.drop", [0.1, 0.2]).replicate(40).run()
    one, again, other = (compare(0.1, 0.2, "cost", frame, bootstrap=999, seed=s) for s in (1, 1, 2))
    assert one == again and one != other
    assert (one.bootstrap_low, one.bootstrap_high) == pytest.approx((one.low, one.high), abs=0.02)
    assert compare(0.1, 0.2, "cost", frame).bootstrap_low is None


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (lambda f: compare(0.1, 0.3, "cost", f), "compare: found no point at faults.drop = 0.3"),
        (lambda f: compare({"x": 1}, 0.2, "cost", f), "point: found keys x, expected faults.drop"),
        (lambda f: compare(0.1, 0.2, "costs", f), 'measure: found "costs", expected one of cost'),
        (lambda f: compare(f, f, "cost"), "compare: found a table of several points"),
        (lambda f: compare(0.1, 0.2, "cost"), "compare: found a float, expected a table"),
        (lambda f: compare(0.1, 0.2, "cost", f[:-1]), "compare: found 3 and 2 replications under 3 seeds"),
        (lambda f: compare(0.1, 0.2, "cost", f, level=95), "level: found 95"),
        (lambda f: intervals(f.drop(columns="seed")), "frame: found no column replication and seed"),
    ],
)
def test_what_cannot_be_compared_is_refused(asked, says):
    with pytest.raises(InputError) as refused:
        asked(two_points())
    assert says in str(refused.value)
