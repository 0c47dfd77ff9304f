"""For which base versions patches are made, where not every one gets its own.

By `ReleaseSpec.patches`, up to `patch_limit` for a target: the newest bases; those that most devices run; or
those whose patches save most, which is devices times bytes and can only be told once the patches are made.
Where they are alike, the newer one goes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from simlib.release.artefact import Artefact
from simlib.scenario.model import ReleaseSpec

Populations = Mapping[int, Fraction]
"""How many devices run each firmware, by its index in the chain, in any unit; none where it says nothing."""


def made_for(spec: ReleaseSpec, bases: Sequence[int], populations: Populations) -> tuple[int, ...]:
    """Those of `bases` (chain indices) that a patch is made from, in their order."""
    if not spec.patch_limit or spec.patches == "saving":
        return tuple(bases)

    def rank(base: int) -> tuple[Fraction, int]:
        return _devices(populations, base) if spec.patches == "population" else Fraction(0), base

    chosen = sorted(bases, key=rank, reverse=True)[: spec.patch_limit]
    return tuple(base for base in bases if base in chosen)


def kept(
    spec: ReleaseSpec, patches: Sequence[Artefact], instead_bytes: int, populations: Populations
) -> tuple[Artefact, ...]:
    """Those of `patches` to one target that are published, in their order.

    `instead_bytes` is what a device downloads where there is no patch for it.
    """
    if not spec.patch_limit or spec.patches != "saving":
        return tuple(patches)

    def saving(patch: Artefact) -> tuple[Fraction, int]:
        base = patch.base or 0
        return _devices(populations, base) * (instead_bytes - patch.wire_bytes), base

    chosen = sorted(patches, key=saving, reverse=True)[: spec.patch_limit]
    return tuple(patch for patch in patches if patch in chosen)


def _devices(populations: Populations, base: int) -> Fraction:
    return populations.get(base, Fraction(0))
