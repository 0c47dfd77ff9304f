"""The tables of a configuration by percentages: Google Play's track, release and plan, Memfault's deployment.

Each value is checked here, what has to hold between them in `simlib.rollout.services.percentage`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Final

from pydantic import Field

from simlib.rollout.services import calendar
from simlib.scenario import leaves, units
from simlib.scenario.leaves import DAY, HOUR, Label, Period, Span, Table
from simlib.scenario.units import ExpectedError

STATUSES: Final = ("draft", "inProgress", "halted", "completed")


def _fraction(value: object) -> Fraction:
    amount = None if isinstance(value, str) else units.exact(value)
    if amount is None or not 0 < amount < 1:
        raise ExpectedError("a number above 0 and below 1")
    return amount


def _anything(value: object) -> object:
    return value


_Fraction = Annotated[Fraction | None, leaves.leaf(_fraction)]
_Percentage = Annotated[Fraction | None, leaves.leaf(calendar.positive_percentage)]
_After = Annotated[int | None, leaves.duration(0)]
_Unused = Annotated[object, leaves.leaf(_anything)]
"""What Play takes and a rollout does not depend on."""


class JudgeTable(Table):
    """The option ``simlib.judge``."""

    every: Period = DAY
    at: Annotated[int, leaves.leaf(leaves.time_of_day)] = 9 * HOUR
    halt_at: Annotated[Fraction, leaves.leaf(calendar.positive_percentage)] = Field(
        alias="haltAtFailurePercentage"
    )
    min_sample: Annotated[int, leaves.count(1, 10**9)] = Field(default=1, alias="minSample")
    silent_after: Span = Field(default=0, alias="silentAfter")


class SimlibTable(Table):
    """The key ``simlib``."""

    judge: JudgeTable | None = None


class ReleaseTable(Table):
    """A release of a track, or a step of a plan."""

    status: Annotated[str | None, leaves.choice(*STATUSES)] = None
    fraction: _Fraction = Field(default=None, alias="userFraction")
    after: _After = None
    name: _Unused = None
    version_codes: _Unused = Field(default=None, alias="versionCodes")
    release_notes: _Unused = Field(default=None, alias="releaseNotes")
    priority: _Unused = Field(default=None, alias="inAppUpdatePriority")
    countries: _Unused = Field(default=None, alias="countryTargeting")


class PlayTable(ReleaseTable):
    """A track with its releases, a release alone, or a plan."""

    track: Label = "production"
    releases: list[ReleaseTable] | None = None
    steps: list[ReleaseTable] | None = None
    simlib: SimlibTable = SimlibTable()


class MemfaultStepTable(Table):
    """A step of a plan in Memfault's words."""

    status: Annotated[str | None, leaves.choice("aborted")] = None
    devices: Annotated[int | None, leaves.count(1, 10**7)] = None
    rollout_percentage: _Percentage = Field(default=None, alias="rolloutPercentage")
    after: _After = None


class MemfaultTable(Table):
    """A deployment to a cohort, or a plan."""

    cohort: Label
    release: Label = "newest"
    rollout_percentage: _Percentage = Field(default=None, alias="rolloutPercentage")
    steps: list[MemfaultStepTable] | None = None
    simlib: SimlibTable = SimlibTable()
