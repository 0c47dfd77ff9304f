"""What each service does not see: the failures are what their names say, and the blind spots are there."""

from __future__ import annotations

import json

import matplotlib.pyplot as plt
import pytest

from simlib.errors import InputError
from simlib.results.plots_services import blind_spots_map, deadline_spikes, peak_storage_bars, progress_rows
from simlib.scenario import Scenario
from simlib.scenario.strategies import apply
from simlib.study import run
from simlib.study.blind_spots import COLUMNS, FAILURES, blind_spots, causes
from simlib.study.comparison import PairedComparison

HOUR = 3_600_000
DAY = 24 * HOUR
TEXT = """
schema = 1
name = "plain"
devices = 600
horizon = "10 d"

[release]
size = "64 KiB"
payload = "full"
encrypted = false

[[links]]
name = "backend"

[[cohorts]]
name = "quick"
share = 0.5
link = "backend"
slot_size = "128 KiB"
wake_period = "6 h"
self_test = "10 s"

[[cohorts]]
name = "thorough"
share = 0.5
link = "backend"
slot_size = "128 KiB"
wake_period = "6 h"
self_test = "30 s"

[precheck]
battery = 0

[rollout]
deadline = "1 d"

[[rollout.groups]]
share = 0.1
success_threshold = 0.9
error_threshold = 0.1
min_sample = 20
soak = "12 h"

[[rollout.groups]]
share = 0.3
success_threshold = 0.9
error_threshold = 0.1
min_sample = 20
soak = "12 h"

[[rollout.groups]]
share = "rest"
success_threshold = 0.9
error_threshold = 0.1
min_sample = 20
soak = "12 h"
"""
SERVICES = ("staged", "hawkbit", "aws-iot", "mender", "percentage", "azure")
DEADLY = 1


@pytest.fixture(scope="module")
def plain():
    return Scenario.from_toml(TEXT, "plain")


@pytest.fixture(scope="module")
def frame(plain):
    return blind_spots(plain, services=SERVICES, replications=2)


def under(scenario, service, failure="sound", share="0.25", **config):
    changes = {"rollout.policy": service, "rollout.config": json.dumps(config) if config else ""}
    alike = {f"cohorts.{n}.self_test": "30 s" for n in range(len(scenario.spec.cohorts))}
    scenario = scenario.with_(alike)
    return run(scenario.with_(changes | causes(scenario, failure, share)))


def of(frame, service, failure):
    rows = frame[(frame["service"] == service) & (frame["failure"] == failure)]
    return rows.set_index("replication")


def test_there_is_a_row_a_service_failure_and_replication_under_common_seeds(frame):
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS
    assert len(frame) == len(SERVICES) * len(FAILURES) * 2
    assert frame.groupby(["service", "failure"])["seed"].apply(tuple).nunique() == 1
    assert (frame["devices"] == 600).all()
    known = ["told_failure", "told_success", "told_nothing"]
    assert (frame[known].sum(axis=1) == frame["harmed"]).all()
    stopped = frame[frame["stopped"]]
    assert (stopped["offered_at_stop"] <= stopped["released_at_stop"]).all()
    assert (stopped["harmed_at_stop"] <= stopped["harmed"]).all()


def test_a_failure_is_what_its_name_says(frame):
    # `percentage` stops nothing, so everybody who has the failure is struck by it.
    sound = of(frame, "percentage", "sound")
    assert (sound["harmed"] == 0).all() and (sound["updated"] == 600).all()
    struck = {name: of(frame, "percentage", name) for name in FAILURES[1:]}
    for cells in struck.values():
        assert cells["harmed"].between(120, 180).all()
    assert (struck["reported"]["told_failure"] == struck["reported"]["harmed"]).all()
    assert (struck["reported"]["corrected"] == 0).all()
    assert (struck["silent"]["told_nothing"] == struck["silent"]["harmed"]).all()
    assert (struck["false-success"]["corrected"] == 600).all()  # each of them had told success before
    assert (struck["late"]["told_success"] == struck["late"]["harmed"]).all()


def test_one_defect_strikes_the_same_devices_under_every_service(plain):
    harmed = [
        set(devices.loc[devices["outcome"] == "reverted", "device"])
        for devices in (under(plain, service, "reported").devices for service in ("percentage", "mender"))
    ]
    assert harmed[0] == harmed[1] and len(harmed[0]) > 100


def test_staged_groups_see_failures_and_silence_but_neither_lies_nor_what_comes_late(frame):
    for failure, stops in zip(FAILURES, (False, True, True, False, False), strict=True):
        assert (of(frame, "staged", failure)["stopped"] == stops).all(), failure
    assert (of(frame, "staged", "reported")["stopped_at_ms"] < DAY).all()
    assert (of(frame, "staged", "silent")["stopped_at_ms"] >= DAY).all()  # the deadline has to pass first


