"""What an event does to a device, and how the memo keeps it.

An `Effect` holds for every device in which the event looks at the same bytes; a `Transition` is an effect on
a device in one state. The kept form names the running image by its signed digest, not by its place in a
chain, so that it holds for every release that contains the image. It is integers, names and digests, no code.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_right
from dataclasses import dataclass, fields
from typing import Final

from simlib.device.details import Details
from simlib.device.device import Step
from simlib.errors import Reason

DIGEST_BYTES: Final = 16
"""Of the digest that stands for a sector's bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a device does with an event: the verdict and the cost [ns, nJ, flash operations, bytes]."""

    verdict: Reason
    trial: bool  # after a boot: the image is on trial, and reverts unless it is confirmed
    swap: str  # after a boot: what the boot loader did with the slots
    time_ns: int
    flash_nj: int
    compute_nj: int
    ops: int
    erases: int
    bytes_written: int
    details: Details  # without the operations' ends if the event was cut

    @property
    def op_end_ns(self) -> tuple[int, ...]:
        """When each flash operation ended, from the event's start; empty if cut."""
        return self.details.op_end_ns

    @property
    def op_end_nj(self) -> tuple[int, ...]:
        """What flash and core had taken by then, from the event's start; empty if cut."""
        return self.details.op_end_nj

    @property
    def steps(self) -> tuple[Step, ...]:
        """The device's journal of the event."""
        return self.details.steps

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect(Behaviour):
    """What an event does to every device in which it looks at the same bytes."""

    image: str | None  # the one that runs afterwards, by its signed digest; None: nothing boots, or no power
    security_counter: int  # afterwards
    changed: tuple[int, ...]  # numbers of the sectors erased or written,
    digests: tuple[bytes, ...]  # and what each holds afterwards


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(Behaviour):
    """What an event did to a device in one state."""

    state: str  # afterwards
    running: int | None  # chain index of the image that runs afterwards; None: nothing boots, or no power

    @classmethod
    def of(cls, effect: Effect, state: str, running: int | None) -> Transition:
        """`effect` on a device that it takes to `state`."""
        return cls(**{name: getattr(effect, name) for name in _BEHAVIOUR}, state=state, running=running)


_BEHAVIOUR: Final = tuple(field.name for field in fields(Behaviour))
_NUMBERS: Final = tuple(name for name in _BEHAVIOUR if name != "details")
_FACTS: Final = (*_NUMBERS, "image", "security_counter")
_LENGTHS: Final = struct.Struct("<II")  # of the facts [byte] and of the list of changed sectors


def pack(effect: Effect) -> bytes:
    """`effect` for the memo: two lengths, facts as JSON, the changed sectors, their digests, the details."""
    text = json.dumps([getattr(effect, name) for name in _FACTS], separators=(",", ":")).encode()
    n = len(effect.changed)
    numbers = struct.pack(f"<{n}I", *effect.changed)
    return b"".join((_LENGTHS.pack(len(text), n), text, numbers, *effect.digests, effect.details.packed))


def unpack(value: bytes) -> Effect:
    """What `pack` was given."""
    text_bytes, n = _LENGTHS.unpack_from(value)
    at = _LENGTHS.size + text_bytes
    facts = dict(zip(_FACTS, json.loads(value[_LENGTHS.size : at]), strict=True))
    first = at + 4 * n
    end = first + DIGEST_BYTES * n
    return Effect(
        **facts | {"verdict": Reason(facts["verdict"])},
        details=Details(value[end:]),
        changed=struct.unpack_from(f"<{n}I", value, at),
        digests=tuple(value[k : k + DIGEST_BYTES] for k in range(first, end, DIGEST_BYTES)),
    )
