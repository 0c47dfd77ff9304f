"""The power fails again, in the boot that follows a first cut.

Each operation of that boot, torn in each way, leaves a device that is followed as after a first cut. There
are far more of these than of first cuts, and most are the same: where a boot comes to a place from which
another has gone on with the same bytes, all that can befall it there has been counted already.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from simlib.device.powercut.case import SweepOptions
from simlib.device.powercut.cells import Operation, Situation, put
from simlib.device.powercut.effect import Effect
from simlib.device.powercut.event import BOOT
from simlib.device.powercut.runner import Runner
from simlib.device.powercut.tearing import torn_situations
from simlib.device.powercut.verdict import Fate, First, Judge

NUMBER: Final = 0
"""All second cuts draw as if in this operation: what a repeated operation leaves is then the same again."""


class Tally(NamedTuple):
    """How many second cuts there were, and what they led to; each way to tear either operation counts."""

    cuts: int = 0
    booted_new: int = 0
    booted_old: int = 0
    bricked: int = 0
    stuck: int = 0

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(*(one + two for one, two in zip(self, other, strict=True)))

    @classmethod
    def of(cls, fate: Fate) -> Tally:
        """One cut."""
        first = fate.first
        return cls(1, first is First.NEW, first is First.OLD, fate.bricked, fate.stuck)


class SecondCutter:
    """Cuts boots after a first cut."""

    def __init__(self, options: SweepOptions, runner: Runner, judge: Judge) -> None:
        self._options = options
        self._runner = runner
        self._judge = judge
        self._counted: dict[bool, WeakKeyDictionary[Effect, Tally]] = {
            may_stay: WeakKeyDictionary() for may_stay in (False, True)
        }

    def operations(self, first: Situation) -> int:
        """In how many operations of its boot a device in this situation may lose its power again."""
        return self._runner.run(BOOT, first).effect.total

    def all(self, first: Situation, *, may_stay: bool = True) -> Tally:
        """What all second cuts together lead to."""
        counted_already = self._counted[may_stay]
        effect: Effect | None = self._runner.run(BOOT, first).effect
        stretches: list[tuple[Effect | None, Tally]] = []
        tally, now = Tally(), list(first.cells)
        while effect is not None:
            same = effect.start == tuple(now)
            if same and effect in counted_already:
                tally = counted_already[effect]
                break
            own = Tally()
            for operation in effect.own:
                for second in self._after(now, operation):
                    own = own.plus(Tally.of(self._judge.fate(second, may_stay=may_stay)))
                put(now, operation.offset, operation.data)
            stretches.append((effect if same else None, own))
            effect = effect.then
        for counted, own in reversed(stretches):
            tally = own.plus(tally)
            if counted is not None:
                counted_already[counted] = tally
        return tally

    def one(self, first: Situation, number: int, draw: int, *, may_stay: bool = True) -> Tally:
        """What a cut in operation `number` of the boot leads to, from 1; `draw` picks a way to tear it."""
        effect = self._runner.run(BOOT, first).effect
        for count, (cells, operation) in enumerate(effect.steps(first.cells), start=1):
            if count == number:
                seconds = self._after(cells, operation)
                return Tally.of(self._judge.fate(seconds[draw % len(seconds)], may_stay=may_stay))
        raise ValueError(f"number: found {number}, expected 1 to {effect.total}")

    def _after(self, cells: list[bytes], operation: Operation) -> list[Situation]:
        return [
            situation
            for tear in self._options.tears
            for situation in torn_situations(self._options, tear, cells, operation, NUMBER)
        ]
