"""Single keys changed on a document before it is read: ``--set`` to users, `Scenario.with_` to code.

A key is dotted; a number in it picks an element of an array of tables. Whether the key is known and the value
fits is decided when the changed document is read.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from numbers import Integral
from typing import Final

from simlib.errors import InputError
from simlib.scenario.toml_text import Document, one_line, parse_toml, shown

_KEY: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def parse_assignment(text: str, source: str = "--set") -> tuple[str, object]:
    """``KEY=VALUE`` as key and value: a TOML value, or a bare word as text. Raises `InputError`."""
    key, equals, written = (part.strip() for part in text.partition("="))
    if not equals or not _KEY.fullmatch(key):
        raise InputError(
            f"{source}: found {shown(text)}, expected KEY=VALUE with a dotted key of the scenario"
        )
    return key, _value(key, written, source)


def _value(key: str, written: str, source: str) -> object:
    if "\n" in written or "\r" in written:
        raise InputError(f"{source}: {key}: found more than one line, expected one value")
    try:
        value = parse_toml(f"value = {written}", source)["value"]
    except InputError:
        if written[:1] in ('"', "'", "[", "{"):
            raise InputError(
                f"{source}: {key}: found {shown(written)}, expected a TOML value or a bare word"
            ) from None
        return written
    # TOML has dates and times; the schema has none, and 01:00:00 is then a bare word.
    return value if isinstance(value, bool | int | Decimal | str | list | dict) else written


def plain_value(value: object, key: str, source: str) -> object:
    """A Python value as a document holds it: a float by its shortest decimal, a fraction exactly."""
    match value:
        case bool() | str() | Decimal():
            return value
        case Integral():
            return int(value)
        case float():
            return Decimal(float.__repr__(value))
        case Fraction():
            return f"{value.numerator}/{value.denominator}"
        case list() | tuple():
            return [plain_value(element, key, source) for element in value]
        case Mapping():
            return {str(name): plain_value(element, key, source) for name, element in value.items()}
    kind = type(value).__name__
    raise InputError(
        f"{source}: {key}: found a {kind}, expected a number, text, true, false, a list or a table"
    )


def assign(document: Document, complete: Mapping[str, object], key: str, value: object, source: str) -> None:
    """Set dotted `key` in `document`, in place.

    An array the document leaves to its default is first filled in from `complete`, the document with every
    default written out, so that its elements can be picked. Raises `InputError` for a path that cannot exist.
    """
    if not _KEY.fullmatch(key):
        raise InputError(f"{source}: found {shown(key)}, expected a dotted key of the scenario")
    parts = key.split(".")
    here: object = document
    default: object = complete
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(here, list):
            number = int(part) if part.isascii() and part.isdecimal() and len(part) < 10 else -1
            if not 0 <= number < len(here):
                held = f"an index from 0 to {len(here) - 1}" if here else "no index: the list is empty"
                raise InputError(f"{source}: {one_line(key)}: found {shown(part)}, expected {held}")
            if last:
                here[number] = value
            else:
                here, default = here[number], _inside(default, number)
        elif isinstance(here, dict):
            default = _inside(default, part)
            if last:
                here[part] = value
            else:
                if part not in here:
                    here[part] = copy.deepcopy(default) if isinstance(default, list) else {}
                here = here[part]
        else:
            inner = ".".join(parts[:depth])
            raise InputError(
                f"{source}: {one_line(key)}: found a key inside {inner}, expected a key or an index"
            )


def _inside(default: object, part: str | int) -> object:
    if isinstance(default, list) and isinstance(part, int):
        return default[part] if part < len(default) else None
    return default.get(part) if isinstance(default, dict) else None
