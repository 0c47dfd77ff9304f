"""Plots of a run, and of several side by side. Each takes an `Axes` (or makes one) and returns it.

The same state has the same colour in every plot, and a hatch beside it, so that a plot reads without
colours too. What is no state (bytes, energy) is drawn in colours that no state has. Times are in days
since the start; the unit of an axis stands in brackets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from simlib.results import plots_energy
from simlib.results.plots_looks import BYTES_COLOUR, COMPONENTS, LOOKS, axes, fill, legend, rows

if TYPE_CHECKING:
    from simlib.results.run import Run

DAY_MS: Final = 86_400_000
TIME_LABEL: Final = "time since the start [days]"

UNDER_WAY: Final = (
    "offered",
    "connecting",
    "downloading",
    "backing_off",
    "ready",
    "backing_up",
    "installing",
    "power_off",
    "rebooting",
    "trial",
    "probation",
    "confirming",
    "reverting",
    "restoring",
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


def artefact_kind(name: str) -> str:
    """Whether an artefact of this name is "full", "compressed" or a "delta", to whatever target it leads.

    `simlib.release` gives the names: what is no patch begins with its kind, and says what it leads to if that
    is not the main release (``full-of-1.0.0``).
    """
    whole = name.partition("-of-")[0]
    return whole if whole in ("full", "compressed") else "delta"


class Plots:
    """The plots of one run: ``run.plot.progress()``."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def progress(self, ax: Axes | None = None) -> Axes:
        """Share of the fleet in each state over time, stacked, the good end at the bottom.

        Dotted lines: a group opened. A dashed line: a gate stopped the rollout.
        """
        ax = axes(ax)
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
            ax.fill_between(days, bottom, top, linewidth=0, label=state, **fill(state))
            bottom = top
        _span(ax, days)
        ax.set(ylim=(0, 1), ylabel="share of the fleet [%]")
        ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=None))
        self._mark_openings(ax, float(ax.get_xlim()[1]))
        for at_ms, what in self._stops():
            ax.axvline(at_ms / DAY_MS, color="black", linestyle="--", label=what)
        self._title(ax, "state of the fleet")
        legend(ax, reverse=True)
        return ax

    def _stops(self) -> list[tuple[int, str]]:
        """When gates fired, and what the first of each kind is called."""
        summary = self._run.summary
        if "stops" not in summary:  # a run saved before there were several kinds
            return [] if summary["halted_at_ms"] is None else [(summary["halted_at_ms"], "halt")]
        marks: list[tuple[int, str]] = []
        for stop in summary["stops"]:
            what = "halt" if stop["decision"] == "cancel" else stop["decision"]
            marks.append((stop["at_ms"], "" if what in dict(marks).values() else what))
        return marks

    def groups(self, ax: Axes | None = None) -> Axes:
        """How the devices of each group ended, as shares of the group."""
        ax = axes(ax)
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
        ax = axes(ax)
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
        ax = axes(ax)
        devices = self._run.devices
        updated = devices[devices["outcome"] == "updated"]
        kind = updated["artefact"].map(artefact_kind).rename("kind")
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
            rows(ax, len(labels))
            ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            legend(ax)
        else:
            ax.text(0.5, 0.5, "no device was updated", transform=ax.transAxes, ha="center")
            ax.set(xticks=[], yticks=[])
        self._title(ax, "energy of an update")
        return ax

    def waterfall(self, ax: Axes | None = None, *, cohort: str | None = None) -> Axes:
        """The energy of an update, part upon part up to the total: see `plots_energy.waterfall`."""
        return plots_energy.waterfall(self._run, ax, cohort=cohort)

    def waterfalls(self, ax: Axes | None = None) -> Axes:
        """The same for each cohort, as shares of its total: see `plots_energy.waterfalls`."""
        return plots_energy.waterfalls(self._run, ax)

    def cell_life(self, ax: Axes | None = None) -> Axes:
        """How long a cell lasts with and without updates: see `plots_energy.compare_cell_life`."""
        return plots_energy.compare_cell_life({self._run.summary["scenario"]: self._run}, ax)

    def link_by_hour(self, ax: Axes | None = None) -> Axes:
        """Bytes on the links through a day: see `plots_energy.compare_link_by_hour`."""
        return plots_energy.compare_link_by_hour({self._run.summary["scenario"]: self._run}, ax)

    def beliefs(self, ax: Axes | None = None) -> Axes:
        """What the server believes of the devices, against the truth: see `plots_energy.beliefs`."""
        return plots_energy.beliefs(self._run, ax)

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
    ax = axes(ax)
    outcomes = pd.DataFrame([run.summary["outcomes"] for run in runs.values()], index=list(runs))
    labels = [_with_worst(name, run.summary["outcomes"]) for name, run in runs.items()]
    _stacked_shares(ax, labels, outcomes.loc[:, outcomes.any()])
    ax.set(xlabel="share of the fleet [%]")
    ax.set_title("how the fleet ended")
    return ax


def compare_over_time(runs: Mapping[str, Run], outcome: str, ax: Axes | None = None) -> Axes:
    """How many devices had ended with `outcome`, over time: a line a run, each with its dashes and marker."""
    ax = axes(ax)
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
    legend(ax)
    return ax


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
            ax.barh(labels, share, left=left, linewidth=0, height=0.7, label=outcome, **fill(outcome))
            left = left + share
    rows(ax, len(labels))
    ax.set(xlim=(0, 1))
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    legend(ax)
