"""Which firmwares there are: for each the package that carries it, and what archive and firmware hash to.

A file of ``data/corpus`` is a chain: facts that hold for all of it, and its ``images``, oldest first by the
firmware's own version, whatever the package's version says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from simlib.errors import InputError
from simlib.firmware.cache import cache_dir
from simlib.scenario.datafiles import data_path

START: Final = ("greatfet_usb", "pybricks_cityhub", "pybricks_primehub")
"""The chains to begin with: three processors and three sizes of step in a download of 13 million bytes."""


class Registry(StrEnum):
    """Where packages are handed out."""

    PYPI = "pypi"
    NPM = "npm"

    @property
    def called(self) -> str:
        """What a message calls it."""
        return {"pypi": "the Python package index", "npm": "the npm registry"}[self.value]


class Form(StrEnum):
    """How a member of an archive holds the firmware."""

    BINARY = "binary"
    INTEL_HEX = "intel-hex"


@dataclass(frozen=True, slots=True)
class Archive:
    """A package as its registry hands it out. Several firmwares may be in one."""

    registry: Registry
    package: str
    package_version: str
    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Pin:
    """One firmware: the member of an archive that holds it, and what both must hash to."""

    version: str
    archive: Archive
    member: str  # "a.zip!b": the member b of the archive a.zip that is itself a member
    member_size_bytes: int
    member_sha256: str
    form: Form
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """A pinned chain, oldest first. `licence` is what the package says of itself; mind `licence_note`."""

    name: str
    title: str
    registry: Registry
    package: str
    architecture: str
    licence: str
    licence_note: str
    pins: tuple[Pin, ...]
    source: str = ""  # of the pins: how it is known and from what, as a calibration figure says it

    def cached_path(self, pin: Pin) -> Path:
        """Where the firmware is once it is fetched."""
        return cache_dir() / "corpus" / self.name / f"{pin.version}.bin"

    def is_cached(self) -> bool:
        """Whether every firmware has been fetched; `load_corpus` checks that none has changed."""
        return all(self.cached_path(pin).is_file() for pin in self.pins)


def corpora() -> tuple[Corpus, ...]:
    """The corpora there are pins for, by name. Raises InputError for a file of pins that is none."""
    return tuple(_read_pins(path) for path in sorted(data_path("corpus").glob("*.json")))


def corpus(name: str) -> Corpus:
    """The corpus `name`. Raises InputError for a name that is none."""
    known = {each.name: each for each in corpora()}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"; nearest is {near[0]}" if near else ""
    raise InputError(f"corpus {name!r}: found no such corpus, expected one of {', '.join(known)}{hint}")


def _read_pins(path: Path) -> Corpus:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        registry, form = Registry(facts.pop("registry")), Form(facts.pop("form", Form.BINARY))
        images = facts.pop("images")
        pins = tuple(_pin(registry, facts["package"], form, image) for image in images)
        chain = Corpus(**facts, registry=registry, pins=pins)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name}: found {error!r}, expected a chain of pinned firmwares") from None
    if len({pin.version for pin in chain.pins}) != len(images) or not images:
        raise InputError(f"{path.name}: found {len(images)} versions, expected one or more, each once")
    return chain


def _pin(registry: Registry, package: str, form: Form, image: Mapping[str, Any]) -> Pin:
    """A binary is pinned once: the member is the firmware."""
    archive = Archive(
        registry=registry,
        package=package,
        package_version=image["package_version"],
        name=image["archive"],
        size_bytes=image["archive_size_bytes"],
        sha256=image["archive_sha256"],
    )
    itself = form is Form.BINARY
    return Pin(
        version=image["version"],
        archive=archive,
        member=image["member"],
        member_size_bytes=image["size_bytes" if itself else "member_size_bytes"],
        member_sha256=image["sha256" if itself else "member_sha256"],
        form=form,
        size_bytes=image["size_bytes"],
        sha256=image["sha256"],
    )
