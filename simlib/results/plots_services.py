"""Update services side by side: how far each gets, what it does not see, and what its strategies take.

Each takes an `Axes` (or makes one) and returns it. States have the colours of every other plot; what is no
state, such as a permit or bytes, has none of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import StrMethodFormatter

from simlib.results.plots_looks import BYTES_COLOUR, COMPONENTS, LOOKS, axes, beside, fill, legend_below, rows
from simlib.rollout.services.state_strategies import Strategy, fits, peak_storage, storage_bytes
from simlib.scenario.model import CohortSpec

if TYPE_CHECKING:
    from simlib.results.run import Run

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
HALF_HOUR_MS: Final = HOUR_MS // 2
MINUTE_MS: Final = 60_000
KIB: Final = 1024
_BAND: Final = 0.84
"""Height of a row's band, which stands for the whole fleet."""
_HARM: Final = ("reverted", "bricked", "lost")
_HARM_SCALE: Final = LinearSegmentedColormap.from_list("harm", ["#ffffff", LOOKS["reverted"].colour])


def progress_rows(runs: Mapping[str, Run], ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """A band a run, as high as its fleet: who has updated, who was harmed, and who may have the release.

    Filled from below, the updated, then the reverted, bricked and lost. The line: devices that could have
    the release. A cross: the service stopped by itself.
    """
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.2 + 0.52 * len(runs)), layout="constrained")[1]
    end, seen = 1 / 24, set()
    for row, run in enumerate(runs.values()):
        timeline, fleet = run.timeline, run.summary["devices"]
        days = timeline["time_ms"].to_numpy() / DAY_MS
        end = max(end, float(days[-1]))
        bottom = np.full(len(days), row + _BAND / 2)
        for state in ("updated", *_HARM):
            top = bottom - timeline[state].to_numpy() / fleet * _BAND
            if timeline[state].any():
                seen.add(state)
                ax.fill_between(days, bottom, top, linewidth=0, **fill(state))
            bottom = top
        at, count = _released(run)
        ax.step(
            [0, *at / DAY_MS, days[-1]],
            row + _BAND / 2 - np.array([0, *count, len(at)]) / fleet * _BAND,
            where="post",
            color="black",
            linewidth=1,
        )
        ax.axhline(row + _BAND / 2, color="0.8", linewidth=0.8, zorder=0)
        for stop in run.summary["stops"][:1]:
            share = stop["exposure"]["released"] / fleet
            ax.plot(
                stop["at_ms"] / DAY_MS,
                row + _BAND / 2 - share * _BAND,
                marker="X",
                markersize=10,
                markerfacecolor="black",
                markeredgecolor="white",
                linestyle="none",
            )
        beside(ax, _told(run), (1, row), gap_pt=6, of_axes=True)
    _banded(ax, list(runs))
    ax.set(xlim=(0, end), xlabel="time since the start [days]")
    legend_below(
        ax,
        [
            *(Patch(label=state, **fill(state)) for state in ("updated", *_HARM) if state in seen),
            Line2D([], [], color="black", linewidth=1, label="may have it"),
            Line2D([], [], color="black", marker="X", markersize=9, linestyle="none", label="stopped"),
        ],
    )
    ax.set_title(title if title is not None else "how far each gets, and whom it harms")
    return ax


def released_over_time(runs: Mapping[str, Run], until_ms: int, ax: Axes | None = None) -> Axes:
    """How many devices could have the release, up to `until_ms`, a line a run; times in minutes."""
    ax = axes(ax)
    for number, (name, run) in enumerate(runs.items()):
        at, count = _released(run)
        early = at <= until_ms
        at, last = np.unique(at[early][::-1], return_index=True)  # the last of each time
        count = count[early][::-1][last]
        ax.plot(
            [0, *at / MINUTE_MS, until_ms / MINUTE_MS],
            [0, *count, *count[-1:]] if len(count) else [0, 0],
            drawstyle="steps-post",
            color=("black", BYTES_COLOUR)[number % 2],
            linestyle=("-", "--", "-.", ":")[number % 4],
            marker=("o", "s", "^", "D")[number % 4],
            markersize=6,
            markerfacecolor="white",
            markevery=(3 + number * 2, 8),
            label=name,
        )
    ax.set(xlim=(0, until_ms / MINUTE_MS), xlabel="time since the start [min]", ylim=(0, None))
    ax.set_ylabel("may have the release [devices]")
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.legend(frameon=False)
    return ax


