"""Codecs in a fleet: each device gets the best artefact that it can take, the same on every clock."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from simlib.device.events import Install
from simlib.device.fitness import has_room, streams
from simlib.lifecycle.columns import NO_ROW
from simlib.release import open_manifest
from simlib.results import Run
from simlib.scenario import Scenario
from simlib.scenario.schema import CODECS, FULL_CODECS
from simlib.scenario.toml_text import write_toml
from simlib.simulation import run as simulation_run
from simlib.simulation.cases import Cases
from simlib.study import run

COHORT = {
    "name": "wide",
    "slot_size": "96 KiB",
    "download_size": "96 KiB",
    "rates": ["50 kB/s"],
    "wake_period": "1 h",
    "battery": ["0.9", "1"],
}
NARROW = COHORT | {"name": "narrow", "download_size": "0 B"}
ONE_SLOT = COHORT | {"name": "one-slot", "layout": "single-slot"}


def scenario(*cohorts: dict[str, Any], devices: int = 60, **release: Any) -> Scenario:
    """A fleet of these cohorts, equally large, of releases in the clear that go on well."""
    document = {
        "schema": 1,
        "name": "codecs",
        "devices": devices,
        "horizon": "5 d",
        "release": {"size": "64 KiB", "steps": ["minor"], "encrypted": False} | release,
        "links": [{"name": "backend"}],
        "cohorts": [cohort | {"share": f"1/{len(cohorts)}"} for cohort in cohorts],
        "rollout": {"groups": [{"share": "rest", "error_threshold": "1", "success_threshold": "0"}]},
    }
    return Scenario.from_toml(write_toml(document))


def on_every_clock(chosen: Scenario) -> Run:
    """The run by one clock, which is found to be as by the others."""
    runs = [run(chosen, engine=engine) for engine in ("simpy", "compiled", "fused")]
    assert len({found.digest for found in runs}) == 1
    return runs[0]


def taken(found: Run) -> dict[str, set[str]]:
    """By cohort, the artefacts that devices were updated by."""
    updated = found.devices[found.devices["outcome"] == "updated"]
    return {str(name): set(group["artefact"]) for name, group in updated.groupby("cohort", observed=True)}


@pytest.mark.parametrize("full_codec", FULL_CODECS)
def test_the_compressed_image_goes_where_no_patch_fits_and_the_raw_one_where_neither_does(
    full_codec: str,
) -> None:
    """bsdiff4 needs a place to store its patch; the compressed image is decoded as it arrives."""
    found = on_every_clock(scenario(COHORT, NARROW, ONE_SLOT, full_codec=full_codec))
    assert taken(found) == {"wide": {"delta-from-1.0.0"}, "narrow": {"compressed"}, "one-slot": {"full"}}
    assert (found.devices["outcome"] == "updated").all()
    bytes_down = found.devices.groupby("cohort", observed=True)["bytes_down"].max()
    assert bytes_down["wide"] < bytes_down["narrow"] < bytes_down["one-slot"]


def test_an_encrypted_compressed_image_cannot_be_decoded_as_it_arrives() -> None:
    found = on_every_clock(scenario(COHORT, NARROW, encrypted=True, payload="full", full_codec="full-lzma"))
    assert taken(found) == {"wide": {"compressed"}, "narrow": {"full"}}


@pytest.mark.parametrize("codec", CODECS)
def test_a_device_without_a_download_partition_takes_the_patches_that_stream(codec: str) -> None:
    chosen = scenario(NARROW, devices=30, codec=codec)
    prepared, _ = simulation_run.prepare(chosen)
    patch = next(a for a in prepared.release.artefacts if a.kind == "delta")
    manifest = open_manifest(patch.manifest, (prepared.release.verify_key,))
    streaming = streams(prepared.cases.kind_configs[0], manifest)
    found = on_every_clock(chosen)
    assert taken(found) == {"narrow": {patch.name if streaming else "full"}}
    assert (found.devices["outcome"] == "updated").all()
    assert streaming == (codec not in ("bsdiff4", "hdiffpatch-lzma2"))


def test_a_device_short_of_ram_for_a_decoder_gets_what_it_has_ram_for() -> None:
    small = COHORT | {"ram": "8 KiB"}
    assert taken(run(scenario(small, codec="detools-heatshrink"))) == {"wide": {"delta-from-1.0.0"}}
    assert taken(run(scenario(small, codec="detools-lzma"))) == {"wide": {"full"}}
    both = scenario(small, codec="detools-lzma", full_codec="full-heatshrink")
    assert taken(run(both)) == {"wide": {"compressed"}}


@pytest.mark.parametrize(
    ("cohort", "full_codec", "expected"),
    [
        (COHORT, "full-lzma", "compressed"),
        (NARROW, "full-heatshrink", "compressed"),
        (COHORT, "none", "full"),
        (COHORT | {"ram": "32 KiB"}, "full-lzma", "full"),
    ],
    ids=["stored", "streamed", "none", "no-ram"],
)
def test_after_a_patch_for_another_base_comes_the_best_that_needs_none(
    cohort: dict[str, Any], full_codec: str, expected: str
) -> None:
    """The inventory is wrong about a part of the fleet, and its devices refuse the patch."""
    chosen = scenario(
        cohort | {"base_mix": ["0.5", "0.5"]},
        steps=["patch", "minor"],
        codec="detools-heatshrink",
        full_codec=full_codec,
    ).with_({"faults.stale_inventory": 0.5})
    found = on_every_clock(chosen)
    devices = found.devices
    assert (devices["outcome"] == "updated").all()
    kinds = Counter(devices["artefact"])
    patched = {name for name in kinds if name.startswith("delta-from-")}
    assert set(kinds) - patched == {expected}
    mistaken = devices[devices["artefact"] == expected]
    assert 5 < len(mistaken) < 40
    assert (mistaken["attempts"] == 2).all(), "the patch first, and what was downloaded of it was for nothing"
    assert (mistaken["bytes_wasted"] > 0).all()


def test_a_streaming_patch_for_another_base_leaves_the_flash_alone() -> None:
    prepared, _ = simulation_run.prepare(
        scenario(NARROW | {"base_mix": ["0.5", "0.5"]}, steps=["patch", "minor"], codec="detools-heatshrink")
    )
    cases = prepared.cases
    wrong = cases.artefacts.index("delta-from-1.0.0")
    refused = cases.moves[cases.install(cases.start(0, 1), wrong)]
    assert str(refused.found.verdict) == "wrong-base"
    assert (refused.found.ops, refused.found.state) == (0, refused.start)


# Which bases get a patch

MIX = ["0.3", "0.2", "0.15", "0.35"]
STEPS = ["major", "patch", "minor", "patch"]


def patched_bases(chosen: Scenario) -> tuple[int, ...]:
    release = simulation_run.prepare(chosen)[0].release
    return tuple(a.base for a in release.artefacts if a.kind == "delta" and a.base is not None)


def limited(patches: str, limit: int, **release: Any) -> Scenario:
    return scenario(
        COHORT | {"base_mix": MIX}, steps=STEPS, full_above="1", patches=patches, patch_limit=limit, **release
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_a_limit_leaves_the_newest_bases_or_those_of_most_devices_their_patches(limit: int) -> None:
    """Of the mix, the first is of the newest base, number 3 in a chain of five."""
    assert patched_bases(limited("newest", limit)) == tuple(range(4 - limit, 4))
    assert patched_bases(limited("population", limit)) == tuple(sorted([0, 3, 2, 1][:limit]))


@pytest.mark.parametrize("full_codec", ["none", "full-lzma"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_by_saving_no_other_choice_of_as_many_patches_would_send_fewer_bytes(
    limit: int, full_codec: str
) -> None:
    every = simulation_run.prepare(limited("saving", 0, full_codec=full_codec))[0].release
    sizes = {a.base: a.wire_bytes for a in every.artefacts if a.kind == "delta"}
    instead = every.artefacts_for(None)[0].wire_bytes
    share = {base: Fraction(part) for base, part in zip((3, 2, 1, 0), MIX, strict=True)}
    assert set(sizes) == set(share), "each patch is worth it, so that there is something to choose"

    def sent(chosen: tuple[int, ...]) -> Fraction:
        parts = (share[base] * (sizes[base] if base in chosen else instead) for base in share)
        return sum(parts, Fraction(0))

    best = min(combinations(share, limit), key=sent)
    found = patched_bases(limited("saving", limit, full_codec=full_codec))
    if limit == 1:
        assert found != patched_bases(limited("population", 1, full_codec=full_codec)), "the two rules differ"
    assert sent(found) == sent(best)
    assert sorted(found) == sorted(best)
    fleet = on_every_clock(limited("saving", limit, full_codec=full_codec).with_({"devices": 40}))
    names = {f"delta-from-{every.firmwares[base].label}" for base in found}
    assert set(fleet.devices["artefact"]) == names | {every.artefacts_for(None)[0].name}


def test_by_saving_a_few_devices_far_behind_may_weigh_less_than_many_near_by() -> None:
    """Were bytes or devices alone what counts, another patch would be chosen in one of these fleets."""
    by_mix = {}
    for mix in (["0.05", "0", "0", "0.95"], ["0.95", "0", "0", "0.05"]):
        chosen = limited("saving", 1).with_({"cohorts.0.base_mix": mix})
        by_mix[mix[0]] = patched_bases(chosen)
    assert by_mix == {"0.05": (0,), "0.95": (3,)}


def test_who_runs_what_is_counted_from_the_inventory_where_there_is_one(tmp_path: Path) -> None:
    """The mix says one thing and the file another; patches are made for the devices that there are."""
    chosen = limited("population", 1)
    assert patched_bases(chosen) == (0,)
    labels = [f.label for f in simulation_run.prepare(chosen)[0].release.firmwares]
    rows = [f"d{n},{labels[2] if n < 7 else labels[0]}" for n in range(10)]
    file = tmp_path / "fleet.csv"
    file.write_text("\n".join(["device,version", *rows]) + "\n", encoding="utf-8")
    assert patched_bases(chosen.with_({"inventory.file": str(file)})) == (2,)


# Where a patch is decoded as it arrives, what a fault does depends on where it is


def flipped_bits(cases: Cases, artefact: int, devices: int = 20) -> list[int | None]:
    state = cases.start(0, 0)
    rows = [cases.faulty_install(key, 0, state, artefact)[0] for key in range(devices)]
    events = [cases.moves[row].event for row in rows]
    assert all(isinstance(event, Install) for event in events)
    return [event.flip_bit for event in events if isinstance(event, Install)]


CORRUPT = {"faults.corruption": 1, "faults.power_cut": 0}


def test_where_a_patch_streams_it_is_the_bit_drawn_and_one_for_all_where_it_is_stored() -> None:
    for cohort, bits in ((COHORT, 1), (NARROW, 20)):
        cases = simulation_run.prepare(scenario(cohort, codec="detools-heatshrink").with_(CORRUPT))[0].cases
        patch = cases.artefacts.index("delta-from-1.0.0")
        assert len(set(flipped_bits(cases, patch))) == bits
        assert set(flipped_bits(cases, cases.artefacts.index("full"))) == {0}, "it is stored as it is"


@pytest.mark.parametrize("codec", ["detools-heatshrink", "detools-crle", "hpatchlite-tuz", "zstd-patch-from"])
def test_with_streams_every_bit_is_the_fleets_own_case_too(codec: str) -> None:
    """`explain` asks for each device's own bit; with a stream that is what the fleet was told."""
    told = []
    for every_bit in (False, True):
        chosen = scenario(NARROW, codec=codec).with_(CORRUPT | {"faults.power_cut": 0.5})
        cases = simulation_run.prepare(chosen, every_bit=every_bit)[0].cases
        patch = cases.artefacts.index("delta-from-1.0.0")
        state = cases.start(0, 0)
        pairs = [cases.faulty_install(key, number, state, patch) for key in range(12) for number in (0, 1)]
        rows = [row for pair in pairs for row in pair if row != NO_ROW]
        told.append([(cases.moves[row].event, cases.moves[row].found) for row in rows])
    assert told[0] == told[1]
    installs = [found for event, found in told[0] if isinstance(event, Install)]
    assert len(installs) == 24
    assert "none" not in {str(found.verdict) for found in installs}, "no flipped bit goes unnoticed"


