"""The trailer's places and sizes, against MCUboot's figures and imgtool's padding."""

from __future__ import annotations

from itertools import pairwise

import pytest

from simlib.device import DeviceConfig, layouts
from simlib.device.bootloader import request_trial
from simlib.device.bootloader.swap import trailer_of
from simlib.device.trailer import Magic, SwapType, TrailerMap
from simlib.firmware.image import pad_to_slot


def config(write_size: int, sectors: int = 16, sector: int = 4096) -> DeviceConfig:
    return DeviceConfig(
        "swap-move", sectors * sector, 0, sector_size_bytes=sector, write_size_bytes=write_size
    )


@pytest.mark.parametrize(("write_size", "size"), [(4, 1584), (8, 3120), (16, 6224), (32, 12448)])
def test_the_trailer_has_mcuboots_size(write_size: int, size: int) -> None:
    assert TrailerMap.of(config(write_size), encrypted=False).size == size
    assert TrailerMap.of(config(write_size), encrypted=True).size == size + 64


def test_more_than_128_sectors_lengthen_the_status() -> None:
    few, many = (TrailerMap.of(config(4, n), encrypted=False) for n in (128, 200))
    assert many.size - few.size == 72 * 3 * 4


@pytest.mark.parametrize("write_size", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("encrypted", [False, True])
def test_fields_are_aligned_and_do_not_overlap(write_size: int, encrypted: bool) -> None:
    fields = TrailerMap.of(config(write_size), encrypted=encrypted)
    keys = [(fields.key(1), 32), (fields.key(0), 32)] if encrypted else []
    spans = [
        (fields.status, fields.status_size),
        *keys,
        (fields.swap_size, 4),
        (fields.swap_info, 1),
        (fields.copy_done, 1),
        (fields.image_ok, 1),
        (fields.magic_field, fields.slot_size - fields.magic_field),
    ]
    assert all(start + size <= after for (start, size), (after, _) in pairwise(spans))
    assert all(start % fields.align == 0 for start, _ in spans[1:])
    assert spans[0][0] % write_size == 0
    assert spans[-1][0] + spans[-1][1] == fields.slot_size


@pytest.mark.parametrize("write_size", [1, 4, 8, 16, 32])
@pytest.mark.parametrize("permanent", [False, True])
def test_a_request_writes_the_bytes_of_a_padded_image(
    bench: object, put: object, write_size: int, permanent: bool
) -> None:
    bench = bench.with_config(write_size_bytes=write_size)
    image = bench.image("1.2.0", 3000)
    device = bench.device(bench.image("1.1.0", 3000))
    put(device, image)
    if permanent:
        trailer_of(device, "secondary").write_image_ok()
        trailer_of(device, "secondary").write_magic()
    else:
        request_trial(device)
    slot = device.area("secondary")
    padded = pad_to_slot(image, slot.size, write_size=write_size, confirm=permanent)
    assert slot.read(0, slot.size) == padded


@pytest.mark.parametrize(
    ("write_size", "sectors", "limit_sectors"), [(4, 16, 14), (8, 16, 14), (16, 16, 13), (32, 16, 11)]
)
def test_the_largest_image_leaves_the_gap_and_the_trailers_sectors(
    write_size: int, sectors: int, limit_sectors: int
) -> None:
    assert layouts.max_image_bytes(config(write_size, sectors)) == limit_sectors * 4096
    single = DeviceConfig("single-slot", sectors * 4096, 0, write_size_bytes=write_size)
    assert layouts.max_image_bytes(single) == sectors * 4096


def test_a_slot_smaller_than_its_trailer_carries_no_image() -> None:
    assert layouts.max_image_bytes(config(32, 4)) == 0


@pytest.mark.parametrize("erased", [0x00, 0xFF])
def test_what_is_written_is_read_back(bench: object, erased: int) -> None:
    bench = bench.with_config(erased_value=erased)
    trailer = trailer_of(bench.device(bench.image("1.1.0", 3000)), "secondary")
    assert trailer.is_clean()
    assert trailer.state().magic is Magic.UNSET
    assert trailer.swap_type() is SwapType.NONE
    for unit in range(5):
        assert trailer.status_units() == unit
        trailer.write_status_unit(unit)
    trailer.write_swap_size(123_456)
    trailer.write_swap_type(SwapType.REVERT)
    trailer.write_image_ok()
    assert not trailer.state().copy_done
    trailer.write_copy_done()
    trailer.write_magic()
    state = trailer.state()
    assert (state.magic, state.image_ok, state.copy_done) == (Magic.GOOD, True, True)
    assert (trailer.swap_size(), trailer.swap_type()) == (123_456, SwapType.REVERT)
    assert not trailer.is_clean()
    trailer.erase()
    assert trailer.is_clean()


def test_half_a_magic_is_a_bad_one(bench: object) -> None:
    trailer = trailer_of(bench.device(bench.image("1.1.0", 3000)), "secondary")
    trailer.area.write(trailer.map.magic, trailer.map.magic_value[:8])
    assert trailer.state().magic is Magic.BAD
