"""What an event costs on the SimPy clock, and a join and finish on the fair link.

    python benchmarks/clock.py [N ...]

Prints process time, least of three runs; compare figures of one run only, machines and loads differ.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Generator
from functools import partial
from heapq import heapify, heapreplace
from typing import Any

from simpy.events import Event

from simlib.engine.link import FairLink, unit_bits
from simlib.engine.simpy_clock import SimpyClock

HOUR_MS = 3_600_000
CAPS_BPS = [20_000 + 2_500 * r for r in range(32)]


def least(measure: Callable[[], tuple[float, int]]) -> float:
    """The least nanoseconds for each event of three runs of `measure`, which returns (seconds, events)."""
    return min(seconds * 1e9 / events for seconds, events in (measure() for _ in range(3)))


def hold(pending: int) -> tuple[float, int]:
    """What the queue alone costs: SimPy's heap of tuples, replaced at random with `pending` in it."""
    rng = random.Random(1)
    heap = [(rng.randrange(HOUR_MS), device, 0, None) for device in range(pending)]
    heapify(heap)
    delays = [rng.randrange(HOUR_MS) for _ in range(200_000)]
    begin = time.process_time()
    for delay in delays:
        now, device, _, _ = heap[0]
        heapreplace(heap, (now + delay, device, 0, None))
    return time.process_time() - begin, len(delays)


def timers(devices: int) -> tuple[float, int]:
    """Ten timers a device, started over an hour."""
    clock = SimpyClock([], 100 * HOUR_MS)

    def life(device: int) -> Generator[Event, Any, None]:
        rng_state = device
        for _ in range(10):
            rng_state = (rng_state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
            yield clock.timer(device, clock.now + 1 + rng_state % HOUR_MS)

    rng = random.Random(1)
    for device in range(devices):
        clock.spawn(device, life(device), at=rng.randrange(HOUR_MS))
    begin = time.process_time()
    clock.run()
    return time.process_time() - begin, clock.events


def fleet(devices: int, classes: int) -> tuple[float, int]:
    """A start, five timers and a download of 100 kB on a shared link at 90 % load, over twelve hours."""
    horizon_ms = 48 * HOUR_MS
    capacity_bps = devices * 100_000 // (12 * 3600) * 10 // 9
    caps = CAPS_BPS[:classes]
    bits = unit_bits(devices, 100_000, max(caps), horizon_ms)
    clock = SimpyClock([FairLink(caps, capacity_bps, bits)], horizon_ms)

    def life(device: int) -> Generator[Event, Any, None]:
        for pause in (1, 800, 50):
            yield clock.timer(device, clock.now + pause)
        yield clock.join(device, 0, device % classes, 100_000)
        for pause in (4_000, 60_000):
            yield clock.timer(device, clock.now + pause)

    rng = random.Random(1)
    for device in range(devices):
        clock.spawn(device, life(device), at=rng.randrange(12 * HOUR_MS))
    begin = time.process_time()
    clock.run()
    return time.process_time() - begin, clock.events


def transfers(active: int, classes: int) -> tuple[float, int]:
    """The link alone: whoever finishes is replaced, with `active` transfers under way."""
    rng = random.Random(1)
    caps = CAPS_BPS[:classes]
    link = FairLink(caps, active * 10_000, 8)
    for device in range(active):
        link.join(0, device, device % classes, rng.randint(1, 200_000))
    sizes = [rng.randint(1, 200_000) for _ in range(20_000)]
    finished = 0
    begin = time.process_time()
    while finished < len(sizes):
        now = link.next_finish()
        for device in link.pop_finished(now):
            link.join(now, device, device % classes, sizes[finished % len(sizes)])
            finished += 1
    return time.process_time() - begin, finished


def main(sizes: list[int]) -> None:
    for devices in sizes:
        print(f"N = {devices}")
        print(f"  queue alone            {least(partial(hold, devices)):8.0f} ns a pop and push")
        print(f"  timers                 {least(partial(timers, devices)):8.0f} ns an event")
        for classes in (1, 32):
            cost = least(partial(fleet, devices, classes))
            print(f"  fleet on a link, R={classes:2}  {cost:8.0f} ns an event")
    for active in (1_000, 20_000):
        for classes in (1, 8, 32):
            cost = least(partial(transfers, active, classes))
            print(f"link, {active} active, R={classes:2}: {cost / 1000:6.1f} µs a join and finish")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [20_000, 120_000])
