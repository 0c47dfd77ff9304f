"""Automatic deployment with monthly bulletins: rings that follow a bulletin day, each after its deferral.

The configuration::

    {"bulletin": {"dayOfMonth": 1, "leadDays": 30, "first": "2026-02-01"},
     "rings": [{"name": "pilot", "percentage": 5, "deferralDays": 0, "deadlineDays": 2},
               {"name": "broad", "percentage": 95, "deferralDays": 7, "deadlineDays": 7}],
     "monitoringRule": {"signal": "rollback", "threshold": 5, "action": "pauseDeployment"}}

- The calendar is that of Android's security bulletins: a fixed day of each month, and partners who know of
  the content ``leadDays`` before. The lead changes nothing on a device; what it means for the exposure is a
  scenario's table ``disclosure``, which `disclosure` gives. `automatic_bulletins.bulletins` gives the times
  of several releases for ``release.published``; devices take the newest that is published.
- The rings are those of device management for Windows and Android Enterprise: each is offered the release its
  ``deferralDays`` after the bulletin. With a ``deadlineDays`` an owner may put the update off, but not for
  good; the ring is done when its deadline is over.
- The rule is that of Windows Update's deployment service: ``threshold`` is a whole number from 1 to 100; the
  signal ``ineligible`` belongs to feature updates of Windows and is refused. ``alertError`` raises an alert,
  ``pauseDeployment`` stops offering.

Options under the extra key ``simlib``, for what the documentation leaves open: ``start``, the day on which
the scenario starts, by default the first bulletin's; ``minSample``, judged devices of a ring before the rule
counts (1); ``pause``, whether a pause withdraws the ``offers`` of who has not begun (default) or only keeps
the further ``rings`` shut; ``silentAfter``, after which a device that began is judged though it has not
reported (0: never), without being a roll-back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from itertools import accumulate
from typing import Annotated, Final

from pydantic import Field

from simlib.errors import InputError
from simlib.rollout.policy import Policy, Told, Verb
from simlib.rollout.service import Service, Translation
from simlib.rollout.services import calendar
from simlib.rollout.services.automatic_bulletins import next_bulletin
from simlib.rollout.services.automatic_policy import Automatic, Ring, Rule
from simlib.scenario import leaves
from simlib.scenario.field_model import DisclosureSpec
from simlib.scenario.leaves import DAY, Label, Span, Table
from simlib.scenario.model import GroupSpec, ScenarioSpec
from simlib.scenario.reading import read_object
from simlib.scenario.toml_text import Document, one_line

FIRST: Final = date(2026, 2, 1)
"""The first bulletin of a rollout that is made from a scenario."""
_PAUSES: Final = {"offers": Verb.CANCEL, "rings": Verb.PAUSE}
_Days = Annotated[int, leaves.count(0, 3_650)]
_Date = Annotated[date | None, leaves.leaf(calendar.iso_date)]


class BulletinTable(Table):
    """The key ``bulletin``."""

    day_of_month: Annotated[int, leaves.count(1, 28)] = Field(alias="dayOfMonth")
    lead_days: _Days = Field(default=30, alias="leadDays")
    first: _Date = None


class RingTable(Table):
    """An element of ``rings``."""

    name: Label
    percentage: Annotated[Fraction, leaves.leaf(calendar.percentage)]
    deferral_days: _Days = Field(default=0, alias="deferralDays")
    deadline_days: Annotated[int | None, leaves.count(0, 3_650)] = Field(default=None, alias="deadlineDays")


class RuleTable(Table):
    """The key ``monitoringRule``."""

    signal: Annotated[str, leaves.choice("rollback")]
    threshold: Annotated[int, leaves.count(1, 100)]
    action: Annotated[str, leaves.choice("alertError", "pauseDeployment")]


class SimlibTable(Table):
    """The key ``simlib``."""

    start: _Date = None
    min_sample: Annotated[int, leaves.count(1, 10**9)] = Field(default=1, alias="minSample")
    pause: Annotated[str, leaves.choice(*_PAUSES)] = "offers"
    silent_after: Span = Field(default=0, alias="silentAfter")


class DeploymentTable(Table):
    """The whole document."""

    bulletin: BulletinTable
    rings: list[RingTable]
    rule: RuleTable | None = Field(default=None, alias="monitoringRule")
    simlib: SimlibTable = SimlibTable()


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment, its days counted from the scenario's start."""

    bulletin_ms: int  # since the start
    lead_ms: int  # before the bulletin, partners know of it
    rings: tuple[Ring, ...]
    rule: RuleTable | None
    min_sample: int
    pause: Verb
    silent_ms: int  # 0: a silent device is never judged


