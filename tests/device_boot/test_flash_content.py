"""What is said of a sector is true of its bytes, at every operation of an update."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from simlib.device.bootloader import boot_loader
from simlib.device.device import Device
from simlib.device.flash_content import (
    Kind,
    Known,
    SectorContent,
    content_of,
    missing_sectors,
    stretches,
    trailer_start,
)
from simlib.device.powercut import SweepOptions
from simlib.device.powercut.case import build_case
from simlib.device.powercut.event import BOOT
from simlib.device.stages import known_images

ERASED = b"\xff"
SWAPS = ("swap-move", "swap-scratch", "swap-offset")


@dataclass
class Seen:
    """The flash just before each operation of an update and its revert."""

    known: tuple[Known, ...]
    sector: int
    starts: dict[str, int]
    moments: list[tuple[bytes, tuple[SectorContent, ...]]]


def watched(options: SweepOptions) -> Seen:
    case = build_case(options)
    device, known = case.make(), known_images(case.release)
    starts = {each.name: trailer_start(device, each.name) for each in device.partitions}
    seen = Seen(known, options.sector_size_bytes, starts, [])

    def look(_offset: int, _data: bytes | None) -> None:
        seen.moments.append((device.flash.content(), content_of(device, known)))

    device.flash.on_operation = look
    case.update.run(device)
    BOOT.run(device)
    if boot_loader(device).in_trial(device):
        BOOT.run(device)
    look(0, None)
    return seen


def assert_true(each: SectorContent, cells: bytes, seen: Seen) -> None:
    """Said of one sector, checked without the code that said it."""
    chunks = [
        known.data[each.image_sector * seen.sector :][: seen.sector]
        for known in seen.known
        if (known.image, known.encrypted) == (each.image, each.encrypted)
    ]
    below = seen.starts[each.partition] - each.number * seen.sector
    match each.kind:
        case Kind.ERASED:
            assert set(cells) == {0xFF}
        case Kind.IMAGE:
            (chunk,) = chunks
            assert cells[: len(chunk)] == chunk
            rest = cells[len(chunk) :] if not each.trailer else cells[len(chunk) : max(below, 0)]
            assert not rest.strip(ERASED)
        case Kind.PART:
            (chunk,) = chunks
            assert all(
                cell in (0xFF, byte) for cell, byte in zip(cells[: max(below, 0)], chunk, strict=False)
            )
            assert cells[: len(chunk)] != chunk
        case Kind.TRAILER:
            assert not cells[: max(below, 0)].strip(ERASED) and cells.strip(ERASED)
        case _:
            pytest.fail(f"nothing is torn, or the same in both images: {each}")


CASES = [
    *(
        SweepOptions(name, 12 << 10)
        for name in (*SWAPS, "overwrite-only", "direct-xip-revert", "single-slot")
    ),
    SweepOptions("swap-move", 5 << 10, sector_size_bytes=1024),
    SweepOptions("swap-scratch", 5 << 10, sector_size_bytes=1024, encrypted=True),
    SweepOptions("swap-offset", 9 << 10, encrypted=True),
    SweepOptions("in-place-journal", 12 << 10, payload="delta"),
    SweepOptions("in-place-journal", 9 << 10, encrypted=True),
]


@pytest.mark.parametrize(
    "options", CASES, ids=lambda o: f"{o.layout}-{o.payload}-{o.encrypted}-{o.sector_size_bytes}"
)
def test_at_every_operation_each_sector_holds_what_is_said_of_it(options):
    seen = watched(options)
    assert len(seen.moments) > 15
    whole = {
        known.data[at : at + seen.sector]: (known.image, known.encrypted)
        for known in seen.known
        for at in range(0, len(known.data) - seen.sector + 1, seen.sector)
    }
    for content, sectors in seen.moments:
        assert [each.offset for each in sectors] == list(range(0, len(content), seen.sector))
        for each in sectors:
            cells = content[each.offset : each.offset + seen.sector]
            assert_true(each, cells, seen)
            if cells in whole:
                assert (each.kind, each.image, each.encrypted) == (Kind.IMAGE, *whole[cells])


@pytest.mark.parametrize("layout", SWAPS)
def test_no_sector_of_either_image_is_lost_at_any_operation_of_a_swap(layout):
    """Once the new image is there, until the revert is over: which is why no cut can lose it."""
    seen = watched(SweepOptions(layout, 12 << 10))
    old, new = seen.known
    arrived = [not missing_sectors(sectors, new, seen.sector) for _, sectors in seen.moments]
    first = arrived.index(True)
    assert 0 < first < len(arrived) / 2 and all(arrived[first:])
    assert not any(missing_sectors(sectors, old, seen.sector) for _, sectors in seen.moments)


def test_a_single_slot_loses_sectors_of_the_old_image_with_its_first_erase():
    seen = watched(SweepOptions("single-slot", 12 << 10))
    missing = [missing_sectors(sectors, seen.known[0], seen.sector) for _, sectors in seen.moments]
    assert missing[:2] == [set(), {0}] and missing[-1] == {0, 1, 2, 3}


@pytest.fixture
def device() -> Device:
    return build_case(SweepOptions("swap-move", 12 << 10)).make()


OLD = Known("old", bytes(range(1, 201)) * 50)
NEW = Known("new", bytes(range(200, 0, -1)) * 50)


def holds(device: Device, *cells: bytes, known: tuple[Known, ...] = (OLD, NEW)) -> list[SectorContent]:
    """What is said of the secondary slot's first sectors when these lie in them, and all else is erased."""
    flash, start = device.flash, device.area("secondary").partition.offset
    flash.damage(0, ERASED * flash.size_bytes)
    for number, part in enumerate(cells):
        flash.damage(start + number * 4096, part)
    return [each for each in content_of(device, known) if each.partition == "secondary"][: len(cells)]


