"""An inventory file of either kind as columns of text, of which each distinct one is looked at once.

Who opens a file and how is decided by `simlib.fleet.inventory_reading`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simlib.errors import InputError
from simlib.scenario.toml_text import one_line

MOST_ROWS: Final = 10_000_000
"""As many as a scenario may have devices."""
UNKNOWN: Final = -1
EXPECTED: Final = "expected a CSV or Parquet file with a row a device"
_REMARK: Final = 120  # characters of a reader's own complaint that are shown


@dataclass(frozen=True, slots=True)
class Rows:
    """The columns asked for, and the rows that could not be cut into cells."""

    columns: tuple[Any, ...]  # pyarrow ChunkedArrays of text, or of text by dictionary
    malformed: NDArray[np.int64]  # their row numbers, counted from 1
    malformed_text: str  # the first of them

    @property
    def count(self) -> int:
        """Of the rows that have cells."""
        return len(self.columns[0])

    def number(self, row: int) -> int:
        """What row `row` of the columns is in the file, counted from 1."""
        for skipped in self.malformed.tolist():
            if skipped > row + 1:
                break
            row += 1
        return row + 1


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file whose first line, or schema, has been read."""

    kind: str  # as a person would call it
    columns: tuple[str, ...]
    repaired: tuple[tuple[str, str], ...]  # what was taken otherwise than written, and how
    read: Callable[[Sequence[int]], Rows]  # of columns by their index


@contextmanager
def refusing(where: str, what: str, expected: str = EXPECTED) -> Iterator[None]:
    """Turn whatever a reader raises about a damaged file into an `InputError` of one line."""
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{where}: found more than fits into memory, {expected}") from None
    except Exception as error:  # pyarrow alone has a dozen kinds
        remark = one_line(str(error))
        remark = remark if len(remark) <= _REMARK else f"{remark[:_REMARK]}…"
        raise InputError(f"{where}: found {what} ({remark}), {expected}") from None


def most_rows(rows: int, where: str) -> None:
    """Refuse more rows than a fleet may have."""
    if rows > MOST_ROWS:
        raise InputError(f"{where}: found {rows} rows, expected at most {MOST_ROWS}")


def coded(column: Any, where: str) -> tuple[Any, NDArray[np.int64]]:
    """The distinct trimmed texts of `column` (a StringArray), and for each row which it has.

    Every text occurs; a row without one, or with nothing but space, has `UNKNOWN`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    with refusing(where, "values that cannot be read"):
        codes = None
        if pa.types.is_dictionary(column.type):
            whole = column.unify_dictionaries().combine_chunks()
            codes = whole.indices.fill_null(UNKNOWN).to_numpy(zero_copy_only=False).astype(np.int64)
            column = whole.dictionary
        else:
            column = column.combine_chunks()
        parts = pc.utf8_trim_whitespace(column).dictionary_encode()
        texts = parts.dictionary
        of_part = parts.indices.fill_null(UNKNOWN).to_numpy(zero_copy_only=False).astype(np.int64)
    empty = pc.index(texts, "").as_py()
    if codes is not None:
        of_part = np.append(of_part, UNKNOWN)[codes]
    occurs = np.zeros(len(texts) + 1, dtype=np.bool_)
    occurs[of_part] = True
    occurs[UNKNOWN] = False
    if empty >= 0:
        occurs[empty] = False
    if bool(occurs[:-1].all()):
        return texts, of_part
    renumbered = np.where(occurs, np.cumsum(occurs) - 1, UNKNOWN)
    return texts.filter(pa.array(occurs[:-1])), renumbered[of_part]
