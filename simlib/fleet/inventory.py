"""A fleet from an inventory file: a row a device, in the file's order.

A field is read from the column that the scenario maps to it, else from one of its own name (case, spaces,
underscores and hyphens aside). A row is dropped, with the first of these reasons that holds: it has another
number of cells than the first line, no device identifier, a hardware, cohort or version that the scenario
does not know, or a device that an earlier usable row has. Any other value that cannot be used counts as
unknown. All of it is in the report, and so is what stands in for what the file does not say.

Drawing what stands in is `simlib.fleet.population`'s affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simlib.errors import InputError
from simlib.fleet import inventory_amounts as amounts
from simlib.fleet import inventory_columns as words
from simlib.fleet.inventory_columns import STATES, Column, Reading
from simlib.fleet.inventory_mapping import FIELDS, STANDS_IN, check_renamed, columns_of
from simlib.fleet.inventory_reading import open_sheet
from simlib.fleet.inventory_report import InventoryReport
from simlib.fleet.inventory_sheet import EXPECTED, UNKNOWN, Rows, coded
from simlib.scenario.field_model import InventorySpec
from simlib.scenario.toml_text import one_line, shown

__all__ = ["FIELDS", "STANDS_IN", "STATES", "UNKNOWN", "Inventory", "InventoryReport", "read_inventory"]

_EXAMPLE: Final = 80  # characters of a cell that a report shows
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Inventory:
    """Columns of one file, an entry a used row. None: no such column; `UNKNOWN`: no such value in the row."""

    names: NDArray[np.object_] | None  # device identifiers, text
    hardware: Column | None  # codes into hardware_names
    hardware_names: tuple[str, ...]
    cohort: Column | None  # index into the scenario's cohorts
    base: Column | None  # chain index of the firmware a device runs
    free_bytes: Column | None
    battery_ppm: Column | None  # charge in millionths of full
    unseen_ms: Column | None  # how long before the start it was last seen
    zone: Column | None  # index into the scenario's zones
    group: Column | None  # rollout group, from 0
    state: Column | None  # code into STATES
    report: InventoryReport


def read_inventory(
    spec: InventorySpec,
    *,
    source: str,
    hardware: Sequence[str],
    cohorts: Sequence[str],
    zones: Sequence[tuple[str, int]],
    versions: Sequence[str],
    groups: int,
) -> Inventory:
    """The fleet in `spec.file`.

    `source` names the scenario in messages; `hardware` and `cohorts` are the names it knows, `zones` have
    their offset from UTC [ms], `versions` are the chain's labels, oldest first. Raises `InputError` of one
    line for a mapping that does not fit and for a file from which no device can be read.
    """
    check_renamed(spec.versions, versions, f"{source}: inventory.versions")
    check_renamed(spec.zones, [name for name, _ in zones], f"{source}: inventory.zones")
    where = f"{source}: inventory.file {shown(spec.file)}"
    try:
        return _read(spec, source, where, hardware, cohorts, zones, versions, groups)
    except MemoryError:
        raise InputError(f"{where}: found more than fits into memory, {EXPECTED}") from None


def _read(
    spec: InventorySpec,
    source: str,
    where: str,
    hardware: Sequence[str],
    cohorts: Sequence[str],
    zones: Sequence[tuple[str, int]],
    versions: Sequence[str],
    groups: int,
) -> Inventory:
    sheet = open_sheet(Path(spec.file), spec.format, where)
    chosen = columns_of(spec, sheet, source, where)
    rows = sheet.read(tuple(chosen.values()))
    columns = {
        field: coded(column, f"{where}: column {shown(sheet.columns[chosen[field]])}")
        for field, column in zip(chosen, rows.columns, strict=True)
    }

    hardware_names = tuple(dict.fromkeys(hardware))
    labels = {label: index for index, label in enumerate(versions)}
    labels |= {text: labels[label] for text, label in spec.versions}
    newest: list[int | None] = []

    def ages(texts: Any) -> Reading:
        reading, as_of = amounts.ages(texts)
        newest.append(as_of)
        return reading

    readers: Mapping[str, Callable[[Any], Reading]] = {
        "hardware": lambda texts: words.lookup(texts, {h: i for i, h in enumerate(hardware_names)}),
        "cohort": lambda texts: words.lookup(texts, {c: i for i, c in enumerate(cohorts)}),
        "version": lambda texts: words.lookup(texts, labels),
        "free_storage": amounts.sizes,
        "battery": amounts.charges,
        "last_seen": ages,
        "zone": lambda texts: words.zone_indices(texts, zones, dict(spec.zones)),
        "group": lambda texts: words.group_indices(texts, groups),
        "state": words.state_codes,
    }
    readings = {field: readers[field](texts) for field, (texts, _) in columns.items() if field != "device"}

    used, dropped = _used(rows, columns, readings)
    if not len(used):
        found = ", ".join(f"{count} {reason}, such as {shown(example)}" for reason, count, example in dropped)
        raise InputError(
            f"{where}: found no row that can be used ({found or 'no rows'}), expected a row a device"
        )
    numbers = {
        field: _spread(reading.numbers, columns[field][1][used]) for field, reading in readings.items()
    }
    names = None
    if "device" in columns:
        texts, codes = columns["device"]
        names = texts.to_numpy(zero_copy_only=False)[codes[used]]
    report = InventoryReport(
        spec.file,
        sheet.kind,
        rows.count + len(rows.malformed),
        len(used),
        tuple((field, sheet.columns[index]) for field, index in chosen.items()),
        tuple(name for index, name in enumerate(sheet.columns) if index not in chosen.values()),
        dropped,
        (
            *((what, rows.count + len(rows.malformed), how) for what, how in sheet.repaired),
            *_remarks(columns, readings, used),
        ),
        tuple(_missing(columns, used)),
        _written(newest[0] if newest else None),
    )
    return Inventory(
        names,
        numbers.get("hardware"),
        hardware_names,
        numbers.get("cohort"),
        numbers.get("version"),
        numbers.get("free_storage"),
        numbers.get("battery"),
        numbers.get("last_seen"),
        numbers.get("zone"),
        numbers.get("group"),
        numbers.get("state"),
        report,
    )


# Which rows are used


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _EXAMPLE else f"{line[:_EXAMPLE]}…"


def _spread(numbers: Column, codes: Column) -> Column:
    """The number of each row, `UNKNOWN` where the row has no text."""
    return np.append(numbers, UNKNOWN)[codes]


def _used(
    rows: Rows, columns: Mapping[str, tuple[Any, Column]], readings: Mapping[str, Reading]
) -> tuple[Column, tuple[tuple[str, int, str], ...]]:
    """The rows that are devices, and why the others are not."""
    kept = np.ones(rows.count, dtype=np.bool_)
    dropped: list[tuple[str, int, str]] = []
    if len(rows.malformed):
        dropped.append(("wrong-cell-count", len(rows.malformed), _cut(rows.malformed_text)))

    def drop(reason: str, which: NDArray[np.bool_], field: str) -> None:
        out = np.flatnonzero(which & kept)
        if len(out):
            texts, codes = columns[field]
            code = int(codes[out[0]])
            example = f"row {rows.number(int(out[0]))}" if code == UNKNOWN else _cut(texts[code].as_py())
            dropped.append((reason, len(out), example))
            kept[out] = False

    if "device" in columns:
        drop("no-device", columns["device"][1] == UNKNOWN, "device")
    for field in ("hardware", "cohort", "version"):
        if field in columns:
            codes = columns[field][1]
            unread = (_spread(readings[field].numbers, codes) == UNKNOWN) & (codes != UNKNOWN)
            drop(f"unknown-{field}", unread, field)
    if "device" in columns:
        texts, codes = columns["device"]
        usable = np.flatnonzero(kept)[::-1]
        first = np.full(len(texts) + 1, UNKNOWN, dtype=np.int64)
        first[codes[usable]] = usable  # of rows with one code the last written stays: the first in the file
        drop("duplicate-device", first[codes] != np.arange(rows.count), "device")
    return np.flatnonzero(kept), tuple(dropped)


# What is reported


def _remarks(
    columns: Mapping[str, tuple[Any, Column]], readings: Mapping[str, Reading], used: Column
) -> Iterator[tuple[str, int, str]]:
    for field, reading in readings.items():
        texts, codes = columns[field]
        for what, which in reading.remarks:
            if which.any():
                concerned = np.append(which, False)[codes[used]]
                if concerned.any():
                    example = texts[int(codes[used][int(concerned.argmax())])].as_py()
                    yield what, int(concerned.sum()), _cut(example)


def _missing(columns: Mapping[str, tuple[Any, Column]], used: Column) -> Iterator[tuple[str, str]]:
    for field, instead in STANDS_IN.items():
        if field not in columns:
            yield field, instead
        elif empty := int((columns[field][1][used] == UNKNOWN).sum()):
            yield field, f"in {empty} of {len(used)} rows, {instead}"


def _written(stamp_ms: int | None) -> str:
    if stamp_ms is None:
        return ""
    form = "milliseconds" if stamp_ms % 1000 else "seconds"
    when = (_EPOCH + timedelta(milliseconds=stamp_ms)).isoformat(timespec=form)
    return when.replace("+00:00", "Z")
