"""Plots of flash content and of power cuts: what is drawn is what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from simlib.device.powercut import Fate, First, Harm, PowercutResult, SweepOptions, sweep
from simlib.device.stages import stage_at, update_stages
from simlib.results.plots_flash import flash_map
from simlib.results.plots_looks import FATES, LOOKS, NEW_IMAGE, OLD_IMAGE, TRAILER
from simlib.results.plots_powercut import brick_shares, cut_map, flash_lives, phase_name, wear_bars
from simlib.results.powercut_tables import cut_shares, fates, flash_life

mpl.use("Agg")
PLOTS = (cut_map, brick_shares, wear_bars, flash_lives)
NAMES = ("swap-move", "swap-scratch", "direct-xip", "single-slot")


@pytest.fixture(scope="module")
def swept() -> dict[str, PowercutResult]:
    return {name: sweep(SweepOptions(name, 9 << 10)) for name in NAMES}


@pytest.fixture(autouse=True)
def figures_closed() -> Iterator[None]:
    yield
    plt.close("all")


def colours_at(ax: Axes, column: int) -> list[str]:
    """Of each sector in one strip, from the top."""
    cells = [
        patch
        for patch in ax.patches
        if isinstance(patch, Rectangle)
        and patch.get_fill()
        and patch.get_x() == column
        and patch.get_width() > 0.5
    ]
    return [to_hex(cell.get_facecolor()) for cell in sorted(cells, key=lambda cell: cell.get_y())]


def meshes(ax: Axes) -> list[np.ndarray]:
    return [each.get_array().ravel() for each in ax.collections if isinstance(each, QuadMesh)]


def labels(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_every_sector_has_the_colour_of_what_it_holds():
    stages = update_stages(SweepOptions("swap-move", 9 << 10))
    ax = flash_map(stages)
    old, new, trailer = OLD_IMAGE.colour, NEW_IMAGE.colour, TRAILER.colour
    assert colours_at(ax, 0) == [old] * 3 + ["#ffffff"] * 7
    assert colours_at(ax, 2) == [new] * 3 + [old, trailer] + [old] * 3 + ["#ffffff"] * 2
    assert colours_at(ax, 3) == [old] * 3 + [new, trailer] + [new] * 3 + ["#ffffff"] * 2
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "before\nruns old",
        "during\nno power",
        "after\nruns new, on trial",
        "failed\nruns old",
    ]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "primary, 20 KiB\nfrom 0x00000",
        "secondary, 20 KiB\nfrom 0x05000",
    ]
    assert "new 0–2" in labels(ax) and "old 2, shifted by 1" in labels(ax)


@pytest.mark.parametrize(
    ("options", "title"),
    [
        (SweepOptions("swap-move", 24 << 10), "no slot holds a whole image"),
        (SweepOptions("in-place-journal", 24 << 10, "delta"), "no slot holds a whole image"),
        (SweepOptions("swap-move", 9 << 10), "cut half-way, and the next boot goes on from there"),
        (SweepOptions("overwrite-only", 9 << 10), "the new image stays where it was until its copy is whole"),
        (SweepOptions("direct-xip", 9 << 10), "the image that runs is not touched"),
        (SweepOptions("single-slot", 9 << 10), "nothing boots"),
    ],
    ids=lambda each: each.layout if isinstance(each, SweepOptions) else "",
)
def test_the_title_says_what_the_strips_show(options, title):
    assert title in flash_map(update_stages(options)).get_title()


def test_what_is_torn_or_encrypted_is_told_in_the_legend():
    shipped = update_stages(SweepOptions("swap-offset", 9 << 10, encrypted=True))
    names = [text.get_text() for text in flash_map(shipped).get_legend().get_texts()]
    assert "encrypted" in names and "torn, or unknown" not in names
    torn = flash_map([stage_at(SweepOptions("single-slot", 9 << 10), 1, "garbage")])
    names = [text.get_text() for text in torn.get_legend().get_texts()]
    assert "torn, or unknown" in names and "encrypted" not in names
    assert "torn, or unknown" in labels(torn) and "what each sector holds" in torn.get_title()


def test_the_map_has_a_row_for_each_way_to_tear_and_a_cell_for_each_operation(swept):
    ax = cut_map(swept)
    rows = meshes(ax)
    assert [len(row) for row in rows] == [result.ops for result in swept.values() for _ in range(3)]
    heights = [each.get_coordinates()[0, 0, 1] for each in ax.collections if isinstance(each, QuadMesh)]
    assert all(after - before >= 1 for before, after in pairwise(heights))
    names = list(FATES)
    for name, at in zip(NAMES, range(0, 12, 3), strict=True):
        table = fates(swept[name])
        for row, tear in zip(rows[at : at + 3], ("none", "partial", "garbage"), strict=True):
            assert [names[int(code)] for code in row] == table.loc[table["tear"] == tear, "fate"].tolist()
    assert {"install", "swap", "revert"} <= set(labels(ax))
    bricked = cut_shares(swept).loc["single-slot", "bricked"]
    assert any(text.endswith(f"{bricked} bricked") for text in labels(ax))
    assert f"{bricked} of single-slot's" in ax.get_title()


def test_one_brick_among_thousands_of_cuts_is_wide_enough_to_be_seen(swept):
    result = swept["swap-move"]
    brick = Fate(First.BRICKED, Harm.NO_VALID_IMAGE, "as a test has it")
    many = [replace(result.operations[n % result.ops], number=n + 1) for n in range(3000)]
    many[1500] = replace(many[1500], torn=tuple(replace(t, fates=(brick,)) for t in many[1500].torn))
    ax = cut_map({"swap-move": replace(result, operations=tuple(many))})
    drawn = [
        path.get_extents()
        for each in ax.collections
        if [to_hex(face) for face in each.get_facecolor()] == [LOOKS["bricked"].colour]
        for path in each.get_paths()
    ]
    assert len(drawn) == 3
    for extents in drawn:
        assert extents.x0 < 1500.5 < extents.x1
        shown = ax.transData.transform([(extents.x0, 0), (extents.x1, 0)])
        assert abs(shown[1][0] - shown[0][0]) > 1.5  # pixels
    assert "3 of 9,000 power cuts brick" in ax.get_title()


def test_no_harm_is_said_to_be_none(swept):
    safe = {name: swept[name] for name in NAMES[:3]}
    assert "no harm" in cut_map(safe).get_title()
    assert "bricked" not in [text.get_text() for text in cut_map(safe).get_legend().get_texts()]


def test_the_bars_of_a_layout_fill_the_whole(swept):
    ax = brick_shares(swept)
    total = dict.fromkeys(range(len(NAMES)), 0.0)
    for bar in ax.patches:
        total[round(bar.get_y() + bar.get_height() / 2)] += bar.get_width()
    assert all(abs(width - 1) < 1e-12 for width in total.values())


def test_the_points_are_those_of_the_table(swept):
    ax, table = flash_lives(swept, cycles=5000), flash_life(swept, cycles=5000)
    for line, column in zip(ax.lines, ("updates", "failed", "by_rule"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), table[column])
    assert f"{table['updates'].min():,.0f}" in labels(ax)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_a_plot_uses_the_axes_it_is_given_and_names_its_unit(plot, swept):
    figure, ax = plt.subplots()
    assert plot(swept, ax) is ax and plt.get_fignums() == [figure.number]
    assert ax.get_title() and ax.get_xlabel().endswith("]")
    assert plot(swept) is not ax


def test_a_flash_map_uses_the_axes_it_is_given():
    _, ax = plt.subplots()
    assert flash_map(update_stages(SweepOptions("swap-scratch", 9 << 10)), ax, title="mine") is ax
    assert ax.get_title() == "mine" and ax.get_ylabel().endswith("[byte]")


def test_phases_have_the_names_of_what_is_done_in_them():
    assert [phase_name("swap-offset", phase) for phase in ("install", "boot", "revert")] == [
        "install",
        "swap",
        "revert",
    ]
    assert phase_name("overwrite-only", "boot") == "copy" and phase_name("ram-load", "boot") == "boot"
