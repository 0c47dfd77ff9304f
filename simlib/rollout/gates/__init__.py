"""The gates of a staged rollout: when reports on a group halt it. `gate_of` makes the one a group names."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from simlib.errors import InputError
from simlib.rollout.gates.gate import Gate, Never, Threshold
from simlib.rollout.gates.mann_whitney import MannWhitney
from simlib.rollout.gates.mixture import Mixture
from simlib.rollout.gates.naive import Naive
from simlib.rollout.gates.sprt import Sprt
from simlib.rollout.gates.wilson import Wilson
from simlib.scenario.consistency_rollout import PLANNED, gate_complaint
from simlib.scenario.model import GroupSpec

__all__ = [
    "Gate",
    "MannWhitney",
    "Mixture",
    "Naive",
    "Never",
    "Sprt",
    "Threshold",
    "Wilson",
    "gate_of",
]


def gate_of(spec: GroupSpec) -> Gate:
    """The gate of a group. Groups that say the same share one, and the bounds it has found.

    `min_sample` is for the gates that need one: `sprt` and `mixture` know by themselves when it is too soon.
    Raises `InputError`.
    """
    if (wrong := gate_complaint(spec)) is not None:
        raise InputError("{}: found {}, expected {}".format(*wrong))
    return _gate(
        spec.gate, spec.error_threshold, spec.min_sample, spec.gate_level, spec.gate_power, spec.gate_bad
    )


@lru_cache(maxsize=256)
def _gate(
    name: str, threshold: Fraction, min_sample: int, level: Fraction, power: Fraction, bad: Fraction
) -> Gate:
    if name in (*PLANNED, "naive") and not threshold:
        return Threshold(threshold, 1)  # a single failure refutes a rate of 0
    match name:
        case "wilson":
            return Wilson(threshold, level, min_sample)
        case "sprt":
            return Sprt(threshold, bad, level, power)
        case "mixture":
            return Mixture(threshold, bad, level)
        case "mann-whitney":
            return MannWhitney(threshold, level, min_sample)
        case "naive":
            return Naive(threshold, level, min_sample)
        case "none":
            return Never()
    return Threshold(threshold, min_sample)
