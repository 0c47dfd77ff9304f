"""Drawn configurations and reports of devices, each with what its oracle and what the policy make of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from random import Random
from typing import Any, NamedTuple

from simlib.errors import InputError
from simlib.rollout.events import STEP_TIMEOUT, read_events
from simlib.rollout.registry import service_named
from simlib.rollout.trace import trace
from simlib.scenario.json_text import parse_json
from tests.rollout.oracles import AwsIot, Behaviour, Oracle, Row
from tests.rollout.oracles_asked import Mender, Nebraska
from tests.rollout.oracles_groups import Azure, HawkBit, Staged

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


class Case(NamedTuple):
    """One drawn question: the oracle has been run, its reports are the events."""

    service: str
    document: dict[str, Any]
    devices: int
    rows: tuple[Row, ...] | None  # None: every device succeeds at once
    until_ms: int
    oracle: Oracle

    def csv(self) -> str:
        lines = [
            f"time_ms,device,status,{STEP_TIMEOUT}" if self.service == "aws-iot" else "time_ms,device,status"
        ]
        for row in self.rows or ():
            fields = [row.time_ms, row.device, row.status]
            if self.service == "aws-iot":
                fields.append("" if row.step is None else row.step)
            lines.append(",".join(map(str, fields)))
        return "\n".join(lines) + "\n"

    def expected(self) -> dict[str, Any]:
        return answer(self.oracle.sizes, self.oracle.releases, self.oracle.decisions)


def answer(
    sizes: Sequence[int], releases: Sequence[Sequence[int]], decisions: Sequence[tuple[int, str, int | None]]
) -> dict[str, Any]:
    """What `simlib policy trace --json` prints, without reasons."""
    return {
        "groups": [{"group": k + 1, "size": size} for k, size in enumerate(sizes)],
        "releases": [{"time_ms": t, "count": n, "cumulative": total} for t, n, total in releases],
        "decisions": [
            {"time_ms": t, "decision": what, "group": None if group is None else group + 1}
            for t, what, group in decisions
        ],
    }


def without_reasons(document: dict[str, Any]) -> dict[str, Any]:
    kept = [{k: v for k, v in d.items() if k != "reason"} for d in document["decisions"]]
    return {**document, "decisions": kept}


def found(case: Case) -> dict[str, Any]:
    """The policy's answer, by the functions behind the command."""
    service = service_named(case.service)
    settings = service.read(parse_json(json.dumps(case.document), "case.json"), "case.json")
    sizes = service.sizes(settings, case.devices)
    optional = (STEP_TIMEOUT,) if case.service == "aws-iot" else ()
    events = None
    if case.rows is not None:
        words = service.words_of(settings)
        events = read_events(case.csv(), "e.csv", words, devices=case.devices, optional=optional)
    document = trace(service.policy(settings, sizes), sizes, events, case.until_ms).document()
    return without_reasons(json.loads(json.dumps(document)))


# -- what is drawn -----------------------------------------------------------------------------------------


def verdicts(draw: Random, words: dict[str, Sequence[str]]) -> Callable[[], str | None]:
    """A mix of verdicts for a whole case: a device's, or None for one that stays silent."""
    names = list(words)
    weights = [draw.choice((0, 0, 1, 3, 10)) for _ in names]
    weights[0] += draw.choice((0, 1, 10, 40))
    silent = draw.choice((0, 0, 0, 1, 5)) * max(sum(weights), 1) / 40
    if sum(weights) + silent == 0:
        weights[0] = 1

    def one() -> str | None:
        name = draw.choices([*names, ""], [*weights, silent])[0]
        return draw.choice(words[name]) if name else None

    return one


