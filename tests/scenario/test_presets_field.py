"""The presets about the field tell their stories: each runs small, and shows what its first lines promise."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simlib.channel.fragmentation import coded_fragment, rebuild, split
from simlib.channel.multicast import MulticastPlan, coded_number, received
from simlib.channel.resolve import resolve
from simlib.draws import device_key
from simlib.errors import InputError
from simlib.release import build_release
from simlib.results import Run
from simlib.scenario import Scenario, preset_names
from simlib.study import run

HOUR_MS, DAY_MS = 3_600_000, 86_400_000

# Fewer devices and smaller firmware, so that a run takes seconds; the causes are the preset's own.
SMALL: dict[str, dict[str, object]] = {
    "coin-cell-sensors": {"devices": 1500},
    "lora-meters": {"devices": 400},
    "cellular-trackers": {
        "devices": 1200,
        "release.size": "64 KiB",
        "release.base_size": "64 KiB",
        # as much for each tracker as in the whole fleet
        "links.0.capacity": "2 kB/s",
        "links.1.capacity": "2 kB/s",
        "links.2.capacity": "2 kB/s",
    },
    "wifi-appliances": {"devices": 8000, "release.size": "96 KiB", "release.base_size": "96 KiB"},
    "zero-day-1000": {"release.size": "96 KiB", "release.base_size": "96 KiB"},
}


@cache
def small(preset: str, *changes: tuple[str, object]) -> Run:
    return run(Scenario.load(preset).with_({**SMALL[preset], **dict(changes)}))


def ended(of: Run, outcome: str) -> pd.DataFrame:
    return of.devices[of.devices["outcome"] == outcome]


def failed_with(of: Run, reason: str) -> set[int]:
    """The devices of which a step failed for that reason."""
    return set(of.errors.loc[of.errors["reason"] == reason, "device"])


# What holds for each of them


def test_each_is_listed() -> None:
    assert set(SMALL) <= set(preset_names())


@pytest.mark.parametrize("preset", SMALL)
def test_a_saved_run_explains_a_device_of_every_end(preset: str, tmp_path: Path) -> None:
    saved = Run.load(small(preset).save(tmp_path / "run"))
    devices = saved.devices
    for _, members in devices.groupby(["outcome", "reason"]):
        device = int(members.sort_values("attempts")["device"].iloc[-1])
        told = saved.explain(device)
        assert told.agrees, (device, dict(told.differs), str(told))
        assert str(told).splitlines()[-1] == " ".join(devices.loc[device, ["outcome", "reason"]])


# coin-cell-sensors

DOWNLOAD_ONLY = (("precheck.battery_gate", "share"), ("precheck.battery", "0.00005"))
A_TENTH = (("precheck.battery_gate", "share"), ("precheck.battery", "0.1"))


def test_the_energy_gate_lets_no_install_brown_out() -> None:
    sensors = small("coin-cell-sensors")
    assert failed_with(sensors, "brown-out") == set()
    assert len(ended(sensors, "lost")) == 0
    deferred = ended(sensors, "deferred")
    assert 50 < len(deferred) < 150
    assert set(deferred["cohort"]) == {"old-cells"} and set(deferred["reason"]) == {"battery-low"}


def test_a_gate_guessed_from_the_download_does() -> None:
    sensors = small("coin-cell-sensors", *DOWNLOAD_ONLY)
    browned = sensors.devices.loc[sorted(failed_with(sensors, "brown-out"))]
    assert len(browned) >= 5
    assert set(browned["cohort"]) == {"old-cells"}
    # Who got a fresh cell went on where the power failed; the others are off.
    assert set(browned["outcome"]) == {"updated", "lost"}
    lost = ended(sensors, "lost")
    assert set(lost["device"]) <= set(browned["device"]) and set(lost["reason"]) == {"battery-empty"}


def test_a_gate_guessed_at_a_tenth_keeps_every_old_cell_from_an_update() -> None:
    sensors = small("coin-cell-sensors", *A_TENTH)
    assert failed_with(sensors, "brown-out") == set()
    assert set(ended(sensors, "updated")["cohort"]) == {"homes", "offices"}
    spared = ended(small("coin-cell-sensors"), "updated")
    assert (spared["cohort"] == "old-cells").sum() > 150


# lora-meters


def test_the_street_needs_one_session_and_the_deep_cellar_two() -> None:
    meters = small("lora-meters")
    sessions = ended(meters, "updated").groupby("cohort")["attempts"].median().to_dict()
    assert sessions == {"street": 1, "cellar": 1, "deep-cellar": 2}
    assert set(meters.devices["outcome"]) == {"updated", "deferred"}
    assert failed_with(meters, "fragments-missing")


def test_more_coded_fragments_spare_the_second_session() -> None:
    more = (("channels.1.redundancy", 0.4), ("channels.2.redundancy", 0.4))
    assert set(ended(small("lora-meters", *more), "updated")["attempts"]) == {1}


def test_every_meter_that_heard_enough_fragments_decodes() -> None:
    """The very bytes: what a meter heard gives the artefact back, and what it had a night before does not."""
    meters = small("lora-meters")
    spec = Scenario.from_toml(meters.scenario_toml).spec
    blobs = {artefact.name: artefact.blob for artefact in build_release(spec.release).artefacts}
    channels = {channel.name: channel for channel in spec.channels}
    of_cohort = {cohort.name: channels[cohort.channel] for cohort in spec.cohorts}
    chosen = ended(meters, "updated").groupby(["cohort", "attempts"]).head(2)
    chosen = chosen[chosen["attempts"] <= 2]
    assert {1, 2} == set(chosen["attempts"])
    for row in chosen.itertuples():
        multicast = resolve(of_cohort[row.cohort]).multicast
        assert multicast is not None
        blob = blobs[row.artefact]
        plan = multicast.plan(len(blob))
        first = -(-row.started_ms // DAY_MS)
        fragments: dict[int, bytes] = {}
        for night in range(row.attempts):
            if night:
                with pytest.raises(InputError, match="rank"):
                    rebuild(fragments, len(blob))
            fragments |= heard(plan, blob, device_key(spec.seed, row.device), first + night)
        assert rebuild(fragments, len(blob)) == blob


def heard(plan: MulticastPlan, blob: bytes, key: int, session: int) -> dict[int, bytes]:
    """The fragments of one session that a meter hears, by their numbers."""
    data = split(blob, plan.fragment_bytes)
    bits = received(key, session, plan.loss_threshold, plan.fragments)
    found = {}
    for sent in range(plan.fragments):
        if not bits >> sent & 1:
            continue
        if sent < len(data):
            found[sent] = data[sent]
        else:
            number = coded_number(plan, session, sent - len(data))
            found[len(data) + number] = coded_fragment(data, number)
    return found


# cellular-trackers

STEADY = (("cohorts.0.habit", "steady"), ("cohorts.1.habit", "steady"))


def test_what_is_missing_after_two_months_has_not_been_seen() -> None:
    trackers = small("cellular-trackers")
    missing = ended(trackers, "pending")
    assert len(missing) > 20
    assert (missing["reason"] == "not-offered").mean() > 0.8
    steady = small("cellular-trackers", *STEADY)
    assert len(ended(steady, "pending")) == 0
    # The second release is out on the twelfth day.
    assert steady.summary["time_to_90_ms"] < 15 * DAY_MS < trackers.summary["time_to_90_ms"]


def test_who_waited_for_the_link_shares_it_when_it_is_back() -> None:
    trackers = small("cellular-trackers")
    storms = trackers.alerts[trackers.alerts["alert"] == "link-storm"]
    assert len(storms) and storms["detail"].str.startswith("europe").all()
    grants = trackers.grants.merge(trackers.devices[["device", "link"]], on="device")
    ends = grants["ended_ms"] // HOUR_MS
    back = grants[(ends >= 51) & (ends < 53)].groupby("link").size()
    assert back["europe"] > 5 * max(back.get("americas", 0), back.get("asia", 0))
    assert not len(
        grants[
            (grants["link"] == "europe") & (ends >= 42) & (ends < 51) & ~grants["missing_bytes"].astype(bool)
        ]
    )


def test_the_oldest_trackers_take_the_stepping_stone_and_both_releases() -> None:
    trackers = small("cellular-trackers")
    devices = ended(trackers, "updated")
    newest = devices[devices["final_version"] == "2.1.1"]
    whole = newest[newest["rounds"] > 0].groupby("base_version")["rounds"].min()
    # 1.0.0 and 1.1.0 by 2.0.0 at least; who came back after the twelfth day skipped 2.1.0.
    assert whole["1.0.0"] == whole["1.1.0"] == 2
    assert newest.groupby("base_version")["rounds"].median()["1.1.0"] == 3


# wifi-appliances


def test_the_first_group_passes_and_silence_halts_the_rollout() -> None:
    appliances = small("wifi-appliances")
    assert appliances.summary["halted"]
    opened = appliances.groups["opened_ms"]
    assert 0 <= opened[1] < appliances.summary["halted_at_ms"] and opened[2] == -1
    lost = ended(appliances, "lost")
    assert len(lost) >= 10 and set(lost["reason"]) == {"boot-loop"}
    assert set(lost["hardware"]) == {"rev-b"}
    assert set(lost["reported_outcome"]) == {"updated"}  # what the service went on believing


def test_the_fix_saves_those_whose_loop_has_not_begun() -> None:
    appliances = small("wifi-appliances")
    due = appliances.devices[
        (appliances.devices["defect"] == "counter-overflow") & (appliances.devices["confirmed_ms"] >= 0)
    ]
    saved = due[due["final_version"] == "1.2.1"]
    assert len(saved) >= 10 and set(saved["outcome"]) == {"updated"} and not saved["defect_shown"].any()
    fixed_ms = appliances.summary["halted_at_ms"] + DAY_MS
    assert (saved["finished_ms"] > fixed_ms).all()


def test_nobody_is_lost_with_a_probation_longer_than_the_defect_needs() -> None:
    appliances = small("wifi-appliances", ("validation.probation", "7 d"))
    assert len(ended(appliances, "lost")) == 0
    assert failed_with(appliances, "boot-loop")
    assert appliances.summary["halted"]


def test_a_service_that_does_not_count_silence_never_halts() -> None:
    appliances = small("wifi-appliances", ("alerts.silent", 0))
    assert not appliances.summary["halted"]
    assert len(ended(appliances, "lost")) > 10 * len(ended(small("wifi-appliances"), "lost"))


def test_the_backup_puts_spoilt_settings_back() -> None:
    kept, none = small("wifi-appliances"), small("wifi-appliances", ("backup.to", "none"))
    spoilt = none.devices.loc[none.devices["settings_lost"], "device"]
    assert len(spoilt) >= 10 and set(none.devices.loc[spoilt, "base_version"]) == {"1.0.0"}
    assert not kept.devices["settings_lost"].any()
    assert (kept.devices.loc[spoilt, "bytes_back"] > 0).all()


def test_appliances_begin_at_night_by_their_own_clock_and_some_are_out_of_range() -> None:
    appliances = small("wifi-appliances")
    zones = {z.name: z.offset_ms for z in Scenario.from_toml(appliances.scenario_toml).spec.zones}
    began = appliances.devices[appliances.devices["started_ms"] >= 0]
    local = (began["started_ms"] + began["zone"].map(zones)) % DAY_MS // HOUR_MS
    assert set(local) <= {22, 23, 0, 1, 2, 3, 4}
    assert began["zone"].nunique() == len(zones)
    setup = appliances.devices[appliances.devices["cohort"] == "set-up-only"]
    assert (appliances.devices["reason"] == "out-of-range").sum() == (setup["reason"] == "out-of-range").sum()
    assert 0.15 < (setup["reason"] == "out-of-range").mean() < 0.26


# zero-day-1000


def test_personal_devices_have_nearly_all_of_the_exposure() -> None:
    fleet = small("zero-day-1000")
    days = fleet.devices.groupby("cohort")["exposed_ms"].sum() / DAY_MS
    assert days.sum() == pytest.approx(fleet.summary["exposed_device_days"], abs=0.001)
    assert days["personal"] > 0.9 * days.sum() > 500
    assert fleet.summary["harm"]["exposure"] == pytest.approx(40 * days.sum(), abs=0.01)


def test_a_canary_costs_exposure() -> None:
    groups = [{"share": 0.05, "success_threshold": 0.8, "soak": "1 d"}, {"share": "rest"}]
    staged = run(Scenario.load("zero-day-1000").with_({"rollout.groups": groups}))
    assert staged.summary["exposed_device_days"] > 2 * small("zero-day-1000").summary["exposed_device_days"]


def test_a_refused_permission_is_exposure_for_the_whole_time() -> None:
    devices = small("zero-day-1000").devices
    refused = devices[devices["reason"] == "permission-refused"]
    assert 10 < len(refused) < 60 and set(refused["cohort"]) == {"personal"}
    assert set(refused["exposed_ms"]) == {14 * DAY_MS - 30 * HOUR_MS}
    assert set(refused["reported_outcome"]) == {"none"}  # the server has never heard of them


def test_notifications_bring_the_patch_sooner() -> None:
    told = small("zero-day-1000")
    untold = small("zero-day-1000", ("owners.0.notified", 0), ("owners.1.notified", 0))
    assert untold.summary["time_to_50_ms"] > 1.3 * told.summary["time_to_50_ms"]


def test_the_service_believes_that_devices_without_a_bond_have_updated() -> None:
    fleet = small("zero-day-1000")
    lost = ended(fleet, "lost")
    assert len(lost) >= 5 and set(lost["reason"]) == {"bond-lost"}
    beliefs = fleet.beliefs
    wrong = beliefs[(beliefs["believed"] == "updated") & (beliefs["true"] == "lost")]
    assert wrong["devices"].sum() == len(lost)
    assert np.all(lost["reported_outcome"] == "updated")


def test_clients_that_give_a_dead_link_up_and_back_off_make_no_storm() -> None:
    short = (("horizon", "3 d"), ("timeline", "10 min"))
    waiting = small("cellular-trackers", *short)
    patience = (("transfer.stall", "1 min"), ("transfer.attempts", 20))
    backing_off = small("cellular-trackers", *short, *patience)

    def at_once(result: Run) -> int:
        hours = result.timeline["time_ms"] / HOUR_MS
        return int(result.timeline.loc[(hours >= 51) & (hours < 54), "downloading"].max())

    assert at_once(waiting) > 10 * at_once(backing_off)
