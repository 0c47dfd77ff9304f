"""The reference model in cimba: a compiled process a device, on cimba's C engine.

A process lives from its first WAKE, for each has a stack of its own and an engine has room for some 32,000: a
wave's process knows when its devices wake, sorts them once and spawns each in its turn.
"""

from __future__ import annotations

import time

import cimba as cb
import numpy as np
from numba import njit

from . import compiled_tally as t
from . import model as m
from .compiled_draws import delay, draw, key_of, next_wave

TABLE = np.array(m.transfer_table(), np.int64)


@njit
def wakes_of(first, last, seed):
    """The delays until the devices of a wave wake, and the order in which they do."""
    wakes = np.empty(last - first, np.int64)
    for i in range(first, last):
        wakes[i - first] = delay(key_of(seed, i), m.WAKE, m.WAKE_MS, 0)
    return wakes, np.argsort(wakes)


class Fleet(cb.Model):
    """The slots, the controller, and a process for each wave that spawns its devices as they wake."""

    devices: cb.Param[int]
    seed: cb.Param[int]
    slots: cb.Resource
    tally: cb.Array[int]
    to_open: cb.Store[int]
    checksum: cb.Output[int]
    reported: cb.Output[int]
    reverted: cb.Output[int]
    waves: cb.Output[int]
    events: cb.Output[int]
    end_ms: cb.Output[int]

    @cb.process
    def begin(self):
        """Open wave 0."""
        self.to_open.put(0)

    @cb.process(copies=len(m.BOUNDS_PERCENT) - 1)
    def wave(self):
        """Wait for a wave to open, then spawn each of its devices in its turn."""
        wave = self.to_open.get()
        self.tally[t.WAVES] += 1
        first = self.tally[t.BOUNDS + wave]
        wakes, order = wakes_of(first, self.tally[t.BOUNDS + wave + 1], self.seed)
        begun = 0
        for k in range(len(order)):
            wake = wakes[order[k]]
            if wake > begun:
                cb.hold(float(wake - begun))
                begun = wake
            cb.spawn(Device, fleet=self, number=first + order[k])

    @cb.on_end
    def measure(self):
        """Copy the tally into what a trial gives back."""
        self.checksum = self.tally[t.CHECKSUM]
        self.reported = self.tally[t.REPORTED]
        self.reverted = self.tally[t.REVERTED]
        self.waves = self.tally[t.WAVES]
        self.events = self.tally[t.EVENTS]
        self.end_ms = self.tally[t.END_MS]


class Device(cb.Model):
    """One device, from its first WAKE to its report."""

    fleet: cb.Ref[Fleet]
    number: int

    @cb.process
    def life(self):
        """Its life."""
        fleet = self.fleet
        key = key_of(fleet.seed, self.number)
        wakes = 1
        while draw(key, m.BATTERY, wakes - 1) < m.BATTERY_LOW:
            cb.hold(float(delay(key, m.CHARGE, m.CHARGE_MS, wakes - 1)))
            wakes += 1
        cb.hold(float(delay(key, m.WINDOW, m.WINDOW_MS, 0)))
        cb.hold(float(delay(key, m.CHECK, m.CHECK_MS, 0)))
        remaining = TABLE[draw(key, m.TRANSFER, 0) >> 22]
        drops = 0
        dropped = True
        while dropped:
            fleet.slots.acquire(1)
            dropped = draw(key, m.DROP, drops) < m.DROPS
            cb.hold(float((remaining + 1) // 2 if dropped else remaining))
            fleet.slots.release(1)
            if dropped:
                remaining = max(1, remaining // 2)
                cb.hold(float(delay(key, m.BACKOFF, m.BACKOFF_MS, drops)))
                drops += 1
        cb.hold(float(delay(key, m.VERIFY, m.VERIFY_MS, 0)))
        cb.hold(float(delay(key, m.PATCH, m.PATCH_MS, 0)))
        cb.hold(float(delay(key, m.INSTALL, m.INSTALL_MS, 0)))
        cb.hold(float(delay(key, m.REBOOT, m.REBOOT_MS, 0)))
        cb.hold(float(delay(key, m.HEALTH, m.HEALTH_MS, 0)))
        reverted = 1 if draw(key, m.DEFECT, 0) < m.DEFECTIVE else 0
        cb.hold(float(delay(key, m.FINISH, m.REVERT_MS if reverted else m.CONFIRM_MS, 0)))
        cb.hold(float(delay(key, m.REPORT, m.REPORT_MS, 0)))
        fleet.tally[t.EVENTS] += wakes + 2 + 2 * (drops + 1) + drops + m.AFTER_TRANSFER
        opens = next_wave(fleet.tally, self.number, int(cb.now()), reverted)
        if opens >= 0:
            fleet.to_open.put(opens)


def run(devices: int, seed: int) -> tuple[float, m.Outcome]:
    """Seconds of one trial, compiling included where nothing is compiled yet, and what came out."""
    fleet = Fleet()
    fleet.devices, fleet.seed = devices, seed
    fleet.slots = cb.Resource(capacity=m.slots_of(devices))
    fleet.tally = cb.Array(t.fresh_tally(devices).tolist())
    experiment = cb.Experiment(fleet, replications=1, window=cb.Window.until_idle())
    began = time.perf_counter()
    results = experiment.run(workers=1)
    seconds = time.perf_counter() - began
    found = results[fleet]

    def one(name: str) -> int:
        return int(np.asarray(getattr(found, name)).ravel()[0])

    reverted = one("reverted")
    return seconds, m.Outcome(
        one("checksum") & m.MASK64,
        one("reported") - reverted,
        reverted,
        one("waves"),
        one("events"),
        one("end_ms"),
    )
