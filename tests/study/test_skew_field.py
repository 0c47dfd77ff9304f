"""What runs of whole fleets say of patches can be worked out by hand, and what goes wrong costs bytes."""

from __future__ import annotations

from fractions import Fraction

import pandas as pd
import pytest

from simlib.device.config import DeviceConfig
from simlib.device.ram import ram_needed
from simlib.release import build_release, open_manifest
from simlib.scenario import Scenario
from simlib.study.skew import beyond_the_limit, codec_refused, drops, wrong_records
from simlib.study.skew.field import skew_fleet

DEVICES = 1000
F = Fraction


@pytest.fixture(scope="module")
def fleet() -> Scenario:
    return skew_fleet(DEVICES)


def test_a_wrong_record_costs_the_patch_that_does_not_fit_and_the_whole_image(fleet: Scenario) -> None:
    table = wrong_records(fleet, (F(0), F(1, 10), F(1, 2)), engine="fused")
    none, some, many = (row for _, row in table.iterrows())
    assert none["refusals"] == none["bytes_wasted"] == none["expected_wasted"] == 0
    # Of the last three bases the third has none with a patch behind it: its devices get the whole image.
    shares = float(F("0.45") + F("0.2475"))
    for row in (some, many):
        chance = row["share"] * shares
        spread = (DEVICES * chance * (1 - chance)) ** 0.5
        assert row["refusals"] == pytest.approx(DEVICES * chance, abs=4 * spread)
        assert row["bytes_wasted"] == pytest.approx(
            row["expected_wasted"], rel=5 * spread / (DEVICES * chance)
        )
        assert row["bytes_down"] > none["bytes_down"] + row["bytes_wasted"]
    assert many["bytes_wasted"] > some["bytes_wasted"] > 0


def test_a_download_that_begins_anew_brings_the_bytes_that_the_series_says(fleet: Scenario) -> None:
    table = drops(fleet, (F(0), F(3, 10)), engine="fused").set_index(["chance", "resume"])
    sure, anew, goes_on = table.loc[(0.0, False)], table.loc[(0.3, False)], table.loc[(0.3, True)]
    assert sure["downloads"] == sure["expected_downloads"] == sure["updated"] == DEVICES
    assert sure["bytes_down"] == pytest.approx(sure["expected_bytes"], rel=0.01)
    # Downloads are geometric: variance d / (1 - d)^2 for each device.
    spread = (DEVICES * 0.3) ** 0.5 / 0.7
    assert anew["downloads"] == pytest.approx(anew["expected_downloads"], abs=4 * spread)
    assert anew["bytes_down"] == pytest.approx(anew["expected_bytes"], rel=0.1)
    assert anew["bytes_wasted"] == pytest.approx(anew["bytes_down"] - sure["bytes_down"], rel=0.01)
    assert goes_on["bytes_down"] < anew["bytes_down"]
    assert sure["bytes_wasted"] == 0 < goes_on["bytes_wasted"] < anew["bytes_wasted"]
    assert pd.isna(goes_on["expected_bytes"])


def test_devices_beyond_the_limit_fall_back_and_a_run_downloads_what_the_plan_says(fleet: Scenario) -> None:
    table = beyond_the_limit(fleet, engine="fused").set_index("limit")
    assert table.index.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert table["relative_bytes"].tolist() == pytest.approx(table["expected_relative"].tolist(), abs=0.003)
    assert table["relative_bytes"].is_monotonic_decreasing
    assert (table["patch"] + table["compressed"]).tolist() == pytest.approx([1] * 7)
    assert table["patch"].tolist() == pytest.approx([0, 0.45, 0.6975, 0.8336, 0.9085, 0.9497, 1], abs=0.002)
    assert (table["bytes_wasted"] == 0).all()


def test_devices_without_memory_for_a_decoder_take_what_needs_less(fleet: Scenario) -> None:
    release = build_release(fleet.spec.release)
    config = DeviceConfig.from_cohort(fleet.spec.cohorts[0])
    needed = {
        artefact.kind: ram_needed(config, open_manifest(artefact.manifest, (release.verify_key,)))
        for artefact in release.artefacts
        if artefact.kind != "delta"
    }
    patches = [
        ram_needed(config, open_manifest(artefact.manifest, (release.verify_key,)))
        for artefact in release.artefacts
        if artefact.kind == "delta"
    ]
    assert needed["full"] < needed["compressed"] != min(patches)
    rams = (0, needed["compressed"], min(patches) - 1, needed["full"])
    table = codec_refused(fleet, rams, engine="fused")
    assert table["ram_bytes"].tolist() == list(rams)
    free, second, third, last = (row for _, row in table.iterrows())
    assert (free["patch"], free["raw"]) == (pytest.approx(0.8336, abs=0.002), 0)
    assert third["patch"] == 0
    assert last["raw"] == 1
    assert last["bytes_down"] == DEVICES * release.full_for().wire_bytes
    assert second["compressed"] + second["patch"] == pytest.approx(1)
    assert free["bytes_down"] <= second["bytes_down"] < last["bytes_down"]


def test_the_preset_downloads_less_the_more_patches_are_published() -> None:
    preset = Scenario.load("delta-skew-120k").with_({"devices": 600})
    table = beyond_the_limit(preset, (4, 12), engine="fused").set_index("limit")
    assert table.loc[4, "patch"] == pytest.approx(0.9085, abs=0.03)
    assert table.loc[12, "bytes_down"] < 0.9 * table.loc[4, "bytes_down"]
    assert table.loc[4, "relative_bytes"] == pytest.approx(table.loc[4, "expected_relative"], abs=0.03)
    assert table.loc[12, "compressed"] > 0  # three patches are too large to be published
