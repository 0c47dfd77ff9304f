"""The passphrase of a folder of encrypted keys: from the environment, from a file, or made once.

In this order: ``SIMLIB_KEY_PASSPHRASE`` is the passphrase; ``SIMLIB_KEY_PASSPHRASE_FILE`` names a file whose
first line it is; else it is in the file ``passphrase`` beside the keys, which its owner alone can read and
which is made from the operating system's generator when the folder has no keys yet.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from simlib.errors import InputError

PASSPHRASE: Final = "SIMLIB_KEY_PASSPHRASE"
PASSPHRASE_FILE: Final = "SIMLIB_KEY_PASSPHRASE_FILE"
FILE_NAME: Final = "passphrase"
_GENERATED_BYTES: Final = 32


def passphrase_for(folder: Path, environment: Mapping[str, str] = os.environ) -> bytes:
    """The passphrase of the keys in `folder`.

    Raises `InputError` for a named file that cannot be read, an empty first line, or keys whose generated
    passphrase has gone; `OSError` where one has to be made and cannot be kept.
    """
    if PASSPHRASE in environment:
        return _not_empty(os.fsencode(environment[PASSPHRASE]), PASSPHRASE)
    if named := environment.get(PASSPHRASE_FILE):
        try:
            return _first_line(Path(named))
        except OSError as error:
            raise InputError(
                f"{PASSPHRASE_FILE} {named}: found {error.strerror}, expected a passphrase"
            ) from error
    return _own(folder)


def _own(folder: Path) -> bytes:
    path = folder / FILE_NAME
    try:
        return _first_line(path)
    except FileNotFoundError:
        has_keys = any(folder.glob("*.pem"))
    if not has_keys:
        _make(path)
    try:  # another process may have made it, and keys, in between
        return _first_line(path)
    except FileNotFoundError:
        raise InputError(
            f"{path}: found no passphrase beside keys that need one, expected it, or {PASSPHRASE}; "
            "removing the keys has them derived anew"
        ) from None


def _make(path: Path) -> None:
    """Put a fresh passphrase at `path`, whole from the first moment, unless somebody else was faster."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_GENERATED_BYTES) + "\n")
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        Path(name).unlink(missing_ok=True)


def _first_line(path: Path) -> bytes:
    first, *_ = path.read_bytes().splitlines() or [b""]
    return _not_empty(first, str(path))


def _not_empty(passphrase: bytes, where: str) -> bytes:
    if not passphrase:
        raise InputError(f"{where}: found an empty passphrase, expected at least one byte")
    return passphrase
