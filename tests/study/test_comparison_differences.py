"""Differences seed by seed: figures worked out by hand, pairs that are not whole, and bounds that hold."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from simlib.errors import InputError
from simlib.study import compare
from simlib.study.differences import differences

# Student's t for 0.975 and two degrees of freedom, to four digits, as printed tables have it.
T_2 = 4.3027


def part(name: str, *, first: int = 5, **columns: list[object]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    seeds = np.arange(first, first + n, dtype="uint64")
    return pd.DataFrame({"scenario": name, "replication": range(n), "seed": seeds, **columns})


def table(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def costs() -> pd.DataFrame:
    """Costs 10, 14, 12 of a and 13, 18, 14 of b: differences 3, 4, 2."""
    return table(part("a", cost=[10, 14, 12]), part("b", cost=[13, 18, 14]))


def test_the_mean_difference_has_the_paired_interval_of_the_textbook(costs):
    (row,) = differences(costs).to_dict("records")
    assert (row["baseline"], row["other"], row["measure"], row["statistic"]) == ("a", "b", "cost", "mean")
    assert (row["n"], row["n_baseline"], row["n_other"], row["of"]) == (3, 3, 3, 3)
    assert (row["value_baseline"], row["value_other"], row["difference"]) == (12, 15, 3)
    half = T_2 / math.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((3 - half, 3 + half), abs=1e-4)
    assert row["method"] == "paired t"


def test_it_is_what_the_comparison_of_two_points_says(costs):
    (row,) = differences(costs).to_dict("records")
    pair = compare("a", "b", "cost", costs)
    assert (row["difference"], row["low"], row["high"]) == (pair.difference, pair.low, pair.high)


def test_the_order_of_rows_is_nothing_seeds_are_paired(costs):
    pd.testing.assert_frame_equal(
        differences(costs), differences(costs.sample(frac=1, random_state=1), baseline="a")
    )


def test_another_baseline_turns_the_sign(costs):
    (row,) = differences(costs, baseline="b").to_dict("records")
    assert (row["baseline"], row["other"], row["difference"]) == ("b", "a", -3)


def test_what_is_missing_is_counted_at_each_and_left_out_of_the_pairs():
    late = [pd.array(values, dtype="Int64") for values in ([5, None, 7, 9], [6, 8, None, 12])]
    frame = table(part("a", late_ms=late[0]), part("b", late_ms=late[1]))
    (row,) = differences(frame).to_dict("records")
    assert (row["n"], row["n_baseline"], row["n_other"], row["of"]) == (2, 3, 3, 4)
    assert row["difference"] == pytest.approx(((6 - 5) + (12 - 9)) / 2)


def test_what_nobody_has_gives_no_figure():
    none = pd.array([None, None], dtype="Int64")
    (row,) = differences(table(part("a", late_ms=none), part("b", late_ms=none))).to_dict("records")
    assert (row["n"], row["n_baseline"], row["method"]) == (0, 0, "none")
    assert math.isnan(row["difference"]) and math.isnan(row["low"])


def test_one_replication_has_a_difference_and_no_interval():
    (row,) = differences(table(part("a", cost=[10]), part("b", cost=[12]))).to_dict("records")
    assert (row["difference"], row["method"]) == (2, "none")
    assert math.isnan(row["low"]) and math.isnan(row["high"])


def test_seeds_that_only_one_ran_under_are_left_out():
    frame = table(part("a", cost=[1, 2, 3, 4]), part("b", first=6, cost=[12, 13]))
    (row,) = differences(frame).to_dict("records")
    assert (row["of"], row["difference"]) == (2, 10)


def test_contenders_are_compared_within_each_scenario():
    parts = []
    for fleet, costs in (("x", ([1, 2], [2, 4])), ("y", ([10, 20], [5, 5]))):
        for name, cost in zip("ab", costs, strict=True):
            one = part(name, cost=cost).rename(columns={"scenario": "strategy"})
            one.insert(0, "scenario", fleet)
            parts.append(one)
    found = differences(table(*parts))
    assert found[["scenario", "other"]].to_numpy().tolist() == [["x", "b"], ["y", "b"]]
    assert found["difference"].tolist() == [1.5, -10]


def test_the_quantile_is_that_of_each_and_pairs_stay_together():
    """Where b is a and 7 more at every seed, so is every resampled quantile."""
    bricks = np.random.default_rng(3).poisson(20, 200)
    frame = table(part("a", bricked=bricks.tolist()), part("b", bricked=(bricks + 7).tolist()))
    mean, tail = differences(frame, ["bricked"]).to_dict("records")
    assert (mean["statistic"], tail["statistic"]) == ("mean", "p99")
    assert tail["value_baseline"] == pytest.approx(np.quantile(bricks, 0.99))
    assert (tail["difference"], tail["low"], tail["high"]) == pytest.approx((7, 7, 7))
    assert tail["method"] == "paired bootstrap"


def test_the_interval_of_a_quantile_is_that_of_scipy_s_paired_bootstrap():
    dice = np.random.default_rng(8)
    a = dice.gamma(2, 30, 150)
    b = a / 2 + dice.gamma(2, 10, 150)
    frame = table(part("a", bricked=a.tolist()), part("b", bricked=b.tolist()))
    tail = differences(frame, ["bricked"], quantile=0.9).iloc[1]

    def rise(one, other, axis):
        return np.quantile(other, 0.9, axis=axis) - np.quantile(one, 0.9, axis=axis)

    found = stats.bootstrap((a, b), rise, paired=True, method="percentile", n_resamples=4000, rng=1)
    width = found.confidence_interval.high - found.confidence_interval.low
    ends = (found.confidence_interval.low, found.confidence_interval.high)
    assert (tail["low"], tail["high"]) == pytest.approx(ends, abs=width / 8)


def test_a_quantile_beyond_what_was_seen_has_no_interval():
    frame = table(part("a", bricked=[1] * 99), part("b", bricked=[2] * 99))
    tail = differences(frame, ["bricked"]).iloc[1]
    assert tail["difference"] == 1 and math.isnan(tail["low"]) and tail["method"] == "none"
    frame = table(part("a", bricked=[1] * 100), part("b", bricked=[2] * 100))
    assert differences(frame, ["bricked"]).iloc[1]["method"] == "paired bootstrap"


@pytest.mark.parametrize(("statistic", "tables", "most"), [("mean", 300, 0.99), ("p90", 100, 1)])
def test_intervals_hold_about_as_often_as_they_say(statistic, tables, most):
    """The 95 % interval has the known difference in it in at least 87 % of the tables, and not always.

    That of a quantile, which jumps from one observation to the next, may be too wide.
    """
    dice = np.random.default_rng(11)
    inside = 0
    for _ in range(tables):
        shared, own = dice.normal(100, 20, 60), dice.normal(5, 3, 60)
        column = "bricked" if statistic == "p90" else "cost"
        frame = table(*(part(n, **{column: c.tolist()}) for n, c in (("a", shared), ("b", shared + own))))
        row = differences(frame, [column], quantile=0.9).set_index("statistic").loc[statistic]
        # both normal: the 90 % quantile lies 1.28155 standard deviations above the mean
        wanted = 5 if statistic == "mean" else 5 + 1.28155 * (math.hypot(20, 3) - 20)
        inside += row["low"] <= wanted <= row["high"]
        assert row["high"] - row["low"] < 20  # less than the spread of either alone
    assert 0.87 * tables <= inside <= most * tables


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"measures": ["cots"]}, r"measure: found \"cots\", expected one of cost"),
        ({"baseline": "c"}, r"baseline: found \"c\", expected one of a, b"),
        ({"level": 1}, "level: found 1"),
    ],
)
def test_what_is_not_there_is_named(change, complaint, costs):
    with pytest.raises(InputError, match=complaint):
        differences(costs, **change)
