"""The gates of a staged rollout: when reports on a group halt it. `gate_of` makes the one a group names."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Final

from simlib.errors import InputError
from simlib.rollout.gates.gate import Gate, Never, Threshold
from simlib.rollout.gates.mann_whitney import MannWhitney
from simlib.rollout.gates.mixture import Mixture
from simlib.rollout.gates.naive import Naive
from simlib.rollout.gates.sprt import Sprt
from simlib.rollout.gates.wilson import Wilson
from simlib.scenario.model import GroupSpec
from simlib.scenario.units import format_share

__all__ = [
    "Gate",
    "MannWhitney",
    "Mixture",
    "Naive",
    "Never",
    "Sprt",
    "Threshold",
    "Wilson",
    "complaint",
    "gate_of",
]

LEAST_LEVEL: Final = Fraction(1, 10**12)
_LEVEL: Final = ("wilson", "sprt", "mixture", "mann-whitney", "naive")
_PLANNED: Final = ("sprt", "mixture")


def complaint(spec: GroupSpec) -> tuple[str, str, str] | None:
    """Key, what was found and what was expected, for a gate that cannot be made as `spec` has it."""
    level = spec.gate_level
    if spec.gate in _LEVEL and not LEAST_LEVEL <= level < Fraction(1, 2):
        return "gate_level", _shown(level), f"1e-12 or more and below 0.5 for the gate {spec.gate}"
    if spec.gate in _PLANNED and not spec.error_threshold < spec.gate_bad < 1:
        expected = f"above the error_threshold, {_shown(spec.error_threshold)}, and below 1"
        return "gate_bad", _shown(spec.gate_bad), f"{expected} for the gate {spec.gate}"
    if spec.gate == "sprt" and spec.gate_power <= level:
        return "gate_power", _shown(spec.gate_power), f"above the gate_level, {_shown(level)}"
    return None


def gate_of(spec: GroupSpec) -> Gate:
    """The gate of a group. Groups that say the same share one, and the bounds it has found.

    `min_sample` is for the gates that need one: `sprt` and `mixture` know by themselves when it is too soon.
    Raises `InputError`.
    """
    if (wrong := complaint(spec)) is not None:
        raise InputError("{}: found {}, expected {}".format(*wrong))
    return _gate(
        spec.gate, spec.error_threshold, spec.min_sample, spec.gate_level, spec.gate_power, spec.gate_bad
    )


@lru_cache(maxsize=256)
def _gate(
    name: str, threshold: Fraction, min_sample: int, level: Fraction, power: Fraction, bad: Fraction
) -> Gate:
    if name in (*_PLANNED, "naive") and not threshold:
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


def _shown(share: Fraction) -> str:
    return str(format_share(share))
