"""The service `staged`: groups behind gates, in the scenario's own words.

Its configuration is the scenario's ``[rollout]`` as JSON: ``groups`` (``share``, ``success_threshold``,
``error_threshold``, ``min_sample``, ``soak``, and the gate's keys), ``interval`` and ``deadline``, each with
the default it has there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Final

from simlib.errors import InputError
from simlib.fleet.population import apportion
from simlib.rollout.policy import Policy, Told
from simlib.rollout.service import Service, Translation
from simlib.rollout.staged import Staged
from simlib.scenario.consistency_rollout import gate_complaint
from simlib.scenario.leaves import DAY, MINUTE, Period, Table
from simlib.scenario.model import GroupSpec, ScenarioSpec
from simlib.scenario.naming import place_of
from simlib.scenario.reading import read_object
from simlib.scenario.schema import GroupTable
from simlib.scenario.toml_text import one_line
from simlib.scenario.units import format_share
from simlib.scenario.writing import written

MOST_GROUPS: Final = 1000


class StagedTable(Table):
    """The document."""

    groups: list[GroupTable] = [GroupTable()]  # noqa: RUF012 (pydantic copies it for each table)
    interval: Period = MINUTE
    deadline: Period = DAY


@dataclass(frozen=True, slots=True)
class StagedConfig:
    """The facts of the document."""

    groups: tuple[GroupSpec, ...]
    interval_ms: int
    deadline_ms: int

    @property
    def shares(self) -> tuple[Fraction, ...]:
        """The groups' shares with "the rest" worked out."""
        named = sum((g.share for g in self.groups if g.share is not None), Fraction(0))
        return tuple(1 - named if g.share is None else g.share for g in self.groups)


def read(document: Mapping[str, object], source: str) -> StagedConfig:
    """The configuration in `document`. Raises `InputError`."""
    table = read_object(StagedTable, document, source)
    groups = tuple(
        GroupSpec(**{field.name: getattr(group, place_of(field.name)[0]) for field in fields(GroupSpec)})
        for group in table.groups
    )
    for key, found, expected in _complaints(groups):
        raise InputError(f"{one_line(source)}: {key}: found {found}, expected {expected}")
    return StagedConfig(groups, table.interval, table.deadline)


def _complaints(groups: tuple[GroupSpec, ...]) -> Iterator[tuple[str, str, str]]:
    if not groups:
        yield "groups", "an empty list", "at least one element"
    if len(groups) > MOST_GROUPS:
        yield "groups", f"{len(groups)} groups", f"at most {MOST_GROUPS}"
    for number, group in enumerate(groups[:-1]):
        if group.share is None:
            yield f"groups.{number}.share", '"rest"', 'a share; only the last group can take "rest"'
    named = sum((group.share for group in groups if group.share is not None), Fraction(0))
    total = format_share(named)
    if groups[-1].share is not None and named != 1:
        yield "groups", f"shares that sum to {total}", "shares that sum to exactly 1"
    if named > 1:
        yield "groups", f"shares that sum to {total}", "at most 1 beside the rest"
    for number, group in enumerate(groups):
        if (wrong := gate_complaint(group)) is not None:
            key, found, expected = wrong
            yield f"groups.{number}.{key}", found, expected


def sizes(config: StagedConfig, devices: int) -> tuple[int, ...]:
    """Devices in each group: cut at the cumulative shares, rounded down."""
    return apportion(config.shares, devices)


def policy(config: StagedConfig, sizes: tuple[int, ...]) -> Policy:
    """A fresh policy. Raises `InputError` where the rollout has another number of groups."""
    if len(sizes) != len(config.groups):
        raise InputError(f"groups: found {len(config.groups)}, expected {len(sizes)}, as the rollout has")
    return Staged(config.groups, interval_ms=config.interval_ms, deadline_ms=config.deadline_ms)


def translate(spec: ScenarioSpec) -> Translation:
    """The scenario's own rollout; nothing is lost."""
    rollout = spec.rollout
    return Translation(
        {
            "groups": written("groups", rollout.groups),
            "interval": written("interval_ms", rollout.interval_ms),
            "deadline": written("deadline_ms", rollout.deadline_ms),
        }
    )


SERVICE: Final = Service(
    name="staged",
    read=read,
    sizes=sizes,
    policy=policy,
    translate=translate,
    statuses={
        "offered": Told.OFFERED,
        "started": Told.STARTED,
        "succeeded": Told.SUCCEEDED,
        "failed": Told.FAILED,
        "skipped": Told.SKIPPED,
    },
)
