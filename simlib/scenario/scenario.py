"""A scenario as people handle it: loaded by name or path, changed key by key, written out in full."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from simlib.scenario.model import ScenarioSpec
from simlib.scenario.overrides import assign, plain_value
from simlib.scenario.presets import preset_names, preset_path
from simlib.scenario.reading import absolute_files, read_document
from simlib.scenario.toml_text import Document, one_line, parse_toml, read_toml, write_toml
from simlib.scenario.writing import document_of


@dataclass(frozen=True, slots=True)
class Scenario:
    """The facts of one scenario, `spec`, and the document they were read from.

    Two scenarios are equal if their facts are, however they were written.
    """

    spec: ScenarioSpec
    _document: Document = field(repr=False, compare=False)

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> Scenario:
        """The preset of that name, or the TOML file at that path. Raises `InputError`."""
        return load(name_or_path)

    @classmethod
    def from_toml(cls, text: str, source: str = "scenario.toml") -> Scenario:
        """The scenario a TOML text states, as `to_toml` writes it. Raises `InputError`."""
        document = parse_toml(text, source)
        return cls(read_document(document, source), document)

    @classmethod
    def of(cls, spec: ScenarioSpec) -> Scenario:
        """The scenario of facts built in code. Raises `InputError` for facts no document could state."""
        document = document_of(spec)
        return cls(read_document(document, spec.name), document)

    @property
    def document(self) -> Document:
        """The whole document, every default written out."""
        return document_of(self.spec)

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.spec.name

    def with_(self, changes: Mapping[str, object], *, source: str = "with_") -> Scenario:
        """The same scenario with some dotted keys changed, all of them before it is checked again.

        A default that follows another key (`release.base_size`) follows it here too. `source` begins the
        message of the `InputError` for a key or a value that is wrong.
        """
        document = copy.deepcopy(self._document)
        complete = document_of(self.spec)
        for key, value in changes.items():
            assign(document, complete, key, plain_value(value, key, source), source)
        absolute_files(document, Path.cwd())
        return Scenario(read_document(document, source), document)

    def with_seed(self, seed: int) -> Scenario:
        """The same scenario under another seed, without reading it again: a seed is never inconsistent."""
        return Scenario(replace(self.spec, seed=seed), self._document | {"seed": seed})

    def to_toml(self) -> str:
        """The whole scenario as TOML, every default written out; loading it gives equal facts."""
        return write_toml(document_of(self.spec))


def load(name_or_path: str | os.PathLike[str]) -> Scenario:
    """The preset of that name, or the TOML file at that path; relative firmware files start at its folder.

    Raises `InputError`: one line with the file, the key, what was found and what was expected.
    """
    named = os.fspath(name_or_path)
    if isinstance(name_or_path, str) and _is_preset(named):
        path, source = preset_path(named), named
    else:
        path, source = Path(named), one_line(named)
    document = read_toml(path, source)
    absolute_files(document, path.parent.absolute())
    return Scenario(read_document(document, source), document)


def _is_preset(named: str) -> bool:
    """Whether `named` can only mean a preset: it is one, or it does not look like a file and is none."""
    if named in preset_names():
        return True
    looks_like_file = named.endswith(".toml") or Path(named).name != named
    try:
        return not looks_like_file and not Path(named).exists()
    except (OSError, ValueError):
        return False
