"""The course of an update that no power cut disturbs, operation by operation: where power can fail.

Install, boot, and where the new image is on trial both of its futures: it is confirmed, or the trial fails
and the next boot reverts it. Operations are numbered from 1 through all of them in this order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from simlib.device.powercut.case import SweepCase
from simlib.device.powercut.cells import Cells, Operation, Situation
from simlib.device.powercut.effect import Effect
from simlib.device.powercut.event import BOOT, CONFIRM, Booted, Event
from simlib.device.powercut.runner import Done, Runner
from simlib.errors import Reason, Refused


@dataclass(frozen=True, slots=True)
class Phase:
    """One event of the course."""

    name: str
    start: Situation
    effect: Effect

    @property
    def ops(self) -> int:
        """How many flash operations it takes."""
        return self.effect.total


class Moment(NamedTuple):
    """The device just before an operation."""

    number: int  # of the operation, from 1
    phase: str
    cells: Cells
    operation: Operation


def walk(runner: Runner, case: SweepCase) -> tuple[Phase, ...]:
    """The phases of the course.

    Raises `Refused` SELF_TEST_FAILED where even an update that nothing disturbs does not end in the image
    that it should.
    """
    phases: list[Phase] = []

    def phase(name: str, event: Event, at: Situation) -> Done:
        done = runner.run(event, at)
        phases.append(Phase(name, at, done.effect))
        return done

    installed = phase("install", case.update, runner.start)
    _expect(installed.result == Reason.NONE, "install", installed.result)
    tried = phase("boot", BOOT, installed.situation)
    booted = _runs(case, "boot", tried.result, "new")
    if booted.trial:
        confirmed = phase("confirm", CONFIRM, tried.situation)
        again = runner.run(BOOT, confirmed.situation)
        _runs(case, "boot after the confirmation", again.result, "new")
        reverted = phase("revert", BOOT, tried.situation)
        _runs(case, "boot after a failed trial", reverted.result, "old")
    return tuple(phases)


def moments(phases: tuple[Phase, ...], first: int, last: int) -> Iterator[Moment]:
    """The device before each of the operations number `first` to `last`."""
    number = 0
    for phase in phases:
        if number + phase.ops < first:
            number += phase.ops
            continue
        for cells, operation in phase.effect.steps(phase.start.cells):
            number += 1
            if number > last:
                return
            if number >= first:
                yield Moment(number, phase.name, tuple(cells), operation)


def wear_of(phase: Phase) -> tuple[int, ...]:
    """How often the phase erases each sector of the flash."""
    cells = phase.start.cells
    wear = [0] * len(cells)
    size = len(cells[0])
    for operation in phase.effect.operations():
        if operation.is_erase:
            for sector in range(operation.offset // size, (operation.offset + len(operation.data)) // size):
                wear[sector] += 1
    return tuple(wear)


def _runs(case: SweepCase, which: str, result: object, expected: str) -> Booted:
    found = case.name_of(result.image_sha256) if isinstance(result, Booted) else result
    _expect(found == expected, f"{which} of the {expected} image", found)
    assert isinstance(result, Booted)
    return result


def _expect(holds: bool, what: str, found: object) -> None:
    if not holds:
        raise Refused(
            Reason.SELF_TEST_FAILED, f"update without a power cut, {what}: found {found}, expected success"
        )
