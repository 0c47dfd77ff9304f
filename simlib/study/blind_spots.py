"""What an update service does not see: one fleet and its luck under several services and kinds of failure.

A failure is a change of a scenario's causes, never of its outcomes. Each of four kinds strikes a share of the
devices, and they differ in what the service is told:

- ``reported``: the self-test fails, the device goes back to what it ran before and says so;
- ``silent``: the release crashes right after its confirmation, before the report of it is out. Nothing goes
  back any more, and nothing is told. (A crash before the confirmation ends the trial, and where there is a
  second slot the boot loader goes back: that is ``reported``);
- ``false-success``: the self-test fails as above, but every device reports success before the reboot into
  the new release; of its verdicts a service counts the first;
- ``late``: the release crashes hours after its success was reported.

``sound`` changes nothing, and shows false alarms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import numpy as np
import pandas as pd

from simlib.device.memo import Memo
from simlib.errors import InputError
from simlib.outcomes import Outcome
from simlib.results.device_table import as_table
from simlib.rollout import service_names
from simlib.scenario import Scenario
from simlib.scenario.toml_text import shown
from simlib.simulation import simulate
from simlib.study.execution import Executor
from simlib.study.frame import frame_of
from simlib.study.grid import Point
from simlib.study.study import Study

FAILURES: Final = ("sound", "reported", "silent", "false-success", "late")
HARM: Final = (Outcome.BRICKED.value, Outcome.LOST.value, Outcome.REVERTED.value)
"""Outcomes of devices that the release has done harm to."""
COLUMNS: Final = {
    "service": "str",
    "failure": "str",
    "replication": "int64",
    "seed": "uint64",
    "stopped": "bool",  # by the service itself
    "decision": "str",  # pause, cancel or disable; none
    "stopped_at_ms": "Int64",
    "reason": "str",  # of the stop, in the service's words
    "released_at_stop": "Int64",  # devices that could have the release by then
    "offered_at_stop": "Int64",  # of them, those that had come
    "harmed_at_stop": "Int64",
    "devices": "int64",  # in the fleet
    "released": "int64",  # by the end of the run
    "offered": "int64",
    "updated": "int64",
    "harmed": "int64",  # bricked, lost or reverted, and so are the next three together:
    "told_failure": "int64",  # the last the service was told is a failure,
    "told_success": "int64",  # a success,
    "told_nothing": "int64",  # or nothing at all
    "corrected": "int64",  # reports on devices that had a verdict already, which changes no decision
    "last_released_ms": "Int64",  # when the last device was let have the release
}


def blind_spots(
    scenario: Scenario,
    *,
    services: Sequence[str] | Mapping[str, Mapping[str, object]] | None = None,
    failures: Sequence[str] = FAILURES,
    share: object = "0.25",
    late_after: str = "12 h",
    replications: int = 5,
    seeds: Sequence[int] | None = None,
    engine: str = "fused",
    client: Any = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """A row (`COLUMNS`) a service, failure and replication, in this order.

    `services` are names of update services, each of which gets the scenario's groups in its own words (all,
    unless given), or changes of the scenario by name. `share` of the devices have the failure, a late one
    `late_after` its first boot. Replication r has the same seed everywhere, and so the same fleet, luck and
    defective devices. All cohorts test for as long as the one that does so longest. Raises `InputError`.
    """
    alike = _alike(scenario)
    laid = _laid(services)
    points = [
        Point(
            alike.with_({**changes, **causes(alike, failure, share, late_after)}),
            {"service": name, "failure": failure},
        )
        for name, changes in laid.items()
        for failure in failures
    ]
    study = Study(alike, engine=engine, measure=measure).replicate(replications, seeds)
    study.check(points)
    done, interrupted = study.sample(points, range(replications), Executor(client, workers, None, None))
    if interrupted:
        raise KeyboardInterrupt
    return frame_of(points, done)[list(COLUMNS)].astype(COLUMNS)


def causes(
    scenario: Scenario, failure: str, share: object = "0.25", late_after: str = "12 h"
) -> dict[str, object]:
    """The changes of `scenario` that make `failure`, one of `FAILURES`, strike a `share` of the devices.

    The scenario's other defects stay. Raises `InputError` for another name.
    """
    if failure not in FAILURES:
        near = get_close_matches(failure, FAILURES, n=1)
        hint = f"; nearest is {near[0]}" if near else ""
        raise InputError(f"failures: found {shown(failure)}, expected one of {', '.join(FAILURES)}{hint}")
    if failure == "sound":
        return {}
    if failure in ("reported", "false-success"):
        changes: dict[str, object] = {"faults.defect": share, "faults.defect_hardware": []}
        return changes | ({"report.premature": 1} if failure == "false-success" else {})
    trial_ms = max(c.self_test_ms for c in scenario.spec.cohorts) + _checks_ms(scenario)
    onset: object = trial_ms + 1 if failure == "silent" else late_after
    others = scenario.document.get("defects", [])
    assert isinstance(others, list), "the scenario's document has been read"
    crash = {"name": failure, "prevalence": share, "visible": False, "effect": "crash", "onset": onset}
    return {"defects": [*others, crash]}


def measure(scenario: Scenario, engine: str = "fused") -> dict[str, Any]:
    """Simulate `scenario` once and give the figures of `COLUMNS` from `stopped` on."""
    made = simulate(scenario, engine=engine, memo=Memo.open_default(), record=False)
    if made.interrupted_ms is not None:
        raise KeyboardInterrupt
    table = as_table(made.tables["devices"])
    outcome, told = _texts(table.codes("outcome")), _texts(table.codes("reported_outcome"))
    released_ms, offered_ms = table.column("released_ms"), table.column("offered_ms")
    harmed = np.isin(outcome, HARM)
    success = harmed & (told == Outcome.UPDATED.value)
    failure = harmed & np.isin(told, (*HARM, Outcome.FAILED.value))
    stop = made.stops[0] if made.stops else None
    by_then = None if stop is None else harmed & (table.column("finished_ms") <= stop.at_ms)
    return {
        "stopped": stop is not None,
        "decision": "none" if stop is None else stop.verb.value,
        "stopped_at_ms": None if stop is None else stop.at_ms,
        "reason": "" if stop is None else stop.detail,
        "released_at_stop": None if stop is None else stop.exposure.released,
        "offered_at_stop": None if stop is None else stop.exposure.offered,
        "harmed_at_stop": None if by_then is None else int(by_then.sum()),
        "devices": len(table),
        "released": int((released_ms >= 0).sum()),
        "offered": int((offered_ms >= 0).sum()),
        "updated": int((outcome == Outcome.UPDATED.value).sum()),
        "harmed": int(harmed.sum()),
        "told_failure": int(failure.sum()),
        "told_success": int(success.sum()),
        "told_nothing": int(harmed.sum() - success.sum() - failure.sum()),
        "corrected": made.further_verdicts,
        "last_released_ms": int(released_ms.max()) if (released_ms >= 0).any() else None,
    }


def _alike(scenario: Scenario) -> Scenario:
    """The scenario whose cohorts test equally long, so that one onset is right after every confirmation."""
    tests = [cohort.self_test_ms for cohort in scenario.spec.cohorts]
    if len(set(tests)) == 1:
        return scenario
    return scenario.with_({f"cohorts.{number}.self_test": max(tests) for number in range(len(tests))})


def _checks_ms(scenario: Scenario) -> int:
    """What stands between a self-test and the confirmation."""
    validation = scenario.spec.validation
    return validation.bluetooth * validation.bluetooth_ms + validation.probation_ms


def _laid(
    services: Sequence[str] | Mapping[str, Mapping[str, object]] | None,
) -> dict[str, Mapping[str, object]]:
    if isinstance(services, Mapping):
        return dict(services)
    names = service_names()
    for name in services or ():
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"; nearest is {near[0]}" if near else ""
            raise InputError(f"services: found {shown(name)}, expected one of {', '.join(names)}{hint}")
    return {
        name: {"rollout.policy": name, "rollout.config": ""}
        for name in (names if services is None else services)
    }


def _texts(coded: tuple[np.ndarray, tuple[str, ...]]) -> np.ndarray:
    codes, names = coded
    found: np.ndarray = np.array(names)[codes]
    return found
