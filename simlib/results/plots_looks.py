"""How things are drawn in every plot: the colours and hatches, the axes, the legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation


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

# The tenth colour of that cycle in three tones, from dark to light.
COMPONENTS: Final = (
    ("radio", "#6b6230", ""),
    ("flash", "#b9ac70", "//"),
    ("compute", "#e6dfc0", ".."),
)
BYTES_COLOUR: Final = COMPONENTS[0][1]

# What lies in a flash, and how a power cut ends. The new image has the colour of the updated, whether it lies
# somewhere or runs; the old one is light, like who has not begun, and has the tone of flash memory.
OLD_IMAGE: Final = Look("#d9cd9f", "")
NEW_IMAGE: Final = Look(LOOKS["updated"].colour, "")
TRAILER: Final = Look(COMPONENTS[0][1], "")
FATES: Final = {
    "new": NEW_IMAGE,
    "old": OLD_IMAGE,
    "stuck": LOOKS["lost"],
    "bricked": LOOKS["bricked"],
}


def axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure."""
    return ax if ax is not None else plt.subplots(figsize=(9, 4.5), layout="constrained")[1]


def fill(state: str) -> dict[str, Any]:
    """The keywords that fill an area as `state`."""
    look = LOOKS[state]
    return {"facecolor": look.colour, "hatch": look.hatch, "edgecolor": "white"}


def rows(ax: Axes, count: int) -> None:
    """The first row on top; a single bar no thicker than others."""
    ax.set_ylim(max(count, 2) - 0.5, -0.5)


def beside(ax: Axes, text: str, at: tuple[float, float], *, gap_pt: float = 4, of_axes: bool = False) -> None:
    """A note to the right of a place in the plot; with `of_axes`, its x is a share of the plot's width."""
    ax.annotate(
        text,
        at,
        xycoords=("axes fraction", "data") if of_axes else "data",
        xytext=(gap_pt, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def legend(ax: Axes, *, reverse: bool = False) -> None:
    """Beside the axes, where it hides nothing; `reverse` for stacks, so that it reads as they lie."""
    handles, labels = ax.get_legend_handles_labels()
    if reverse:
        handles, labels = handles[::-1], labels[::-1]
    ax.legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def legend_below(ax: Axes, handles: Sequence[Artist] | None = None, *, gap_pt: float = 36) -> None:
    """Under the axes, `gap_pt` points below them, of these `handles` or of what has a label."""
    shown = list(handles) if handles is not None else ax.get_legend_handles_labels()[0]
    figure = ax.get_figure(root=True)
    assert figure is not None
    below = ax.transAxes + ScaledTranslation(0, -gap_pt / 72, figure.dpi_scale_trans)
    columns = len(shown) if len(shown) <= 4 else -(-len(shown) // 2)
    ax.legend(
        handles=shown,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=below,
        ncols=columns,
        frameon=False,
    )
