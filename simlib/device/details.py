"""The long part of what an event did, kept small and read only when somebody asks for it.

That is when each flash operation ended, what had been spent by then, and the journal: tens of kilobytes for
one swap, and a fleet needs those of the few events that it cuts. Packed are the differences of the running
sums, which repeat and compress, and the steps as JSON.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import astuple
from itertools import accumulate, pairwise
from typing import Final

from simlib.device.device import Step

_COUNT: Final = struct.Struct("<I")
_Parts = tuple[tuple[int, ...], tuple[int, ...], tuple[Step, ...]]


class Details:
    """`packed` as `of` makes it; equal to another if what is packed is."""

    __slots__ = ("_parts", "packed")

    def __init__(self, packed: bytes) -> None:
        self.packed = packed
        self._parts: _Parts | None = None

    @classmethod
    def of(cls, op_end_ns: Sequence[int], op_end_nj: Sequence[int], steps: Sequence[Step]) -> Details:
        """Of as many ends [ns] as sums spent [nJ], each below 2**63, and the steps of a journal."""
        n = len(op_end_ns)
        gaps = [after - before for ends in (op_end_ns, op_end_nj) for before, after in pairwise((0, *ends))]
        text = json.dumps([astuple(step) for step in steps], separators=(",", ":")).encode()
        return cls(zlib.compress(_COUNT.pack(n) + struct.pack(f"<{2 * n}q", *gaps) + text, 1))

    @property
    def op_end_ns(self) -> tuple[int, ...]:
        """When each flash operation ended [ns]."""
        return self._unpacked()[0]

    @property
    def op_end_nj(self) -> tuple[int, ...]:
        """What flash and core had taken by the end of each operation [nJ]."""
        return self._unpacked()[1]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The device's journal."""
        return self._unpacked()[2]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Details):
            return NotImplemented
        return self.packed == other.packed or self._unpacked() == other._unpacked()

    def __hash__(self) -> int:
        return hash(self._unpacked())

    def __repr__(self) -> str:
        return "Details.of({!r}, {!r}, {!r})".format(*self._unpacked())

    def _unpacked(self) -> _Parts:
        if self._parts is None:
            raw = zlib.decompress(self.packed)
            (n,) = _COUNT.unpack_from(raw)
            gaps = struct.unpack_from(f"<{2 * n}q", raw, _COUNT.size)
            steps = json.loads(raw[_COUNT.size + 16 * n :])
            self._parts = (
                tuple(accumulate(gaps[:n])),
                tuple(accumulate(gaps[n:])),
                tuple(Step(*step) for step in steps),
            )
        return self._parts
