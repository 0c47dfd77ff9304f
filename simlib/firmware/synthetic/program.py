"""The source program: functions with symbolic calls and literals, data, and what a build stamps on it.

An operation is one integer, ``kind << 32 | value``. Addresses appear nowhere here; the linker finds them,
which is why one inserted instruction moves calls and literals all over an image, as it does in real
firmware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Op(IntEnum):
    """Kinds of operation, with what their value is."""

    WORD = 0  # an instruction of the vocabulary, by rank
    RAW = 1  # any other 16-bit instruction, as it is
    IDIOM = 2  # a common sequence, by number
    CALL = 3  # BL to a function, by symbol
    ADDRESS = 4  # load of the address of a function or data object, by symbol
    CONSTANT = 5  # load of a 32-bit constant


@dataclass(frozen=True, eq=False)
class Function:
    """`ops` is an int64 array; `registers` the row of the compiler's register allocation."""

    symbol: int
    ops: NDArray[np.int64]
    registers: int


@dataclass(frozen=True)
class DataObject:
    """Constant data; `references` are (byte offset of a word, symbol whose address it holds)."""

    symbol: int
    content: bytes
    references: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Build:
    """What changes in every build: the version's text, the commit and seeds of ids and stamps."""

    version: str
    identity: bytes  # 60 byte: the commit in hexadecimal and the build id
    stamps: bytes  # 4 byte a module, cut to as many as there are


@dataclass(frozen=True)
class Program:
    """Functions, tables and strings in link order; `vectors` are the symbols of the exception handlers."""

    functions: tuple[Function, ...]
    tables: tuple[DataObject, ...]
    strings: tuple[DataObject, ...]
    vectors: tuple[int, ...]
    symbols: int  # symbols given out so far; the next one is this number
    constants: tuple[int, ...] = ()  # what a load of a constant gives, by its value; none: the value itself

    def function_symbols(self) -> NDArray[np.int64]:
        """Symbols of the functions, in link order."""
        return np.array([function.symbol for function in self.functions], dtype=np.int64)

    def data_symbols(self) -> NDArray[np.int64]:
        """Symbols of the tables and strings, in link order."""
        return np.array([item.symbol for item in (*self.tables, *self.strings)], dtype=np.int64)


def flatten(functions: Sequence[Function]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All operations behind one another, and how many each function has."""
    counts = np.array([len(function.ops) for function in functions], dtype=np.int64)
    return np.concatenate([function.ops for function in functions]), counts


def with_ops(
    functions: Sequence[Function], ops: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[Function, ...]:
    """The functions with their operations taken from the flat array."""
    parts = np.split(ops, np.cumsum(counts)[:-1])
    return tuple(Function(f.symbol, part, f.registers) for f, part in zip(functions, parts, strict=True))


def without(program: Program, dropped: set[int]) -> Program:
    """The program without some symbols; whatever used one uses its next surviving neighbour instead."""
    if not dropped:
        return program
    heirs = np.arange(program.symbols, dtype=np.int64)
    for section in (program.functions, program.tables, program.strings):
        symbols = [item.symbol for item in section]
        heir = next(symbol for symbol in symbols if symbol not in dropped)
        for symbol in reversed(symbols):
            heir = heir if symbol in dropped else symbol
            heirs[symbol] = heir
    kept = [function for function in program.functions if function.symbol not in dropped]
    ops, counts = flatten(kept)
    kind, value = ops >> 32, ops & 0xFFFF_FFFF
    symbolic = (kind == Op.CALL) | (kind == Op.ADDRESS)
    renamed = np.where(symbolic, heirs[np.where(symbolic, value, 0)], value)

    def still(items: tuple[DataObject, ...]) -> tuple[DataObject, ...]:
        return tuple(
            replace(item, references=tuple((at, int(heirs[symbol])) for at, symbol in item.references))
            for item in items
            if item.symbol not in dropped
        )

    return Program(
        functions=with_ops(kept, kind << 32 | renamed, counts),
        tables=still(program.tables),
        strings=still(program.strings),
        vectors=tuple(int(heirs[symbol]) for symbol in program.vectors),
        symbols=program.symbols,
        constants=program.constants,
    )
