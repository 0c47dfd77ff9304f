"""Plots of energy, batteries, links and beliefs: the figures of the tables, in the colours of all plots."""

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

import simlib
from simlib.results import Run
from simlib.results.energy import bytes_by_hour, update_energy, update_years
from simlib.results.plots import LOOKS
from simlib.results.plots_energy import (
    STEPS,
    beliefs,
    compare_cell_life,
    compare_link_by_hour,
    gates,
    steps_uj,
    waterfall,
)
from simlib.results.plots_looks import COMPONENTS
from simlib.scenario import Scenario
from simlib.study.battery_gates import battery_gates

mpl.use("Agg")
PLOTS = ("waterfall", "waterfalls", "cell_life", "link_by_hour", "beliefs")


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """Cells, copies of the user's data, and a run in which reports are lost."""
    sensors = Scenario.load("coin-cell-sensors").with_({"devices": 200, "horizon": "6 d"})
    smoke = Scenario.load("smoke").with_({"devices": 300, "report.lost": 0.1, "report.resends": 0})
    return {
        "cells": simlib.run(sensors),
        "copies": simlib.run(sensors.with_({"backup.to": "cloud", "backup.size": "8 KiB"})),
        "lost": simlib.run(smoke),
    }


@pytest.fixture(scope="module")
def nothing(runs) -> Run:
    """A run that ended before anything happened."""
    return simlib.run(Scenario.from_toml(runs["cells"].scenario_toml).with_({"horizon": "1 s"}))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return battery_gates(Scenario.load("coin-cell-sensors").with_({"devices": 200}))


@pytest.fixture(autouse=True)
def figures_closed() -> Iterator[None]:
    yield
    plt.close("all")


def drawn(ax: Axes) -> Axes:
    """Have matplotlib lay out and draw everything: many mistakes show only then."""
    ax.figure.canvas.draw()
    return ax


def bars(ax: Axes) -> list[Rectangle]:
    return [patch for container in ax.containers for patch in container.patches]


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("name", ["cells", "copies", "lost"])
def test_a_plot_draws_on_the_axes_it_is_given_and_returns_them(runs, name, plot):
    _, (ax, other) = plt.subplots(2)
    assert getattr(runs[name].plot, plot)(ax) is ax and not other.has_data()
    assert drawn(ax).get_title()


def test_the_gates_too_draw_on_the_axes_they_are_given(table):
    _, (ax, other) = plt.subplots(2)
    assert gates(table, ax) is ax and not other.has_data()
    assert gates(table).figure is not ax.figure


@pytest.mark.parametrize("plot", PLOTS)
def test_a_run_in_which_nothing_happened_can_be_drawn(nothing, plot):
    drawn(getattr(nothing.plot, plot)())
    drawn(gates(battery_gates(Scenario.load("smoke").with_({"devices": 20}))))


@pytest.mark.parametrize("plot", PLOTS)
def test_drawing_changes_no_table(runs, plot):
    run = runs["copies"]
    before = {name: getattr(run, name).copy() for name in run._tables}
    getattr(run.plot, plot)()
    for name, table in before.items():
        pd.testing.assert_frame_equal(table, getattr(run, name))


@pytest.mark.parametrize(
    ("plot", "axes"),
    [("waterfall", "y"), ("waterfalls", "y"), ("cell_life", "x"), ("link_by_hour", "xy")],
)
def test_an_axis_of_a_quantity_names_its_unit(runs, plot, axes):
    ax = getattr(runs["cells"].plot, plot)()
    labels = [getattr(ax, f"get_{axis}label")() for axis in axes]
    assert all(label.endswith("]") and "[" in label for label in labels), labels


@pytest.mark.parametrize("name", ["cells", "copies"])
def test_the_last_bar_of_a_waterfall_is_the_total_and_the_others_climb_to_it(runs, name):
    run = runs[name]
    for cohort, total_uj in update_energy(run)["total_uj"].items():
        ax = run.plot.waterfall(cohort=cohort)
        *steps, total = bars(ax)
        scale = {"[µJ]": 1, "[mJ]": 1e3, "[J]": 1e6}[ax.get_ylabel().split()[-1]]
        assert total.get_y() == 0 and total.get_height() == pytest.approx(total_uj / scale)
        level = 0.0
        for step in steps:
            assert step.get_y() == pytest.approx(level) and step.get_height() > 0
            level += step.get_height()
        assert level == pytest.approx(total.get_height())
        labels = [text.get_text() for text in ax.get_xticklabels()]
        assert labels[0] == "receive" and labels[-1] == "total"
        assert ("copies\nof\nuser\ndata" in labels) is (name == "copies")


def test_a_waterfall_of_no_cohort_is_the_mean_over_all_updated_devices(runs):
    run = runs["cells"]
    *_, total = bars(run.plot.waterfall())
    updated = run.devices.query("outcome == 'updated'")
    whole = updated[["energy_radio_uj", "energy_flash_uj", "energy_compute_uj"]].sum(axis=1).mean()
    assert total.get_height() == pytest.approx(whole / 1e3)


def test_a_waterfall_of_a_cohort_without_updates_says_so(runs):
    ax = waterfall(runs["cells"], cohort="nobody")
    assert [text.get_text() for text in ax.texts] == ["no device was updated"]


@pytest.mark.parametrize("name", ["cells", "copies", "lost"])
def test_the_steps_of_the_waterfalls_are_the_components_and_sum_to_the_total(runs, name):
    energy = update_energy(runs[name])
    steps = steps_uj(energy)
    assert list(steps.columns) == list(STEPS) and (steps >= 0).all().all()
    assert steps.sum(axis=1).to_numpy() == pytest.approx(energy["total_uj"].to_numpy())
    assert (steps["copies of user data"] > 0).all() == (name == "copies")
    heights = [bar.get_height() for bar in bars(runs[name].plot.waterfalls())]
    assert sum(heights) == pytest.approx(len(energy))  # each cohort's are 1 together


