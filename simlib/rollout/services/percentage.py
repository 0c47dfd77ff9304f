"""Rollouts by percentages as Google Play and Memfault have them: somebody sets a share; there is no gate.

Google Play: a release of a track has a ``status`` (draft, inProgress, halted, completed); inProgress needs a
``userFraction`` above 0 and below 1, halted may have one, the others must not (Android Publisher API,
edits.tracks). A halt stops new devices only. The configuration is a track with ``releases``, one release, or
a plan of what a person sets when::

    {"steps": [{"userFraction": 0.05}, {"userFraction": 0.25, "after": "2 d"},
               {"status": "completed", "after": "2 d"}]}

``after`` is the time since the step before, of the first one since the start. A plan may end with a halt;
when a rollout is resumed is a scenario's ``recovery``.

Memfault: a ``cohort`` and a ``rolloutPercentage``, a random sample of the cohort, by default all of it; an
abort stops new grants. Its documentation's sample plan, five to ten canaries in the laboratory first, is::

    {"cohort": "default", "steps": [{"devices": 10}, {"rolloutPercentage": 5, "after": "4 h"},
     {"rolloutPercentage": 25, "after": "2 d"}, {"rolloutPercentage": 50, "after": "2 d"},
     {"rolloutPercentage": 100, "after": "2 d"}]}

``devices`` is a number of canaries, and percentages are of the devices that these leave. How the services
round a share to devices is not documented; here it is rounded down.

A group holds the devices that a step adds, so a higher share always contains a lower one; the last group
holds those that the plan leaves out, if any. The extra key ``simlib`` has one option, ``judge``: a person
who looks ``every`` so often, at a time of day ``at``, and halts at a ``haltAtFailurePercentage`` of failures
among at least ``minSample`` judged devices; devices silent for ``silentAfter`` count as failed if it is set.
Nobody judges by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

from simlib.errors import InputError
from simlib.rollout.policy import Policy, Told
from simlib.rollout.service import Service, Translation
from simlib.rollout.services import calendar
from simlib.rollout.services.percentage_policy import Judge, Percentage, Step
from simlib.rollout.services.percentage_tables import (
    JudgeTable,
    MemfaultTable,
    PlayTable,
    ReleaseTable,
    SimlibTable,
)
from simlib.scenario import units
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.reading import read_object
from simlib.scenario.toml_text import Document, one_line, shown
from simlib.scenario.units import format_duration

ALL: Final = Fraction(1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is set when, checked. The groups are the canaries, if any, one a share, and the rest, if any."""

    steps: tuple[Step, ...]
    shares: tuple[Fraction, ...]  # cumulative, of the devices that the canaries leave
    canaries: int  # devices
    judge: Judge | None


@dataclass(frozen=True, slots=True)
class _Rung:
    """One step as it was written."""

    key: str
    after_ms: int | None
    share: Fraction | None  # None: as before
    devices: int | None = None
    halted: bool = False
    draft: bool = False


