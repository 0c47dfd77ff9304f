"""Files and numbers a command is given: missing files are bad input, existing ones are not written over.

What is written is written whole or not at all, and so are several files that belong together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from simlib.errors import InputError, Refused
from simlib.scenario.toml_text import shown
from simlib.scenario.units import parse_size

LARGEST_FILE_BYTES: Final = 256 << 20
"""A flash of a connected device is a hundred times smaller; what is larger was named by mistake."""

Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]

T = TypeVar("T")
_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")


def read(path: Path, what: str) -> bytes:
    """The content of a file or pipe that must exist; `what` says what was expected in it."""
    try:
        if path.is_char_device() or path.is_block_device():
            raise InputError(f"{path}: found a device, expected {what}")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, what, error) from None
    if len(content) > LARGEST_FILE_BYTES:
        raise _too_large(path, what)
    return content


def check_file(path: Path, what: str) -> None:
    """Check that `read` would give a file's content, for a function that opens it by itself, maybe twice."""
    try:
        size_bytes = path.stat().st_size
        if not path.is_file():
            found = "a folder" if path.is_dir() else "a pipe or a device"
            raise InputError(f"{path}: found {found}, expected {what}")
        with path.open("rb"):
            pass
    except OSError as error:
        raise _unreadable(path, what, error) from None
    if size_bytes > LARGEST_FILE_BYTES:
        raise _too_large(path, what)


def refuse_existing(*paths: Path, force: bool) -> None:
    """InputError unless every one of `paths` can be written: new, or a file to overwrite, in a folder."""
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path}: found a folder, expected the name of a file to write")
        there = path.exists() or path.is_symlink()
        if there and not force:
            raise InputError(f"{path}: found an existing file, expected a new name or --force")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: found a pipe or a device, expected the name of a file to write")
        if not path.parent.is_dir():
            raise InputError(f"{path}: found no folder {path.parent}, expected an existing one")


def check_place(folder: Path, flag: str) -> None:
    """InputError if `folder` could not be made or written in: better told before a long run than after."""
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise InputError(f"{flag} {folder}: found the file {nearest}, expected a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{flag} {folder}: found {nearest} closed to writing, expected an open folder")


def write(files: Mapping[Path, bytes], *, force: bool) -> None:
    """Write each file whole, and all or none: under temporary names beside them, then renamed."""
    refuse_existing(*files, force=force)
    staged: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
            staged[temporary] = path
            with temporary.open("xb") as file:
                file.write(content)
        for temporary, path in staged.items():
            temporary.replace(path)
    except OSError as error:
        place = ", ".join(map(str, files))
        raise InputError(f"{place}: found {error.strerror}, expected room for a file") from None
    finally:
        for temporary in staged:
            temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name into the message of what is wrong with it."""
    try:
        yield
    except Refused as refusal:
        message = str(refusal).removeprefix(f"{refusal.reason}: ")
        raise Refused(refusal.reason, _named(path, message)) from None
    except InputError as error:
        raise InputError(_named(path, str(error))) from None


def size(text: str, flag: str) -> int:
    """A size [byte] as a person types it: 4096, 0x1000, "512 KiB"."""
    return parse_size(text, flag)


def whole_number(text: str, flag: str) -> int:
    """A number, decimal or 0x hex, not negative."""
    if not _NUMBER.fullmatch(text):
        raise InputError(f"{flag}: found {shown(text)}, expected a whole number, 0 or more")
    return int(text, 16 if text[:2] in ("0x", "0X") else 10)


def if_given(read_text: Callable[[str, str], T], text: str | None, flag: str) -> T | None:
    """What `read_text` makes of an option's text; None for an option that was not given."""
    return None if text is None else read_text(text, flag)


def _named(path: Path, message: str) -> str:
    return message if message.startswith(str(path)) else f"{path}: {message}"


def _unreadable(path: Path, what: str, error: OSError) -> InputError:
    known = {FileNotFoundError: "no such file", IsADirectoryError: "a folder"}
    found = known.get(type(error)) or f"a file that cannot be read ({error.strerror})"
    return InputError(f"{path}: found {found}, expected {what}")


def _too_large(path: Path, what: str) -> InputError:
    return InputError(f"{path}: found more than {LARGEST_FILE_BYTES} bytes, expected {what}")
