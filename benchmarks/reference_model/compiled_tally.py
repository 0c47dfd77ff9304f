"""What a compiled run adds up: where its whole numbers lie, how they begin and what they say in the end."""

from __future__ import annotations

from typing import Final

import numpy as np

from . import model as m

DEVICE_MASK: Final = (1 << m.DEVICE_BITS) - 1

# What `tally` holds: whole numbers of a run, 64 bits each.
FREE, HEAD, TAIL, EVENTS, WAVES, REVERTED, REPORTED, END_MS, CHECKSUM = range(9)
REPORTED_OF_WAVE, FAILED_OF_WAVE, ENOUGH_OF_WAVE, BOUNDS = 9, 14, 19, 24
TALLIES: Final = BOUNDS + 6


def fresh_tally(devices: int) -> np.ndarray:
    """The tally of a run that has not begun."""
    if not m.DEVICES_LEAST <= devices <= DEVICE_MASK:
        raise ValueError(f"devices: found {devices}, expected {m.DEVICES_LEAST} to {DEVICE_MASK}")
    tally = np.zeros(TALLIES, np.int64)
    tally[FREE], tally[HEAD], tally[TAIL] = m.slots_of(devices), -1, -1
    bounds = m.bounds_of(devices)
    tally[BOUNDS:] = bounds
    for wave in range(5):
        tally[ENOUGH_OF_WAVE + wave] = -(-(bounds[wave + 1] - bounds[wave]) * m.ENOUGH_PERCENT // 100)
    return tally


def outcome_of(tally: np.ndarray) -> m.Outcome:
    """What a run's tally says."""
    reverted = int(tally[REVERTED])
    return m.Outcome(
        int(tally[CHECKSUM]) & m.MASK64,
        int(tally[REPORTED]) - reverted,
        reverted,
        int(tally[WAVES]),
        int(tally[EVENTS]),
        int(tally[END_MS]),
    )
