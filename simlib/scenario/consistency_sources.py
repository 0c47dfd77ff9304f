"""Whether what a scenario says of its sources can be: a label, a source, and a key that there is.

A key with a star, or of an element that this scenario does not have, is right if the schema has it: whoever
takes a defect out of a scenario need not take its sources out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import get_args, get_origin

from simlib.scenario.leaves import Table
from simlib.scenario.model import ScenarioSpec
from simlib.scenario.schema import ScenarioTable
from simlib.scenario.sources import ANY, parse_source
from simlib.scenario.toml_text import one_line, shown
from simlib.scenario.units import ExpectedError


def sources(spec: ScenarioSpec) -> Iterator[tuple[str, str, str]]:
    """Key, found and expected of each entry of `spec.sources` that is wrong."""
    for pattern, text in spec.sources:
        key = f"sources.{one_line(pattern)}"
        try:
            parse_source(text)
        except ExpectedError as error:
            yield key, shown(text), str(error)
        yield from ((key, *complaint) for complaint in _no_key(pattern))


def _no_key(pattern: str) -> Iterator[tuple[str, str]]:
    """What was found and expected, if dotted `pattern`, whose stars stand for any part, fits no value."""
    places: list[object] = [ScenarioTable]
    for part in pattern.split("."):
        inside = [(name, inner) for place in places for name, inner in _inside(place)]
        places = [
            inner for name, inner in inside if part in (ANY, name) or (name == ANY and part.isdecimal())
        ]
        if not places:
            yield shown(part), _known(part, sorted({name for name, _ in inside}))
            return
    if all(_inside(place) for place in places):
        yield "a table", "the key of a value in it"


def _inside(place: object) -> list[tuple[str, object]]:
    """The keys in a table and what they hold; the elements of a list of tables, under the star."""
    if isinstance(place, type) and issubclass(place, Table):
        return [(field.alias or name, field.annotation) for name, field in place.model_fields.items()]
    elements = get_args(place)
    if get_origin(place) is list and isinstance(elements[0], type) and issubclass(elements[0], Table):
        return [(ANY, elements[0])]
    return []


def _known(part: str, names: Sequence[str]) -> str:
    if not names:
        return "the end of the key: there is nothing inside a value"
    if names == [ANY]:
        return f"an index or {ANY}"
    near = get_close_matches(part, names, n=1)
    return f"{near[0]} (the nearest known key)" if near else f"one of {', '.join(names)}"
