"""Power fails at every flash operation of an update and of the revert that follows a failed trial.

The course of the update is walked once (`course`). At each of its operations, for each way to tear it
(`simlib.device.tears`), a device is left with the torn bytes and followed (`verdict`). The operations are
independent of one another, so processes may share them (`process`), and what they find does not depend on how
many they are.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate
from typing import Final

from simlib.device.powercut.case import SECOND_CUTS_ALL, SweepOptions
from simlib.device.powercut.course import wear_of
from simlib.device.powercut.process import Process
from simlib.device.powercut.result import CutOperation, PowercutResult
from simlib.device.powercut.second import Tally
from simlib.device.powercut.sharing import shared
from simlib.device.powercut.stand import SecondPick, Stand
from simlib.draws import Stream

BLOCK: Final = 64
"""How many operations, or second cuts, are one task."""
WORTH_A_PROCESS_BYTES: Final = 160 << 10
"""A sweep of a smaller image is over before another process is ready."""
WORTH_A_PROCESS_CUTS: Final = 200
"""Likewise of fewer second cuts."""
SECOND_PURPOSE: Final = 0x7EA3
"""The purpose number of the draws that choose second cuts."""

Progress = Callable[[int, int], None]
"""Told how much of how much is done."""


def sweep(options: SweepOptions, *, progress: Progress | None = None, workers: int = 1) -> PowercutResult:
    """Cut the power everywhere. `workers` is the most processes that share the work, this one included.

    Raises:
        InputError: the options do not go together.
        Refused: even without a power cut the update fails.
    """
    began = time.perf_counter()
    options.check()
    others = [Process(options) for _ in range(_others(options, workers))]
    try:
        stand = Stand(options)
        blocks = [range(n, min(n + BLOCK, stand.ops + 1)) for n in range(1, stand.ops + 1, BLOCK)]
        picks_wanted = max(0, options.second_cuts)
        done, total = 0, stand.ops + picks_wanted
        tell = progress if progress is not None else _silent
        swept: dict[int, list[CutOperation]] = {}
        for number, operations in shared([partial(_sweep, block=block) for block in blocks], stand, others):
            swept[number] = operations
            done += len(operations)
            tell(done, total)
        rows = tuple(each for number in sorted(swept) for each in swept[number])
        second = _sum(row.second for row in rows)
        picks = _picks(rows, options) if picks_wanted else []
        parts = [picks[n : n + BLOCK] for n in range(0, len(picks), BLOCK)]
        for _, tally in shared([partial(_second, picks=part) for part in parts], stand, others):
            second = second.plus(tally)
            tell(done + second.cuts, total)
    finally:
        for other in others:
            other.end()
    return PowercutResult(
        options=options,
        operations=rows,
        wear={phase.name: wear_of(phase) for phase in stand.phases},
        second=second if options.second_cuts else None,
        seconds=time.perf_counter() - began,
    )


def _others(options: SweepOptions, workers: int) -> int:
    """How many processes to start beside this one."""
    second = options.second_cuts
    many = second == SECOND_CUTS_ALL or second >= WORTH_A_PROCESS_CUTS
    return max(0, workers - 1) if many or options.image_size_bytes >= WORTH_A_PROCESS_BYTES else 0


def _sweep(stand: Stand, block: range) -> list[CutOperation]:
    return stand.swept(block)


def _second(stand: Stand, picks: Sequence[SecondPick]) -> Tally:
    return stand.picked(picks)


def _picks(rows: Sequence[CutOperation], options: SweepOptions) -> list[SecondPick]:
    """Second cuts drawn with the seed, each operation after each first cut as likely; one may come twice."""
    ways = [
        (row.number, way, ops)
        for row in rows
        for way, ops in enumerate(ops for torn in row.torn for ops in torn.recovery_ops)
    ]
    ends = list(accumulate(ops for _, _, ops in ways))
    if not ends or not ends[-1]:
        return []
    stream = Stream(options.seed, SECOND_PURPOSE)
    picks = []
    for _ in range(options.second_cuts):
        at = (stream.u32() << 32 | stream.u32()) * ends[-1] >> 64
        place = bisect_right(ends, at)
        number, way, ops = ways[place]
        picks.append(SecondPick(number, way, 1 + at - (ends[place] - ops), stream.u32()))
    return sorted(picks)


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total = total.plus(tally)
    return total


def _silent(_done: int, _total: int) -> None:
    return None