def blind_spots_map(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """A cell a service and failure, of the table that `simlib.study.blind_spots` gives; means and medians.

    The colour is the share of the fleet that is harmed in the end. A frame: the service stopped by itself in
    most replications; the cell says how, when, and which share of the fleet the release was out to by then,
    or by the end. A dotted frame: it stops the sound release just so. The title counts the other stops.
    """
    services = list(dict.fromkeys(frame["service"]))
    failures = list(dict.fromkeys(frame["failure"]))
    if ax is None:
        size = (1.3 + 1.6 * len(failures), 1 + 0.52 * len(services))
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    most = max(float((frame["harmed"] / frame["devices"]).max()), 1e-9)
    stopped = dict.fromkeys(failures, 0)
    mean = frame.groupby(["service", "failure"])["stopped"].mean().gt(1 / 2).to_dict()
    for row, service in enumerate(services):
        for column, failure in enumerate(failures):
            cell = frame[(frame["service"] == service) & (frame["failure"] == failure)]
            harm = float((cell["harmed"] / cell["devices"]).mean())
            often, alarms = mean[service, failure], mean.get((service, "sound"), False)
            stopped[failure] += often and not alarms
            colour = _HARM_SCALE(harm / most)
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, edgecolor="white"))
            if often:
                line = ":" if alarms else "-"
                ax.add_patch(
                    Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, fill=False, ec="black", ls=line)
                )
            ax.text(column, row, _cell(cell, harm), ha="center", va="center", fontsize=7.5)
    ax.set(xlim=(-0.5, len(failures) - 0.5), ylim=(len(services) - 0.5, -0.5))
    ax.set_xticks(range(len(failures)), failures)
    ax.set_yticks(range(len(services)), services)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for side in ("left", "right", "top", "bottom"):
        ax.spines[side].set_visible(False)
    found = ", ".join(f"{failure} {count}" for failure, count in stopped.items() if failure != "sound")
    ax.set_title(f"services of {len(services)} that stop because of a failure: {found}")
    return ax


def deadline_spikes(run: Run, ax: Axes | None = None, *, until_ms: int | None = None) -> Axes:
    """When devices confirm, by half hours, a band a time zone; the last band is the bytes on the links.

    Dotted lines: `rollout.enforce_local` by the clocks of each zone. A band's height is its own largest half
    hour, which stands beside it.
    """
    from simlib.scenario import Scenario

    spec = Scenario.from_toml(run.scenario_toml).spec
    end_ms = spec.horizon_ms if until_ms is None else until_ms
    hours = np.arange(0, end_ms + HALF_HOUR_MS, HALF_HOUR_MS)
    devices = run.devices
    bands: list[tuple[str, np.ndarray, str, str]] = []
    for zone in spec.zones:
        at = devices.loc[(devices["zone"] == zone.name) & (devices["confirmed_ms"] >= 0), "confirmed_ms"]
        counts = np.histogram(at, hours)[0]
        most = f"{counts.max():,} in 30 min\nof {int((devices['zone'] == zone.name).sum()):,}"
        bands.append((zone.name, counts, LOOKS["updated"].colour, most))
    timeline = run.timeline
    total = np.interp(hours, timeline["time_ms"], timeline["bytes_on_links"])
    rate = np.diff(total) * 1000 / HALF_HOUR_MS
    bands.append(("links", rate, BYTES_COLOUR, f"{rate.max() / 1e3:,.0f} kB/s"))
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.2 + 0.75 * len(bands)), layout="constrained")[1]
    for row, (_, values, colour, most) in enumerate(bands):
        height = values / max(float(values.max()), 1e-9) * _BAND
        base = row + _BAND / 2
        ax.stairs(base - height, hours / HOUR_MS, baseline=base, fill=True, color=colour)
        ax.axhline(base, color="0.8", linewidth=0.8)
        beside(ax, most, (1, row), gap_pt=6, of_axes=True)
        if row < len(spec.zones) and spec.rollout.enforce_local_ms is not None:
            local = (spec.rollout.enforce_local_ms - spec.zones[row].offset_ms) / HOUR_MS
            ax.plot([local, local], [row - 0.5, row + 0.5], color="black", linestyle=":")
    _banded(ax, [name for name, *_ in bands])
    ax.set(xlim=(0, end_ms / HOUR_MS), xlabel="time since the start, UTC [h]")
    ax.set_title("confirmations by time zone, and what the links carry; each band to its own scale")
    return ax


