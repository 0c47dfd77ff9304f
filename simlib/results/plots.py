"""Plots of a run. Each takes an `Axes` (or makes one) and returns it.

The same state has the same colour in every plot, and a hatch or marker beside it, so that a plot reads
without colours too. Times are in days since the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

if TYPE_CHECKING:
    from simlib.results.run import Run

DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Look:
    """How one state is drawn everywhere."""

    colour: str
    hatch: str


# The ten colours of matplotlib's petroff10 cycle (M. A. Petroff, arXiv:2107.02270), told apart by people
# with colour-vision deficiencies; good ends are cool, bad ends warm.
LOOKS: Final = {
    "waiting": Look("#e8e8e8", ""),
    "under way": Look("#a96b59", ".."),
    "updated": Look("#3f90da", ""),
    "reverted": Look("#ffa90e", "//"),
    "rolled_back": Look("#e76300", "xx"),
    "failed": Look("#832db6", "\\\\"),
    "deferred": Look("#94a4a2", "--"),
    "ineligible": Look("#717581", "oo"),
    "pending": Look("#e8e8e8", ""),
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
COMPONENTS: Final = (("radio", "#3f90da", ""), ("flash", "#ffa90e", "//"), ("compute", "#94a4a2", ".."))


def _axes(ax: Axes | None) -> Axes:
    return ax if ax is not None else plt.subplots(figsize=(8, 4.5), layout="constrained")[1]


class Plots:
    """The plots of one run: ``run.plot.progress()``."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def progress(self, ax: Axes | None = None) -> Axes:
        """Share of the fleet in each state over time, stacked, the good end at the bottom."""
        ax = _axes(ax)
        timeline = self._run.timeline
        days = timeline["time_ms"].to_numpy() / DAY_MS
        shares = {end: timeline[end].to_numpy() for end in ENDS if timeline[end].any()}
        shares["under way"] = timeline[list(UNDER_WAY)].sum(axis=1).to_numpy()
        shares["waiting"] = (timeline["waiting"] + timeline["pending"]).to_numpy()
        fleet = self._run.summary["devices"]
        bottom = np.zeros(len(days))
        for state, count in shares.items():
            look = LOOKS[state]
            top = bottom + count / fleet
            ax.fill_between(
                days,
                bottom,
                top,
                facecolor=look.colour,
                hatch=look.hatch,
                edgecolor="white",
                linewidth=0,
                label=state,
            )
            bottom = top
        halted_ms = self._run.summary["halted_at_ms"]
        if halted_ms is not None:
            ax.axvline(halted_ms / DAY_MS, color="black", linestyle="--", label="halt")
        ax.set(xlabel="days since the start", ylabel="share of the fleet", xlim=(0, days[-1]), ylim=(0, 1))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set_title(f"{self._run.summary['scenario']}: state of the fleet")
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return ax

    def groups(self, ax: Axes | None = None) -> Axes:
        """How the devices of each group ended, as shares of the group."""
        ax = _axes(ax)
        devices = self._run.devices
        counts = devices.groupby(["group", "outcome"]).size().unstack(fill_value=0)
        sizes = counts.sum(axis=1).to_numpy()
        labels = [f"group {g}\n{n:,} devices" for g, n in zip(counts.index, sizes, strict=True)]
        left = np.zeros(len(counts))
        for outcome in (*ENDS, "pending"):
            if outcome in counts:
                share = counts[outcome].to_numpy() / sizes
                look = LOOKS[outcome]
                ax.barh(
                    labels,
                    share,
                    left=left,
                    color=look.colour,
                    hatch=look.hatch,
                    edgecolor="white",
                    label=outcome,
                )
                left += share
        ax.invert_yaxis()
        ax.set(xlabel="share of the group", xlim=(0, 1))
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.set_title(f"{self._run.summary['scenario']}: outcomes by group")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return ax

    def link(self, ax: Axes | None = None) -> Axes:
        """Bytes a second on the links, the mean of each interval of the timeline."""
        ax = _axes(ax)
        timeline = self._run.timeline
        time_ms = timeline["time_ms"].to_numpy()
        rate = np.diff(timeline["bytes_on_links"].to_numpy()) / np.diff(time_ms) * 1000 / 1e6
        ax.stairs(rate, time_ms / DAY_MS, fill=True, color="#3f90da")
        ax.set(
            xlabel="days since the start", ylabel="MB/s, mean of the interval", xlim=(0, time_ms[-1] / DAY_MS)
        )
        ax.set_ylim(bottom=0)
        ax.set_title(f"{self._run.summary['scenario']}: bytes on the links")
        return ax

    def energy(self, ax: Axes | None = None) -> Axes:
        """Energy an updated device spent, by component and artefact: the mean."""
        ax = _axes(ax)
        devices = self._run.devices
        updated = devices[devices["outcome"] == "updated"]
        columns = [f"energy_{name}_uj" for name, _, _ in COMPONENTS]
        means = updated.groupby("artefact")[columns].mean() / 1000
        bottom = np.zeros(len(means))
        for (name, colour, hatch), column in zip(COMPONENTS, columns, strict=True):
            ax.bar(
                means.index,
                means[column],
                bottom=bottom,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                label=name,
                width=0.6,
            )
            bottom += means[column].to_numpy()
        ax.set(ylabel="mJ a device, mean of the updated")
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.tick_params(axis="x", rotation=20)
        ax.set_title(f"{self._run.summary['scenario']}: energy of an update")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return ax
