"""From the life-cycle's columns and the run's log to the tables of a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simlib.errors import Reason
from simlib.fleet import Population
from simlib.lifecycle.columns import Fleet
from simlib.lifecycle.phases import Phase
from simlib.lifecycle.steps import OUTCOME_CODE, OUTCOMES, REASON_CODE, REASONS
from simlib.outcomes import Outcome
from simlib.release import Release
from simlib.scenario.calibration import radio_profile
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.cases import CaseTable
from simlib.simulation.columns import NJ_PER_UJ
from simlib.simulation.recorder import STATES, Recorder
from simlib.simulation.simpy_run import RunLog

NO_TEXT = "none"


def close_pending(fleet: Fleet, *, halted: bool, interrupted: bool = False) -> None:
    """Give every device that has not ended its outcome at the end of the run: `pending`, and why."""
    pending = OUTCOME_CODE[Outcome.PENDING]
    for i, phase in enumerate(fleet.phase):
        if phase < Phase.REPORTING:
            fleet.outcome[i] = pending
            if halted and fleet.started_ms[i] < 0:
                reason = Reason.ROLLOUT_HALTED
            elif interrupted:
                reason = Reason.INTERRUPTED
            else:
                reason = Reason.HORIZON if fleet.offered_ms[i] >= 0 else Reason.NOT_OFFERED
            fleet.reason[i] = REASON_CODE[reason]


def device_table(
    spec: ScenarioSpec,
    population: Population,
    release: Release,
    cases: CaseTable,
    fleet: Fleet,
    end_ms: int,
) -> pd.DataFrame:
    """`devices.parquet`, version 1, of a run that ended at `end_ms`."""
    cohorts = spec.cohorts
    labels = np.array([firmware.label for firmware in release.firmwares] + [NO_TEXT], dtype=object)
    artefacts = np.array([*cases.artefacts, NO_TEXT], dtype=object)
    outcomes = np.array([o.value for o in OUTCOMES] + [NO_TEXT], dtype=object)
    reasons = np.array([r.value for r in REASONS], dtype=object)

    def of_cohort(attribute: str) -> np.ndarray:
        return np.array([getattr(c, attribute) for c in cohorts], dtype=object)[population.cohort]

    return pd.DataFrame(
        {
            "device": np.arange(spec.devices, dtype=np.int64),
            "cohort": of_cohort("name"),
            "hardware": of_cohort("hardware"),
            "layout": of_cohort("layout"),
            "group": population.group + 1,
            "base_version": labels[population.base],
            "final_version": labels[np.array(fleet.running)],
            "artefact": artefacts[np.array(fleet.artefact)],
            "outcome": outcomes[np.array(fleet.outcome)],
            "reason": reasons[np.array(fleet.reason)],
            "reported_outcome": outcomes[np.array(fleet.reported)],
            "attempts": np.array(fleet.attempts, dtype=np.int64),
            "bytes_down": np.array(fleet.bytes_down, dtype=np.int64),
            "bytes_wasted": np.array(fleet.bytes_wasted, dtype=np.int64),
            "energy_radio_uj": np.array(fleet.radio_uj, dtype=np.int64),
            "energy_flash_uj": np.array(fleet.flash_uj, dtype=np.int64),
            "energy_compute_uj": np.array(fleet.compute_uj, dtype=np.int64),
            "offered_ms": np.array(fleet.offered_ms, dtype=np.int64),
            "started_ms": np.array(fleet.started_ms, dtype=np.int64),
            "finished_ms": np.array(fleet.finished_ms, dtype=np.int64),
            "reported_ms": np.array(fleet.reported_ms, dtype=np.int64),
            "energy_idle_uj": idle_energy_uj(spec, population, fleet, end_ms),
        }
    )


def idle_energy_uj(
    spec: ScenarioSpec, population: Population, fleet: Fleet, end_ms: int
) -> NDArray[np.int64]:
    """Energy of the polls that found nothing to do [µJ]: the scheduled ones times the share that takes place.

    No poll is an event of the run. A bricked or lost device stops polling. The products are taken in two
    halves, so that a poll every millisecond for ten years stays within 64 bits.
    """
    ended = np.isin(fleet.outcome, [OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.LOST]])
    until_ms = np.where(ended, np.array(fleet.finished_ms, dtype=np.int64), end_ms)
    period_ms = np.array(fleet.wake_period_ms, dtype=np.int64)[population.cohort]
    scheduled = np.maximum((until_ms - population.wake_phase_ms) // period_ms + 1, 0)
    below = np.array(fleet.wake_below, dtype=np.int64)[population.cohort]
    taken = ((scheduled >> 16) * below + ((scheduled & 0xFFFF) * below >> 16)) >> 16
    poll_nj = np.array([radio_profile(c.radio).checkin_nj for c in spec.cohorts], dtype=np.int64)
    each = poll_nj[population.cohort]
    energy: NDArray[np.int64] = taken // NJ_PER_UJ * each - (-(taken % NJ_PER_UJ) * each // NJ_PER_UJ)
    return energy


def group_table(devices: pd.DataFrame, log: RunLog, silent: Sequence[int]) -> pd.DataFrame:
    """`groups.parquet`: the truth by group, and how many began and then missed the deadline."""
    groups = len(log.groups)
    number = devices["group"].to_numpy() - 1
    table = {
        "group": np.arange(1, groups + 1),
        "size": np.bincount(number, minlength=groups),
        "offered": np.bincount(number[devices["offered_ms"].to_numpy() >= 0], minlength=groups),
    }
    for outcome in ("updated", "reverted", "bricked", "lost", "failed"):
        ended = (devices["outcome"] == outcome).to_numpy(dtype=bool)
        table[outcome] = np.bincount(number[ended], minlength=groups)
    return pd.DataFrame(
        table
        | {
            "silent": np.array(silent, dtype=np.int64),
            "opened_ms": np.array([group.opened_ms for group in log.groups], dtype=np.int64),
            "closed_ms": np.array([group.closed_ms for group in log.groups], dtype=np.int64),
            "decision": [group.decision for group in log.groups],
        }
    )


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


def grant_table(recorder: Recorder) -> pd.DataFrame:
    """`grants.parquet`: a row a transfer, in the order in which they ended."""
    grants = np.array(recorder.grants, dtype=np.int64).reshape(-1, 3)
    return pd.DataFrame({"device": grants[:, 0], "ended_ms": grants[:, 1], "missing_bytes": grants[:, 2]})
