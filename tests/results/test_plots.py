"""Plots of real runs, small ones: what is drawn, in which colours, and that nothing odd stops them."""

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import StepPatch

import simlib
from simlib.outcomes import Outcome
from simlib.results import Run
from simlib.results.plots import (
    BYTES_COLOUR,
    COMPONENTS,
    ENDS_WITH_PENDING,
    LOOKS,
    UNDER_WAY,
    compare_outcomes,
    compare_over_time,
)
from simlib.scenario import Scenario

mpl.use("Agg")
PLOTS = ("progress", "groups", "link", "energy")
CANARY = {"devices": 600, "rollout.groups.0.share": "0.5", "rollout.groups.0.min_sample": 10}


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """A run with many outcomes, one that halts, one that ends before anybody was updated."""
    canary = Scenario.load("storage-120k-canary").with_(CANARY)
    return {
        "smoke": simlib.run(Scenario.load("smoke").with_({"devices": 300})),
        "halted": simlib.run(canary),
        "nobody": simlib.run(canary.with_({"horizon": "1 s"})),
    }


@pytest.fixture(autouse=True)
def figures_closed() -> Iterator[None]:
    yield
    plt.close("all")


def drawn(ax: Axes) -> None:
    """Have matplotlib lay out and draw everything: many mistakes show only then."""
    ax.figure.canvas.draw()


def colours(ax: Axes) -> dict[str, str]:
    """The legend's labels and the colours of their areas."""
    handles, labels = ax.get_legend_handles_labels()
    return {
        label: to_hex(np.ravel(getattr(handle, "patches", [handle])[0].get_facecolor())[:3])
        for handle, label in zip(handles, labels, strict=True)
        if hasattr(handle, "patches") or hasattr(handle, "get_facecolor")
    }


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("name", ["smoke", "halted", "nobody"])
def test_a_plot_draws_on_the_axes_it_is_given_and_returns_them(runs, name, plot):
    _, (ax, other) = plt.subplots(2)
    assert plt.gca() is other  # the one a plot must not fall back on
    assert getattr(runs[name].plot, plot)(ax) is ax and not other.has_data()
    drawn(ax)
    assert ax.get_xlabel() and ax.get_title().startswith(runs[name].summary["scenario"])


@pytest.mark.parametrize("plot", PLOTS)
def test_without_axes_a_plot_makes_a_figure_of_its_own(runs, plot):
    before = plt.get_fignums()
    getattr(runs["smoke"].plot, plot)()
    assert len(plt.get_fignums()) == len(before) + 1


@pytest.mark.parametrize("plot", PLOTS)
def test_an_axis_of_a_quantity_names_its_unit(runs, plot):
    ax = getattr(runs["smoke"].plot, plot)()
    quantities = {"progress": "xy", "groups": "x", "link": "xy", "energy": "x"}[plot]
    labels = [getattr(ax, f"get_{axis}label")() for axis in quantities]
    assert all(label.endswith("]") and "[" in label for label in labels), labels


def test_a_state_has_the_same_colour_in_every_plot(runs):
    axes = [runs[n].plot.progress() for n in runs] + [runs[n].plot.groups() for n in runs]
    axes.append(compare_outcomes(runs))
    seen: dict[str, set[str]] = {}
    for ax in axes:
        for state, colour in colours(ax).items():
            seen.setdefault(state, set()).add(colour)
    assert {"updated", "bricked", "pending", "deferred", "waiting", "under way"} <= set(seen)
    assert seen == {state: {LOOKS[state].colour} for state in seen}


def test_every_outcome_has_a_look_and_no_two_share_one():
    assert {o.value for o in Outcome} == set(ENDS_WITH_PENDING) <= set(LOOKS)
    looks = [(look.colour, look.hatch) for state, look in LOOKS.items() if state != "waiting"]
    assert len(set(looks)) == len(looks)
    assert LOOKS["waiting"] == LOOKS["pending"]


def test_bytes_and_energy_have_colours_that_no_state_has():
    states = {look.colour for look in LOOKS.values()}
    assert not states & {BYTES_COLOUR, *(colour for _, colour, _ in COMPONENTS)}
    tones = [sum(to_rgb(colour)) for _, colour, _ in COMPONENTS]
    assert tones == sorted(tones) and min(np.diff(tones)) > 0.4  # told apart on a grey print too


def test_the_areas_of_progress_are_the_counts_of_the_timeline(runs):
    run = runs["smoke"]
    ax = run.plot.progress()
    handles, labels = ax.get_legend_handles_labels()
    heights = {}
    for handle, label in zip(handles, labels, strict=True):
        y = handle.get_paths()[0].vertices[:, 1]
        heights[label] = y.max()
    last = run.timeline.iloc[-1]
    assert heights["updated"] == pytest.approx(run.timeline["updated"].max() / 300)
    assert heights["waiting"] == pytest.approx(1)
    assert set(labels) >= {end for end in ENDS_WITH_PENDING if last[end] and end != "pending"}


