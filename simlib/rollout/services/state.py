"""balena: a fleet has a target release, and each device goes there at once, trying for ever.

The configuration::

    {"release": "1.2.0", "strategy": "download-then-kill", "handoverTimeout": 60000, "updateLocks": true,
     "delta": true, "pin": 0.1}

- ``release``: what the fleet is to run. ``pin`` is the share of devices that are pinned to the old
  release; no update reaches them.
- ``strategy`` and ``handoverTimeout`` [ms] are the labels ``io.balena.update.strategy`` and
  ``io.balena.update.handover-timeout``. Where balena takes an invalid strategy for the default, it is
  refused here. What each takes of a device is in `simlib.rollout.services.state_strategies`; the simulated
  boot loader updates as its layout does.
- ``updateLocks``: an application may hold its device back, which is what a scenario's owner does who is
  prompted; false overrides the locks, so that nobody is asked.
- ``delta``: devices take a patch where there is one. ``delete-then-download`` never does, for its base
  is gone.

The fleet has no gate, no groups and no end of its attempts: a device tries again at its next poll, whose
interval is the option ``simlib.pollInterval`` (15 minutes by default).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Final

from pydantic import Field

from simlib.rollout.policy import Policy, Told
from simlib.rollout.service import Service, Translation
from simlib.rollout.services import calendar
from simlib.rollout.services.state_declared import Declared
from simlib.rollout.services.state_strategies import Strategy, uses_delta
from simlib.scenario import leaves, units
from simlib.scenario.field_model import OwnerSpec
from simlib.scenario.leaves import MINUTE, Flag, Label, Period, Table
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.reading import read_object
from simlib.scenario.toml_text import Document

HANDOVER_MS: Final = MINUTE
"""balena's own default."""
FOR_EVER: Final = 1000
"""The most rounds that a scenario can have."""


class SimlibTable(Table):
    """The key ``simlib``."""

    poll: Period = Field(default=15 * MINUTE, alias="pollInterval")


class TargetTable(Table):
    """The whole document."""

    release: Label
    strategy: Annotated[str, leaves.choice(*Strategy)] = Strategy.DOWNLOAD_THEN_KILL.value
    handover_timeout: Annotated[int, leaves.count(0, leaves.LONGEST_MS)] = Field(
        default=HANDOVER_MS, alias="handoverTimeout"
    )
    update_locks: Flag = Field(default=True, alias="updateLocks")
    delta: Flag = True
    pin: Annotated[Fraction, leaves.leaf(units.share)] = Fraction(0)
    simlib: SimlibTable = SimlibTable()


@dataclass(frozen=True, slots=True)
class Target:
    """The target state of a fleet."""

    release: str
    strategy: Strategy
    handover_ms: int  # hand-over: the old version is killed after so long
    update_locks: bool  # an application may hold its device back
    delta: bool  # patches are taken where there are some
    pin: Fraction  # share of devices that stay at the old release
    poll_ms: int


def read(document: Mapping[str, object], source: str) -> Target:
    """The target state in `document`; raises `InputError`."""
    table = read_object(TargetTable, document, source)
    strategy = Strategy(table.strategy)
    return Target(
        release=table.release,
        strategy=strategy,
        handover_ms=table.handover_timeout,
        update_locks=table.update_locks,
        delta=table.delta and uses_delta(strategy),
        pin=table.pin,
        poll_ms=table.simlib.poll,
    )


def sizes(target: Target, devices: int) -> tuple[int, ...]:
    """The devices that follow the fleet, and those that are pinned, rounded down, if any are to be."""
    pinned = int(target.pin * devices)
    return (devices - pinned, pinned) if target.pin else (devices,)


def policy(target: Target, sizes: tuple[int, ...]) -> Policy:
    """An interface that shows every device its target state."""
    del target, sizes
    return Declared()


def dictate(target: Target, spec: ScenarioSpec) -> ScenarioSpec:
    """The scenario whose devices try again at each poll, without end, and take patches or not."""
    transfer = replace(spec.transfer, rounds=FOR_EVER, retry_after_ms=target.poll_ms)
    release = spec.release if target.delta else replace(spec.release, payload="full")
    owners = spec.owners if target.update_locks else tuple(map(_overridden, spec.owners))
    return replace(spec, transfer=transfer, release=release, owners=owners)


def _overridden(owner: OwnerSpec) -> OwnerSpec:
    return replace(owner, automatic=owner.automatic + owner.prompted, prompted=Fraction(0))


def translate(spec: ScenarioSpec) -> Translation:
    """Everybody to the scenario's release."""
    document: Document = {
        "release": spec.name,
        "strategy": Strategy.DOWNLOAD_THEN_KILL.value,
        "delta": spec.release.payload == "delta",
    }
    lost = []
    if len(spec.rollout.groups) > 1:
        lost.append(f"rollout.groups: everybody at once in place of {len(spec.rollout.groups)} groups")
    lost += calendar.lost_from(spec, (), "everybody has the target state at once")
    if spec.transfer.rounds < FOR_EVER:
        lost.append(f"transfer.rounds: a device tries without end, not {spec.transfer.rounds} times")
    return Translation(document, tuple(lost))


SERVICE: Final = Service(
    name="state",
    read=read,
    sizes=sizes,
    policy=policy,
    translate=translate,
    dictate=dictate,
    statuses={  # of a service or its image, as the supervisor reports it
        "Downloading": Told.STARTED,
        "Downloaded": Told.STARTED,
        "Installing": Told.STARTED,
        "Installed": Told.STARTED,
        "Handing over": Told.STARTED,
        "Starting": Told.STARTED,
        "Running": Told.SUCCEEDED,
        # fields of the supervisor's interface, GET /v1/device
        "update_pending": Told.OFFERED,
        "update_downloaded": Told.STARTED,
        "update_failed": Told.FAILED,
    },
)
