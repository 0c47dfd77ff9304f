"""The same sweep the plain way: every cut from the factory on, nothing remembered, nothing left out.

For each way to tear each operation a fresh device runs the whole course of the update until its power fails
there, and is followed event by event on fresh devices with the same bytes. It is what `sweep` must find, and
takes hundreds of times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from functools import partial
from itertools import product

from simlib.device.device import Device
from simlib.device.flash import PowerCut
from simlib.device.layouts import get
from simlib.device.powercut.case import SweepCase, SweepOptions, build_case
from simlib.device.powercut.cells import Situation, cells_of
from simlib.device.powercut.event import BOOT, CONFIRM, Booted, Event, performed
from simlib.device.powercut.second import NUMBER, Tally
from simlib.device.powercut.verdict import Fate, Judge
from simlib.device.tears import erase_variants, write_variants

Course = Sequence[Event]


def replay(
    options: SweepOptions, numbers: Collection[int] | None = None
) -> dict[tuple[int, str], tuple[Fate, ...]]:
    """The fates of `TornOperation`, by operation number and tear; `numbers` None: of every operation."""
    case = build_case(options)
    judge = Judge(case, lambda event, at: plainly(case, event, at), remembered=0)
    fates = {}
    for number, (course, nth) in enumerate(_operations(case), start=1):
        if numbers is None or number in numbers:
            for tear in options.tears:
                cut = _Cut(nth, tear, options.seed << 32 | number)
                struck = cut.ways_on(case.make, course)
                fates[number, tear] = tuple(
                    judge.fate(situation, may_stay=_may_stay(case, course)) for situation in struck
                )
    return fates


def replay_second(options: SweepOptions, numbers: Collection[int]) -> Tally:
    """What all second cuts lead to together after first cuts in these operations."""
    case = build_case(options)
    judge = Judge(case, lambda event, at: plainly(case, event, at), remembered=0)
    tally = Tally()
    for number, (course, nth) in enumerate(_operations(case), start=1):
        if number not in numbers:
            continue
        for tear in options.tears:
            first_cut = _Cut(nth, tear, options.seed << 32 | number)
            for first in first_cut.ways_on(case.make, course):
                recovering = _device_in(case, first)
                performed(BOOT, recovering)
                for second, again in product(range(1, recovering.flash.ops + 1), options.tears):
                    second_cut = _Cut(second, again, options.seed << 32 | NUMBER)
                    for left in second_cut.ways_on(partial(_device_in, case, first), (BOOT,)):
                        tally = tally.plus(Tally.of(judge.fate(left, may_stay=_may_stay(case, course))))
    return tally


class _Cut:
    """Power fails in the `nth` operation of a course, from 1, torn the `way`-th way, from 0."""

    def __init__(self, nth: int, tear: str, seed: int) -> None:
        self.nth = nth
        self.tear = tear
        self.seed = seed
        self.way = 0
        self.ways = 1  # how many there are; known once it has struck
        self._seen = 0

    def ways_on(self, make: Callable[[], Device], course: Course) -> Iterator[Situation]:
        """What each way to tear it leaves of a device fresh from `make`."""
        while self.way < self.ways:
            yield _struck(make(), course, self)
            self.way += 1

    def arm(self, device: Device) -> None:
        """Let it strike in what the device does from now on."""
        self._seen = 0
        flash = device.flash

        def strike(offset: int, data: bytes | None) -> None:
            self._seen += 1
            if self._seen != self.nth:
                return
            if data is None:
                erased = bytes([device.config.erased_value]) * flash.erase_size(offset)
                before = flash.content()[offset : offset + len(erased)]
                variants = erase_variants(self.tear, before, erased, seed=self.seed, offset=offset)
            else:
                before = flash.content()[offset : offset + len(data)]
                unit = device.config.write_size_bytes
                variants = write_variants(self.tear, before, data, unit=unit, seed=self.seed, offset=offset)
            self.ways = len(variants)
            flash.damage(offset, variants[self.way])
            raise PowerCut(f"power failed in operation {self.nth}")

        flash.on_operation = strike


def _operations(case: SweepCase) -> Iterator[tuple[Course, int]]:
    """Each operation as a course of events from the factory on, and its number in that course."""
    beginning = (case.update, BOOT)
    for course in (beginning[:1], beginning, (*beginning, CONFIRM), (*beginning, BOOT)):
        device, before = case.make(), 0
        for event in course:
            before = device.flash.ops
            told = performed(event, device)
        yield from ((course, nth) for nth in range(before + 1, device.flash.ops + 1))
        if course is beginning and not (isinstance(told, Booted) and told.trial):
            return  # nothing to confirm and nothing to revert


def _may_stay(case: SweepCase, course: Course) -> bool:
    return course[-1] is CONFIRM or not get(case.config.layout).has_trial


def _struck(device: Device, course: Course, cut: _Cut) -> Situation:
    """The device when its power has failed."""
    cut.arm(device)
    try:
        for event in course:
            performed(event, device)
    except PowerCut:
        return Situation(cells_of(device.flash), device.counter_register)
    raise ValueError(f"operation: found {cut.nth}, expected one of the course")


def _device_in(case: SweepCase, at: Situation) -> Device:
    device = case.make()
    device.flash.damage(0, b"".join(at.cells))
    device.counter_register = at.counter
    return device


def plainly(case: SweepCase, event: Event, at: Situation) -> tuple[Hashable, Situation]:
    """What `event` tells of a fresh device with these bytes, and what it leaves."""
    device = _device_in(case, at)
    if not event.resets:
        device.running_slot = at.running_slot
    told = performed(event, device)
    return told, Situation(cells_of(device.flash), device.counter_register, device.running_slot)