def peak_storage_bars(
    cohorts: Sequence[CohortSpec],
    old_bytes: int,
    new_bytes: int,
    delta_bytes: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The most storage that each of balena's strategies takes at a time; lines: what `cohorts` have."""
    strategies = list(Strategy)
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.4 + 0.5 * len(strategies)), layout="constrained")[1]
    room = {cohort.name: storage_bytes(cohort) / KIB for cohort in cohorts}
    for row, strategy in enumerate(strategies):
        peak = peak_storage(strategy, old_bytes, new_bytes, delta_bytes) / KIB
        ax.barh(row, peak, height=0.6, color=COMPONENTS[1][1])
        fitting = [c.name for c in cohorts if fits(strategy, c, old_bytes, new_bytes, delta_bytes)]
        said = f" {peak:,.0f} KiB, fits " + (", ".join(fitting) if fitting else "nobody")
        beyond = max([peak, *(size for size in room.values() if size < 1.5 * peak)])
        ax.text(beyond, row, said, va="center", fontsize=8)
    for name, size in room.items():
        ax.axvline(size, color="black", linestyle="--", linewidth=1)
        ax.annotate(
            f"{name} has {size:,.0f}",
            (size, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    ax.set_yticks(range(len(strategies)), [strategy.value for strategy in strategies])
    rows(ax, len(strategies))
    ax.set(xlim=(0, max(room.values()) * 1.1), xlabel="peak storage of an update [KiB]")
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return ax


def _released(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """When devices could first have the release, and how many could by then; a pair a device."""
    at = run.device_table.column("released_ms")
    at = np.sort(at[at >= 0])
    return at, np.arange(1, len(at) + 1)


def _banded(ax: Axes, names: Sequence[str]) -> None:
    """A band a name, one below the other, and no frame but the time's."""
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    rows(ax, len(names))
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)


def _told(run: Run) -> str:
    """How a run ended, in two lines."""
    summary: dict[str, Any] = run.summary
    fleet = summary["devices"]
    if summary["stops"]:
        stop = summary["stops"][0]
        return f"{stop['decision']} at {stop['at_ms'] / DAY_MS:.1f} d,\n{_harmed(summary)}"
    if summary["time_to_90_ms"] is not None:
        return f"90 % at {summary['time_to_90_ms'] / DAY_MS:.1f} d,\n{_harmed(summary)}"
    return f"{_percent(summary['outcomes']['updated'] / fleet)} at the end,\n{_harmed(summary)}"


def _harmed(summary: Mapping[str, Any]) -> str:
    return f"{sum(summary['outcomes'][end] for end in _HARM):,} harmed"


def _cell(cell: pd.DataFrame, harm: float) -> str:
    """What a cell of the map says."""
    fleet = float(cell["devices"].iloc[0])
    stops = cell[cell["stopped"]]
    if stops.empty:
        return f"no stop, {_percent(cell['released'].median() / fleet)} out\n{_percent(harm)} harmed"
    days = float(stops["stopped_at_ms"].astype("float64").median()) / DAY_MS
    share = _percent(float(stops["released_at_stop"].astype("float64").median()) / fleet)
    how = str(stops["decision"].iloc[0])
    often = f" ({len(stops)} of {len(cell)})" if len(stops) < len(cell) else ""
    return f"{how}{often} at {days:.1f} d\n{share} out, {_percent(harm)} harmed"


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %") if share >= 0.095 or share == 0 else f"{share * 100:.1f} %"
