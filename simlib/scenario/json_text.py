"""JSON as simlib reads it: an object of plain values, decimal numbers exact, one line for each complaint."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from simlib.errors import InputError
from simlib.scenario.toml_text import Document, cut, one_line, read_text, shown

AN_OBJECT: Final = "an object"
"""What JSON calls a table."""
LONGEST_NUMBER: Final = 4_300
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class TwiceError(ValueError):
    """A key stands twice in one object; the text is the key, fit for a message."""


class _NumberError(ValueError):
    """A number that no value here can hold; the text is what was found."""


def parse_json(text: str, source: str) -> Document:
    """The object in `text`; `source` names it in the `InputError` for text that is none.

    Numbers with a fraction or an exponent are `decimal.Decimal`; NaN and infinities are refused, and so are a
    key that stands twice in an object and text with half a character (a lone surrogate).
    """
    try:
        document = json.loads(
            text,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_no_number,
            object_pairs_hook=each_once,
        )
    except RecursionError:
        raise InputError(f"{source}: found lists or objects nested too deeply, expected JSON") from None
    except TwiceError as error:
        raise InputError(f"{source}: {error}: found a second time, expected each key once") from None
    except _NumberError as error:
        raise InputError(f"{source}: found {error}, expected JSON") from None
    except ValueError as error:
        complaint = one_line(str(error))
        raise InputError(f"{source}: found text that is not JSON ({complaint}), expected JSON") from None
    if not isinstance(document, dict):
        raise InputError(f"{source}: found no JSON object, expected one")
    if _ESCAPED_SURROGATE.search(text) or _SURROGATE.search(text):
        _check_text(document, source)
    return document


def read_json(path: Path, source: str, what: str) -> Document:
    """The object in the file at `path`, which should say `what`. Raises `InputError`."""
    return parse_json(read_text(path, source, "JSON", what), source)


def each_once(pairs: Sequence[tuple[str, object]]) -> Document:
    """The object of these keys and values. Raises `TwiceError`."""
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise TwiceError(cut(one_line(key)))
            seen.add(key)
    return made


def _integer(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise _NumberError("a number that is too long")
    return int(text)


def _decimal(text: str) -> Decimal:
    if len(text) > LONGEST_NUMBER:
        raise _NumberError("a number that is too long")
    try:
        return Decimal(text)
    except ArithmeticError:
        raise _NumberError("a number that is out of range") from None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON's")


def _check_text(document: Document, source: str) -> None:
    """Raises `InputError` for the first key or text with half a character."""
    todo: list[tuple[str, object]] = [("", document)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, str) and _SURROGATE.search(value):
            where = f"{source}: {path}" if path else source
            raise InputError(f"{where}: found {shown(value)}, expected text of whole characters")
        inside: list[tuple[str, object]] = []
        if isinstance(value, dict):
            for key, held in value.items():
                inside += [(path, key), (f"{path}.{cut(one_line(key))}".lstrip("."), held)]
        elif isinstance(value, list):
            inside = [(f"{path}.{number}", held) for number, held in enumerate(value)]
        todo += reversed(inside)
