"""What must hold between the keys of a rollout: its groups' gates, and the service's own configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Final

from simlib.scenario.model import GroupSpec, ScenarioSpec
from simlib.scenario.units import format_duration, format_share

Complaint = tuple[str, str, str]
"""Key, found, expected."""

LEAST_LEVEL: Final = Fraction(1, 10**12)
WITH_LEVEL: Final = ("wilson", "sprt", "mixture", "mann-whitney", "naive")
PLANNED: Final = ("sprt", "mixture")
"""Gates that are made for a failure rate which must not be overlooked."""


def gate_complaint(group: GroupSpec) -> Complaint | None:
    """Why there is no such gate as that of `group`; None if there is."""
    level = group.gate_level
    if group.gate in WITH_LEVEL and not LEAST_LEVEL <= level < Fraction(1, 2):
        return "gate_level", _shown(level), f"1e-12 or more and below 0.5 for the gate {group.gate}"
    if group.gate in PLANNED and not group.error_threshold < group.gate_bad < 1:
        expected = f"above the error_threshold, {_shown(group.error_threshold)}, and below 1"
        return "gate_bad", _shown(group.gate_bad), f"{expected} for the gate {group.gate}"
    if group.gate == "sprt" and group.gate_power <= level:
        return "gate_power", _shown(group.gate_power), f"above the gate_level, {_shown(level)}"
    return None


def _shown(share: Fraction) -> str:
    return str(format_share(share))


def _gates(spec: ScenarioSpec) -> Iterator[Complaint]:
    for number, group in enumerate(spec.rollout.groups):
        if (wrong := gate_complaint(group)) is not None:
            key, found, expected = wrong
            yield f"rollout.groups.{number}.{key}", found, expected


def _config(spec: ScenarioSpec) -> Iterator[Complaint]:
    if spec.rollout.config and spec.rollout.policy == "staged":
        yield (
            "rollout.config",
            "a configuration",
            '"", as the groups of a staged rollout are its configuration',
        )


def _enforced(spec: ScenarioSpec) -> Iterator[Complaint]:
    rollout = spec.rollout
    if rollout.enforce_local_ms is None:
        return
    if rollout.window is not None:
        yield "rollout.enforce_local", "it beside rollout.window", "one of the two times to install at"
    if rollout.policy == "staged" and rollout.deadline_ms <= rollout.enforce_local_ms:
        found = format_duration(rollout.deadline_ms)
        yield "rollout.deadline", found, "more than rollout.enforce_local: nobody reports an end before that"


ROLLOUT_RULES: Final[tuple[Callable[[ScenarioSpec], Iterator[Complaint]], ...]] = (
    _gates,
    _config,
    _enforced,
)
