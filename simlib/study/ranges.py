"""Which figures of a scenario are uncertain, and between what: given, stated with their source, or assumed.

A figure is uncertain if the scenario's ``[sources]`` call it *recalled*. Where the source says
``range LOW to HIGH``, in the figure's own unit, it lies there; otherwise it is taken to lie between half and
twice what the scenario has, a share at most at 1. The same figure of several elements of an array is one
(``cohorts.*.wake_presence``): all are scaled alike. A zero is left alone, and so is what cannot be scaled on
its own: a mix that has to add up, a time of day, a distribution.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.scenario.overrides import plain_value
from simlib.scenario.sources import ANY, matching, numbers, recalled_keys
from simlib.scenario.toml_text import shown
from simlib.scenario.units import ExpectedError, duration_ms, exact, rate_bps, size_bytes

Range = Sequence[object]
"""The least and the largest value: numbers, or amounts with their unit."""

_STATED: Final = re.compile(r"\brange ([0-9][0-9.]*(?: ?[A-Za-z/%]+)?) to ([0-9][0-9.]*(?: ?[A-Za-z/%]+)?)")
_READERS: Final[tuple[Callable[[object], int], ...]] = (duration_ms, size_bytes, rate_bps)
_LETTER: Final = re.compile("[A-Za-z]")
_SPREAD: Final = 2


@dataclass(frozen=True, slots=True)
class Uncertain:
    """One uncertain figure: `key`, dotted, ``*`` for any index, and the range of its value or its factor.

    `values` is what the scenario has under each key it stands for; `whole` says that a value is a whole
    number of the base unit.
    """

    key: str
    low: float
    high: float
    values: Mapping[str, object]
    factor: bool
    whole: bool

    def changes(self, at: float) -> dict[str, object]:
        """What to change in the scenario to have the figure at `at`, between `low` and `high`."""
        if not self.factor:
            return {key: _written(at, whole=self.whole) for key in self.values}
        return {key: _scaled(value, at) for key, value in self.values.items()}


def given(scenario: Scenario, key: str, limits: Range) -> Uncertain:
    """The figure at `key` between the `limits` given. Raises `InputError`, also for a key there is not."""
    if isinstance(limits, str) or len(limits) != 2:
        raise InputError(f"ranges: {key}: found {shown(str(limits))}, expected the least and the largest")
    held = dict(numbers(scenario.document))
    values = {k: v for k, v in held.items() if k == key or matching(k, {key: ""})}
    if not values and ANY in key:
        raise InputError(f"ranges: found {shown(key)}, expected a key that fits a number of the scenario")
    low, high = (_limit(key, limit) for limit in limits)
    if not low < high:
        raise InputError(f"ranges: {key}: found {limits[0]} to {limits[1]}, expected the lesser one first")
    held_now = _read(next(iter(values.values()), None))
    whole = held_now is not None and held_now[1]
    figure = Uncertain(key, low, high, values or {key: None}, factor=False, whole=whole)
    for at in (low, high):
        scenario.with_(figure.changes(at), source=f"ranges {key} = {at:g}")
    return figure


def _limit(key: str, value: object) -> float:
    plain = plain_value(value, key, "ranges")
    read = _read(plain)
    if read is None:
        found = shown(plain)
        raise InputError(f"ranges: {key}: found {found}, expected a number or an amount with its unit")
    return read[0]


def recalled(scenario: Scenario) -> tuple[tuple[Uncertain, ...], tuple[str, ...]]:
    """The uncertain figures of `scenario`, in its order, and the keys of those that cannot be varied."""
    document = scenario.document
    held = dict(numbers(document))
    groups: dict[str, dict[str, object]] = {}
    stated: dict[str, str] = {}
    for key, _, source in recalled_keys(document, dict(scenario.spec.sources)):
        starred = ".".join(ANY if part.isdecimal() else part for part in key.split("."))
        groups.setdefault(starred, {})[key] = held[key]
        stated.setdefault(starred, source)
    varied, left = [], []
    for key, values in groups.items():
        said = _STATED.search(stated[key])
        figure = given(scenario, key, (said[1], said[2])) if said else _around(scenario, key, values)
        if figure is None:
            left.append(key)
        else:
            varied.append(figure)
    return tuple(varied), tuple(left)


def _around(scenario: Scenario, key: str, values: Mapping[str, object]) -> Uncertain | None:
    """From half to twice what the scenario has, or as far up as a share goes; None if it takes neither."""
    sizes = [size for value in values.values() for size in _sizes(value)]
    if not sizes or None in sizes or not any(sizes):
        return None
    largest = max(size for size in sizes if size is not None)
    for high in (float(_SPREAD), 1 / largest if largest <= 1 else 0.0):
        figure = Uncertain(key, 1 / _SPREAD, high, values, factor=True, whole=False)
        if high > figure.low and _holds(scenario, figure):
            return figure
    return None


def _holds(scenario: Scenario, figure: Uncertain) -> bool:
    try:
        for at in (figure.low, figure.high, (figure.low + figure.high) / 2):
            scenario.with_(figure.changes(at))
    except InputError:
        return False
    return True


def _sizes(value: object) -> list[float | None]:
    if isinstance(value, list | tuple):
        return [size for inner in value for size in _sizes(inner)]
    read = _read(value)
    return [None if read is None else read[0]]


def _scaled(value: object, factor: float) -> object:
    if isinstance(value, list | tuple):
        return [_scaled(inner, factor) for inner in value]
    read = _read(value)
    if read is None:
        raise TypeError(f"found {value!r}, expected a number or an amount")
    return _written(read[0] * factor, whole=read[1])


def _written(value: float, *, whole: bool) -> object:
    return round(value) if whole else Decimal(f"{value:.9g}")


def _read(value: object) -> tuple[float, bool] | None:
    """A number, or an amount in base units, and whether it is a whole number of them; None for neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value), True
    if isinstance(value, str) and _LETTER.search(value):
        for read in _READERS:
            with suppress(ExpectedError):
                return float(read(value)), True
    number = exact(value)
    return None if number is None else (float(number), False)