def test_an_image_is_found_wherever_its_sectors_lie(device):
    found = holds(device, NEW.data[4096:8192], ERASED, OLD.data[:4096], OLD.data[8192:])
    assert [(each.kind, each.image, each.image_sector) for each in found] == [
        (Kind.IMAGE, "new", 1),
        (Kind.ERASED, "", -1),
        (Kind.IMAGE, "old", 0),
        (Kind.IMAGE, "old", 2),
    ]


def test_half_a_write_and_half_an_erase_are_parts_and_garbage_is_neither(device):
    half = 2048
    written = OLD.data[4096 : 4096 + half]
    kept = ERASED * half + NEW.data[half:4096]
    one_wrong = bytes([OLD.data[0] ^ 1]) + OLD.data[1:4096]
    found = holds(device, written, kept, one_wrong)
    assert [(each.kind, each.image, each.image_sector) for each in found] == [
        (Kind.PART, "old", 1),
        (Kind.PART, "new", 0),
        (Kind.OTHER, "", -1),
    ]


def test_the_end_of_an_image_with_something_else_behind_it_is_not_that_image(device):
    end = NEW.data[8192:]
    found = holds(device, end, end + OLD.data[:100])
    assert [each.kind for each in found] == [Kind.IMAGE, Kind.OTHER]


def test_what_both_images_have_is_not_given_to_one_of_them(device):
    both = Known("new", OLD.data[:4096] + NEW.data[4096:])
    first, second = holds(device, OLD.data[:4096], OLD.data[4096:8192], known=(OLD, both))
    assert (first.kind, first.image) == (Kind.ALIKE, "old, new")
    assert (second.kind, second.image) == (Kind.IMAGE, "old")
    assert not missing_sectors([first], Known("old", OLD.data[:4096]), 4096)


def test_a_trailer_is_told_from_the_image_that_shares_its_sector():
    device = build_case(SweepOptions("swap-scratch", 12 << 10)).make()
    primary = device.area("primary")
    short = Known("old", bytes(range(1, 252)) * 49)
    assert len(short.data) == primary.size - 4096 + 11
    device.flash.damage(0, short.data + ERASED * (primary.size - len(short.data)))
    device.flash.damage(primary.size - 16, b"\x00" * 16)
    last = [each for each in content_of(device, (short,)) if each.partition == "primary"][-1]
    assert (last.kind, last.trailer) == (Kind.IMAGE, True)
    device.flash.damage(primary.size - 4096, ERASED * 4080)
    last = [each for each in content_of(device, (short,)) if each.partition == "primary"][-1]
    assert (last.kind, last.trailer) == (Kind.TRAILER, True)


def test_a_stretch_ends_where_the_next_sector_does_not_go_on(device):
    found = holds(device, OLD.data[:4096], OLD.data[4096:8192], OLD.data[4096:8192], ERASED)
    assert [(first.number, last.number) for first, last in stretches(found)] == [(0, 1), (2, 2), (3, 3)]


def test_looking_changes_nothing_and_needs_no_power(device):
    state = device.state_id()
    device.flash.arm_cut(1, "none")
    with pytest.raises(Exception, match="power failed"):
        device.flash.erase(0)
    assert len(content_of(device, (OLD,))) == device.flash.sectors
    assert device.state_id() == state
