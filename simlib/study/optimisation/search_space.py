"""The rollouts that are searched: how many groups, how large, and behind which gates.

A rollout is a choice on each of `AXES`. Values stand on grids that are about logarithmic (1, 2, 5, 10), since
people write such numbers and the difference between 1.0 and 1.1 % is nobody's question. Shares grow from
group to group by a fixed number of steps of their grid, and the last group has the rest. What cannot matter
is always written in the same way (the thresholds of no gate, the soak of a single group), so that choices
that mean the same give the same groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, Protocol

from simlib.scenario import Scenario
from simlib.scenario.leaves import DAY, HOUR, REST
from simlib.scenario.model import GroupSpec, RolloutSpec
from simlib.scenario.strategies import apply, strategy_names
from simlib.scenario.units import format_duration, format_share

Choice = Mapping[str, Any]


def _percent(*amounts: str) -> tuple[Fraction, ...]:
    return tuple(Fraction(amount) / 100 for amount in amounts)


SHARES: Final = _percent("0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50")
FIRST_SHARES: Final = SHARES[:9]
MOST_GROUPS: Final = 6
STEPS: Final = (1, 2, 3)
SOAKS_MS: Final = (0, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 3 * DAY, 5 * DAY)
SUCCESSES: Final = _percent("50", "60", "70", "80", "85", "90", "95")
ERRORS: Final = _percent("0.5", "1", "2", "3", "5", "10", "20")
SAMPLES: Final = (10, 20, 50, 100, 200, 500, 1000)
LEVELS: Final = _percent("0.1", "1", "5", "10")
BAD_FACTORS: Final = (2, 3, 5, 10)
_WORST: Final = Fraction(1, 2)
OWN: Final = "own"
"""The name of the scenario's own rollout among the presets."""
GATES: Final = ("threshold", "wilson", "sprt", "mixture", "none")

AXES: Final[Mapping[str, tuple[Any, ...]]] = {
    "groups": tuple(range(1, MOST_GROUPS + 1)),
    "first_share": FIRST_SHARES,
    "step": STEPS,
    "soak_first_ms": SOAKS_MS,
    "soak_later_ms": SOAKS_MS,
    "success_threshold": SUCCESSES,
    "gate": GATES,
    "error_threshold": ERRORS,
    "min_sample": SAMPLES,
    "gate_level": LEVELS,
    "gate_bad_factor": BAD_FACTORS,
}
"""Every axis with its values; all but the gate are in order."""


class Asked(Protocol):
    """What an optuna trial is here: it suggests a place on an axis."""

    def suggest_int(self, name: str, low: int, high: int) -> int: ...

    def suggest_categorical(self, name: str, choices: tuple[str, ...]) -> Any: ...


def suggested(trial: Asked) -> dict[str, Any]:
    """The choice that `trial` suggests: a value on each of `AXES`."""
    return {
        name: trial.suggest_categorical(name, values)
        if name == "gate"
        else values[trial.suggest_int(name, 0, len(values) - 1)]
        for name, values in AXES.items()
    }


def shares_of(groups: int, first: Fraction, step: int) -> tuple[Fraction, ...]:
    """The shares of at most `groups` groups, the last of them the rest; each at least as large as the one
    before it, so there may be fewer.
    """
    shares: list[Fraction] = []
    place, left = SHARES.index(first), Fraction(1)
    while len(shares) < groups - 1 and place < len(SHARES) and left >= 2 * SHARES[place]:
        shares.append(SHARES[place])
        left -= SHARES[place]
        place += step
    return (*shares, left)


def rollout_of(choice: Choice, devices: int) -> dict[str, object]:
    """`choice` as changes of a scenario with so many devices, for `Scenario.with_`.

    A sample that is asked for is at most the group, or its gate could never fire.
    """
    shares = shares_of(choice["groups"], choice["first_share"], choice["step"])
    gate, error = choice["gate"], choice["error_threshold"]
    tables: list[dict[str, object]] = []
    for number, part in enumerate(shares):
        last = number == len(shares) - 1
        table: dict[str, object] = {"share": REST if last else part, "gate": gate}
        if len(shares) > 1:
            table["success_threshold"] = choice["success_threshold"]
        table["soak"] = 0 if last else choice["soak_later_ms" if number else "soak_first_ms"]
        if gate == "none":
            table["error_threshold"] = 1
        else:
            table["error_threshold"] = error
        if gate in ("threshold", "wilson"):  # the sequential ones know by themselves when it is too soon
            table["min_sample"] = max(1, min(choice["min_sample"], int(part * devices)))
        if gate in ("wilson", "sprt", "mixture"):
            table["gate_level"] = choice["gate_level"]
        if gate in ("sprt", "mixture"):
            table["gate_bad"] = min(error * choice["gate_bad_factor"], _WORST)
        tables.append(table)
    return {"rollout.policy": "staged", "rollout.config": "", "rollout.groups": tables}


def presets_of(scenario: Scenario) -> dict[str, Scenario]:
    """The rollouts that people begin with, by name: the scenario's own and the staged ones that ship."""
    found = {OWN: scenario}
    for name in strategy_names():
        laid = apply(scenario, name)
        if laid.spec.rollout.policy == "staged":
            found[name] = laid
    return found


def scaled_down(scenario: Scenario, devices: int) -> Scenario:
    """The scenario with fewer devices, and in the same proportion the capacity of links that they share and
    the samples its gates ask for, so that rates of errors and of traffic stay what they are.

    A fleet from an inventory, or one that is as small already, stays as it is. Timelines, which nobody looks
    at in a search, have one sample. Raises `InputError`.
    """
    spec = scenario.spec
    changes: dict[str, object] = {"timeline": spec.horizon_ms}
    if devices < spec.devices and not spec.inventory.file:
        part = Fraction(devices, spec.devices)
        changes["devices"] = devices
        for number, link in enumerate(spec.links):
            changes[f"links.{number}.capacity"] = _part(link.capacity_bps, part)
            for place, outage in enumerate(link.outages):
                changes[f"links.{number}.outages.{place}.capacity"] = int(outage.capacity_bps * part)
        for number, group in enumerate(spec.rollout.groups):
            changes[f"rollout.groups.{number}.min_sample"] = _part(group.min_sample, part)
    return scenario.with_(changes, source="screening")


def in_short(rollout: RolloutSpec) -> str:
    """The groups and gates of a rollout on one line, for people."""
    shares = [_share(group.share) for group in rollout.groups]
    parts = [" / ".join(shares)]
    if rollout.policy != "staged":
        parts.append(rollout.policy)
    parts.append(_gate(rollout.groups[0]))
    if len(rollout.groups) > 1:
        soaks = [format_duration(group.soak_ms) for group in rollout.groups[:-1]]
        parts.append(f"{_share(rollout.groups[0].success_threshold)} done")
        parts.append("soak " + (soaks[0] if len(set(soaks)) == 1 else ", ".join(soaks)))
    return "; ".join(parts)


def _gate(group: GroupSpec) -> str:
    if group.gate == "none":
        return "no gate"
    text = f"{group.gate} {_share(group.error_threshold)}"
    if group.gate in ("sprt", "mixture"):
        return f"{text} against {_share(group.gate_bad)} at {_share(group.gate_level)}"
    text = f"{text} of {group.min_sample}"
    return text if group.gate == "threshold" else f"{text} at {_share(group.gate_level)}"


def _share(share: Fraction | None) -> str:
    return "rest" if share is None else f"{str(format_share(share * 100)).removesuffix('.0')} %"


def _part(amount: int, part: Fraction) -> int:
    return max(1, round(amount * part))
