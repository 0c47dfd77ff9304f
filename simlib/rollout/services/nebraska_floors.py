"""Floors: versions a Nebraska client has to pass through, one update after another.

A client gets the lowest required floor above its version, and the channel's package once none is left
(flatcar/nebraska, backend/pkg/api/updates.go). Versions compare as semantic versions do (semver 2.0,
section 11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from simlib.errors import InputError
from simlib.scenario.toml_text import shown

_VERSION: Final = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)

Precedence = tuple[int, int, int, tuple[tuple[int, int, str], ...]]


def precedence(version: str) -> Precedence:
    """What versions are compared by. Raises `InputError` for text that is no semantic version."""
    match = _VERSION.fullmatch(version) if len(version) <= 256 else None
    if match is None:
        raise InputError(f"version: found {shown(version)}, expected a semantic version such as 3815.2.5")
    major, minor, patch, before = match.groups()
    if before is None:
        labels: tuple[tuple[int, int, str], ...] = ((2, 0, ""),)  # after every pre-release
    else:
        labels = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in before.split("."))
    return int(major), int(minor), int(patch), labels


def next_package(version: str, target: str, floors: Iterable[str]) -> str | None:
    """What a client of `version` is granted on a channel whose package is `target`; None: it is not older."""
    own, goal = precedence(version), precedence(target)
    if own >= goal:
        return None
    ahead = [floor for floor in floors if own < precedence(floor) <= goal]
    return min(ahead, key=precedence, default=target)


def way(version: str, target: str, floors: Iterable[str]) -> tuple[str, ...]:
    """Everything a client of `version` installs until it has `target`."""
    floors, steps = tuple(floors), []
    while (step := next_package(version, target, floors)) is not None:
        steps.append(step)
        version = step
    return tuple(steps)