def test_steps_have_the_colours_of_their_components(runs):
    tones = {name: colour for name, colour, _ in COMPONENTS}
    assert {STEPS[step][0] for step in ("receive", "report", "copies of user data")} == {tones["radio"]}
    assert STEPS["flash"][0] == tones["flash"] and STEPS["compute"][0] == tones["compute"]
    assert len(set(STEPS.values())) == len(STEPS)  # told apart by a hatch where not by the colour
    states = {look.colour for look in LOOKS.values()}
    for plot in ("waterfall", "waterfalls"):
        faces = {to_hex(bar.get_facecolor()) for bar in bars(getattr(runs["copies"].plot, plot)())}
        assert not faces & states and faces <= {*tones.values(), "#ffffff"}


def test_gates_show_the_need_the_derived_gate_and_a_line_for_each_guess(table):
    ax = drawn(gates(table))
    lines = {line.get_label(): line for line in ax.lines}
    need = 100 * table["need_uj"] / table["cell_uj"]
    assert lines["the update, and its revert"].get_xdata() == pytest.approx(need.to_numpy())
    derived = lines["derived gate, with the reserve"].get_xdata()
    assert derived == pytest.approx(table["derived_percent"].to_numpy())
    guesses = {label: line.get_xdata()[0] for label, line in lines.items() if label.startswith("guess")}
    assert guesses == {f"guess: {guess} %": guess for guess in (10, 25, 30, 70)}
    assert len({line.get_linestyle() for label, line in lines.items() if label in guesses}) == 4
    low, high = ax.get_xlim()
    assert ax.get_xscale() == "log" and low < min(need) and high >= 70
    rows = [text.get_text().splitlines()[0] for text in ax.get_yticklabels()]
    assert rows == list(table.index) and ax.yaxis_inverted()


def test_a_cells_life_has_a_marker_for_each_number_of_updates(runs):
    run = runs["cells"]
    ax = drawn(run.plot.cell_life())
    years = update_years(run)
    lines = {line.get_label(): line for line in ax.lines}
    for n, label in ((0, "0 updates a year"), (1, "1 update a year"), (12, "12 updates a year")):
        assert lines[label].get_xdata() == pytest.approx(years[f"years_with_{n}"].to_numpy())
    assert len({line.get_marker() for line in lines.values()}) == len(lines) == 4
    assert [text.get_text() for text in ax.get_yticklabels()] == list(years.index)


def test_runs_lie_side_by_side_in_each_cohort(runs):
    ax = drawn(compare_cell_life({"plain": runs["cells"], "copied": runs["copies"], "none": runs["lost"]}))
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels[:4] == ["offices, plain", "offices, copied", "homes, plain", "homes, copied"]


def test_the_line_of_a_day_is_the_mean_and_the_band_its_range(runs):
    pair = {"cells": runs["cells"], "lost": runs["lost"]}
    ax = drawn(compare_link_by_hour(pair))
    largest = max(bytes_by_hour(run)["most"].max() for run in pair.values())
    unit = ax.get_ylabel().split("[")[1].rstrip("]")
    scale = {"byte": 1, "kB": 1e3, "MB": 1e6}[unit]
    assert 1 <= largest / scale < 1000
    for line, band, run in zip(ax.lines, ax.collections, pair.values(), strict=True):
        hours = bytes_by_hour(run)
        assert line.get_ydata() * scale == pytest.approx(hours["mean"].to_numpy())
        assert band.get_paths()[0].vertices[:, 1].max() * scale == pytest.approx(hours["most"].max())
    assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 2
    assert ax.get_xlim() == (0, 24)


def test_beliefs_count_the_devices_of_the_table_and_frame_what_is_right(runs):
    run = runs["lost"]
    ax = drawn(run.plot.beliefs())
    shown = sum(int(text.get_text().replace(",", "")) for text in ax.texts)
    assert shown == run.summary["devices"] == 300
    rows = ["none" if t.get_text() == "no report" else t.get_text() for t in ax.get_yticklabels()]
    columns = [t.get_text() for t in ax.get_xticklabels()]
    sums = run.beliefs.groupby(["believed", "true"])["devices"].sum()
    for text in ax.texts:
        column, row = (round(at) for at in text.get_position())
        assert int(text.get_text().replace(",", "")) == sums[rows[row], columns[column]]
    assert "none" in rows and sums["none", "updated"] > 0
    frames = [patch for patch in ax.patches if not patch.get_fill()]
    assert len(frames) == len(set(rows) & set(columns))


def test_the_strips_beside_beliefs_have_the_colours_and_hatches_of_their_states(runs):
    ax = beliefs(runs["lost"])
    strips = [patch for patch in ax.patches if patch.get_fill()]
    columns = [t.get_text() for t in ax.get_xticklabels()]
    rows = [t.get_text() for t in ax.get_yticklabels() if t.get_text() != "no report"]
    drawn_as = [(to_hex(strip.get_facecolor()), strip.get_hatch() or "") for strip in strips]
    assert drawn_as == [(LOOKS[state].colour, LOOKS[state].hatch) for state in columns + rows]


def test_counts_of_beliefs_can_be_read_on_their_paper(runs):
    ax = drawn(beliefs(runs["lost"]))
    (image,) = ax.images
    for text in ax.texts:
        column, row = (round(at) for at in text.get_position())
        paper = np.mean(image.to_rgba(image.get_array())[row, column, :3])
        ink = np.mean(mpl.colors.to_rgb(text.get_color()))
        assert abs(paper - ink) > 0.35
