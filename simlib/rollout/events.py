"""Device events as a CSV file tells them: what each device reported, and when, in a service's own words.

The columns ``time_ms``, ``device`` and ``status`` may stand in any order, and so may the rows: they are taken
in order of time, rows of one time as they stand. Devices count from 0, times are whole milliseconds.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

from simlib.errors import InputError
from simlib.rollout.policy import Told
from simlib.rollout.service import SILENT
from simlib.scenario.toml_text import one_line, shown

COLUMNS: Final = ("time_ms", "device", "status")
STEP_TIMEOUT: Final = "step_timeout_minutes"
"""A further column of AWS IoT events: the step timer [min] that the report sets; −1: none any more."""
GROUP: Final = "group"
"""A further column of a log: the device's group, counted from 1."""
PLAIN_WORDS: Final = {
    "offered": Told.OFFERED,
    "started": Told.STARTED,
    "succeeded": Told.SUCCEEDED,
    "failed": Told.FAILED,
    "skipped": Told.SKIPPED,
    "silent": SILENT,
}
"""What a log may say beside the words of the service that is to judge it."""
_LARGEST: Final = 1 << 59
_MOST_STEP_MINUTES: Final = 10_080


class Event(NamedTuple):
    """One report of one device."""

    time_ms: int
    device: int
    told: Told
    group: int | None = None  # counted from 0
    step_timeout_ms: int | None = None  # −1: the step timer is discarded; None: it stays as it is


def read_events(
    text: str,
    source: str,
    words: Mapping[str, Told],
    *,
    devices: int | None = None,
    optional: Collection[str] = (),
) -> tuple[Event, ...]:
    """The events of a CSV text, in order of time.

    `words` are the statuses, read in any case; `devices` are in the fleet (None: as many as there are);
    `optional` names further columns that may be there. Raises `InputError`.
    """
    known = {word.lower(): told for word, told in words.items()}
    events = list(_events(text, one_line(source), known, tuple(words), devices, optional))
    events.sort(key=lambda event: event.time_ms)
    return tuple(events)


def _events(
    text: str,
    source: str,
    words: Mapping[str, Told],
    spelled: Sequence[str],
    devices: int | None,
    optional: Collection[str],
) -> Iterator[Event]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, f"{source}: line 1", optional)
        places = [header.index(name) for name in COLUMNS]
        further = {name: header.index(name) for name in optional if name in header}
        most = _LARGEST if devices is None else devices - 1
        for row in reader:
            if not row:
                continue
            where = f"{source}: line {reader.line_num}"
            if len(row) != len(header):
                raise InputError(f"{where}: found {len(row)} fields, expected {len(header)}")
            time, device, status = (row[place].strip() for place in places)
            told = words.get(status.lower())
            if told is None:
                raise InputError(_unknown_status(where, status, spelled))
            yield Event(
                _number(time, 0, _LARGEST, f"{where}: time_ms"),
                _number(device, 0, most, f"{where}: device"),
                told,
                _group(row, further, where),
                _step_timeout(row, further, where),
            )
    except csv.Error as error:
        raise InputError(
            f"{source}: line {reader.line_num}: found {one_line(str(error))}, expected CSV"
        ) from None


def _check_header(header: list[str], where: str, optional: Collection[str]) -> None:
    expected = (*COLUMNS, *optional)
    if not set(COLUMNS) <= set(header) <= set(expected) or len(set(header)) < len(header):
        maybe = "".join(f", and it may have {name}" for name in optional)
        raise InputError(
            f"{where}: found columns {shown(','.join(header))}, expected {','.join(COLUMNS)}{maybe}"
        )


def _unknown_status(where: str, status: str, spelled: Sequence[str]) -> str:
    near = get_close_matches(status.lower(), [word.lower() for word in spelled], n=1)
    nearest = [word for word in spelled if word.lower() in near]
    hint = f" (the nearest is {nearest[0]})" if nearest else ""
    return f"{where}: status: found {shown(status)}, expected one of {', '.join(spelled)}{hint}"


def _group(row: list[str], further: Mapping[str, int], where: str) -> int | None:
    if GROUP not in further:
        return None
    return _number(row[further[GROUP]].strip(), 1, _LARGEST, f"{where}: group") - 1


def _step_timeout(row: list[str], further: Mapping[str, int], where: str) -> int | None:
    if STEP_TIMEOUT not in further or not (text := row[further[STEP_TIMEOUT]].strip()):
        return None
    if text == "-1":
        return -1
    return _number(text, 1, _MOST_STEP_MINUTES, f"{where}: {STEP_TIMEOUT}", " or -1") * 60_000


def _number(text: str, least: int, most: int, where: str, also: str = "") -> int:
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= (number := int(text)) <= most:
        return number
    upper = "or more" if most == _LARGEST else f"to {most}"
    raise InputError(f"{where}: found {shown(text)}, expected a whole number, {least} {upper}{also}")
