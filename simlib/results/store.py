"""A run's folder: written whole or not at all, never over another run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from simlib.errors import InputError
from simlib.results.device_table import DeviceTable
from simlib.results.parquet import first_line, read_table, write_table

SCENARIO_FILE = "scenario.toml"
SUMMARY_FILE = "summary.json"
INTERRUPTED = "interrupted_at_ms"
"""The key that marks the summary of a run that did not come to its horizon."""
TABLES = ("devices", "groups", "timeline", "alerts", "grants", "beliefs", "errors")


def refuse_other_run(folder: Path, scenario_toml: str) -> None:
    """Raise InputError if `folder` holds what a run of this scenario may not replace.

    That is known before the run: a file, a folder of something else, or a run of another scenario. What a
    scenario only calls itself, and how often it samples, make no other run.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"--out {folder}: found a file, expected a folder")
    if not any(folder.iterdir()):
        return
    known = folder / SCENARIO_FILE
    if not known.is_file() or _essence(known.read_bytes()) != _essence(scenario_toml.encode()):
        raise InputError(f"--out {folder}: found another run or other files, expected a new or empty folder")


def _essence(scenario_toml: bytes) -> list[bytes]:
    lines = scenario_toml.splitlines()
    return [line for line in lines if not line.startswith((b"title =", b"timeline =", b"name ="))]


def write(
    folder: Path,
    scenario_toml: str,
    tables: Mapping[str, pd.DataFrame | DeviceTable],
    summary: Mapping[str, Any],
) -> None:
    """Write all files to a temporary folder beside `folder`, then put it in its place as a whole.

    An earlier run with the same digest is replaced, and an interrupted one of the same scenario by a complete
    one; InputError if `folder` holds anything else.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        fresh = Path(beside) / "run"
        fresh.mkdir()
        (fresh / SCENARIO_FILE).write_text(scenario_toml, encoding="utf-8", newline="\n")
        for name, table in tables.items():
            write_table(fresh / f"{name}.parquet", table)
        write_summary(fresh, summary)
        while True:
            try:
                # Over an empty folder this succeeds where the system allows it; else it is moved aside.
                fresh.rename(folder)
                return
            except OSError:
                if not folder.exists():
                    raise
                _refuse_other_result(folder, scenario_toml, summary)
                folder.rename(Path(beside) / f"replaced-{len(list(Path(beside).iterdir()))}")


def _refuse_other_result(folder: Path, scenario_toml: str, summary: Mapping[str, Any]) -> None:
    """Raise InputError unless `folder` is empty or holds a run that the new one may replace."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    try:
        known = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
        replaceable = all(known[key] == summary[key] for key in ("digest", "digest_version"))
        if INTERRUPTED in known and INTERRUPTED not in summary:
            text = (folder / SCENARIO_FILE).read_bytes()
            replaceable = _essence(text) == _essence(scenario_toml.encode())
    except (OSError, ValueError, KeyError, TypeError):
        replaceable = False
    if not replaceable:
        raise InputError(f"--out {folder}: found another run or other files, expected a new or empty folder")


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write (or replace) the summary alone."""
    temporary = folder / f".{SUMMARY_FILE}.new"
    temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8", newline="\n")
    temporary.replace(folder / SUMMARY_FILE)


def read(folder: Path) -> tuple[str, dict[str, pd.DataFrame | DeviceTable], dict[str, Any]]:
    """Scenario text, tables and summary of a saved run. InputError if it is not one.

    A table of several row groups may be larger than the memory: it stays in its file until it is asked for.
    """
    for name in (SCENARIO_FILE, SUMMARY_FILE, *(f"{table}.parquet" for table in TABLES)):
        if not (folder / name).is_file():
            found = "no such folder" if not folder.is_dir() else f"no {name}"
            raise InputError(f"{folder}: found {found}, expected the folder of a run")
    try:
        tables = {table: read_table(folder / f"{table}.parquet") for table in TABLES}
        summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
        scenario_toml = (folder / SCENARIO_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: found a damaged file ({first_line(error)}), expected a run") from error
    return scenario_toml, tables, summary
