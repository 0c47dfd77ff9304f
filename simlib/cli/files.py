"""Files a command reads and writes: missing ones are bad input, existing ones are not written over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simlib.errors import InputError
from simlib.firmware.cache import write_whole
from simlib.scenario.units import parse_size

Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def read(path: Path, what: str) -> bytes:
    """The content of a file that must exist; `what` says what was expected in it."""
    try:
        return path.read_bytes()
    except OSError as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{path}: found {found}, expected {what}") from None


def write(path: Path, content: bytes, *, force: bool) -> None:
    """Write a file whole; InputError if it exists and `force` is not given, or its folder does not exist."""
    if path.exists() and not force:
        raise InputError(f"{path}: found an existing file, expected a new name or --force")
    if not path.parent.is_dir():
        raise InputError(f"{path}: found no folder {path.parent}, expected an existing one")
    write_whole(path, content)


def size(text: str | None, flag: str) -> int | None:
    """A size as a person types it (4096, 0x1000, "512 KiB"), or None."""
    return None if text is None else parse_size(text, flag)


def whole_number(text: str | None, flag: str) -> int | None:
    """A number, decimal or 0x hex, not negative; or None."""
    if text is None:
        return None
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if value < 0:
        raise InputError(f"{flag}: found {text!r}, expected a whole number, 0 or more")
    return value
