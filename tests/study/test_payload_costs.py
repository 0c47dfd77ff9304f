"""What a form of the release costs is what a device that is updated by itself spends; break-evens hold."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

import simlib
from simlib.channel.multicast import outcome
from simlib.delta import codec_names
from simlib.errors import InputError
from simlib.fleet import routes_of
from simlib.scenario import Scenario
from simlib.simulation.run import prepare
from simlib.study.payloads import (
    OwnNumbers,
    decision,
    differences,
    flash_factor_at,
    link_rate_at,
    numbers_of,
    patch_ratio_at,
    radio_energy_at,
    update_costs,
)
from simlib.study.payloads.costs import download
from simlib.study.payloads.own_numbers import PAYLOADS

FULL_CODECS = codec_names(takes_base=False)[:1]
FORMS = [("full", ""), *(("compressed", codec) for codec in FULL_CODECS), ("delta", "bsdiff4")]
QUIET = {"faults.drop": 0, "precheck.battery_gate": "share", "precheck.battery": 0, "precheck.link": False}
# Nothing but the update: everyone is there, is asked nothing, and has a full cell.
CALM = {
    "coin-cell-sensors": {"habits": [], "owners": [], **QUIET},
    "lora-meters": {"habits": [], **QUIET, "release.size": "64 KiB", "release.base_size": "64 KiB"},
}
"""The smallest image where the air is slow: a session lasts hours, and many fragments take long to decode."""


def calm(name: str, devices: int = 60) -> Scenario:
    """The preset, in which every device is updated at its first try."""
    scenario = Scenario.load(name)
    cohorts = [
        {key: value for key, value in cohort.items() if key not in ("habit", "owner")}
        | {"battery": [1, 1], "wake_presence": 1, "download_size": "192 KiB"}
        for cohort in scenario.document["cohorts"]
    ]
    groups = [{"share": "rest", "error_threshold": 1, "gate": "threshold"}]
    return scenario.with_({"devices": devices, "cohorts": cohorts, "rollout.groups": groups, **CALM[name]})


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    return {name: update_costs(calm(name), ("bsdiff4",), FULL_CODECS) for name in CALM}


def of(frame: pd.DataFrame, **wanted: object) -> pd.Series:
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def shipped_as(scenario: Scenario, payload: str, codec: str) -> Scenario:
    """`scenario`, all of whose devices are offered this form."""
    return scenario.with_(
        {
            "full": {"release.payload": "full"},
            "compressed": {"release.payload": "full", "release.full_codec": codec},
            "delta": {
                "release.payload": "delta",
                "release.codec": codec or "bsdiff4",
                "release.full_above": 1,
            },
        }[payload]
    )


@pytest.mark.parametrize(("payload", "codec"), FORMS)
@pytest.mark.parametrize("name", CALM)
def test_a_row_is_what_a_device_spends_that_is_updated_by_itself(frames, name, payload, codec):
    scenario = shipped_as(calm(name), payload, codec)
    prepared, _ = prepare(scenario)
    run = simlib.run(scenario)
    routes, spec = routes_of(prepared.spec), prepared.spec
    seen = set()
    for i, device in run.devices.iterrows():
        number = int(prepared.population.cohort[i])
        cohort, route = spec.cohorts[number], routes[number]
        back = prepared.release.primary - int(prepared.population.base[i])
        row = of(frames[name], cohort=cohort.name, base=back, payload=payload, codec=codec)
        assert row["takes"] and device["outcome"] == "updated"
        assert device["energy_flash_uj"] == row["flash_uj"]
        assert device["energy_compute_uj"] == row["compute_uj"]
        if route.multicast is None:
            if route.rates_bps[int(prepared.population.rate[i])] != row["rate_bps"]:
                continue
            assert device["bytes_down"] == row["wire_bytes"] == row["air_bytes"]
            assert device["confirmed_ms"] - device["started_ms"] == row["total_ms"]
            assert device["energy_radio_uj"] == row["radio_uj"]
        else:
            every = route.multicast.session_every_ms
            count = int(device["attempts"])
            told = download(spec, cohort, route, int(row["wire_bytes"]), count)
            waited = -int(device["started_ms"]) % every
            took = device["confirmed_ms"] - device["started_ms"] - waited
            assert took == told.download_ms + row["total_ms"] - row["download_ms"]
            assert device["energy_radio_uj"] == told.radio_uj
            assert device["bytes_down"] <= told.air_bytes
            # What was heard is told by the fragments' draws.
            plan = route.multicast.plan(int(row["wire_bytes"]))
            first = int(device["started_ms"] + waited) // every
            key = int(prepared.population.keys[i])
            sessions = [range(first, first + n) for n in range(1, count + 1)]
            assert sum(int(outcome(plan, key, s).received_bytes) for s in sessions) == device["bytes_down"]
            if count != row["sessions"]:
                continue
            assert told.radio_uj == row["radio_uj"] and told.air_bytes == row["air_bytes"]
        seen.add((cohort.name, back))
    assert {cohort for cohort, _ in seen} == {cohort.name for cohort in spec.cohorts}


def test_ratios_are_those_of_the_wire_bytes_to_the_raw_and_the_smallest_compressed_image(frames):
    for frame in frames.values():
        raw = frame.loc[frame["payload"] == "full", "wire_bytes"].min()
        assert np.allclose(frame["of_full"], frame["wire_bytes"].astype(float) / raw)
        assert (frame.loc[frame["payload"] == "delta", "of_full"] < 0.5).all()
        packed = frame[frame["payload"] == "compressed"]
        if FULL_CODECS:
            assert (packed["of_compressed"] == 1).all() and (packed["of_full"] < 1).all()
        else:
            assert frame["of_compressed"].isna().all()


def test_a_row_says_why_a_device_does_not_take_it():
    scenario = Scenario.load("coin-cell-sensors").with_(
        {"devices": 10, "cohorts.0.ram": "32 KiB", "cohorts.1.download_size": "8 KiB"}
    )
    frame = update_costs(scenario, ("bsdiff4",), (), ["swap-move", "single-slot", "direct-xip"])
    patch = frame[(frame["payload"] == "delta") & (frame["base"] == 1)].set_index(["cohort", "layout"])
    assert not patch["takes"]["offices", "swap-move"] and "RAM" in patch["why"]["offices", "swap-move"]
    assert "does not stream" in patch["why"]["homes", "swap-move"]
    assert patch["takes"]["old-cells", "swap-move"]
    assert "expected a full one" in patch["why"]["homes", "single-slot"]
    raw = frame[(frame["payload"] == "full") & (frame["base"] == 1)].set_index(["cohort", "layout"])
    assert raw["takes"].loc[:, ["swap-move", "single-slot"]].all()
    assert not raw["takes"]["homes", "direct-xip"] and "header" in raw["why"]["homes", "direct-xip"]
    assert frame.loc[~frame["takes"], "total_uj"].isna().all()
    assert frame.loc[frame["takes"], "total_uj"].notna().all()


def test_a_layout_changes_what_is_done_with_the_image_and_not_what_travels():
    frame = update_costs("coin-cell-sensors", (), (), ["swap-move", "overwrite-only"])
    layouts = {name: part.reset_index() for name, part in frame.groupby("layout")}
    swap, over = layouts["swap-move"], layouts["overwrite-only"]
    assert (swap["radio_uj"] == over["radio_uj"]).all() and (swap["air_bytes"] == over["air_bytes"]).all()
    assert (swap["flash_uj"] > over["flash_uj"]).all() and (swap["boot_ms"] > over["boot_ms"]).all()


def test_what_does_not_exist_is_refused():
    with pytest.raises(InputError, match="codec: found 'nothing'"):
        update_costs("smoke", ("nothing",))
    with pytest.raises(InputError, match="full_codecs: found bsdiff4, expected a codec that takes none"):
        update_costs("smoke", (), ("bsdiff4",))
    with pytest.raises(InputError, match="layout"):
        update_costs("smoke", (), (), ["nothing"])
    with pytest.raises(InputError, match='cohort: found "nobody"'):
        numbers_of("smoke", "nobody")


def _numbers() -> list[tuple[str, str]]:
    return [(name, cohort.name) for name in CALM for cohort in calm(name).spec.cohorts]


@pytest.mark.parametrize(("name", "cohort"), _numbers())
def test_the_formulas_agree_with_the_rows(frames, name, cohort):
    own = numbers_of(calm(name), cohort, full_codec=(*FULL_CODECS, "")[0])
    for payload, codec in FORMS:
        row = of(frames[name], cohort=cohort, base=1, payload=payload, codec=codec)
        told = own.spent(payload)
        assert told.air_bytes == pytest.approx(row["wire_bytes"], abs=0 if payload == "delta" else 350)
        one_erase_uj = 0 if payload == "full" else own.erase_uj + own.write_nj_per_byte
        beyond = row["flash_uj"] - of(frames[name], cohort=cohort, base=1, payload="full")["flash_uj"]
        assert told.flash_uj - own.spent("full").flash_uj == pytest.approx(beyond, abs=one_erase_uj + 3)
        beyond = row["compute_uj"] - of(frames[name], cohort=cohort, base=1, payload="full")["compute_uj"]
        assert told.compute_uj - own.spent("full").compute_uj == pytest.approx(beyond, rel=0.01, abs=5)
        if row["sessions"] > 1:
            continue
        # A multicast's last fragments are whole ones.
        fragments = 0.1 if name == "lora-meters" else 0.0
        assert told.time_ms == pytest.approx(row["total_ms"], rel=0.002 + fragments, abs=own.erase_ms)
        assert told.total_uj == pytest.approx(row["total_uj"], rel=0.002 + fragments, abs=own.erase_uj)


def test_a_codec_that_streams_needs_no_storage_and_writes_the_patch_nowhere():
    codec = "hpatchlite-tuz"
    bare = Scenario.load("coin-cell-sensors").with_(
        {"cohorts.0.download_size": 0, "release.encrypted": False}
    )
    row = of(update_costs(bare, (codec,), ()), cohort="offices", base=1, payload="delta")
    own = numbers_of(bare, "offices", codec)
    assert row["takes"] and not own.stored
    raw = of(update_costs(bare, (), ()), cohort="offices", base=1)
    assert row["flash_uj"] == pytest.approx(raw["flash_uj"], abs=own.erase_uj)
    assert own.spent("delta").total_uj == pytest.approx(row["total_uj"], rel=0.002)


OWN = OwnNumbers(
    image_bytes=100_000,
    patch_ratio=0.2,
    compressed_ratio=0.6,
    link_bps=2_000,
    radio_nj_per_byte=500,
    erase_ms=80,
    erase_uj=800,
    write_us_per_byte=10,
    write_nj_per_byte=100,
    clock_mhz=64,
    nj_per_cycle=0.2,
    hash_cycles_per_byte=50,
    patch_cycles_per_byte=400,
    unpack_cycles_per_byte=60,
    sector_bytes=4_000,
)


def test_the_formulas_are_a_hand_calculation():
    # Compressed: 60,000 bytes in 30 s; 460,000 bytes written in 4.6 s, 115 erases in 9.2 s; 12 million cycles
    # in 187.5 ms: 6 to hash what was stored twice, 6 to decode it.
    spent = OWN.spent("compressed")
    assert spent.air_bytes == 60_000
    assert spent.time_ms == pytest.approx(30_000 + 4_600 + 9_200 + 187.5)
    assert spent.radio_uj == pytest.approx(30_000)
    assert spent.flash_uj == pytest.approx(46_000 + 92_000)
    assert spent.compute_uj == pytest.approx(2_400)
    # A patch: 20,000 bytes; 47 million cycles: 2 for the patch, 5 for the base, 40 to make the image.
    spent = OWN.spent("delta")
    assert spent.time_ms == pytest.approx(10_000 + 4_200 + 8_400 + 734.375)
    assert spent.total_uj == pytest.approx(10_000 + 42_000 + 84_000 + 9_400)
    # Decoded as it arrives, it is written nowhere else.
    for payload in ("delta", "compressed"):
        assert replace(OWN, stored=False).spent(payload).flash_uj == pytest.approx(40_000 + 80_000)
    apart = replace(OWN, compressed_stored=False)
    assert apart.spent("compressed").flash_uj == pytest.approx(120_000)
    assert apart.spent("delta").flash_uj == OWN.spent("delta").flash_uj


@pytest.mark.parametrize("other", ["full", "compressed"])
def test_at_a_break_even_both_forms_cost_the_same(other):
    slow = replace(OWN, erase_ms=5, write_us_per_byte=1, erase_uj=1, write_nj_per_byte=1)  # the core decides
    rate = link_rate_at(slow, other=other)
    there = replace(slow, link_bps=rate)
    assert there.spent("delta").time_ms == pytest.approx(there.spent(other).time_ms)
    above = replace(slow, link_bps=2 * rate)
    assert above.spent("delta").time_ms > above.spent(other).time_ms
    radio = radio_energy_at(slow, other=other)
    there = replace(slow, radio_nj_per_byte=radio)
    assert there.spent("delta").total_uj == pytest.approx(there.spent(other).total_uj)
    for by, what in (("time", "time_ms"), ("energy", "total_uj")):
        there = replace(OWN, patch_ratio=patch_ratio_at(OWN, by, other))
        delta, against = there.spent("delta"), there.spent(other)
        assert getattr(delta, what) == pytest.approx(getattr(against, what))
        assert getattr(OWN.spent("delta"), what) < getattr(OWN.spent(other), what)


def test_a_flash_is_as_dear_as_makes_two_forms_equal():
    factor = flash_factor_at(OWN, other="full")
    dearer = replace(OWN, erase_uj=800 * factor, write_nj_per_byte=100 * factor)
    assert dearer.spent("delta").total_uj == pytest.approx(dearer.spent("full").total_uj)
    assert flash_factor_at(OWN) is None  # beside a compressed image a patch saves on flash and on air


def test_where_one_form_is_ahead_whatever_the_number_is_there_is_no_break_even():
    assert link_rate_at(replace(OWN, patch_ratio=0.9, patch_cycles_per_byte=4_000)) is None
    assert radio_energy_at(replace(OWN, patch_cycles_per_byte=0, hash_cycles_per_byte=0)) is None
    assert patch_ratio_at(replace(OWN, patch_cycles_per_byte=10**6)) is None


def test_the_decision_ranks_the_forms_and_says_by_how_much():
    table = decision(OWN)
    assert list(table.index) == list(PAYLOADS)
    for by, column in (("bytes", "air_bytes"), ("time", "time_ms"), ("energy", "total_uj")):
        ordered = table.sort_values(column)
        assert table[f"rank_{by}"][ordered.index].tolist() == [1, 2, 3]
        best, second = ordered[column].iloc[:2]
        assert ordered[f"margin_{by}"].iloc[0] == pytest.approx(best / second - 1)
        assert ordered[f"margin_{by}"].iloc[2] == pytest.approx(ordered[column].iloc[2] / best - 1)


def test_a_grid_of_differences_changes_its_sign_at_the_break_even():
    ratio = patch_ratio_at(OWN, "time")
    table = differences(OWN, [OWN.link_bps], [0.9 * ratio, 1.1 * ratio])
    assert table["time_ms"].iloc[0] < 0 < table["time_ms"].iloc[1]
    assert (np.sign(table["time_share"]) == np.sign(table["time_ms"])).all()


@pytest.mark.parametrize("name", ["image_bytes", "link_bps", "patch_ratio", "clock_mhz"])
def test_a_number_that_cannot_be_is_refused(name):
    assert name in {field.name for field in fields(OwnNumbers)}
    with pytest.raises(InputError, match=f"{name}: found -1"):
        replace(OWN, **{name: -1})


def test_a_receiver_that_is_on_takes_energy_as_long_as_a_byte_takes():
    table = differences(OWN, [500, 5_000], [OWN.patch_ratio], receiver_mw=10)
    for row in table.to_dict("records"):
        here = replace(OWN, link_bps=row["link_bps"], radio_nj_per_byte=10e-3 / row["link_bps"] * 1e9)
        beyond = here.spent("delta").total_uj - here.spent("compressed").total_uj
        assert row["energy_uj"] == pytest.approx(beyond)
