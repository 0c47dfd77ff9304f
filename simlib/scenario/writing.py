"""From the facts of a scenario to its document, every default written out.

`simlib.scenario.reading` reads the document back to equal facts. A field is written by the unit in its name,
or else by the kind of its value; what is neither has a writer of its own below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any, Final

from simlib.scenario import leaves
from simlib.scenario.distributions import Distribution, format_distribution
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.naming import key_of, place_of
from simlib.scenario.toml_text import Document
from simlib.scenario.units import format_duration, format_rate, format_share, format_size


def document_of(spec: ScenarioSpec) -> Document:
    """The complete document of `spec`, in the facts' order, quantities as text with their unit."""
    return {"schema": 1} | _table(spec)


def _table(facts: Any) -> Document:
    document: Document = {}
    for field in fields(facts):
        value = getattr(facts, field.name)
        key, (_, index) = key_of(field.name), place_of(field.name)
        if index is None:
            document[key] = written(field.name, value)
        elif index == 0:
            document[key] = [format_share(value)]
        else:
            pair = document[key]
            assert isinstance(pair, list)
            pair.append(format_share(value))
    return document


def written(field: str, value: Any) -> object:
    """The value of the fact `field` as a document holds it."""
    if field in _OWN:
        return _OWN[field](value)
    if field == "zones" and isinstance(value, tuple) and all(isinstance(pair, tuple) for pair in value):
        return dict(value)
    if value is None:
        return ""
    if isinstance(value, tuple):
        return [written(field, element) for element in value]
    for unit, write in _UNITS.items():
        if field.endswith(unit):
            return write(value)
    if is_dataclass(value):
        return format_distribution(value) if isinstance(value, Distribution) else _table(value)
    return format_share(value) if isinstance(value, Fraction) else value


def _one_or_list(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


_UNITS: Final[Mapping[str, Callable[[Any], object]]] = {
    "_ms": format_duration,
    "_bytes": format_size,
    "_bps": format_rate,
    "_us": leaves.format_micros,
}
_OWN: Final[Mapping[str, Callable[[Any], object]]] = {
    "charge_from_ms": leaves.format_time_of_day,
    "columns": dict,
    "distance_m": list,
    "link": lambda value: (
        _one_or_list(value) if isinstance(value, tuple) else value
    ),  # or a pre-check's switch
    "offset_ms": leaves.format_utc_offset,
    "reported_ms": lambda value: "" if value is None else leaves.format_signed_duration(value),
    "share": lambda value: leaves.REST if value is None else format_share(value),
    "sources": dict,
    "versions": dict,
    "weekday": lambda value: leaves.WEEKDAYS[value],
    "window": leaves.format_window,
    "write_size_bytes": int,
}