def test_how_far_a_damaged_stream_got_shows_in_what_it_cost() -> None:
    cases = simulation_run.prepare(scenario(NARROW, codec="detools-heatshrink").with_(CORRUPT))[0].cases
    patch = cases.artefacts.index("delta-from-1.0.0")
    rows = [cases.faulty_install(key, 0, cases.start(0, 0), patch)[0] for key in range(30)]
    assert len({cases.moves[row].found.ops for row in rows}) > 3
    stored = simulation_run.prepare(scenario(COHORT, codec="detools-heatshrink").with_(CORRUPT))[0].cases
    patch = stored.artefacts.index("delta-from-1.0.0")
    rows = [stored.faulty_install(key, 0, stored.start(0, 0), patch)[0] for key in range(30)]
    assert len({stored.moves[row].found.ops for row in rows}) == 1


@pytest.mark.parametrize("codec", ["detools-heatshrink", "hpatchlite-tuz", "detools-in-place-crle"])
def test_under_corruption_and_power_cuts_streaming_devices_run_alike_on_every_clock_and_none_bricks(
    codec: str,
) -> None:
    chosen = scenario(NARROW, devices=80, codec=codec, full_codec="full-heatshrink").with_(
        {"faults.corruption": 0.3, "faults.power_cut": 0.4, "faults.tear": "garbage", "transfer.rounds": 9}
    )
    found = on_every_clock(chosen)
    outcomes = Counter(found.devices["outcome"])
    assert outcomes["bricked"] == outcomes["lost"] == 0
    assert outcomes["updated"] > 70
    assert found.devices["attempts"].max() > 2
    device = int(found.devices["attempts"].to_numpy().argmax())
    assert found.explain(device).agrees


