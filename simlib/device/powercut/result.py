"""What a sweep found: a row for every flash operation, and sums over them.

A tear mode counts once an operation, with the worst that any of its ways to tear has led to: bricked, then
stuck, then the old image before the new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simlib.device.powercut.case import SweepOptions
from simlib.device.powercut.second import Tally
from simlib.device.powercut.verdict import Fate, First


@dataclass(frozen=True, slots=True)
class TornOperation:
    """One operation, torn in one mode: the device's fate for each way to tear it, in the order of `tears`."""

    tear: str
    fates: tuple[Fate, ...]
    recovery_ops: tuple[int, ...]  # flash operations of the boot after each, where a second cut may strike

    @property
    def worst(self) -> Fate:
        """The fate this mode counts with."""
        return max(self.fates, key=lambda fate: fate.badness)


@dataclass(frozen=True, slots=True)
class CutOperation:
    """One flash operation of the course of an update, numbered from 1, and what power cuts in it lead to."""

    number: int
    phase: str  # "install", "boot", "confirm" or "revert"
    kind: str  # "erase" or "write"
    partition: str
    offset: int  # in the flash [byte]
    size_bytes: int
    torn: tuple[TornOperation, ...]
    second: Tally  # of all second cuts after these, where all were asked for


@dataclass(frozen=True, slots=True)
class PowercutResult:
    """All of a sweep. Equal for the same options, but for `seconds`."""

    options: SweepOptions
    operations: tuple[CutOperation, ...]
    wear: dict[str, tuple[int, ...]]  # by phase: how often each sector of the flash was erased
    second: Tally | None
    seconds: float

    @property
    def ops(self) -> int:
        """Flash operations of install, boot, confirmation and, after a failed trial, the revert."""
        return len(self.operations)

    @property
    def worst(self) -> list[Fate]:
        """The fate that each operation counts with in each mode."""
        return [torn.worst for operation in self.operations for torn in operation.torn]

    def ops_of(self) -> dict[str, int]:
        """Flash operations by phase."""
        return dict(Counter(operation.phase for operation in self.operations))

    def columns(self) -> dict[str, list[Any]]:
        """A row for each operation and mode, as columns of equal length: what a data frame is made of."""
        rows = [
            {
                "number": operation.number,
                "phase": operation.phase,
                "kind": operation.kind,
                "partition": operation.partition,
                "offset_bytes": operation.offset,
                "size_bytes": operation.size_bytes,
                "tear": torn.tear,
                "variants": len(torn.fates),
                "booted": torn.worst.first.value,
                "stuck": torn.worst.stuck,
                "harm": torn.worst.harm.value,
                "detail": torn.worst.detail,
            }
            for operation in self.operations
            for torn in operation.torn
        ]
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    def summary(self) -> dict[str, Any]:
        """The sums, JSON-able."""
        worst = self.worst
        facts: dict[str, Any] = {
            "layout": self.options.layout,
            "ops": self.ops,
            "cuts": len(worst),
            **_counted(worst),
            "seconds": round(self.seconds, 3),
            "ops_by_phase": self.ops_of(),
            "variants": sum(len(torn.fates) for each in self.operations for torn in each.torn),
            "most_erases_of_a_sector": most_erases(tuple(self.wear.values())),
            "harms": dict(sorted(Counter(fate.harm.value for fate in worst if fate.harm != "none").items())),
        }
        if self.second is not None:
            facts |= {
                "second_cuts": self.second.cuts,
                "second_booted_new": self.second.booted_new,
                "second_booted_old": self.second.booted_old,
                "second_bricked": self.second.bricked,
                "second_stuck": self.second.stuck,
            }
        return facts


def most_erases(wear: Sequence[Sequence[int]]) -> int:
    """How often the sector that is erased most is erased in all these phases together."""
    return max((sum(each) for each in zip(*wear, strict=True)), default=0)


def _counted(fates: Sequence[Fate]) -> dict[str, int]:
    first = Counter(fate.first for fate in fates)
    return {
        "booted_new": first[First.NEW],
        "booted_old": first[First.OLD],
        "bricked": first[First.BRICKED],
        "stuck": sum(fate.stuck for fate in fates),
    }
