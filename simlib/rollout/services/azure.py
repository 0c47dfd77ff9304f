"""Azure Device Update for IoT Hub: one deployment to one group, with a roll-back policy.

The group opens whole at the deployment's start.

A group has one active deployment; a newer one supersedes it, and a superseded or cancelled one cannot be
reactivated. Deployments are dynamic: they stay active after every device has reported. Retry is one flag
for the whole deployment. The roll-back policy counts failed devices of the group: when both
`devicesFailedPercentage` and `devicesFailedCount` are reached the deployment is cancelled, and the
policy's own update is deployed instead (`recovery.on_halt = "rollback"`). A silent device is not a failed
one. Sub-deployments of device classes share the group's counts here.

How the two numbers combine, and whether reaching or exceeding them counts, is not in the documentation.
Under ``simlib``: `combine` ("and", the default, or "or"); `comparison` ("at-least", the default, or
"more-than"); `start`, when the run starts (without it the deployment starts with the run). Source:
Microsoft's Device Update documentation, Deployments; the interface's deployment and roll-back objects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Final

from pydantic import Field

from simlib.errors import InputError
from simlib.rollout.policy import Action, Counter, Decision, Policy, Told, Verb, View, Wake
from simlib.rollout.service import Service, Translation
from simlib.rollout.services.calendar import START, instant
from simlib.scenario import leaves, units
from simlib.scenario.leaves import Flag, Table
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.reading import read_object
from simlib.scenario.toml_text import one_line

_LONGEST_ID: Final = 73
_FORBIDDEN: Final = re.compile(r'[A-Z&^\[\]{}|<>/\\"]')


def _deployment_id(value: object) -> str:
    text = leaves.text(value)
    if not 0 < len(text) <= _LONGEST_ID or _FORBIDDEN.search(text):
        raise units.ExpectedError(
            f"1 to {_LONGEST_ID} characters without capitals and any of & ^ [ ] {{ }} | < > / \\ or quotes"
        )
    return text


_Text = Annotated[str, leaves.leaf(leaves.text)]
_MaybeText = Annotated[str | None, leaves.leaf(lambda value: None if value is None else leaves.text(value))]
_Instant = Annotated[int | None, leaves.leaf(lambda value: None if value is None else instant(value))]


class UpdateIdTable(Table):
    """An update's identity."""

    provider: _Text
    name: _Text
    version: _Text


class UpdateTable(Table):
    """An update, as deployments name it."""

    update_id: UpdateIdTable = Field(alias="updateId")
    description: _MaybeText = None
    friendly_name: _MaybeText = Field(None, alias="friendlyName")


class FailureTable(Table):
    """When the roll-back policy acts."""

    percentage: Annotated[int, leaves.count(0, 100)] = Field(alias="devicesFailedPercentage")
    count: Annotated[int, leaves.count(0, 10**9)] = Field(alias="devicesFailedCount")


class RollbackTable(Table):
    """The roll-back policy."""

    update: UpdateTable | None = None
    failure: FailureTable


class OptionsTable(Table):
    """The key ``simlib`` of a deployment."""

    combine: Annotated[str, leaves.choice("and", "or")] = "and"
    comparison: Annotated[str, leaves.choice("at-least", "more-than")] = "at-least"
    start: _Instant = None


class DeploymentTable(Table):
    """A deployment. What only identifies it may be left out."""

    deployment_id: Annotated[str, leaves.leaf(_deployment_id)] = Field("deployment", alias="deploymentId")
    start: _Instant = Field(None, alias="startDateTime")
    update: UpdateTable | None = None
    group_id: _MaybeText = Field(None, alias="groupId")
    subgroups: list[_Text] = Field(default_factory=list, alias="deviceClassSubgroups")
    retried: Flag = Field(False, alias="isRetried")
    cancelled: Flag = Field(False, alias="isCanceled")
    is_rollback: Flag = Field(False, alias="isCloudInitiatedRollback")
    rollback: RollbackTable | None = Field(None, alias="rollbackPolicy")
    simlib: OptionsTable = Field(default_factory=OptionsTable)


@dataclass(frozen=True, slots=True)
class Rollback:
    """When a deployment is rolled back."""

    percentage: int
    count: int
    both: bool = True
    exceeds: bool = False


@dataclass(frozen=True, slots=True)
class AzureDeployment:
    """A deployment."""

    start_ms: int  # since the run's start
    retried: bool
    cancelled: bool
    rollback: Rollback | None


def read(document: Mapping[str, object], source: str) -> AzureDeployment:
    """See `Service.read`."""
    table = read_object(DeploymentTable, document, source)
    options, rollback = table.simlib, table.rollback
    start_ms = 0
    if table.start is not None and options.start is not None:
        start_ms = max(table.start - options.start, 0)
        if start_ms > leaves.LONGEST_MS:
            raise InputError(
                f"{one_line(source)}: startDateTime: found {start_ms} ms after simlib.start, "
                f"expected at most {leaves.LONGEST_MS}"
            )
    if rollback is not None and table.update is not None and rollback.update == table.update:
        raise InputError(
            f"{one_line(source)}: rollbackPolicy.update: found the update of the deployment, "
            "expected another one"
        )
    return AzureDeployment(
        start_ms,
        table.retried,
        table.cancelled,
        None
        if rollback is None
        else Rollback(
            rollback.failure.percentage,
            rollback.failure.count,
            options.combine == "and",
            options.comparison == "more-than",
        ),
    )


