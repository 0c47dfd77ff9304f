"""The points of a study: every combination of the values its keys take, as scenarios that hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from numbers import Integral
from typing import Final

import pandas as pd

from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.scenario.overrides import plain_value
from simlib.scenario.toml_text import shown

Varied = tuple[tuple[str, tuple[object, ...]], ...]
"""The keys in the order they were given, each with its values as a scenario's document holds them."""

_LARGEST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Point:
    """One scenario of a study and the values that make it this one."""

    scenario: Scenario
    values: Mapping[str, object]

    @property
    def label(self) -> str:
        """The point as a message names it: ``faults.drop = 0.1, precheck.battery = 0.2``."""
        return label_of(self.values) or self.scenario.name


def whole(value: object, what: str, least: int) -> int:
    """`value` as a whole number of `least` or more; the `InputError` for anything else names `what`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise InputError(f"{what}: found {value!r}, expected a whole number, {least} or more")
    return int(value)


def label_of(values: Mapping[str, object]) -> str:
    """``KEY = VALUE`` for each, as a message shows them."""
    return ", ".join(f"{key} = {shown(value)}" for key, value in values.items())


def values_of(key: str, values: Iterable[object]) -> tuple[object, ...]:
    """`values` as a document holds them. `InputError` for none, for text in place of a list, for a repeat."""
    if isinstance(values, str | bytes | Mapping):
        raise InputError(f"vary: {key}: found {shown(values)}, expected a list of values")
    plain = tuple(plain_value(value, key, "vary") for value in values)
    if not plain:
        raise InputError(f"vary: {key}: found no value, expected at least one")
    for number, value in enumerate(plain):
        if any(value == other and _is_truth(value) == _is_truth(other) for other in plain[:number]):
            raise InputError(f"vary: {key}: found {shown(value)} twice, expected different values")
    return plain


def points_of(scenario: Scenario, varied: Varied) -> tuple[Point, ...]:
    """The full grid, the first key slowest. The `InputError` of a point begins with its values."""
    keys = [key for key, _ in varied]
    points = []
    for combination in product(*(values for _, values in varied)):
        values = dict(zip(keys, combination, strict=True))
        changed = scenario.with_(values, source=f"vary {label_of(values)}") if values else scenario
        points.append(Point(changed, values))
    return tuple(points)


def column(values: Sequence[object]) -> pd.Series:
    """The values of one key as a column: truths, whole numbers, numbers, or else text."""
    if all(isinstance(value, bool) for value in values):
        return pd.Series(values, dtype="bool")
    numbers = [value for value in values if isinstance(value, int | Decimal) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        if all(isinstance(value, int) and abs(value) <= _LARGEST for value in numbers):
            return pd.Series(values, dtype="int64")
        return pd.Series([float(value) for value in numbers], dtype="float64")
    texts = [v if isinstance(v, str) else json.dumps(v, default=float, ensure_ascii=False) for v in values]
    return pd.Series(texts, dtype="str")


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)