def test_hawkbit_stalls_on_silent_bricks_and_never_pauses(frame):
    silent, reported = of(frame, "hawkbit", "silent"), of(frame, "hawkbit", "reported")
    assert not silent["stopped"].any() and (silent["released"] == 60).all()
    assert (silent["last_released_ms"] < HOUR).all()  # it waits for ever
    assert (reported["decision"] == "pause").all()


def test_aws_counts_silence_by_its_timeout_while_the_rate_goes_on(frame):
    silent, reported = of(frame, "aws-iot", "silent"), of(frame, "aws-iot", "reported")
    assert (silent["decision"] == "cancel").all() and (reported["decision"] == "cancel").all()
    assert (silent["stopped_at_ms"] > reported["stopped_at_ms"]).all()
    assert (silent["released_at_stop"] > reported["released_at_stop"]).all()


def test_azure_counts_reported_failures_of_a_fleet_that_all_had_it(frame):
    assert (of(frame, "azure", "reported")["released_at_stop"] == 600).all()
    assert not of(frame, "azure", "silent")["stopped"].any()


@pytest.mark.parametrize("failure", ["sound", "reported", "silent"])
def test_an_aws_ramp_by_notifications_has_notified_4000_by_minute_38_whatever_it_learns(plain, failure):
    ramp = apply(plain.with_({"devices": 6000, "horizon": "1 d"}), "aws-ramp")
    config = json.loads(ramp.spec.rollout.config)
    if failure == "reported":  # the ramp, not the abort criterion, is what is looked at
        del config["abortConfig"]
    released = under(ramp, "aws-iot", failure, DEADLY, **config).devices["released_ms"]
    assert released.between(0, 37 * 60_000).sum() == 3800
    assert released.between(0, 38 * 60_000).sum() == 4200


@pytest.mark.parametrize("failure", ["sound", "silent", "false-success"])
def test_an_aws_ramp_by_successes_keeps_its_base_rate_until_the_thousandth(plain, failure):
    hourly = {"devices": 6000, "horizon": "1 d"} | {f"cohorts.{n}.wake_period": "1 h" for n in (0, 1)}
    ramp = apply(plain.with_(hourly), "aws-ramp")
    config = json.loads(ramp.spec.rollout.config.replace("OfNotifiedThings", "OfSucceededThings"))
    devices = under(ramp, "aws-iot", failure, DEADLY, **config).devices
    per_minute = devices["released_ms"].value_counts()
    told = devices["reported_outcome"].isin(["updated", "reverted"])
    assert per_minute.sort_index().head(38).eq(50).all()
    if failure == "silent":
        assert per_minute.eq(50).all() and not told.any()
    else:  # success that is told before the reboot speeds it up as the true one does
        assert per_minute.max() > 50
        thousandth = devices.loc[told, "finished_ms"].nsmallest(1000).iloc[-1]
        fast = per_minute[per_minute > 50].index.min()
        assert abs(fast - thousandth) < 3 * 60_000


def test_nebraskas_dead_canary_is_forgotten_and_there_is_one_victim_a_day(plain):
    group = {"policy_period_interval": "15 minutes", "policy_max_updates_per_period": 50}
    seen = under(plain, "nebraska", "silent", DEADLY, **group, policy_update_timeout="12 hours")
    assert [stop["decision"] for stop in seen.summary["stops"]] == ["disable"]
    assert seen.summary["outcomes"]["lost"] == 1
    forgotten = under(plain, "nebraska", "silent", DEADLY, **group, policy_update_timeout="2 days")
    assert forgotten.summary["stops"] == [] and forgotten.summary["outcomes"]["lost"] == 10
    granted = forgotten.devices["released_ms"]
    days = granted[granted >= 0].sort_values().diff().dropna()
    assert days.between(DAY, DAY + HOUR).all()


def test_a_short_timeout_sees_no_dead_canary_where_polls_are_rare(plain):
    rare = {
        f"cohorts.{n}.{key}": v for n in (0, 1) for key, v in (("wake_period", "2 d"), ("wake_spread", 0))
    }
    group = {"policy_period_interval": "15 minutes", "policy_max_updates_per_period": 50}
    missed = under(plain.with_(rare), "nebraska", "silent", DEADLY, **group, policy_update_timeout="1 hours")
    assert missed.summary["stops"] == [] and missed.summary["outcomes"]["lost"] == 5