def test_what_is_offered_is_the_first_that_has_room_and_the_full_one_where_nothing_has() -> None:
    """Every kind of device, base and codec, against the rule said once more."""
    cohorts = [c | {"base_mix": ["0.5", "0.5"]} for c in (COHORT, NARROW, ONE_SLOT)]
    for codec, full_codec in (("bsdiff4", "full-lzma"), ("detools-crle", "full-zstd"), ("bsdiff4", "none")):
        for encrypted in (False, True):
            prepared, _ = simulation_run.prepare(
                scenario(
                    *cohorts,
                    steps=["patch", "minor"],
                    codec=codec,
                    full_codec=full_codec,
                    encrypted=encrypted,
                )
            )
            cases, release = prepared.cases, prepared.release
            chain = len(release.images)
            for kind, config in enumerate(cases.kind_configs):
                for recorded in range(release.primary):
                    told = cases.offer[(kind * chain + recorded) * chain + release.primary]
                    fits = [
                        artefact.name
                        for artefact in release.artefacts_for(recorded)
                        if has_room(
                            config,
                            open_manifest(artefact.manifest, (release.verify_key,)),
                            encrypted=encrypted,
                        )
                    ]
                    assert cases.artefacts[told] == (fits or ["full"])[0]


def test_a_plot_of_energy_tells_the_kinds_of_artefacts_apart() -> None:
    found = run(scenario(COHORT, NARROW, ONE_SLOT, full_codec="full-lzma"))
    figure, ax = plt.subplots()
    found.plot.energy(ax)
    rows = {label.get_text().partition("\n")[0] for label in ax.get_yticklabels()}
    plt.close(figure)
    assert rows == {"wide, delta", "narrow, compressed", "one-slot, full"}
    assert np.isfinite(ax.get_xlim()).all()