def read(document: Mapping[str, object], source: str) -> Plan:
    """The plan of a track, a release, a deployment or of steps; `InputError` where the service refuses."""
    where = one_line(source)
    if "cohort" in document:
        memfault = read_object(MemfaultTable, document, source)
        return _plan(_deployment(memfault, where), memfault.simlib, where)
    play = read_object(PlayTable, document, source)
    given = [key for key in ("releases", "steps", "status") if getattr(play, key) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise InputError(f"{where}: found {found}, expected releases, a status, or steps")
    if play.steps is not None:
        return _plan(
            [_release(s, f"steps.{n}.", where) for n, s in enumerate(play.steps)], play.simlib, where
        )
    if play.releases is not None:
        return _plan([_served(play.releases, where)], play.simlib, where)
    return _plan([_release(play, "", where)], play.simlib, where)


def _release(release: ReleaseTable, key: str, where: str) -> _Rung:
    status = release.status or ("inProgress" if release.fraction is not None else None)
    if status is None:
        raise InputError(f"{where}: {key}status: found no such key, expected it to be set")
    if status == "inProgress" and release.fraction is None:
        raise InputError(f"{where}: {key}userFraction: found no such key, expected it for inProgress")
    if status in ("draft", "completed") and release.fraction is not None:
        raise InputError(
            f"{where}: {key}userFraction: found {units.format_share(release.fraction)}, "
            f"expected none for {status}"
        )
    share = ALL if status == "completed" else release.fraction
    halted, draft = status == "halted", status == "draft"
    return _Rung(key, release.after, None if halted else share, halted=halted, draft=draft)


def _served(releases: Sequence[ReleaseTable], where: str) -> _Rung:
    """The release of a track that is on its way: the one beside the completed one, if there is one."""
    if not releases:
        raise InputError(f"{where}: releases: found an empty list, expected at least one release")
    rungs = [_release(release, f"releases.{n}.", where) for n, release in enumerate(releases)]
    staged = [r for r in rungs if r.share != ALL and not r.draft]
    for what, found in (
        ("inProgress or halted", staged),
        ("completed", [r for r in rungs if r.share == ALL]),
        ("draft", [r for r in rungs if r.draft]),
    ):
        if len(found) > 1:
            raise InputError(f"{where}: {found[1].key}status: found a second release {what}, expected one")
    for rung, release in zip(rungs, releases, strict=True):
        if release.after is not None:
            found_after = format_duration(release.after)
            raise InputError(f"{where}: {rung.key}after: found {found_after}, expected it in steps only")
    return next(iter(staged), None) or next((r for r in rungs if r.draft), rungs[0])


def _deployment(table: MemfaultTable, where: str) -> list[_Rung]:
    if table.steps is None:
        return [_Rung("", None, table.rollout_percentage or ALL)]
    if table.rollout_percentage is not None:
        raise InputError(f"{where}: found rolloutPercentage and steps, expected one of them")
    rungs = []
    for number, step in enumerate(table.steps):
        key = f"steps.{number}."
        said = (step.status, step.devices, step.rollout_percentage)
        if sum(each is not None for each in said) != 1:
            raise InputError(
                f"{where}: {key.rstrip('.')}: found {sum(each is not None for each in said)} of them, "
                "expected one of devices, rolloutPercentage and status"
            )
        if step.devices is not None and number:
            raise InputError(
                f"{where}: {key}devices: found {step.devices}, expected it in the first step only"
            )
        rungs.append(
            _Rung(key, step.after, step.rollout_percentage, step.devices, halted=step.status is not None)
        )
    return rungs


def _plan(rungs: Sequence[_Rung], options: SimlibTable, where: str) -> Plan:
    if not rungs:
        raise InputError(f"{where}: steps: found an empty list, expected at least one step")
    steps: list[Step] = []
    shares: list[Fraction] = []
    canaries, at_ms = 0, 0
    for number, rung in enumerate(rungs):
        if number and not rung.after_ms:
            found = "no such key" if rung.after_ms is None else "0 ms"
            raise InputError(
                f"{where}: {rung.key}after: found {found}, expected the time since the step before"
            )
        if steps and steps[-1].halted:
            raise InputError(
                f"{where}: {rung.key.rstrip('.')}: found a step after a halt, expected none: "
                "who resumes is the scenario's recovery.on_halt"
            )
        at_ms += rung.after_ms or 0
        if rung.draft:
            if number:
                raise InputError(
                    f"{where}: {rung.key}status: found draft, expected it in the first step only"
                )
            continue
        if rung.devices is not None:
            canaries = rung.devices
        if rung.share is not None:
            if shares and rung.share < shares[-1]:
                raise InputError(
                    f"{where}: {rung.key}: found {calendar.percent(rung.share)}, expected at least "
                    f"{calendar.percent(shares[-1])} as before, for nothing is taken back".replace(
                        ".: ", ": "
                    )
                )
            if not shares or rung.share > shares[-1]:
                shares.append(rung.share)
        steps.append(Step(at_ms, bool(canaries) + len(shares), rung.halted))
    return Plan(tuple(steps), tuple(shares), canaries, _judge(options.judge))


def _judge(table: JudgeTable | None) -> Judge | None:
    if table is None:
        return None
    return Judge(table.at % table.every, table.every, table.halt_at, table.min_sample, table.silent_after)


def sizes(plan: Plan, devices: int) -> tuple[int, ...]:
    """Devices that each step adds, and those the plan leaves out; `InputError` for too many canaries."""
    if plan.canaries >= devices:
        raise InputError(
            f"percentage: steps.0.devices: found {plan.canaries}, "
            f"expected fewer canaries than the fleet has devices, {devices}"
        )
    complete = plan.shares if plan.shares[-1:] == (ALL,) else (*plan.shares, ALL)
    first = (plan.canaries,) if plan.canaries else ()
    return first + calendar.cuts(complete, devices - plan.canaries)


def policy(plan: Plan, sizes: tuple[int, ...]) -> Policy:
    """A person who follows the plan."""
    return Percentage(plan.steps, plan.judge, len(sizes))


def translate(spec: ScenarioSpec) -> Translation:
    """The scenario's groups as Google Play's fractions, each raised when the soak before it would be over."""
    steps: list[Document] = []
    reached = (Fraction(0), *calendar.shares_of(spec))
    lost = ["rollout.groups: no schedule is kept; somebody sets each step's userFraction at its time"]
    waited = 0
    for number, (before, share) in enumerate(pairwise(reached)):
        if number:
            waited += max(spec.rollout.groups[number - 1].soak_ms, spec.rollout.interval_ms)
        if share == before:
            continue
        written = calendar.written(share)
        step: Document = {"status": "completed"} if share == 1 else {"userFraction": written}
        if share != 1 and Fraction(written) != share:
            lost.append(
                f"rollout.groups.{number}.share: {shown(units.format_share(share))} becomes {written}, "
                "rounded up"
            )
        if steps:
            step["after"] = format_duration(waited)
        steps.append(step)
        waited = 0
    lost += calendar.lost_from(spec, ("soak",), "the next step comes by the clock")
    return Translation({"track": "production", "steps": steps}, tuple(lost))


SERVICE: Final = Service(
    name="percentage",
    read=read,
    sizes=sizes,
    policy=policy,
    translate=translate,
    statuses={  # com.google.android.play.core.install.model.InstallStatus
        "PENDING": Told.OFFERED,
        "DOWNLOADING": Told.STARTED,
        "DOWNLOADED": Told.STARTED,
        "INSTALLING": Told.STARTED,
        "INSTALLED": Told.SUCCEEDED,
        "FAILED": Told.FAILED,
        "CANCELED": Told.SKIPPED,
    },
)
