"""The reference model as SimPy's guide teaches it: a process a device, a resource for the slots."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import simpy

from . import model as m


def device(
    env: simpy.Environment, slots: simpy.Resource, controller: m.Controller, number: int, seed: int
) -> Generator[simpy.Event, Any, None]:
    """One device, from the opening of its wave to its report."""
    key = m.key_of(seed, number)
    yield env.timeout(m.delay(key, m.WAKE, m.WAKE_MS))
    wakes = 1
    while m.draw(key, m.BATTERY, wakes - 1) < m.BATTERY_LOW:
        yield env.timeout(m.delay(key, m.CHARGE, m.CHARGE_MS, wakes - 1))
        wakes += 1
    yield env.timeout(m.delay(key, m.WINDOW, m.WINDOW_MS))
    yield env.timeout(m.delay(key, m.CHECK, m.CHECK_MS))
    remaining = m.transfer_table()[m.draw(key, m.TRANSFER) >> 22]
    drops = 0
    while True:
        with slots.request() as granted:
            yield granted
            dropped = m.draw(key, m.DROP, drops) < m.DROPS
            yield env.timeout((remaining + 1) // 2 if dropped else remaining)
        if not dropped:
            break
        remaining = max(1, remaining // 2)
        yield env.timeout(m.delay(key, m.BACKOFF, m.BACKOFF_MS, drops))
        drops += 1
    yield env.timeout(m.delay(key, m.VERIFY, m.VERIFY_MS))
    yield env.timeout(m.delay(key, m.PATCH, m.PATCH_MS))
    yield env.timeout(m.delay(key, m.INSTALL, m.INSTALL_MS))
    yield env.timeout(m.delay(key, m.REBOOT, m.REBOOT_MS))
    yield env.timeout(m.delay(key, m.HEALTH, m.HEALTH_MS))
    reverted = m.draw(key, m.DEFECT) < m.DEFECTIVE
    yield env.timeout(m.delay(key, m.FINISH, m.REVERT_MS if reverted else m.CONFIRM_MS))
    yield env.timeout(m.delay(key, m.REPORT, m.REPORT_MS))
    # wakes, WINDOW, CHECK; a START and an end for each transfer, an AGAIN for each drop; what follows
    controller.events += wakes + 2 + 2 * (drops + 1) + drops + m.AFTER_TRANSFER
    controller.report(number, int(env.now), reverted)


def run(devices: int, seed: int) -> tuple[float, m.Outcome]:
    """Seconds of the clock alone, and what came out."""
    env = simpy.Environment()
    slots = simpy.Resource(env, m.slots_of(devices))

    def open_wave(numbers: range) -> None:
        for number in numbers:
            env.process(device(env, slots, controller, number, seed))

    controller = m.Controller(devices, open_wave)
    m.transfer_table()
    began = time.perf_counter()
    controller.start()
    env.run()
    return time.perf_counter() - began, controller.outcome()
