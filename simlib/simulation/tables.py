"""From the life-cycle's columns and the run's log to the tables of a result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simlib.errors import Reason
from simlib.lifecycle.codes import OUTCOME_CODE, REASON_CODE, REASONS
from simlib.lifecycle.columns import Fleet
from simlib.lifecycle.phases import Phase
from simlib.outcomes import Outcome
from simlib.simulation.device_rows import PART_ROWS
from simlib.simulation.log import RunLog
from simlib.simulation.recorder import STATES, Recorder
from simlib.simulation.rows import DeviceRows


def close_pending(fleet: Fleet, *, halted: bool, interrupted: bool = False) -> None:
    """Give every device that has not ended its outcome at the end of the run: `pending`, and why.

    One that could never be reached was never offered the release: `deferred`, and what kept it away.
    """
    late = REASON_CODE[Reason.INTERRUPTED if interrupted else Reason.HORIZON]
    unasked = REASON_CODE[Reason.INTERRUPTED if interrupted else Reason.NOT_OFFERED]
    for start in range(0, len(fleet.phase), PART_ROWS):
        part = slice(start, min(start + PART_ROWS, len(fleet.phase)))
        which = np.flatnonzero(np.asarray(fleet.phase[part]) < Phase.REPORTING)
        if not len(which):
            continue
        barred, offered_ms, started_ms = (
            np.asarray(column[part])[which] for column in (fleet.barred, fleet.offered_ms, fleet.started_ms)
        )
        why = np.where(offered_ms >= 0, late, unasked)
        if halted:
            why[started_ms < 0] = REASON_CODE[Reason.ROLLOUT_HALTED]
        # The server never heard of a barred one: no report.
        ends = np.where(barred > 0, OUTCOME_CODE[Outcome.DEFERRED], OUTCOME_CODE[Outcome.PENDING])
        _set(fleet.outcome, start + which, ends)
        _set(fleet.reason, start + which, np.where(barred > 0, barred, why))


def _set(column: Any, which: NDArray[np.int64], values: NDArray[Any]) -> None:
    if not isinstance(column, list):
        column[which] = values
        return
    for row, value in zip(which.tolist(), values.tolist(), strict=True):
        column[row] = value


def group_table(devices: DeviceRows, log: RunLog, silent: Sequence[int]) -> pd.DataFrame:
    """`groups.parquet`: the truth by group, and how many began and then missed the deadline."""
    groups = len(log.groups)
    offered = np.zeros(groups, dtype=np.int64)
    for start in range(0, len(devices), PART_ROWS):
        number = devices.column("group", start, start + PART_ROWS) - 1
        was = devices.column("offered_ms", start, start + PART_ROWS) >= 0
        offered += np.bincount(number[was], minlength=groups)
    counts, (outcomes,) = _counts(devices, groups, "outcome")
    ended = ("updated", "reverted", "bricked", "lost", "failed")
    return pd.DataFrame(
        {"group": np.arange(1, groups + 1), "size": counts.sum(axis=1), "offered": offered}
        | {outcome: counts[:, outcomes.index(outcome)] for outcome in ended}
        | {
            "silent": np.array(silent, dtype=np.int64),
            "opened_ms": np.array([group.opened_ms for group in log.groups], dtype=np.int64),
            "closed_ms": np.array([group.closed_ms for group in log.groups], dtype=np.int64),
            "decision": [group.decision for group in log.groups],
        }
    )


def _counts(devices: DeviceRows, groups: int, *columns: str) -> tuple[NDArray[np.int64], list[list[str]]]:
    """How many devices there are: an axis for the group, then one for each column of names; and the names."""
    names = [list(devices.codes(column, 0, 0)[1]) for column in columns]
    shape = (groups, *map(len, names))
    counts = np.zeros(math.prod(shape), dtype=np.int64)
    for start in range(0, len(devices), PART_ROWS):
        stop = start + PART_ROWS
        cell = devices.column("group", start, stop) - 1
        for column, of in zip(columns, names, strict=True):
            cell = cell * len(of) + devices.codes(column, start, stop)[0]
        counts += np.bincount(cell, minlength=len(counts))
    return counts.reshape(shape), names


def timeline_table(recorder: Recorder) -> pd.DataFrame:
    """`timeline.parquet`: a row a sample; bytes on the links since the start, and devices in each state."""
    times = np.array([t for t, _, _ in recorder.samples], dtype=np.int64)
    link_bytes = np.array([b for _, b, _ in recorder.samples], dtype=np.int64)
    counts = np.array([c for _, _, c in recorder.samples], dtype=np.int64).reshape(-1, len(STATES))
    return pd.DataFrame(
        {"time_ms": times, "bytes_on_links": link_bytes}
        | {state: counts[:, column] for column, state in enumerate(STATES)}
    )


def alert_table(recorder: Recorder) -> pd.DataFrame:
    """`alerts.parquet`; `group` and `device` are −1 where none is meant."""
    columns = ("time_ms", "severity", "alert", "group", "device", "detail")
    rows = [tuple(getattr(alert, c) for c in columns) for alert in recorder.alerts]
    return pd.DataFrame(rows, columns=list(columns))


def belief_table(devices: DeviceRows) -> pd.DataFrame:
    """`beliefs.parquet`: for each group, how many devices the server believes ended so, and how they did."""
    parts = range(0, len(devices), PART_ROWS)
    groups = max(int(devices.column("group", start, start + PART_ROWS).max()) for start in parts)
    counts, (believed, true) = _counts(devices, groups, "reported_outcome", "outcome")
    rows = sorted((int(g) + 1, believed[b], true[t]) for g, b, t in np.argwhere(counts))
    numbers = [counts[g - 1, believed.index(b), true.index(t)] for g, b, t in rows]
    frame = pd.DataFrame(rows, columns=["group", "believed", "true"])
    return frame.assign(devices=np.array(numbers, dtype=np.int64))


def error_table(recorder: Recorder) -> pd.DataFrame:
    """`errors.parquet`: a row a step that failed, in order: what the device was doing, why it failed."""
    errors = recorder.error_rows()
    phases = np.array([phase.name.lower() for phase in Phase], dtype=object)
    reasons = np.array([r.value for r in REASONS], dtype=object)
    return pd.DataFrame(
        {
            "time_ms": errors[:, 0],
            "device": errors[:, 1],
            "step": phases[errors[:, 2]],
            "reason": reasons[errors[:, 3]],
            "attempt": errors[:, 4],
        }
    )


def grant_table(recorder: Recorder) -> pd.DataFrame:
    """`grants.parquet`: a row a transfer, in the order in which they ended."""
    grants = recorder.grant_rows()
    return pd.DataFrame({"device": grants[:, 0], "ended_ms": grants[:, 1], "missing_bytes": grants[:, 2]})
