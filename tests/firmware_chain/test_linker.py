"""What the linker makes of a program small enough to follow by hand."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from simlib.firmware.synthetic.linker import HANDLERS, LINK_ADDRESS, link, program_size_bytes
from simlib.firmware.synthetic.program import Build, DataObject, Function, Op, Program, without
from simlib.firmware.synthetic.vocabulary import vocabulary
from simlib.firmware.thumb import NOP, decode_bl

WORDS = vocabulary(1, 2)
BUILD = Build("test 1.0.0", bytes(range(60)), b"\xaa" * 64)
CALLER, CALLEE, TABLE, TEXT = range(4)
CODE = 4 * (1 + HANDLERS)


def op(kind: Op, value: int) -> int:
    return kind << 32 | value


def function(symbol: int, *ops: int) -> Function:
    return Function(symbol, np.array(ops, dtype=np.int64), 0)


def program(*caller: int) -> Program:
    return Program(
        functions=(function(CALLER, *caller), function(CALLEE, op(Op.RAW, 0x4770))),
        tables=(DataObject(TABLE, bytes(8), ((4, CALLEE),)),),
        strings=(DataObject(TEXT, b"hello\0"),),
        vectors=(CALLEE,) * HANDLERS,
        symbols=4,
    )


def halfword(image: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", image, at)[0])


def word(image: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", image, at)[0])


def test_a_call_reaches_its_function_and_moves_with_what_is_inserted_before_it() -> None:
    for padding in range(4):
        before = [op(Op.RAW, 0x1234)] * padding
        image, laid_out = link(program(*before, op(Op.CALL, CALLEE)), BUILD, 1000, WORDS)
        site = CODE + 2 * padding
        assert laid_out.call_sites.tolist() == [site]
        target = site + 4 + decode_bl(halfword(image, site), halfword(image, site + 2))
        assert target == laid_out.function_starts[CALLEE]
        assert halfword(image, target) == 0x4770


@pytest.mark.parametrize("padding", [0, 1, 2, 5])
def test_a_short_function_loads_its_literals_with_the_narrow_ldr(padding: int) -> None:
    loads = [op(Op.ADDRESS, TEXT), op(Op.CONSTANT, 0x4000_1234), op(Op.ADDRESS, CALLEE)]
    image, laid_out = link(program(*[op(Op.RAW, 0)] * padding, *loads), BUILD, 1000, WORDS)
    loaded = []
    for number in range(3):
        at = CODE + 2 * (padding + number)
        assert halfword(image, at) & 0xF800 == 0x4800
        loaded.append(word(image, ((at + 4) & ~3) + 4 * (halfword(image, at) & 0xFF)))
    text = loaded[0] - LINK_ADDRESS
    assert image[text : text + 6] == b"hello\0"
    assert loaded[1:] == [0x4000_1234, LINK_ADDRESS + int(laid_out.function_starts[CALLEE]) + 1]


@pytest.mark.parametrize("padding", [510, 511, 1500])
def test_a_long_function_loads_its_literals_with_the_wide_ldr(padding: int) -> None:
    long = program(op(Op.CONSTANT, 0xDEAD_BEEF), *[op(Op.RAW, 0)] * padding)
    image, _ = link(long, BUILD, 4096, WORDS)
    assert halfword(image, CODE) == 0xF8DF
    assert word(image, CODE + 4 + (halfword(image, CODE + 2) & 0xFFF)) == 0xDEAD_BEEF


def test_idioms_are_written_out_and_an_odd_function_is_padded() -> None:
    narrowest = int(np.flatnonzero(WORDS.idiom_widths == 3)[0])
    image, laid_out = link(program(op(Op.IDIOM, narrowest)), BUILD, 1000, WORDS)
    start = int(WORDS.idiom_starts[narrowest])
    assert [halfword(image, CODE + 2 * i) for i in range(4)] == [
        *WORDS.idioms[0, start : start + 3].tolist(),
        NOP,
    ]
    assert laid_out.function_starts[CALLEE] == CODE + 8


def test_vectors_and_tables_hold_absolute_thumb_addresses() -> None:
    image, laid_out = link(program(op(Op.RAW, 0)), BUILD, 1000, WORDS)
    address = LINK_ADDRESS + int(laid_out.function_starts[CALLEE]) + 1
    assert word(image, 4) == address
    table = int(laid_out.function_starts[CALLEE]) + 4
    assert (word(image, table), word(image, table + 4)) == (0, address)


def test_the_fill_takes_what_is_left_and_the_build_id_comes_last() -> None:
    whole = program(op(Op.RAW, 0))
    natural = program_size_bytes(whole, WORDS)
    for spare in range(5):
        image, laid_out = link(whole, BUILD, natural + spare, WORDS)
        assert len(image) == natural + spare
        assert laid_out.fill[1] - laid_out.fill[0] == spare
        assert image.endswith(b"test 1.0.0".ljust(48, b"\0") + BUILD.identity)


def test_a_program_that_does_not_fit_is_refused() -> None:
    whole = program(op(Op.RAW, 0))
    with pytest.raises(ValueError, match="found 1 byte too many"):
        link(whole, BUILD, program_size_bytes(whole, WORDS) - 1, WORDS)


def test_users_of_a_dropped_function_use_its_neighbour() -> None:
    whole = program(op(Op.CALL, CALLEE), op(Op.ADDRESS, CALLEE), op(Op.CONSTANT, CALLEE))
    left = without(whole, {CALLEE})
    assert [each.symbol for each in left.functions] == [CALLER]
    assert left.functions[0].ops.tolist() == [
        op(Op.CALL, CALLER),
        op(Op.ADDRESS, CALLER),
        op(Op.CONSTANT, CALLEE),
    ]
    assert left.tables[0].references == ((4, CALLER),)
    assert set(left.vectors) == {CALLER}
