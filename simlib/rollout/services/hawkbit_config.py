"""A hawkBit rollout as the Management API takes it: its keys, its limits, and what simlib keeps of it.

The document is the body of ``POST /rest/v1/rollouts``. What a run does not depend on (name, filters, weights,
the distribution set) may be left out. Group conditions that are missing are the rollout's, and where that has
none either: success at 50 percent, NEXTGROUP, and no error condition. With ``amountGroups`` in place of
``groups`` hawkBit starts from the defaults of its builder, which have an error condition too: PAUSE at 50
percent.

Points of their own are under one further key, ``simlib``:

- ``builderDefaults``: with ``groups`` too, a missing error condition is one of 50 percent; false unless said:
  then there is none;
- ``percentages``: ``of-total`` (hawkBit since 0.5) or ``of-remaining`` (before);
- ``errorEndsPass``: whether a pass over the groups ends at one in error; false unless said, as hawkBit's code
  has it: it goes on to the next group that is running, which may then still start another in the same pass;
- ``schedulerIntervalMs`` (2000), ``maxGroups`` (500), ``maxTargetsPerGroup`` (20000): the server's settings;
  a quota of 0 is none.

A group's own ``targetFilterQuery`` is taken to match every target that is left. ``startAt`` is the time 0 of
a run, and a required confirmation is given at once. ``dynamic`` rollouts with groups of one's own, which some
versions refuse, are read. Sources: hawkBit's MgmtRolloutRestRequestBodyPost, MgmtRolloutGroup, RolloutHelper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Final, NoReturn

from pydantic import Field

from simlib.errors import InputError
from simlib.scenario import leaves, units
from simlib.scenario.leaves import Flag, Table
from simlib.scenario.reading import read_object
from simlib.scenario.toml_text import one_line, shown

TYPES: Final = ("forced", "soft", "timeforced", "downloadonly")
SUCCESS_ACTIONS: Final = ("NEXTGROUP", "PAUSE")
ERROR_ACTIONS: Final = ("PAUSE",)
PERCENTAGES: Final = ("of-total", "of-remaining")
DEFAULT_PERCENT: Final = 50
MAX_GROUPS: Final = 500
MAX_TARGETS: Final = 20_000
INTERVAL_MS: Final = 2_000
_PERCENT: Final = re.compile(r"\+?[0-9]{1,10}")
_LARGEST: Final = 10**9
_DYNAMIC: Final = "dynamicGroupTemplate"


def percent(value: object) -> int:
    """A condition's expression: a whole number of hundredths. Raises `ExpectedError`."""
    if isinstance(value, str) and _PERCENT.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise units.ExpectedError('a whole number of percent from 0 to 100, such as "50"')
    return value


def target_percentage(value: object) -> Fraction:
    """A group's part of the targets [percent]. Raises `ExpectedError`."""
    amount = None if isinstance(value, str) else units.exact(value)
    if amount is None or not 0 < amount <= 100:
        raise units.ExpectedError("a number above 0, at most 100")
    return amount


def _text_or_null(value: object) -> str:
    return "" if value is None else leaves.text(value)


def _count_or_null(value: object) -> int | None:
    if value is None:
        return None
    if (number := leaves.whole_number(value)) < 0:
        raise units.ExpectedError("0 or more")
    return number


Text = Annotated[str, leaves.leaf(_text_or_null)]
Count = Annotated[int | None, leaves.leaf(_count_or_null)]
Percent = Annotated[int, leaves.leaf(percent)]


class ConditionTable(Table):
    """``successCondition`` or ``errorCondition``."""

    condition: Annotated[str, leaves.choice("THRESHOLD")] = "THRESHOLD"
    expression: Percent = 100


class SuccessActionTable(Table):
    """``successAction``."""

    action: Annotated[str, leaves.choice(*SUCCESS_ACTIONS)] = "NEXTGROUP"
    expression: Text = ""


class ErrorActionTable(Table):
    """``errorAction``."""

    action: Annotated[str, leaves.choice(*ERROR_ACTIONS)] = "PAUSE"
    expression: Text = ""


class ConditionsTable(Table):
    """What a rollout and each of its groups may say."""

    name: Text = ""
    description: Text = ""
    target_filter: Text = Field(default="", alias="targetFilterQuery")
    success_condition: ConditionTable | None = Field(default=None, alias="successCondition")
    success_action: SuccessActionTable | None = Field(default=None, alias="successAction")
    error_condition: ConditionTable | None = Field(default=None, alias="errorCondition")
    error_action: ErrorActionTable | None = Field(default=None, alias="errorAction")
    confirmation: Annotated[bool | None, leaves.leaf(lambda v: None if v is None else leaves.flag(v))] = (
        Field(default=None, alias="confirmationRequired")
    )


class GroupTable(ConditionsTable):
    """An element of ``groups``."""

    percentage: Annotated[Fraction, leaves.leaf(target_percentage)] = Field(
        default=Fraction(100), alias="targetPercentage"
    )