def behaviour(
    draw: Random, oracle_words: dict[str, str], scale: int, steps: bool = False, again: int = 0
) -> Behaviour:
    """Devices that begin, report their progress and then their verdict, some of them twice or late.

    They do so up to `again` times more, whether they are to or not.
    """
    by_kind: dict[str, list[str]] = {}
    for word, kind in oracle_words.items():
        by_kind.setdefault(kind, []).append(word)
    ends = {k: v for k, v in by_kind.items() if k not in ("offered", "started", "poll")}
    ends = {k: ends[k] for k in sorted(ends, key=lambda k: k != "succeeded")}
    verdict = verdicts(draw, ends)
    grain = draw.choice((1, 1, 500, 2000, MINUTE))
    twice = draw.random() < 0.3

    def behave(now: int, device: int) -> list[Row]:
        rows = []
        at = now

        def later() -> int:
            nonlocal at
            at += 1 + draw.randrange(scale)
            at = max(at // grain * grain, now + 1)
            return at

        kinds = ("offered", "started") * (1 + (draw.randint(0, again) if again else 0))
        for number, kind in enumerate(kinds):
            if number > 1 and kind == "offered" and (failed := verdict()) is not None:
                rows.append(Row(later(), device, failed))
            for _ in range(draw.choice((0, 1, 1, 2)) if kind == "started" else draw.choice((0, 0, 1))):
                if kind in by_kind:
                    step = (
                        draw.choice((None, None, None, -1, 1, 2, 5)) if steps and kind == "started" else None
                    )
                    rows.append(Row(later(), device, draw.choice(by_kind[kind]), step))
        end = verdict()
        if end is not None:
            rows.append(Row(later(), device, end))
            if twice and draw.random() < 0.3:
                other = verdict()
                if other is not None:
                    rows.append(Row(later(), device, other))
        return rows

    return behave


def finished(
    oracle_class: type[Oracle], case: dict[str, Any], draw: Random, devices: int, **how: Any
) -> Case:
    """Run the oracle on a drawn configuration."""
    config = how.get("config", case)
    words = oracle_class.words
    until = how["until"]
    rows: Sequence[Row] = how.get("rows", ())
    at_once = draw.random() < 0.1 and not rows
    if at_once:
        success = next(word for word, kind in words.items() if kind == "succeeded")
        behave = lambda now, device: [Row(now, device, success)]  # noqa: E731
    else:
        behave = behaviour(draw, words, how["scale"], how.get("steps", False), how.get("again", 0))
    oracle = oracle_class(config, devices, behave, rows, **({} if at_once else how.get("more", {})))
    oracle.run(until)
    if at_once:
        reported = None
    else:
        dead = how.get("more", {}).get("dead", ())
        later = sorted(oracle.queue, key=lambda entry: entry[:2])
        pending = [row for _, _, row in later if row is not None and row.device not in dead]
        reported = (*oracle.rows, *pending)
    return Case(how["service"], case, devices, reported, until, oracle)


def draw_aws(draw: Random) -> Case:
    devices = draw.choice((1, 3, 20, 60, 150, 300))
    rollout: dict[str, Any] = {}
    most = draw.choice((1, 2, 5, 10, 30, 100, 1000))
    if draw.random() < 0.9:
        rollout["maximumPerMinute"] = most
    if draw.random() < 0.6:
        names = ("numberOfNotifiedThings", "numberOfSucceededThings")
        chosen = draw.choice((names[:1], names[1:], names))
        rollout["exponentialRate"] = {
            "baseRatePerMinute": draw.randint(1, most if "maximumPerMinute" in rollout else 50),
            "incrementFactor": draw.choice((1.1, 1.3, 1.5, 2, 2.5, 3, 5)),
            "rateIncreaseCriteria": {name: draw.choice((1, 2, 5, 10, 30, 100)) for name in chosen},
        }
    document: dict[str, Any] = {"jobExecutionsRolloutConfig": rollout} if rollout else {}
    if draw.random() < 0.8:
        document["abortConfig"] = {
            "criteriaList": [
                {
                    "failureType": draw.choice(("FAILED", "REJECTED", "TIMED_OUT", "ALL")),
                    "action": "CANCEL",
                    "minNumberOfExecutedThings": draw.choice((1, 2, 5, 10, 30, 100)),
                    "thresholdPercentage": draw.choice((1, 5, 10, 12.5, 20, 33, 50, 66.67, 90, 100)),
                }
                for _ in range(draw.choice((1, 1, 2, 3)))
            ]
        }
    if draw.random() < 0.5:
        document["timeoutConfig"] = {"inProgressTimeoutInMinutes": draw.choice((1, 2, 5, 30))}
    retries = draw.choice(([], [], ["FAILED"], ["TIMED_OUT"], ["ALL"], ["ALL", "FAILED", "TIMED_OUT"]))
    if retries:
        criteria = [{"failureType": kind, "numberOfRetries": draw.randint(0, 3)} for kind in retries]
        document["jobExecutionsRetryConfig"] = {"criteriaList": criteria}
    scale = draw.choice((1000, MINUTE, 3 * MINUTE))
    until = draw.choice((3 * MINUTE, 30 * MINUTE, 3 * HOUR))
    return finished(
        AwsIot,
        document,
        draw,
        devices,
        service="aws-iot",
        scale=scale,
        until=until,
        steps=draw.random() < 0.4,
        again=3 if retries else 0,
    )


def draw_percentages(draw: Random) -> list[float]:
    kind = draw.random()
    if kind < 0.3:
        amount = draw.choice((1, 2, 4, 5, 10))
        return [100 // amount] * amount
    cuts = sorted(draw.sample(range(1, 100), draw.randint(1, 5)))
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]
    if kind < 0.5:  # over or under: refused if they do not cover all targets
        parts[draw.randrange(len(parts))] = draw.randint(1, 100)
    if kind < 0.7:
        parts[-1:] = [draw.choice((0.5, 12.5, 33.3, parts[-1]))]
    return parts


def draw_hawkbit(draw: Random) -> Case:
    devices = draw.choice((1, 3, 7, 10, 20, 20, 40, 100))
    percentages = draw_percentages(draw)
    while HawkBit.cut(devices, [Fraction(str(p)) for p in percentages]) is None:
        percentages = draw_percentages(draw)
    groups = []
    for number, percentage in enumerate(percentages):
        group: dict[str, Any] = {
            "name": f"g{number}",
            "targetPercentage": percentage,
            "successCondition": {
                "condition": "THRESHOLD",
                "expression": str(draw.choice((0, 1, 10, 33, 34, 50, 66, 67, 80, 99, 100))),
            },
            "successAction": {
                "action": draw.choice(("NEXTGROUP",) * 9 + ("PAUSE",)),
                "expression": "",
            },
        }
        if draw.random() < 0.7:
            group["errorCondition"] = {
                "condition": "THRESHOLD",
                "expression": str(draw.choice((0, 5, 10, 10, 20, 20, 25, 33, 34, 50, 50, 99, 100))),
            }
            group["errorAction"] = {"action": "PAUSE", "expression": ""}
        groups.append(group)
    document = {
        "name": "r",
        "distributionSetId": 1,
        "targetFilterQuery": "id==*",
        "type": draw.choice(("forced", "soft", "downloadonly")),
        "groups": groups,
    }
    scale = draw.choice((100, 2000, 20_000, 600_000))
    until = draw.choice((20_000, 200_000, HOUR))
    return finished(HawkBit, document, draw, devices, service="hawkbit", scale=scale, until=until)


def draw_mender(draw: Random) -> Case:
    devices = draw.choice((3, 20, 50, 101))
    cuts = sorted(draw.sample(range(1, 100), draw.randint(0, 4)))
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]
    while any(part * devices // 100 < 1 for part in parts[:-1]):
        cuts = sorted(draw.sample(range(1, 100), draw.randint(0, 3)))
        parts = [b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]
    minutes = sorted(draw.sample(range(1, 300), len(parts) - 1))
    phases = []
    for number, part in enumerate(parts):
        minute = ([0, *minutes])[number]
        phase: dict[str, Any] = {"start_ts": f"2026-01-05T{8 + minute // 60:02d}:{minute % 60:02d}:00Z"}
        if number + 1 < len(parts) or draw.random() < 0.3:
            phase["batch_size"] = part
        phases.append(phase)
    document: dict[str, Any] = {"name": "d", "artifact_name": "a", "phases": phases}
    if draw.random() < 0.1:
        del document["phases"]
    if draw.random() < 0.3:
        document["retries"] = draw.randint(1, 3)
    rows = []
    if draw.random() < 0.7:
        every = draw.choice((10 * MINUTE, HOUR))
        for device in range(devices):
            at = draw.randrange(every)
            while at < 6 * HOUR:
                rows.append(Row(at, device, "pending"))
                at += every if draw.random() < 0.9 else draw.randint(1, 3 * every)
        rows.sort(key=lambda row: row.time_ms)
    scale = draw.choice((1000, 10 * MINUTE))
    return finished(
        Mender,
        document,
        draw,
        devices,
        service="mender",
        scale=scale,
        until=draw.choice((HOUR, 12 * HOUR)),
        rows=rows,
        again=document.get("retries", 0),
    )


def draw_azure(draw: Random) -> Case:
    devices = draw.choice((1, 7, 50, 150))

    def update(version: str) -> dict[str, Any]:
        return {"updateId": {"provider": "contoso", "name": "toaster", "version": version}}

    document: dict[str, Any] = {
        "deploymentId": "d",
        "startDateTime": "2026-01-05T02:00:00Z",
        "update": update("2.0"),
        "groupId": "all",
    }
    if draw.random() < 0.8:
        failure = {
            "devicesFailedPercentage": draw.choice((1, 5, 10, 33, 50, 100)),
            "devicesFailedCount": draw.choice((1, 2, 5, 10, 50)),
        }
        document["rollbackPolicy"] = {"update": update("1.0"), "failure": failure}
    scale = draw.choice((10, 1000, MINUTE))
    return finished(
        Azure, document, draw, devices, service="azure", scale=scale, until=draw.choice((500, HOUR))
    )


def draw_staged(draw: Random) -> Case:
    devices = draw.choice((1, 3, 20, 60, 150))
    cuts = sorted(draw.sample(range(1, 100), draw.randint(0, 4)))
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]
    groups, meant = [], []
    for part in parts:
        group = {
            "share": part / 100,
            "success_threshold": draw.choice((0.1, 0.5, 0.9, 0.333, 1.0)),
            "error_threshold": draw.choice((0, 0.05, 0.1, 0.333, 0.5, 1.0)),
            "min_sample": draw.choice((1, 2, 5, 20)),
        }
        soak = draw.choice((0, 1, 5000, MINUTE, HOUR))
        groups.append({**group, "soak": f"{soak} ms"})
        meant.append({**group, "soak": soak})
    groups[-1]["share"] = "rest"
    interval, deadline = draw.choice((1, 7, 2000, MINUTE)), draw.choice((1000, 10 * MINUTE, DAY))
    document = {"groups": groups, "interval": f"{interval} ms", "deadline": f"{deadline} ms"}
    config = {"groups": meant, "interval": interval, "deadline": deadline}
    scale = draw.choice((100, 5000, 5 * MINUTE))
    return finished(
        Staged,
        document,
        draw,
        devices,
        service="staged",
        scale=scale,
        until=draw.choice((10_000, 6 * HOUR)),
        config=config,
    )


