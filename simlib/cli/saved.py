"""A saved run, checked before a device of it is replayed: whole, of one piece, as its summary says.

The device table must have the summary's digest; the other files must fit it and the scenario. Whether the
recorded transfers are the right ones shows when the replay ends as the table says, or does not.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simlib.errors import InputError, Reason, Refused

if TYPE_CHECKING:
    from simlib.results import Run

_REPLAYED_WITH: Final = {
    "groups": ("opened_ms",),
    "grants": ("device", "ended_ms", "missing_bytes"),
    "devices": ("released_ms",),
}
"""The integer columns a replay reads beside those of the digest."""


def load_run(folder: Path) -> Run:
    """The run in `folder`.

    Raises `InputError` if it is not one, or its files do not belong together; `Refused` HASH_MISMATCH if
    the device table is not the one its summary was made of.
    """
    from simlib.results import Run
    from simlib.results.digest import DEVICE_COLUMNS, digest_of
    from simlib.rollout import dictated
    from simlib.scenario import Scenario

    saved = Run.load(folder)
    devices, summary = folder / "devices.parquet", folder / "summary.json"
    facts: object = saved.summary
    for key in ("digest", "halted_at_ms"):
        if not isinstance(facts, dict) or key not in facts:
            raise InputError(f"{summary}: found no {key}, expected the summary of a run")
    for key in ("halted_at_ms", "interrupted_at_ms"):
        if not isinstance(saved.summary.get(key), int | None):
            raise InputError(f"{summary}: {key}: found {saved.summary[key]!r}, expected milliseconds or null")
    for name in DEVICE_COLUMNS:
        _column(saved.devices, name, devices)
    for table, names in _REPLAYED_WITH.items():
        for name in names:
            if name == "released_ms" and name not in saved.devices:
                continue  # saved before devices were released one by one
            path = folder / f"{table}.parquet"
            if (kind := _column(getattr(saved, table), name, path).dtype.kind) != "i":
                raise InputError(f"{path}: {name}: found values of kind {kind!r}, expected integers")
    _stops(saved.summary.get("stops", []), summary)
    spec = Scenario.from_toml(saved.scenario_toml, str(folder / "scenario.toml")).spec
    if not spec.inventory.file:
        _rows(saved.devices, spec.devices, devices)
    spec = dictated(replace(spec, devices=max(len(saved.devices), 1)))
    _rows(saved.groups, len(spec.rollout.groups), folder / "groups.parquet")
    if (found := digest_of(saved.devices)) != saved.digest:
        raise Refused(
            Reason.HASH_MISMATCH, f"{devices}: found digest {found}, expected {saved.digest} as in {summary}"
        )
    return saved


def _stops(stops: object, path: Path) -> None:
    """Raise `InputError` for stops that no run has."""
    for number, stop in enumerate(stops if isinstance(stops, list) else [None]):
        times = {"at_ms": int, "resumed_at_ms": int | None, "decision": str, "planned": bool}
        if not isinstance(stop, dict) or not all(
            name in stop and isinstance(stop[name], kind) for name, kind in times.items()
        ):
            raise InputError(f"{path}: stops.{number}: found {stop!r:.80}, expected when and how it stopped")


def _column(table: Any, name: str, path: Path) -> Any:
    if name not in table.columns:
        raise InputError(f"{path}: found no column {name}, expected the table of a run")
    return table[name]


def _rows(table: Any, count: int, path: Path) -> None:
    if len(table) != count:
        raise InputError(f"{path}: found {len(table)} rows, expected {count} as in scenario.toml")
