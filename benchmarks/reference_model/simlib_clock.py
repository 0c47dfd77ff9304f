"""The reference model on simlib's SimPy clock: a process a device, ties by device number.

The clock of simlib shares links fairly and has no slots, so the slots are a counter and a queue here; who
waits for one sets a timer beyond the horizon and is woken.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from typing import Any, Final

from simlib.engine.simpy_clock import SimpyClock

from . import model as m

HORIZON_MS: Final = 1 << 39
NEVER_MS: Final = HORIZON_MS + 1


class Slots:
    """So many transfers at once; the others wait in the order in which they asked."""

    def __init__(self, clock: SimpyClock, count: int) -> None:
        self.clock = clock
        self.free = count
        self.waiting: deque[int] = deque()

    def ask(self, number: int) -> bool:
        """Whether there is a slot at once; otherwise the device will be woken."""
        if self.free:
            self.free -= 1
            return True
        self.waiting.append(number)
        return False

    def give_back(self) -> None:
        """Hand the slot to whoever waits longest."""
        if self.waiting:
            self.clock.wake(self.waiting.popleft(), self.clock.now)
        else:
            self.free += 1


def device(
    clock: SimpyClock, slots: Slots, controller: m.Controller, number: int, key: int
) -> Generator[Any, Any, None]:
    """One device, from its first WAKE to its report."""
    timer = clock.timer
    wakes = 1
    while m.draw(key, m.BATTERY, wakes - 1) < m.BATTERY_LOW:
        yield timer(number, clock.now + m.delay(key, m.CHARGE, m.CHARGE_MS, wakes - 1))
        wakes += 1
    yield timer(number, clock.now + m.delay(key, m.WINDOW, m.WINDOW_MS))
    yield timer(number, clock.now + m.delay(key, m.CHECK, m.CHECK_MS))
    remaining = m.transfer_table()[m.draw(key, m.TRANSFER) >> 22]
    drops = 0
    while True:
        if not slots.ask(number):
            yield timer(number, NEVER_MS)
        dropped = m.draw(key, m.DROP, drops) < m.DROPS
        yield timer(number, clock.now + ((remaining + 1) // 2 if dropped else remaining))
        slots.give_back()
        if not dropped:
            break
        remaining = max(1, remaining // 2)
        yield timer(number, clock.now + m.delay(key, m.BACKOFF, m.BACKOFF_MS, drops))
        drops += 1
    yield timer(number, clock.now + m.delay(key, m.VERIFY, m.VERIFY_MS))
    yield timer(number, clock.now + m.delay(key, m.PATCH, m.PATCH_MS))
    yield timer(number, clock.now + m.delay(key, m.INSTALL, m.INSTALL_MS))
    yield timer(number, clock.now + m.delay(key, m.REBOOT, m.REBOOT_MS))
    yield timer(number, clock.now + m.delay(key, m.HEALTH, m.HEALTH_MS))
    reverted = m.draw(key, m.DEFECT) < m.DEFECTIVE
    yield timer(number, clock.now + m.delay(key, m.FINISH, m.REVERT_MS if reverted else m.CONFIRM_MS))
    yield timer(number, clock.now + m.delay(key, m.REPORT, m.REPORT_MS))
    controller.events += wakes + 2 + 2 * (drops + 1) + drops + m.AFTER_TRANSFER
    controller.report(number, clock.now, reverted)


def run(devices: int, seed: int) -> tuple[float, m.Outcome]:
    """Seconds of the clock alone, and what came out."""
    clock = SimpyClock([], HORIZON_MS)
    slots = Slots(clock, m.slots_of(devices))

    def open_wave(numbers: range) -> None:
        for number in numbers:
            key = m.key_of(seed, number)
            at = clock.now + m.delay(key, m.WAKE, m.WAKE_MS)
            clock.spawn(number, device(clock, slots, controller, number, key), at=at)

    controller = m.Controller(devices, open_wave)
    m.transfer_table()
    began = time.perf_counter()
    controller.start()
    clock.run()
    return time.perf_counter() - began, controller.outcome()
