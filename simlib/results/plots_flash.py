"""The flash of a device drawn as strips, every sector coloured by what it really holds.

The stages and what is in their sectors are those of `simlib.device.stages`. A strip is as long as the flash,
with the low addresses on top. A plot takes an `Axes` and returns it.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Final

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from simlib.device.flash_content import Kind, SectorContent, Stretch, stretches
from simlib.device.stages import NOTHING, Stage
from simlib.results.plots_looks import COMPONENTS, NEW_IMAGE, OLD_IMAGE, TRAILER, Look, legend_below

WIDTH: Final = 0.86
"""Of a strip; one begins at each whole number."""
KIB: Final = 1024
_IMAGES: Final = {"old": OLD_IMAGE, "new": NEW_IMAGE, "patch": Look(COMPONENTS[1][1], "xx")}
_ERASED: Final = Look("#ffffff", "")
_ALIKE: Final = Look("#c8c8c8", "--")
_OTHER: Final = Look("#404040", "xx")
_LEAST_LABEL_PT: Final = 8.0
"""A stretch that is lower gets no words of its own."""
_LEAST_LINED_PT: Final = 5.0
"""Sectors that are lower have no lines between them."""


def flash_map(stages: Sequence[Stage], ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """A strip for each stage of one device, side by side; beneath its name, what runs then.

    A hatch marks what is encrypted (dots), sectors of which a part is erased (slashes). The sector that also
    holds a trailer has a dark edge on the right.
    """
    if ax is None:
        height = 6.5 if len(stages[0].content) > 24 else 5.0
        ax = plt.subplots(figsize=(9, height), layout="constrained")[1]
    first = stages[0]
    size = sum(partition.size for partition in first.partitions) / KIB
    ax.set(xlim=(-0.1, len(stages) - 0.04), ylim=(size, 0))
    points = ax.get_window_extent().height * 72 / ax.figure.get_dpi() / size  # of a KiB
    sector = first.sector_size_bytes / KIB
    lined = sector * points >= _LEAST_LINED_PT
    for column, stage in enumerate(stages):
        for each in stage.content:
            _draw(ax, column, each, sector, lined=lined)
        for stretch in stretches(stage.content):
            _label(ax, column, stretch, sector, points)
        ax.add_patch(Rectangle((column, 0), WIDTH, size, fill=False, edgecolor="0.6", linewidth=0.8))
    for partition in first.partitions:
        ax.axhline(partition.offset / KIB, color="black", linewidth=1.5 if lined else 0.8, zorder=3)
    ax.set_yticks(
        [partition.offset / KIB for partition in first.partitions],
        [f"{p.name}, {p.size / KIB:g} KiB\nfrom 0x{p.offset:05x}" for p in first.partitions],
        va="top",
    )
    ax.tick_params(axis="y", length=0)
    middles = [column + WIDTH / 2 for column in range(len(stages))]
    wide = 80 // len(stages)  # characters above a strip
    ax.set_xticks(middles, [f"{fill(stage.name, wide)}\n{stage.runs}" for stage in stages])
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", length=0)
    for side in ("left", "right", "top", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set_ylabel("partition and its address in the flash [byte]")
    ax.set_title(title if title is not None else f"{first.layout}: {_finding(stages)}")
    _legend(ax, [each for stage in stages for each in stage.content])
    return ax


def _finding(stages: Sequence[Stage]) -> str:
    """What the strips show of the images."""
    if [stage.name for stage in stages[:3]] != ["before", "during", "after"]:
        return "what each sector holds"
    first, during, after = stages[:3]
    if after.runs == NOTHING:
        return "the only image is overwritten in part, and nothing boots"
    whole = _whole_images(during.content, [each for stage in stages for each in stage.content])
    if ("old", "primary", 0) in whole:
        return "the image that runs is not touched"
    if first.layout == "overwrite-only":
        return "the new image stays where it was until its copy is whole"
    if whole:
        return "cut half-way, and the next boot goes on from there"
    return "half-way no slot holds a whole image, and still it boots"


def _whole_images(
    content: Sequence[SectorContent], everywhere: Sequence[SectorContent]
) -> set[tuple[str, str, int]]:
    """Images that lie whole in one piece: the name, the partition, and by how many sectors it is shifted.

    How many sectors an image has is told by what there is of it `everywhere`.
    """
    places: dict[tuple[str, str, int], set[int]] = {}
    for each in content:
        if each.kind is Kind.IMAGE and each.image != "patch":
            place = each.image, each.partition, each.number - each.image_sector
            places.setdefault(place, set()).add(each.image_sector)
    counts = {
        image: 1 + max(each.image_sector for each in everywhere if each.image == image)
        for image, _, _ in places
    }
    return {place for place, sectors in places.items() if len(sectors) == counts[place[0]]}


def _look(each: SectorContent) -> Look:
    match each.kind:
        case Kind.ERASED:
            return _ERASED
        case Kind.TRAILER:
            return TRAILER
        case Kind.ALIKE:
            return _ALIKE
        case Kind.OTHER:
            return _OTHER
    look = _IMAGES.get(each.image, _OTHER)
    hatch = "//" if each.kind is Kind.PART else ".." if each.encrypted else look.hatch
    return Look(look.colour, hatch)


def _draw(ax: Axes, column: int, each: SectorContent, sector: float, *, lined: bool) -> None:
    look = _look(each)
    top = each.offset / KIB
    ax.add_patch(
        Rectangle(
            (column, top),
            WIDTH,
            sector,
            facecolor=look.colour,
            hatch=look.hatch,
            edgecolor="#b5b5b5" if each.kind is Kind.ERASED else "white",
            linewidth=0.6 if lined else 0,
        )
    )
    if each.trailer and each.kind is not Kind.TRAILER:
        edge = WIDTH / 12
        ax.add_patch(
            Rectangle((column + WIDTH - edge, top), edge, sector, facecolor=TRAILER.colour, edgecolor="white")
        )


def _label(ax: Axes, column: int, stretch: Stretch, sector: float, points: float) -> None:
    first, last = stretch
    top, bottom = first.offset / KIB, last.offset / KIB + sector
    if (bottom - top) * points < _LEAST_LABEL_PT:
        return
    look = _look(first)
    dark = first.kind in (Kind.TRAILER, Kind.OTHER)
    ax.text(
        column + WIDTH / 2,
        (top + bottom) / 2,
        _words(first, last),
        ha="center",
        va="center",
        fontsize=8,
        color="white" if dark else "black",
        bbox={"facecolor": look.colour, "edgecolor": "none", "pad": 1.5},
        zorder=4,
    )


def _words(first: SectorContent, last: SectorContent) -> str:
    match first.kind:
        case Kind.ERASED:
            return "erased"
        case Kind.TRAILER:
            return "journal" if first.partition == "scratch" else "trailer"
        case Kind.OTHER:
            return "torn, or unknown"
        case Kind.ALIKE:
            return f"{first.image} alike"
    n = first.image_sector
    numbers = f"{n}" if first == last else f"{n}–{last.image_sector}"
    words = f"{first.image} {numbers}"
    if first.kind is Kind.PART:
        return f"part of {words}"
    up = first.number - n
    if first.partition in ("primary", "secondary") and up:
        words += f", shifted by {up}"
    return words


def _legend(ax: Axes, content: Sequence[SectorContent]) -> None:
    """Only what occurs; in the order of a list that is always the same."""
    kinds = {each.kind for each in content}
    images = {each.image for each in content}
    entries = [
        (name in images, f"{name} image" if name != "patch" else "patch", look)
        for name, look in _IMAGES.items()
    ]
    entries += [
        (any(each.encrypted for each in content), "encrypted", Look("#e3e3e3", "..")),
        (Kind.PART in kinds, "in part, the rest erased", Look("#e3e3e3", "//")),
        (Kind.ALIKE in kinds, "the same in both images", _ALIKE),
        (any(each.trailer for each in content), "trailer, journal", TRAILER),
        (Kind.ERASED in kinds, "erased", _ERASED),
        (Kind.OTHER in kinds, "torn, or unknown", _OTHER),
    ]
    handles = [
        Patch(facecolor=look.colour, hatch=look.hatch, edgecolor="#808080", label=name)
        for occurs, name, look in entries
        if occurs
    ]
    legend_below(ax, handles, gap_pt=16)
