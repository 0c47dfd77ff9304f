"""The page that lists every key of a scenario, made from the schema and from what the facts say.

``python -m simlib.scenario.reference`` prints it; a test compares it with ``docs/scenario.md``. A key's
meaning is the comment behind its field in `simlib.scenario.model` or `field_model`, its default the schema's.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields
from types import ModuleType
from typing import Any, Final, get_args, get_origin, get_type_hints

from pydantic_core import PydanticUndefined

from simlib.scenario import field_model, model
from simlib.scenario.leaves import Table
from simlib.scenario.naming import place_of
from simlib.scenario.reading import FACTS
from simlib.scenario.schema import ScenarioTable
from simlib.scenario.toml_text import toml_value
from simlib.scenario.writing import written

_INTRODUCTION: Final = """# The keys of a scenario

A scenario is a TOML file with `schema = 1` and a `name`; every other key has a default. A size or a duration
is a whole number of bytes or milliseconds or has its unit (`"480 KiB"`, `"2 h"`). A duration that varies is
`"2 h"`, `"uniform(1 h, 3 h)"`, `"exponential(6 h)"` (mean), `"lognormal(5 min, 0.8)"` (median, sigma of the
logarithm) or `"pareto(2 d, 1.2)"` (least, shape). A share is 0 to 1. `--set` takes a key with dots
(`transfer.jitter`), and a number for an element of an array (`cohorts.0.battery`). This page is made from
the code.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_tables("", ScenarioTable, model.ScenarioSpec)])


def _tables(path: str, table: type[Table], facts: type[Any]) -> Iterator[str]:
    """A section for `table`, then those of the tables inside it."""
    comments = _comments(facts)
    inside: list[tuple[str, type[Table]]] = []
    rows: dict[str, str] = {}
    for field in fields(facts):
        name, _ = place_of(field.name)
        info = table.model_fields[name]
        key = info.alias or name
        within = _table_in(get_type_hints(table, include_extras=False)[name])
        if within is not None:
            inside.append((key, within))
            continue
        shown = "needed" if info.default is PydanticUndefined else _default(field.name, info.default)
        if key not in rows:
            rows[key] = f"| `{key}` | {shown} | {comments.get(field.name, '')} |"
    if rows:
        yield f"\n## {_title(path)}\n\n{_first_line(facts)}\n\n| key | default | meaning |\n|---|---|---|"
        yield from rows.values()
    for key, within in inside:
        many = get_origin(get_type_hints(table)[_attribute(table, key)]) is list
        yield from _tables(f"{path}{key}.{'N.' if many else ''}", within, FACTS[within])


def _attribute(table: type[Table], key: str) -> str:
    return next(name for name, info in table.model_fields.items() if (info.alias or name) == key)


def _table_in(annotation: Any) -> type[Table] | None:
    """The table that a key holds, or a list of which it holds."""
    for part in (annotation, *get_args(annotation)):
        if inspect.isclass(part) and issubclass(part, Table):
            return part
    return None


def _title(path: str) -> str:
    if not path:
        return "The document"
    keys = path.rstrip(".")
    return f"`[[{keys.removesuffix('.N').replace('.N', '')}]]`" if keys.endswith(".N") else f"`[{keys}]`"


def _default(field: str, value: Any) -> str:
    """A default as a document writes it."""
    if isinstance(value, list):
        value = tuple(value)
    shown = written(field, value)
    if isinstance(shown, list) and len(shown) > 7 and len(set(map(str, shown))) == 1:
        return f"{len(shown)} times `{toml_value(shown[0])}`"
    return "`{}`" if isinstance(shown, dict) else f"`{toml_value(shown)}`"


def _first_line(facts: type[Any]) -> str:
    return (inspect.getdoc(facts) or "").splitlines()[0]


def _comments(facts: type[Any]) -> dict[str, str]:
    """What stands behind each field of a class of facts."""
    module: ModuleType = model if facts.__module__ == model.__name__ else field_model
    source = inspect.getsource(module).splitlines()
    tree = ast.parse("\n".join(source))
    (definition,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == facts.__name__)
    comments = {}
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            _, mark, comment = source[node.lineno - 1].partition("  # ")
            if mark:
                comments[node.target.id] = comment.replace("|", "\\|")
    return comments


if __name__ == "__main__":
    sys.stdout.write(page())
