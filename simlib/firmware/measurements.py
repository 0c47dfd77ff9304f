"""Measured sizes of patches between releases of public firmware, and of the releases compressed whole.

They are in ``data/measurements``, where a README says how they were measured and what they cannot carry.
Which firmware it was is the business of `simlib.firmware.corpus`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simlib.errors import InputError
from simlib.scenario.datafiles import data_path
from simlib.scenario.toml_text import shown

COLUMNS: Final = ("chain", "from", "to", "size_from", "size_to", "algo", "patch_bytes")


@dataclass(frozen=True, slots=True)
class MeasuredUpdate:
    """What one update took by one algorithm: a patch, or the whole image compressed."""

    chain: str
    base: str | None  # version; None: the whole image
    target: str  # version
    base_size_bytes: int  # 0: the whole image
    target_size_bytes: int
    algorithm: str
    update_bytes: int
    steps: int  # how many places of the chain lie between the two, 1 for neighbours; 0: the whole image


def delta_pairs(path: Path | None = None) -> tuple[MeasuredUpdate, ...]:
    """The measurements in `path`, by default simlib's own, in the order of the file.

    A chain's releases are in the order in which the file has its whole images, which is that of the pins.

    Raises `InputError`, with file and line, for a row that is not one: another number of fields, a size that
    is no whole number above 0, a version whose whole image has not come before, two rows on the same thing.
    """
    path = path or data_path("measurements", "delta_pairs.csv")
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        header = tuple(next(reader, ()))
        if header != COLUMNS:
            raise InputError(
                f"{path.name}: line 1: found columns {','.join(header)}, expected {','.join(COLUMNS)}"
            )
        return tuple(_updates(path.name, ((reader.line_num, row) for row in reader)))


def measured_versions(updates: tuple[MeasuredUpdate, ...]) -> dict[str, tuple[str, ...]]:
    """The versions of each chain in `updates`, oldest first."""
    versions: dict[str, dict[str, None]] = {}
    for update in updates:
        if update.base is None:
            versions.setdefault(update.chain, {})[update.target] = None
    return {chain: tuple(names) for chain, names in versions.items()}


def _updates(name: str, rows: Iterator[tuple[int, list[str]]]) -> Iterator[MeasuredUpdate]:
    places: dict[str, dict[str, int]] = {}
    seen: set[tuple[str, str, str, str]] = set()
    for line, row in rows:
        where = f"{name}: line {line}"
        if len(row) != len(COLUMNS):
            raise InputError(f"{where}: found {len(row)} fields, expected {len(COLUMNS)}")
        chain, base, target, base_size, target_size, algorithm, update = row
        if (chain, base, target, algorithm) in seen:
            raise InputError(
                f"{where}: found {shown(algorithm)} of this pair a second time, expected it once"
            )
        seen.add((chain, base, target, algorithm))
        known = places.setdefault(chain, {})
        if not base:
            known.setdefault(target, len(known))
        elif not {base, target} <= known.keys():
            expected = "two versions of which the whole images come before"
            raise InputError(f"{where}: found {shown(base)} and {shown(target)}, expected {expected}")
        yield MeasuredUpdate(
            chain=chain,
            base=base or None,
            target=target,
            base_size_bytes=_size(where, "size_from", base_size) if base else 0,
            target_size_bytes=_size(where, "size_to", target_size),
            algorithm=algorithm,
            update_bytes=_size(where, "patch_bytes", update),
            steps=known[target] - known[base] if base else 0,
        )


def _size(where: str, column: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise InputError(f"{where}: {column}: found {shown(text)}, expected a whole number above 0")
    return int(text)