@pytest.mark.parametrize("service", ["staged", "hawkbit"])
def test_success_before_the_reboot_opens_every_group(plain, service):
    false = under(plain, service, "false-success", DEADLY)
    assert false.summary["outcomes"]["updated"] == 0 and false.summary["outcomes"]["reverted"] == 600
    assert not false.summary["halted"] and (false.groups["opened_ms"] >= 0).all()
    honest = under(plain, service, "reported", DEADLY)
    assert honest.summary["halted"] and (honest.groups["opened_ms"] < 0).sum() == 2


def test_mender_opens_its_phases_by_time_whatever_happened(plain, frame):
    opened = [under(plain, "mender", name, DEADLY).groups["opened_ms"].tolist() for name in FAILURES]
    assert all(times == [0, 12 * HOUR, 24 * HOUR] for times in opened)
    mender = frame[frame["service"] == "mender"]
    assert not mender["stopped"].any() and (mender["released"] == 600).all()


def test_who_listens_after_a_success_sees_what_comes_late(plain):
    services = {"deaf": {}, "listens": {"alerts.silent": "1 d"}}
    found = blind_spots(plain, services=services, failures=["sound", "late"], replications=1)
    stopped = found.set_index(["service", "failure"])["stopped"]
    assert stopped.to_dict() == {
        ("deaf", "sound"): False,
        ("deaf", "late"): False,
        ("listens", "sound"): False,
        ("listens", "late"): True,
    }


def test_other_defects_stay():
    scenario = Scenario.load("wifi-appliances")
    for failure, more in (("sound", 0), ("reported", 0), ("silent", 1), ("late", 1)):
        changed = scenario.with_(causes(scenario, failure))
        assert len(changed.spec.defects) == len(scenario.spec.defects) + more
    # The trial of these ends with a probation of six hours, and the crash comes after it.
    assert changed.spec.defects[-1].onset.first_ms == 12 * HOUR
    silent = scenario.with_(causes(scenario, "silent")).spec.defects[-1]
    assert silent.onset.first_ms == 60_000 + 6 * HOUR + 1


def test_unknown_names_are_refused_in_one_line(plain):
    with pytest.raises(InputError, match=r"^failures: found .*quiet.*expected one of sound, reported"):
        causes(plain, "quiet")
    with pytest.raises(InputError, match=r"^services: found .*hawkbitt.*nearest is hawkbit$"):
        blind_spots(plain, services=["hawkbitt"])


def test_services_are_compared_under_the_same_luck(plain):
    laid = {name: plain.with_({"rollout.policy": name}) for name in ("staged", "hawkbit", "mender")}
    comparison = PairedComparison(laid, replications=3)
    hawkbit, mender = comparison.sentences(comparison.run())
    assert hawkbit.startswith("hawkbit takes") and "less" in hawkbit
    assert mender.startswith("mender takes")


def test_the_map_tells_stops_and_counts_no_false_alarms(frame):
    ax = blind_spots_map(frame)
    texts = [text.get_text() for text in ax.texts]
    assert len(texts) == len(SERVICES) * len(FAILURES)
    assert texts[1].startswith("cancel at") and texts[0] == "no stop, 100 % out\n0 % harmed"
    assert ax.get_title().endswith("reported 4, silent 2, false-success 0, late 0")
    nervous = frame.assign(stopped=True, decision="pause", stopped_at_ms=DAY, released_at_stop=60)
    assert blind_spots_map(nervous).get_title().endswith("reported 0, silent 0, false-success 0, late 0")
    plt.close("all")


def test_the_other_plots_tell_what_happened(plain):
    dead = under(plain, "hawkbit", "silent")
    ax = progress_rows({"hawkbit": dead, "staged": under(plain, "staged", "reported")})
    beside = [text.get_text() for text in ax.texts]
    assert beside[0].endswith("harmed") and "at the end" in beside[0]
    assert beside[1].startswith("cancel at")
    crosses = [line for line in ax.lines if line.get_marker() == "X"]
    assert len(crosses) == 1
    zones = [{"name": "east", "utc_offset": "+05:00", "share": 0.5}]
    zones.append({"name": "west", "utc_offset": "-03:00", "share": 0.5})
    declared = plain.with_({"zones": zones, "rollout.policy": "deadline", "rollout.enforce_local": "2 d"})
    ax = deadline_spikes(run(declared), until_ms=3 * DAY)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["east", "west", "links"]
    dotted = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert dotted == [48 - 5, 48 + 3]
    cohorts = Scenario.load("storage-120k").spec.cohorts
    ax = peak_storage_bars(cohorts, 400 * 1024, 408 * 1024)
    fitting = [text.get_text().strip() for text in ax.texts if "fits" in text.get_text()]
    assert fitting.count("808 KiB, fits daily, weekly") == 3
    assert "408 KiB, fits daily, weekly, small-flash" in fitting
    plt.close("all")
