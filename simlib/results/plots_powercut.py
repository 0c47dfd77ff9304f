"""Plots of sweeps of power cuts, by layout. Each takes an `Axes` (or makes one) and returns it.

Their figures are those of `simlib.results.powercut_tables`; sweeps are given by the names they are to have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from simlib.results.plots_looks import COMPONENTS, FATES, LOOKS, beside, legend_below, rows
from simlib.results.powercut_tables import CYCLES, cut_shares, fates, flash_life, wear_by_partition

if TYPE_CHECKING:
    from simlib.device.powercut import PowercutResult

_CODES: Final = {fate: code for code, fate in enumerate(FATES)}
_COLOURS: Final = ListedColormap([look.colour for look in FATES.values()])
_WORDS: Final = {"new": "new image boots", "old": "old image boots", "stuck": "boots, cannot be updated"}
_HARM: Final = ("stuck", "bricked")
_PHASE_SHARE: Final = 0.05
"""A phase that takes less of the axis gets no name."""
_FLASH: Final = COMPONENTS[1][1]
_INK: Final = COMPONENTS[0][1]


def cut_map(results: Mapping[str, PowercutResult], ax: Axes | None = None) -> Axes:
    """Every point where power can fail, coloured by what boots afterwards: a block of rows a sweep.

    In a block a row is a way to tear the operation, and a column an operation; above it stand the phases of
    the update. A cut that does harm is drawn wider than it is where it would be too thin to be seen.
    """
    tables = {name: fates(result) for name, result in results.items()}
    heights = [len(table["tear"].unique()) + 2 for table in tables.values()]
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.2 + 0.16 * sum(heights)), layout="constrained")[1]
    longest = max(result.ops for result in results.values())
    ticks: list[tuple[float, str]] = []
    top = 0
    for (name, table), result, height in zip(tables.items(), results.values(), heights, strict=True):
        ticks.append((top + 0.5, name))
        _phases(ax, result, top, height - 1, longest)
        for row, (tear, cuts) in enumerate(table.groupby("tear", sort=False)):
            y = top + 1 + row
            _row(ax, cuts["fate"], y, longest)
            ticks.append((y + 0.5, str(tear)))
        ax.annotate(
            _counted(table["fate"]),
            (result.ops, top + height / 2),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
        top += height
    ax.set(xlim=(0, longest * 1.24), ylim=(top - 0.5, -0.3))
    ax.set_xlabel("flash operation in which power fails [number]")
    ax.set_yticks([y for y, _ in ticks], [label for _, label in ticks])
    ax.tick_params(axis="y", length=0, labelsize=7)
    for text, (_, label) in zip(ax.get_yticklabels(), ticks, strict=True):
        if label in tables:
            text.set(fontweight="bold", fontsize=9)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    _fate_legend(ax, {fate for table in tables.values() for fate in table["fate"]})
    ax.set_title(_harm_title(cut_shares(results)))
    return ax


def brick_shares(results: Mapping[str, PowercutResult], ax: Axes | None = None) -> Axes:
    """How the cuts of each sweep ended, as shares of its cut points; bricked ones also as numbers."""
    shares = cut_shares(results)
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.4 + 0.34 * len(shares)), layout="constrained")[1]
    left = np.zeros(len(shares))
    for fate, look in FATES.items():
        share = (shares[fate] / shares["cuts"]).to_numpy()
        if share.any():
            label = _WORDS.get(fate, fate)
            ax.barh(
                shares.index,
                share,
                left=left,
                height=0.7,
                color=look.colour,
                hatch=look.hatch,
                edgecolor="white",
                linewidth=0,
                label=label,
            )
        left = left + share
    for row, (bricked, cuts) in enumerate(zip(shares["bricked"], shares["cuts"], strict=True)):
        ax.annotate(
            f"{bricked:,} of {cuts:,} brick",
            (1, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    rows(ax, len(shares))
    ax.set(xlim=(0, 1), xlabel="share of the cut points [%]")
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    legend_below(ax)
    ax.set_title(_harm_title(shares))
    return ax


def wear_bars(results: Mapping[str, PowercutResult], ax: Axes | None = None) -> Axes:
    """Erases of each partition's most erased sector, by an update and by the revert of a failed trial."""
    table = wear_by_partition(results)
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.3 + 0.24 * len(table)), layout="constrained")[1]
    at = np.arange(len(table))
    update, revert = table["update"].to_numpy(), table["revert"].to_numpy()
    ax.barh(at, update, color=_FLASH, edgecolor="white", label="update")
    look = LOOKS["reverted"]
    if revert.any():
        ax.barh(
            at,
            revert,
            left=update,
            color=look.colour,
            hatch=look.hatch,
            edgecolor="white",
            label="revert of a failed trial",
        )
    for row, (worst, total) in enumerate(zip(update + revert, table["erases"], strict=True)):
        beside(ax, f"{worst} ({total} in all sectors)", (worst, row))
    names = [name for name, _ in table.index]
    for row, (before, name) in enumerate(pairwise(names), 1):
        if before != name:
            ax.axhline(row - 0.5, color="0.8", linewidth=0.8)
    ax.set_yticks(at, [f"{name}, {partition}" for name, partition in table.index], fontsize=8)
    rows(ax, len(table))
    most = int((update + revert).max())
    ax.set(xlim=(0, most * 1.35), xlabel="of the most erased sector [erases]")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    name, partition = table.index[int((update + revert).argmax())]
    ax.set_title(f"an update and its revert erase one sector of {name}'s {partition} {most} times")
    legend_below(ax)
    return ax


