"""Sensitivity: known indices are found, what matters comes out above what does not, ranges hold."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.study import Study
from simlib.study.ranges import given, recalled
from simlib.study.sensitivity import Plan, indices

DROP, DELAY = "faults.drop", "report.delay"


def ishigami(samples: np.ndarray) -> dict[str, np.ndarray]:
    x1, x2, x3 = samples.T
    return {"y": np.sin(x1) + 7 * np.sin(x2) ** 2 + 0.1 * x3**4 * np.sin(x1), "flat": 0 * x1}


def test_sobol_finds_the_known_indices_of_ishigami_s_function():
    """By hand, a = 7, b = 0.1: V = a²/8 + b π⁴/5 + b² π⁸/18 + 1/2, V1 = (1 + b π⁴/5)²/2, V2 = a²/8,
    V13 = b² π⁸ (1/18 - 1/50), and ST1 = (V1 + V13)/V.
    """
    v1, v2, v13 = (1 + 0.1 * math.pi**4 / 5) ** 2 / 2, 49 / 8, 0.01 * math.pi**8 * (1 / 18 - 1 / 50)
    v = v1 + v2 + v13
    plan = Plan("sobol", 2048, 0.95, 1)
    found = indices(["x1", "x2", "x3"], [(-math.pi, math.pi)] * 3, plan, ishigami)
    y = found[found["measure"] == "y"].set_index("key")
    assert y["S1"].tolist() == pytest.approx([v1 / v, v2 / v, 0], abs=0.03)
    assert y["ST"].tolist() == pytest.approx([(v1 + v13) / v, v2 / v, v13 / v], abs=0.03)
    assert (y[["S1_conf", "ST_conf"]] < 0.1).all(axis=None)


def test_morris_gives_the_slopes_of_a_plane():
    """Over a range scaled to 1 the effect of 3 x on [0, 2] is 6, everywhere."""

    def plane(samples: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": 3 * samples[:, 0] - samples[:, 1]}

    found = indices(["a", "b"], [(0, 2), (0, 1)], Plan("morris", 8, 0.95, 0), plane)
    assert found["mu"].tolist() == pytest.approx([6, -1])
    assert found["mu_star"].tolist() == pytest.approx([6, 1])
    assert found["sigma"].tolist() == pytest.approx([0, 0], abs=1e-9)


@pytest.mark.parametrize("method", ["sobol", "morris"])
def test_what_does_not_vary_has_no_indices_and_the_rest_is_repeatable(method):
    limits = [(-math.pi, math.pi)] * 3
    one, again, other = (indices(list("abc"), limits, Plan(method, 16, 0.95, s), ishigami) for s in (0, 0, 7))
    pd.testing.assert_frame_equal(one, again, check_exact=True)
    assert not one.equals(other)
    assert one[one["measure"] == "flat"].iloc[:, 4:].isna().all(axis=None)


def test_a_figure_that_matters_comes_out_above_one_that_does_not(small):
    ranges = {DROP: (0.0, 0.6), DELAY: ("1 s", "1 min")}
    study = Study(small).replicate(2)
    found = study.sensitivity(ranges, n=8, measures=["bytes_wasted", "updated"])
    total = found.pivot(index="measure", columns="key", values="ST")
    assert (total[DROP] > total[DELAY] + 0.3).all()
    assert found[["low", "high"]].to_numpy().tolist() == [[0.0, 0.6], [1000.0, 60000.0]] * 2
    morris = study.sensitivity(ranges, method="morris", n=4, measures="bytes_wasted").set_index("key")
    assert morris.loc[DROP, "mu_star"] > 10 * morris.loc[DELAY, "mu_star"]


def test_the_answer_is_the_same_for_any_number_of_workers(small, noisy):
    study = Study(small, measure=noisy).replicate(3)
    one, two = (
        study.sensitivity({DROP: (0, 0.5), DELAY: (1000, 5000)}, n=16, measures=["cost"], workers=w)
        for w in (1, 3)
    )
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert one.set_index("key").loc[DROP, "ST"] == pytest.approx(1, abs=0.3)


def test_every_scenario_runs_under_every_seed_of_the_study(small):
    seen: list[tuple[object, int]] = []

    def look(scenario, _engine):
        seen.append((scenario.spec.faults.drop, scenario.spec.seed))
        return {"x": float(scenario.spec.faults.drop)}

    Study(small, measure=look).replicate(2, seeds=[5, 8]).sensitivity({DROP: (0, 0.5)}, n=4, measures=["x"])
    assert len(seen) == 4 * (1 + 2) * 2
    assert {seed for _, seed in seen} == {5, 8}


def test_by_default_the_recalled_figures_are_varied_each_once_for_all_cohorts(small, noisy):
    found = Study(small, measure=noisy).sensitivity(n=2, measures=["cost"])
    assert found["key"].tolist() == ["cohorts.*.rates", "cohorts.*.wake_presence"]
    assert found["scaled"].all()
    assert found.attrs["not_varied"] == []


def test_a_recalled_figure_lies_between_half_and_twice_and_a_share_at_most_at_one():
    figures, left = recalled(Scenario.load("escooter-120k"))
    by_key = {figure.key: figure for figure in figures}
    drop, battery = by_key["faults.drop"], by_key["cohorts.*.battery"]
    assert (drop.low, drop.high) == (0.5, 2.0)
    assert battery.high == 1.0  # full already
    assert by_key["cohorts.*.wake_presence"].high == pytest.approx(1 / 0.75)
    assert "cohorts.*.base_mix" in left and "faults.forged" in left  # adds up; is zero
    base = Scenario.load("escooter-120k")
    for figure in figures:
        base.with_(figure.changes(figure.high))
        assert base.with_(figure.changes(figure.low)) != base, figure.key


def test_all_members_are_scaled_alike_and_amounts_stay_whole():
    base = Scenario.load("escooter-120k")
    by_key = {figure.key: figure for figure in recalled(base)[0]}
    changed = base.with_(by_key["cohorts.*.rates"].changes(0.5))
    for before, after in zip(base.spec.cohorts, changed.spec.cohorts, strict=True):
        assert after.rates_bps == tuple(rate // 2 for rate in before.rates_bps)
    reboot = base.with_(by_key["cohorts.*.reboot"].changes(1.23456789))
    assert [c.reboot_ms for c in reboot.spec.cohorts] == [
        round(c.reboot_ms * 1.23456789) for c in base.spec.cohorts
    ]


def test_a_range_stated_with_the_source_is_taken(small):
    """In the words of the calibration tables: range LOW to HIGH."""
    stated = Scenario.from_toml(
        small.to_toml().replace(
            '"cohorts.*.wake_presence" = "recalled: our assumption"',
            '"cohorts.*.wake_presence" = "recalled: two surveys, range 0.6 to 0.9"',
        )
    )
    (presence,) = (f for f in recalled(stated)[0] if f.key == "cohorts.*.wake_presence")
    assert (presence.low, presence.high, presence.factor) == (0.6, 0.9, False)
    assert set(presence.changes(0.75).values()) == {Decimal("0.75")}


@pytest.mark.parametrize(
    ("key", "limits", "at", "expected"),
    [
        (DELAY, ("1 s", "1 min"), 1234.6, {DELAY: 1235}),
        (DELAY, (1000, 2000), 1500.2, {DELAY: 1500}),
        (DROP, ("1 %", "5 %"), 0.02, {DROP: Decimal("0.02")}),
        ("transfer.attempts", (1, 9), 3.7, {"transfer.attempts": 4}),
        ("links.*.capacity", ("100 kB/s", "1 MB/s"), 2e5, {"links.0.capacity": 200_000}),
    ],
)
def test_a_value_is_written_as_its_key_holds_it(key, limits, at, expected, small):
    figure = given(small, key, limits)
    assert figure.changes(at) == expected
    small.with_(figure.changes(at))


@pytest.mark.parametrize(
    ("ranges", "more", "says"),
    [
        ({}, {}, "ranges: found none"),
        ({DROP: (0.2, 0.1)}, {}, "ranges: faults.drop: found 0.2 to 0.1, expected the lesser one first"),
        ({DROP: (0.2, 1.1)}, {}, "ranges faults.drop = 1.1: faults.drop: found 1.1"),
        ({DROP: "0.1"}, {}, 'ranges: faults.drop: found "0.1", expected the least and the largest'),
        ({DROP: ("low", "high")}, {}, 'ranges: faults.drop: found "low", expected a number'),
        ({"fault.*": (0, 1)}, {}, 'ranges: found "fault.*", expected a key that fits'),
        ({"faults.dorp": (0, 1)}, {}, "faults.dorp"),
        ({DROP: (0, 0.1)}, {"method": "fast"}, 'method: found "fast", expected one of sobol, morris'),
        ({DROP: (0, 0.1)}, {"n": 12}, "n: found 12, expected a power of 2"),
        ({DROP: (0, 0.1)}, {"n": 4, "measures": ["price"]}, 'measure: found "price"'),
        ({DROP: (0, 0.1)}, {"n": 4, "measures": ["late_ms"]}, ": late_ms: found it missing in "),
    ],
)
def test_what_cannot_be_analysed_is_refused(ranges, more, says, small, noisy):
    study = Study(small, measure=noisy).replicate(4)
    with pytest.raises(InputError) as refused:
        study.sensitivity(ranges, **{"measures": ["cost"], "n": 4, **more})
    assert says in str(refused.value)


def test_a_study_that_varies_keys_or_has_nothing_uncertain_is_refused(small):
    with pytest.raises(InputError, match="found a study that varies keys"):
        Study(small).vary(DROP, [0.1]).sensitivity()
    certain = Scenario.from_toml(small.to_toml().replace("recalled: ", "chosen: "))
    with pytest.raises(InputError, match="found no recalled figure"):
        Study(certain).sensitivity()
