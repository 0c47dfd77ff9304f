"""Explaining a device replays it: the same end as in the run, told by the boot loader's own steps."""

import json
import random

import pytest

from simlib.errors import InputError
from simlib.results import Run
from simlib.results.store import TABLES
from simlib.scenario import Scenario
from simlib.study import run


def test_a_sample_of_every_end_is_replayed_to_the_same_end(smoke_run):
    devices = smoke_run.devices
    chosen = []
    for _, members in devices.groupby(["cohort", "outcome", "reason"]):
        chosen.append(int(members["device"].iloc[0]))
    chosen += random.Random(5).sample(range(len(devices)), 15)
    for device in chosen:
        told = smoke_run.explain(device)
        row = devices.iloc[device]
        assert told.agrees, (device, str(told))
        assert (told.outcome, told.reason) == (row["outcome"], row["reason"])
        assert str(told).splitlines()[-1] == f"{row['outcome']} {row['reason']}"
        assert sum(line.bytes_down for line in told.lines) == row["bytes_down"]
        spent = row["energy_radio_uj"] + row["energy_flash_uj"] + row["energy_compute_uj"]
        assert sum(line.energy_uj for line in told.lines) == spent


def test_a_bricked_device_is_explained_by_the_flash_drivers_refusal_and_the_boot_loaders_verdict():
    result = run(Scenario.load("storage-120k").with_({"devices": 300}))
    bricked = result.devices[result.devices["outcome"] == "bricked"]
    told = result.explain(int(bricked["device"].iloc[0]))
    steps = [step.detail for line in told.lines for step in line.bench]
    assert any("458752" in detail or "past" in detail for detail in steps), steps
    assert str(told).splitlines()[-1] == "bricked no-valid-image"


def test_a_device_that_is_not_in_the_fleet_is_refused(smoke_run):
    with pytest.raises(InputError, match="found 700, expected 0 to 699"):
        smoke_run.explain(700)


def test_a_replay_that_ends_otherwise_names_the_columns(smoke_run):
    # The table of transfers says other times than the devices' own: outcome and reason stay as they were.
    moved = smoke_run.grants.assign(ended_ms=smoke_run.grants["ended_ms"] + 5)
    run = Run(
        smoke_run.scenario_toml,
        {name: getattr(smoke_run, name) for name in TABLES} | {"grants": moved},
        smoke_run.summary,
    )
    devices = run.devices
    device = int(devices[(devices["outcome"] == "updated") & (devices["attempts"] == 1)]["device"].iloc[0])
    told = run.explain(device)
    finished = int(devices["finished_ms"].iloc[device])
    assert not told.agrees and told.differs["finished_ms"] == (finished, finished + 5)
    assert set(told.differs) == {"finished_ms", "reported_ms"}
    assert json.loads(json.dumps(told.to_json()))["agrees"] is False
