"""Defects of the swap through a gap, and of what it shares with the swap by offset."""

from __future__ import annotations

from simlib.device.bootloader import decision, swap
from simlib.device.bootloader.swap_move import SwapMove, _MoveSteps
from simlib.device.bootloader.swapping import Swapping
from simlib.device.trailer import Trailer
from tests.seeded_defects.seeding import Defect, Edit, defect

LAYOUT = "swap-move"

NO_REVERT_BEHIND_A_TORN_MAGIC = Edit(
    decision.decide,
    {"    if in_trial(primary):": "    if in_trial(primary) and secondary.magic is Magic.UNSET:"},
)
"""MCUboot issue 1966: before pull request 2100 its table asked for an absent magic in the secondary slot."""

READS_A_FLAG_STRICTLY = Edit(
    Trailer._written,
    {
        "return not self.area.is_erased(offset, self.map.align)": (
            "return self.area.read(offset, 1)[0] == FLAG_SET"
        )
    },
)
ERASES_WHAT_BEGINS_USED = Edit(
    swap.put,
    {"    area.erase(offset)": "    if not area.is_erased(offset, 16):\n        area.erase(offset)"},
)
SECONDARY_TRAILER_ERASED_LAST = Edit(
    swap.carry_on,
    {
        "    if done == 0:": "    if False:",
        '        trailer_of(device, "primary").write_copy_done()': (
            '        trailer_of(device, "primary").write_copy_done()\n'
            '        trailer_of(device, "secondary").erase()'
        ),
    },
)
COMPLETE_BEFORE_THE_LAST_STEP = Edit(
    swap.carry_on,
    {
        '        trailer_of(device, "primary").write_copy_done()': "        pass",
        "                steps.run(step)": (
            "                if step == steps.total - 1:\n"
            '                    trailer_of(device, "primary").write_copy_done()\n'
            "                steps.run(step)"
        ),
    },
)

_UNIT_OF_A_MOVE = "            self._trailer.write_status_unit(step)\n"
_UNIT_OF_A_SWAP = "        self._trailer.write_status_unit(self._trailer.map.status_sectors + step - n)"

DEFECTS: tuple[Defect, ...] = (
    defect(
        "a-torn-magic-hides-the-revert",
        LAYOUT,
        "a revert is asked for only while the secondary's magic is absent, not while it is damaged",
        NO_REVERT_BEHIND_A_TORN_MAGIC,
    ),
    defect(
        "units-of-two-phases-overlap",
        LAYOUT,
        "the units of the swaps follow those of the moves at once, where they read as more moves",
        Edit(_MoveSteps.run, {"self._trailer.map.status_sectors + step - n": "step"}),
    ),
    defect(
        "unit-missing-after-bringing-in",
        LAYOUT,
        "a sector that was brought in is recorded only together with the one put out after it",
        Edit(_MoveSteps.run, {_UNIT_OF_A_SWAP: "        if (step - n) % 2:\n    " + _UNIT_OF_A_SWAP}),
    ),
    defect(
        "swaps-resumed-one-step-early",
        LAYOUT,
        "of the units of the swaps the last one is not counted",
        Edit(_MoveSteps.done, {"highest - of_the_moves, self": "highest - of_the_moves - 1, self"}),
    ),
    defect(
        "swaps-resumed-one-step-late",
        LAYOUT,
        "the step in which power failed is taken to be complete",
        Edit(_MoveSteps.done, {"highest - of_the_moves, self": "highest - of_the_moves + 1, self"}),
    ),
    defect(
        "moves-resumed-one-step-early",
        LAYOUT,
        "of the units of the moves the last one is not counted",
        Edit(
            _MoveSteps.done,
            {"return min(highest, ": "return max(0, min(highest, ", "._sectors)\n": "._sectors) - 1)\n"},
        ),
    ),
    defect(
        "secondary-trailer-erased-last",
        LAYOUT,
        "the secondary's request is erased after the last step and not before the first",
        SECONDARY_TRAILER_ERASED_LAST,
    ),
    defect(
        "torn-trailer-not-erased",
        LAYOUT,
        "the primary's trailer is erased only where an earlier swap was completed",
        Edit(
            swap.write_down,
            {"        primary.erase()": "        if primary.state().copy_done:\n            primary.erase()"},
        ),
    ),
    defect(
        "candidate-checked-in-mid-swap",
        LAYOUT,
        "a swap that was cut short checks its candidate again, which is half gone",
        Edit(SwapMove.untouched, {"return ": "return True or "}),
    ),
    defect(
        "torn-flag-read-strictly",
        LAYOUT,
        "a flag that is neither erased nor whole counts as not written, and is written over",
        READS_A_FLAG_STRICTLY,
    ),
    defect(
        "header-of-the-new-image-sought-where-it-was",
        LAYOUT,
        "a resumed swap looks for the header of the image that comes in the secondary slot, for its cipher",
        Edit(_MoveSteps._find_ciphers, {"if swaps == 0 else self._primary": "if True else self._primary"}),
        encrypted=True,
    ),
    defect(
        "torn-erase-taken-for-an-erase",
        LAYOUT,
        "a sector that begins with erased bytes is not erased before it is written",
        ERASES_WHAT_BEGINS_USED,
    ),
)

UNCONFIRMED_STAYS: tuple[Defect, ...] = (
    defect(
        "unit-before-a-move",
        LAYOUT,
        "a move is recorded before it is made",
        Edit(
            _MoveSteps.run,
            {
                _UNIT_OF_A_MOVE: "",
                "            swap.put(primary, at + sector,": (
                    _UNIT_OF_A_MOVE + "            swap.put(primary, at + sector,"
                ),
            },
        ),
    ),
    defect(
        "units-of-the-moves-missing",
        LAYOUT,
        "moves are not recorded",
        Edit(_MoveSteps.run, {_UNIT_OF_A_MOVE: ""}),
    ),
    defect(
        "complete-before-the-last-step",
        LAYOUT,
        "copy_done is written before the last sector is put out",
        COMPLETE_BEFORE_THE_LAST_STEP,
    ),
    defect(
        "revert-not-asked-for-in-the-secondary",
        LAYOUT,
        "the start of a revert erases the trailer that asks for it, and no other does",
        Edit(
            swap.write_down,
            {
                "kind is SwapType.REVERT and secondary.magic() is not Magic.GOOD": "False",
            },
        ),
    ),
    defect(
        "revert-looks-like-a-trial",
        LAYOUT,
        "the request that stands for a revert lacks image_ok: done again, it brings the old image on trial",
        Edit(swap.write_down, {"                secondary.write_image_ok()": "                pass"}),
    ),
    defect(
        "magic-of-a-revert-before-its-image-ok",
        LAYOUT,
        "the request that stands for a revert counts before it says that it is permanent",
        Edit(
            swap.write_down,
            {
                "                secondary.write_image_ok()\n            secondary.write_magic()": (
                    "                secondary.write_magic()\n                secondary.write_image_ok()"
                )
            },
        ),
    ),
    defect(
        "header-of-the-old-image-sought-where-it-goes",
        LAYOUT,
        "a swap resumed in its second step looks for the old image's header where that step puts it",
        Edit(_MoveSteps._find_ciphers, {"if swaps <= 1 else": "if swaps == 0 else"}),
        encrypted=True,
    ),
    defect(
        "counter-raised-for-a-trial",
        LAYOUT,
        "the security counter follows an image whose swap was resumed, though it is on trial",
        Edit(
            Swapping.run,
            {"done is Swap.NONE and": "done in (Swap.NONE, Swap.RESUMED) and", " and not trial": ""},
        ),
    ),
)
