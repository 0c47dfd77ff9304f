"""Filling a slot: the trailer is where MCUboot looks for it, and nothing else may follow an image."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.device.config import DeviceConfig
from simlib.device.trailer import TrailerMap
from simlib.errors import InputError, Reason, Refused
from simlib.firmware.header import Flag, Header
from simlib.firmware.image import check_fits_slot, describe_image, pad_to_slot, parse_image
from simlib.firmware.tlv import Tlv, TlvType, build_area
from simlib.firmware.trailer import MAX_SECTORS, Trailer, trailer_size
from simlib.firmware.version import Version

HEADER = Header(32, 0, 10, Flag(0), Version(1, 0, 0))
IMAGE = HEADER.pack() + b"0123456789" + build_area([Tlv(TlvType.SHA256, bytes(32))], protected=False)
ERASED = st.sampled_from([0x00, 0xFF])


@given(st.sampled_from([1, 2, 4, 8, 16, 32]), st.booleans(), ERASED, st.integers(0, 500))
def test_a_padded_image_is_its_slot_and_its_trailer_reads_back(
    write_size: int, confirm: bool, erased_value: int, more: int
) -> None:
    slot_size = len(IMAGE) + trailer_size(write_size, encrypted=False) + more
    data = pad_to_slot(IMAGE, slot_size, write_size=write_size, confirm=confirm, erased_value=erased_value)
    assert len(data) == slot_size
    parsed = parse_image(data, erased_value=erased_value)
    assert parsed.size == len(IMAGE)
    assert parsed.trailer == Trailer(max(8, write_size), image_ok=confirm, copy_done=False)
    with pytest.raises(InputError, match="slot size"):
        pad_to_slot(IMAGE, slot_size - more - 1, write_size=write_size, confirm=confirm)
    with pytest.raises(InputError, match="slot size"):
        check_fits_slot(IMAGE, slot_size - more - 1, write_size=write_size)
    check_fits_slot(IMAGE, slot_size - more, write_size=write_size)


def test_trailer_sizes_are_those_of_mcubootss_layout() -> None:
    # 128 sectors, three states each; four fields; the magic, aligned
    assert [trailer_size(size, encrypted=False) for size in (4, 8, 16, 32)] == [1584, 3120, 6224, 12448]
    assert trailer_size(4, encrypted=True) == 1584 + 2 * 32


@given(
    st.sampled_from([4, 8, 16, 32]),
    st.sampled_from([512, 4096]),
    st.integers(32, 600),
    st.booleans(),
)
def test_the_trailer_of_a_file_is_as_large_as_the_boot_loaders(
    write_size: int, sector_size: int, sectors: int, encrypted: bool
) -> None:
    config = DeviceConfig("swap-move", sectors * sector_size, 0, sector_size, write_size)
    size = trailer_size(write_size, encrypted=encrypted, max_sectors=max(MAX_SECTORS, sectors))
    assert size == TrailerMap.of(config, encrypted=encrypted).size


@given(st.sampled_from([1, 4, 32]), st.integers(129, 2000))
def test_a_slot_of_more_sectors_has_room_for_less(write_size: int, max_sectors: int) -> None:
    slot_size = len(IMAGE) + trailer_size(write_size, encrypted=False)
    check_fits_slot(IMAGE, slot_size, write_size=write_size)
    more = 3 * write_size * (max_sectors - MAX_SECTORS)
    for size in (slot_size, slot_size + more - 1):
        with pytest.raises(InputError, match=f"expected at least {slot_size + more} for image and trailer"):
            check_fits_slot(IMAGE, size, write_size=write_size, max_sectors=max_sectors)
        with pytest.raises(InputError, match="slot size"):
            pad_to_slot(IMAGE, size, write_size=write_size, confirm=True, max_sectors=max_sectors)
    check_fits_slot(IMAGE, slot_size + more, write_size=write_size, max_sectors=max_sectors)


@pytest.mark.parametrize("write_size", [0, 3, 64])
def test_a_write_size_no_flash_has_is_bad_input(write_size: int) -> None:
    with pytest.raises(InputError, match="write size"):
        pad_to_slot(IMAGE, 8192, write_size=write_size, confirm=False)


@pytest.mark.parametrize("erased_value", [-1, 256])
def test_an_erased_value_that_is_no_byte_is_bad_input(erased_value: int) -> None:
    with pytest.raises(InputError, match="erased value"):
        pad_to_slot(IMAGE, 8192, write_size=4, confirm=False, erased_value=erased_value)


@pytest.mark.parametrize("confirm", [False, True])
def test_every_flipped_bit_behind_the_image_is_refused(confirm: bool) -> None:
    good = pad_to_slot(IMAGE, 600, write_size=1, confirm=confirm)
    for bit in range(8 * len(IMAGE), 8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused, match=f"0x{bit // 8:x}|behind the image") as refusal:
            parse_image(bytes(data), erased_value=0xFF)
        assert refusal.value.reason is Reason.TRAILING_BYTES


@given(st.integers(1, 400), ERASED, st.data())
def test_erased_padding_may_follow_and_anything_else_in_it_may_not(
    size: int, erased_value: int, data: st.DataObject
) -> None:
    padding = bytearray([erased_value]) * size
    assert parse_image(IMAGE + padding, erased_value=erased_value).trailer is None
    padding[data.draw(st.integers(0, size - 1))] = data.draw(
        st.integers(0, 255).filter(lambda v: v != erased_value)
    )
    with pytest.raises(Refused) as refusal:
        parse_image(IMAGE + padding, erased_value=erased_value)
    assert refusal.value.reason is Reason.TRAILING_BYTES


def test_without_an_erased_value_nothing_may_follow() -> None:
    with pytest.raises(Refused, match="expected the end of the file") as refusal:
        parse_image(IMAGE + b"\xff" * 4)
    assert refusal.value.reason is Reason.TRAILING_BYTES


def test_the_description_shows_the_trailer() -> None:
    told = describe_image(pad_to_slot(IMAGE, 4096, write_size=4, confirm=True))
    assert told["following"] == "trailer"
    assert told["trailer"] == {"image_ok": True, "copy_done": False}
