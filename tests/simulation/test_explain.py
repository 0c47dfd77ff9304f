"""Explaining a device replays it: the same end as in the run, told by the boot loader's own steps."""

import random

import pytest

from simlib.errors import InputError
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
