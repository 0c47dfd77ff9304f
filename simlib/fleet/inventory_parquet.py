"""An inventory in Parquet: whatever type a column has becomes the text that a CSV file would have.

So a value means the same in both kinds of file. Times become ISO 8601 in UTC, NaN and null become empty.
Lists, structures, durations and times of day have no such text and are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from simlib.errors import InputError
from simlib.fleet.inventory_sheet import Rows, Sheet, most_rows, refusing
from simlib.scenario.toml_text import one_line, shown

_EXPECTED: Final = "expected a Parquet file with a row a device"


def parquet_sheet(content: bytes, where: str) -> Sheet:
    """The Parquet file in `content`, its schema read. Raises `InputError` that begins with `where`."""
    import pyarrow as pa
    from pyarrow import parquet

    with refusing(where, "no Parquet file or a damaged one", _EXPECTED):
        file = parquet.ParquetFile(pa.BufferReader(content))
        schema, rows = file.schema_arrow, file.metadata.num_rows
        names = tuple(schema.names)
    most_rows(rows, where)
    if rows <= 0:
        raise InputError(f"{where}: found a Parquet file without rows, expected a row a device")

    def read(columns: Sequence[int]) -> Rows:
        fields = [schema.field(number) for number in columns]
        for field in fields:
            if not _has_text(field.type):
                raise InputError(
                    f"{where}: column {shown(field.name)}: found {one_line(str(field.type))}, "
                    "expected text, numbers or times"
                )
        # Text by dictionary stays so: a file may hold a long text once for many rows.
        texts = [field.name for field in fields if pa.types.is_string(field.type)]
        with refusing(where, "a damaged Parquet file", _EXPECTED):
            reopened = parquet.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
            table = reopened.read(columns=[field.name for field in fields], use_threads=False)
            table.validate(full=True)
            found = tuple(_as_text(table.column(field.name)) for field in fields)
        return Rows(found, np.empty(0, dtype=np.int64), "")

    return Sheet("Parquet", names, (), read)


def _has_text(kind: Any) -> bool:
    """Whether `_as_text` knows the type."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _has_text(kind.value_type) and not types.is_dictionary(kind.value_type)
    return any(
        knows(kind)
        for knows in (
            types.is_string,
            types.is_large_string,
            types.is_binary,
            types.is_large_binary,
            types.is_null,
            types.is_boolean,
            types.is_integer,
            types.is_floating,
            types.is_decimal,
            types.is_timestamp,
            types.is_date,
        )
    )


def _as_text(column: Any) -> Any:
    """A ChunkedArray as text; one by dictionary keeps it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    kind = column.type
    if types.is_string(kind):
        return column
    if types.is_dictionary(kind):
        whole = column.unify_dictionaries().combine_chunks()
        words = _as_text(pa.chunked_array([whole.dictionary])).combine_chunks()
        return pa.chunked_array([pa.DictionaryArray.from_arrays(whole.indices, words)])
    if types.is_floating(kind):
        column = column.cast(pa.float32()) if types.is_float16(kind) else column
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    elif types.is_timestamp(kind):
        # By way of the whole number: no time zone database is asked, which not every machine has.
        whole = column.cast(pa.timestamp("ms", kind.tz), safe=False).cast(pa.int64())
        text = whole.cast(pa.timestamp("ms")).cast(pa.string())
        return text if kind.tz is None else pc.binary_join_element_wise(text, "Z", "")
    elif types.is_date(kind):
        column = column.cast(pa.date32())
    return column.cast(pa.string())
