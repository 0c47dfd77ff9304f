"""Events on situations, worked out on real bytes where nobody has seen the like, and else remembered.

One device serves for all: it is put into a situation by changing the sectors that differ. What an event did
is remembered from its start and from each of its checkpoints (`Device.checkpoint`), by what it looked at
(`effect`). An execution that comes to a checkpoint from which the rest is known breaks off there.

All of this is memory, not model: `simlib.device.powercut.replay` does without it and finds the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

from simlib.device.device import Device
from simlib.device.meter import ceil_div
from simlib.device.powercut.cells import Cells, Operation, Situation, differing
from simlib.device.powercut.effect import Effect
from simlib.device.powercut.event import Event, performed
from simlib.device.powercut.footprint import Footprint
from simlib.device.powercut.watched import EndlessWorkError, WatchedFlash

EFFECTS_A_QUESTION: Final = 8
"""How many effects are remembered from one place in an event, those last used."""
CHECKPOINTS_AN_EVENT: Final = 512
"""From how many of its checkpoints an event is remembered at most."""
OBJECTS: Final = 1 << 14
"""For how many contents of a sector it is remembered which object stands for them."""
OPERATIONS_A_SECTOR: Final = 64
"""A boot or an install that takes more operations, for each KiB and each sector of the flash, has no end."""

Question = tuple[str, tuple[Hashable, ...], int, str]
"""An event's name, the checkpoint (nothing: the start), and what the device holds there beside its flash."""


class Done(NamedTuple):
    """What an event told, what it left, and how."""

    result: Hashable
    situation: Situation
    effect: Effect


class _Stretch(NamedTuple):
    question: Question
    start: Cells
    seen: Footprint
    operations: tuple[Operation, ...]


class _KnownError(BaseException):
    """From here on it is known; no `Exception`, so that no boot loader takes it for its own."""

    def __init__(self, effect: Effect) -> None:
        super().__init__()
        self.effect = effect


class Runner:
    """Events on the situations of one device, which `make` makes anew."""

    def __init__(self, make: Callable[[], Device]) -> None:
        made = make()
        self._flash = WatchedFlash.over(made.flash)
        self._device = Device(
            made.config, made.verify_keys, made.decryption_key, self._flash, made.counter_register
        )
        flash = self._flash
        self._objects: dict[bytes, bytes] = {}
        self._sectors_held = [self._one_object(flash.peek(number)) for number in range(flash.sectors)]
        self.start = Situation(tuple(self._sectors_held), made.counter_register)
        """As the factory ships it."""
        self._effects: dict[Question, list[Effect]] = {}
        self._stretches: list[_Stretch] = []
        self._question: Question = ("", (), 0, "")
        self._began: Cells = ()
        self._operations: list[Operation] = []
        self._operations_left = 0
        self._erased: dict[int, bytes] = {}  # by length, one object for all erases
        self._limit = OPERATIONS_A_SECTOR * (flash.sectors + ceil_div(flash.size_bytes, 1024))
        self.executed = 0
        """How often an event was worked out, as a whole or up to where it was known."""

    @property
    def device(self) -> Device:
        """The device that serves; its flash is in whatever situation it was left."""
        return self._device

    def run(self, event: Event, situation: Situation) -> Done:
        """What `event` does to a device in `situation`."""
        if event.resets:
            situation = Situation(situation.cells, situation.counter)
        effect = self._known((event.name, (), *situation[1:]), situation.cells)
        if effect is None:
            effect = self._work_out(event, situation)
        return Done(effect.result, Situation(effect.end, effect.counter, effect.running_slot), effect)

    def _known(self, question: Question, cells: Cells) -> Effect | None:
        effects = self._effects.get(question, [])
        for place, known in enumerate(effects):
            effect = known.on(cells)
            if effect is not None:
                # In the place of the one that it was found by: what is asked next differs less from it.
                del effects[place]
                effects.insert(0, effect)
                return effect
        return None

    def _remember(self, question: Question, effect: Effect) -> None:
        effects = self._effects.setdefault(question, [])
        effects.insert(0, effect)
        del effects[EFFECTS_A_QUESTION:]

    def _work_out(self, event: Event, situation: Situation) -> Effect:
        self.executed += 1
        device, flash = self._device, self._flash
        self._put_into(situation)
        self._stretches = []
        self._operations_left = self._limit
        flash.watch(2 * self._limit)
        self._begin((event.name, (), *situation[1:]))
        device.on_checkpoint = self._checkpoint
        flash.on_operation = self._operation
        known: _KnownError | None = None
        result: Hashable = None
        try:
            result = performed(event, device)
        except _KnownError as broken_off:
            known = broken_off
        finally:
            device.on_checkpoint = None
            flash.on_operation = None
        if known is not None:
            return self._linked(known.effect)
        self._end_stretch()
        last = self._stretches.pop()
        left = Situation(tuple(self._sectors_held), device.counter_register, device.running_slot)
        effect = Effect.ending(last.start, last.seen, left, result, last.operations)
        self._remember(last.question, effect)
        return self._linked(effect)

    def _linked(self, effect: Effect) -> Effect:
        """The effect from the event's start on, where what followed its stretches did `effect`."""
        step = ceil_div(len(self._stretches), CHECKPOINTS_AN_EVENT)
        kept = True
        for place, stretch in reversed(tuple(enumerate(self._stretches))):
            effect = Effect.before(effect, stretch.start, stretch.seen, stretch.operations)
            if not kept:
                effect = effect.without_link()
            kept = place % step == 0
            if kept:
                self._remember(stretch.question, effect)
        return effect

    def _put_into(self, situation: Situation) -> None:
        device, flash, cells = self._device, self._flash, self._sectors_held
        size = flash.geometry.sector_size
        for number in tuple(differing(situation.cells, cells)):
            cells[number] = situation.cells[number]
            flash.damage(number * size, cells[number])
        device.counter_register = situation.counter
        device.running_slot = situation.running_slot
        # What only tells of the past would grow without end.
        device.journal.clear()
        flash.op_end_ns.clear()
        flash.op_end_nj.clear()

    def _begin(self, question: Question) -> None:
        self._question = question
        self._began = tuple(self._sectors_held)
        self._operations = []

    def _end_stretch(self) -> None:
        flash = self._flash
        for number in flash.seen.changed:
            self._sectors_held[number] = self._one_object(flash.peek(number))
        self._stretches.append(_Stretch(self._question, self._began, flash.seen, tuple(self._operations)))
        flash.watch(flash.reads_left)

    def _one_object(self, sector: bytes) -> bytes:
        """The same bytes, as the object that they were met as first: so comparisons are of addresses."""
        if len(self._objects) >= OBJECTS:
            self._objects.clear()
        return self._objects.setdefault(sector, sector)

    def _checkpoint(self, where: tuple[Hashable, ...]) -> None:
        self._end_stretch()
        device = self._device
        question = (self._question[0], where, device.counter_register, device.running_slot)
        known = self._known(question, tuple(self._sectors_held))
        if known is not None:
            raise _KnownError(known)
        self._begin(question)

    def _operation(self, offset: int, data: bytes | None) -> None:
        self._operations_left -= 1
        if self._operations_left < 0:
            raise EndlessWorkError("flash operations")
        flash = self._flash
        after = self._erased_unit(flash.erase_size(offset)) if data is None else data
        flash.seen.change(offset, len(after))
        self._operations.append(Operation(offset, after, data is None, self._device.counter_register))

    def _erased_unit(self, n: int) -> bytes:
        known = self._erased.get(n)
        if known is None:
            known = self._erased[n] = bytes([self._flash.geometry.erased_value]) * n
        return known
