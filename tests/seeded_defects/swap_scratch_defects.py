"""Defects of the swap through a scratch area."""

from __future__ import annotations

from simlib.device.bootloader import swap
from simlib.device.bootloader.swap_scratch import SwapScratch, _Work
from tests.seeded_defects.seeding import Defect, Edit, defect

LAYOUT = "swap-scratch"
APART = {"image_size_bytes": 3000, "sector_size_bytes": 1024}
"""Images that end below the first sector of the trailers."""

_UNIT = "                trailer.write_status_unit(step)"
_DONE = "        done = trailer.status_units()\n"
_KEPT_KEYS = "            trailer.write_content_key(slot, key)\n"

DEFECTS: tuple[Defect, ...] = (
    defect(
        "magic-before-the-content-keys",
        LAYOUT,
        "a swap counts as written down before the content keys are",
        Edit(
            swap.describe,
            {
                "    trailer.write_swap_size(size)\n": (
                    "    trailer.write_swap_size(size)\n    trailer.write_magic()\n"
                ),
                _KEPT_KEYS + "    trailer.write_magic()\n": _KEPT_KEYS,
            },
        ),
        encrypted=True,
    ),
    defect(
        "magic-before-the-swap-size",
        LAYOUT,
        "a swap counts as written down before its size is; torn over erased bytes of 0, that is a small one",
        Edit(
            swap.describe,
            {
                "    trailer.write_swap_size(size)\n": (
                    "    trailer.write_magic()\n    trailer.write_swap_size(size)\n"
                ),
                _KEPT_KEYS + "    trailer.write_magic()\n": _KEPT_KEYS,
            },
        ),
        erased_value=0,
    ),
    defect(
        "scratch-not-erased-after-a-torn-try",
        LAYOUT,
        "the scratch area is filled again without erasing what an earlier try has left in it",
        Edit(_Work._fill_scratch, {"is_erased(0, len(data))": "is_erased(0, 16)"}),
    ),
    defect(
        "scratch-erased-only-if-it-begins-used",
        LAYOUT,
        "a scratch area that begins with erased bytes is not erased before it is filled",
        Edit(
            _Work.run,
            {
                "                scratch.erase_all()": (
                    "                if not scratch.is_erased(0, 16):\n"
                    "                    scratch.erase_all()"
                )
            },
        ),
    ),
    defect(
        "unit-before-the-copy",
        LAYOUT,
        "a step is recorded before it is made",
        Edit(
            SwapScratch.finish,
            {
                "                work.run(step)\n" + _UNIT: _UNIT + "\n                work.run(step)",
            },
        ),
    ),
    defect(
        "unit-missing-after-filling-the-scratch",
        LAYOUT,
        "that the secondary's region is in the scratch area is not recorded before it is overwritten",
        Edit(SwapScratch.finish, {_UNIT: "                if step % 3:\n    " + _UNIT}),
    ),
    defect(
        "one-unit-for-three-steps",
        LAYOUT,
        "a region is recorded once, when all of its three steps are made",
        Edit(SwapScratch.finish, {_UNIT: "                if step % 3 == 2:\n    " + _UNIT}),
    ),
    defect(
        "units-of-the-highest-region-not-asked",
        LAYOUT,
        "the highest region, its status in the scratch area, is begun anew after each cut",
        Edit(_Work.swap_highest, {"range(source.status_units(), 2)": "range(2)"}),
    ),
    defect(
        "magic-before-the-units-of-the-highest-region",
        LAYOUT,
        "the primary's trailer counts again before it says that the highest region is swapped",
        Edit(
            _Work.swap_highest,
            {
                "        self._describe_again(trailer, units=trailer.status_units())": "",
                "        for unit in range(3):": (
                    "        self._describe_again(trailer)\n        for unit in range(3):"
                ),
            },
        ),
    ),
    defect(
        "complete-before-the-scratch-is-erased",
        LAYOUT,
        "copy_done is written while the scratch area still describes the swap",
        Edit(
            SwapScratch.finish,
            {
                '        with device.step("swap", "complete"):\n': (
                    '        with device.step("swap", "complete"):\n            trailer.write_copy_done()\n'
                ),
                'device.area("scratch").erase_all()\n            trailer.write_copy_done()': (
                    'device.area("scratch").erase_all()'
                ),
            },
        ),
        sector_size_bytes=4096,
    ),
    defect(
        "torn-trailer-not-erased",
        LAYOUT,
        "the primary's trailer is erased only where its magic is good",
        Edit(
            _Work.rewrite_primary_trailer,
            {
                "        trailer.erase()": (
                    "        if trailer.magic() is Magic.GOOD:\n            trailer.erase()"
                )
            },
        ),
        **APART,
    ),
    defect(
        "resumed-one-step-early",
        LAYOUT,
        "the last unit written is not counted",
        Edit(SwapScratch.finish, {_DONE: "        done = max(0, trailer.status_units() - 1)\n"}),
    ),
    defect(
        "resumed-one-step-late",
        LAYOUT,
        "the step in which power failed is taken to be complete",
        Edit(SwapScratch.finish, {_DONE: _DONE + "        done += 1 if done else 0\n"}),
        **APART,
    ),
)

UNCONFIRMED_STAYS: tuple[Defect, ...] = (
    defect(
        "magic-before-image-ok",
        LAYOUT,
        "a revert counts as written down before it says that the old image is to stay",
        Edit(
            swap.describe,
            {
                "    if confirmed:\n        trailer.write_image_ok()\n": "",
                "    trailer.write_magic()\n": (
                    "    trailer.write_magic()\n    if confirmed:\n        trailer.write_image_ok()\n"
                ),
            },
        ),
    ),
    defect(
        "unit-missing-after-putting-out",
        LAYOUT,
        "that the primary's region is in the secondary slot is not recorded before it is overwritten",
        Edit(SwapScratch.finish, {_UNIT: "                if step % 3 != 1:\n    " + _UNIT}),
    ),
    defect(
        "primary-trailer-erased-first",
        LAYOUT,
        "the trailer that asks for a revert is erased before the scratch area does",
        Edit(
            SwapScratch.start,
            {
                '            device.area("scratch").erase_all()': (
                    '            swap.trailer_of(device, "primary").erase()\n'
                    '            device.area("scratch").erase_all()'
                )
            },
        ),
        **APART,
    ),
    defect(
        "secondary-trailer-erased-last",
        LAYOUT,
        "the secondary's request is erased after the last step and not before the first",
        Edit(
            SwapScratch.finish,
            {
                "        if done == 0:": "        if False:",
                "            trailer.write_copy_done()": (
                    "            trailer.write_copy_done()\n"
                    '            swap.trailer_of(device, "secondary").erase()'
                ),
            },
        ),
        **APART,
    ),
)
