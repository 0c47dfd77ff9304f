"""What an event did to a device, and how the memo keeps it.

The kept form names the running image by its signed digest, not by its place in a chain, so that it holds for
every release that contains the image. It is compressed JSON: integers and names only, no code.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from itertools import accumulate, pairwise
from typing import Final

from simlib.device.device import Step
from simlib.errors import Reason

_SUMS: Final = ("op_end_ns", "op_end_nj")
"""Running sums, kept as their differences: those of a write repeat, and compress."""


@dataclass(frozen=True, slots=True)
class Transition:
    """The state after an event, the verdict and the cost [ns, nJ, flash operations, bytes]."""

    state: str
    verdict: Reason
    running: int | None  # chain index of the image that runs afterwards; None: nothing boots, or no power
    trial: bool  # after a boot: the image is on trial, and reverts unless it is confirmed
    swap: str  # after a boot: what the boot loader did with the slots
    time_ns: int
    flash_nj: int
    compute_nj: int
    ops: int
    erases: int
    bytes_written: int
    op_end_ns: tuple[int, ...]  # when each flash operation ended, from the event's start; empty if cut
    op_end_nj: tuple[int, ...]  # what flash and core had taken by then, from the event's start; empty if cut
    steps: tuple[Step, ...]

    def op_at(self, offset_ns: int) -> int:
        """The number, from 1, of the flash operation that a cut `offset_ns` after the event's start meets.

        That is the first one to end later; `ops` + 1 when all have ended. Only of an event that was not cut.
        """
        return bisect_right(self.op_end_ns, offset_ns) + 1

    def op_at_energy(self, budget_nj: int) -> int:
        """The number, from 1, of the flash operation in which a supply of `budget_nj` gives out.

        That is the first one at whose end more has been spent; `ops` + 1 where there is none, be it that the
        supply lasts or that what follows the last operation is too much for it (`flash_nj` + `compute_nj`
        tells). Only of an event that was not cut.
        """
        return bisect_right(self.op_end_nj, budget_nj) + 1


def pack(transition: Transition, image: str | None) -> bytes:
    """`transition` for the memo; `image` is the running one's signed digest."""
    facts = asdict(transition)
    facts["running"] = image
    for sums in _SUMS:
        facts[sums] = [after - before for before, after in pairwise((0, *facts[sums]))]
    facts["steps"] = [astuple(step) for step in transition.steps]
    return zlib.compress(json.dumps(facts, separators=(",", ":")).encode(), 6)


def unpack(value: bytes, chain: Mapping[str, int]) -> tuple[Transition, str | None] | None:
    """What `pack` was given; None if the running image is not in `chain`, which numbers images by digest."""
    facts = json.loads(zlib.decompress(value))
    image = facts["running"]
    if image is not None and image not in chain:
        return None
    facts["running"] = None if image is None else chain[image]
    facts["verdict"] = Reason(facts["verdict"])
    for sums in _SUMS:
        facts[sums] = tuple(accumulate(facts[sums]))
    facts["steps"] = tuple(Step(*step) for step in facts["steps"])
    return Transition(**facts), image
