"""Plots of how large patches are, and of what keeping them saves. Each takes an `Axes` and returns it."""

from __future__ import annotations

from itertools import cycle
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from simlib.results.plots_looks import COMPONENTS, axes, legend

_DASHES: Final = ("-", "--", "-.", ":")
_MARKERS: Final = ("o", "s", "^", "D", "v")
_LINES: Final = (COMPONENTS[0][1], "#b0702f", "#3f90da", "#832db6", "#717581")


def relative_bytes(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Bytes a device downloads, as a share of those without patches, by how many patches are kept.

    `table` has the columns `k`, `relative_bytes` and `label`, of which each value is a line.
    """
    ax = axes(ax)
    for (label, line), colour, dashes, marker in zip(
        table.groupby("label", sort=False), cycle(_LINES), cycle(_DASHES), cycle(_MARKERS), strict=False
    ):
        ordered = line.sort_values("k")
        ax.plot(
            ordered["k"],
            ordered["relative_bytes"],
            color=colour,
            linestyle=dashes,
            marker=marker,
            linewidth=2,
            label=str(label),
        )
    ax.set_xticks(sorted(table["k"].unique()))
    ax.set(
        ylim=(0, None),
        xlabel="patches kept, from so many releases back [releases]",
        ylabel="bytes downloaded, without patches = 100 [%]",
    )
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    ax.set_title("what keeping more patches saves")
    legend(ax)
    return ax


def ratio_distribution(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How large patches are: of each `label` the share of its steps whose `ratio` to the raw image is at most
    so much.
    """
    ax = axes(ax)
    for (label, steps), colour, dashes in zip(
        table.groupby("label", sort=False), cycle(_LINES), cycle(_DASHES), strict=False
    ):
        ratios = np.sort(steps["ratio"].to_numpy())
        shares = np.arange(1, len(ratios) + 1) / len(ratios)
        ax.step(
            [ratios[0], *ratios],
            [0.0, *shares],
            where="post",
            color=colour,
            linestyle=dashes,
            linewidth=2,
            label=f"{label}: {len(ratios)} steps",
        )
    ax.set_xscale("log")
    ax.set(
        ylim=(0, 1.02), xlabel="patch, as a share of the raw image [%]", ylabel="steps with at most that [%]"
    )
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}"))
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    ax.set_title("how large patches are")
    legend(ax)
    return ax
