"""The memory a compiled run starts with: the fleet's rows, the queue, and what the loop writes down."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simlib.draws import GOLDEN, MASK64, mix64
from simlib.engine import calendar as calendars
from simlib.fleet import Population, Route
from simlib.lifecycle.phases import Phase
from simlib.scenario.model import ScenarioSpec
from simlib.simulation import book as books
from simlib.simulation import program
from simlib.simulation.links import Attachment
from simlib.simulation.memory import Directory, FleetMemory, elements, slots_of, zeros
from simlib.simulation.recorder import STATES
from simlib.simulation.shared_links import SharesMemory


def fleet_memory(
    spec: ScenarioSpec,
    population: Population,
    routes: Sequence[Route],
    devices: Mapping[str, NDArray[Any]],
    others: Mapping[str, MutableSequence[int]],
    attachment: Attachment,
    shares: SharesMemory,
) -> FleetMemory:
    """The fleet's rows and columns at time 0."""
    starts = np.array([0, *accumulate(len(route.weights) for route in routes)], dtype=np.int64)
    first_class = np.array(shares.first_class, dtype=np.int16)
    return FleetMemory(
        program.FLEET,
        devices,
        others,
        rows=spec.devices,
        keys=population.keys,
        key_start=mix64((spec.seed * GOLDEN) & MASK64),
        route=(starts[population.cohort] + population.rate).astype(np.int16),
        looked={
            "link": ("rate_class", shares.link_of_class),
            **{
                name: (
                    "route",
                    np.array([price for r in routes for price in getattr(r, name)], dtype=np.int64),
                )
                for name in ("rx_pj_per_byte", "tx_pj_per_byte")
            },
        },
        loop={"rate_class": (first_class[attachment.link_column] + attachment.class_column).astype(np.int16)},
    )


def calendar_memory(
    devices: int, horizon_ms: int, rows: NDArray[np.uint8], messages: NDArray[np.uint8]
) -> Directory:
    """An empty queue; `rows` and `messages` are what is fetched before a device's turn."""
    shift, buckets = calendars.shape(devices, horizon_ms)
    state = np.zeros(calendars.STATES, dtype=np.int64)
    state[calendars.AT_SHIFT], state[calendars.AT_BUCKETS] = shift, buckets
    state[calendars.AT_HEAP_ROOM] = 2 * devices + 64
    made = Directory(program.CALENDAR_MESSAGES + 1)
    for name, memory in {
        "due": zeros(devices, program.NODE_BYTES, dense=True),
        "head": zeros(buckets, 4, dense=True),
        "keys": zeros(devices, 8),
        "heap": zeros(2 * devices + 64, 8),
        "state": state,
    }.items():
        made.put(program.CALENDAR[name].slot, memory)
    made.put(program.CALENDAR_ROWS, rows)
    made.put(program.CALENDAR_MESSAGES, messages)
    return made


def book_memory(
    spec: ScenarioSpec,
    attachment: Attachment,
    memory: FleetMemory,
    shares: SharesMemory,
    *,
    buffer_rows: int,
    slice_events: int,
) -> tuple[Directory, dict[str, NDArray[np.int64]]]:
    """What the loop writes down, empty, and its columns; buffers have `buffer_rows` rows."""
    changes = sorted(
        (
            (time_ms, number, attachment.links[number].rate(capacity_bps))
            for number, of_link in enumerate(attachment.capacities)
            for time_ms, capacity_bps in of_link
            if time_ms <= spec.horizon_ms
        ),
        key=lambda change: change[0],
    )
    samples = spec.horizon_ms // spec.timeline_ms + 3
    sizes = {
        "grants": 3 * buffer_rows,
        "errors": 5 * buffer_rows,
        "notes": 5 * buffer_rows,
        "counts": len(STATES),
        "later": (samples + 1) * len(STATES),
        "exact": len(STATES),
        "samples": samples * (len(STATES) + 2),
        "ring_ms": books.RING,
        "ring_move": books.RING,
        "change_ms": len(changes),
        "change_link": len(changes),
        "change_units": len(changes),
        "fuses": len(Phase),
        "state": books.STATE_ROWS,
    }
    columns = elements(sizes, sizes)
    for at, (time_ms, link, units) in enumerate(changes):
        columns["change_ms"][at], columns["change_link"][at], columns["change_units"][at] = (
            time_ms,
            link,
            units,
        )
    state = columns["state"]
    state[books.AT_HORIZON] = spec.horizon_ms
    state[books.AT_EVERY] = spec.timeline_ms
    state[books.AT_ROOM] = buffer_rows
    state[books.AT_CHANGES] = len(changes)
    state[books.AT_WINDOWED] = int(spec.rollout.window is not None)
    state[books.AT_PATIENCE] = spec.alerts.silent_ms
    state[books.AT_SLICE] = slice_events
    made = Directory(slots_of(program.BOOK))
    for name, column in columns.items():
        made.put(program.BOOK[name].slot, column)
    made.put(program.BOOK["rate_class"].slot, memory.hot)
    made.put(program.BOOK["waits"].slot, memory.hot)
    made.put(program.BOOK["link"].slot, shares.link_of_class)
    made.put(program.BOOK["missing"].slot, memory.rare)
    return made, columns
