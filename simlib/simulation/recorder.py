"""What a run writes down as it goes: state counts over time, link grants, failed steps, alerts.

Nothing here influences the run. The grants (when each transfer ended, and how much was missing) are what
a single device's life depends on beyond its own draws, so with them `explain` can replay one device
without the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simlib.lifecycle.codes import OUTCOMES
from simlib.lifecycle.columns import Fleet
from simlib.lifecycle.phases import Phase

STATES: Final = (
    *(phase.name.lower() for phase in Phase if phase < Phase.REPORTING),
    *(outcome.value for outcome in OUTCOMES),
)
"""Columns of the timeline: what a device is doing, or how it ended."""

_REPORTING = int(Phase.REPORTING)


@dataclass(frozen=True, slots=True)
class Alert:
    """A row of `alerts.parquet`; `group` and `device` are −1 where none is meant."""

    time_ms: int
    severity: str
    alert: str
    group: int
    device: int
    detail: str


@dataclass
class Recorder:
    """The sinks of one run."""

    devices: int
    counts: list[int] = field(init=False)
    samples: list[tuple[int, int, list[int]]] = field(default_factory=list)  # time, bytes, counts
    grants: list[tuple[int, int, int]] = field(default_factory=list)  # device, ended at, bytes missing
    alerts: list[Alert] = field(default_factory=list)
    errors: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    """Of each step that failed: time, device, phase it was in, reason code, attempts so far."""
    on_alert: Callable[[Alert], None] | None = None
    grant_parts: list[NDArray[np.int64]] = field(default_factory=list)
    """Grants and errors that a compiled clock wrote, in order, instead of `grants` and `errors`."""
    error_parts: list[NDArray[np.int64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = [0] * len(STATES)
        self.counts[0] = self.devices

    def moved(self, before: int, after: int) -> None:
        """A device went from one state to another; states as `state_of` gives them."""
        self.counts[before] -= 1
        self.counts[after] += 1

    def sample(self, now: int, bytes_on_links: int) -> None:
        """One row of the timeline: bytes so far, and how many devices are in each state."""
        self.samples.append((now, bytes_on_links, self.counts.copy()))

    def error(self, now: int, device: int, phase: int, reason: int, attempt: int) -> None:
        """A step of a device failed."""
        self.errors.append((now, device, phase, reason, attempt))

    def grant_rows(self) -> NDArray[np.int64]:
        """All grants, a row each."""
        return _rows(self.grants, self.grant_parts, 3)

    def error_rows(self) -> NDArray[np.int64]:
        """All errors, a row each."""
        return _rows(self.errors, self.error_parts, 5)

    def alert(self, alert: Alert) -> None:
        """Note an alert and pass it on."""
        self.alerts.append(alert)
        if self.on_alert is not None:
            self.on_alert(alert)


def _rows(
    written: Sequence[tuple[int, ...]], parts: Sequence[NDArray[np.int64]], width: int
) -> NDArray[np.int64]:
    return np.concatenate([np.array(written, dtype=np.int64).reshape(-1, width), *parts])


def state_of(fleet: Fleet, i: int) -> int:
    """The timeline column of device `i`: its phase, or once it has ended, its outcome."""
    phase = fleet.phase[i]
    return int(phase if phase < _REPORTING else _REPORTING + fleet.outcome[i])
