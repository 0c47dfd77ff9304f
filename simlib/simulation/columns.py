"""From a scenario, its population and its cases to the life-cycle's integer columns."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from simlib.device import layouts
from simlib.draws import CERTAIN, Purpose, draws32, threshold
from simlib.errors import Reason
from simlib.fleet import Population
from simlib.lifecycle import columns as rule
from simlib.lifecycle.columns import NO_ROW, Fleet
from simlib.lifecycle.steps import OUTCOME_CODE, REASON_CODE
from simlib.outcomes import Outcome
from simlib.scenario.calibration import radio_profile
from simlib.scenario.model import CohortSpec, ScenarioSpec
from simlib.simulation.cases import CaseTable

NS_PER_MS = 1_000_000
NJ_PER_UJ = 1_000


def _up(value: int, unit: int) -> int:
    """Whole units, rounded up."""
    return -(-value // unit)


def rules_of(spec: ScenarioSpec, artefacts: int) -> list[int]:
    """The scenario's numbers as rows of `Fleet.rules`."""
    rules = [0] * rule.RULES
    rules[rule.RULE_STORAGE] = int(spec.precheck.storage)
    rules[rule.RULE_LINK] = int(spec.precheck.link)
    rules[rule.RULE_DEFERRALS] = spec.precheck.deferrals
    rules[rule.RULE_ATTEMPTS] = spec.transfer.attempts
    rules[rule.RULE_RESUME] = int(spec.transfer.resume)
    rules[rule.RULE_GRANULE] = spec.transfer.granule_bytes
    rules[rule.RULE_BACKOFF] = spec.transfer.backoff_ms
    rules[rule.RULE_BACKOFF_MAX] = spec.transfer.backoff_max_ms
    rules[rule.RULE_DROP_BELOW] = threshold(spec.faults.drop)
    rules[rule.RULE_DROP_WEAK_BELOW] = threshold(spec.faults.drop_weak)
    rules[rule.RULE_POWER_OFF] = spec.faults.power_off_ms
    rules[rule.RULE_REPORT_DELAY] = spec.report.delay_ms
    if spec.rollout.window is not None:
        rules[rule.RULE_WINDOW_FROM], rules[rule.RULE_WINDOW_TO] = spec.rollout.window
    rules[rule.RULE_HORIZON] = spec.horizon_ms
    rules[rule.RULE_ARTEFACTS] = artefacts
    return rules


def battery_low_below(cohort: CohortSpec, need: Fraction) -> int:
    """The draws at which the charge, uniform between the cohort's bounds, is under `need`."""
    if need <= cohort.battery_low:
        return 0
    if need > cohort.battery_high:
        return CERTAIN
    return threshold((need - cohort.battery_low) / (cohort.battery_high - cohort.battery_low))


def defective_devices(spec: ScenarioSpec, population: Population) -> np.ndarray:
    """1 where the new firmware's self-test fails: drawn a device, on the hardware that has the defect."""
    limit = np.uint64(threshold(spec.faults.defect))
    drawn = draws32(population.keys, Purpose.DEFECT, 0) < limit
    where = spec.faults.defect_hardware
    exposed = np.array([not where or c.hardware in where for c in spec.cohorts], dtype=bool)
    defective: np.ndarray = (drawn & exposed[population.cohort]).astype(np.int64)
    return defective


def assemble(spec: ScenarioSpec, population: Population, cases: CaseTable, newest: int) -> Fleet:
    """The columns at time 0, as lists: the fastest for a clock in plain Python."""
    n = spec.devices
    artefacts = len(cases.artefacts)
    radios = [radio_profile(c.radio) for c in spec.cohorts]
    cohort, base = population.cohort.tolist(), population.base.tolist()
    recorded = population.recorded.tolist()
    on_install = [NO_ROW] * (len(cases.states) * artefacts)
    for (state, artefact), row in cases.on_install.items():
        on_install[state * artefacts + artefact] = row
    faults = [NO_ROW] * n
    for device, row in cases.fault_row.items():
        faults[device] = row
    found = [move.found for move in cases.moves]
    return Fleet(
        key=population.keys.tolist(),
        cohort=cohort,
        target=[newest] * n,
        wake_phase_ms=population.wake_phase_ms.tolist(),
        faults=faults,
        defective=defective_devices(spec, population).tolist(),
        wake_period_ms=[c.wake_period_ms for c in spec.cohorts],
        wake_below=[threshold(c.wake_presence) for c in spec.cohorts],
        battery_low_below=[battery_low_below(c, spec.precheck.battery) for c in spec.cohorts],
        weak_below=[threshold(c.weak_link) for c in spec.cohorts],
        reboot_ms=[c.reboot_ms for c in spec.cohorts],
        self_test_ms=[c.self_test_ms for c in spec.cohorts],
        rx_pj_per_byte=[r.rx_pj_per_byte for r in radios],
        in_place=[int(not layouts.get(c.layout).has_trial) for c in spec.cohorts],
        full=[cases.full] * len(spec.cohorts),
        wire_bytes=list(cases.wire_bytes),
        room=[int(cases.room[c, a]) for c in range(len(spec.cohorts)) for a in range(artefacts)],
        on_install=on_install,
        on_boot=_dense(cases.on_boot, len(cases.states)),
        on_confirm=_dense(cases.on_confirm, len(cases.states)),
        fault_install=[row for installs in cases.fault_install for row in installs],
        fault_boot=[row for boots in cases.fault_boot for row in boots],
        move_state=[cases.states[f.state] for f in found],
        move_verdict=[REASON_CODE[f.verdict] for f in found],
        move_running=[NO_ROW if f.running is None else f.running for f in found],
        move_cut=[int(move.cut) for move in cases.moves],
        move_ms=[_up(f.time_ns, NS_PER_MS) for f in found],
        move_flash_uj=[_up(f.flash_nj, NJ_PER_UJ) for f in found],
        move_compute_uj=[_up(f.compute_nj, NJ_PER_UJ) for f in found],
        rules=rules_of(spec, artefacts),
        halted=[rule.RUNNING],
        phase=[0] * n,
        artefact=[cases.artefact_for[c, r] for c, r in zip(cohort, recorded, strict=True)],
        state=[cases.start_state.get((c, b), NO_ROW) for c, b in zip(cohort, base, strict=True)],
        wakes=[0] * n,
        attempts=[0] * n,
        installs=[0] * n,
        left_bytes=[0] * n,
        kept_bytes=[0] * n,
        run_bytes=[0] * n,
        outcome=[OUTCOME_CODE[Outcome.PENDING]] * n,
        reason=[REASON_CODE[Reason.NONE]] * n,
        reported=[NO_ROW] * n,
        running=base.copy(),
        offered_ms=[-1] * n,
        started_ms=[-1] * n,
        finished_ms=[-1] * n,
        reported_ms=[-1] * n,
        bytes_down=[0] * n,
        bytes_wasted=[0] * n,
        radio_uj=[0] * n,
        flash_uj=[0] * n,
        compute_uj=[0] * n,
    )


def _dense(rows: dict[int, int], size: int) -> list[int]:
    dense = [NO_ROW] * size
    for state, row in rows.items():
        dense[state] = row
    return dense