def test_the_bars_of_groups_are_the_shares_of_the_device_table(runs):
    run = runs["halted"]
    ax = run.plot.groups()
    first = run.devices[run.devices["group"] == 1]
    (bricked,) = (c for c in ax.containers if c.get_label() == "bricked")
    assert bricked.patches[0].get_width() == pytest.approx((first["outcome"] == "bricked").mean())
    assert sum(c.patches[0].get_width() for c in ax.containers) == pytest.approx(1)


@pytest.mark.parametrize(
    ("factor", "unit", "scale"), [(1, "byte/s", 1), (100, "kB/s", 1e3), (10**6, "MB/s", 1e6)]
)
def test_the_steps_of_link_add_up_to_the_bytes_sent(runs, factor, unit, scale):
    tables = dict(runs["smoke"]._tables)
    timeline = tables["timeline"]
    tables["timeline"] = timeline.assign(bytes_on_links=timeline["bytes_on_links"] * factor)
    ax = Run(runs["smoke"].scenario_toml, tables, runs["smoke"].summary).plot.link()
    (steps,) = (p for p in ax.patches if isinstance(p, StepPatch))
    values, edges, _ = steps.get_data()
    assert f"[{unit}]" in ax.get_ylabel()
    assert 1 <= values.max() < 1000
    sent = float(np.sum(values * np.diff(edges))) * 86_400 * scale
    assert sent == pytest.approx(timeline["bytes_on_links"].iloc[-1] * factor)


def test_the_bars_of_energy_are_means_of_the_updated_devices(runs):
    run = runs["smoke"]
    ax = run.plot.energy()
    chosen = run.devices.query("cohort == 'one-slot' and artefact == 'full' and outcome == 'updated'")
    row = [t.get_text() for t in ax.get_yticklabels()].index(f"one-slot, full\n{len(chosen)} devices")
    (flash,) = (c for c in ax.containers if c.get_label() == "flash")
    assert flash.patches[row].get_width() == pytest.approx(chosen["energy_flash_uj"].mean() / 1000)


def test_a_halt_is_marked_where_it_happened(runs):
    halted = runs["halted"]
    (line,) = (line for line in halted.plot.progress().lines if line.get_label() == "halt")
    assert line.get_xdata()[0] == halted.summary["halted_at_ms"] / 86_400_000
    assert "halt" not in runs["smoke"].plot.progress().get_legend_handles_labels()[1]


def test_names_of_groups_that_open_together_are_not_written_over_each_other(runs):
    run = Run(runs["smoke"].scenario_toml, dict(runs["smoke"]._tables), runs["smoke"].summary)
    groups = run.groups.copy()
    groups.loc[groups["group"] > 1, "opened_ms"] = [100_000_000, 100_000_001]
    run._tables["groups"] = groups
    ax = run.plot.progress()
    assert [t.get_text() for t in ax.texts] == ["group 2"]
    assert sum(line.get_linestyle() == ":" for line in ax.lines) == 2


def test_a_run_without_updates_says_so_where_energy_would_be(runs):
    assert runs["nobody"].summary["outcomes"]["updated"] == 0
    ax = runs["nobody"].plot.energy()
    assert [t.get_text() for t in ax.texts] == ["no device was updated"]


def test_a_run_interrupted_at_once_can_be_drawn(runs):
    tables = dict(runs["nobody"]._tables)
    tables["timeline"] = tables["timeline"].head(1)
    run = Run(runs["nobody"].scenario_toml, tables, runs["nobody"].summary)
    for plot in PLOTS:
        drawn(getattr(run.plot, plot)())


def test_runs_are_compared_in_the_order_given_with_their_worst_ends_in_numbers(runs):
    ax = compare_outcomes(runs)
    drawn(ax)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    bricked = runs["halted"].summary["outcomes"]["bricked"]
    assert [label.splitlines()[0] for label in labels] == list(runs)
    assert labels[1] == f"halted\n{bricked} bricked" and labels[2] == "nobody"
    assert ax.yaxis_inverted()


def test_lines_over_time_end_at_the_runs_counts_and_can_be_told_apart(runs):
    ax = compare_over_time(runs, "bricked")
    drawn(ax)
    ends = [int(line.get_ydata()[-1]) for line in ax.lines]
    assert ends == [run.summary["outcomes"]["bricked"] for run in runs.values()]
    assert {to_hex(line.get_color()) for line in ax.lines} == {LOOKS["bricked"].colour}
    assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == len(runs)
    assert [line.get_label() for line in ax.lines] == [
        f"{name}: {end:,}" for name, end in zip(runs, ends, strict=True)
    ]


def test_what_is_under_way_is_every_state_of_the_timeline_that_is_neither_start_nor_end(runs):
    states = set(runs["smoke"].timeline.columns) - {"time_ms", "bytes_on_links"}
    assert set(UNDER_WAY) == states - {"waiting"} - {o.value for o in Outcome}
