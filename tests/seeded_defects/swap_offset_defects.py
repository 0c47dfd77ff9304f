"""Defects of the swap by offset."""

from __future__ import annotations

from simlib.device.bootloader import decision, swap
from simlib.device.bootloader.swap_offset import _OffsetSteps
from tests.seeded_defects.seeding import Defect, Edit, defect
from tests.seeded_defects.swap_move_defects import (
    COMPLETE_BEFORE_THE_LAST_STEP,
    NO_REVERT_BEHIND_A_TORN_MAGIC,
    READS_A_FLAG_STRICTLY,
    SECONDARY_TRAILER_ERASED_LAST,
)

LAYOUT = "swap-offset"

DEFECTS: tuple[Defect, ...] = (
    defect(
        "a-torn-magic-hides-the-revert",
        LAYOUT,
        "a revert is asked for only while the secondary's magic is absent, not while it is damaged",
        NO_REVERT_BEHIND_A_TORN_MAGIC,
    ),
    defect(
        "unit-before-the-copy",
        LAYOUT,
        "a step is recorded before it is made",
        Edit(
            _OffsetSteps.run,
            {
                "\n        self._trailer.write_status_unit(step)": "",
                "        if step % 2 == 0:\n": (
                    "        self._trailer.write_status_unit(step)\n        if step % 2 == 0:\n"
                ),
            },
        ),
    ),
    defect(
        "resumed-one-step-early",
        LAYOUT,
        "the last unit written is not counted",
        Edit(
            _OffsetSteps.done, {"self._trailer.status_units(),": "max(0, self._trailer.status_units() - 1),"}
        ),
    ),
    defect(
        "resumed-revert-goes-the-other-way",
        LAYOUT,
        "a revert that was cut short goes on from the bottom up, as an update does",
        Edit(
            _OffsetSteps.__init__,
            {"is SwapType.REVERT": "is SwapType.REVERT and not self._trailer.status_units()"},
        ),
    ),
    defect(
        "secondary-trailer-erased-last",
        LAYOUT,
        "the secondary's request is erased after the last step and not before the first",
        SECONDARY_TRAILER_ERASED_LAST,
    ),
    defect(
        "complete-before-the-last-step",
        LAYOUT,
        "copy_done is written before the last sector is brought in",
        COMPLETE_BEFORE_THE_LAST_STEP,
    ),
    defect(
        "torn-flag-read-strictly",
        LAYOUT,
        "a flag that is neither erased nor whole counts as not written, and is written over",
        READS_A_FLAG_STRICTLY,
    ),
)

UNCONFIRMED_STAYS: tuple[Defect, ...] = (
    defect(
        "one-unit-for-two-steps",
        LAYOUT,
        "a sector that was put out is recorded only together with the one brought in after it",
        Edit(
            _OffsetSteps.run,
            {
                "        self._trailer.write_status_unit(step)": (
                    "        if step % 2:\n            self._trailer.write_status_unit(step)"
                )
            },
        ),
    ),
    defect(
        "revert-looks-like-an-update",
        LAYOUT,
        "the request that stands for a revert is image_ok, as where both go the same way",
        Edit(swap.write_down, {"secondary.write_copy_done()  #": "secondary.write_image_ok()  #"}),
    ),
    defect(
        "request-for-a-revert-not-known",
        LAYOUT,
        "the table has no row for a request that stands for a revert",
        Edit(
            decision.decide_by_offset,
            {
                "if secondary.magic is Magic.GOOD and": "if False and",
            },
        ),
    ),
    defect(
        "magic-of-a-revert-before-its-copy-done",
        LAYOUT,
        "the request that stands for a revert counts before it says so",
        Edit(
            swap.write_down,
            {
                "                secondary.write_copy_done()  #": (
                    "                secondary.write_magic()\n                secondary.write_copy_done()  #"
                ),
                "            secondary.write_magic()\n        primary": "        primary",
            },
        ),
    ),
    defect(
        "header-of-the-old-image-sought-where-it-was",
        LAYOUT,
        "a resumed update looks for the header of the image that leaves in the primary slot, for its cipher",
        Edit(_OffsetSteps._find_ciphers, {"if done else self._primary)": "if False else self._primary)"}),
        encrypted=True,
    ),
)
