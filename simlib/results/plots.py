"""Plots of a run, and of several side by side. Each takes an `Axes` (or makes one) and returns it.

The same state has the same colour in every plot, and a hatch beside it, so that a plot reads without
colours too. What is no state (bytes, energy) is drawn in colours that no state has. Times are in days
since the start; the unit of an axis stands in brackets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

if TYPE_CHECKING:
    from simlib.results.run import Run

DAY_MS: Final = 86_400_000
TIME_LABEL: Final = "time since the start [days]"


@dataclass(frozen=True, slots=True)
class Look:
    """How one state is drawn everywhere."""

    colour: str
    hatch: str


# Of the ten colours of matplotlib's petroff10 cycle (M. A. Petroff, arXiv:2107.02270), told apart by people
# with colour-vision deficiencies, the states have nine; good ends are cool, bad ends warm. Who has not begun
# is a light grey, called waiting while the run goes on and pending at its end.
LOOKS: Final = {
    "waiting": Look("#e3e3e3", ""),
    "under way": Look("#a96b59", ".."),
    "updated": Look("#3f90da", ""),
    "reverted": Look("#ffa90e", "//"),
    "rolled_back": Look("#e76300", "xx"),
    "failed": Look("#832db6", "\\\\"),
    "deferred": Look("#94a4a2", "--"),
    "ineligible": Look("#717581", "oo"),
    "pending": Look("#e3e3e3", ""),
    "bricked": Look("#bd1f01", "XX"),
    "lost": Look("#92dadd", "++"),
    "compromised": Look("#000000", "**"),
}

UNDER_WAY: Final = (
    "offered",
    "downloading",
    "backing_off",
    "installing",
    "power_off",
    "rebooting",
    "trial",
    "confirming",
    "reverting",
)
ENDS: Final = (
    "updated",
    "reverted",
    "rolled_back",
    "failed",
    "deferred",
    "ineligible",
    "bricked",
    "lost",
    "compromised",
)
ENDS_WITH_PENDING: Final = (*ENDS, "pending")
WORST: Final = ("bricked", "lost", "compromised")

# The tenth colour of that cycle in three tones, from dark to light.
COMPONENTS: Final = (
    ("radio", "#6b6230", ""),
    ("flash", "#b9ac70", "//"),
    ("compute", "#e6dfc0", ".."),
)
BYTES_COLOUR: Final = COMPONENTS[0][1]


class Plots:
    """The plots of one run: ``run.plot.progress()``."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def progress(self, ax: Axes | None = None) -> Axes:
        """Share of the fleet in each state over time, stacked, the good end at the bottom.

        Dotted lines: a group opened. A dashed line: the rollout halted.
        """
        ax = _axes(ax)
        timeline = self._run.timeline
        days = _days(timeline)
        counts = {end: timeline[end].to_numpy() for end in ENDS if timeline[end].any()}
        under_way = timeline[list(UNDER_WAY)].sum(axis=1).to_numpy()
        if under_way.any():
            counts["under way"] = under_way
        counts["waiting"] = (timeline["waiting"] + timeline["pending"]).to_numpy()
        fleet = self._run.summary["devices"]
        bottom = np.zeros(len(days))
        for state, count in counts.items():
            top = bottom + count / fleet
            ax.fill_between(days, bottom, top, linewidth=0, label=state, **_fill(state))
            bottom = top
        _span(ax, days)
        ax.set(ylim=(0, 1), ylabel="share of the fleet [%]")
        ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=None))
        self._mark_openings(ax, float(ax.get_xlim()[1]))
        halted_ms = self._run.summary["halted_at_ms"]
        if halted_ms is not None:
            ax.axvline(halted_ms / DAY_MS, color="black", linestyle="--", label="halt")
        self._title(ax, "state of the fleet")
        _legend(ax, reverse=True)
        return ax

    def groups(self, ax: Axes | None = None) -> Axes:
        """How the devices of each group ended, as shares of the group."""
        ax = _axes(ax)
        counts = self._run.devices.groupby(["group", "outcome"]).size().unstack(fill_value=0)
        sizes = counts.sum(axis=1)
        others = sizes - counts.get("updated", 0)
        labels = [
            f"group {group}\n{sizes[group]:,} devices\n{others[group]:,} not updated"
            for group in counts.index
        ]
        _stacked_shares(ax, labels, counts)
        ax.set(xlabel="share of the group [%]")
        self._title(ax, "outcomes by group")
        return ax

    def link(self, ax: Axes | None = None) -> Axes:
        """Bytes a second on the links, the mean of each interval of the timeline."""
        ax = _axes(ax)
        timeline = self._run.timeline
        days = _days(timeline)
        bytes_each = np.diff(timeline["bytes_on_links"].to_numpy())
        rate_bps = bytes_each / np.diff(timeline["time_ms"].to_numpy()) * 1000
        scale, unit = _rate_unit(rate_bps)
        ax.stairs(rate_bps / scale, days, fill=True, color=BYTES_COLOUR)
        _span(ax, days)
        ax.set(ylabel=f"bytes on the links, mean [{unit}]")
        ax.set_ylim(0, None if bytes_each.any() else 1)
        self._title(ax, "bytes on the links")
        return ax

    def energy(self, ax: Axes | None = None) -> Axes:
        """Energy an updated device spent: the mean by component, for each cohort and kind of artefact."""
        ax = _axes(ax)
        devices = self._run.devices
        updated = devices[devices["outcome"] == "updated"]
        kind = updated["artefact"].where(updated["artefact"] == "full", "delta").rename("kind")
        columns = [f"energy_{name}_uj" for name, _, _ in COMPONENTS]
        grouped = updated.groupby(["cohort", kind])
        means_mj = grouped[columns].mean() / 1000
        labels = [f"{cohort}, {kind}\n{n:,} devices" for (cohort, kind), n in grouped.size().items()]
        left = np.zeros(len(labels))
        for (name, colour, hatch), column in zip(COMPONENTS, columns, strict=True):
            width = means_mj[column].to_numpy()
            ax.barh(
                labels, width, left=left, color=colour, hatch=hatch, edgecolor="white", height=0.7, label=name
            )
            left = left + width
        ax.set(xlabel="energy of an update, mean of the updated [mJ]")
        if labels:
            _rows(ax, len(labels))
            ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            _legend(ax)
        else:
            ax.text(0.5, 0.5, "no device was updated", transform=ax.transAxes, ha="center")
            ax.set(xticks=[], yticks=[])
        self._title(ax, "energy of an update")
        return ax

    def _mark_openings(self, ax: Axes, end: float) -> None:
        opened = self._run.groups.loc[self._run.groups["opened_ms"] > 0, ["group", "opened_ms"]]
        written = 0.0
        for group, opened_ms in opened.itertuples(index=False):
            at = opened_ms / DAY_MS
            ax.axvline(at, color="black", linestyle=":", linewidth=1)
            if at - written > end / 25:  # a name beside each line, unless the lines are too close for it
                ax.annotate(
                    f"group {group}",
                    (at, 0.98),
                    xytext=(-2, 0),
                    textcoords="offset points",
                    rotation=90,
                    ha="right",
                    va="top",
                    fontsize="small",
                )
                written = at

    def _title(self, ax: Axes, what: str) -> None:
        ax.set_title(f"{self._run.summary['scenario']}: {what}")


