"""Defects of the boot loaders that copy or choose, and of the updater."""

from __future__ import annotations

from simlib.device import updater
from simlib.device.bootloader import overwrite, swap
from simlib.device.bootloader.overwrite import Overwriting
from simlib.device.bootloader.selecting import Selecting
from simlib.device.bootloader.swapping import Swapping
from tests.seeded_defects.seeding import Defect, Edit, defect
from tests.seeded_defects.swap_move_defects import ERASES_WHAT_BEGINS_USED, READS_A_FLAG_STRICTLY

ROOMY = {"slot_size_bytes": 2560}
"""Slots whose trailer has a sector of its own."""

CANDIDATE_NOT_CHECKED = Edit(
    Overwriting.boot, {"                self._check(device)": "                pass"}
)
REQUEST_FIRST = Edit(
    updater._store_image,
    {"    loader.prepare(device)": "    loader.prepare(device)\n    loader.request(device)"},
)

_OVERWRITE = "overwrite-only"
OVERWRITE_DEFECTS: tuple[Defect, ...] = (
    defect(
        "request-forgotten-before-the-copy",
        _OVERWRITE,
        "the secondary's trailer is erased before the image is copied",
        Edit(
            Overwriting.boot,
            {
                "                copy_over(": (
                    '                swap.trailer_of(device, "secondary").erase()\n                copy_over('
                )
            },
        ),
        **ROOMY,
    ),
    defect(
        "source-erased-as-it-is-copied",
        _OVERWRITE,
        "each sector of the secondary is erased once it is copied, and a copy cut short has nothing to redo",
        Edit(
            overwrite.copy_over,
            {
                "            swap.put(primary, at, cipher.turn(at, data, device.meter))": (
                    "            swap.put(primary, at, cipher.turn(at, data, device.meter))\n"
                    "            source.area.erase(at)"
                )
            },
        ),
    ),
    defect(
        "half-a-copy-taken-for-a-copy",
        _OVERWRITE,
        "a sector whose first half is as it shall be is not copied again",
        Edit(
            overwrite.copy_over,
            {
                "            swap.put(primary, at, cipher.turn(at, data, device.meter))": (
                    "            data = cipher.turn(at, data, device.meter)\n"
                    "            if primary.read(at, primary.sector // 2) != data[: primary.sector // 2]:\n"
                    "                swap.put(primary, at, data)"
                )
            },
        ),
    ),
    defect(
        "torn-erase-taken-for-an-erase",
        _OVERWRITE,
        "a sector that begins with erased bytes is not erased before it is written",
        ERASES_WHAT_BEGINS_USED,
    ),
    defect(
        "header-forgotten-before-the-request",
        _OVERWRITE,
        "after the copy the candidate's header is erased first, and a candidate is not checked",
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
        CANDIDATE_NOT_CHECKED,
    ),
)

_SELECT = "direct-xip-revert"
SELECTING_DEFECTS: tuple[Defect, ...] = (
    defect(
        "request-not-asked-for",
        _SELECT,
        "an image without a magic runs, and its confirmation finds no trial to confirm",
        Edit(Selecting._select, {"if state.magic is not Magic.GOOD:": "if False:"}),
    ),
    defect(
        "damaged-request-accepted",
        _SELECT,
        "a torn magic counts when the image is selected, and does not count when it is confirmed",
        Edit(Selecting._select, {"if state.magic is not Magic.GOOD:": "if state.magic is Magic.UNSET:"}),
    ),
    defect(
        "torn-flag-read-strictly",
        _SELECT,
        "a mark that is neither erased nor whole counts as not written, and is written over",
        READS_A_FLAG_STRICTLY,
    ),
)

UPDATER_DEFECTS: tuple[Defect, ...] = (
    defect(
        "security-counter-before-image-ok",
        _SELECT,
        "the confirmation raises the security counter first, which refuses the old image at the revert",
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
        "torn-erase-taken-for-an-erase",
        _SELECT,
        "a download does not erase a sector that begins with erased bytes",
        Edit(
            updater._write,
            {
                "            area.erase(place.offset + erased)": (
                    "            if not area.is_erased(place.offset + erased, 16):\n"
                    "                area.erase(place.offset + erased)"
                )
            },
        ),
        **ROOMY,
    ),
    defect(
        "trailer-not-erased-before-a-request-to-select",
        _SELECT,
        "not before the download, and before the request only where a whole one stands there, it is erased",
        Edit(
            Selecting.prepare,
            {"                swap.trailer_of(device, name).erase()": "                pass"},
        ),
        Edit(swap.ask, {"if not trailer.is_clean():": "if trailer.magic() is Magic.GOOD:"}),
        **ROOMY,
    ),
    defect(
        "trailer-not-erased-before-a-request-to-swap",
        "swap-move",
        "neither before the download nor before the request is it asked whether the trailer is erased",
        Edit(
            Swapping.prepare,
            {'            swap.trailer_of(device, "secondary").erase()': "            pass"},
        ),
        Edit(swap.ask, {"if not trailer.is_clean():": "if False:"}),
    ),
    defect(
        "trailer-not-erased-before-a-request-to-copy",
        _OVERWRITE,
        "neither before the download nor before the request is it asked whether the trailer is erased",
        Edit(
            Overwriting.prepare,
            {'            swap.trailer_of(device, "secondary").erase()': "            pass"},
        ),
        Edit(swap.ask, {"if not trailer.is_clean():": "if False:"}),
        **ROOMY,
    ),
    defect(
        "request-before-the-download",
        _OVERWRITE,
        "the image is asked for before it is there, and the boot loader does not check a candidate",
        REQUEST_FIRST,
        CANDIDATE_NOT_CHECKED,
    ),
)
