"""Commands about gates: errors (how often each errs), size (devices to see one), canary (group, soak)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from simlib.cli.files import Json, if_given, whole_number
from simlib.cli.output import say, say_json, say_table
from simlib.errors import InputError
from simlib.scenario.toml_text import shown
from simlib.scenario.units import ExpectedError, parse_duration, parse_share

if TYPE_CHECKING:
    import pandas as pd

    from simlib.rollout.sizing import Plan, Sizing

MOST_DEVICES: Final = 1_000_000
MOST_ROLLOUTS: Final = 1_000_000
_MINUTE_MS: Final = 60_000

gate = typer.Typer(
    help="Size gates and find out how often they err.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program, under ``gate``."""
    app.add_typer(gate, name="gate")


@gate.callback()
def _gate() -> None:
    """Size gates and find out how often they err."""


@gate.command("errors")
def errors(
    gates: Annotated[
        list[str] | None,
        typer.Option("--gate", metavar="NAME", help="A gate; may be repeated. Default: all."),
    ] = None,
    rollouts: Annotated[str, typer.Option(help="Simulated rollouts for each gate and rate.")] = "1000",
    error_threshold: Annotated[str, typer.Option(help="The failure rate that is put up with.")] = "5 %",
    bad: Annotated[str, typer.Option(help="The failure rate that must not be overlooked.")] = "10 %",
    level: Annotated[str, typer.Option(help="Chance of a false alarm that a gate is to keep.")] = "5 %",
    power: Annotated[str, typer.Option(help="Chance to detect the bad rate, for sprt.")] = "90 %",
    min_sample: Annotated[str, typer.Option(help="Judged devices that some gates wait for.")] = "20",
    devices: Annotated[str, typer.Option(help="Devices in the group.")] = "2000",
    fleets: Annotated[
        bool, typer.Option("--fleets", help="Run whole fleets, not only the verdicts: slower, and in time.")
    ] = False,
    json: Json = False,
) -> int:
    """Simulate rollouts at the threshold and at a bad rate, and count the alarms of each gate."""
    from simlib.scenario.model import GroupSpec
    from simlib.study.gate_errors import GATES, IN_FLEETS, direct_errors, fleet_errors

    known = IN_FLEETS if fleets else GATES
    for name in gates or []:
        if name not in known:
            raise InputError(f"--gate: found {shown(name)}, expected one of {', '.join(known)}")
    group = GroupSpec(
        share=None,
        success_threshold=Fraction(1),
        error_threshold=_above_zero(error_threshold, "--error-threshold"),
        min_sample=_within(min_sample, "--min-sample", MOST_DEVICES),
        soak_ms=0,
        gate_level=parse_share(level, "--level"),
        gate_power=parse_share(power, "--power"),
        gate_bad=parse_share(bad, "--bad"),
    )
    number, size = _within(rollouts, "--rollouts", MOST_ROLLOUTS), _within(devices, "--devices", MOST_DEVICES)
    measured = fleet_errors if fleets else direct_errors
    frame = measured(group, gates=gates or known, rollouts=number, devices=size)
    if json:
        say_json({"devices": size, "level": float(group.gate_level), "rows": _records(frame)})
        return 0
    say(f"{number:,} rollouts of a group of {size:,}; alarm rate with its 95 % interval\n")
    headings = ("gate", "failure rate", "alarms", "alarm rate", "low", "high", "judged", "failed", "after")
    say_table([headings, *map(_line, _records(frame))])
    say("\njudged, failed, after: medians at the alarm; at the threshold itself every alarm is a false one")
    return 0


@gate.command("size")
def size(
    rates: Annotated[list[str], typer.Option("--rate", metavar="P", help="A failure rate; may be repeated.")],
    confidences: Annotated[
        list[str], typer.Option("--confidence", metavar="C", help="Chance to see a failure; may be repeated.")
    ],
    json: Json = False,
) -> int:
    """How many devices show at least one failure, for each rate and confidence."""
    from simlib.rollout.sizing import devices_to_see

    asked = [
        (_above_zero(rate, "--rate"), _below_one(confidence, "--confidence"))
        for rate in rates
        for confidence in confidences
    ]
    found = [(rate, confidence, devices_to_see(rate, confidence)) for rate, confidence in asked]
    if json:
        say_json({"rows": [{"rate": float(r), "confidence": float(c), "devices": n} for r, c, n in found]})
        return 0
    say_table(
        [
            ("failure rate", "confidence", "devices"),
            *((_percent(r), _percent(c), f"{n:,}") for r, c, n in found),
        ]
    )
    return 0


