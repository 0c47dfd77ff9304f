"""From a document to the facts of a scenario, or to one line that says why not.

The order: every key known and every leaf well formed (`simlib.scenario.schema`), then what must hold between
keys (`simlib.scenario.consistency`). Of several complaints the one told is an unknown key before anything
else, because the rest often follows from it, and otherwise the first in the schema's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from simlib.errors import InputError
from simlib.scenario import field_model as f
from simlib.scenario import model as m
from simlib.scenario import schema, schema_field
from simlib.scenario.consistency import check
from simlib.scenario.json_text import AN_OBJECT
from simlib.scenario.leaves import Table
from simlib.scenario.naming import place_of
from simlib.scenario.toml_text import A_TABLE, Document, cut, one_line, read_text, shown

T = TypeVar("T", bound=Table)

_TABLES: Final = ("model_type", "model_attributes_type", "dict_type")
_EXPECTED: Final = {
    "list_type": "a list",
    "string_unicode": "a key of whole characters",
    "string_type": "a key that is text",
    "invalid_key": "a key that is text",
}


def read_document(document: Mapping[str, object], source: str) -> m.ScenarioSpec:
    """The facts `document` states; `source` names it in the `InputError` for anything wrong."""
    spec: m.ScenarioSpec = _facts(m.ScenarioSpec, read_table(schema.ScenarioTable, document, source))
    check(spec, one_line(source))
    return spec


def read_table(table: type[T], document: Mapping[str, object], source: str, word: str = A_TABLE) -> T:
    """`document` as the `table` it must be; the `InputError` for anything wrong begins with `source`.

    `word` is what a table is called in the document's notation.
    """
    try:
        return table.model_validate(dict(document))
    except ValidationError as error:
        raise InputError(f"{one_line(source)}: {_complaint(error, table, word)}") from None


def read_object(table: type[T], document: Mapping[str, object], source: str) -> T:
    """`read_table` of a document that is JSON."""
    return read_table(table, document, source, AN_OBJECT)


def absolute_files(document: Document, folder: Path) -> None:
    """Make the paths of files in `document` start at `folder`, in place: ``release.files`` and
    ``inventory.file`` become absolute, a ``rollout.config`` that names a JSON file becomes its content.

    Raises `InputError` for one that cannot be read.
    """
    rollout = document.get("rollout")
    config = rollout.get("config") if isinstance(rollout, dict) else None
    if isinstance(rollout, dict) and isinstance(config, str) and config.endswith(".json"):
        rollout["config"] = read_text(folder / config, one_line(config), "JSON", "a service's configuration")
    inventory = document.get("inventory")
    if isinstance(inventory, dict) and (name := inventory.get("file")) and isinstance(name, str):
        inventory["file"] = str((folder / name).absolute()) if "\0" not in name else name
    release = document.get("release")
    files = release.get("files") if isinstance(release, dict) else None
    if isinstance(release, dict) and isinstance(files, list):
        release["files"] = [
            str((folder / f).absolute()) if isinstance(f, str) and f and "\0" not in f else f for f in files
        ]


def _complaint(error: ValidationError, root: type[Table], word: str) -> str:
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join(cut(one_line(str(part))) for part in first["loc"]) or "the document"
    found = shown(first["input"], word)
    match first["type"]:
        case "extra_forbidden":
            return f"{key}: found an unknown key, expected {_known(first, root)}"
        case "missing":
            return f"{key}: found no such key, expected it to be set"
        case "leaf":
            return f"{key}: found {found}, expected {first['ctx']['expected']}"
    expected = word if first["type"] in _TABLES else _EXPECTED.get(first["type"], "a value of another kind")
    return f"{key}: found {found}, expected {expected}"


def _known(error: ErrorDetails, root: type[Table]) -> str:
    """The keys of the table that holds the unknown key, the nearest one if there is one."""
    *path, last = error["loc"]
    table = root
    for part in path:
        if isinstance(part, str):
            table = _table_of(table, _attribute(table, part))
    known = [field.alias or name for name, field in table.model_fields.items()]
    near = get_close_matches(str(last), known, n=1)
    return f"{near[0]} (the nearest known key)" if near else f"one of {', '.join(known)}"


def _attribute(table: type[Table], key: str) -> str:
    return next(name for name, field in table.model_fields.items() if key in (name, field.alias))


def _table_of(table: type[Table], key: str) -> type[Table]:
    inside: object = table.model_fields[key].annotation
    while not (isinstance(inside, type) and issubclass(inside, Table)):  # a list of tables, or one or none
        inside = next(each for each in get_args(inside) if each is not type(None))
    return inside


def _facts(made: type[Any], table: Table) -> Any:
    """The facts of class `made` that `table` states: each field from the key that `naming` gives it."""
    return made(**{field.name: _fact(table, field.name) for field in fields(made)})


def _fact(table: Table, field: str) -> object:
    name, index = place_of(field)
    value = getattr(table, name)
    if index is not None:
        return value[index]
    if field == "base_size_bytes" and value is None:
        return getattr(table, "size")  # noqa: B009 (a release's alone, which the type of `table` does not say)
    if isinstance(value, Table):
        return _facts(FACTS[type(value)], value)
    if isinstance(value, dict):
        return tuple(value.items())
    if isinstance(value, list):
        return tuple(_facts(FACTS[type(v)], v) if isinstance(v, Table) else v for v in value)
    return value


FACTS: Final[Mapping[type[Table], type[Any]]] = {
    schema.StepWeightsTable: m.StepWeights,
    schema.ReleaseTable: m.ReleaseSpec,
    schema.LinkTable: m.LinkSpec,
    schema.CohortTable: m.CohortSpec,
    schema.PrecheckTable: m.PrecheckSpec,
    schema.TransferTable: m.TransferSpec,
    schema.FaultsTable: m.FaultsSpec,
    schema.ReportTable: m.ReportSpec,
    schema.GroupTable: m.GroupSpec,
    schema.RolloutTable: m.RolloutSpec,
    schema_field.OutageTable: f.OutageSpec,
    schema_field.ZoneTable: f.ZoneSpec,
    schema_field.ChannelTable: f.ChannelSpec,
    schema_field.HabitTable: f.HabitSpec,
    schema_field.OwnerTable: f.OwnerSpec,
    schema_field.DefectTable: f.DefectSpec,
    schema_field.ValidationTable: f.ValidationSpec,
    schema_field.BackupTable: f.BackupSpec,
    schema_field.RecoveryTable: f.RecoverySpec,
    schema_field.DisclosureTable: f.DisclosureSpec,
    schema_field.HarmTable: f.HarmSpec,
    schema_field.InventoryTable: f.InventorySpec,
    schema_field.AlertsTable: f.AlertSpec,
}
