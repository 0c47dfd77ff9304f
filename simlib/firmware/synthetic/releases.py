"""A chain of synthetic firmwares: one program evolved release by release, each linked to an exact size.

Every member is a pure function of the seed, its own and the older sizes, and the steps before it: what
follows in a chain does not change what came first. Purposes of draws are apart for each release and each
part of its work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Final

import numpy as np

from simlib.draws import Stream
from simlib.errors import InputError
from simlib.firmware.synthetic.author import write_functions, write_strings, write_tables
from simlib.firmware.synthetic.evolution import KINDS, add_data, add_functions, evolve
from simlib.firmware.synthetic.linker import (
    HANDLERS,
    LinkMap,
    function_sizes_bytes,
    link,
    program_size_bytes,
    stamps_size_bytes,
)
from simlib.firmware.synthetic.program import Build, Program, without
from simlib.firmware.synthetic.quantiles import block_below
from simlib.firmware.synthetic.vocabulary import Vocabulary, vocabulary
from simlib.firmware.version import Version

SMALLEST_BYTES: Final = 64 << 10
LARGEST_BYTES: Final = 1 << 20

PER_MILLE_STRINGS, PER_MILLE_TABLES = 80, 132
SPARE_PER_MILLE, SPARE_LARGEST_PER_MILLE = 10, 30
"""How much of an image the fill takes after a fit, and what is left alone."""
_PURPOSE: Final = 0x46575300


class _Part(IntEnum):
    VOCABULARY = 0
    SOURCE = 1
    FIT = 2
    BUILD = 3


def release_versions(steps: Sequence[str]) -> tuple[Version, ...]:
    """The versions of a chain: 1.0.0, then a step counts its own field up and the smaller ones start again.

    Raises InputError for an unknown kind, or more releases than MCUboot's fields can count.
    """
    versions = [Version(1, 0, 0)]
    for kind in steps:
        last = versions[-1]
        match kind:
            case "rebuild":
                version = replace(last, build=last.build + 1)
            case "patch":
                version = Version(last.major, last.minor, last.revision + 1)
            case "minor" | "toolchain":
                version = Version(last.major, last.minor + 1, 0)
            case "major":
                version = Version(last.major + 1, 0, 0)
            case _:
                raise InputError(f"release.steps: found {kind!r}, expected one of {', '.join(KINDS)}")
        versions.append(version)
    return tuple(versions)


def synthetic_chain(seed: int, sizes: Sequence[int], steps: Sequence[str]) -> tuple[bytes, ...]:
    """Firmwares of exactly `sizes` [byte], oldest first, with a release of each kind of `steps` between them.

    Raises InputError for an unknown kind, a size outside 64 KiB to 1 MiB, or sizes not one more than steps.
    """
    return tuple(image for image, _ in linked_chain(seed, sizes, steps))


def linked_chain(seed: int, sizes: Sequence[int], steps: Sequence[str]) -> tuple[tuple[bytes, LinkMap], ...]:
    """`synthetic_chain` with the link map of each firmware."""
    if len(sizes) != len(steps) + 1:
        raise InputError(f"sizes: found {len(sizes)} for {len(steps)} steps, expected one more than steps")
    for size in sizes:
        if not SMALLEST_BYTES <= size <= LARGEST_BYTES:
            raise InputError(f"size: found {size} byte, expected {SMALLEST_BYTES} to {LARGEST_BYTES}")
    words = vocabulary(seed, _PURPOSE + _Part.VOCABULARY)
    versions = release_versions(steps)
    program = _first_program(sizes[0], _stream(seed, 0, _Part.SOURCE), words)
    images = []
    for release, size in enumerate(sizes):
        if release:
            kind = KINDS[steps[release - 1]]
            program = evolve(program, kind, _stream(seed, release, _Part.SOURCE), words)
        program = _fit(program, size, _stream(seed, release, _Part.FIT), words)
        build = _build(versions[release], len(program.functions), _stream(seed, release, _Part.BUILD))
        images.append(link(program, build, size, words))
    return tuple(images)


def _stream(seed: int, release: int, part: _Part) -> Stream:
    return Stream(seed, _PURPOSE + (release << 4) + part)


def _build(version: Version, functions: int, stream: Stream) -> Build:
    commit = stream.block(5).astype("<u4").tobytes().hex().encode()
    identity = commit + stream.block(5).astype("<u4").tobytes()
    stamps = stream.block(stamps_size_bytes(functions) // 4).astype("<u4").tobytes()
    return Build(f"simlib synthetic {version}", identity, stamps)


def _first_program(size: int, stream: Stream, words: Vocabulary) -> Program:
    """A program of about `size` byte with the usual shares of code, strings and tables."""
    strings = size * PER_MILLE_STRINGS // 1000 // 30
    tables = size * PER_MILLE_TABLES // 1000 // 300
    functions = size * (1000 - PER_MILLE_STRINGS - PER_MILLE_TABLES) // 1000 // 122
    code = np.arange(functions, dtype=np.int64)
    data = np.arange(functions, functions + strings + tables, dtype=np.int64)
    names = data.tolist()
    return Program(
        functions=write_functions(stream, code, code, data),
        tables=write_tables(stream, names[strings:], code),
        strings=write_strings(stream, names[:strings], words),
        vectors=tuple(block_below(stream, HANDLERS, functions).tolist()),
        symbols=functions + strings + tables,
    )


def _fit(program: Program, size: int, stream: Stream, words: Vocabulary) -> Program:
    """A program whose fill in an image of `size` byte is small and not negative.

    Too small a program gets features, too large a one loses them: functions that lie together, with strings
    and tables in proportion.
    """
    wanted = size * SPARE_PER_MILLE // 1000
    spare = size - program_size_bytes(program, words)
    while not 0 <= spare <= size * SPARE_LARGEST_PER_MILLE // 1000:
        if spare > 0:
            program = _grow(program, spare - wanted, stream, words)
        else:
            program = _shrink(program, wanted - spare, stream, words)
        spare = size - program_size_bytes(program, words)
    return program


def _grow(program: Program, more_bytes: int, stream: Stream, words: Vocabulary) -> Program:
    """The program with features of about `more_bytes`."""
    functions = len(program.functions)
    count = max(more_bytes * functions // program_size_bytes(program, words), 1)
    strings = len(program.strings) * count // functions
    tables = len(program.tables) * count // functions
    return add_functions(add_data(program, strings, tables, stream, words), count, stream)


def _shrink(program: Program, fewer_bytes: int, stream: Stream, words: Vocabulary) -> Program:
    """The program without features of about `fewer_bytes`."""
    sizes = function_sizes_bytes(program.functions, words)
    total = len(sizes)
    run = np.roll(np.arange(total), -stream.below(total))
    code_bytes = fewer_bytes * int(sizes.sum()) // program_size_bytes(program, words)
    count = int(np.searchsorted(np.cumsum(sizes[run]), code_bytes)) + 1
    dropped = {program.functions[i].symbol for i in run[:count].tolist()}
    for section in (program.strings, program.tables):
        few = len(section) * count // total
        start = stream.below(len(section) - few + 1)
        dropped |= {item.symbol for item in section[start : start + few]}
    return without(program, dropped)
