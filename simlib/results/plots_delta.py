"""Plots of raw images, compressed ones and patches beside each other. Each takes an `Axes` and returns it.

Their tables are those of `simlib.study.payloads`, or of any other that has the columns that are named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from simlib.results.plots_looks import COMPONENTS, LOOKS, axes, beside, legend

INK: Final = COMPONENTS[0][1]
_TONES: Final = {name: (colour, hatch) for name, colour, hatch in COMPONENTS}
_ENERGY: Final = {name: (f"{name}_uj",) for name in _TONES}
_TIME: Final = {
    "download": (("download_ms",), _TONES["radio"]),
    "install": (("install_ms",), _TONES["flash"]),
    "boot, test and confirmation": (("boot_ms", "confirm_ms"), _TONES["compute"]),
}
_BETTER: Final = LinearSegmentedColormap.from_list("better", [LOOKS["updated"].colour, "white", "#b9ac70"])
# What `harm` counts, the state whose colour it has, and its marker.
_HARMS: Final = {
    "bricked": ("bricked", "X"),
    "stuck": ("lost", "P"),
    "failed": ("failed", "s"),
    "retried_installs": ("reverted", "o"),
    "dropped": ("deferred", "^"),
    "refused": ("ineligible", "D"),
}


class _Part(NamedTuple):
    """One part of a bar: the columns that it sums up, and how it is drawn."""

    columns: tuple[str, ...]
    colour: str
    hatch: str


def energy_by_payload(table: pd.DataFrame, ax: Axes | None = None, *, base: int = 1) -> Axes:
    """For each cohort the energy of each form, radio, flash and core, as a share of the raw image's.

    `table` is of `update_costs`; of it the devices `base` releases behind. Totals stand beside the bars.
    """
    parts = {name: _Part(columns, *_TONES[name]) for name, columns in _ENERGY.items()}
    ax = _stacked(axes(ax), table, base, parts, "total_uj", _energy_text)
    ax.set_xlabel("energy of the update, raw image = 100 [%]")
    ax.set_title("what an update takes from the battery")
    return ax


def time_by_payload(table: pd.DataFrame, ax: Axes | None = None, *, base: int = 1) -> Axes:
    """For each cohort how long an update in each form takes, as a share of the raw image's.

    As `energy_by_payload`. Over multicast, the time between sessions is part of the download.
    """
    parts = {name: _Part(columns, *look) for name, (columns, look) in _TIME.items()}
    ax = _stacked(axes(ax), table, base, parts, "total_ms", _time_text)
    ax.set_xlabel("time of the update, raw image = 100 [%]")
    ax.set_title("how long an update takes")
    return ax


def _stacked(
    ax: Axes,
    table: pd.DataFrame,
    base: int,
    parts: dict[str, _Part],
    total: str,
    text: Callable[[float], str],
) -> Axes:
    shown = table[table["base"] == base]
    if not shown["takes"].any():
        return _nothing(ax, "no device takes any of it")
    several = shown["layout"].nunique() > 1
    places: list[float] = []
    named: dict[str, str] = {}
    labels, at, most = [], 0.0, 1.0
    for (cohort, layout), forms in shown.groupby(["cohort", "layout"], sort=False):
        raw = forms.loc[(forms["payload"] == "full") & forms["takes"], total]
        whole = float(raw.iloc[0]) if len(raw) else float(forms[total].max(skipna=True))
        ax.annotate(
            f"{cohort}, {layout}" if several else str(cohort),
            (0, at - 0.55),
            xytext=(0, 2),
            textcoords="offset points",
            va="bottom",
            fontweight="bold",
        )
        for form in forms.to_dict("records"):
            places.append(at)
            labels.append(_form_name(str(form["payload"]), str(form["codec"])))
            left = 0.0
            for name, part in parts.items() if form["takes"] else ():
                width = sum(float(form[column]) for column in part.columns) / whole
                ax.barh(
                    at,
                    width,
                    left=left,
                    height=0.8,
                    color=part.colour,
                    hatch=part.hatch,
                    edgecolor="white",
                    linewidth=0,
                    label=name if named.setdefault(name, name + str(at)) == name + str(at) else "",
                )
                left += width
            most = max(most, left)
            beside(ax, text(float(form[total])) if form["takes"] else "not taken", (left, at))
            at += 1
        at += 0.9
    ax.set_yticks(places, labels)
    ax.set(ylim=(at - 1.2, -1.4), xlim=(0, 1.2 * most))
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    legend(ax)
    return ax


def break_even(
    table: pd.DataFrame,
    ax: Axes | None = None,
    *,
    by: str = "time",
    marks: Mapping[str, tuple[float, float]] | None = None,
) -> Axes:
    """Where a patch is better than another form, by link rate and patch ratio; the line: equality.

    `table` is of `differences`, a full grid; `by` is "time" or "energy". The colour is what the patch takes
    more, as a share of the other form's. `marks` are devices by name, each a rate [byte/s] and a ratio.
    """
    ax = axes(ax)
    grid = table.pivot(index="patch_ratio", columns="link_bps", values=f"{by}_share")
    rates, ratios, shares = grid.columns.to_numpy(), grid.index.to_numpy(), grid.to_numpy()
    limit = max(float(np.abs(shares).max()), 0.01)
    ax.set_xscale("log")  # before there are lines, whose labels are placed by it
    norm = TwoSlopeNorm(0, -min(limit, 1.0), min(limit, 1.0))
    mesh = ax.pcolormesh(rates, ratios, shares, cmap=_BETTER, norm=norm, shading="gouraud")
    if shares.min() < 0 < shares.max():
        line = ax.contour(rates, ratios, shares, levels=[0.0], colors=INK, linewidths=2.5)
        ax.clabel(line, fmt={0.0: "equal"}, fontsize=9)
        others = ax.contour(
            rates,
            ratios,
            shares,
            levels=[-0.5, -0.25, 0.25, 0.5],
            colors=INK,
            linewidths=0.8,
            linestyles="--",
        )
        ax.clabel(others, fmt=lambda share: f"{share:+.0%}", fontsize=8)
    for name, (rate, ratio) in (marks or {}).items():
        ax.plot(rate, ratio, "o", color="white", markeredgecolor="black", markersize=7, zorder=3)
        beside(ax, name, (rate, ratio), gap_pt=7)
    figure = ax.get_figure(root=True)
    if figure is not None:
        bar = figure.colorbar(mesh, ax=ax, extend="max" if limit > 1 else "neither")
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=None))
        bar.set_label(f"{by} of a patch beyond the other form's [%]")
    ax.set(
        xlim=(rates.min(), rates.max()),
        ylim=(ratios.min(), ratios.max()),
        xlabel="link rate [byte/s]",
        ylabel="patch, as a share of the raw image [%]",
    )
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    ax.set_title(f"where a patch saves {by}")
    return ax


def harm_by_layout(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Of a million devices, how many are harmed or have to try again: a row a layout, a line a form in it.

    `table` is of `harm`. Nothing is drawn where nobody is harmed.
    """
    ax = axes(ax)
    ax.set_title("what power cuts, drops and wrong bases make of updates")
    shown = [name for name in _HARMS if (table[name] > 0).any()]
    if not shown:
        return _nothing(ax, "no device is harmed, and none has to try again")
    payloads = list(dict.fromkeys(table["payload"]))
    places: list[float] = []
    labels, at = [], 0.0
    drawn = [float(value) for name in shown for value in table[name] if value > 0]
    for layout, forms in table.groupby("layout", sort=False):
        for form in forms.to_dict("records"):
            places.append(at)
            labels.append(f"{layout}, {_form_name(str(form['payload']), '')}")
            if not form["takes"]:
                labels[-1] += " *"
            ax.axhline(at, color="#dddddd", linewidth=0.8, zorder=0)
            for name in shown:
                look = LOOKS[_HARMS[name][0]]
                value = float(form[name])
                if not value:
                    continue
                ax.plot(value, at, _HARMS[name][1], color=look.colour, markeredgecolor="black", markersize=8)
            at += 1
        at += 0.4 if len(payloads) > 1 else 0
    ax.set_yticks(places, labels)
    ax.set(ylim=(at - 0.4, -0.6), xscale="log", xlim=(min(drawn) / 2, max(drawn) * 2))
    ax.set_xlabel("of a million devices [devices, or times]")
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=marker,
            color=LOOKS[state].colour,
            markeredgecolor="black",
            label=_words(name),
        )
        for name, (state, marker) in _HARMS.items()
        if name in shown
    ]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    if not table["takes"].all():
        ax.annotate(
            "* not taken: the figures are the raw image's",
            (1, 0),
            xycoords="axes fraction",
            xytext=(-4, 4),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )
    return ax


def _form_name(payload: str, codec: str) -> str:
    if payload == "full":
        return "raw image"
    what = "patch" if payload == "delta" else payload
    return f"{what}, {codec}" if codec else what


def _words(name: str) -> str:
    return {
        "retried_installs": "install tried again",
        "dropped": "download broken off",
        "refused": "patch refused",
        "failed": "failed, keeps the old one",
    }.get(name, name)


def _nothing(ax: Axes, text: str) -> Axes:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center")
    ax.set(xticks=[], yticks=[])
    return ax


def _energy_text(energy_uj: float) -> str:
    for scale, unit in ((1e6, "J"), (1e3, "mJ")):
        if energy_uj >= scale:
            return f"{energy_uj / scale:.3g} {unit}"
    return f"{energy_uj:.3g} µJ"


def _time_text(time_ms: float) -> str:
    for scale, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if time_ms >= 2 * scale:
            return f"{time_ms / scale:.3g} {unit}"
    return f"{time_ms:.0f} ms"
