"""The bsdiff4 codec: payloads are exactly what `bsdiff4.diff` writes, applied without trusting them.

The format (Percival, "Naive differences of executable code", 2003) is a 32-byte header, then three bzip2
streams: control triples (x, y, z), diff bytes, extra bytes. A triple says: add x diff bytes to x bytes of the
base, append y extra bytes, move z bytes in the base. An integer is 8 bytes, little endian, sign and
magnitude.

`bsdiff4.patch` decompresses all three streams without a limit and reads bytes outside the base as zero.
Here the result's size is agreed before, and a payload is checked in this order, nothing being allocated that
the check before has not bounded:

1. the header's magic; no length negative; the result size is the one agreed; the blocks lie in the payload
   and none is larger than bzip2 could have made it;
2. the control block holds at most ``result // 9 + 1`` triples. The encoder starts a new one only at a match
   more than 8 bytes better than going on, and then moves past it, so an honest patch cannot have more, while
   ten million empty triples fit in 269 bytes. An empty triple by itself is no offence: the encoder writes
   one when its first match is not at the start of the base;
3. x and y are not negative and sum to the result; every position stays within the base;
4. the diff and extra blocks are exactly as long as the triples say.

The result is then made in steps, many triples at a time. The worst payload has as many triples as rule 2
allows, each to another place: it takes a third more than the result for the triples, the result once for the
two blocks and once or twice for itself, a few MB for a decompressor and for indices, and its time is mostly
bzip2's. For results up to 4 MiB that is below 64 MB and one second of a processor. Whether it is the right
result is the envelope's question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import bsdiff4
import numpy as np
from numpy.typing import NDArray

from simlib.delta.bounded import BoundedStream, bz2_ceiling
from simlib.delta.codec import Recipe, Traits
from simlib.errors import Reason, Refused

MAGIC: Final = b"BSDIFF40"
HEADER_BYTES: Final = 32
TRIPLE_BYTES: Final = 24
MATCH_BYTES: Final = 9
"""The shortest match that makes the encoder start a new triple [byte]."""
MAX_SIZE_BYTES: Final = 1 << 31
"""Sizes are kept below this, so that no sum over a run of triples leaves a 64-bit integer."""
RUN_TRIPLES: Final = 1 << 13
"""How many triples are decoded, checked and followed at a time."""
STEP_BYTES: Final = 1 << 16
"""How much of the result is made at a time [byte]; each byte needs a few indices of 8 bytes."""


TRAITS: Final = Traits(
    takes_base=True,
    streams=False,  # three compressed streams behind one another, read side by side
    in_place=True,
    decoder="medium",
    effort_percent=100,
    source="derived: bzip2 manual, section 2.6; recalled: the size class, a decompressor of bzip2 and a loop",
)


def _damaged(where: str, found: object, expected: str) -> Refused:
    return Refused(Reason.PATCH_DAMAGED, f"{where}: found {found}, expected {expected}")


def _integers(raw: bytes | bytearray) -> NDArray[np.int64]:
    """Sign-and-magnitude little-endian integers as int64."""
    words = np.frombuffer(raw, dtype="<u8")
    magnitude = (words & np.uint64((1 << 63) - 1)).astype(np.int64)
    return np.where(words >> np.uint64(63) == 1, -magnitude, magnitude)


def _header(payload: memoryview, result_size_bytes: int) -> tuple[int, int]:
    """The sizes of the compressed control and diff blocks, both shown to lie in the payload."""
    if len(payload) < HEADER_BYTES:
        raise _damaged("bsdiff4 header", f"{len(payload)} bytes", f"{HEADER_BYTES}")
    header = bytes(payload[:HEADER_BYTES])
    if header[:8] != MAGIC:
        raise _damaged("bsdiff4 magic", header[:8].hex(), MAGIC.hex())
    control, diff, result = (int(value) for value in _integers(header[8:]))
    if result != result_size_bytes:
        raise _damaged("bsdiff4 result size", result, f"{result_size_bytes}")
    room = len(payload) - HEADER_BYTES
    if control < 0 or diff < 0 or control > room or diff > room - control:
        raise _damaged("bsdiff4 block sizes", f"{control} and {diff}", f"0 to {room} together")
    return control, diff


@dataclass(frozen=True, slots=True)
class _Run:
    """Successive triples that are safe to follow, a number for each in every column."""

    added: NDArray[np.int32]  # x [byte]
    appended: NDArray[np.int32]  # y [byte]
    positions: NDArray[np.int32]  # in the base, before the triple


def _runs(stream: memoryview, old_bytes: int, result_bytes: int) -> Iterator[_Run]:
    """The triples of a control block; they may be followed once all of it has been accepted."""
    control = BoundedStream(stream, "bsdiff4 control block")
    limit = result_bytes // MATCH_BYTES + 1
    triples = made = position = 0
    while block := control.read(RUN_TRIPLES * TRIPLE_BYTES):
        if len(block) % TRIPLE_BYTES:
            raise _damaged("bsdiff4 control block", f"{len(block)} bytes", f"whole triples of {TRIPLE_BYTES}")
        triples += len(block) // TRIPLE_BYTES
        if triples > limit:
            raise _damaged("bsdiff4 control block", f"{triples} triples or more", f"at most {limit}")
        added, appended, moves = _integers(block).reshape(-1, 3).T
        for name, column in (("x", added), ("y", appended)):
            if column.min() < 0 or column.max() > result_bytes:
                raise _damaged(f"bsdiff4 {name}", f"{column.min()} to {column.max()}", f"0 to {result_bytes}")
        made += int(added.sum()) + int(appended.sum())
        if made > result_bytes:
            raise _damaged("bsdiff4 triples", f"{made} bytes of result or more", f"{result_bytes}")
        # The first position to leave the base is seen: should it leave 64 bits too, it wraps to a negative.
        after = position + np.cumsum(added + moves)
        positions = np.concatenate((np.array([position]), after[:-1]))
        if after.min() < 0 or max(after.max(), (positions + added).max()) > old_bytes:
            raise _damaged("bsdiff4 position", "one outside the base", f"0 to {old_bytes}")
        position = int(after[-1])
        yield _Run(added.astype(np.int32), appended.astype(np.int32), positions.astype(np.int32))
    control.expect_end()
    if made != result_bytes:
        raise _damaged("bsdiff4 triples", f"{made} bytes of result", f"{result_bytes}")


def _decoded(stream: memoryview, size_bytes: int, name: str) -> NDArray[np.uint8]:
    """The diff or extra block, which must hold exactly `size_bytes`."""
    reader = BoundedStream(stream, f"bsdiff4 {name} block")
    block = reader.take(size_bytes)
    reader.expect_end()
    return np.frombuffer(block, dtype=np.uint8)


def _decoded_parts(
    old_bytes: int, view: memoryview, result_bytes: int
) -> tuple[list[_Run], NDArray[np.uint8], NDArray[np.uint8]]:
    """The triples, diff and extra bytes of a payload, accepted by the rules in the module's docstring."""
    if max(old_bytes, result_bytes) >= MAX_SIZE_BYTES:
        raise Refused(
            Reason.OVERSIZE,
            f"bsdiff4: found base and result of {old_bytes} and {result_bytes} bytes,"
            f" expected less than {MAX_SIZE_BYTES} each",
        )
    control_size, diff_size = _header(view, result_bytes)
    diff_from = HEADER_BYTES + control_size
    extra_from = diff_from + diff_size
    control, diff, extra = view[HEADER_BYTES:diff_from], view[diff_from:extra_from], view[extra_from:]
    control_limit = TRIPLE_BYTES * (result_bytes // MATCH_BYTES + 1)
    for name, stream, limit in (
        ("control", control, control_limit),
        ("diff", diff, result_bytes),
        ("extra", extra, result_bytes),
    ):
        ceiling = bz2_ceiling(limit)
        if len(stream) > ceiling:
            raise _damaged(f"bsdiff4 {name} block", f"{len(stream)} bytes", f"at most {ceiling}")
    runs = list(_runs(control, old_bytes, result_bytes))
    diff_bytes = sum(int(run.added.sum()) for run in runs)
    return (
        runs,
        _decoded(diff, diff_bytes, "diff"),
        _decoded(extra, result_bytes - diff_bytes, "extra"),
    )


def _recipe(runs: list[_Run], diff: NDArray[np.uint8], extra: NDArray[np.uint8]) -> Recipe:
    """Where each byte of the result comes from, and what is added to it."""
    size = len(diff) + len(extra)
    sources = np.full(size, -1, dtype=np.int32)
    values = np.empty(size, dtype=np.uint8)
    used_diff = used_extra = at = 0
    for run in runs:
        for added, appended, position in zip(run.added, run.appended, run.positions, strict=True):
            stop = at + int(added)
            sources[at:stop] = np.arange(position, position + int(added), dtype=np.int32)
            values[at:stop] = diff[used_diff : used_diff + int(added)]
            used_diff += int(added)
            at = stop + int(appended)
            values[stop:at] = extra[used_extra : used_extra + int(appended)]
            used_extra += int(appended)
    return Recipe(sources, values)


def _assembled(old: bytes, runs: list[_Run], diff: NDArray[np.uint8], extra: NDArray[np.uint8]) -> bytearray:
    """The result: segments of base bytes with diff bytes added and segments of extra bytes take turns."""
    base = np.frombuffer(old, dtype=np.uint8)
    result = bytearray(len(diff) + len(extra))
    whole = np.frombuffer(result, dtype=np.uint8)
    used_diff = at = 0
    for run in runs:
        ends = np.cumsum(np.column_stack((run.added, run.appended)).ravel(), dtype=np.int64)
        shifts = run.positions - (ends[0::2] - run.added)  # from a byte of the run to its byte of the base
        for start, stop, segments in _steps(ends):
            is_added = segments & 1 == 0
            places = np.flatnonzero(is_added)
            sources = shifts[segments[places] >> 1] + (places + start)
            made = whole[at : at + stop - start]
            diff_stop = used_diff + len(places)
            extra_from = at - used_diff
            made[places] = base[sources] + diff[used_diff:diff_stop]
            made[~is_added] = extra[extra_from : extra_from + len(made) - len(places)]
            used_diff = diff_stop
            at += len(made)
    return result


def _steps(ends: NDArray[np.int64]) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """A run in steps: from, to, and of which segment each byte between is; segment i ends at ``ends[i]``."""
    size = int(ends[-1])
    for start in range(0, size, STEP_BYTES):
        stop = min(start + STEP_BYTES, size)
        first, last = np.searchsorted(ends, (start, stop - 1), side="right")
        edges = np.concatenate((np.array([start]), np.minimum(ends[first : last + 1], stop)))
        yield start, stop, np.repeat(np.arange(first, last + 1), edges[1:] - edges[:-1])


@dataclass(frozen=True, slots=True)
class Bsdiff4:
    """The codec of the bsdiff4 package."""

    name: str = "bsdiff4"
    traits: Traits = TRAITS

    def ram_bytes(self, payload_size_bytes: int, result_size_bytes: int) -> int:
        """Three bzip2 streams read side by side, whatever the sizes: each takes what its blocks declare.

        `bsdiff4.diff` writes blocks of 900,000 bytes, and decompressing takes 100,000 bytes and four times
        the block (bzip2 manual, section 2.6, "Memory management").
        """
        return 3 * (100_000 + 4 * 900_000)

    def diff(self, old: bytes, new: bytes) -> bytes:
        """What `bsdiff4.diff` gives, byte for byte."""
        return bytes(bsdiff4.diff(old, new))

    def apply(self, old: bytes, payload: bytes | memoryview, result_size_bytes: int) -> bytes:
        """Apply a payload that nobody has vouched for, by the rules in the module's docstring.

        Raises:
            Refused: PATCH_DAMAGED when one of them is broken, OVERSIZE when base or result is 2 GiB or more.
        """
        # The parts are nobody's any more when the result is copied: they are as large as it is.
        return bytes(_assembled(old, *_decoded_parts(len(old), memoryview(payload), result_size_bytes)))

    def recipe(self, old_size_bytes: int, payload: bytes | memoryview, result_size_bytes: int) -> Recipe:
        """The recipe of a payload that nobody has vouched for; raises as `apply` does."""
        return _recipe(*_decoded_parts(old_size_bytes, memoryview(payload), result_size_bytes))

    def pieces(
        self, old: bytes, payload: bytes | memoryview, result_size_bytes: int
    ) -> Iterator[bytes | memoryview]:
        """Not to be had: the format does not stream."""
        raise NotImplementedError
