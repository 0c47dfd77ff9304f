"""Plots of raw images and patches: bars as long as the figures, a line where both forms are equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from simlib.results.plots_delta import (
    break_even,
    energy_by_payload,
    harm_by_layout,
    time_by_payload,
)
from simlib.results.plots_patch_sizes import ratio_distribution, relative_bytes
from simlib.scenario import Scenario
from simlib.study.payloads import differences, numbers_of, patch_ratio_at, update_costs

mpl.use("Agg")
SCENARIO = Scenario.load("coin-cell-sensors").with_({"cohorts.1.download_size": 0})
COUNTS = ("bricked", "stuck", "failed", "retried_installs", "dropped", "refused")


@pytest.fixture(scope="module")
def costs() -> pd.DataFrame:
    return update_costs(SCENARIO, ("bsdiff4",), ())


@pytest.fixture(scope="module")
def grid() -> pd.DataFrame:
    own = replace(numbers_of(SCENARIO, "old-cells"), compressed_ratio=0.6)
    return differences(own, np.logspace(2, 5, 20).tolist(), np.linspace(0, 1, 21).tolist())


@pytest.fixture(scope="module")
def harms() -> pd.DataFrame:
    one = dict.fromkeys(COUNTS, 0.0)
    return pd.DataFrame(
        [
            {"layout": "swap-move", "payload": "full", "takes": True}
            | one
            | {"failed": 2.0, "dropped": 300.0},
            {"layout": "swap-move", "payload": "delta", "takes": True}
            | one
            | {"failed": 3.0, "dropped": 90.0},
            {"layout": "single-slot", "payload": "full", "takes": True} | one | {"bricked": 40.0},
            {"layout": "single-slot", "payload": "delta", "takes": False} | one | {"bricked": 40.0},
        ]
    )


KEPT = pd.DataFrame({"k": [2, 0, 1, 0, 1], "relative_bytes": [0.4, 1, 0.5, 1, 0.8], "label": [*"aaa", *"bb"]})
RATIOS = pd.DataFrame({"ratio": [0.02, 0.5, 0.1, 0.01, 0.2], "label": ["real"] * 3 + ["made"] * 2})


@pytest.fixture
def plots(costs, grid, harms) -> dict[str, Callable[[Axes | None], Axes]]:
    return {
        "energy": lambda ax: energy_by_payload(costs, ax),
        "time": lambda ax: time_by_payload(costs, ax),
        "break-even": lambda ax: break_even(grid, ax),
        "harm": lambda ax: harm_by_layout(harms, ax),
        "kept": lambda ax: relative_bytes(KEPT, ax),
        "ratios": lambda ax: ratio_distribution(RATIOS, ax),
    }


NAMES = ("energy", "time", "break-even", "harm", "kept", "ratios")


@pytest.fixture(autouse=True)
def figures_closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("name", NAMES)
def test_a_plot_draws_on_the_axes_it_is_given_returns_them_and_names_units(plots, name):
    _, (ax, other) = plt.subplots(2)
    assert plots[name](ax) is ax and not other.has_data()
    ax.figure.canvas.draw()
    assert ax.get_title() and ax.get_xlabel().endswith("]")
    assert plots[name](None).figure is not ax.figure


@pytest.mark.parametrize(("plot", "total"), [(energy_by_payload, "total_uj"), (time_by_payload, "total_ms")])
def test_the_parts_of_a_bar_make_up_its_total_beside_the_raw_images(costs, plot, total):
    ax = plot(costs)
    shown = costs[(costs["base"] == 1)]
    ends = {}
    for container in ax.containers:
        for bar in container.patches:
            place = round(bar.get_y() + bar.get_height() / 2, 3)
            ends[place] = max(ends.get(place, 0.0), bar.get_x() + bar.get_width())
    raw = shown[shown["payload"] == "full"].set_index("cohort")[total]
    taken = shown[shown["takes"]]
    expected = taken[total].astype(float).to_numpy() / raw[taken["cohort"]].astype(float).to_numpy()
    assert [ends[place] for place in sorted(ends)] == pytest.approx(expected.tolist())
    labels = ax.get_legend_handles_labels()[1]
    assert len(labels) == len(set(labels)) == 3


def test_what_is_not_taken_has_no_bar_and_says_so(costs):
    assert (~costs["takes"]).sum() == 2
    texts = [text.get_text() for text in energy_by_payload(costs).texts]
    assert texts.count("not taken") == 1
    nothing = costs.assign(takes=False)
    assert [text.get_text() for text in energy_by_payload(nothing).texts] == ["no device takes any of it"]


def test_the_line_is_where_both_forms_are_equal(grid):
    own = replace(numbers_of(SCENARIO, "old-cells"), compressed_ratio=0.6)
    ax = break_even(grid, marks={"here": (1_000, 0.5)})
    line = next(
        c for c in ax.collections if getattr(c, "levels", None) is not None and list(c.levels) == [0.0]
    )
    (path,) = line.get_paths()
    for rate, ratio in path.vertices[:: max(len(path.vertices) // 6, 1)]:
        assert ratio == pytest.approx(patch_ratio_at(replace(own, link_bps=rate), "time"), abs=0.01)
    assert "here" in [text.get_text() for text in ax.texts]


def test_every_count_of_harm_that_is_not_zero_is_a_mark_at_its_place(harms):
    ax = harm_by_layout(harms)
    marks = sorted(float(line.get_xdata()[0]) for line in ax.lines if line.get_linestyle() == "None")
    assert marks == sorted(value for value in harms[list(COUNTS)].to_numpy().ravel().tolist() if value)
    assert [label.get_text().endswith("*") for label in ax.get_yticklabels()] == [False, False, False, True]
    calm = harm_by_layout(harms.assign(**dict.fromkeys(COUNTS, 0.0)))
    assert "no device is harmed" in calm.texts[0].get_text()


def test_lines_of_kept_patches_are_in_order_and_one_a_label():
    lines = relative_bytes(KEPT).lines
    assert [line.get_label() for line in lines] == ["a", "b"]
    assert lines[0].get_xdata().tolist() == [0, 1, 2] and lines[0].get_ydata().tolist() == [1, 0.5, 0.4]


def test_a_distribution_climbs_to_one_a_step_at_each_ratio():
    real, made = ratio_distribution(RATIOS).lines
    assert real.get_label() == "real: 3 steps" and made.get_label() == "made: 2 steps"
    assert list(real.get_xdata())[1:] == [0.02, 0.1, 0.5]
    assert list(real.get_ydata()) == pytest.approx([0, 1 / 3, 2 / 3, 1])
