"""What a device has without power, and the operations that change it.

The cells of a flash are kept as one bytes object a sector, shared by all contents that agree in it: to copy a
content costs a tuple, and to compare two of them mostly costs the comparison of addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from operator import is_not
from typing import Final, NamedTuple

from simlib.device.flash import Flash
from simlib.device.powercut.spans import pieces

Cells = tuple[bytes, ...]
"""Every sector of a flash, from the first on."""


RESET_SLOT: Final = "primary"
"""Where a device believes to run from until a boot has said so."""


class Situation(NamedTuple):
    """A device between two events: what comes next depends on nothing else."""

    cells: Cells
    counter: int  # the security counter where it is a register
    running_slot: str = RESET_SLOT  # lost with the power


class Operation(NamedTuple):
    """One flash operation: at `offset` it leaves `data`, which are erased bytes if it is an erase."""

    offset: int
    data: bytes
    is_erase: bool
    counter: int  # that register by then


def cells_of(flash: Flash) -> Cells:
    """Every sector of a flash."""
    return tuple(flash.sector(number) for number in range(flash.sectors))


def differing(one: Cells, other: Sequence[bytes]) -> Iterator[int]:
    """The numbers of the sectors in which two contents of one flash are not the same."""
    other_objects = compress(range(len(one)), map(is_not, one, other))
    return (sector for sector in other_objects if one[sector] != other[sector])


def read(cells: Sequence[bytes], offset: int, n: int) -> bytes:
    """The `n` bytes from `offset`."""
    size = len(cells[0])
    return b"".join([cells[sector][start:stop] for sector, start, stop in pieces(offset, n, size)])


def put(cells: list[bytes], offset: int, data: bytes) -> None:
    """Let the bytes from `offset` on be `data`."""
    size, done = len(cells[0]), 0
    for sector, start, stop in pieces(offset, len(data), size):
        part = data[done : done + stop - start]
        old = cells[sector]
        cells[sector] = part if len(part) == size else old[:start] + part + old[stop:]
        done += stop - start
