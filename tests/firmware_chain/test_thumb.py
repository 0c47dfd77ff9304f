"""Thumb encodings: the BL codec against the architecture's examples and itself, and register renaming."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.firmware.thumb import decode_bl, encode_bl, encode_bls, is_bl, rename_registers

OFFSETS = st.integers(-(1 << 23), (1 << 23) - 1).map(lambda half: 2 * half)


@pytest.mark.parametrize(
    ("offset", "first", "second"),
    [
        (0, 0xF000, 0xF800),
        (-4, 0xF7FF, 0xFFFE),  # what an assembler leaves for a call to be relocated
        ((1 << 24) - 2, 0xF3FF, 0xD7FF),
        (-(1 << 24), 0xF400, 0xD000),
        (1 << 23, 0xF000, 0xD800),  # I1 set: J1 is its complement
        (1 << 22, 0xF000, 0xF000),  # I2 set: J2 is its complement
    ],
)
def test_bl_is_encoded_as_the_architecture_says(offset: int, first: int, second: int) -> None:
    assert encode_bl(offset) == (first, second)


@given(OFFSETS)
def test_a_bl_decodes_to_the_offset_it_was_encoded_with(offset: int) -> None:
    first, second = encode_bl(offset)
    assert is_bl(first, second)
    assert decode_bl(first, second) == offset


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_any_bl_encodes_back_to_itself(first: int, second: int) -> None:
    first, second = 0xF000 | first & 0x7FF, 0xD000 | second & 0x2FFF
    assert encode_bl(decode_bl(first, second)) == (first, second)


@given(st.lists(OFFSETS, min_size=1))
def test_an_array_of_offsets_is_encoded_as_one_by_one(offsets: list[int]) -> None:
    first, second = encode_bls(np.array(offsets, dtype=np.int64))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [encode_bl(each) for each in offsets]


@pytest.mark.parametrize("offset", [1, -3, 1 << 24, -(1 << 24) - 2])
def test_an_offset_that_bl_cannot_reach_is_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="BL offset"):
        encode_bl(offset)


@pytest.mark.parametrize(("first", "second"), [(0x4770, 0xF800), (0xF000, 0x8000), (0xF000, 0xE800)])
def test_other_instructions_do_not_decode_as_bl(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="expected a BL"):
        decode_bl(first, second)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (0x2005, 0x2205),  # MOVS r0, #5
        (0x1888, 0x180A),  # ADDS r0, r1, r2
        (0x6810, 0x6802),  # LDR r0, [r2]
        (0x5888, 0x580A),  # LDR r0, [r1, r2]
        (0x9001, 0x9201),  # STR r0, [sp, #4]
        (0x4010, 0x4002),  # ANDS r0, r2
        (0x1C50, 0x1C42),  # ADDS r0, r2, #1: the immediate stays
        (0xB505, 0xB505),  # PUSH {r0, r2, lr}: a list stays
        (0xD002, 0xD002),  # BEQ
        (0xF000, 0xF000),  # the first half of a BL
    ],
)
def test_renaming_exchanges_registers_and_nothing_else(before: int, after: int) -> None:
    renamed = rename_registers(np.array([before], dtype=np.uint16), (2, 1, 0, 3, 4, 5, 6, 7))
    assert renamed.tolist() == [after]


@given(st.permutations(range(8)))
def test_renaming_back_restores_every_instruction(names: list[int]) -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    back = [names.index(register) for register in range(8)]
    assert np.array_equal(rename_registers(rename_registers(every, names), back), every)
