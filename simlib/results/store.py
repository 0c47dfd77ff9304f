"""A run's folder: written whole or not at all, never over another run."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from simlib.errors import InputError

SCENARIO_FILE = "scenario.toml"
SUMMARY_FILE = "summary.json"
TABLES = ("devices", "groups", "timeline", "alerts", "grants")


def refuse_other_run(folder: Path, scenario_toml: str) -> None:
    """Raise InputError if `folder` holds anything that is not a run of this very scenario."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"--out {folder}: found a file, expected a folder")
    if not any(folder.iterdir()):
        return
    known = folder / SCENARIO_FILE
    if not known.is_file() or known.read_text(encoding="utf-8") != scenario_toml:
        raise InputError(f"--out {folder}: found another run or other files, expected a new or empty folder")


def write(
    folder: Path, scenario_toml: str, tables: Mapping[str, pd.DataFrame], summary: Mapping[str, Any]
) -> None:
    """Write all files to a temporary folder beside `folder`, then move them in."""
    refuse_other_run(folder, scenario_toml)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
        fresh = Path(name) / "run"
        fresh.mkdir()
        (fresh / SCENARIO_FILE).write_text(scenario_toml, encoding="utf-8", newline="\n")
        for table, frame in tables.items():
            frame.to_parquet(fresh / f"{table}.parquet", index=False)
        write_summary(fresh, summary)
        if folder.exists():  # empty, or an earlier run of the same scenario
            for file in fresh.iterdir():
                file.replace(folder / file.name)
        else:
            shutil.move(fresh, folder)


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write (or replace) the summary alone."""
    temporary = folder / f".{SUMMARY_FILE}.new"
    temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8", newline="\n")
    temporary.replace(folder / SUMMARY_FILE)


def read(folder: Path) -> tuple[str, dict[str, pd.DataFrame], dict[str, Any]]:
    """Scenario text, tables and summary of a saved run. InputError if it is not one."""
    for name in (SCENARIO_FILE, SUMMARY_FILE, *(f"{table}.parquet" for table in TABLES)):
        if not (folder / name).is_file():
            found = "no such folder" if not folder.is_dir() else f"no {name}"
            raise InputError(f"{folder}: found {found}, expected the folder of a run")
    try:
        tables = {table: pd.read_parquet(folder / f"{table}.parquet") for table in TABLES}
        summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
        scenario_toml = (folder / SCENARIO_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: found a damaged file ({_first_line(error)}), expected a run") from error
    return scenario_toml, tables, summary


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
