"""Plots about planning a rollout. Each takes an `Axes` (or makes one) and returns it.

They draw tables: of sizes (`simlib.rollout.sizing`), gates (`simlib.study.gate_errors`), exposure at a stop
(`simlib.study`), storms (`simlib.study.storms`), strategies and fronts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from simlib.results.plots_looks import COMPONENTS, LOOKS, axes, beside, fill, legend_below, rows

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
_INK: Final = COMPONENTS[0][1]
_DASHES: Final = ("-", "--", "-.", ":")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P")
_EXPOSED: Final = (
    ("exposure_waiting", "waiting", "released, has not begun"),
    ("exposure_downloading", "deferred", "downloading"),
    ("exposure_trial", "under way", "installing or in trial"),
    ("exposure_confirmed", "updated", "confirmed"),
    ("reverted_at_halt", "reverted", "ended otherwise"),
    ("exposure_bricked", "bricked", "bricked"),
)
_VISIBLE: Final = 1 / 400
"""A part that is nowhere wider, as a share of the longest bar, is left out of the picture."""
_THOUSANDS: Final = FuncFormatter(lambda value, _: f"{value:,.0f}")


def chance_to_see(sizes: Mapping[float, int], ax: Axes | None = None, *, confidence: float = 0.95) -> Axes:
    """The chance that a canary shows one failure or more, by its size: a line a rate of failures.

    `sizes` has, for each rate, how many devices reach `confidence`; they are marked.
    """
    ax = axes(ax)
    n = np.geomspace(10, 2 * max(sizes.values()), 400)
    for (rate, size), dashes, marker in zip(sizes.items(), _DASHES * 3, _MARKERS * 3, strict=False):
        ax.plot(n, 1 - (1 - rate) ** n, color=_INK, linestyle=dashes)
        ax.plot(size, confidence, marker, color=_INK, markerfacecolor="white", label=f"{100 * rate:g} %")
        ax.annotate(
            f"{size:,}",
            (size, confidence),
            xytext=(6, -14),
            textcoords="offset points",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    ax.axhline(confidence, color="0.7", linewidth=1, zorder=0)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(_THOUSANDS)
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    ax.set(xlim=(n[0], n[-1]), ylim=(0, 1.03), xlabel="canary [devices]")
    ax.set_ylabel("chance to see a failure [%]")
    legend_below(ax)
    ax.set_title(
        f"a defect a tenth as frequent takes a canary ten times the size ({100 * confidence:g} % marked)"
    )
    return ax


def canary_by_soak(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The least canary by its soak, a line a column of `table`, whose index is the soak [h]."""
    ax = axes(ax)
    for (name, sizes), dashes, marker in zip(table.items(), _DASHES * 3, _MARKERS * 3, strict=False):
        ax.plot(table.index, sizes, marker, linestyle=dashes, color=_INK, markerfacecolor="white", label=name)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(table.index, [f"{hours:g}" for hours in table.index])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(_THOUSANDS)
    ax.set(xlabel="soak [h]", ylabel="least canary [devices]")
    legend_below(ax)
    return ax


def alarm_rates(frame: pd.DataFrame, level: float, ax: Axes | None = None) -> Axes:
    """How often each gate halts, with intervals: releases as good as they have to be, and bad ones.

    `frame` is that of `simlib.study.gate_errors`; `level` the nominal rate of false alarms.
    """
    gates = list(dict.fromkeys(frame["gate"]))
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.8 + 0.4 * len(gates)), layout="constrained")[1]
    kinds = (
        ("a release as good as it has to be: a false alarm", "o", "reverted", -0.13),
        ("a bad release", "s", "updated", 0.13),
    )
    for number, (label, marker, look, shift) in enumerate(kinds):
        part = frame.groupby("gate", sort=False).nth(number)
        at = np.array([gates.index(gate) for gate in part["gate"]]) + shift
        rate = part["alarm_rate"].to_numpy()
        spread = np.vstack([rate - part["low"].to_numpy(), part["high"].to_numpy() - rate])
        colour = LOOKS[look].colour
        ax.errorbar(
            rate, at, xerr=spread, fmt=marker, color=colour, capsize=4, markerfacecolor="white", label=label
        )
    ax.axvline(level, color="black", linestyle=":", label=f"nominal, {100 * level:g} %")
    ax.set_yticks(range(len(gates)), gates)
    rows(ax, len(gates))
    ax.set(xlim=(-0.02, 1.02), xlabel="rollouts that are halted, with 95 % intervals [%]")
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    legend_below(ax)
    return ax


