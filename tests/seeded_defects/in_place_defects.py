"""Defects of the image that is made over the old one, and of its journal."""

from __future__ import annotations

from simlib.device.bootloader import in_place, journal_plan
from simlib.device.bootloader.in_place import InPlace
from tests.seeded_defects.seeding import Defect, Edit, defect
from tests.seeded_defects.swap_move_defects import ERASES_WHAT_BEGINS_USED

LAYOUT = "in-place-journal"

_UNIT = "            journal.write_status_unit(number + 1)"
_DONE = "done = max(0, journal.status_units() - 1)"
_CHECK = "_check_waiting(device, journal)"


def _delta(name: str, what: str, *edits: Edit, **options: object) -> Defect:
    return defect(name, LAYOUT, what, *edits, payload="delta", **options)


DEFECTS: tuple[Defect, ...] = (
    _delta(
        "begin-not-recorded",
        "that the first step is begun is not recorded: the request is checked again with the base half gone",
        Edit(in_place._carry_out, {"    if journal.status_units() == 0:": "    if False:"}),
        image_size_bytes=1416,  # its last sector is made first, and needs nothing of the base
    ),
    _delta(
        "checked-again-in-the-middle",
        "work that was begun is checked again, and taken back, since its base is half gone",
        Edit(InPlace.boot, {"if journal.status_units() == 0:": "if True:"}),
    ),
    _delta(
        "unit-before-the-step",
        "a step is recorded before it is taken",
        Edit(
            in_place._make,
            {
                "\n" + _UNIT: "",
                "            match steps[number]:": _UNIT + "\n            match steps[number]:",
            },
        ),
    ),
    _delta(
        "units-of-the-saves-missing",
        "that a sector is saved is not recorded: after a cut it is saved again, from what is left of it",
        Edit(in_place._make, {_UNIT: "            if isinstance(steps[number], Make):\n    " + _UNIT}),
    ),
    _delta(
        "resumed-one-step-early",
        "the last unit written is not counted",
        Edit(in_place._make, {_DONE: "done = max(0, journal.status_units() - 2)"}),
    ),
    _delta(
        "resumed-one-step-late",
        "the step in which power failed is taken to be complete",
        Edit(in_place._make, {_DONE: "units = journal.status_units()\n    done = units if units > 1 else 0"}),
    ),
    defect(
        "copy-resumed-one-sector-late",
        LAYOUT,
        "the sector in which power failed is taken to be copied",
        Edit(in_place._copy, {_DONE: "units = journal.status_units()\n    done = units if units > 1 else 0"}),
    ),
    _delta(
        "not-saved-what-only-it-needs",
        "a sector that only itself is made from is not saved, and cannot be made twice",
        Edit(
            journal_plan._plan,
            {"last_reader[n] not in done:": "last_reader[n] not in done and last_reader[n] != n:"},
        ),
    ),
    _delta(
        "plan-follows-what-is-left-of-the-base",
        "sectors that are erased need not be saved: after a cut there are more of them, and other steps",
        Edit(
            in_place._make,
            {
                "steps = _plan_of(patch, sector).steps": (
                    'primary = device.area("primary")\n'
                    "    steps = tuple(\n"
                    "        step\n"
                    "        for step in _plan_of(patch, sector).steps\n"
                    "        if isinstance(step, Make) or not primary.is_erased(step.sector * sector, 16)\n"
                    "    )"
                )
            },
        ),
    ),
    _delta(
        "complete-before-the-first-step",
        "copy_done is written before the steps are taken",
        Edit(
            in_place._carry_out,
            {
                "    if _kind(journal) == FULL:": (
                    "    journal.write_copy_done()\n    if _kind(journal) == FULL:"
                ),
                "        journal.write_copy_done()\n": "        pass\n",
            },
        ),
    ),
    _delta(
        "torn-erase-taken-for-an-erase",
        "a sector that begins with erased bytes is not erased before it is written",
        ERASES_WHAT_BEGINS_USED,
    ),
    _delta(
        "magic-before-kind-and-size",
        "the request counts before it says what waits, and what waits is not checked",
        Edit(
            in_place.request_made,
            {
                "        journal.area.write_bytes(": (
                    "        journal.write_magic()\n        journal.area.write_bytes("
                ),
                "content_key)\n        journal.write_magic()\n": "content_key)\n",
            },
        ),
        Edit(InPlace.boot, {_CHECK: "pass"}),
    ),
    _delta(
        "journal-not-erased-before-a-request",
        "the journal is erased only where a whole request stands in it",
        Edit(
            InPlace.prepare,
            {"            _clear(_journal(device))": "            pass"},
        ),
        Edit(
            in_place.request_made,
            {"if not journal.is_clean():": "if journal.magic() is Magic.GOOD:"},
        ),
    ),
)
