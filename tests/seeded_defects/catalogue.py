"""All seeded defects.

Some mistakes do no harm, for something else guards against the same cut: `TOLERATED` has them, and says what
does. Where both guards are taken away they are among the others.
"""

from __future__ import annotations

from simlib.device import updater
from simlib.device.bootloader import in_place, swap
from simlib.device.bootloader.in_place import InPlace
from simlib.device.bootloader.overwrite import Overwriting
from simlib.device.bootloader.swapping import Swapping
from simlib.device.trailer import Trailer
from tests.seeded_defects import (
    in_place_defects,
    other_layout_defects,
    swap_move_defects,
    swap_offset_defects,
    swap_scratch_defects,
)
from tests.seeded_defects.seeding import Defect, Edit, defect

SEEN: dict[str, tuple[Defect, ...]] = {
    "swap-scratch": swap_scratch_defects.DEFECTS,
    "swap-move": swap_move_defects.DEFECTS,
    "swap-offset": swap_offset_defects.DEFECTS,
    "overwrite-only": other_layout_defects.OVERWRITE_DEFECTS,
    "direct-xip-revert": other_layout_defects.SELECTING_DEFECTS,
    "in-place-journal": in_place_defects.DEFECTS,
    "updater": other_layout_defects.UPDATER_DEFECTS,
}
"""By the code that is broken."""

UNCONFIRMED_STAYS: tuple[Defect, ...] = (
    *swap_scratch_defects.UNCONFIRMED_STAYS,
    *swap_move_defects.UNCONFIRMED_STAYS,
    *swap_offset_defects.UNCONFIRMED_STAYS,
)
"""Of these devices each can be updated on, but some run an image that was tried, failed, and stayed."""

TORN_MAGIC: tuple[Defect, ...] = (swap_move_defects.DEFECTS[0], swap_offset_defects.DEFECTS[0])
"""The class of MCUboot issue 1966."""

_MAGIC_BEFORE_THE_SIZE = Edit(
    swap.describe,
    {
        "    trailer.write_swap_size(size)\n": (
            "    trailer.write_magic()\n    trailer.write_swap_size(size)\n"
        ),
        "key)\n    trailer.write_magic()\n": "key)\n",
    },
)

TOLERATED: tuple[Defect, ...] = (
    defect(
        "magic-before-the-swap-size",
        "swap-move",
        "until the secondary's request is erased the start is done again, whatever the primary's says",
        _MAGIC_BEFORE_THE_SIZE,
    ),
    defect(
        "magic-before-the-swap-size",
        "swap-offset",
        "until the secondary's request is erased the start is done again, whatever the primary's says",
        _MAGIC_BEFORE_THE_SIZE,
    ),
    defect(
        "trailer-erased-from-the-magic-down",
        "swap-move",
        "what the primary's trailer vouches for is asked for by the secondary's while it is erased",
        Edit(
            Trailer.erase,
            {
                "        self.area.erase_range(start, self.map.slot_size - start)": (
                    "        sector, end = self.map.sector_size, self.map.slot_size\n"
                    "        for at in range(end - sector, start - 1, -sector):\n"
                    "            self.area.erase(at)"
                )
            },
        ),
    ),
    defect(
        "part-of-a-magic-accepted",
        "swap-move",
        "the magic is written last, so what a torn one vouches for is whole",
        Edit(
            Trailer.magic,
            {"if found == self.map.magic_value:": "if found[:4] == self.map.magic_value[:4]:"},
        ),
    ),
    defect(
        "trailer-not-erased-before-the-download",
        "swap-move",
        "the request erases the trailer, and a candidate that is not whole is refused at the boot",
        Edit(
            Swapping.prepare,
            {'            swap.trailer_of(device, "secondary").erase()': "            pass"},
        ),
    ),
    defect(
        "not-asked-whether-the-trailer-is-clean",
        "swap-move",
        "it was erased before the download",
        Edit(swap.ask, {"if not trailer.is_clean():": "if False:"}),
    ),
    defect(
        "request-before-the-download",
        "swap-move",
        "a candidate that is not whole is refused at the boot, and erased",
        other_layout_defects.REQUEST_FIRST,
    ),
    defect(
        "security-counter-before-image-ok",
        "swap-move",
        "the new image stays where the old one is refused, and was about to be confirmed",
        Edit(
            updater.confirm_update,
            {
                "    loader.confirm(device)\n": "",
                '    device.raise_security_counter(counter, "confirm")': (
                    '    device.raise_security_counter(counter, "confirm")\n    loader.confirm(device)'
                ),
            },
        ),
    ),
    defect(
        "header-forgotten-before-the-request",
        "overwrite-only",
        "a candidate without a header is refused at the boot, and erased",
        Edit(
            Overwriting._forget,
            {
                '            swap.trailer_of(device, "secondary").erase()\n': "",
                '            device.area("secondary").erase(0)': (
                    '            device.area("secondary").erase(0)\n'
                    '            swap.trailer_of(device, "secondary").erase()'
                ),
            },
        ),
    ),
    defect(
        "magic-before-kind-and-size",
        "in-place-journal",
        "a request that says nothing, or half of it, is checked before the first step, and taken back",
        Edit(
            in_place.request_made,
            {
                "        journal.area.write_bytes(": (
                    "        journal.write_magic()\n        journal.area.write_bytes("
                ),
                "content_key)\n        journal.write_magic()\n": "content_key)\n",
            },
        ),
        payload="delta",
    ),
    defect(
        "waiting-artefact-not-checked",
        "in-place-journal",
        "it was checked before it was asked for, and the request is written last",
        Edit(InPlace.boot, {"_check_waiting(device, journal)": "pass"}),
        payload="delta",
    ),
)
"""Mistakes that no power cut shows; `what` says why."""