def sizes(config: AzureDeployment, devices: int) -> tuple[int, ...]:
    """One group."""
    del config
    return (devices,)


def failures_to_roll_back(policy: Rollback, size: int) -> int:
    """The least number of failed devices in a group of `size` that meets the policy; at least one."""
    if policy.exceeds:
        by_share, by_count = policy.percentage * size // 100 + 1, policy.count + 1
    else:
        by_share, by_count = -(-policy.percentage * size // 100), policy.count
    met = max(by_share, by_count) if policy.both else min(by_share, by_count)
    return max(met, 1)


class Azure(Policy):
    """The policy's state: whether the deployment has begun, was finished by all, or is cancelled."""

    interval_ms = 1

    def __init__(self, config: AzureDeployment, sizes: tuple[int, ...]) -> None:
        self._start_ms = config.start_ms
        self._bound = None if config.rollback is None else failures_to_roll_back(config.rollback, sizes[0])
        self._cancelled = config.cancelled
        self._started = False
        self._finished = False

    def decide(self, view: View) -> Decision:
        """See the module's docstring for the rules."""
        if self._cancelled:
            return Decision()
        if view.now_ms < self._start_ms:
            return Decision(wake=Wake(self._start_ms))
        seen, actions = view.groups[0], []
        if not self._started:
            self._started = True
            actions.append(Action(Verb.OPEN, 0))
        if self._bound is not None and seen.failed >= self._bound:
            self._cancelled = True
            share = Fraction(100 * seen.failed, seen.size)
            actions.append(Action(Verb.CANCEL, 0, f"{seen.failed} devices failed ({float(share):.4g} %)"))
            return Decision(tuple(actions))
        if not self._finished and seen.settled >= seen.size:
            self._finished = True
            actions.append(Action(Verb.FINISH, 0, "every device has reported; the deployment stays active"))
        counts = []
        if not self._finished:
            counts.append((0, Counter.SETTLED, seen.size))
        if self._bound is not None:
            counts.append((0, Counter.FAILED, self._bound))
        return Decision(tuple(actions), Wake(counts=tuple(counts)))


def dictate(config: AzureDeployment, spec: ScenarioSpec) -> ScenarioSpec:
    """One retry where the deployment was retried, and the roll-back that a policy asks for.

    A scenario that says what happens after a halt, or whose releases follow one another, keeps its own way.
    """
    if config.retried:
        spec = replace(spec, transfer=replace(spec.transfer, rounds=2))
    may_roll_back = spec.recovery.on_halt == "stop" and len(spec.release.published_ms) == 1
    if config.rollback is not None and may_roll_back:
        spec = replace(spec, recovery=replace(spec.recovery, on_halt="rollback", delay_ms=0))
    return spec


_LOST: Final = (
    "rollout.groups: one group, deployed to at once",
    "rollout.groups.*.success_threshold: no gate on successes",
    "rollout.groups.*.soak: nothing is waited for",
    "rollout.groups.*.error_threshold: the first group's, of all devices of the group instead of the judged",
    "rollout.groups.*.min_sample: became the failures with which the first group would halt at its sample",
    "rollout.deadline: a silent device is not a failed one",
    "rollout.interval: failures count when they are reported",
)


def translate(spec: ScenarioSpec) -> Translation:
    """The nearest deployment: the first group's error threshold and minimum sample as a roll-back policy."""
    first = spec.rollout.groups[0]
    provider, name = "simlib", spec.name
    document: dict[str, object] = {
        "deploymentId": spec.name.lower()[:_LONGEST_ID],
        "startDateTime": START,
        "update": {"updateId": {"provider": provider, "name": name, "version": "2.0"}},
        "groupId": "all",
        "isRetried": spec.transfer.rounds > 1,
    }
    lost = list(_LOST)
    if first.error_threshold < 1:
        document["rollbackPolicy"] = {
            "update": {"updateId": {"provider": provider, "name": name, "version": "1.0"}},
            "failure": {
                "devicesFailedPercentage": -int(-100 * first.error_threshold // 1),
                "devicesFailedCount": int(first.error_threshold * first.min_sample) + 1,
            },
        }
        if spec.recovery.on_halt != "rollback":
            lost.append(f"recovery.on_halt: not {spec.recovery.on_halt}, a roll-back policy rolls back")
    if (100 * first.error_threshold).denominator != 1:
        lost.append("rollout.groups.0.error_threshold: rounded up to a whole percentage")
    if any(group.gate != "threshold" for group in spec.rollout.groups):
        lost.append("rollout.groups.*.gate: no statistical gate")
    if spec.rollout.window is not None:
        lost.append("rollout.window: only the start is scheduled")
    if spec.rollout.abort_downloads:
        lost.append("rollout.abort_downloads: a device that has begun goes on")
    if spec.transfer.rounds > 2:
        lost.append("transfer.rounds: a deployment is retried once")
    return Translation(document, tuple(lost))


STATUSES: Final[Mapping[str, Told]] = {
    "InProgress": Told.STARTED,
    "Succeeded": Told.SUCCEEDED,
    "Failed": Told.FAILED,
    "Canceled": Told.SKIPPED,
    "Incompatible": Told.SKIPPED,
}

SERVICE: Final = Service("azure", read, sizes, Azure, translate, STATUSES, dictate)
