"""What devices tell of a continuous quantity: the energy they take for their own work.

A gate may compare the devices that run the new release with a control that does not have it yet. What a
device tells is what it has measured: what its habit takes, what its cohort idles at, what a defect drains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simlib.draws import Purpose, draws32
from simlib.lifecycle.codes import OUTCOME_CODE
from simlib.lifecycle.columns import Fleet
from simlib.lifecycle.phases import Phase
from simlib.outcomes import Outcome

CONTROL: Final = 2_000
"""Devices at most of which the control consists: those with the least draws."""
_UPDATED: Final = OUTCOME_CODE[Outcome.UPDATED]
_WAITING: Final = int(Phase.WAITING)


def metric(
    fleet: Fleet,
    keys: NDArray[np.uint64],
    groups: NDArray[Any],
    released_ms: NDArray[np.int64],
    group: int,
    now: int,
) -> tuple[Sequence[int], Sequence[int]]:
    """Power [µJ/h] at `now` of the devices of `group` that reported success, and of those not yet released.

    `keys` are of the devices' draws, `groups` their groups; `released_ms` is −1 for the latter. Each sample
    is in device order.
    """
    told = np.flatnonzero((groups == group) & (np.asarray(fleet.reported) == _UPDATED))
    waits = (np.asarray(fleet.phase) == _WAITING) & (np.asarray(fleet.barred) == 0)
    control = np.flatnonzero((released_ms < 0) & waits)
    if len(control) > CONTROL:
        drawn = draws32(keys[control], Purpose.SAMPLE, 0)
        control = np.sort(control[np.argsort(drawn, kind="stable")[:CONTROL]])
    return _power(fleet, told.tolist(), now), _power(fleet, control.tolist(), now)


def _power(fleet: Fleet, devices: list[int], now: int) -> list[int]:
    return [
        int(fleet.use_uj_per_hour[i] + fleet.idle_uj_per_hour[fleet.cohort[i]])
        + (
            int(fleet.defect_uj_per_hour[fleet.defect[i]])
            if 0 <= fleet.drain_from_ms[i] <= now and fleet.defect[i] >= 0
            else 0
        )
        for i in devices
    ]
