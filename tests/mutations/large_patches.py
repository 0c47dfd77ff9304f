"""Patches that cost as much as a well-formed one of their result's size may."""

from __future__ import annotations

import bz2
from functools import lru_cache

from simlib.draws import Stream
from tests.mutations.guard import KIB
from tests.mutations.patch_anatomy import Payload, number


@lru_cache
def large_base(size_bytes: int) -> bytes:
    """Random bytes."""
    return Stream(3, size_bytes).block(size_bytes // 4).astype("<u4").tobytes()


LARGE_SIZES = (32 * KIB, 128 * KIB, 512 * KIB)
LARGE_SHAPES = ("scattered", "added", "appended", "whole", "beside")


@lru_cache
def large_payload(size_bytes: int, shape: str) -> bytes:
    """A payload that costs as much as one of its result's size may: the worst that is well-formed."""
    noise = large_base(size_bytes)[::-1]
    count = size_bytes // 9
    x = {"scattered": 4, "added": 9}.get(shape, 0)
    if shape == "whole":
        numbers = [size_bytes, 0, 0]
        diff, extra = noise, b""
    elif shape == "beside":
        numbers = [0, size_bytes, 0]
        diff, extra = b"", noise
    else:
        source = Stream(4, size_bytes)
        numbers, position = [], 0
        for _ in range(count):
            goal = source.below(size_bytes - 9)
            numbers += [x, 9 - x, goal - position - x]
            position = goal
        numbers += [0, size_bytes - 9 * count, 0]
        diff, extra = noise[: x * count], noise[x * count :]
    control = b"".join(map(number, numbers))
    return Payload([bz2.compress(block, 9) for block in (control, diff, extra)], size_bytes).encode()
