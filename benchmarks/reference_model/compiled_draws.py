"""The reference model's draws and wave bookkeeping for numba: the bodies of `model` on 64-bit integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64

from . import compiled_tally as t
from . import model as m

U30, U27, U31, U32 = (np.uint64(shift) for shift in (30, 27, 31, 32))
MIX_A, MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
GOLDEN = np.uint64(m.GOLDEN)


@njit(inline="always")
def mix(z: Any) -> Any:
    """SplitMix64's finaliser."""
    z = (z ^ (z >> U30)) * MIX_A
    z = (z ^ (z >> U27)) * MIX_B
    return z ^ (z >> U31)


@njit
def key_of(seed: Any, device: Any) -> Any:
    """The key of a device's draws."""
    return mix(mix(uint64(seed) * GOLDEN) + uint64(device + 1) * GOLDEN)


@njit
def draw(key: Any, purpose: Any, occurrence: Any) -> Any:
    """A whole number from 0 to 2**32 - 1, as a signed one."""
    return np.int64(mix(key + uint64(16 * occurrence + purpose + 1) * GOLDEN) >> U32)


@njit
def delay(key: Any, purpose: Any, span: Any, occurrence: Any) -> Any:
    """A delay [ms] out of `span`: the least, and how many more there may be."""
    return span[0] + (draw(key, purpose, occurrence) * span[1] >> 32)


@njit
def next_wave(tally: Any, device: Any, now: Any, reverted: Any) -> Any:
    """Count a report. The wave it opens, or -1."""
    wave = 0
    while tally[t.BOUNDS + wave + 1] <= device:
        wave += 1
    # Signed 64-bit products wrap, so their lowest 64 bits are the checksum's.
    tally[t.CHECKSUM] += now * (device + 1)
    tally[t.END_MS] = now
    tally[t.REPORTED] += 1
    tally[t.REVERTED] += reverted
    tally[t.REPORTED_OF_WAVE + wave] += 1
    tally[t.FAILED_OF_WAVE + wave] += reverted
    reported = tally[t.REPORTED_OF_WAVE + wave]
    if reported != tally[t.ENOUGH_OF_WAVE + wave] or wave == 4:
        return -1
    if tally[t.FAILED_OF_WAVE + wave] * 100 > m.FAILED_PERCENT * reported:
        return -1
    return wave + 1
