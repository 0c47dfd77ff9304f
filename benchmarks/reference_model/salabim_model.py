"""The reference model in salabim: a component a device, in the yieldless mode that is salabim's default.

Its monitors are switched off, as nobody looks at them: otherwise salabim records each component's status.
"""

from __future__ import annotations

import time

import salabim as sim

from . import model as m


class Device(sim.Component):
    """One device, from the opening of its wave to its report."""

    def setup(self, number: int, slots: sim.Resource, controller: m.Controller, seed: int) -> None:
        """What it is part of."""
        self.number, self.slots, self.controller = number, slots, controller
        self.key = m.key_of(seed, number)
        self.status.monitor(False)
        self.mode.monitor(False)

    def process(self) -> None:
        """Its life."""
        key = self.key
        self.hold(m.delay(key, m.WAKE, m.WAKE_MS))
        wakes = 1
        while m.draw(key, m.BATTERY, wakes - 1) < m.BATTERY_LOW:
            self.hold(m.delay(key, m.CHARGE, m.CHARGE_MS, wakes - 1))
            wakes += 1
        self.hold(m.delay(key, m.WINDOW, m.WINDOW_MS))
        self.hold(m.delay(key, m.CHECK, m.CHECK_MS))
        remaining = m.transfer_table()[m.draw(key, m.TRANSFER) >> 22]
        drops = 0
        while True:
            self.request(self.slots)
            dropped = m.draw(key, m.DROP, drops) < m.DROPS
            self.hold((remaining + 1) // 2 if dropped else remaining)
            self.release(self.slots)
            if not dropped:
                break
            remaining = max(1, remaining // 2)
            self.hold(m.delay(key, m.BACKOFF, m.BACKOFF_MS, drops))
            drops += 1
        self.hold(m.delay(key, m.VERIFY, m.VERIFY_MS))
        self.hold(m.delay(key, m.PATCH, m.PATCH_MS))
        self.hold(m.delay(key, m.INSTALL, m.INSTALL_MS))
        self.hold(m.delay(key, m.REBOOT, m.REBOOT_MS))
        self.hold(m.delay(key, m.HEALTH, m.HEALTH_MS))
        reverted = m.draw(key, m.DEFECT) < m.DEFECTIVE
        self.hold(m.delay(key, m.FINISH, m.REVERT_MS if reverted else m.CONFIRM_MS))
        self.hold(m.delay(key, m.REPORT, m.REPORT_MS))
        self.controller.events += wakes + 2 + 2 * (drops + 1) + drops + m.AFTER_TRANSFER
        self.controller.report(self.number, int(self.env.now()), reverted)


def run(devices: int, seed: int) -> tuple[float, m.Outcome]:
    """Seconds of the clock alone, and what came out."""
    env = sim.Environment(trace=False)
    slots = sim.Resource("slots", capacity=m.slots_of(devices), honor_only_first=True, monitor=False, env=env)

    def open_wave(numbers: range) -> None:
        for number in numbers:
            Device(env=env, number=number, slots=slots, controller=controller, seed=seed)

    controller = m.Controller(devices, open_wave)
    m.transfer_table()
    began = time.perf_counter()
    controller.start()
    env.run()
    return time.perf_counter() - began, controller.outcome()