def exposure_bars(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Where the released devices stand when the gate fires: a bar a row of `table`, whose index names it.

    Columns are a study's `exposure_*` [devices], their means say. Those who have not begun can still be
    called back. What was released and is in no other state has ended otherwise. Numbers are beside the bars.
    """
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.7 + 0.45 * len(table)), layout="constrained")[1]
    counts = table.astype(float)
    known = ["exposure_downloading", "exposure_trial", "exposure_confirmed", "exposure_bricked"]
    rest = counts["exposure_released"] - counts["exposure_waiting"] - counts[known].sum(axis=1)
    counts["reverted_at_halt"] = rest.clip(lower=0)
    widest = float(counts["exposure_released"].max())
    left = np.zeros(len(counts))
    labels = [str(name) for name in table.index]
    for column, state, label in _EXPOSED:
        width = counts[column].to_numpy()
        if width.max() >= widest * _VISIBLE:
            ax.barh(labels, width, left=left, height=0.7, linewidth=0, label=label, **fill(state))
        left = left + width
    numbers = counts[["exposure_offered", "exposure_recalled", "exposure_released"]]
    for row, (offered, recalled, released) in enumerate(numbers.itertuples(index=False)):
        beside(ax, f"{offered:,.0f} offered\n{recalled:,.0f} recalled", (released, row))
    rows(ax, len(counts))
    ax.set(xlim=(0, widest * 1.16), xlabel="when the gate fires [devices]")
    ax.xaxis.set_major_formatter(_THOUSANDS)
    legend_below(ax)
    return ax


def storm_peaks(frames: Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """The peak load after each event, as a multiple of the link's capacity: a row a variant.

    `frames` are those of `simlib.study.storms`, by the name of the event; means over their replications.
    """
    first = next(iter(frames.values()))
    variants = list(dict.fromkeys(first["variant"]))
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.8 + 0.4 * len(variants)), layout="constrained")[1]
    looks = (LOOKS["bricked"], LOOKS["reverted"], LOOKS["updated"], LOOKS["deferred"])
    ax.axvspan(1e-9, 1, color="0.95")
    for number, (event, frame) in enumerate(frames.items()):
        means = frame.groupby("variant", sort=False)["peak_load"].mean().astype(float)
        at = np.array([variants.index(name) for name in means.index]) + 0.16 * (number - 1)
        ax.plot(
            means.to_numpy(),
            at,
            _MARKERS[number],
            color=looks[number].colour,
            markersize=8,
            markeredgecolor="black",
            markeredgewidth=0.6,
            label=event,
        )
    ax.axvline(1, color="black", linestyle=":")
    ax.annotate("capacity", (1, 2.5), xytext=(-4, 0), textcoords="offset points", ha="right", va="center")
    ax.set_yticks(range(len(variants)), variants)
    rows(ax, len(variants))
    ax.set_xscale("log")
    ax.set_xlim(0.5, float(first["peak_load"].max()) * 2)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.grid(axis="both", color="0.9")
    ax.set_axisbelow(True)
    ax.set_xlabel("peak load after the event [multiple of the link's capacity]")
    legend_below(ax)
    return ax


def bricks_by_strategy(summary: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Bricks of each strategy, mean and interval; `summary` is a comparison's, of the measure `bricked`."""
    table = summary[summary["measure"] == "bricked"]
    if ax is None:
        ax = plt.subplots(figsize=(9, 1.4 + 0.36 * len(table)), layout="constrained")[1]
    mean = table["mean"].to_numpy(dtype=float)
    spread = np.vstack([mean - table["low"].to_numpy(float), table["high"].to_numpy(float) - mean])
    at = np.arange(len(table))
    ax.errorbar(mean, at, xerr=spread, fmt="X", color=LOOKS["bricked"].colour, markersize=8, capsize=4)
    ax.grid(axis="both", color="0.9")
    ax.set_axisbelow(True)
    for row, (value, high) in enumerate(zip(mean, table["high"].to_numpy(float), strict=True)):
        ax.annotate(
            f"{value:,.0f}", (high, row), xytext=(9, 0), textcoords="offset points", va="center", fontsize=9
        )
    ax.set_yticks(at, list(table["strategy"]))
    rows(ax, len(table))
    most = float(np.nanmax(table["high"].to_numpy(float)))
    ax.set(xlim=(-0.02 * most, 1.12 * most))
    ax.set_xlabel("bricked, mean and 95 % interval [devices]")
    return ax


def front(frame: pd.DataFrame, ax: Axes | None = None, *, harm: str = "p99_harmed") -> Axes:
    """Time against harm of what was judged: the front joined by a line, its figures with intervals.

    `frame` is a front's (`simlib.study.optimisation.search`); who began as a preset is a square.
    """
    ax = axes(ax)
    days, devices = frame["time_to_95"] / DAY_MS, frame[harm]
    on = frame["front"].to_numpy(bool)
    best = frame[on].sort_values("time_to_95")
    ax.step(best["time_to_95"] / DAY_MS, best[harm], where="post", color="0.75", zorder=0)
    for preset, marker in ((True, "s"), (False, "o")):
        for front_, colour in ((True, LOOKS["updated"].colour), (False, LOOKS["deferred"].colour)):
            here = (frame["preset"].to_numpy(bool) == preset) & (on == front_)
            if not here.any():
                continue
            part = frame[here]
            low, high = part[f"{harm}_low"], part[f"{harm}_high"]
            ax.errorbar(
                days[here],
                devices[here],
                yerr=np.vstack([devices[here] - low, high - devices[here]]),
                fmt=marker,
                color=colour,
                capsize=3,
                label=f"{'a preset' if preset else 'found'}, {'nothing beats it' if front_ else 'beaten'}",
            )
    if devices.min() > 0:
        ax.set_yscale("log")
        ax.set_ylim(float(frame[f"{harm}_low"].min()) / 2 or 0.5, float(frame[f"{harm}_high"].max()) * 2)
    else:
        ax.set_yscale("symlog", linthresh=1)
        ax.set_ylim(0, float(frame[f"{harm}_high"].max()) * 2 + 1)
    ax.yaxis.set_major_formatter(_THOUSANDS)
    ax.set_xlim(0, float(days.max()) * 1.18)
    _name(ax, list(zip(days, devices, frame["name"], strict=True)))
    ax.set(xlabel="until 95 % have a good release, mean [days]", ylabel="bricked or lost [devices]")
    legend_below(ax)
    return ax


def _name(ax: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """A name beside each point; points at one place share a label."""
    at: dict[tuple[float, float], list[str]] = {}
    for x, y, name in points:
        at.setdefault((round(x, 2), round(y, 1)), []).append(name)
    for (x, y), names in at.items():
        ax.annotate(", ".join(names), (x, y), xytext=(7, 5), textcoords="offset points", fontsize=8)