def flash_lives(
    results: Mapping[str, PowercutResult], ax: Axes | None = None, *, cycles: int = CYCLES
) -> Axes:
    """How many updates a flash takes until its most erased sector has had `cycles` erases, by layout.

    A dot, and its number on the right: counted. A white diamond: where every update fails and is reverted. A
    line: MCUboot's rule for the swap alone.
    """
    table = flash_life(results, cycles=cycles)
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.6 + 0.36 * len(table)), layout="constrained")[1]
    at = np.arange(len(table))
    looks = {
        "updates": ("o", _INK, 8.0, "counted, every update succeeds"),
        "failed": ("D", "white", 8.0, "counted, every update is reverted"),
        "by_rule": ("|", "black", 20.0, "MCUboot's rule, the swap alone"),
    }
    for column, (marker, face, size, label) in looks.items():
        ax.plot(
            table[column],
            at,
            marker,
            markerfacecolor=face,
            markeredgecolor="black" if marker == "|" else _INK,
            markersize=size,
            markeredgewidth=2.5 if marker == "|" else 1.5,
            linestyle="none",
            label=label,
        )
    for row, updates in enumerate(table["updates"]):
        ax.annotate(
            f"{updates:,.0f}",
            (1, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    ax.set_yticks(at, [str(name) for name in table.index])
    rows(ax, len(table))
    ax.set_xscale("log")
    ax.set(xlim=(float(table.min().min()) / 1.6, float(table.max().max()) * 2))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.grid(axis="both", color="0.9")
    ax.set_axisbelow(True)
    ax.set_xlabel(f"in the life of a flash of {cycles:,} erases a sector [updates]")
    worst, best = table["updates"].idxmin(), table["updates"].idxmax()
    ratio = table["updates"].max() / table["updates"].min()
    ax.set_title(f"a flash takes {ratio:,.0f} times as many updates with {best} as with {worst}")
    legend_below(ax)
    return ax


def phase_name(layout: str, phase: str) -> str:
    """What a person calls a phase of a sweep: of a boot, what it does to the image."""
    if phase != "boot":
        return phase
    if layout.startswith("swap"):
        return "swap"
    return "copy" if layout in ("overwrite-only", "in-place-journal") else "boot"


def _row(ax: Axes, fate: pd.Series, y: int, longest: int) -> None:
    codes = fate.map(_CODES).to_numpy()
    ax.pcolormesh(
        np.arange(len(codes) + 1),
        [y + 0.06, y + 0.94],
        codes[np.newaxis, :],
        cmap=_COLOURS,
        vmin=-0.5,
        vmax=len(_CODES) - 0.5,
        rasterized=True,
    )
    least = longest / 250
    for first, n, harm in _runs_of_harm(fate):
        width = max(float(n), least)
        look = FATES[harm]
        ax.broken_barh(
            [(first + n / 2 - width / 2, width)],
            (y + 0.06, 0.88),
            facecolor=look.colour,
            hatch=look.hatch,
            edgecolor="white",
            linewidth=0,
        )


def _runs_of_harm(fate: pd.Series) -> Iterator[tuple[int, int, str]]:
    """First column, length and name of each run of cuts that do harm."""
    at = 0
    for name, members in groupby(fate):
        n = len(list(members))
        if name in _HARM:
            yield at, n, str(name)
        at += n


def _phases(ax: Axes, result: PowercutResult, top: int, bottom: int, longest: int) -> None:
    at = 0
    for phase, ops in result.ops_of().items():
        if at:
            ax.vlines(at, top + 0.15, top + bottom + 0.1, color="black", linewidth=1)
        if ops / longest > _PHASE_SHARE:
            name = phase_name(result.options.layout, phase)
            ax.text(at + ops / 2, top + 0.55, name, ha="center", va="center", fontsize=8)
        at += ops


def _counted(fate: pd.Series) -> str:
    counts = {harm: int((fate == harm).sum()) for harm in _HARM}
    found = ", ".join(f"{n:,} {harm}" for harm, n in counts.items() if n)
    return f"{len(fate):,} cuts\n{found or 'no harm'}"


def _fate_legend(ax: Axes, seen: set[str]) -> None:
    handles = [
        Patch(facecolor=look.colour, hatch=look.hatch, edgecolor="white", label=_WORDS.get(fate, fate))
        for fate, look in FATES.items()
        if fate in seen
    ]
    legend_below(ax, handles)


def _harm_title(shares: pd.DataFrame) -> str:
    cuts = int(shares["cuts"].sum())
    hurt = shares[(shares["bricked"] > 0) | (shares["stuck"] > 0)]
    if hurt.empty:
        return f"{cuts:,} power cuts, no harm: every device boots and can be updated again"
    worst = hurt["bricked"].idxmax()
    bricked, all_of_it = int(hurt.loc[worst, "bricked"]), int(hurt.loc[worst, "cuts"])
    if len(shares) == 1:
        return f"{worst}: {bricked:,} of {all_of_it:,} power cuts brick"
    others = "no other layout is harmed" if len(hurt) == 1 else f"{len(hurt) - 1} more layouts are harmed"
    return f"{cuts:,} power cuts: {bricked:,} of {worst}'s {all_of_it:,} brick, {others}"