@gate.command("canary")
def canary(
    prior: Annotated[
        list[str],
        typer.Option(metavar="P=WEIGHT", help="A failure rate and how likely it is; the rest is no defect."),
    ],
    devices: Annotated[str, typer.Option(help="Devices in the fleet.")],
    tolerated: Annotated[str, typer.Option(help="Devices that may fail after the canary.")],
    budget: Annotated[str, typer.Option(help="Accepted chance that more of them fail.")] = "1 %",
    at_once: Annotated[str, typer.Option(help="Share of the failures that is seen without delay.")] = "100 %",
    delay: Annotated[
        str | None,
        typer.Option(help='Until the others are seen, such as "exponential(6 h)"; default: never.'),
    ] = None,
    failures: Annotated[str, typer.Option(help="Seen failures at which the gate halts.")] = "1",
    longest_soak: Annotated[str, typer.Option(help="The longest soak that is acceptable.")] = "7 d",
    json: Json = False,
) -> int:
    """The smallest canary group, and the shortest soak it then needs, that keep a budget of harm."""
    from simlib.rollout.sizing import Plan, smallest

    plan = Plan(
        prior=_prior(prior),
        devices=_within(devices, "--devices", 10_000_000),
        tolerated=whole_number(tolerated, "--tolerated"),
        budget=_below_one(budget, "--budget"),
        at_once=parse_share(at_once, "--at-once"),
        delay=if_given(_distribution, delay, "--delay"),
        failures=_within(failures, "--failures", MOST_DEVICES),
    )
    found = smallest(plan, parse_duration(longest_soak, "--longest-soak"))
    if json:
        say_json(_facts(found))
    else:
        _explain(plan, found)
    return 0


def _facts(found: Sizing) -> dict[str, object]:
    return {
        "devices": found.devices,
        "soak_ms": found.soak_ms,
        "seen": float(found.seen),
        "risk": float(found.risk),
        "canary_failures": float(found.canary_failures),
    }


def _explain(plan: Plan, found: Sizing) -> None:
    minutes_ms = -(-found.soak_ms // _MINUTE_MS) * _MINUTE_MS  # for people: a little longer
    say(f"canary of {found.devices:,} of {plan.devices:,} devices, soak of {minutes_ms / 3_600_000:.4g} h")
    say(f"within it {_percent(found.seen)} of the failures are seen")
    say(f"chance of more than {plan.tolerated:,} failures after it: {_percent(found.risk)}")
    say(f"failures in the canary itself, on average: {float(found.canary_failures):,.3g}")


def _prior(texts: Sequence[str]) -> tuple[tuple[Fraction, Fraction], ...]:
    """Rates and weights; what is left of 1 is the weight of no defect."""
    pairs = []
    for text in texts:
        rate, sign, weight = text.partition("=")
        if not sign:
            raise InputError(f"--prior: found {shown(text)}, expected P=WEIGHT, such as 1%=0.1")
        pairs.append((parse_share(rate, "--prior"), parse_share(weight, "--prior")))
    left = 1 - sum((weight for _, weight in pairs), Fraction(0))
    if left < 0:
        raise InputError(f"--prior: found weights that sum to {float(1 - left):g}, expected at most 1")
    return (*pairs, (Fraction(0), left))


def _distribution(text: str, flag: str) -> Any:
    from simlib.scenario.distributions import parse_distribution

    try:
        return parse_distribution(text)
    except ExpectedError as error:
        raise InputError(f"{flag}: found {shown(text)}, expected {error}") from None


def _above_zero(text: str, flag: str) -> Fraction:
    share = parse_share(text, flag)
    if not share:
        raise InputError(f"{flag}: found {shown(text)}, expected more than 0")
    return share


def _below_one(text: str, flag: str) -> Fraction:
    share = parse_share(text, flag)
    if not 0 < share < 1:
        raise InputError(f"{flag}: found {shown(text)}, expected more than 0 and less than 1")
    return share


def _within(text: str, flag: str, most: int) -> int:
    number = whole_number(text, flag)
    if not 1 <= number <= most:
        raise InputError(f"{flag}: found {number}, expected 1 to {most}")
    return number


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON has them, null for what is missing."""
    plain = frame.astype(object)
    return [dict(row) for row in plain.where(frame.notna(), None).to_dict("records")]


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    name = row["gate"] + (f" (metric +{row['rise']:.3g})" if row["gate"] == "mann-whitney" else "")
    after = "" if row["median_delay_ms"] is None else f"{row['median_delay_ms'] / 3_600_000:,.2f} h"
    return (
        name,
        f"{row['rate']:.3%}",
        f"{row['alarms']:,}",
        *(f"{row[key]:.2%}" for key in ("alarm_rate", "low", "high")),
        *("" if row[key] is None else f"{row[key]:,.0f}" for key in ("median_judged", "median_failures")),
        after,
    )


def _percent(share: Fraction) -> str:
    return f"{float(share) * 100:.6g} %"
