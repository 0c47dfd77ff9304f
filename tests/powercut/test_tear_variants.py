"""What a torn operation may leave: all of the ways that a sweep tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.device.tears import EVERY_PREFIX_BYTES, TEARS, erase_variants, torn, write_variants

OLD, NEW = bytes(range(100, 132)), bytes(range(32))


def bits_apart(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


@given(
    before=st.binary(min_size=1, max_size=1024),
    seed=st.integers(0, 2**40),
    offset=st.integers(0, 2**24),
    tear=st.sampled_from(TEARS),
)
def test_each_way_has_the_length_of_the_operation_and_none_comes_twice(
    before: bytes, seed: int, offset: int, tear: str
) -> None:
    data = bytes(reversed(before))
    erased = b"\xff" * len(before)
    written = write_variants(tear, before, data, unit=1, seed=seed, offset=offset)
    wiped = erase_variants(tear, before, erased, seed=seed, offset=offset)
    for ways in (written, wiped):
        assert ways
        assert len(set(ways)) == len(ways)
        assert {len(way) for way in ways} == {len(before)}
    assert written == write_variants(tear, before, data, unit=1, seed=seed, offset=offset)
    assert wiped == erase_variants(tear, before, erased, seed=seed, offset=offset)


def test_an_operation_that_did_not_happen_leaves_what_was_there() -> None:
    assert write_variants("none", OLD, NEW, unit=4, seed=1, offset=0) == (OLD,)
    assert erase_variants("none", OLD, b"\xff" * 32, seed=1, offset=0) == (OLD,)


def test_a_short_write_is_torn_after_each_of_its_bytes() -> None:
    ways = write_variants("partial", OLD, NEW, unit=4, seed=1, offset=0)
    assert ways == tuple(NEW[:n] + OLD[n:] for n in range(1, 32))


def test_a_long_write_is_torn_after_whole_write_units() -> None:
    before, data = bytes(1024), b"\x01" * 1024
    assert len(data) > EVERY_PREFIX_BYTES
    ways = write_variants("partial", before, data, unit=16, seed=1, offset=0)
    assert [way.count(1) for way in ways] == [16, 512, 1008]
    assert all(way == way[: way.count(1)] + bytes(1024 - way.count(1)) for way in ways)


def test_a_write_of_one_byte_has_no_part() -> None:
    assert write_variants("partial", b"\xff", b"\x01", unit=1, seed=1, offset=0) == (b"\xff",)


def test_a_torn_erase_leaves_either_half_or_a_quarter() -> None:
    erased = b"\xff" * 32
    first, second, quarter, most = erase_variants("partial", NEW, erased, seed=1, offset=0)
    assert first == erased[:16] + NEW[16:]
    assert second == NEW[:16] + erased[16:]
    assert quarter == erased[:8] + NEW[8:]
    assert most == erased[:24] + NEW[24:]


def test_garbage_of_a_write_is_a_bit_off_noise_or_some_of_either() -> None:
    old_off, new_off, noise, either = write_variants("garbage", OLD, NEW, unit=4, seed=7, offset=64)
    assert bits_apart(old_off, OLD) == 1
    assert bits_apart(new_off, NEW) == 1
    assert noise == torn("garbage", NEW, unit=4, seed=7, offset=64)
    assert all(way in (old, new) for way, old, new in zip(either, OLD, NEW, strict=True))
    assert either not in (OLD, NEW)


@pytest.mark.parametrize("erased", [b"\xff" * 64, bytes(64)])
def test_garbage_of_an_erase_moves_bits_only_towards_the_erased_value(erased: bytes) -> None:
    before = bytes(range(64))
    noise, some, half = erase_variants("garbage", before, erased, seed=7, offset=4096)
    assert noise == torn("garbage", erased, unit=1, seed=7, offset=4096)
    for way in (some, half):
        for left, old, gone in zip(way, before, erased, strict=True):
            assert (left ^ old) & ~(old ^ gone) == 0
    assert bits_apart(before, some) < bits_apart(before, half) < bits_apart(before, erased)


def test_other_seeds_and_offsets_leave_other_garbage() -> None:
    ways = [
        write_variants("garbage", OLD, NEW, unit=4, seed=seed, offset=offset)[2]
        for seed in (1, 2)
        for offset in (0, 4)
    ]
    assert len(set(ways)) == 4
