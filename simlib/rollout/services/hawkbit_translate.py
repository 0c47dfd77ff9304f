"""A scenario's staged rollout as the hawkBit rollout that comes nearest, and what hawkBit cannot express."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final

from simlib.fleet.population import apportion, group_shares
from simlib.rollout.service import Translation
from simlib.rollout.services.hawkbit_config import INTERVAL_MS, MAX_GROUPS, MAX_TARGETS, Group
from simlib.rollout.services.hawkbit_groups import next_size, to_float
from simlib.scenario.leaves import format_window
from simlib.scenario.model import GroupSpec, ScenarioSpec
from simlib.scenario.toml_text import Document
from simlib.scenario.units import format_duration, format_share

_PLACES: Final = 8
"""Decimal places of a percentage beyond which single precision tells no more."""


def translate(spec: ScenarioSpec) -> Translation:
    """The rollout with a group for each of the scenario's, or several where one is above hawkBit's quota.

    Those several have the conditions of the one, and open one after another. The percentages have as few
    decimal places as give the sizes that the scenario's groups have.
    """
    cut = [
        (number, part, size)
        for number, whole in enumerate(apportion(group_shares(spec), spec.devices))
        for part, size in enumerate(_split(whole))
    ]
    percentages, made = _percentages([size for _, _, size in cut], spec.devices)
    parts = [number for number, _, _ in cut]
    groups: list[Document] = []
    for (number, part, _), percentage in zip(cut, percentages, strict=True):
        name = f"group-{number + 1}" + (f".{part + 1}" if parts.count(number) > 1 else "")
        groups.append(_group(name, spec.rollout.groups[number], percentage))
    document: Document = {
        "name": spec.name,
        "distributionSetId": 1,
        "targetFilterQuery": "controllerId==*",
        "type": "forced",
        "groups": groups,
    }
    lost = [*_lost(spec, parts)]
    for (number, part, size), got in zip(cut, made, strict=True):
        if size != got:
            lost.append(
                f"rollout.groups.{number}.share: part {part + 1} has {got} targets in place of {size}; "
                "hawkBit gives a group all that is left where 1 % or less is"
            )
    return Translation(document, tuple(lost))


def _split(size: int) -> list[int]:
    """`size` in as few parts as the quota allows, as even as they can be; nothing for no device."""
    parts = -(-size // MAX_TARGETS)
    return [size * (k + 1) // parts - size * k // parts for k in range(parts)]


def _percentages(wanted: list[int], devices: int) -> tuple[list[int | Decimal], list[int]]:
    """Percentages for groups of the `wanted` sizes, and the sizes that hawkBit makes of them."""
    written: list[int | Decimal] = []
    made: list[int] = []
    earlier: list[Group] = []
    left, unserved = devices, Fraction(100)
    for number, size in enumerate(wanted):
        exact = unserved * size / max(left, 1)
        if number + 1 == len(wanted) and (rest := 100 - sum(written, Decimal(0))) > 0:
            exact = Fraction(rest)
        for places in range(0 if number + 1 < len(wanted) else _PLACES, _PLACES + 1):
            amount = max(_rounded(exact, places), Decimal(1).scaleb(-_PLACES))
            group = Group(Fraction(amount), "", 0, False, None)
            got = next_size([*earlier, group], left)
            if got == size and amount <= 100:
                break
        written.append(int(amount) if amount == amount.to_integral_value() else amount.normalize())
        made.append(got)
        earlier.append(group)
        left -= got
        unserved -= Fraction(to_float(group.percentage))
    return written, made


def _rounded(amount: Fraction, places: int) -> Decimal:
    return (Decimal(amount.numerator) / amount.denominator).quantize(
        Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP
    )


def _percent(share: Fraction) -> int:
    """Whole percent, half up."""
    return int(share * 100 + Fraction(1, 2))


def _group(name: str, group: GroupSpec, percentage: int | Decimal) -> Document:
    told: Document = {
        "name": name,
        "targetPercentage": percentage,
        "successCondition": {"condition": "THRESHOLD", "expression": str(_percent(group.success_threshold))},
        "successAction": {"action": "NEXTGROUP", "expression": ""},
    }
    if group.gate != "none":
        expression = str(_percent(group.error_threshold))
        told["errorCondition"] = {"condition": "THRESHOLD", "expression": expression}
        told["errorAction"] = {"action": "PAUSE", "expression": ""}
    return told


def _lost(spec: ScenarioSpec, parts: list[int]) -> Iterator[str]:
    yield "distributionSetId: 1 stands for the number of the distribution set on your server"
    if len(parts) > MAX_GROUPS:
        yield f"rollout.groups: {len(parts)} groups; hawkBit refuses more than its quota of {MAX_GROUPS}"
    for number, group in enumerate(spec.rollout.groups):
        yield from _lost_of_group(spec, number, group, parts.count(number))
    rollout = spec.rollout
    yield (
        f"rollout.deadline: hawkBit has no timeout; a device that is silent for "
        f"{format_duration(rollout.deadline_ms)} neither counts as failed nor lets the rollout finish"
    )
    if rollout.interval_ms != INTERVAL_MS:
        yield f"rollout.interval: the server's scheduler looks every {format_duration(INTERVAL_MS)}"
    if rollout.window is not None:
        yield f'rollout.window: "{format_window(rollout.window)}"; updates start at any time'
    if rollout.abort_downloads:
        yield "rollout.abort_downloads: a pause leaves downloads under way alone"
    if spec.transfer.rounds > 1:
        yield "transfer.rounds: the release is offered once; a retry is a new rollout over those that failed"


def _lost_of_group(spec: ScenarioSpec, number: int, group: GroupSpec, parts: int) -> Iterator[str]:
    key = f"rollout.groups.{number}"
    if parts == 0:
        yield f"{key}: it has no device, and is left out"
        return
    if parts > 1:
        yield (
            f"{key}.share: more than {MAX_TARGETS} targets, hawkBit's quota for a group; it becomes {parts} "
            "groups, each of which opens after the one before it has had its success"
        )
    if Fraction(_percent(group.success_threshold), 100) != group.success_threshold:
        yield f"{key}.success_threshold: {_share(group.success_threshold)} rounded to whole percent"
    if group.soak_ms and (parts > 1 or number + 1 < len(spec.rollout.groups)):
        yield f"{key}.soak: the next group starts at once, not after {format_duration(group.soak_ms)}"
    if group.gate == "none":
        return
    if group.gate != "threshold":
        yield f"{key}.gate: no {group.gate} gate; the error threshold is compared as it is"
    if Fraction(_percent(group.error_threshold), 100) != group.error_threshold:
        yield f"{key}.error_threshold: {_share(group.error_threshold)} rounded to whole percent"
    if group.error_threshold < 1:
        yield (
            f"{key}.error_threshold: the share of the whole group that reported a failure counts, "
            "not that of the judged"
        )
    if group.min_sample > 1:
        yield f"{key}.min_sample: hawkBit does not wait for {group.min_sample} judged devices"


def _share(share: Fraction) -> str:
    return f"{str(format_share(share * 100)).removesuffix('.0')} %"
