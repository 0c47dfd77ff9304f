"""Worn cells, flipped bits and writes that fail: nothing crashes, and what runs is whole or nothing runs.

A worn cell is frozen at what it holds. With two slots it costs at most the update, but for places that both
images pass through: sectors of the primary above the lowest under swap-move, and the scratch area. A trailer
in the image's own sector, which only swap-scratch has, is written when part of the images has been swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from simlib.device import Device, FlashError, FlashErrorKind, layouts
from simlib.device.bootloader import Boot, Swap, boot
from simlib.device.bootloader.swap import trailer_of
from simlib.device.updater import confirm_update
from simlib.errors import Reason
from tests.device_boot.rigs import LAYOUTS, SELECTING, SWAPPING, TRYING, Rig, runs, wear_of

SECTOR = 1024
OVERWRITING = ("overwrite-only", "in-place-journal", "single-slot")
KINDS = ("full", "delta")
CASES = [(layout, kind) for layout in LAYOUTS for kind in KINDS if (layout, kind) != ("single-slot", "delta")]


def images(layout: str, **facts: object) -> tuple[Rig, bytes, bytes]:
    rig = Rig.of(layout, sectors=10, sector=SECTOR, **facts)
    return rig, rig.image("1.1.0", 2_500), rig.image("1.2.0", 2_600)


def held(rig: Rig, booted: Boot, old: bytes, new: bytes) -> str:
    """Which of the two runs, byte for byte."""
    for name, image in (("old", old), ("new", new)):
        if runs(booted, rig, image):
            return name
    assert booted.version is None, "something runs that is neither"
    return "nothing"


def trailer_cells(device: Device, slot: str) -> dict[str, int]:
    """Offsets in the slot of the fields and of some status units."""
    fields = trailer_of(device, slot).map
    found = {
        "magic": fields.magic,
        "image_ok": fields.image_ok,
        "copy_done": fields.copy_done,
        "swap_info": fields.swap_info,
    }
    if fields.states:
        units = (0, 1, 2, 3, 5, 8, 127, 128, 129, 130, 133, 255)
        inside = [unit for unit in units if unit * fields.write_size < fields.status_size]
        found |= {f"unit {unit}": fields.status + unit * fields.write_size for unit in inside}
        found["swap_size"] = fields.swap_size
    return found


def frozen(rig: Rig, old: bytes, offset: int) -> Iterator[Device]:
    """Devices whose cell at `offset` stays as it is; an erased one also at the other two extremes."""
    present = rig.device(old).flash.content()[offset]
    for value in (present,) if present != 0xFF else (0xFF, 0x00, 0xFE):
        device = rig.device(old)
        device.flash.stick(offset, 0xFF, value)
        yield device


def lives(rig: Rig, device: Device, old: bytes, new: bytes, kind: str) -> list[str]:
    """What runs before the update and at the three boots after it, without a confirmation."""
    seen = [held(rig, boot(device), old, new)]
    rig.take(device, new, kind)
    return seen + [held(rig, boot(device), old, new) for _ in range(3)]


@pytest.mark.parametrize(("layout", "kind"), [case for case in CASES if case[0] != "single-slot"])
def test_a_worn_cell_of_a_trailer_or_journal_costs_no_image(layout: str, kind: str) -> None:
    rig, old, new = images(layout)
    slots = [p.name for p in rig.device(old).partitions if p.name != "download"]
    if layout == "swap-scratch":
        slots.remove("scratch")  # image data pass through there
    for slot in slots:
        for field, at in trailer_cells(rig.device(old), slot).items():
            offset = rig.device(old).area(slot).partition.offset + at
            for device in frozen(rig, old, offset):
                if layout == "direct-xip-revert" and slot == "primary" and boot(device).trial:
                    continue  # the factory's trailer is no longer what the factory wrote
                seen = lives(rig, device, old, new, kind)
                assert "nothing" not in seen, f"{slot} {field}: {seen}"


@pytest.mark.parametrize(("layout", "kind"), [case for case in CASES if case[0] not in OVERWRITING])
def test_a_worn_cell_where_the_new_image_is_put_down_costs_only_the_update(layout: str, kind: str) -> None:
    rig, old, new = images(layout)
    area = rig.device(old).area("secondary").partition
    for at in (0, 20, 700, 1_500, 2_495, 2_550, SECTOR + 2_550, 9_000):
        for device in frozen(rig, old, area.offset + at):
            assert "nothing" not in lives(rig, device, old, new, kind), at


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0, 20, 700, 1_500, 2_550, 4_000])
def test_a_worn_cell_of_the_download_partition_costs_only_the_update(at: int, kind: str) -> None:
    for layout in LAYOUTS:
        rig, old, new = images(layout)
        if layout == "single-slot":
            continue
        for device in frozen(rig, old, rig.device(old).area("download").partition.offset + at):
            assert "nothing" not in lives(rig, device, old, new, kind), layout


def odd_sector(old: bytes, new: bytes, low: int, high: int) -> int:
    """The first offset from `low` where the old image has a 1 in bit 0 that the new one clears."""
    return next(at for at in range(low, high) if old[at] & 1 and not new[at] & 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", SWAPPING)
def test_a_trial_that_a_worn_cell_damages_on_its_way_in_is_reverted_at_once(layout: str, kind: str) -> None:
    """The lowest sector: what leaves it goes elsewhere, so the old image comes back whole."""
    rig, old, new = images(layout)
    at = odd_sector(old, new, 64, SECTOR)
    device = rig.device(old)
    device.flash.stick(at, 1, 1)
    assert rig.take(device, new, kind) is Reason.NONE
    booted = boot(device)
    assert (runs(booted, rig, old), booted.swap, booted.trial) == (True, Swap.REVERT, False)
    assert runs(boot(device), rig, old)
    assert runs(boot(device), rig, old)


@pytest.mark.parametrize("layout", ["swap-scratch", "swap-offset"])
def test_any_sector_of_the_primary_may_be_worn_where_images_go_straight_in_and_out(layout: str) -> None:
    rig, old, new = images(layout)
    for sector in range(3):
        low = max(64, sector * SECTOR)
        at = odd_sector(old, new, low, min(low + SECTOR, len(old)))
        device = rig.device(old)
        device.flash.stick(at, 1, 1)
        rig.take(device, new)
        assert [runs(boot(device), rig, old) for _ in range(2)] == [True, True]


def test_by_moving_a_worn_cell_in_a_higher_sector_may_cost_both_images() -> None:
    """As MCUboot's design has it: the old image moves up across the worn sector, and nobody reads it back."""
    rig, old, new = images("swap-move")
    at = next(n for n in range(SECTOR, 2_000) if old[n] & 1 and not new[n] & 1 and not old[n - SECTOR] & 1)
    device = rig.device(old)
    device.flash.stick(at, 1, 1)
    rig.take(device, new)
    assert boot(device).reason is Reason.NO_VALID_IMAGE


