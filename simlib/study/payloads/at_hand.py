"""Firmware to look at: a fetched public chain, or a synthetic history where none was fetched."""

from __future__ import annotations

from simlib.firmware.corpus import corpora, load_corpus
from simlib.firmware.synthetic import synthetic_history

RELEASES = 9
SIZE_BYTES = 176 << 10
SEED = 4


def firmware_at_hand(first: str = "pybricks_cityhub") -> tuple[str, tuple[bytes, ...]]:
    """The name of a history of releases and its images, oldest first.

    The chain `first` if it is in the cache, or another one that is; otherwise "synthetic": nine releases of
    kinds and sizes drawn as those of public projects are. Raises Refused where a fetched image has changed.
    """
    fetched = [chain.name for chain in corpora() if chain.is_cached()]
    if not fetched:
        return "synthetic", synthetic_history(SEED, RELEASES, SIZE_BYTES).firmwares
    name = first if first in fetched else fetched[0]
    return name, tuple(firmware.payload for firmware in load_corpus(name))