def read(document: Mapping[str, object], source: str) -> Deployment:
    """The deployment in `document`; raises `InputError`."""
    where = one_line(source)
    table = read_object(DeploymentTable, document, source)
    start, first = _days(table, where)
    bulletin_ms = calendar.since(start, first)
    _check_rings(table.rings, where)
    return Deployment(
        bulletin_ms=bulletin_ms,
        lead_ms=table.bulletin.lead_days * DAY,
        rings=tuple(_ring(ring, bulletin_ms) for ring in table.rings),
        rule=table.rule,
        min_sample=table.simlib.min_sample,
        pause=_PAUSES[table.simlib.pause],
        silent_ms=table.simlib.silent_after,
    )


def _days(table: DeploymentTable, where: str) -> tuple[date, date]:
    """The scenario's first day, and the first bulletin's."""
    start, first, day = table.simlib.start, table.bulletin.first, table.bulletin.day_of_month
    if first is None:
        if start is None:
            raise InputError(f"{where}: bulletin.first: found no such key, expected it or simlib.start")
        return start, next_bulletin(start, day)
    if first.day != day:
        raise InputError(
            f"{where}: bulletin.first: found {first}, expected a day {day} of a month, as bulletin.dayOfMonth"
        )
    if start is not None and start > first:
        raise InputError(
            f"{where}: simlib.start: found {start}, expected no later day than the first bulletin, {first}"
        )
    return start or first, first


def _check_rings(rings: list[RingTable], where: str) -> None:
    if not rings:
        raise InputError(f"{where}: rings: found an empty list, expected at least one ring")
    for number, ring in enumerate(rings):
        if ring.name in [other.name for other in rings[:number]]:
            raise InputError(
                f'{where}: rings.{number}.name: found "{ring.name}" a second time, expected a name of its own'
            )
    total = sum((ring.percentage for ring in rings), Fraction(0))
    if total != 1:
        found = calendar.percent(total)
        raise InputError(f"{where}: rings: found percentages that sum to {found}, expected 100 %")


def _ring(ring: RingTable, bulletin_ms: int) -> Ring:
    opens_ms = bulletin_ms + ring.deferral_days * DAY
    done_ms = None if ring.deadline_days is None else opens_ms + ring.deadline_days * DAY
    return Ring(ring.name, ring.percentage, opens_ms, done_ms)


def disclosure(deployment: Deployment, exploit_ms: int) -> DisclosureSpec:
    """The scenario's ``disclosure`` of what the bulletin mends: partners learn of it a lead before it is
    public, and the first exploit comes `exploit_ms` after.
    """
    return DisclosureSpec(deployment.bulletin_ms - deployment.lead_ms, deployment.lead_ms, exploit_ms)


def sizes(deployment: Deployment, devices: int) -> tuple[int, ...]:
    """Devices in each ring, cut at the cumulative percentages."""
    return calendar.cuts(tuple(accumulate(ring.share for ring in deployment.rings)), devices)


def policy(deployment: Deployment, sizes: tuple[int, ...]) -> Policy:
    """A fresh deployment."""
    del sizes
    rule = None
    if deployment.rule is not None and deployment.rule.action == "pauseDeployment":
        rule = Rule(Fraction(deployment.rule.threshold, 100), deployment.min_sample, deployment.pause)
    return Automatic(deployment.rings, rule, deployment.silent_ms)


