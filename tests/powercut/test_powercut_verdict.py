"""The verdict on a device, told by devices that follow a script instead of running code."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pytest

from simlib.device.powercut import Fate, First, Harm
from simlib.device.powercut.cells import Situation
from simlib.device.powercut.event import BOOT, Booted, Event, Failed
from simlib.device.powercut.verdict import Judge
from simlib.errors import Reason

Script = dict[tuple[str, str], tuple[Hashable, str]]
"""By state and event: what the device tells, and its next state."""

GOOD: Script = {
    ("cut", "boot"): (Booted(b"new", True), "trial"),
    ("trial", "confirm"): (None, "kept"),
    ("kept", "boot"): (Booted(b"new", False), "kept"),
    ("kept", "search new"): ("primary", "kept"),
    ("kept", "update from new"): (Reason.NONE, "asked"),
    ("trial", "boot"): (Booted(b"old", False), "reverted"),
    ("reverted", "boot"): (Booted(b"old", False), "reverted"),
    ("reverted", "search old"): ("primary", "reverted"),
    ("reverted", "update from old"): (Reason.NONE, "asked"),
    ("asked", "boot"): (Booted(b"third", True), "trying"),
    ("trying", "confirm"): (None, "done"),
    ("done", "boot"): (Booted(b"third", False), "done"),
}
OLD: Script = {**GOOD, ("cut", "boot"): (Booted(b"old", False), "reverted")}
WITHOUT_TRIALS: Script = {
    **GOOD,
    ("cut", "boot"): (Booted(b"new", False), "kept"),
    ("asked", "boot"): (Booted(b"third", False), "done"),
}


@dataclass(frozen=True)
class Scripted:
    """The part of a case that a judge asks for."""

    further: dict[str, Event]
    search: dict[str, Event]

    @staticmethod
    def name_of(image_sha256: bytes | None) -> str | None:
        name = (image_sha256 or b"").decode()
        return name if name in ("old", "new", "third") else None


def fate(script: Script) -> Fate:
    case: Any = Scripted(
        {name: Event(f"update from {name}", lambda device: None) for name in ("old", "new")},
        {name: Event(f"search {name}", lambda device: None) for name in ("old", "new")},
    )

    def perform(event: Event, at: Situation) -> tuple[Hashable, Situation]:
        told, after = script[at.cells[0].decode(), event.name]
        return told, Situation((after.encode(),), 0)

    return Judge(case, perform).fate(Situation((b"cut",), 0))


@pytest.mark.parametrize(
    ("script", "first"), [(GOOD, First.NEW), (OLD, First.OLD), (WITHOUT_TRIALS, First.NEW)]
)
def test_a_device_that_goes_on_in_every_way_is_well(script: Script, first: First) -> None:
    assert fate(script) == Fate(first)


NOTHING = (Booted(None, False), "dead")
OTHER = (Booted(b"half and half", False), "dead")
CRASH = (Failed("RuntimeError: it"), "dead")


@pytest.mark.parametrize(
    ("changes", "first", "harm"),
    [
        ({("cut", "boot"): NOTHING}, "bricked", Harm.NO_VALID_IMAGE),
        ({("cut", "boot"): OTHER}, "bricked", Harm.OTHER_IMAGE),
        ({("cut", "boot"): (Booted(b"third", False), "done")}, "bricked", Harm.OTHER_IMAGE),
        ({("cut", "boot"): CRASH}, "bricked", Harm.BOOT_FAILED),
        ({("kept", "boot"): NOTHING}, "bricked", Harm.NO_VALID_IMAGE),
        ({("trial", "boot"): OTHER}, "bricked", Harm.OTHER_IMAGE),
        ({("reverted", "boot"): CRASH}, "bricked", Harm.BOOT_FAILED),
        ({("trial", "confirm"): CRASH}, "new", Harm.CONFIRM_FAILED),
        ({("kept", "boot"): (Booted(b"old", False), "reverted")}, "new", Harm.UNSETTLED),
        ({("kept", "boot"): (Booted(b"new", True), "kept")}, "new", Harm.UNSETTLED),
        ({("trial", "boot"): (Booted(b"new", True), "trial")}, "new", Harm.UNSETTLED),
        ({("reverted", "boot"): (Booted(b"new", False), "trial")}, "new", Harm.UNSETTLED),
        ({("kept", "search new"): (None, "kept")}, "new", Harm.NOT_IN_A_SLOT),
        ({("reverted", "search old"): (None, "reverted")}, "new", Harm.NOT_IN_A_SLOT),
        ({("kept", "update from new"): (Reason.TRIAL_PENDING, "kept")}, "new", Harm.UPDATE_REFUSED),
        ({("reverted", "update from old"): CRASH}, "new", Harm.UPDATE_REFUSED),
        ({("asked", "boot"): (Booted(b"new", False), "kept")}, "new", Harm.UPDATE_NOT_RUN),
        ({("asked", "boot"): NOTHING}, "new", Harm.UPDATE_NOT_RUN),
        ({("trying", "confirm"): CRASH}, "new", Harm.UPDATE_NOT_RUN),
        ({("done", "boot"): (Booted(b"old", False), "reverted")}, "new", Harm.UPDATE_NOT_RUN),
        ({("done", "boot"): (Booted(b"third", True), "done")}, "new", Harm.UPDATE_NOT_RUN),
    ],
)
def test_one_thing_that_goes_wrong_is_told(changes: Script, first: str, harm: Harm) -> None:
    found = fate({**GOOD, **changes})
    assert (found.first, found.harm) == (first, harm)
    assert found.detail
    assert found.bricked == (first == "bricked")
    assert found.stuck != found.bricked


def test_a_device_is_asked_to_boot_before_anything_else() -> None:
    assert BOOT.name == "boot"
    with pytest.raises(KeyError):
        fate({key: told for key, told in GOOD.items() if key != ("cut", "boot")})


def test_the_worst_of_several_is_bricked_then_stuck_then_the_old_image() -> None:
    ranked = [
        Fate(First.NEW),
        Fate(First.OLD),
        Fate(First.NEW, Harm.UNSETTLED, "x"),
        Fate(First.OLD, Harm.UNSETTLED, "x"),
        Fate(First.BRICKED, Harm.NO_VALID_IMAGE, "x"),
    ]
    shuffled = [ranked[place] for place in (3, 0, 4, 2, 1)]
    assert sorted(shuffled, key=lambda each: each.badness) == ranked
