"""With everything at once: bytes, energy, devices and states add up, and every story can be told again."""

from pathlib import Path

import numpy as np
import pytest

from simlib.lifecycle.columns import ENERGY_NAMES
from simlib.results import Run
from simlib.scenario import Scenario
from simlib.study import run

FIELD = Path(__file__).with_name("field.toml")
ONE_RELEASE = {"release.published": ["0 s"], "release.stepping_stones": []}
GATED = {"rollout.groups.0.error_threshold": 0.1, "rollout.groups.0.min_sample": 20}
VARIANTS = {
    "everything": {},
    "another seed": {"seed": 7},
    "forward fix": ONE_RELEASE | GATED | {"recovery.on_halt": "forward-fix"},
    "rollback": ONE_RELEASE | GATED | {"recovery.on_halt": "rollback", "rollout.abort_downloads": True},
    "rollback refused": ONE_RELEASE
    | GATED
    | {"recovery.on_halt": "rollback", "release.security_counters": "raise"},
    "rollback signed again": ONE_RELEASE
    | GATED
    | {"recovery.on_halt": "rollback", "recovery.resign": True, "release.security_counters": "raise"},
    "backup to the cloud": {
        "backup.to": "cloud",
        "validation.settings": True,
        "validation.bluetooth": True,
        "transfer.jitter": "full",
        "transfer.resume": False,
        "faults.forgery": "truncated",
        "horizon": "12 d",
    },
}


@pytest.fixture(scope="module", params=list(VARIANTS))
def field_run(request) -> Run:
    return run(Scenario.load(str(FIELD)).with_(VARIANTS[request.param]))


def test_bytes_on_the_links_are_bytes_received(field_run):
    devices, timeline = field_run.devices, field_run.timeline
    by_link = devices[devices["cohort"] != "lora"]  # a multicast is sent once, beside the links
    on_links = timeline["bytes_on_links"].iloc[-1]
    under_way = timeline["downloading"].iloc[-1]
    assert 0 <= on_links - by_link["bytes_down"].sum() <= under_way + 2 * len(field_run.grants)
    assert (np.diff(timeline["bytes_on_links"]) >= 0).all()


def test_bytes_received_are_wasted_or_of_use(field_run):
    devices = field_run.devices
    assert (devices["bytes_wasted"] >= 0).all()
    assert (devices["bytes_wasted"] <= devices["bytes_down"]).all()
    at_once = (devices["outcome"] == "updated") & (devices["rounds"] == 1) & (devices["artefact"] != "none")
    once = devices[at_once & (devices["reason"] == "none")]
    # Who updated in one round, to one release, has used exactly the artefact it ended with.
    used = once["bytes_down"] - once["bytes_wasted"]
    assert (used.groupby(once["artefact"]).nunique() == 1).all()


def test_energy_is_the_sum_of_its_parts(field_run):
    devices = field_run.devices
    parts = devices[[f"energy_{name}_uj" for name in ENERGY_NAMES]].sum(axis=1)
    components = devices[["energy_radio_uj", "energy_flash_uj", "energy_compute_uj"]].sum(axis=1)
    assert (parts == components).all()
    assert (devices["energy_idle_uj"] >= 0).all()


def test_every_device_ends_in_one_outcome_and_the_states_add_up_at_every_instant(field_run):
    summary, timeline = field_run.summary, field_run.timeline
    assert sum(summary["outcomes"].values()) == len(field_run.devices)
    states = timeline.drop(columns=["time_ms", "bytes_on_links"])
    assert (states.sum(axis=1) == len(field_run.devices)).all()
    assert (states >= 0).all(axis=None)
    for outcome in ("updated", "reverted", "rolled_back", "bricked", "lost", "failed"):
        assert states[outcome].iloc[-1] == summary["outcomes"][outcome]


def test_belief_and_truth_add_up_to_the_fleet(field_run):
    beliefs = field_run.beliefs
    assert beliefs["devices"].sum() == len(field_run.devices)
    by_truth = beliefs.groupby("true")["devices"].sum()
    assert all(by_truth.get(name, 0) == n for name, n in field_run.summary["outcomes"].items())


def test_every_failed_step_is_logged_with_its_time_and_reason(field_run):
    errors, devices = field_run.errors, field_run.devices
    assert len(errors)
    assert (np.diff(errors["time_ms"]) >= 0).all()
    assert (errors["reason"] != "none").all()
    ended_badly = devices[devices["outcome"].isin(["reverted", "bricked", "lost"])]
    assert set(ended_badly["device"]) <= set(errors["device"])


def test_a_sample_of_every_end_is_explained_and_agrees_with_the_table(field_run):
    devices = field_run.devices
    for _, alike in devices.groupby(["cohort", "outcome", "reason"]):
        device = int(alike["device"].iloc[len(alike) // 2])
        explanation = field_run.explain(device)
        assert explanation.agrees, (device, explanation.differs)


def test_the_written_scenario_gives_the_same_run(field_run):
    assert run(Scenario.from_toml(field_run.scenario_toml)).digest == field_run.digest