def draw_nebraska(draw: Random) -> Case:
    devices = draw.choice((1, 3, 8, 20))
    document: dict[str, Any] = {
        "policy_updates_enabled": draw.random() < 0.95,
        "policy_safe_mode": draw.random() < 0.6,
        "policy_office_hours": False,
        "policy_period_interval": f"{draw.choice((1, 15, 60, 600, 1440))} minutes",
        "policy_max_updates_per_period": draw.choice((1, 1, 2, 3, 10, 900_000)),
        "policy_update_timeout": f"{draw.choice((1, 10, 60, 600, 2880))} minutes",
    }
    if draw.random() < 0.3:
        document["simlib"] = {"disable_on_failed_rollout": True}
    if document["policy_updates_enabled"] and draw.random() < 0.3:
        start = (
            f"2026-{draw.choice(('01', '03', '10'))}-{draw.randint(22, 31)}T{draw.randint(0, 23):02d}:00:00Z"
        )
        zones = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")
        document |= {"policy_office_hours": True, "policy_timezone": draw.choice(zones)}
        document["simlib"] = {**document.get("simlib", {}), "start": start}
    days = draw.choice((1, 4))
    grain = draw.choice((1, MINUTE, 5 * MINUTE))
    every = draw.choice((10 * MINUTE, HOUR, 9 * HOUR, 30 * HOUR))
    rows = []
    for device in range(devices):
        at = draw.randrange(every)
        while at < days * DAY:
            rows.append(Row(at // grain * grain, device, "check"))
            at += draw.randint(1, 2 * every)
    rows.sort(key=lambda row: row.time_ms)
    rows = [] if draw.random() < 0.4 else rows or [Row(0, 0, "check")]
    part = draw.choice((0, 0, 0.2, 1))
    dead = [device for device in range(devices) if draw.random() < part]
    scale = draw.choice((MINUTE, HOUR, 20 * HOUR))
    return finished(
        Nebraska,
        document,
        draw,
        devices,
        service="nebraska",
        scale=scale,
        until=days * DAY,
        rows=rows,
        more={"dead": dead},
    )


DRAWN: dict[str, Callable[[Random], Case]] = {
    "aws-iot": draw_aws,
    "hawkbit": draw_hawkbit,
    "mender": draw_mender,
    "azure": draw_azure,
    "staged": draw_staged,
    "nebraska": draw_nebraska,
}


def difference(case: Case) -> str:
    """ "" where policy and oracle agree."""
    expected = case.expected()
    try:
        got = found(case)
    except InputError as error:
        return f"refused: {error}"
    if got == expected:
        return ""
    for part in ("groups", "releases", "decisions"):
        if got[part] != expected[part]:
            pairs = list(zip(got[part], expected[part], strict=False))
            at = next((k for k, (a, b) in enumerate(pairs) if a != b), len(pairs))
            return f"{part}[{at}]: found {got[part][at : at + 2]}, expected {expected[part][at : at + 2]}"
    return "found other keys"
