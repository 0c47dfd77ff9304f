"""Where two runs of one scenario first differ, told so that a person can look; and a small such scenario."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from simlib.errors import InputError
from simlib.simulation import Simulated
from tests.simulation.random_scenarios import Document, scenario_of

FACTS = ("stops", "duplicates", "further_verdicts", "interrupted_ms")
BY_DEVICE = "devices"


def first_difference(a: Simulated, b: Simulated) -> str | None:
    """The first cell in which the results differ, with both values; None where they are the same.

    The device table comes first and is told by device and column, then the other tables by row and column,
    then the facts beside them. How a result was obtained (engine, events, seconds) does not count.
    """
    names = [BY_DEVICE, *(name for name in a.tables if name != BY_DEVICE)]
    if set(a.tables) != set(b.tables):
        return f"tables: {sorted(a.tables)} against {sorted(b.tables)}"
    for name in names:
        difference = table_difference(name, _frame(a.tables[name]), _frame(b.tables[name]))
        if difference is not None:
            return difference
    for fact in FACTS:
        left, right = getattr(a, fact), getattr(b, fact)
        if left != right:
            return f"{fact}: {left!r} against {right!r}"
    return None


def table_difference(name: str, a: pd.DataFrame, b: pd.DataFrame) -> str | None:
    """The same for one table, which `name` names.

    A row that only one of them has comes after all that both have.
    """
    if list(a.columns) != list(b.columns):
        return f"{name}: columns {list(a.columns)} against {list(b.columns)}"
    for column in a.columns:
        if a[column].dtype != b[column].dtype:
            return f"{name}: column {column}: {a[column].dtype} against {b[column].dtype}"
    rows = min(len(a), len(b))
    unlike = {column: _unlike(a[column][:rows], b[column][:rows]) for column in a.columns}
    differing = np.flatnonzero(np.logical_or.reduce(list(unlike.values()))) if unlike else np.array([], int)
    if len(differing):
        row = int(differing[0])
        first, *others = [column for column in a.columns if unlike[column][row]]
        cells = f"{first} is {_cell(a, row, first)} against {_cell(b, row, first)}"
        more = f"; its {', '.join(others)} differ too" if others else ""
        whole = "devices" if name == BY_DEVICE else "rows"
        return f"{_row(name, a, row)}: {cells}{more}; {len(differing)} of {rows} {whole} differ"
    if len(a) != len(b):
        longer = a if len(a) > rows else b
        values = ", ".join(f"{column}={_cell(longer, rows, column)}" for column in longer.columns[:8])
        return f"{name}: {len(a)} against {len(b)} rows; only the longer has row {rows}: {values}"
    return None


def _frame(table: Any) -> pd.DataFrame:
    """A table as a frame, also one that is made only when it is asked for."""
    return table if isinstance(table, pd.DataFrame) else table.frame()


def _unlike(a: pd.Series, b: pd.Series) -> np.ndarray:
    return np.asarray(a.to_numpy() != b.to_numpy(), dtype=np.bool_)


def _row(name: str, table: pd.DataFrame, row: int) -> str:
    if name == BY_DEVICE:
        return f"{name}: device {table['device'].iloc[row]}"
    time = f" (time_ms {table['time_ms'].iloc[row]})" if "time_ms" in table else ""
    return f"{name}: row {row}{time}"


def _cell(table: pd.DataFrame, row: int, column: str) -> str:
    value = table[column].iloc[row]
    return repr(value.item() if isinstance(value, np.generic) else value)


def reduced(document: Document, fails: Callable[[Document], bool], trials: int = 200) -> Document:
    """A smaller document for which `fails` still holds: tables, elements and keys taken out one at a time.

    `fails` is asked at most `trials` times, and never about a document that the schema rejects. One that only
    a run refuses, for which it raises `InputError`, does not count.
    """
    smallest, before = document, None
    while smallest != before:
        before = smallest
        for shrink in _shrinks(before):
            candidate = copy.deepcopy(smallest)
            try:
                shrink(candidate)
                scenario_of(candidate)
                if candidate == smallest:
                    continue
                trials -= 1
                if fails(candidate):
                    smallest = candidate
            except (InputError, LookupError):
                pass  # what it would take out is needed, or has gone with something else
            if trials <= 0:
                return smallest
    return smallest


def _shrinks(document: Document) -> Iterator[Callable[[Document], None]]:
    """Ways to take one thing out of `document`, large things first."""

    def fewer(candidate: Document) -> None:
        candidate["devices"] = max(candidate["devices"] // 4, 1)

    def one_cohort(candidate: Document) -> None:
        candidate["cohorts"] = [candidate["cohorts"][0] | {"share": "1"}]

    def one_link(candidate: Document) -> None:
        del candidate["links"]
        for cohort in candidate["cohorts"]:
            del cohort["link"]

    yield from (fewer, fewer, fewer, one_cohort, one_link)
    # The last elements of a list first: the others keep their place.
    places = list(_places(document, ()))
    places.reverse()
    for path in sorted(places, key=len):
        yield lambda candidate, path=path: _take_out(candidate, path)


def _take_out(holder: Any, path: tuple[Any, ...]) -> None:
    for part in path[:-1]:
        holder = holder[part]
    del holder[path[-1]]


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Where something can be taken out: keys of tables, and elements of lists of tables."""
    tables = isinstance(value, list) and value and isinstance(value[0], dict)
    keys = value if isinstance(value, dict) else range(len(value)) if tables else ()
    for key in keys:
        if path or key not in ("schema", "name", "devices"):
            yield (*path, key)
        yield from _places(value[key], (*path, key))
