"""The inventory file at a path, as CSV or as Parquet, or one line that says why not.

Bytes that begin with ``PAR1`` are Parquet, and what a file's name says is; all else is CSV.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from simlib.errors import InputError
from simlib.fleet.inventory_csv import csv_sheet
from simlib.fleet.inventory_parquet import parquet_sheet
from simlib.fleet.inventory_sheet import EXPECTED, Sheet

LARGEST_FILE_BYTES: Final = 1 << 30


def open_sheet(path: Path, form: str, where: str) -> Sheet:
    """The file at `path`, as `form` ("auto", "csv", "parquet") says; an `InputError` begins with `where`."""
    content = _content(path, where)
    parquet = content.startswith(b"PAR1") or path.suffix.lower() in (".parquet", ".pq")
    if form == "parquet" or (form == "auto" and parquet):
        return parquet_sheet(content, where)
    if parquet and content.startswith(b"PAR1"):
        raise InputError(f"{where}: found a Parquet file, expected CSV as inventory.format says")
    return csv_sheet(content, where)


def _content(path: Path, where: str) -> bytes:
    try:
        if path.is_dir():
            raise InputError(f"{where}: found a folder, {EXPECTED}")
        if path.exists() and not path.is_file():
            raise InputError(f"{where}: found a device or a pipe, {EXPECTED}")
        with path.open("rb") as stream:
            content = stream.read(LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{where}: found no such file, {EXPECTED}") from None
    except OSError as error:
        raise InputError(
            f"{where}: found a file that cannot be read ({error.strerror}), {EXPECTED}"
        ) from None
    except ValueError:  # a NUL in the name
        raise InputError(f"{where}: found a name that no file can have, {EXPECTED}") from None
    except MemoryError:
        raise InputError(f"{where}: found more than fits into memory, {EXPECTED}") from None
    if len(content) > LARGEST_FILE_BYTES:
        raise InputError(f"{where}: found more than {LARGEST_FILE_BYTES} bytes, {EXPECTED}")
    if not content or content.isspace():
        raise InputError(f"{where}: found an empty file, {EXPECTED}")
    return content