def compare_outcomes(runs: Mapping[str, Run], ax: Axes | None = None) -> Axes:
    """How the fleet ended in each of several runs, a bar a run; the worst ends also as numbers."""
    ax = _axes(ax)
    outcomes = pd.DataFrame([run.summary["outcomes"] for run in runs.values()], index=list(runs))
    labels = [_with_worst(name, run.summary["outcomes"]) for name, run in runs.items()]
    _stacked_shares(ax, labels, outcomes.loc[:, outcomes.any()])
    ax.set(xlabel="share of the fleet [%]")
    ax.set_title("how the fleet ended")
    return ax


def compare_over_time(runs: Mapping[str, Run], outcome: str, ax: Axes | None = None) -> Axes:
    """How many devices had ended with `outcome`, over time: a line a run, each with its dashes and marker."""
    ax = _axes(ax)
    styles = cycle([("-", "o"), ("--", "s"), ("-.", "^"), (":", "D")])
    longest = np.zeros(1)
    for number, (name, run) in enumerate(runs.items()):
        days, counts = _days(run.timeline), run.timeline[outcome].to_numpy()
        line, marker = next(styles)
        every = max(1, len(days) // 8)
        ax.plot(
            days,
            counts,
            color=LOOKS[outcome].colour,
            linestyle=line,
            marker=marker,
            # Each run's markers begin a little later, so that lines on top of each other both show.
            markevery=(number * every // max(1, len(runs)), every),
            markerfacecolor="white",
            label=f"{name}: {counts[-1]:,}",
        )
        longest = max(longest, days, key=lambda d: float(d[-1]))
    _span(ax, longest)
    ax.set(ylabel=f"{outcome} [devices]")
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.set_title(f"{outcome} over time")
    _legend(ax)
    return ax


def _axes(ax: Axes | None) -> Axes:
    return ax if ax is not None else plt.subplots(figsize=(9, 4.5), layout="constrained")[1]


def _fill(state: str) -> dict[str, Any]:
    look = LOOKS[state]
    return {"facecolor": look.colour, "hatch": look.hatch, "edgecolor": "white"}


def _days(timeline: pd.DataFrame) -> np.ndarray:
    return np.asarray(timeline["time_ms"].to_numpy() / DAY_MS)


def _span(ax: Axes, days: np.ndarray) -> None:
    """A time axis from the start to the last sample; a run interrupted at once still gets a width."""
    ax.set(xlabel=TIME_LABEL, xlim=(0, max(float(days[-1]), 1 / 1440)))


def _rate_unit(rate_bps: np.ndarray) -> tuple[float, str]:
    """A unit in which the largest rate has few digits before the point."""
    largest = rate_bps.max(initial=0)
    for scale, unit in ((1e6, "MB/s"), (1e3, "kB/s")):
        if largest >= scale:
            return scale, unit
    return 1.0, "byte/s"


def _with_worst(name: str, outcomes: Mapping[str, int]) -> str:
    return "\n".join([name, *(f"{outcomes[end]:,} {end}" for end in WORST if outcomes[end])])


def _stacked_shares(ax: Axes, labels: Sequence[str], counts: pd.DataFrame) -> None:
    """A bar a row of `counts`, whose columns are outcomes, each as its share of the row's sum."""
    sizes = counts.sum(axis=1).to_numpy()
    left = np.zeros(len(counts))
    for outcome in ENDS_WITH_PENDING:
        if outcome in counts:
            share = counts[outcome].to_numpy() / sizes
            ax.barh(labels, share, left=left, linewidth=0, height=0.7, label=outcome, **_fill(outcome))
            left = left + share
    _rows(ax, len(labels))
    ax.set(xlim=(0, 1))
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    _legend(ax)


def _rows(ax: Axes, rows: int) -> None:
    """The first row on top; a single bar no thicker than others."""
    ax.set_ylim(max(rows, 2) - 0.5, -0.5)


def _legend(ax: Axes, *, reverse: bool = False) -> None:
    """Beside the axes, where it hides nothing; `reverse` for stacks, so that it reads as they lie."""
    handles, labels = ax.get_legend_handles_labels()
    if reverse:
        handles, labels = handles[::-1], labels[::-1]
    ax.legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
