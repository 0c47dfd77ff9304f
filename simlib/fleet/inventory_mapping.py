"""Which column of an inventory is which field: what the scenario maps, else a column of the field's own name.

A mapping that does not fit the file, or leaves two columns for one field, is refused; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from simlib.errors import InputError
from simlib.fleet.inventory_sheet import Sheet
from simlib.scenario.field_model import InventorySpec
from simlib.scenario.toml_text import shown

STANDS_IN: Final[Mapping[str, str]] = {
    "device": "the row's number",
    "hardware": "the hardware of the device's cohort",
    "cohort": "drawn by the cohorts' shares",
    "version": "drawn by the cohort's base_mix",
    "free_storage": "the free storage of the cohort's layout",
    "battery": "drawn between the cohort's battery limits",
    "last_seen": "drawn by the habit's dormant share",
    "zone": "drawn by the zones' shares",
    "group": "drawn by the groups' shares",
    "state": "pending",
}
"""What the population takes where the file says nothing, for each field."""
FIELDS: Final = tuple(STANDS_IN)


def _near(text: str, known: Sequence[str]) -> str:
    near = get_close_matches(text, known, n=1)
    return f"; nearest is {shown(near[0])}" if near else ""


def check_renamed(pairs: Sequence[tuple[str, str]], known: Sequence[str], where: str) -> None:
    """Refuse a pair whose second half is none of the known names."""
    for text, name in pairs:
        if name not in known:
            raise InputError(
                f"{where}.{shown(text)}: found {shown(name)}, expected one of {shown(list(known))}"
                f"{_near(name, known)}"
            )


def _folded(name: str) -> str:
    return "".join(char for char in name.casefold() if char not in " _-")


def columns_of(spec: InventorySpec, sheet: Sheet, source: str, where: str) -> dict[str, int]:
    """The index of each field's column."""
    named: dict[str, int] = {}
    for index, name in enumerate(sheet.columns):
        if name and name in named:
            raise InputError(f"{where}: found two columns {shown(name)}, expected each name once")
        named[name] = index
    chosen: dict[str, int] = {}
    for field, column in spec.columns:
        if field not in FIELDS:
            raise InputError(
                f"{source}: inventory.columns: found {shown(field)}, expected one of {', '.join(FIELDS)}"
                f"{_near(field, FIELDS)}"
            )
        if column not in named:
            raise InputError(
                f"{source}: inventory.columns.{field}: found {shown(column)}, expected one of the columns of "
                f"{shown(spec.file)}, {shown(sheet.columns)}{_near(column, sheet.columns)}"
            )
        chosen[field] = named[column]
    for field in FIELDS:
        alike = [name for name in named if _folded(name) == _folded(field)]
        if field in chosen or not alike:
            continue
        if len(alike) > 1:
            raise InputError(
                f"{where}: found the columns {shown(alike)}, expected one for {field}, "
                f"or inventory.columns.{field} to say which"
            )
        chosen[field] = named[alike[0]]
    if not chosen:
        raise InputError(
            f"{where}: found the columns {shown(sheet.columns)}, "
            f"expected at least one of {', '.join(FIELDS)}, or inventory.columns to say which is which"
        )
    return {field: chosen[field] for field in FIELDS if field in chosen}
