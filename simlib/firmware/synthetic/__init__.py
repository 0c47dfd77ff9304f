"""Synthetic firmware: Thumb-like images, made from a seed, that compress and differ as real releases do."""

from __future__ import annotations

from simlib.firmware.synthetic.history import WEIGHTS, History, drawn_steps, synthetic_history
from simlib.firmware.synthetic.kinds import KINDS
from simlib.firmware.synthetic.releases import corpus_like_chain, release_versions, synthetic_chain

__all__ = [
    "KINDS",
    "WEIGHTS",
    "History",
    "corpus_like_chain",
    "drawn_steps",
    "release_versions",
    "synthetic_chain",
    "synthetic_history",
]
