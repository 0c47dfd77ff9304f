"""TOML as simlib reads and writes it: plain values, decimal numbers exact, one line for each complaint.

Reading gives the document as dictionaries, lists, text, booleans, integers and `decimal.Decimal` (TOML 1.0,
through `tomllib`). Writing takes the same values and gives text that reads back to them. What the keys mean
is `simlib.scenario.schema`'s affair.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from simlib.errors import InputError

Document = dict[str, object]
"""A TOML document or table: text keys, plain values."""

A_TABLE: Final = "a table"
LARGEST_FILE_BYTES: Final = 1 << 20
_SHORT: Final = 80
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_UNSHOWABLE: Final = ("Cc", "Cs", "Zl", "Zp")


def one_line(text: str) -> str:
    """`text` with everything that could break or blur a line escaped."""
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSHOWABLE else c for c in text)


def cut(text: str) -> str:
    """`text` as far as a message shows it: 80 characters."""
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def shown(value: object, table: str = A_TABLE) -> str:
    """`value` as a message shows it: as TOML would have it, and null, cut after 80 characters.

    `table` is what a mapping is called.
    """
    if isinstance(value, Mapping):
        return table
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return cut(_shown_list(value, table))
    return cut(toml_value(value) if isinstance(value, Decimal | int | str) else one_line(str(value)))


def _shown_list(values: Sequence[object], table: str) -> str:
    return f"[{', '.join(shown(v, table) for v in values[:8])}{', …' if len(values) > 8 else ''}]"


def parse_toml(text: str, source: str) -> Document:
    """The document in `text`; `source` names it in the `InputError` for text that is not TOML."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except RecursionError:
        raise InputError(f"{source}: found arrays or tables nested too deeply, expected a scenario") from None
    except ValueError as error:
        complaint = one_line(str(error))
        if "at end of document" in complaint:
            complaint = complaint.replace(
                "at end of document", f"at the end of the file, line {text.count(chr(10)) + 1}"
            )
        raise InputError(f"{source}: found text that is not TOML ({complaint}), expected TOML") from None
    except ArithmeticError:  # decimal's own complaint about a number
        raise InputError(f"{source}: found a number that is out of range, expected TOML") from None


def read_toml(path: Path, source: str) -> Document:
    """The document in the file at `path`; whatever is wrong is an `InputError` that begins with `source`."""
    return parse_toml(read_text(path, source, "TOML", "a scenario with schema and name"), source)


def read_text(path: Path, source: str, kind: str, what: str) -> str:
    """The text of the file at `path`, of the kind of file `kind`, that should say `what`.

    Whatever is wrong is an `InputError` that begins with `source`.
    """
    try:
        if path.is_dir():
            raise InputError(f"{source}: found a folder, expected a {kind} file")
        if path.exists() and not path.is_file():
            raise InputError(f"{source}: found a device or a pipe, expected a {kind} file")
        with path.open("rb") as stream:
            content = stream.read(LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{source}: found no such file, expected a {kind} file") from None
    except OSError as error:
        raise InputError(
            f"{source}: found a file that cannot be read ({error.strerror}), expected a {kind} file"
        ) from None
    except ValueError:  # a NUL in the name
        raise InputError(f"{source}: found a name that no file can have, expected a {kind} file") from None
    if len(content) > LARGEST_FILE_BYTES:
        wanted = what.partition(" with ")[0]
        raise InputError(f"{source}: found more than {LARGEST_FILE_BYTES} bytes, expected {wanted}")
    if not content.strip():
        raise InputError(f"{source}: found an empty file, expected {what}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source}: found bytes that are not text at offset {error.start}, expected {kind} in UTF-8"
        ) from None
    return text.removeprefix("\ufeff")


def _escaped(char: str) -> str:
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    code = ord(char)
    return named.get(char) or (f"\\u{code:04X}" if code < 1 << 16 else f"\\U{code:08X}")


def _quoted(text: str) -> str:
    inside = "".join(_escaped(c) if c in '"\\' or unicodedata.category(c) in _UNSHOWABLE else c for c in text)
    return f'"{inside}"'


def toml_value(value: object) -> str:
    """One value in TOML's notation. Raises `TypeError` for what a document cannot hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return hex(value) if abs(value) >> 2048 else str(value)
    if isinstance(value, Decimal):
        text = f"{value:f}" if value.is_finite() and abs(value.adjusted()) < _SHORT else str(value).lower()
        return text if {".", "e", "n"} & set(text) else f"{text}.0"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(v) for v in value)}]"
    raise TypeError(f"{type(value).__name__} has no TOML notation here")


def write_toml(document: Mapping[str, object]) -> str:
    """The text of `document`: plain keys first, then tables and arrays of tables, in their given order."""
    lines: list[str] = []
    _write_table(document, "", lines)
    return "\n".join(lines).strip("\n") + "\n"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _write_table(table: Mapping[str, object], path: str, lines: list[str]) -> None:
    for key, value in table.items():
        if not isinstance(value, Mapping) and not _is_tables(value):
            lines.append(f"{_key(key)} = {toml_value(value)}")
    for key, value in table.items():
        dotted = f"{path}.{_key(key)}" if path else _key(key)
        if isinstance(value, Mapping):
            lines += ["", f"[{dotted}]"]
            _write_table(value, dotted, lines)
        elif isinstance(value, list) and _is_tables(value):
            for element in value:
                lines += ["", f"[[{dotted}]]"]
                _write_table(element, dotted, lines)
