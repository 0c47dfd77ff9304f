"""Named rollouts that can be laid over any scenario: who decides, and how the fleet is divided.

A strategy is a TOML file with a ``title``, a table ``[rollout]`` and, if the strategy says how devices
come, a table ``[transfer]`` (``hold_off``, ``jitter``). Its policy, configuration and groups take the place
of the scenario's; of the other keys those that the file sets. What it leaves out stays the fleet's own: the
window and whose clock it goes by, the deadline. The scenario keeps its name.

The name of an update service is a strategy too: the scenario's own groups as that service would have them.

Numbers have their sources in ``[sources]``, as in a preset; patterns are keys of the scenario.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from simlib.scenario import leaves
from simlib.scenario.datafiles import shipped_names, shipped_path
from simlib.scenario.leaves import Table, Texts
from simlib.scenario.reading import absolute_files, read_table
from simlib.scenario.scenario import Scenario
from simlib.scenario.schema import POLICIES, RolloutTable, TransferTable
from simlib.scenario.toml_text import one_line, read_toml

_REPLACED: Final[Mapping[str, object]] = {"policy": "staged", "config": "", "groups": [{}]}
"""The keys of ``rollout`` that a strategy always sets, each with what it is where the file leaves it out."""


class _StrategyTable(Table):
    """The whole document."""

    title: Annotated[str, leaves.leaf(leaves.text)]
    rollout: RolloutTable
    transfer: TransferTable = TransferTable()
    sources: Texts = {}  # noqa: RUF012 (pydantic copies a default for each table)


@dataclass(frozen=True, slots=True)
class Strategy:
    """A rollout by name: dotted keys of a scenario, the values they take, and where these are from."""

    name: str
    title: str  # for people
    changes: Mapping[str, object]
    sources: Mapping[str, str]


def strategy_names() -> tuple[str, ...]:
    """The names of the strategies that come with simlib, sorted."""
    return shipped_names("strategies")


def load_strategy(name_or_path: str | os.PathLike[str]) -> Strategy:
    """The strategy of that name, a service's, or the TOML file at that path, which is named after the file.

    A ``rollout.config`` that names a JSON file is found beside the strategy. Raises `InputError`: one line
    with the file, the key, what was found and what was expected.
    """
    named = os.fspath(name_or_path)
    if named in POLICIES and isinstance(name_or_path, str):
        changes = {"rollout.policy": named, "rollout.config": ""}
        return Strategy(named, f"the scenario's own groups under {named}", changes, {})
    if isinstance(name_or_path, str) and _is_name(named):
        path = shipped_path("strategies", named, "strategy", ", or a service")
        source = f"strategy {named}"
    else:
        path, source = Path(named), one_line(named)
    document = read_toml(path, source)
    absolute_files(document, path.parent.absolute())
    read = read_table(_StrategyTable, document, source)
    return Strategy(path.stem, read.title, _changes(document), read.sources)


def apply(scenario: Scenario, strategy: Strategy | str | os.PathLike[str]) -> Scenario:
    """`scenario` with the rollout of `strategy`, an object, a name or a file, in place of its own.

    Raises `InputError`, also for a strategy that this fleet cannot have.
    """
    if not isinstance(strategy, Strategy):
        strategy = load_strategy(strategy)
    kept = {
        pattern: text
        for pattern, text in scenario.spec.sources
        if "rollout.groups" not in strategy.changes or pattern.split(".")[:2] != ["rollout", "groups"]
    }
    changes = {**strategy.changes, "sources": kept | dict(strategy.sources)}
    return scenario.with_(changes, source=f"{scenario.name} under {one_line(strategy.name)}")


def _changes(document: Mapping[str, object]) -> dict[str, object]:
    """The dotted keys that a document, known to be well formed, sets."""
    changes = {f"rollout.{key}": value for key, value in _REPLACED.items()}
    for table in ("rollout", "transfer"):
        inside = document.get(table, {})
        if isinstance(inside, Mapping):
            changes.update({f"{table}.{key}": value for key, value in inside.items()})
    return changes


def _is_name(named: str) -> bool:
    """Whether `named` can only mean a shipped strategy: it is one, or looks like no file and is none."""
    if named in strategy_names():
        return True
    looks_like_file = named.endswith(".toml") or Path(named).name != named
    try:
        return not looks_like_file and not Path(named).is_file()
    except (OSError, ValueError):
        return False