class TemplateTable(Table):
    """``dynamicGroupTemplate``."""

    suffix: Text = Field(default="", alias="nameSuffix")
    targets: Annotated[int, leaves.count(1, _LARGEST)] = Field(default=1, alias="targetCount")


class OptionsTable(Table):
    """``simlib``."""

    builder_defaults: Flag = Field(default=False, alias="builderDefaults")
    percentages: Annotated[str, leaves.choice(*PERCENTAGES)] = "of-total"
    error_ends_pass: Flag = Field(default=False, alias="errorEndsPass")
    interval_ms: Annotated[int, leaves.count(1, leaves.DAY)] = Field(
        default=INTERVAL_MS, alias="schedulerIntervalMs"
    )
    max_groups: Annotated[int, leaves.count(0, _LARGEST)] = Field(default=MAX_GROUPS, alias="maxGroups")
    max_targets: Annotated[int, leaves.count(0, _LARGEST)] = Field(
        default=MAX_TARGETS, alias="maxTargetsPerGroup"
    )


class RolloutTable(ConditionsTable):
    """The whole document."""

    distribution_set: Annotated[int, leaves.leaf(leaves.whole_number)] = Field(
        default=0, alias="distributionSetId"
    )
    type: Annotated[str, leaves.choice(*TYPES)] = "forced"
    forcetime: Count = None
    start_at: Count = Field(default=None, alias="startAt")
    weight: Annotated[int | None, leaves.leaf(_count_or_null)] = None
    groups: list[GroupTable] | None = None
    amount: Annotated[int | None, leaves.leaf(_count_or_null)] = Field(default=None, alias="amountGroups")
    dynamic: Flag = False
    template: TemplateTable | None = Field(default=None, alias=_DYNAMIC)
    simlib: OptionsTable = OptionsTable()


@dataclass(frozen=True, slots=True)
class Group:
    """One group: its part of the targets, and its conditions [percent of its targets]."""

    percentage: Fraction
    target_filter: str
    success: int
    pauses: bool  # on success, in place of starting the next group
    error: int | None  # None: no error condition


@dataclass(frozen=True, slots=True)
class Config:
    """A rollout that hawkBit would take, as far as a run depends on it."""

    source: str  # for messages
    groups: tuple[Group, ...]
    even: bool  # the groups were asked for by their number
    dynamic: bool
    download_only: bool
    of_total: bool
    error_ends_pass: bool
    interval_ms: int
    max_targets: int


def read(document: Mapping[str, object], source: str) -> Config:
    """The rollout in `document`; the `InputError` for what hawkBit would refuse begins with `source`."""
    table = read_object(RolloutTable, document, source)
    where = one_line(source)
    options = table.simlib
    if table.template is not None and not table.dynamic:
        _refuse(where, _DYNAMIC, "a template", "none, or dynamic to be true")
    if table.weight is not None and table.weight > 1_000:
        _refuse(where, "weight", table.weight, "0 to 1000")
    if table.groups is not None and table.amount is not None:
        _refuse(where, "amountGroups", table.amount, "either groups or amountGroups")
    if table.groups is not None:
        if not table.groups:
            _refuse(where, "groups", "no group", "at least 1")
        rules = [_group(group, table) for group in table.groups]
    elif table.amount is None:
        _refuse(where, "groups", "no such key", "groups or amountGroups")
    elif table.amount == 0:
        _refuse(
            where, "amountGroups", 0, "1 or more; a fleet of fixed membership has nobody for dynamic groups"
        )
    else:
        _check_number(where, "amountGroups", table.amount, options.max_groups)
        part = GroupTable.model_validate({"targetPercentage": Fraction(100, table.amount)})
        rules = [_group(part, table)] * table.amount
    _check_number(where, "groups", len(rules), options.max_groups)
    return Config(
        where,
        tuple(rules),
        table.groups is None,
        table.dynamic,
        table.type == "downloadonly",
        options.percentages == "of-total",
        options.error_ends_pass,
        options.interval_ms,
        options.max_targets,
    )


def _group(group: GroupTable, rollout: RolloutTable) -> Group:
    success = group.success_condition or rollout.success_condition
    action = group.success_action or rollout.success_action
    error = group.error_condition or rollout.error_condition
    built = rollout.groups is None or rollout.simlib.builder_defaults
    default = DEFAULT_PERCENT if built else None
    return Group(
        group.percentage,
        group.target_filter,
        DEFAULT_PERCENT if success is None else success.expression,
        action is not None and action.action == "PAUSE",
        default if error is None else error.expression,
    )


def _check_number(where: str, key: str, groups: int, most: int) -> None:
    if 0 < most < groups:
        _refuse(where, key, f"{groups} groups", f"at most {most} a rollout")


def _refuse(where: str, key: str, found: Any, expected: str) -> NoReturn:
    told = found if isinstance(found, str) else shown(found)
    raise InputError(f"{where}: {key}: found {told}, expected {expected}")
