"""One process's part of a sweep: it makes the case, walks the course, and follows devices after cuts.

What it finds for an operation depends on nothing but the options, so it does not matter who does which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from simlib.device.powercut.case import SECOND_CUTS_ALL, SweepOptions, build_case
from simlib.device.powercut.cells import Situation
from simlib.device.powercut.course import Moment, moments, walk
from simlib.device.powercut.result import CutOperation, TornOperation
from simlib.device.powercut.runner import Runner
from simlib.device.powercut.second import SecondCutter, Tally
from simlib.device.powercut.tearing import torn_situations
from simlib.device.powercut.verdict import Judge


class SecondPick(NamedTuple):
    """One second cut: after operation `number` of the course, torn the `way`-th way of those in all modes."""

    number: int
    way: int
    second: int  # operation of the boot after it, from 1
    draw: int  # of how that is torn


class Stand:
    """Everything that one process needs.

    Raises `InputError` where the options do not go together, and `Refused` where even an update without a
    power cut fails.
    """

    def __init__(self, options: SweepOptions) -> None:
        self.options = options
        self._case = build_case(options)
        self._runner = Runner(self._case.make)
        self._judge = Judge(self._case, lambda event, at: self._runner.run(event, at)[:2])
        self._second = SecondCutter(options, self._runner, self._judge)
        self.phases = walk(self._runner, self._case)
        self.ops = sum(phase.ops for phase in self.phases)

    @property
    def executed(self) -> int:
        """How many events have been worked out on real bytes."""
        return self._runner.executed

    def swept(self, block: range) -> list[CutOperation]:
        """What cuts in the operations with these numbers lead to."""
        return [self._cut(moment) for moment in moments(self.phases, block.start, block.stop - 1)]

    def picked(self, picks: Sequence[SecondPick]) -> Tally:
        """What these second cuts lead to; the picks are sorted."""
        tally = Tally()
        rest = iter(picks)
        pick = next(rest, None)
        for moment in moments(self.phases, picks[0].number, picks[-1].number):
            if pick is None or pick.number != moment.number:
                continue
            firsts = [situation for tear in self.options.tears for situation in self._torn(tear, moment)]
            while pick is not None and pick.number == moment.number:
                tally = tally.plus(
                    self._second.one(
                        firsts[pick.way], pick.second, pick.draw, may_stay=self._may_stay(moment)
                    )
                )
                pick = next(rest, None)
        return tally

    def _cut(self, moment: Moment) -> CutOperation:
        torn, second, may_stay = [], Tally(), self._may_stay(moment)
        for tear in self.options.tears:
            fates, recovery_ops = [], []
            for situation in self._torn(tear, moment):
                fates.append(self._judge.fate(situation, may_stay=may_stay))
                if self.options.second_cuts == SECOND_CUTS_ALL:
                    second = second.plus(self._second.all(situation, may_stay=may_stay))
                elif self.options.second_cuts:
                    recovery_ops.append(self._second.operations(situation))
            torn.append(TornOperation(tear, tuple(fates), tuple(recovery_ops)))
        operation = moment.operation
        return CutOperation(
            number=moment.number,
            phase=moment.phase,
            kind="erase" if operation.is_erase else "write",
            partition=self._partition_at(operation.offset),
            offset=operation.offset,
            size_bytes=len(operation.data),
            torn=tuple(torn),
            second=second,
        )

    def _may_stay(self, moment: Moment) -> bool:
        """Whether the new image may stay after a cut there, though nobody confirms it any more."""
        return moment.phase == "confirm" or not self._runner.device.layout.has_trial

    def _torn(self, tear: str, moment: Moment) -> Iterator[Situation]:
        return torn_situations(self.options, tear, moment.cells, moment.operation, moment.number)

    def _partition_at(self, offset: int) -> str:
        for partition in self._runner.device.partitions:
            if partition.offset <= offset < partition.offset + partition.size:
                return partition.name
        raise ValueError(f"offset: found {offset}, expected one in a partition")
