"""Forward error correction of LoRaWAN's fragmented data block transport, on real bytes.

LoRa Alliance TS004-1.0.0, the part on the forward error correction code: a block of M data fragments is
followed by coded fragments, each the exclusive or of at most half of the data fragments; which ones, a line
of a parity matrix says that both sides compute with the generator PRBS23. Any received fragments whose
lines have full rank over GF(2) give the block back. (TS004-2.0.0 takes exactly M/2 distinct fragments for a
line; the two do not mix.)

Fragments are numbered from 0 here: 0 to M − 1 are the data, M + k is coded by line k + 1, as the
specification counts. Sets of fragments are whole numbers whose bit n stands for number n.

Left to others: what is sent when, and what is lost (`simlib.channel.multicast`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from simlib.errors import InputError

MOST_FRAGMENTS: Final = (1 << 14) - 1
"""Data and coded fragments of a session together: the index N of a DataFragment has 14 bits."""


def prbs23(state: int) -> int:
    """The generator's next state: a shift to the right, fed by the bits 0 and 5."""
    fed = (state ^ (state >> 5)) & 1
    # A sum, not an or: a start above 2**23 (lines from 8,380 on) carries in the published implementations.
    return (state >> 1) + (fed << 22)


@lru_cache(maxsize=1 << 15)
def matrix_line(line: int, count: int) -> int:
    """The data fragments, of `count`, whose exclusive or is the coded fragment of `line` (1 or more).

    A fragment that the generator names twice is in it once, so a line has at most count // 2 of them; for a
    single data fragment it has none.
    """
    # A power of two would make the generator's low bits the fragment.
    modulus = count + (count & (count - 1) == 0)
    state = 1 + 1001 * line
    taken = 0
    for _ in range(count // 2):
        fragment = count
        while fragment >= count:
            state = prbs23(state)
            fragment = state % modulus
        taken |= 1 << fragment
    return taken


def split(block: bytes, fragment_bytes: int) -> tuple[bytes, ...]:
    """The data fragments of `block`, the last filled up with zeros."""
    if not block or fragment_bytes < 1:
        raise InputError(
            f"fragments: found {len(block)} bytes in fragments of {fragment_bytes}, expected 1 or more each"
        )
    starts = range(0, len(block), fragment_bytes)
    return tuple(block[start : start + fragment_bytes].ljust(fragment_bytes, b"\0") for start in starts)


def coded_fragment(fragments: Sequence[bytes], coded: int) -> bytes:
    """The coded fragment number `coded` (0 or more) over all data `fragments`."""
    line = matrix_line(coded + 1, len(fragments))
    mixed = 0
    for fragment in members(line):
        mixed ^= int.from_bytes(fragments[fragment], "little")
    return mixed.to_bytes(len(fragments[0]), "little")


def decodes(count: int, lost: int, coded: Iterable[int]) -> bool:
    """Whether the data fragments in the set `lost`, of `count`, follow from the `coded` fragments received.

    Exactly when the coded fragments' lines, over the lost columns alone, have full rank.
    """
    missing = lost.bit_count()
    basis: dict[int, int] = {}
    for number in coded:
        if len(basis) == missing:
            break
        row = matrix_line(number + 1, count) & lost
        while row:
            top = row.bit_length()
            if top not in basis:
                basis[top] = row
                break
            row ^= basis[top]
    return len(basis) == missing


def rebuild(received: Mapping[int, bytes], size_bytes: int) -> bytes:
    """The block of `size_bytes` from the fragments `received`, by their numbers.

    Raises `InputError` if the fragments differ in length, do not have full rank, or contradict one another
    (one is damaged, or the block has another size).
    """
    lengths = {len(fragment) for fragment in received.values()}
    if len(lengths) != 1 or not min(lengths):
        raise InputError(f"fragments: found lengths {sorted(lengths)}, expected one length above 0")
    (fragment_bytes,) = lengths
    count = -(-size_bytes // fragment_bytes)
    data = {n: int.from_bytes(f, "little") for n, f in received.items() if n < count}
    lost = sum(1 << n for n in range(count) if n not in data)
    basis: dict[int, tuple[int, int]] = {}
    for number in sorted(n for n in received if n >= count):
        row, mixed = _reduced(number, received[number], count, lost, data, basis)
        if row:
            basis[row.bit_length() - 1] = (row, mixed)
        elif mixed:
            raise InputError(
                f"fragments: found number {number} in contradiction to the others, expected fragments of "
                f"one block of {size_bytes} bytes"
            )
    if len(basis) != lost.bit_count():
        raise InputError(
            f"fragments: found rank {count - lost.bit_count() + len(basis)}, expected {count} to rebuild "
            f"{size_bytes} bytes"
        )
    # From the lowest fragment up: a basis row's other members are lower, and known by then.
    for fragment in sorted(basis):
        row, mixed = basis[fragment]
        for other in members(row & ~(1 << fragment)):
            mixed ^= data[other]
        data[fragment] = mixed
    whole = b"".join(data[n].to_bytes(fragment_bytes, "little") for n in range(count))
    return whole[:size_bytes]


def _reduced(
    number: int,
    fragment: bytes,
    count: int,
    lost: int,
    data: Mapping[int, int],
    basis: Mapping[int, tuple[int, int]],
) -> tuple[int, int]:
    """A coded fragment's row over the lost columns and its bytes, less what is known and what `basis` has."""
    row, mixed = matrix_line(number - count + 1, count), int.from_bytes(fragment, "little")
    for known in members(row & ~lost):
        mixed ^= data[known]
    row &= lost
    while row and (top := row.bit_length() - 1) in basis:
        row ^= basis[top][0]
        mixed ^= basis[top][1]
    return row, mixed


def members(fragments: int) -> Iterator[int]:
    """The numbers in a set, lowest first: its bits that are 1."""
    while fragments:
        lowest = fragments & -fragments
        yield lowest.bit_length() - 1
        fragments ^= lowest
