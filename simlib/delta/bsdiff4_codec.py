"""The bsdiff4 codec: payloads are exactly what `bsdiff4.diff` writes, applied without trusting them.

The format (Percival, "Naive differences of executable code", 2003) is a 32-byte header, then three bzip2
streams: control triples (x, y, z), diff bytes, extra bytes. A triple says: add x diff bytes to x bytes of the
base, append y extra bytes, move z bytes in the base. An integer is 8 bytes, little endian, sign and
magnitude.

`bsdiff4.patch` decompresses all three streams without a limit and reads bytes outside the base as zero.
Here a payload is checked first, in this order, and nothing is allocated that the check before it has not
bounded:

1. the header's magic; no length negative; the result size is the one agreed; the blocks lie in the payload
   and none is larger than bzip2 could have made it;
2. the control block holds at most ``result // 9 + 1`` triples. The encoder starts a new one only at a match
   more than 8 bytes better than going on, and then moves past it, so an honest patch cannot have more, while
   ten million empty triples fit in 269 bytes. An empty triple by itself is no offence: the encoder writes
   one when its first match is not at the start of the base;
3. x and y are not negative and sum to the result; every position stays within the base;
4. the diff and extra blocks are exactly as long as the triples say.

The result is then assembled from slices. Whether it is the right result is the envelope's question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import bsdiff4
import numpy as np
from numpy.typing import NDArray

from simlib.delta.bounded import bunzip2, bz2_ceiling
from simlib.errors import Reason, Refused

MAGIC: Final = b"BSDIFF40"
HEADER_BYTES: Final = 32
TRIPLE_BYTES: Final = 24
MATCH_BYTES: Final = 9
"""The shortest match that makes the encoder start a new triple [byte]."""
MAX_SIZE_BYTES: Final = 1 << 31
"""Sizes are kept below this, so that no sum over a control block leaves a 64-bit integer."""


def _damaged(where: str, found: object, expected: str) -> Refused:
    return Refused(Reason.PATCH_DAMAGED, f"{where}: found {found}, expected {expected}")


def _integers(raw: bytes) -> NDArray[np.int64]:
    """Sign-and-magnitude little-endian integers as int64."""
    words = np.frombuffer(raw, dtype="<u8")
    magnitude = (words & np.uint64((1 << 63) - 1)).astype(np.int64)
    return np.where(words >> np.uint64(63) == 1, -magnitude, magnitude)


def _header(payload: bytes, result_size_bytes: int) -> tuple[int, int]:
    """The sizes of the compressed control and diff blocks, both shown to lie in the payload."""
    if len(payload) < HEADER_BYTES:
        raise _damaged("bsdiff4 header", f"{len(payload)} bytes", f"{HEADER_BYTES}")
    if payload[:8] != MAGIC:
        raise _damaged("bsdiff4 magic", payload[:8].hex(), MAGIC.hex())
    control, diff, result = (int(value) for value in _integers(payload[8:HEADER_BYTES]))
    if result != result_size_bytes:
        raise _damaged("bsdiff4 result size", result, f"{result_size_bytes}")
    room = len(payload) - HEADER_BYTES
    if control < 0 or diff < 0 or control > room or diff > room - control:
        raise _damaged("bsdiff4 block sizes", f"{control} and {diff}", f"0 to {room} together")
    return control, diff


@dataclass(frozen=True, slots=True)
class _Triples:
    """Control triples that are safe to follow."""

    added: list[int]  # x [byte]
    appended: list[int]  # y [byte]
    positions: list[int]  # in the base, before each triple
    diff_bytes: int
    extra_bytes: int


def _triples(control: bytes, old_bytes: int, result_bytes: int) -> _Triples:
    if len(control) % TRIPLE_BYTES:
        raise _damaged("bsdiff4 control block", f"{len(control)} bytes", f"whole triples of {TRIPLE_BYTES}")
    added, appended, moves = _integers(control).reshape(-1, 3).T
    for name, column in (("x", added), ("y", appended)):
        if column.size and (column.min() < 0 or column.max() > result_bytes):
            raise _damaged(f"bsdiff4 {name}", f"{column.min()} to {column.max()}", f"0 to {result_bytes}")
    diff_bytes, extra_bytes = int(added.sum()), int(appended.sum())
    if diff_bytes + extra_bytes != result_bytes:
        raise _damaged("bsdiff4 triples", f"{diff_bytes + extra_bytes} bytes of result", f"{result_bytes}")
    # The first position to leave the base is seen: should it leave 64 bits too, it wraps to a negative one.
    after = np.cumsum(added + moves)
    positions = np.concatenate((np.zeros(1, dtype=np.int64), after))
    reach = positions[:-1] + added
    if positions.min() < 0 or positions.max() > old_bytes or (reach.size and reach.max() > old_bytes):
        raise _damaged("bsdiff4 position", "one outside the base", f"0 to {old_bytes}")
    return _Triples(added.tolist(), appended.tolist(), positions[:-1].tolist(), diff_bytes, extra_bytes)


def _assemble(old: bytes, triples: _Triples, diff: bytes, extra: bytes) -> bytes:
    base = b"".join([old[at : at + size] for at, size in zip(triples.positions, triples.added, strict=True)])
    moved = (np.frombuffer(diff, dtype=np.uint8) + np.frombuffer(base, dtype=np.uint8)).tobytes()
    pieces: list[bytes] = []
    from_diff = from_extra = 0
    for added, appended in zip(triples.added, triples.appended, strict=True):
        pieces.append(moved[from_diff : from_diff + added])
        pieces.append(extra[from_extra : from_extra + appended])
        from_diff += added
        from_extra += appended
    return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class Bsdiff4:
    """The codec of the bsdiff4 package."""

    name: str = "bsdiff4"

    def diff(self, old: bytes, new: bytes) -> bytes:
        """What `bsdiff4.diff` gives, byte for byte."""
        return bytes(bsdiff4.diff(old, new))

    def apply(self, old: bytes, payload: bytes, result_size_bytes: int) -> bytes:
        """Apply a payload that nobody has vouched for, by the rules in the module's docstring.

        Raises:
            Refused: PATCH_DAMAGED when one of them is broken, OVERSIZE when base or result is 2 GiB or more.
        """
        if max(len(old), result_size_bytes) >= MAX_SIZE_BYTES:
            raise Refused(
                Reason.OVERSIZE,
                f"bsdiff4: found base and result of {len(old)} and {result_size_bytes} bytes,"
                f" expected less than {MAX_SIZE_BYTES} each",
            )
        control_size, diff_size = _header(payload, result_size_bytes)
        diff_from = HEADER_BYTES + control_size
        extra_from = diff_from + diff_size
        control_limit = TRIPLE_BYTES * (result_size_bytes // MATCH_BYTES + 1)
        blocks = (
            ("control", payload[HEADER_BYTES:diff_from], control_limit),
            ("diff", payload[diff_from:extra_from], result_size_bytes),
            ("extra", payload[extra_from:], result_size_bytes),
        )
        for name, stream, limit in blocks:
            ceiling = bz2_ceiling(limit)
            if len(stream) > ceiling:
                raise _damaged(f"bsdiff4 {name} block", f"{len(stream)} bytes", f"at most {ceiling}")
        triples = _triples(
            bunzip2(blocks[0][1], control_limit, "bsdiff4 control block"), len(old), result_size_bytes
        )
        diff = bunzip2(blocks[1][1], triples.diff_bytes, "bsdiff4 diff block")
        extra = bunzip2(blocks[2][1], triples.extra_bytes, "bsdiff4 extra block")
        for name, block, size in (("diff", diff, triples.diff_bytes), ("extra", extra, triples.extra_bytes)):
            if len(block) != size:
                raise _damaged(f"bsdiff4 {name} block", f"{len(block)} bytes", f"{size}")
        return _assemble(old, triples, diff, extra)
