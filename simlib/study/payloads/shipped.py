"""One release in each form in which it can travel: raw, compressed, and as patches, codec by codec."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from simlib.delta import codec_names
from simlib.delta.registry import chosen
from simlib.errors import InputError
from simlib.release import Artefact, Release, build_release
from simlib.scenario.model import ReleaseSpec

WHATEVER_ITS_SIZE: Final = Fraction(1 << 32)
"""`ReleaseSpec.full_above` of a patch that is made whether it is worth it or not."""


@dataclass(frozen=True)
class Shipped:
    """The release in one form; `codec` is "" for the raw image."""

    payload: str  # "full", "compressed" or "delta"
    codec: str
    release: Release

    def artefact(self, base: int) -> Artefact | None:
        """What a device that runs the chain's number `base` downloads; None: nothing of this form is made."""
        there = self.release.artefacts_for(base if self.payload == "delta" else None)
        return next((each for each in there if each.kind == self.payload), None)


def shipped(
    spec: ReleaseSpec,
    bases: Collection[int] | None,
    codecs: Sequence[str] | None = None,
    full_codecs: Sequence[str] | None = None,
) -> Iterator[Shipped]:
    """The newest firmware of `spec` raw, compressed with each of `full_codecs`, and as patches by `codecs`.

    `bases` are the chain indices that patches are made from; None: every older one. Without names of codecs,
    all that there are. Raises `InputError` for one that there is not, or that is of the other kind.
    """
    _expect("codecs", codecs, takes_base=True)
    _expect("full_codecs", full_codecs, takes_base=False)
    plain = replace(
        spec, payload="full", full_codec="none", patch_limit=0, published_ms=(), stepping_stones=()
    )
    yield Shipped("full", "", build_release(plain))
    for codec in codec_names(takes_base=False) if full_codecs is None else full_codecs:
        yield Shipped("compressed", codec, build_release(replace(plain, full_codec=codec)))
    patched = replace(plain, payload="delta", full_above=WHATEVER_ITS_SIZE)
    for codec in codec_names(takes_base=True) if codecs is None else codecs:
        yield Shipped("delta", codec, build_release(replace(patched, codec=codec), bases))


def _expect(what: str, names: Sequence[str] | None, *, takes_base: bool) -> None:
    for name in names or ():
        if chosen(name).traits.takes_base != takes_base:
            kind = "takes a base" if takes_base else "takes none"
            raise InputError(f"{what}: found {name}, expected a codec that {kind}")
