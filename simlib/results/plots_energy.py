"""Plots about energy, batteries, links and the server's beliefs. Each takes an `Axes` and returns it.

Their figures are those of `simlib.results.energy`; that of the gates is a table of
`simlib.study.battery_gates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, PercentFormatter

from simlib.results.energy import UPDATES_A_YEAR, bytes_by_hour, update_energy, update_years
from simlib.results.plots_looks import COMPONENTS, LOOKS, axes, fill, legend, rows

if TYPE_CHECKING:
    from simlib.results.run import Run

INK: Final = COMPONENTS[0][1]
_TONE: Final = {name: (colour, hatch) for name, colour, hatch in COMPONENTS}
# A step of a waterfall and how it is drawn: what the radio does has its colour, told apart by hatches.
STEPS: Final = {
    "receive": _TONE["radio"],
    "report": (_TONE["radio"][0], "xx"),
    "copies of user data": (_TONE["radio"][0], "--"),
    "flash": _TONE["flash"],
    "compute": _TONE["compute"],
}
_LINES: Final = (INK, _TONE["flash"][0], "#2b270f")
_MARKERS: Final = ("o", "s", "^", "D")
_NOTHING: Final = "no device was updated"
_BELIEFS: Final = ("none", *(state for state in LOOKS if state not in ("waiting", "under way")))
_PAPER: Final = LinearSegmentedColormap.from_list("counts", ["#f4f1e3", INK])


def steps_uj(energy: pd.Series | pd.DataFrame) -> pd.DataFrame:
    """The steps of the waterfall [µJ], a row a cohort: means as `update_energy` gives them, by step.

    What the radio spent beside receiving and reporting went into copies of the user's data.
    """
    table = energy.to_frame().T if isinstance(energy, pd.Series) else energy
    receive, report = table["download_uj"], table["report_uj"]
    parts = {
        "receive": receive,
        "report": report,
        "copies of user data": (table["radio_uj"] - receive - report).round(6).clip(lower=0),
        "flash": table["flash_uj"],
        "compute": table["compute_uj"],
    }
    return pd.DataFrame(parts)


def waterfall(run: Run, ax: Axes | None = None, *, cohort: str | None = None) -> Axes:
    """What an updated device of `cohort` (None: of any) spent, the mean, step upon step up to the total.

    What connecting takes is in the step that receives.
    """
    ax = axes(ax)
    energy = update_energy(run)
    what = "of the updated" if cohort is None else f"of the updated of {cohort}"
    ax.set_title(f"{run.summary['scenario']}: energy of an update")
    if cohort is not None:
        energy = energy[energy.index == cohort]
    if energy.empty:
        return _nothing(ax, _NOTHING)
    mean = energy.mul(energy["devices"], axis=0).sum() / energy["devices"].sum()
    steps = steps_uj(mean).iloc[0]
    steps = steps[steps > 0]
    scale, unit = _energy_unit(float(steps.sum()))
    heights = steps.to_numpy() / scale
    bottoms = np.concatenate([[0.0], np.cumsum(heights)[:-1]])
    for at, (step, height, bottom) in enumerate(zip(steps.index, heights, bottoms, strict=True)):
        _bar(ax, at, height, bottom, step)
        ax.plot([at + 0.35, at + 0.65], [bottom + height] * 2, color=INK, linewidth=1)
    total = float(heights.sum())
    ax.bar(len(steps), total, width=0.7, facecolor="white", edgecolor=INK, linewidth=1.5)
    tops = [*(bottoms + heights), total]
    for at, (top, height) in enumerate(zip(tops, [*heights, total], strict=True)):
        ax.annotate(
            f"{height:,.3g}", (at, top), xytext=(0, 3), textcoords="offset points", ha="center", va="bottom"
        )
    ax.set_xticks(range(len(steps) + 1), [step.replace(" ", "\n") for step in steps.index] + ["total"])
    ax.set(ylim=(0, total * 1.1), ylabel=f"energy, mean {what} [{unit}]", xlabel="step")
    return ax


def waterfalls(run: Run, ax: Axes | None = None) -> Axes:
    """For each cohort the steps of its waterfall, as shares of its total: where the energy of an update goes.

    The totals, which may differ a thousandfold, stand under the cohorts' names.
    """
    ax = axes(ax)
    energy = update_energy(run)
    ax.set_title(f"{run.summary['scenario']}: where the energy of an update goes")
    if energy.empty:
        return _nothing(ax, _NOTHING)
    steps = steps_uj(energy)
    steps = steps.loc[:, (steps > 0).any()]
    width = len(steps.columns) + 1.5
    shares = steps.div(steps.sum(axis=1), axis=0).to_numpy()
    for group, parts in enumerate(shares):
        bottom = 0.0
        for at, (step, share) in enumerate(zip(steps.columns, parts, strict=True)):
            _bar(ax, group * width + at, share, bottom, step, width=1.0, label=not group)
            bottom += share
            if at < len(parts) - 1:
                ax.plot(
                    [group * width + at - 0.5, group * width + at + 1.5], [bottom] * 2, color=INK, linewidth=1
                )
    middle = (len(steps.columns) - 1) / 2
    names = [f"{c}\n{_energy_text(t)}" for c, t in energy["total_uj"].items()]
    ax.set_xticks([group * width + middle for group in range(len(names))], names)
    ax.tick_params(axis="x", length=0)
    ax.set(
        ylim=(0, 1.02),
        ylabel="share of the update's energy [%]",
        xlabel="cohort and total, mean of the updated",
    )
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    legend(ax)
    return ax


def gates(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Derived battery gates against guessed ones: a row a cohort of a table of `simlib.study.battery_gates`.

    A dot: what the update may take. A diamond: the gate, with the reserve. Lines: the guesses.
    """
    ax = axes(ax)
    ax.set_title("battery gates, derived and guessed")
    if table.empty:
        return _nothing(ax, "no cohort has a cell")
    need = 100 * table["need_uj"] / table["cell_uj"]
    derived = table["derived_percent"]
    at = np.arange(len(table))
    ax.hlines(at, need, derived, color=INK, linewidth=2)
    ax.plot(need, at, "o", color=INK, markersize=7, label="the update, and its revert")
    ax.plot(
        derived,
        at,
        "D",
        color=INK,
        markerfacecolor="white",
        markersize=8,
        label="derived gate, with the reserve",
    )
    guesses = [float(name.removesuffix(" %")) for name in table.columns if name.endswith(" %")]
    for guess, dashes in zip(guesses, cycle(["-", "--", "-.", ":"]), strict=False):
        ax.axvline(
            guess,
            color=_TONE["flash"][0],
            linestyle=dashes,
            linewidth=2,
            label=f"guess: {guess:g} %",
            zorder=0,
        )
    for row, gate in enumerate(derived):
        ax.annotate(
            f"{gate:,.2g} %",
            (gate, row),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    labels = [f"{name}\n{cell}" for name, cell in table["cell"].items()]
    ax.set_yticks(at, labels)
    rows(ax, len(table))
    ax.set_xscale("log")
    least = min(float(need.min()), *guesses) if guesses else float(need.min())
    most = max(100.0, float(derived.max()) * 2)
    ax.set(xlim=(least / 2, most), xlabel="charge, as a share of a full battery [%]")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    legend(ax)
    return ax


def compare_cell_life(runs: Mapping[str, Run], ax: Axes | None = None) -> Axes:
    """How many years a cell lasts without updates and with 1, 4 and 12 a year: a row a run and cohort."""
    ax = axes(ax)
    tables = {name: update_years(run) for name, run in runs.items()}
    known = {name: table for name, table in tables.items() if not table.empty}
    ax.set_title("life of a cell, with so many updates a year")
    if not known:
        return _nothing(ax, "no cohort with a cell was updated")
    table = pd.concat(known)
    cohorts = list(dict.fromkeys(cohort for _, cohort in table.index))
    table = table.loc[[(name, c) for c in cohorts for name in known if (name, c) in table.index]]
    at = np.arange(len(table))
    numbers = (0, *UPDATES_A_YEAR)
    years = table[[f"years_with_{n}" for n in numbers]].to_numpy()
    ax.hlines(at, years.min(axis=1), years.max(axis=1), color=INK, linewidth=2, zorder=1)
    faces = ("white", COMPONENTS[2][1], COMPONENTS[1][1], INK)
    for column, (n, marker, face) in enumerate(zip(numbers, _MARKERS, faces, strict=True)):
        ax.plot(
            years[:, column],
            at,
            marker,
            markerfacecolor=face,
            markeredgecolor=INK,
            markersize=8,
            linestyle="none",
            label=f"{n} updates a year" if n != 1 else "1 update a year",
        )
    for row, (life, cost) in enumerate(zip(years[:, 0], table["days_per_update"], strict=True)):
        ax.annotate(
            f"an update costs {_days_text(cost)}",
            (life, row),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    several = len(runs) > 1
    ax.set_yticks(at, [f"{cohort}, {name}" if several else str(cohort) for name, cohort in table.index])
    rows(ax, len(table))
    ax.set(xlim=(0, float(years.max()) * 1.45), xlabel="life of a full cell [years]")
    legend(ax)
    return ax


def compare_link_by_hour(runs: Mapping[str, Run], ax: Axes | None = None) -> Axes:
    """Bytes on the links in each hour of the day (UTC): of each run its mean, and a band of its range."""
    ax = axes(ax)
    tables = {name: bytes_by_hour(run) for name, run in runs.items()}
    scale, unit = _bytes_unit(max(float(table["most"].max()) for table in tables.values()))
    edges = np.arange(25)
    looks = cycle(zip(_LINES, ["-", "--", "-."], _MARKERS[:3], strict=True))
    for (name, table), (colour, dashes, marker) in zip(tables.items(), looks, strict=False):
        low, high = (np.append(table[c], table[c].iloc[-1]) / scale for c in ("least", "most"))
        ax.fill_between(edges, low, high, step="post", color=colour, alpha=0.25, linewidth=0)
        mean = table["mean"].to_numpy() / scale
        days = int(table["days"].max())
        ax.plot(
            np.arange(24) + 0.5,
            mean,
            color=colour,
            drawstyle="steps-mid",
            linestyle=dashes,
            linewidth=2,
            marker=marker,
            markersize=5,
            label=f"{name}: {days} day{'s' * (days != 1)}",
        )
    ax.set(
        xlim=(0, 24), xlabel="hour of the day, UTC [h]", ylabel=f"bytes in an hour, mean and range [{unit}]"
    )
    ax.set_xticks(range(0, 25, 3))
    ax.set_ylim(bottom=0)
    ax.set_title("bytes on the links through a day")
    legend(ax)
    return ax


def beliefs(run: Run, ax: Axes | None = None) -> Axes:
    """How many devices the server believes ended so (rows), and how they did (columns).

    Where the two are the same the count has a frame; the strips beside the states have their colours.
    """
    ax = axes(ax)
    counts = run.beliefs.groupby(["believed", "true"])["devices"].sum().unstack(fill_value=0)
    believed = [state for state in _BELIEFS if state in counts.index]
    true = [state for state in _BELIEFS if state in counts.columns]
    shown = counts.loc[believed, true].to_numpy()
    most = max(int(shown.max(initial=1)), 2)
    ax.imshow(np.where(shown, shown, np.nan), cmap=_PAPER, norm=LogNorm(1, most), aspect="auto")
    for (row, column), count in np.ndenumerate(shown):
        if count:
            dark = np.log(count) > 0.55 * np.log(most)
            ax.text(column, row, f"{count:,}", ha="center", va="center", color="white" if dark else "black")
        if believed[row] == true[column]:
            ax.add_patch(
                Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=1.5)
            )
    for column, state in enumerate(true):
        ax.add_patch(Rectangle((column - 0.5, len(believed) - 0.5), 1, 0.12, linewidth=0, **fill(state)))
    for row, state in enumerate(believed):
        if state in LOOKS:
            ax.add_patch(Rectangle((-0.62, row - 0.5), 0.12, 1, linewidth=0, **fill(state)))
    ax.set_xticks(range(len(true)), true, rotation=20 if len(true) > 5 else 0)
    ax.set_yticks(range(len(believed)), ["no report" if state == "none" else state for state in believed])
    ax.set(xlim=(-0.62, len(true) - 0.5), ylim=(len(believed) - 0.38, -0.5))
    ax.set(xlabel="how the devices ended", ylabel="what the server believes")
    ax.set_title(f"{run.summary['scenario']}: believed and true [devices]")
    return ax


def _bar(
    ax: Axes, at: float, height: float, bottom: float, step: str, *, width: float = 0.7, label: bool = False
) -> None:
    colour, hatch = STEPS[step]
    ax.bar(
        at,
        height,
        bottom=bottom,
        width=width,
        color=colour,
        hatch=hatch,
        edgecolor="white",
        linewidth=0,
        label=step if label else "",
    )


def _nothing(ax: Axes, text: str) -> Axes:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center")
    ax.set(xticks=[], yticks=[])
    return ax


def _energy_unit(largest_uj: float) -> tuple[float, str]:
    for scale, unit in ((1e6, "J"), (1e3, "mJ")):
        if largest_uj >= scale:
            return scale, unit
    return 1.0, "µJ"


def _energy_text(energy_uj: float) -> str:
    scale, unit = _energy_unit(energy_uj)
    return f"{energy_uj / scale:.3g} {unit}"


def _days_text(days: float) -> str:
    number, unit = (days, "days") if days >= 1 else (days * 24, "hours")
    return f"{number:.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}"


def _bytes_unit(largest: float) -> tuple[float, str]:
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest >= scale:
            return scale, unit
    return 1.0, "byte"
