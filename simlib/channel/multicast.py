"""A firmware update by LoRa multicast: sessions, what each device hears of them, and when it has the block.

LoRa Alliance TS005 (remote multicast setup) and TS004 (fragmentation): a gateway sends the data fragments
of a block in order, then coded ones, a fragment at a time as the duty cycle allows. A later session sends
the same data fragments and fresh coded ones, so whatever a device has heard in any session counts. Each
fragment is lost or heard by a draw of its own; whether the block follows is
`simlib.channel.fragmentation`'s, on the real lines.

A listening device has its receiver on while fragments are on the air, as with class B's ping slots; one that
keeps it on between them (class C) spends 1 / duty cycle times that. Which sessions a device listens to is for
others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

import numpy as np

from simlib.channel.energy import energy_nj
from simlib.channel.fragmentation import MOST_FRAGMENTS, decodes, members
from simlib.channel.lora import DOWNLINK_CRC_BITS, FRAME_BYTES, Modulation, airtime_us
from simlib.draws import MASK64, OCCURRENCE_STEP, PURPOSE_STEP, Purpose, mix64_array
from simlib.errors import InputError

DATA_FRAGMENT_BYTES: Final = 3
"""A DataFragment's own bytes: the command, the session and the index (TS004-1.0.0)."""
SESSION_STEP: Final = 1 << 16
"""Occurrences that each session's draws may take."""
_US_PER_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class MulticastPlan:
    """The sessions that bring one block of `size_bytes`, all alike but for their coded fragments."""

    size_bytes: int
    fragment_bytes: int
    data_fragments: int
    coded_fragments: int  # of each session
    airtime_ms: int  # of one fragment
    spacing_ms: int  # from one fragment's start to the next one's
    session_ms: int  # from the first fragment's start to the last one's end
    session_every_ms: int
    listen_nj: int  # a device's, for one session
    loss_threshold: int  # a fragment is lost where a 32-bit draw is below it

    @property
    def fragments(self) -> int:
        """Fragments sent in a session."""
        return self.data_fragments + self.coded_fragments


@dataclass(frozen=True, slots=True)
class Multicast:
    """How a gateway sends: everything of a plan but the block."""

    modulation: Modulation
    fragment_bytes: int
    redundancy: Fraction  # coded fragments as a share of the data's
    duty_cycle: Fraction
    session_every_ms: int
    loss_threshold: int
    rx_nw: int  # a device's receiver

    @property
    def fragment_us(self) -> Fraction:
        """The time of one fragment on the air [us], LoRaWAN's and the command's bytes included."""
        payload_bytes = FRAME_BYTES + DATA_FRAGMENT_BYTES + self.fragment_bytes
        return airtime_us(self.modulation, payload_bytes, DOWNLINK_CRC_BITS)

    def plan(self, size_bytes: int) -> MulticastPlan:
        """The plan for a block of `size_bytes`.

        Raises `InputError` for a block of more fragments than a session can number, or one whose session has
        not ended, duty cycle included, when the next begins.
        """
        if size_bytes < 1:
            raise InputError(f"size: found {size_bytes} bytes, expected 1 or more")
        data = -(-size_bytes // self.fragment_bytes)
        coded = ceil(data * self.redundancy)
        if data + coded > MOST_FRAGMENTS:
            raise InputError(
                f"fragment: found {self.fragment_bytes} bytes, so {data} data and {coded} coded fragments "
                f"for {size_bytes} bytes, expected at most {MOST_FRAGMENTS} together"
            )
        air_us = self.fragment_us
        spacing_ms = ceil(air_us / self.duty_cycle / _US_PER_MS)
        airtime_ms = ceil(air_us / _US_PER_MS)
        if (data + coded) * spacing_ms > self.session_every_ms:
            raise InputError(
                f"session_every: found {self.session_every_ms} ms, expected at least "
                f"{(data + coded) * spacing_ms} ms: {data + coded} fragments, one each {spacing_ms} ms"
            )
        return MulticastPlan(
            size_bytes=size_bytes,
            fragment_bytes=self.fragment_bytes,
            data_fragments=data,
            coded_fragments=coded,
            airtime_ms=airtime_ms,
            spacing_ms=spacing_ms,
            session_ms=(data + coded - 1) * spacing_ms + airtime_ms,
            session_every_ms=self.session_every_ms,
            listen_nj=energy_nj(self.rx_nw, air_us * (data + coded)),
            loss_threshold=self.loss_threshold,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a device stands after its latest session."""

    decoded: bool
    received_bytes: int  # of the latest session's fragments, data and coded


def received(key: int, session_number: int, loss_threshold: int, count: int) -> int:
    """The fragments that the device of `key` hears of a session of `count`: bit n for the n-th sent.

    A pure draw for each fragment: a shorter or longer session, or another one, changes no fragment's luck.
    """
    if not 0 <= count <= SESSION_STEP:
        raise ValueError(f"count: found {count}, expected 0 to {SESSION_STEP}")
    offset = key + Purpose.FRAGMENT * PURPOSE_STEP + session_number * SESSION_STEP * OCCURRENCE_STEP
    numbers = np.arange(count, dtype=np.uint64) * np.uint64(OCCURRENCE_STEP)
    draws = mix64_array(numbers + np.uint64(offset & MASK64)) >> np.uint64(32)
    heard = draws >= np.uint64(loss_threshold)
    return int.from_bytes(np.packbits(heard, bitorder="little").tobytes(), "little")


def coded_number(plan: MulticastPlan, session_number: int, sent: int) -> int:
    """Which coded fragment is the `sent`-th (from 0) of a session's coded ones: fresh in each session.

    The index on the air has 14 bits; when it is used up, the first coded fragments come again.
    """
    return (session_number * plan.coded_fragments + sent) % (MOST_FRAGMENTS - plan.data_fragments)


def outcome(plan: MulticastPlan, key: int, sessions: Sequence[int]) -> Outcome:
    """Whether the device of `key` has the block after it listened to `sessions`, and what the last brought.

    `sessions` are numbers from 0, in any order but for the last, which is the latest; none is no block.
    """
    data = (1 << plan.data_fragments) - 1
    lost, heard = data, 0
    coded: set[int] = set()
    for session in sessions:
        heard = received(key, session, plan.loss_threshold, plan.fragments)
        lost &= ~heard
        coded |= {coded_number(plan, session, sent) for sent in members(heard >> plan.data_fragments)}
    # Most of a fleet's devices are settled by the count alone.
    enough = len(coded) >= lost.bit_count()
    return Outcome(
        decoded=enough and decodes(plan.data_fragments, lost, coded),
        received_bytes=heard.bit_count() * plan.fragment_bytes,
    )
