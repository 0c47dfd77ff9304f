"""Apple's declarative management: a declaration names a version and a local time, each device acts alone.

The configuration is a declaration ``com.apple.configuration.softwareupdate.enforcement.specific`` or its
payload: ``TargetOSVersion`` and ``TargetLocalDateTime`` (``yyyy-mm-ddThh:mm:ss``, without a zone) are
required, ``TargetBuildVersion`` and ``DetailsURL`` are optional (apple/device-management,
declarative/declarations). A device downloads once it has the declaration and installs at the target time of
its own clock; one that was off then does so when it is back. There is no pacing by the server: a fleet
installs in a spike in each time zone. A target time that is past enforces at once.

A version or build that is not available leaves the declaration active and idle, and is followed when it
becomes available. Install before the target time, where an owner agrees to it, is the scenario's owners'
affair.

Options under the extra key ``simlib``: ``start``, the date-time at which the scenario starts (a Monday by
default); ``unavailable``, versions and builds that there are not; ``availableAfter``, since the start, when
those come; never by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import Field

from simlib.errors import InputError
from simlib.rollout.policy import Policy, Told
from simlib.rollout.service import Service, Translation
from simlib.rollout.services import calendar
from simlib.rollout.services.state_declared import Declared
from simlib.scenario import leaves
from simlib.scenario.leaves import DAY, Label, Table
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.reading import read_object
from simlib.scenario.toml_text import Document, one_line
from simlib.scenario.units import format_duration

TYPE: Final = "com.apple.configuration.softwareupdate.enforcement.specific"
MONDAY_MS: Final = calendar.local_date_time("2026-01-05T00:00:00")
"""Where the calendar of a scenario starts unless it is said."""

_Text = Annotated[str, leaves.leaf(leaves.text)]
_DateTime = Annotated[int, leaves.leaf(calendar.local_date_time)]


class SimlibTable(Table):
    """The key ``simlib``."""

    start: _DateTime = MONDAY_MS
    unavailable: list[Label] = Field(default_factory=list)
    available_after: Annotated[int | None, leaves.duration(0)] = Field(default=None, alias="availableAfter")


class PayloadTable(Table):
    """The payload of a declaration."""

    version: Label = Field(alias="TargetOSVersion")
    build: Label | None = Field(default=None, alias="TargetBuildVersion")
    local: _DateTime = Field(alias="TargetLocalDateTime")
    details: _Text = Field(default="", alias="DetailsURL")


class BareTable(PayloadTable):
    """A payload alone."""

    simlib: SimlibTable = SimlibTable()


class DeclarationTable(Table):
    """A whole declaration."""

    type: Annotated[str, leaves.choice(TYPE)] = Field(alias="Type")
    identifier: Label = Field(alias="Identifier")
    token: _Text = Field(default="", alias="ServerToken")
    payload: PayloadTable = Field(alias="Payload")
    simlib: SimlibTable = SimlibTable()


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a declaration means to a run."""

    version: str
    build: str | None
    enforce_local_ms: int | None  # after the scenario's start, by a device's own clock; None: at once
    opens_ms: int | None  # when there is something to install; None: never


def read(document: Mapping[str, object], source: str) -> Declaration:
    """The declaration in `document`, whole or its payload; `InputError` for what Apple's schema refuses."""
    payload: PayloadTable
    if {"Type", "Identifier", "Payload"} & set(document):
        whole = read_object(DeclarationTable, document, source)
        payload, options = whole.payload, whole.simlib
    else:
        payload = bare = read_object(BareTable, document, source)
        options = bare.simlib
    missing = {payload.version, payload.build} & set(options.unavailable)
    if options.available_after is not None and not missing:
        found = format_duration(options.available_after)
        raise InputError(
            f"{one_line(source)}: simlib.availableAfter: found {found}, "
            "expected the version or build among simlib.unavailable"
        )
    after_ms = payload.local - options.start
    return Declaration(
        version=payload.version,
        build=payload.build,
        enforce_local_ms=after_ms if after_ms > 0 else None,
        opens_ms=options.available_after if missing else 0,
    )


def sizes(declaration: Declaration, devices: int) -> tuple[int, ...]:
    """One group: everybody has the declaration."""
    del declaration
    return (devices,)


def policy(declaration: Declaration, sizes: tuple[int, ...]) -> Policy:
    """A server that has declared, and waits."""
    del sizes
    return Declared(declaration.opens_ms)


def dictate(declaration: Declaration, spec: ScenarioSpec) -> ScenarioSpec:
    """The scenario whose devices install at the target time, each by its own clock."""
    enforced = replace(spec.rollout, enforce_local_ms=declaration.enforce_local_ms, window=None)
    return replace(spec, rollout=enforced)


def translate(spec: ScenarioSpec) -> Translation:
    """Everybody at the time at which the scenario's last group would open if every group soaked only.

    A scenario that already enforces a local time keeps it.
    """
    groups = spec.rollout.groups
    enforced = spec.rollout.enforce_local_ms
    after_ms = sum(group.soak_ms for group in groups[:-1]) if enforced is None else enforced
    start_ms = MONDAY_MS + spec.weekday * DAY
    lost = list(calendar.lost_from(spec, (), "each device acts alone at its local time"))
    if len(groups) > 1:
        lost.insert(0, f"rollout.groups: one deadline for everybody in place of {len(groups)} groups")
    document: Document = {
        "Type": TYPE,
        "Identifier": spec.name,
        "Payload": {
            "TargetOSVersion": "1.0",
            "TargetLocalDateTime": calendar.format_local(start_ms + after_ms),
        },
        "simlib": {"start": calendar.format_local(start_ms)},
    }
    lost.append("release: its version is not known here; TargetOSVersion is to be set")
    return Translation(document, tuple(lost))


SERVICE: Final = Service(
    name="deadline",
    read=read,
    sizes=sizes,
    policy=policy,
    translate=translate,
    dictate=dictate,
    statuses={  # the status item softwareupdate.install-state
        "waiting": Told.OFFERED,
        "downloading": Told.STARTED,
        "prepared": Told.STARTED,
        "installing": Told.STARTED,
        "none": Told.SUCCEEDED,  # nothing is pending, and an earlier update succeeded
        "failed": Told.FAILED,
    },
)
