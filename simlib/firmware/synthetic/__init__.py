"""Synthetic firmware: Thumb-like images, made from a seed, that compress and differ as real releases do."""

from __future__ import annotations

from simlib.firmware.synthetic.evolution import KINDS
from simlib.firmware.synthetic.releases import release_versions, synthetic_chain

__all__ = ["KINDS", "release_versions", "synthetic_chain"]