def test_a_worn_cell_of_the_scratch_area_may_cost_both_images() -> None:
    """Likewise: new and old image pass through it."""
    rig, old, new = images("swap-scratch")
    device = rig.device(old)
    device.flash.stick(device.area("scratch").partition.offset + 100, 0xFF, 0xFF)
    rig.take(device, new)
    assert boot(device).reason is Reason.NO_VALID_IMAGE


def test_a_worn_cell_of_a_trailer_in_the_images_own_sector_may_cost_both_images() -> None:
    """That the trailer does not hold is seen only when the sector has been swapped."""
    rig = Rig.of("swap-scratch", sectors=10, sector=SECTOR)
    limit = layouts.max_image_bytes(rig.config)
    fields = trailer_of(rig.device(rig.image("1.1.0", 900)), "primary").map
    for size, whole in ((limit // SECTOR * SECTOR, True), (limit, False)):
        old, new = rig.image("1.1.0", size), rig.image("1.2.0", size)
        device = rig.device(old)
        device.flash.stick(fields.magic, 0xFF, 0xFF)
        rig.take(device, new)
        assert held(rig, boot(device), old, new) == ("old" if whole else "nothing")


@pytest.mark.parametrize("layout", OVERWRITING)
def test_a_worn_cell_under_the_only_copy_leaves_nothing_to_boot(layout: str) -> None:
    rig, old, new = images(layout)
    at = odd_sector(old, new, 64, 2_000)
    device = rig.device(old)
    device.flash.stick(at, 1, 1)
    rig.take(device, new)
    assert boot(device).reason is Reason.NO_VALID_IMAGE


FLIPPED = {
    # What runs after a bit of the running image has flipped: before its confirmation, and after.
    "swap-move": ("old", "nothing"),
    "swap-scratch": ("old", "nothing"),
    "swap-offset": ("old", "nothing"),
    "overwrite-only": ("nothing", "nothing"),
    "direct-xip": ("old", "old"),
    "direct-xip-revert": ("old", "old"),
    "ram-load": ("old", "old"),
    "in-place-journal": ("nothing", "nothing"),
    "single-slot": ("nothing", "nothing"),
}


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("at", [3, 40, 1_300, 2_560])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_flipped_bit_of_the_running_image_is_found_at_the_next_boot(
    layout: str, at: int, confirmed: bool
) -> None:
    rig, old, new = images(layout)
    device = rig.device(old)
    rig.take(device, new)
    boot(device)
    if confirmed:
        confirm_update(device)
    offset = device.area(device.running_slot).partition.offset + at
    device.flash.damage(offset, bytes([device.flash.read(offset, 1)[0] ^ 8]))
    wanted = FLIPPED[layout][confirmed]
    assert [held(rig, boot(device), old, new) for _ in range(2)] == [wanted, wanted]


def status_spans(device: Device) -> list[range]:
    """Addresses of every status in the flash."""
    found = []
    for partition in device.partitions:
        if partition.name in ("primary", "secondary", "scratch"):
            fields = trailer_of(device, partition.name).map
            start = partition.offset + fields.status
            found.append(range(start, start + fields.status_size))
    if device.config.layout == "in-place-journal":
        found = found[1:]  # only the journal is a trailer
    return found


def failing(spans: list[range], every: int, seen: list[int]) -> Callable[[int, int], bool]:
    """Every so many writes to these addresses fail, counted in `seen`."""

    def fails(offset: int, ops: int) -> bool:
        if not any(offset in span for span in spans):
            return False
        seen.append(offset)
        return len(seen) % every == 0

    return fails


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", [*SWAPPING, "in-place-journal"])
def test_a_status_that_cannot_be_written_does_not_stop_a_swap(
    layout: str, kind: str, encrypted: bool, every: int
) -> None:
    """MCUboot's status_write_fails, at the rates 1.0 and 0.5; without a power cut nothing is missed."""
    rig, old, new = images(layout, encrypted=encrypted)
    device = rig.device(old)
    assert rig.take(device, new, kind) is Reason.NONE
    seen: list[int] = []
    device.flash.fail_writes(failing(status_spans(device), every, seen))
    assert runs(boot(device), rig, new)
    if layout in SWAPPING:
        back = boot(device)
        assert (runs(back, rig, old), back.swap) == (True, Swap.REVERT)
        assert runs(boot(device), rig, old)
    assert len(seen) >= 4


def phases(rig: Rig, old: bytes, new: bytes) -> dict[str, tuple[Device, Callable[[], object]]]:
    """A device before each part of an update, and that part."""
    found: dict[str, tuple[Device, Callable[[], object]]] = {}
    for upto, phase in enumerate(("install", "boot", "confirm")):
        device = rig.device(old)
        works = (
            lambda device=device: rig.take(device, new),
            lambda device=device: boot(device),
            lambda device=device: confirm_update(device),
        )
        for work in works[:upto]:
            work()
        found[phase] = (device, works[upto])
    return found


@pytest.mark.parametrize("phase", ["install", "boot", "confirm"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_write_that_fails_is_told_and_the_device_goes_on_from_its_next_reset(
    layout: str, phase: str
) -> None:
    """As from a power cut. No write may fail and the update still be reported as taken with another image."""
    rig, old, new = images(layout)
    device, work = phases(rig, old, new)[phase]
    state, slot, first = device.snapshot(), device.running_slot, device.flash.ops
    work()
    last = device.flash.ops
    for nth in range(first, last):
        device.restore(state)
        device.running_slot = slot
        hit: list[int] = []

        def fails(offset: int, ops: int, nth: int = nth, hit: list[int] = hit) -> bool:
            if ops != nth or hit:
                return False
            hit.append(offset)
            return True

        device.flash.fail_writes(fails)
        told = None
        try:
            told = work()
        except FlashError as error:
            assert error.kind is FlashErrorKind.WRITE_FAILED
            told = Reason.WRITE_REFUSED
        device.flash.fail_writes(None)
        if not hit:  # an erase
            continue
        after = held(rig, boot(device), old, new)
        if phase == "install":
            assert told is not Reason.NONE
            assert after == ("old" if layout != "single-slot" else "nothing")
        elif phase == "boot":
            assert after in (("old", "new") if layout in TRYING else ("new",))
        else:
            assert after == "old", "not confirmed, so not kept"


@pytest.mark.parametrize("layout", SELECTING)
def test_a_worn_cell_in_one_slot_leaves_the_other_slot_for_the_next_update(layout: str) -> None:
    rig, old, new = images(layout)
    device = rig.device(old)
    device.flash.stick(device.area("secondary").partition.offset + 1_000, 0xFF, 0x00)
    for _ in range(3):
        assert rig.take(device, new) is not Reason.NONE
        assert runs(boot(device), rig, old)
    assert sum(wear_of(device, "primary")) == 0
