"""What power cuts, drops, wrong bases and little RAM make of raw images and patches, layout by layout."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import pandas as pd
import pytest

import simlib
from simlib.device.powercut import SweepOptions
from simlib.errors import InputError, Reason
from simlib.outcomes import Outcome
from simlib.scenario import Scenario
from simlib.scenario.toml_text import write_toml
from simlib.study.payloads import Hazards, exposure, harm
from simlib.study.payloads.harm_by_layout import LAYOUTS, MILLION
from simlib.study.payloads.windows import IN_A_FLEET

SMALL = SweepOptions(tear="partial", image_size_bytes=12 << 10)
KINDS = ["updated", "bricked", "stuck", "failed"]
CUTS = Hazards(cuts_per_hour=1.0, attempts=2)


def table(hazards: Hazards, trial_ms: int = 0, **what: object) -> pd.DataFrame:
    return harm(hazards, options=SMALL, trial_ms=trial_ms, **what).set_index(["layout", "payload"])


def test_without_a_hazard_every_device_is_updated_and_fetches_its_artefact_once():
    frame = table(Hazards(), trial_ms=5_000)
    assert (frame["updated"] == MILLION).all()
    assert (frame[["bricked", "stuck", "failed", "retried_installs", "dropped", "refused"]] == 0).all(
        axis=None
    )
    assert (frame["mean_bytes"] == frame["wire_bytes"]).all()


def test_the_ends_of_a_million_devices_sum_to_a_million():
    hazards = Hazards(cuts_per_hour=20, drop=0.1, drops_per_mib=2, wrong_base=0.2, attempts=3)
    frame = table(hazards, trial_ms=5_000)
    assert frame[KINDS].sum(axis=1).to_list() == pytest.approx([MILLION] * len(frame))
    assert (frame[KINDS] >= 0).all(axis=None)


def test_only_a_single_slot_is_bricked_by_a_power_cut():
    frame = table(CUTS)
    bricked = frame["bricked"].groupby("layout").max()
    assert bricked["single-slot"] > 50
    assert (bricked.drop("single-slot") == 0).all()
    assert not frame["takes"]["single-slot", "delta"]
    assert frame["why"]["single-slot", "delta"].startswith(Reason.NO_ARTEFACT.value)


def test_an_install_that_takes_longer_meets_more_power_cuts():
    for layout in ("swap-move", "overwrite-only"):
        full, delta = (exposure(replace(SMALL, layout=layout, payload=p)) for p in ("full", "delta"))
        assert delta.length_ns(("install",)) > full.length_ns(("install",))
        assert delta.length_ns(("boot",)) == full.length_ns(("boot",))
        frame = table(CUTS)["retried_installs"]
        assert frame[layout, "delta"] > frame[layout, "full"]


def test_a_cut_in_the_trial_takes_a_device_with_a_way_back_to_the_old_image():
    for layout, reverts in (("swap-move", True), ("overwrite-only", False)):
        options = replace(SMALL, layout=layout)
        waiting = exposure(options, 10_000).by_time(("trial",))
        assert (waiting.old, waiting.new) == ((1, 0) if reverts else (0, 1))
        assert exposure(options, 10_000).length_ns() == exposure(options).length_ns() + 10**10


def test_an_install_that_is_asked_for_is_tried_although_power_fails():
    for layout in ("swap-move", "direct-xip-revert"):
        there = exposure(replace(SMALL, layout=layout))
        asked = [window for window in there.windows if window.phase == "install"][-1]
        assert asked.fates.new == 1 and asked.fates.old == 0


def test_the_windows_are_the_events_whole_and_their_fates_sum_to_one():
    for layout in LAYOUTS:
        there = exposure(replace(SMALL, layout=layout))
        assert all(window.length_ns >= 0 for window in there.windows)
        for fates in (*(window.fates for window in there.windows), there.of_one_try(3.0), there.by_time()):
            assert fates.bricked + fates.stuck + fates.old + fates.new == pytest.approx(1)


def test_a_rare_cut_harms_in_proportion_to_how_often_it_comes():
    there = exposure(replace(SMALL, layout="single-slot"))
    hours = there.length_ns() / 3.6e12
    one, two = (there.of_one_try(rate).bricked for rate in (1e-3, 2e-3))
    assert two == pytest.approx(2 * one, rel=1e-4)
    assert one == pytest.approx(1e-3 * hours * there.by_time().bricked, rel=1e-4)


def test_who_has_another_base_is_refused_once_and_takes_the_raw_image():
    frame = table(Hazards(wrong_base=0.25))
    patched = frame.loc["swap-move"]
    assert patched["refused"].to_dict() == {"full": 0, "delta": 250_000}
    extra = patched["wire_bytes"]["full"] / 4
    assert patched["mean_bytes"]["delta"] == pytest.approx(patched["wire_bytes"]["delta"] + extra)
    assert (patched["updated"] == MILLION).all()
    # One that has no further attempt stays what it was.
    assert table(Hazards(wrong_base=0.25, attempts=1))["failed"]["swap-move", "delta"] == 250_000
    assert exposure(replace(SMALL, payload="delta")).wrong_base is Reason.WRONG_BASE


def test_a_shorter_download_drops_less_often():
    frame = table(Hazards(drops_per_mib=5))["dropped"]
    assert 0 < frame["swap-move", "delta"] < frame["swap-move", "full"] / 2
    same = table(Hazards(drop=0.1, attempts=4))
    assert same["dropped"].to_list() == pytest.approx([MILLION * (0.1 + 0.01 + 0.001 + 0.0001)] * len(same))
    assert same["failed"].to_list() == pytest.approx([MILLION * 0.0001] * len(same))


def test_a_device_that_has_not_the_ram_for_a_patch_takes_the_raw_image():
    frame = table(Hazards(ram_bytes=32 << 10))
    assert frame["takes"].loc[:, "full"].all() and not frame["takes"].loc[:, "delta"].any()
    why = frame["why"]["swap-move", "delta"]
    assert why.startswith(Reason.MEMORY_SHORT.value) and "32768" in why
    assert (frame["wire_bytes"].loc[:, "delta"] == frame["wire_bytes"].loc[:, "full"]).all()
    with pytest.raises(InputError, match="ram_bytes: swap-move, the raw image"):
        table(Hazards(ram_bytes=1 << 10))


@pytest.mark.parametrize(("name", "value"), [("drop", 1.5), ("cuts_per_hour", -1), ("attempts", 0)])
def test_a_hazard_that_cannot_be_is_refused(name, value):
    with pytest.raises(InputError, match=f"{name}.*found {value}"):
        Hazards(**{name: value})


DEVICES, IMAGE, SLOT = 600, 64 << 10, 128 << 10


def fleet(layout: str, payload: str) -> Scenario:
    """A fleet in which power fails in every second install, and a device has one try."""
    return Scenario.from_toml(
        write_toml(
            {
                "schema": 1,
                "name": "cuts",
                "devices": DEVICES,
                "horizon": "3 d",
                "release": {
                    "size": IMAGE,
                    "base_size": IMAGE,
                    "steps": ["minor"],
                    "payload": payload,
                    "encrypted": False,
                },
                "links": [{"name": "backend"}],
                "cohorts": [
                    {
                        "name": "all",
                        "link": "backend",
                        "layout": layout,
                        "slot_size": SLOT,
                        "download_size": SLOT,
                        "wake_period": "6 h",
                        "base_mix": [1],
                    }
                ],
                "precheck": {"battery": 0},
                "transfer": {"attempts": 1},
                "faults": {"power_cut": "1/2", "tear": "partial"},
                "rollout": {"interval": "1 min", "groups": [{"share": "rest", "error_threshold": 1}]},
            }
        ),
        "cuts",
    )


@pytest.mark.parametrize(
    ("layout", "payload"),
    [
        ("swap-move", "full"),
        ("swap-move", "delta"),
        ("overwrite-only", "delta"),
        ("in-place-journal", "delta"),
        ("single-slot", "full"),
    ],
)
def test_a_fleet_whose_power_fails_ends_as_the_windows_say(layout, payload):
    options = SweepOptions(
        layout=layout, payload=payload, tear="partial", image_size_bytes=IMAGE, slot_size_bytes=SLOT
    )
    expected = exposure(options).by_time(IN_A_FLEET)
    counts = simlib.run(fleet(layout, payload)).devices["outcome"].value_counts()
    for outcome, share in (
        (Outcome.BRICKED, expected.bricked / 2),
        (Outcome.FAILED, (expected.old + expected.stuck) / 2),
        (Outcome.UPDATED, 0.5 + expected.new / 2),
    ):
        error = sqrt(DEVICES * share * (1 - share))
        assert counts.get(outcome.value, 0) == pytest.approx(DEVICES * share, abs=3.5 * error), outcome
