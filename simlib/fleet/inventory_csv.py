"""An inventory in CSV: UTF-8 with or without a byte order mark, UTF-16 with one, else Windows-1252.

The first line that is not blank names the columns. The delimiter is the one of comma, semicolon and tab that
this line has most of. A row with another number of cells is left out and counted. Whatever is read otherwise
than as UTF-8 with commas is stated.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from simlib.errors import InputError
from simlib.fleet.inventory_sheet import EXPECTED, Rows, Sheet, most_rows, refusing

_DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab"}
_LONGEST_HEADER_BYTES: Final = 1 << 20
_LINE_ENDS: Final = re.compile(rb"[\r\n]+")
_CONTENT: Final = re.compile(rb"[^\r\n]")
_QUOTED: Final = re.compile(r'"[^"]*"')


def _utf8(content: bytes, where: str) -> tuple[bytes, str]:
    """`content` in UTF-8 without a mark, and what it was in."""
    encoding = "UTF-8"
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "UTF-16"
        try:
            content = content.decode("utf-16").encode("utf-8")
        except UnicodeError:
            raise InputError(f"{where}: found the mark of UTF-16 and other bytes, {EXPECTED}") from None
    if (zero := content.find(b"\0")) >= 0:
        raise InputError(f"{where}: found bytes that are not text, the first at offset {zero}, {EXPECTED}")
    if content.isascii():
        return content, encoding
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        try:
            return content.decode("cp1252").encode("utf-8"), "Windows-1252"
        except UnicodeDecodeError as error:
            raise InputError(
                f"{where}: found bytes that are text in neither UTF-8 nor Windows-1252, "
                f"the first at offset {error.start}, {EXPECTED}"
            ) from None
    return content, encoding


def csv_sheet(content: bytes, where: str) -> Sheet:
    """The CSV in `content`, its first line read. Raises `InputError` that begins with `where`."""
    with refusing(where, "text that cannot be read"):
        content, encoding = _utf8(content, where)
    begin = _CONTENT.search(content)
    if begin is None:
        raise InputError(f"{where}: found an empty file, {EXPECTED}")
    end = _LINE_ENDS.search(content, begin.start())
    stop = end.start() if end else len(content)
    if stop - begin.start() > _LONGEST_HEADER_BYTES:
        raise InputError(f"{where}: found a first line of {stop - begin.start()} bytes, {EXPECTED}")
    header = content[begin.start() : stop].decode("utf-8")
    bare = _QUOTED.sub("", header)
    if '"' in bare:
        raise InputError(f"{where}: found a quote in the first line that is not closed, {EXPECTED}")
    delimiter = max(_DELIMITERS, key=bare.count)
    with refusing(where, "a first line that is not CSV"):
        names = tuple(name.strip() for name in next(csv.reader([header], delimiter=delimiter)))
    repaired = []
    if encoding != "UTF-8":
        repaired.append(("encoding", f"{encoding} where UTF-8 was expected"))
    if delimiter != ",":
        repaired.append(("delimiter", f"{_DELIMITERS[delimiter]} where a comma was expected"))
    offset = end.end() if end else len(content)
    if offset == len(content):
        raise InputError(f"{where}: found a first line and no rows, {EXPECTED}")

    def read(columns: Sequence[int]) -> Rows:
        return _csv_rows(content, offset, delimiter, len(names), columns, where)

    return Sheet(f"CSV in {encoding}", names, tuple(repaired), read)


def _csv_rows(
    content: bytes, offset: int, delimiter: str, cells: int, columns: Sequence[int], where: str
) -> Rows:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    skipped: list[int] = []
    first: list[str] = []

    def skip(row: Any) -> str:
        skipped.append(row.number)
        if not first:
            first.append(row.text)
        return "skip"

    with refusing(where, "rows that cannot be read"):
        # One thread: row numbers are only told then, and the columns are independent of the machine.
        table = arrow_csv.read_csv(
            pa.py_buffer(memoryview(content)[offset:]),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, column_names=[str(number) for number in range(cells)]
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=b'"' in content, invalid_row_handler=skip
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=[str(number) for number in columns],
                column_types={str(number): pa.string() for number in columns},
                strings_can_be_null=False,
            ),
        )
    most_rows(len(table) + len(skipped), where)
    return Rows(tuple(table.columns), np.array(skipped, dtype=np.int64), first[0] if first else "")
