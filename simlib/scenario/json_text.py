"""JSON as simlib reads it: an object of plain values, decimal numbers exact, one line for each complaint."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from simlib.errors import InputError
from simlib.scenario.toml_text import Document, one_line, read_text


def parse_json(text: str, source: str) -> Document:
    """The object in `text`; `source` names it in the `InputError` for text that is none.

    Numbers with a fraction or an exponent are `decimal.Decimal`; NaN and infinities are refused.
    """
    try:
        document = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except RecursionError:
        raise InputError(f"{source}: found lists or objects nested too deeply, expected JSON") from None
    except (ValueError, ArithmeticError) as error:
        complaint = one_line(str(error))
        raise InputError(f"{source}: found text that is not JSON ({complaint}), expected JSON") from None
    if not isinstance(document, dict):
        raise InputError(f"{source}: found no JSON object, expected one")
    return document


def read_json(path: Path, source: str, what: str) -> Document:
    """The object in the file at `path`, which should say `what`. Raises `InputError`."""
    return parse_json(read_text(path, source, "JSON", what), source)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON's")
