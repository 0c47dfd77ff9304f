"""A chain of synthetic firmwares: one program evolved release by release, each linked to an exact size.

Every member is a pure function of the seed, its own and the older sizes, and the steps before it: what
follows in a chain does not change what came first. Purposes of draws are apart for each release and each
part of its work. A chain is made in one of two ways: `synthetic_chain` does at each step what its kind does
in the middle, `corpus_like_chain` varies as public releases do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from typing import Final

import numpy as np

from simlib.draws import Stream
from simlib.errors import InputError
from simlib.firmware.synthetic.author import write_functions, write_strings, write_tables
from simlib.firmware.synthetic.evolution import add_data, add_functions, evolve
from simlib.firmware.synthetic.habits import CORPUS, TYPICAL, Habits
from simlib.firmware.synthetic.kinds import KINDS, Work, corpus_work, typical_work
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
LARGEST_GAPS: Final = Fraction(1, 2)
NO_GAPS: Final = Fraction(0)

SPARE_PER_MILLE, SPARE_LARGEST_PER_MILLE = 10, 30
"""How much of an image the fill takes after a fit, and what is left alone."""
PURPOSE: Final = 0x46575300
COMMIT_BYTES: Final = 40
_ALL: Final = 1000


class Part(IntEnum):
    """What of a release a stream of draws is for."""

    VOCABULARY = 0
    SOURCE = 1
    FIT = 2
    BUILD = 3
    KIND = 4
    SIZE = 5


@dataclass(frozen=True)
class Variation:
    """How a chain is made: `work` says what a release of a kind does, with the first draws of its source."""

    habits: Habits
    work: Callable[[str, Stream], Work]


TYPICAL_CHAIN: Final = Variation(TYPICAL, typical_work)
CORPUS_LIKE: Final = Variation(CORPUS, corpus_work)


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


def corpus_like_chain(
    seed: int, sizes: Sequence[int], steps: Sequence[str], *, gaps: Fraction = NO_GAPS
) -> tuple[bytes, ...]:
    """`synthetic_chain` of a project with the habits, and with steps as varied as those, of public projects.

    `gaps` is the share of each image that is erased flash between its sections.

    Raises as `synthetic_chain` does, and InputError for a share of gaps outside 0 to 1/2.
    """
    chain = linked_chain(seed, sizes, steps, variation=CORPUS_LIKE, gaps=gaps)
    return tuple(image for image, _ in chain)


def linked_chain(
    seed: int,
    sizes: Sequence[int],
    steps: Sequence[str],
    *,
    variation: Variation = TYPICAL_CHAIN,
    gaps: Fraction = NO_GAPS,
) -> tuple[tuple[bytes, LinkMap], ...]:
    """Either chain with the link map of each firmware."""
    if len(sizes) != len(steps) + 1:
        raise InputError(f"sizes: found {len(sizes)} for {len(steps)} steps, expected one more than steps")
    for size in sizes:
        if not SMALLEST_BYTES <= size <= LARGEST_BYTES:
            raise InputError(f"size: found {size} byte, expected {SMALLEST_BYTES} to {LARGEST_BYTES}")
    if not 0 <= gaps <= LARGEST_GAPS:
        raise InputError(f"gaps: found {gaps} of the image, expected 0 to {LARGEST_GAPS}")
    words = vocabulary(seed, PURPOSE + Part.VOCABULARY, variation.habits)
    versions = release_versions(steps)
    gap_bytes = [int(size * gaps) for size in sizes]
    program = _first_program(sizes[0] - gap_bytes[0], stream(seed, 0, Part.SOURCE), words)
    images = []
    renewed, built = _ALL, None
    for release, (size, gap) in enumerate(zip(sizes, gap_bytes, strict=True)):
        if release:
            draws = stream(seed, release, Part.SOURCE)
            work = variation.work(steps[release - 1], draws)
            program = evolve(program, work, draws, words)
            renewed = work.renewed_per_mille
        program = _fit(program, size - gap, stream(seed, release, Part.FIT), words)
        fresh = stream(seed, release, Part.BUILD)
        build = _build(versions[release], len(program.functions), fresh, words.habits)
        if built and renewed < _ALL:
            build = _rebuilt(built, build, renewed, fresh, words.habits)
        built = build
        images.append(link(program, build, size, words, gap))
    return tuple(images)


def stream(seed: int, release: int, part: Part) -> Stream:
    """The draws for one part of one release."""
    return Stream(seed, PURPOSE + (release << 4) + part)


def _build(version: Version, functions: int, stream: Stream, habits: Habits) -> Build:
    commit = stream.block(5).astype("<u4").tobytes().hex().encode()
    identity = commit + stream.block(5).astype("<u4").tobytes()
    stamps = stream.block(stamps_size_bytes(functions, habits) // 4).astype("<u4").tobytes()
    return Build(f"simlib synthetic {version}", identity, stamps)


def _rebuilt(old: Build, new: Build, per_mille: int, stream: Stream, habits: Habits) -> Build:
    """A build of the commit of `old` that compiled only some modules again; the others keep their stamps."""
    width = habits.stamp_bytes
    modules = len(new.stamps) // width
    renewed = block_below(stream, modules, _ALL) < per_mille
    stamps = b"".join(
        (new if again else old).stamps[at : at + width]
        for at, again in zip(range(0, len(new.stamps), width), renewed.tolist(), strict=True)
    )
    return replace(new, identity=old.identity[:COMMIT_BYTES] + new.identity[COMMIT_BYTES:], stamps=stamps)


def _first_program(size: int, stream: Stream, words: Vocabulary) -> Program:
    """A program of about `size` byte with the usual shares of code, strings and tables."""
    habits = words.habits
    strings = size * habits.per_mille_strings // 1000 // 30
    tables = size * habits.per_mille_tables // 1000 // 300
    functions = size * (1000 - habits.per_mille_strings - habits.per_mille_tables) // 1000 // 122
    code = np.arange(functions, dtype=np.int64)
    data = np.arange(functions, functions + strings + tables, dtype=np.int64)
    names = data.tolist()
    return Program(
        functions=write_functions(stream, code, code, data, habits),
        tables=write_tables(stream, names[strings:], code, habits),
        strings=write_strings(stream, names[:strings], words),
        vectors=tuple(block_below(stream, HANDLERS, functions).tolist()),
        symbols=functions + strings + tables,
        constants=tuple(words.constants.tolist()) if habits.placed_constants else (),
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
    return add_functions(add_data(program, strings, tables, stream, words), count, stream, words.habits)


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
