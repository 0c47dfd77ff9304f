"""Error rates of the gates: simulation against reckoning, levels kept or not, in streams and in fleets."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import typer

from simlib.cli import gate as commands
from simlib.errors import InputError
from simlib.rollout.gates import Gate, Mixture, Naive, Sprt, Threshold, Wilson
from simlib.scenario.model import GroupSpec
from simlib.study.gate_errors import (
    COLUMNS,
    alarm_chance,
    clopper_pearson,
    direct_errors,
    first_alarm,
    fleet_errors,
    plain_fleet,
)

F = Fraction
P0, P1, LEVEL, POWER = F(1, 20), F(1, 10), F(1, 20), F(9, 10)
GROUP = GroupSpec(None, F(9, 10), P0, 20, 0)


@pytest.fixture(scope="module")
def measured():
    """A thousand rollouts a gate and rate."""
    return direct_errors(GROUP).set_index(["gate", "rate", "rise"])


@pytest.mark.parametrize("name", ["sprt", "mixture"])
def test_sequential_tests_keep_their_level_at_the_threshold(measured, name):
    row = measured.loc[name, 0.05, 0.0]
    assert row["rollouts"] == 1000
    assert row["alarm_rate"] <= float(LEVEL)
    assert row["exact"] <= float(LEVEL)


@pytest.mark.parametrize("name", ["naive", "wilson"])
def test_a_repeated_test_is_far_above_its_level(measured, name):
    assert measured.loc[name, 0.05, 0.0]["low"] > 4 * float(LEVEL)


def test_the_metric_is_taken_for_worse_as_often_as_the_level_says(measured):
    row = measured.loc["mann-whitney", 0.0, 0.0]
    assert row["low"] <= float(LEVEL) <= row["high"]
    assert measured.loc["mann-whitney", 0.0, 0.02]["low"] > 0.5


def test_every_gate_finds_the_bad_rate_and_the_careful_ones_later(measured):
    bad = measured.loc[(slice(None), 0.1), :]
    assert (bad["alarm_rate"] == 1).all()
    judged = bad["median_judged"].droplevel([1, 2])
    assert judged["threshold"] < judged["naive"] < judged["sprt"] < judged["mixture"]


def test_simulation_and_reckoning_agree(measured):
    some = measured.dropna(subset=["exact"])
    assert len(some) == 10
    # Ten intervals of 95 %: at 4.5 deviations none is missed by chance.
    spread = np.sqrt(some["exact"] * (1 - some["exact"]) / 1000)
    assert ((some["alarm_rate"] - some["exact"]).abs() <= 4.5 * spread + 1e-3).all()


@pytest.mark.parametrize("rate", [0.05, 0.03, 0.01])
@pytest.mark.parametrize(
    ("gate", "level"),
    [
        (Mixture(P0, P1, LEVEL), 0.05),
        (Mixture(P0, F(3, 50), F(1, 100)), 0.01),
        (Mixture(P0, F(9, 10), F(1, 5)), 0.2),
        (Sprt(P0, P1, LEVEL, POWER), 0.05),
    ],
)
def test_no_rate_up_to_the_threshold_alarms_more_often_than_the_level(gate, level, rate):
    chance = alarm_chance(gate, rate, 4000)
    assert 0 < chance <= level
    assert rate == 0.05 or chance < alarm_chance(gate, 0.05, 4000)


@pytest.mark.parametrize("bad", [F(51, 1000), F(6, 100), F(1, 10), F(1, 2)])
def test_walds_bounds_keep_the_level_over_the_power_whatever_the_bad_rate(bad):
    assert alarm_chance(Sprt(P0, bad, LEVEL, POWER), 0.05, 4000) <= float(LEVEL / POWER)


@pytest.mark.parametrize(
    "gate", [Threshold(P0, 7), Wilson(P0, LEVEL, 3), Naive(P0, LEVEL, 1), Mixture(P0, P1, F(2, 5))]
)
def test_the_chance_of_an_alarm_is_the_sum_over_all_verdicts(gate: Gate):
    total, rate, devices = F(0), F(1, 4), 10
    for code in range(1 << devices):
        failed = [bool(code >> k & 1) for k in range(devices)]
        halted, errors = False, 0
        for judged, each in enumerate(failed, 1):
            errors += each
            least = gate.errors_to_halt(judged - errors)
            halted |= judged >= gate.min_sample and errors >= least
        total += halted * rate ** sum(failed) * (1 - rate) ** (devices - sum(failed))
    assert alarm_chance(gate, float(rate), devices) == pytest.approx(float(total), abs=1e-12)


def test_the_first_alarm_is_the_first_verdict_at_which_the_bound_is_reached():
    bounds = np.full(11, 3)
    failed = np.array([0, 1, 1, 0, 1, 1, 0, 0, 0, 0], dtype=bool)
    assert first_alarm(failed, bounds, 1) == (5, 3)
    assert first_alarm(failed, bounds, 8) == (8, 4)
    assert first_alarm(failed, bounds + 2, 1) is None


def test_intervals_are_clopper_pearsons():
    assert clopper_pearson(0, 10, 0.95) == (0.0, pytest.approx(1 - 0.025**0.1))
    assert clopper_pearson(10, 10, 0.95) == (pytest.approx(0.025**0.1), 1.0)
    assert clopper_pearson(3, 20, 0.95) == (
        pytest.approx(0.0320709, abs=1e-6),
        pytest.approx(0.3789268, abs=1e-6),
    )


def test_the_same_seed_gives_the_same_table_and_another_one_another():
    first, again, other = (direct_errors(GROUP, gates=["naive"], rollouts=50, seed=s) for s in (3, 3, 300))
    assert first.equals(again) and not first.equals(other)


def test_what_is_no_gate_is_refused():
    with pytest.raises(InputError, match=r"^gate: found \"nave\", expected one of threshold"):
        direct_errors(GROUP, gates=["nave"])
    with pytest.raises(InputError, match=r"^gate_bad: found 0.05, expected above the error_threshold"):
        direct_errors(replace(GROUP, gate_bad=P0))


def test_in_fleets_gates_halt_the_bad_release_and_say_when():
    frame = fleet_errors(GROUP, gates=["threshold", "sprt"], devices=400, rollouts=6)
    assert list(frame.columns) == list(COLUMNS)
    rows = frame.set_index(["gate", "rate"])
    bad = rows.loc[(slice(None), 0.1), :]
    assert (bad["alarms"] >= 5).all() and (bad["median_delay_ms"] > 0).all()
    assert rows.loc["threshold", 0.1]["median_delay_ms"] < rows.loc["sprt", 0.1]["median_delay_ms"]
    assert rows.loc["sprt", 0.05]["alarms"] <= rows.loc["threshold", 0.05]["alarms"]
    sprt = Sprt(P0, P1, LEVEL, POWER)
    judged, failures = bad.loc[("sprt", 0.1)][["median_judged", "median_failures"]]
    assert failures >= sprt.errors_to_halt(int(judged - failures)) - 1  # medians of whole numbers


def test_in_the_plain_fleet_only_the_defect_fails():
    frame = fleet_errors(GROUP, gates=["threshold"], rates=[F(0)], devices=100, rollouts=2)
    assert frame["alarms"].tolist() == [0]
    assert plain_fleet(GROUP, 100).spec.rollout.groups[0].error_threshold == P0


def run(arguments: list[str]) -> None:
    app = typer.Typer()
    commands.register(app)
    assert app(args=["gate", *arguments], standalone_mode=False) == 0


def test_the_command_prints_error_rates_with_their_intervals(capsys):
    run(["errors", "--gate", "sprt", "--gate", "naive", "--rollouts", "200", "--json"])
    answer = json.loads(capsys.readouterr().out)
    rows = {(row["gate"], row["rate"]): row for row in answer["rows"]}
    assert rows["sprt", 0.05]["alarm_rate"] < rows["naive", 0.05]["low"]
    assert rows["sprt", 0.05]["median_delay_ms"] is None
    run(["errors", "--gate", "mann-whitney", "--rollouts", "20", "--devices", "100"])
    assert "mann-whitney (metric +0.02)" in capsys.readouterr().out


def test_the_command_sizes_groups(capsys):
    run(["size", "--rate", "1 %", "--rate", "0.0001", "--confidence", "95 %", "--json"])
    assert [row["devices"] for row in json.loads(capsys.readouterr().out)["rows"]] == [299, 29956]
    run(["size", "--rate", "0.1 %", "--confidence", "95 %"])
    assert capsys.readouterr().out.split()[-5:] == ["0.1", "%", "95", "%", "2,995"]


def test_the_command_sizes_a_canary_and_its_soak(capsys):
    options = ["canary", "--prior", "1%=1", "--devices", "1000000", "--tolerated", "0", "--budget", "5 %"]
    run([*options, "--at-once", "0", "--delay", "2 h", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["devices"], answer["soak_ms"]) == (299, 7_200_000)
    run([*options, "--at-once", "0", "--delay", "2 h"])
    assert capsys.readouterr().out.startswith("canary of 299 of 1,000,000 devices, soak of 2 h\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["errors", "--gate", "sprd"], '--gate: found "sprd", expected one of threshold, wilson'),
        (["errors", "--rollouts", "0"], "--rollouts: found 0, expected 1 to 1000000"),
        (["errors", "--bad", "2 %"], "gate_bad: found 0.02, expected above the error_threshold, 0.05"),
        (["size", "--rate", "0", "--confidence", "95 %"], '--rate: found "0", expected more than 0'),
        (["size", "--rate", "1 %", "--confidence", "1"], '--confidence: found "1", expected more than 0 and'),
        (
            ["canary", "--prior", "0.1", "--devices", "10", "--tolerated", "1"],
            '--prior: found "0.1", expected P=WEIGHT, such as 1%=0.1',
        ),
    ],
)
def test_wrong_options_are_named_in_one_line(arguments, message):
    with pytest.raises(InputError) as refused:
        run(arguments)
    assert str(refused.value).startswith(message)
