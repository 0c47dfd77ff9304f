"""Lays a program out and emits its bytes: vectors, code, tables, strings, fill, stamps, version, build id.

Each function starts on a word and ends with its literal pool. Calls become BL with the distance between
caller and callee, literals become absolute addresses, so both move when code before them grows. The image
has exactly the size asked for: a calibration curve in front of the build stamps takes up the rest, its
content the same at every length. Gaps of erased flash (0xFF) may part the sections, as they do in a dump of
a flash whose linker script starts each section on a sector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simlib.firmware.synthetic.habits import Habits
from simlib.firmware.synthetic.program import Build, DataObject, Function, Op, Program, flatten
from simlib.firmware.synthetic.vocabulary import Vocabulary
from simlib.firmware.thumb import LDR_NARROW_RANGE_BYTES, NOP, encode_bls

LINK_ADDRESS: Final = 0xC200
"""Where the first byte runs: a primary slot at 0xC000 behind a header of 0x200 byte, as Zephyr has it."""
STACK_TOP: Final = 0x2004_0000
HANDLERS: Final = 63
"""Exception handlers in the vector table, behind the initial stack pointer."""
ERASED: Final = b"\xff"
VERSION_BYTES: Final = 48
IDENTITY_BYTES: Final = 60
"""The commit in hexadecimal (40) and the build id (20)."""
MODULE_FUNCTIONS: Final = 64
"""Functions in a module; every module has a stamp of its build."""
SECTOR_BYTES: Final = 4096
"""Of the flash: where a section behind a gap starts."""

_VECTORS_BYTES: Final = 4 * (1 + HANDLERS)
_CODE_LIMIT: Final = LDR_NARROW_RANGE_BYTES // 2
"""A function whose code and pool are larger than this [halfword] loads its literals with the wide LDR."""


@dataclass(frozen=True, eq=False)
class LinkMap:
    """Where things came to lie, as offsets [byte] from the start of the image."""

    function_starts: NDArray[np.int64]
    call_sites: NDArray[np.int64]
    callees: NDArray[np.int64]  # start of the function that each call reaches
    fill: tuple[int, int]  # from, to


@dataclass(frozen=True, eq=False)
class _Measured:
    """Sizes in halfwords: a width for each operation; code, pool and all for each function."""

    kind: NDArray[np.int64]
    value: NDArray[np.int64]
    owner: NDArray[np.int64]  # index of the function of each operation
    first: NDArray[np.int64]  # index of each function's first operation
    widths: NDArray[np.int64]
    wide: NDArray[np.bool_]  # functions with wide loads
    code: NDArray[np.int64]  # of each function, with the halfword that aligns its pool
    sizes: NDArray[np.int64]


def _measure(functions: Sequence[Function], vocabulary: Vocabulary) -> _Measured:
    ops, counts = flatten(functions)
    kind, value = ops >> 32, ops & 0xFFFF_FFFF
    owner = np.repeat(np.arange(len(functions)), counts)
    first = np.cumsum(counts) - counts
    idiom = kind == Op.IDIOM
    literal = kind >= Op.ADDRESS
    widths = np.where(idiom, vocabulary.idiom_widths[np.where(idiom, value, 0)], 1)
    widths[kind == Op.CALL] = 2
    pool = 2 * np.add.reduceat(literal.astype(np.int64), first)
    wide = np.add.reduceat(widths, first) + pool > _CODE_LIMIT
    widths = widths + (literal & wide[owner])
    code = np.add.reduceat(widths, first)
    code = code + (code & 1)
    return _Measured(kind, value, owner, first, widths, wide, code, code + pool)


def function_sizes_bytes(functions: Sequence[Function], vocabulary: Vocabulary) -> NDArray[np.int64]:
    """The size of each function, its literal pool included."""
    return 2 * _measure(functions, vocabulary).sizes


def data_size_bytes(items: Sequence[DataObject]) -> int:
    """The size of a section of tables or strings; both end on a word."""
    return _word_up(sum(len(item.content) for item in items))


def program_size_bytes(program: Program, vocabulary: Vocabulary) -> int:
    """The size of the image without any fill."""
    return (
        _VECTORS_BYTES
        + int(function_sizes_bytes(program.functions, vocabulary).sum())
        + data_size_bytes(program.tables)
        + data_size_bytes(program.strings)
        + stamps_size_bytes(len(program.functions), vocabulary.habits)
        + VERSION_BYTES
        + IDENTITY_BYTES
    )


def stamps_size_bytes(functions: int, habits: Habits) -> int:
    """The size of the build stamps of a program with so many functions."""
    return habits.stamp_bytes * (functions // MODULE_FUNCTIONS + 1)


def _word_up(size: int) -> int:
    return (size + 3) // 4 * 4


def link(
    program: Program, build: Build, size_bytes: int, vocabulary: Vocabulary, gap_bytes: int = 0
) -> tuple[bytes, LinkMap]:
    """The image of exactly `size_bytes`, `gap_bytes` of them in gaps between its sections, and its map.

    Raises ValueError if the program is larger than that.
    """
    spare = size_bytes - gap_bytes - program_size_bytes(program, vocabulary)
    if spare < 0:
        raise ValueError(f"program: found {-spare} byte too many for {size_bytes} less {gap_bytes}")
    measured = _measure(program.functions, vocabulary)
    starts = _VECTORS_BYTES + 2 * (np.cumsum(measured.sizes) - measured.sizes)
    code_end = _VECTORS_BYTES + 2 * int(measured.sizes.sum())
    addresses = np.zeros(program.symbols, dtype=np.int64)
    addresses[program.function_symbols()] = LINK_ADDRESS + starts + 1  # bit 0 says Thumb
    before_tables = _gap(code_end, gap_bytes // 3, gap_bytes)
    tables_end = _place(program.tables, code_end + before_tables, addresses)
    before_strings = _gap(tables_end, gap_bytes // 3, gap_bytes - before_tables)
    strings_end = _place(program.strings, tables_end + before_strings, addresses)
    before_stamps = gap_bytes - before_tables - before_strings

    vectors = np.concatenate([[STACK_TOP], addresses[list(program.vectors)]]).astype("<u4")
    code, call_sites, callees = _emit_code(program, measured, addresses, vocabulary)
    curve = (np.arange(spare // 2 + 1, dtype=np.int64) * 13 & 0xFFFF).astype("<u2").tobytes()[:spare]
    image = b"".join(
        (
            vectors.tobytes(),
            code,
            ERASED * before_tables,
            _emit_data(program.tables, addresses),
            ERASED * before_strings,
            _emit_data(program.strings, addresses),
            curve,
            ERASED * before_stamps,
            build.stamps[: stamps_size_bytes(len(program.functions), vocabulary.habits)],
            build.version.encode().ljust(VERSION_BYTES, b"\0"),
            build.identity,
        )
    )
    return image, LinkMap(starts, _VECTORS_BYTES + call_sites, callees, (strings_end, strings_end + spare))


def _gap(end: int, wanted: int, left: int) -> int:
    """The length of a gap of about `wanted` up to a sector's start; of what is `left` if that is too much."""
    to_sector = -(LINK_ADDRESS + end) % SECTOR_BYTES
    gap = to_sector + wanted // SECTOR_BYTES * SECTOR_BYTES
    if gap <= left:
        return gap
    return to_sector if to_sector <= left else 0


