"""The reference model compiled by simlib, every event by itself, with simlib's calendar queue."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from simlib.engine.calendar import DEVICE_BITS, NEVER, NONE, Calendar, push, soonest, take

from . import compiled_tally as t
from . import model as m
from .simlib_code import machine_code, run_clock
from .simlib_steps import (
    AGAIN,
    CHARGE_LEAST,
    CHARGE_MORE,
    CHECK,
    LATE,
    REPORT,
    REPORT_OF_REVERT,
    TRANSFERRED,
    WAKE,
    WAKE_LEAST,
    WAKE_MORE,
    WINDOW_LEAST,
    WINDOW_MORE,
    Book,
    Devices,
    back_off,
    delay,
    draw,
    drawn,
    give_back,
    next_wave,
    start,
    take_slot,
)

WINDOW, VERIFY, PATCH, INSTALL, REBOOT, HEALTH, HEALTH_DEFECTIVE, CONFIRM, REVERT = range(7, 16)
AFTER: Final = {
    TRANSFERRED: (m.VERIFY, m.VERIFY_MS, VERIFY),
    WINDOW: (m.CHECK, m.CHECK_MS, CHECK),
    VERIFY: (m.PATCH, m.PATCH_MS, PATCH),
    PATCH: (m.INSTALL, m.INSTALL_MS, INSTALL),
    INSTALL: (m.REBOOT, m.REBOOT_MS, REBOOT),
    REBOOT: (m.HEALTH, m.HEALTH_MS, HEALTH),
    HEALTH: (m.FINISH, m.CONFIRM_MS, CONFIRM),
    HEALTH_DEFECTIVE: (m.FINISH, m.REVERT_MS, REVERT),
    CONFIRM: (m.REPORT, m.REPORT_MS, REPORT),
    REVERT: (m.REPORT, m.REPORT_MS, REPORT_OF_REVERT),
}
"""Of a phase: the purpose and the span of the delay after it, and the phase that follows."""
EVENTS_A_DEVICE: Final = 11


def open_wave(devices: Devices, calendar: Calendar, book: Book, seed: int, wave: int, now: int) -> None:
    """Each device of the wave waits for its first WAKE."""
    tally = book.tally
    tally[t.WAVES] += 1
    for i in range(tally[t.BOUNDS + wave], tally[t.BOUNDS + wave + 1]):
        push(calendar, now + delay(m.key_of(seed, i), m.WAKE, 0, WAKE_LEAST, WAKE_MORE), i)


def wake(devices: Devices, calendar: Calendar, seed: int, now: int, i: int) -> None:
    """WAKE: charge, or wait for the window."""
    key = m.key_of(seed, i)
    lows = devices.count[i]
    if draw(key, m.BATTERY, lows) < m.BATTERY_LOW:
        devices.count[i] = lows + 1
        push(calendar, now + delay(key, m.CHARGE, lows, CHARGE_LEAST, CHARGE_MORE), i)
    else:
        devices.count[i] = 0
        devices.phase[i] = WINDOW
        push(calendar, now + delay(key, m.WINDOW, 0, WINDOW_LEAST, WINDOW_MORE), i)


def explicit_clock(devices: Devices, calendar: Calendar, book: Book, seed: int) -> int:
    """Run to the end: 0, or LATE."""
    events = 0
    open_wave(devices, calendar, book, seed, 0, 0)
    while True:
        event = soonest(calendar, NEVER)
        if event == NEVER:
            book.tally[t.EVENTS] += events
            return 0
        now = event >> DEVICE_BITS
        if now > book.latest[0]:
            return LATE
        i = take(calendar, event)
        phase = devices.phase[i]
        events += 1
        if phase >= TRANSFERRED:
            key = m.key_of(seed, i)
            if phase == TRANSFERRED:
                give_back(devices, calendar, book, seed, now)
            elif phase == HEALTH:
                phase += int(draw(key, m.DEFECT, 0) < m.DEFECTIVE)  # HEALTH_DEFECTIVE comes after it
            devices.phase[i] = book.following[phase]
            push(
                calendar, now + book.least[phase] + (drawn(key, book.step[phase]) * book.more[phase] >> 32), i
            )
        elif phase == WAKE:
            wake(devices, calendar, seed, now, i)
        elif phase <= AGAIN:
            if take_slot(book, i):
                start(devices, calendar, book, seed, now, i)
        elif phase >= REPORT:
            wave = next_wave(book, i, now, phase - REPORT)
            if wave != NONE:
                open_wave(devices, calendar, book, seed, wave, now)
        else:
            give_back(devices, calendar, book, seed, now)
            back_off(devices, calendar, seed, now, i)


def run(devices: int, seed: int) -> tuple[float, m.Outcome]:
    """Seconds of the clock alone, and what came out."""
    clock = machine_code(explicit_clock, Path(__file__))
    return run_clock(clock, devices, seed, after=AFTER, events_a_device=EVENTS_A_DEVICE)