def dictate(deployment: Deployment, spec: ScenarioSpec) -> ScenarioSpec:
    """The scenario whose owners cannot put the update off for good, where a ring has a deadline, and whose
    service alerts as the rule says.
    """
    if any(ring.done_ms is not None for ring in deployment.rings):
        spec = replace(spec, owners=tuple(replace(owner, then="install") for owner in spec.owners))
    if deployment.rule is not None and deployment.rule.action == "alertError":
        rate = Fraction(deployment.rule.threshold, 100)
        alerts = replace(spec.alerts, failure_rate=rate, min_sample=deployment.min_sample)
        spec = replace(spec, alerts=alerts)
    return spec


def translate(spec: ScenarioSpec) -> Translation:
    """The scenario's groups as rings, each deferred by the soaks of those before it, in whole days."""
    groups = spec.rollout.groups
    rings: list[Document] = []
    lost: list[str] = []
    waited_ms, before = 0, Fraction(0)
    for number, (group, reached) in enumerate(zip(groups, calendar.shares_of(spec), strict=True)):
        share = (reached - before) * 100
        days = -(-waited_ms // DAY)
        if days * DAY != waited_ms:
            lost.append(f"rollout.groups.{number - 1}.soak: a ring waits for whole days, here {days} in all")
        rings.append({"name": f"ring-{number + 1}", "percentage": share, "deferralDays": days})
        waited_ms, before = waited_ms + group.soak_ms, reached
    lost += _round(rings)
    document: Document = {
        "bulletin": {"dayOfMonth": FIRST.day, "leadDays": 30, "first": FIRST.isoformat()},
        "rings": rings,
    }
    gates = [group for group in groups if calendar.has_gate(group)]
    if gates:
        document["monitoringRule"], said = _rule(gates)
        lost += said
        if (sample := min(group.min_sample for group in gates)) > 1:
            document["simlib"] = {"minSample": sample}
    lost += calendar.lost_from(spec, ("soak", "error_threshold"), "the next ring opens by the calendar")
    return Translation(document, tuple(lost))


def _round(rings: list[Document]) -> list[str]:
    """Write the percentages as decimals that sum to 100; what that changes."""
    lost, rest = [], Fraction(100)
    for number, ring in enumerate(rings):
        exact = ring["percentage"]
        assert isinstance(exact, Fraction)
        written = calendar.written(rest if number + 1 == len(rings) else min(exact, rest))
        if Fraction(written) != exact:
            lost.append(f"rollout.groups.{number}.share: {exact / 100} becomes {written} %, rounded")
        ring["percentage"] = written
        rest -= Fraction(written)
    return lost


def _rule(gates: list[GroupSpec]) -> tuple[Document, list[str]]:
    """The rule that stops no later than any of the groups' gates would, but for small samples."""
    strictest = min(group.error_threshold for group in gates)
    threshold = max(1, -int(-strictest * 100 // 1))
    lost = [
        f"rollout.groups.*.error_threshold: one rule for all rings, which fires at {threshold} % or more "
        "of failures, not above a threshold",
    ]
    if any(group.min_sample > 1 for group in gates):
        lost.append("rollout.groups.*.min_sample: the rule has no minimum sample; simlib.minSample stands in")
    return {"signal": "rollback", "threshold": threshold, "action": "pauseDeployment"}, lost


SERVICE: Final = Service(
    name="automatic",
    read=read,
    sizes=sizes,
    policy=policy,
    translate=translate,
    dictate=dictate,
    statuses={  # Windows Update for Business reports: the client's state and substates, and the rule's signal
        "Offering": Told.OFFERED,
        "OfferReceived": Told.OFFERED,
        "Installing": Told.STARTED,
        "DownloadStart": Told.STARTED,
        "DownloadComplete": Told.STARTED,
        "InstallStart": Told.STARTED,
        "RestartRequired": Told.STARTED,
        "Installed": Told.SUCCEEDED,
        "rollback": Told.FAILED,
        "Uninstalled": Told.FAILED,
        "Cancelled": Told.SKIPPED,
    },
)