def _place(items: Sequence[DataObject], start: int, addresses: NDArray[np.int64]) -> int:
    """Gives the objects of a section their addresses, and returns the section's end."""
    at = start
    for item in items:
        addresses[item.symbol] = LINK_ADDRESS + at
        at += len(item.content)
    return start + _word_up(at - start)


def _emit_data(items: Sequence[DataObject], addresses: NDArray[np.int64]) -> bytes:
    section = bytearray()
    for item in items:
        start = len(section)
        section += item.content
        for at, symbol in item.references:
            section[start + at : start + at + 4] = int(addresses[symbol]).to_bytes(4, "little")
    return bytes(section.ljust(_word_up(len(section)), b"\0"))


def _emit_code(
    program: Program,
    measured: _Measured,
    addresses: NDArray[np.int64],
    vocabulary: Vocabulary,
) -> tuple[bytes, NDArray[np.int64], NDArray[np.int64]]:
    """The code section, and where its calls are (from its start) and go (from the image's) [byte]."""
    kind, value, owner, widths = measured.kind, measured.value, measured.owner, measured.widths
    function_at = np.cumsum(measured.sizes) - measured.sizes
    running = np.cumsum(widths) - widths
    at = function_at[owner] + running - running[measured.first][owner]
    registers = np.array([function.registers for function in program.functions], dtype=np.int64)[owner]
    out = np.full(int(measured.sizes.sum()), NOP, dtype="<u2")

    chosen = np.flatnonzero(kind == Op.WORD)
    out[at[chosen]] = vocabulary.words[registers[chosen], value[chosen]]
    chosen = np.flatnonzero(kind == Op.RAW)
    out[at[chosen]] = value[chosen]

    chosen = np.flatnonzero(kind == Op.IDIOM)
    repeat = widths[chosen]
    within = np.arange(int(repeat.sum())) - np.repeat(np.cumsum(repeat) - repeat, repeat)
    source = np.repeat(vocabulary.idiom_starts[value[chosen]], repeat) + within
    rows = np.repeat(registers[chosen], repeat)
    out[np.repeat(at[chosen], repeat) + within] = vocabulary.idioms[rows, source]

    chosen = np.flatnonzero(kind == Op.CALL)
    call_sites = 2 * at[chosen]
    callees = addresses[value[chosen]] - 1 - LINK_ADDRESS
    out[at[chosen]], out[at[chosen] + 1] = encode_bls(callees - (_VECTORS_BYTES + call_sites + 4))

    chosen = np.flatnonzero(kind >= Op.ADDRESS)
    users = owner[chosen]
    order = np.arange(len(chosen))
    number = order - np.searchsorted(users, users)  # of the literal within its function
    pool = function_at[users] + measured.code[users] + 2 * number
    symbolic = kind[chosen] == Op.ADDRESS
    loaded = value[chosen]
    if program.constants:
        loaded = np.array(program.constants, dtype=np.int64)[np.where(symbolic, 0, loaded)]
    word = np.where(symbolic, addresses[np.where(symbolic, value[chosen], 0)], loaded)
    out[pool], out[pool + 1] = word & 0xFFFF, word >> 16
    reach = 2 * (pool - ((at[chosen] + 2) & ~1))  # from Align(PC, 4)
    target = (value[chosen] * 5 + registers[chosen]) & 7
    wide = measured.wide[users]
    narrow, far = chosen[~wide], chosen[wide]
    out[at[narrow]] = 0x4800 | target[~wide] << 8 | reach[~wide] >> 2
    out[at[far]], out[at[far] + 1] = 0xF8DF, target[wide] << 12 | reach[wide]
    return out.tobytes(), call_sites, callees
