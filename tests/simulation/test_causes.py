"""Switching one cause off changes the devices it touches and no others: luck is shared, counters are not."""

from fractions import Fraction

import numpy as np
import pytest

from simlib.draws import Purpose, device_keys, draws32, threshold
from simlib.results.digest import DEVICE_COLUMNS
from simlib.scenario import Scenario
from simlib.study import run

# No gate and a link without a limit: nothing but its own draws decides what happens to a device.
ALONE = {
    "devices": 800,
    "horizon": "20 d",
    "links.0.capacity": "400 MB/s",
    "rollout.groups": [{"error_threshold": 1}],
    "faults.drop": 0.1,
    "faults.corruption": 0.02,
    "faults.power_cut": 0.03,
    "faults.forged": 0.02,
    "defects": [
        {"name": "crash", "prevalence": 0.02},
        {"name": "bond", "prevalence": 0.03, "effect": "lost-bond", "visible": False, "onset": "2 h"},
    ],
    "report.lost": 0.1,
    "report.resends": 0,
    "report.late": 0.1,
    "report.late_by": "exponential(1 h)",
    "report.premature": 0.05,
}


@pytest.fixture(scope="module")
def base():
    scenario = Scenario.load("smoke").with_(ALONE)
    return scenario, run(scenario)


def differing(one, other) -> np.ndarray:
    """Numbers of the devices whose rows differ."""
    rows = [one.devices[c].to_numpy() != other.devices[c].to_numpy() for c in DEVICE_COLUMNS]
    return np.flatnonzero(np.any(rows, axis=0))


def touched_by(result, spec, purpose: Purpose, probability: Fraction) -> set[int]:
    """Devices one of whose attempts the cause falls on, by its draws."""
    keys = device_keys(spec.seed, spec.devices)
    attempts = result.devices["attempts"].to_numpy()
    hit = np.zeros(spec.devices, dtype=bool)
    for number in range(int(attempts.max())):
        drawn = draws32(keys, purpose, number) < np.uint64(threshold(probability))
        hit |= drawn & (attempts > number)
    return set(np.flatnonzero(hit).tolist())


@pytest.mark.parametrize(
    ("cause", "purpose"),
    [
        ("corruption", Purpose.CORRUPTION),
        ("forged", Purpose.FORGED),
        ("power_cut", Purpose.POWER_CUT),
        ("drop", Purpose.DROP),
    ],
)
def test_a_fault_switched_off_changes_the_devices_it_touched_and_no_others(base, cause, purpose):
    scenario, with_it = base
    changed = differing(with_it, run(scenario.with_({f"faults.{cause}": 0})))
    touched = touched_by(with_it, scenario.spec, purpose, getattr(scenario.spec.faults, cause))
    assert set(changed.tolist()) <= touched
    # All of them, but for the few whose transfer or install never came to the fault, or met a worse one.
    assert len(changed) > 0.7 * len(touched) > 5, (len(changed), len(touched))


@pytest.mark.parametrize("number", [0, 1])
def test_a_defect_switched_off_changes_only_devices_that_have_it(base, number):
    scenario, with_it = base
    without = run(scenario.with_({f"defects.{number}.prevalence": 0}))
    has = with_it.devices["defect"] == scenario.spec.defects[number].name
    changed = differing(with_it, without)
    assert len(changed)
    assert set(changed.tolist()) <= set(np.flatnonzero(has))


def test_reports_switched_to_sure_and_prompt_change_what_is_believed_and_nothing_that_is_true(base):
    scenario, with_it = base
    off = {"report.lost": 0, "report.late": 0, "report.premature": 0}
    without = run(scenario.with_(off))
    truth = [c for c in DEVICE_COLUMNS if c not in ("reported_outcome", "reported_ms")]
    for column in truth:
        assert (with_it.devices[column] == without.devices[column]).all(), column
    changed = differing(with_it, without)
    assert 0.1 * 800 < len(changed) < 0.4 * 800  # a tenth lost, a tenth late, some told too early


def test_what_is_said_of_prices_alerts_and_disclosure_changes_no_device(base):
    scenario, result = base
    told = run(
        scenario.with_(
            {
                "disclosure.reported": "-1 d",
                "harm.recall_per_brick": 100,
                "alerts": {"failure_rate": 0.01, "stalled": "1 h", "outdated": "1 d", "storm": 0.5},
            }
        )
    )
    assert told.digest == result.digest
    assert len(told.alerts) > len(result.alerts)
    assert told.summary["harm"]["recall"] == 100 * (
        result.summary["outcomes"]["bricked"] + result.summary["outcomes"]["lost"]
    )
