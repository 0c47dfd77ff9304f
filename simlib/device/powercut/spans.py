"""Which bytes of which sectors: sorted runs of bytes that neither touch nor overlap, and sums of such.

Leaves to others: what the bytes are marked for (`footprint`).
"""

from __future__ import annotations

from collections.abc import Iterator

Spans = tuple[tuple[int, int], ...]
"""Runs of bytes within a sector, each from its first to before its last, ascending, with gaps between."""


def pieces(offset: int, n: int, sector_size: int) -> Iterator[tuple[int, int, int]]:
    """The `n` bytes from `offset` of a flash as (sector, first byte in it, end in it)."""
    sector, start = divmod(offset, sector_size)
    while n > 0:
        length = min(n, sector_size - start)
        yield sector, start, start + length
        sector, start, n = sector + 1, 0, n - length


def union(one: Spans, other: Spans) -> Spans:
    """The bytes in either."""
    if not one or one == other:
        return other
    if not other:
        return one
    merged: list[tuple[int, int]] = []
    for start, stop in sorted((*one, *other)):
        if merged and start <= merged[-1][1]:
            if stop > merged[-1][1]:
                merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return tuple(merged)


def minus(one: Spans, other: Spans) -> Spans:
    """The bytes in `one` that are not in `other`."""
    if not other:
        return one
    left: list[tuple[int, int]] = []
    for first, stop in one:
        start = first
        for taken_start, taken_stop in other:
            if taken_stop <= start:
                continue
            if taken_start >= stop:
                break
            if taken_start > start:
                left.append((start, taken_start))
            start = taken_stop
            if start >= stop:
                break
        if start < stop:
            left.append((start, stop))
    return tuple(left)


def agree(one: bytes, other: bytes, spans: Spans) -> bool:
    """Whether two sectors hold the same bytes in `spans`."""
    return all(one[start:stop] == other[start:stop] for start, stop in spans)


def overlaid(below: bytes, above: bytes, spans: Spans) -> bytes:
    """The sector `below` with the bytes of `above` in `spans`."""
    if not spans:
        return below
    if spans == ((0, len(above)),):
        return above
    laid = bytearray(below)
    for start, stop in spans:
        laid[start:stop] = above[start:stop]
    return bytes(laid)
