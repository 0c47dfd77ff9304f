"""From the life-cycle's columns and the run's log to the tables of a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simlib.errors import Reason
from simlib.fleet import Population, Route
from simlib.lifecycle.codes import OUTCOME_CODE, OUTCOMES, REASON_CODE, REASONS
from simlib.lifecycle.columns import ENERGY_NAMES, ENERGY_PHASES, Fleet
from simlib.lifecycle.phases import Phase
from simlib.outcomes import Outcome
from simlib.release import Release
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.cases import Cases
from simlib.simulation.devices import had_updated
from simlib.simulation.idle import idle_energy_uj
from simlib.simulation.recorder import STATES, Recorder
from simlib.simulation.simpy_run import RunLog

NO_TEXT = "none"


def close_pending(fleet: Fleet, *, halted: bool, interrupted: bool = False) -> None:
    """Give every device that has not ended its outcome at the end of the run: `pending`, and why.

    One that could never be reached was never offered the release: `deferred`, and what kept it away.
    """
    pending, deferred = OUTCOME_CODE[Outcome.PENDING], OUTCOME_CODE[Outcome.DEFERRED]
    for i, phase in enumerate(fleet.phase):
        if phase < Phase.REPORTING:
            fleet.outcome[i] = pending
            if fleet.barred[i]:
                fleet.outcome[i] = deferred  # the server never heard of it: no report
                fleet.reason[i] = fleet.barred[i]
                continue
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
    cases: Cases,
    routes: Sequence[Route],
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

    parts = np.array(fleet.phase_uj, dtype=np.int64).reshape(-1, ENERGY_PHASES)
    further = {
        "energy_idle_uj": idle_energy_uj(spec, population, routes, fleet, end_ms),
        **{f"energy_{name}_uj": parts[:, n] for n, name in enumerate(ENERGY_NAMES)},
        "zone": np.array([z.name for z in spec.zones], dtype=object)[population.zone],
        "link": np.array([link.name for link in spec.links], dtype=object)[population.link],
        "bytes_up": np.array(fleet.bytes_up, dtype=np.int64),
        "bytes_back": np.array(fleet.bytes_back, dtype=np.int64),
        "rounds": np.array(fleet.round, dtype=np.int64) + (np.array(fleet.offered_ms) >= 0),
        "confirmed_ms": np.array(fleet.confirmed_ms, dtype=np.int64),
        "defect": _defect_names(spec, fleet),
        "defect_shown": np.array(fleet.shown, dtype=bool),
        "settings_lost": np.array(fleet.settings_lost, dtype=bool),
        "exposed_ms": exposed_ms(spec, fleet, had_updated(population, release.primary), end_ms),
    }
    if population.names is not None:
        further["name"] = population.names
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
            **further,
        }
    )


def _defect_names(spec: ScenarioSpec, fleet: Fleet) -> np.ndarray:
    """The defect that each device would meet in the release, or `none`."""
    names = np.array([d.name for d in spec.defects] + ["faults.defect", NO_TEXT], dtype=object)
    of_devices: np.ndarray = names[np.array(fleet.defect)]
    return of_devices


def exposed_ms(
    spec: ScenarioSpec, fleet: Fleet, from_start: NDArray[np.bool_], end_ms: int
) -> NDArray[np.int64]:
    """For how long each device ran a version that the release mends while the exploit was about.

    From the publication and the exploit's onset until the device confirmed the release or a later one, or
    stopped running anything; a device that was brought back is exposed again. Those of `from_start` had the
    release before the rollout.
    """
    n = len(fleet.phase)
    reported = spec.disclosure.reported_ms
    if reported is None:
        return np.zeros(n, dtype=np.int64)
    start = max(reported + spec.disclosure.embargo_ms + spec.disclosure.exploit_ms, 0)
    outcome = np.array(fleet.outcome)
    finished = np.array(fleet.finished_ms, dtype=np.int64)
    confirmed = np.array(fleet.confirmed_ms, dtype=np.int64)
    until = np.where(confirmed >= 0, confirmed, end_ms)
    until = np.where((outcome == OUTCOME_CODE[Outcome.BRICKED]) & (confirmed < 0), finished, until)
    exposed = np.where(from_start, 0, np.maximum(until - start, 0))
    back = outcome == OUTCOME_CODE[Outcome.ROLLED_BACK]
    again = np.maximum(end_ms - np.maximum(finished, start), 0)
    result: NDArray[np.int64] = exposed + np.where(back, again, 0)
    return result


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


def belief_table(devices: pd.DataFrame) -> pd.DataFrame:
    """`beliefs.parquet`: for each group, how many devices the server believes ended so, and how they did."""
    counts = devices.groupby(["group", "reported_outcome", "outcome"], observed=True).size()
    return (
        counts.reset_index(name="devices")
        .rename(columns={"reported_outcome": "believed", "outcome": "true"})
        .astype({"devices": "int64"})
    )


def error_table(recorder: Recorder) -> pd.DataFrame:
    """`errors.parquet`: a row a step that failed, in order: what the device was doing, why it failed."""
    errors = np.array(recorder.errors, dtype=np.int64).reshape(-1, 5)
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
    grants = np.array(recorder.grants, dtype=np.int64).reshape(-1, 3)
    return pd.DataFrame({"device": grants[:, 0], "ended_ms": grants[:, 1], "missing_bytes": grants[:, 2]})
