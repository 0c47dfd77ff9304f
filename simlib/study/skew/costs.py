"""What an update costs by how far behind a device is: a patch, or the whole image that stands in for it.

Three places to take it from: public measurements (`simlib.study.skew.measured`), patches that are really
made between images, and a release built for a scenario, with its manifests and envelopes, as published.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from simlib.delta import create_patch
from simlib.errors import InputError
from simlib.release import Release, build_release
from simlib.scenario.model import ReleaseSpec
from simlib.study.skew.lags import Lags

WHATEVER_ITS_SIZE: Final = Fraction(1 << 32)
"""`ReleaseSpec.full_above` of a patch that is made whether it is worth it or not."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What devices download, all in one unit: bytes, or shares of the compressed image.

    `patches` begins with the patch from one release behind. Raises `InputError` for what costs nothing, or
    less, and for a raw image that is smaller than the one that is sent instead of a patch.
    """

    patches: tuple[Fraction, ...]
    whole: Fraction  # without a patch: the compressed image, or the raw one where none is made
    raw: Fraction
    full_above: Fraction = Fraction(1)  # a patch above this share of `whole` is not published

    def __post_init__(self) -> None:
        if least := [each for each in (*self.patches, self.whole) if each <= 0]:
            raise InputError(f"costs: found {float(least[0]):g}, expected more than 0")
        if self.raw < self.whole:
            raise InputError(
                f"costs: found a raw image of {float(self.raw):g}, expected no less than "
                f"{float(self.whole):g}, the compressed one's"
            )

    def patch(self, lag: int) -> Fraction:
        """The patch for devices `lag` behind. Raises `InputError` where nothing is known of it."""
        if not 1 <= lag <= len(self.patches):
            raise InputError(f"lag: found {lag}, expected 1 to {len(self.patches)}, of which a cost is known")
        return self.patches[lag - 1]

    def worth_it(self, lag: int) -> bool:
        """Whether a patch for devices `lag` behind is published, if one is made."""
        return self.patch(lag) <= self.full_above * self.whole

    def download(self, lag: int, kept: Kept) -> Fraction:
        """What a device `lag` behind downloads where patches are kept for `kept`."""
        return self.patch(lag) if is_kept(lag, kept) and self.worth_it(lag) else self.whole


Kept = int | Collection[int]
"""For which lags there are patches: for those up to a number, or for these."""


def is_kept(lag: int, kept: Kept) -> bool:
    """Whether there is a patch for devices `lag` behind."""
    return lag <= kept if isinstance(kept, int) else lag in kept


def relative_bytes(lags: Lags, costs: Costs, kept: Kept) -> Fraction:
    """The mean download of a device as a share of the whole image's.

    Σ P(k) c(k) / c(whole), where c(k) is the patch's cost if one is kept and worth it, else the whole's.
    Raises `InputError` for a lag whose patch has no known cost.
    """
    spent = sum((share * costs.download(k, kept) for k, share in enumerate(lags, 1) if share), Fraction(0))
    return spent / costs.whole


def costs_of_images(
    images: Sequence[bytes], codec: str, full_codec: str = "full-lzma", full_above: Fraction = Fraction(1)
) -> Costs:
    """Costs of the newest of `images`, oldest first, by patches made with `codec` [byte].

    Each patch is in its envelope, and so is the compressed image; no manifest. Raises `InputError` for fewer
    than two images and an unknown codec.
    """
    if len(images) < 2:
        raise InputError(f"images: found {len(images)}, expected 2 or more")
    *older, newest = images
    patches = tuple(Fraction(len(create_patch(base, newest, codec))) for base in reversed(older))
    compressed = Fraction(len(create_patch(b"", newest, full_codec)))
    raw = Fraction(len(newest))
    return Costs(patches, min(compressed, raw), raw, full_above)


def release_with_all_patches(spec: ReleaseSpec) -> Release:
    """The main release of `spec` with a patch from every older firmware, worth it or not.

    Other targets are left out. A firmware's patch is the same whatever else is made. Raises `InputError`.
    """
    return build_release(
        replace(
            spec,
            payload="delta",
            patch_limit=0,
            full_above=WHATEVER_ITS_SIZE,
            published_ms=(),
            stepping_stones=(),
        )
    )


def costs_of_release(release: Release, full_above: Fraction) -> Costs:
    """Costs of the main release of `release`, which has a patch for every base: wire bytes with manifests.

    The bytes are those that a run downloads. Raises `InputError` where a patch is missing.
    """
    full = release.full_for()
    there = [a for a in release.artefacts if a.target == full.target]
    by_base = {a.base: a for a in there if a.kind == "delta"}
    bases = range(full.target - 1, -1, -1)
    if missing := [base for base in bases if base not in by_base]:
        raise InputError(
            f"release: found no patch from {release.firmwares[missing[0]].label}, expected one from each base"
        )
    whole = min(a.wire_bytes for a in there if a.kind != "delta")
    patches = tuple(Fraction(by_base[base].wire_bytes) for base in bases)
    return Costs(patches, Fraction(whole), Fraction(full.wire_bytes), full_above)
