"""Scenarios at the edge of what can be written: they end, add up, are explained, and say what they mean."""

from pathlib import Path

import pytest

from simlib.errors import InputError
from simlib.lifecycle.columns import ENERGY_NAMES
from simlib.results import Run
from simlib.scenario import Scenario
from simlib.study import run

FIELD = Path(__file__).with_name("field.toml")
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
ONE_RELEASE = {"release.published": ["0 s"], "release.stepping_stones": []}
HALTS = ONE_RELEASE | {"rollout.groups.0.error_threshold": 0, "rollout.groups.0.min_sample": 1}
EDGES = {
    "horizon of 1 ms": {"horizon": 1},
    "one device": {"devices": 1},
    "window of a minute": {"rollout.window": "03:00-03:01"},
    "nobody in reach": {"owners.0.permit_bluetooth": 0, "channels.3.distance_m": [61, 70]},
    "everybody away for ten years": {"habits.0.dormant": 1, "habits.0.dormant_for": "3650 d"},
    "gaps of 1 ms": {"habits.1.gaps": 1, "horizon": "100 s", "timeline": "1 s"},
    "no link from the first to the last moment": {
        "links.0.outages": [{"from": 0, "length": "3650 d"}],
        "links.1.outages": [{"from": 1, "length": "30 d"}],
    },
    "a thousand rounds of one attempt that drops": {
        "transfer.rounds": 1000,
        "transfer.retry_after": 0,
        "transfer.attempts": 1,
        "faults.drop": 1,
        "faults.drop_weak": 1,
        "horizon": "9 d",
    },
    "published at the horizon": {"release.published": ["0 s", "30 d"]},
    "the answer to a halt in its own millisecond": HALTS
    | {"recovery.on_halt": "rollback", "recovery.delay": 0, "rollout.abort_downloads": True},
    "the answer to a halt after the end": HALTS
    | {"recovery.on_halt": "forward-fix", "recovery.delay": "40 d"},
    "sessions of no time": {"owners.0.session": "0 s", "owners.0.background_budget": 1},
    "batteries that are empty and stay so": {
        "cohorts.1.battery": [0, 0],
        "habits.0.charge": 0,
        "habits.0.use": [1, 1],
        "owners.1.replaces": 0,
    },
    "batteries replaced at once": {
        "cohorts.1.battery": [0, 0],
        "owners.1.replaces": 1,
        "owners.1.replaces_after": 0,
    },
    "a multicast of which nearly nothing is heard": {"channels.2.loss": 0.99, "transfer.attempts": 30},
    "every fault always": {
        "faults.drop": 1,
        "faults.corruption": 1,
        "faults.power_cut": 1,
        "faults.power_off": 0,
    },
    "no report ever arrives": {"report.lost": 1, "report.resends": 100, "report.resend": 0},
}


SMALL = """
schema = 1
name = "small"
devices = 40
horizon = "10 d"
[release]
size = "72 KiB"
base_size = "68 KiB"
steps = ["minor", "patch"]
[[cohorts]]
name = "all"
slot_size = "128 KiB"
download_size = "64 KiB"
battery = [1, 1]
wake_period = "3 h"
"""


def small(**changes: object) -> Scenario:
    """Forty devices that meet nothing unless `changes` (``faults__drop`` for ``faults.drop``) say so."""
    scenario = Scenario.from_toml(SMALL)
    return scenario.with_({key.replace("__", "."): value for key, value in changes.items()})


@pytest.fixture(scope="module", params=list(EDGES))
def edge(request) -> Run:
    return run(Scenario.load(str(FIELD)).with_({"devices": 80} | EDGES[request.param]))


def test_an_odd_scenario_ends_and_adds_up(edge):
    devices = edge.devices
    states = edge.timeline.drop(columns=["time_ms", "bytes_on_links"])
    assert (states.sum(axis=1) == len(devices)).all() and (states >= 0).all(axis=None)
    assert sum(edge.summary["outcomes"].values()) == len(devices)
    assert ((devices["bytes_wasted"] >= 0) & (devices["bytes_wasted"] <= devices["bytes_down"])).all()
    parts = devices[[f"energy_{name}_uj" for name in ENERGY_NAMES]].sum(axis=1)
    components = devices[["energy_radio_uj", "energy_flash_uj", "energy_compute_uj"]].sum(axis=1)
    assert (parts == components).all()
    horizon_ms = Scenario.from_toml(edge.scenario_toml).spec.horizon_ms
    times = devices[["offered_ms", "started_ms", "finished_ms", "reported_ms", "confirmed_ms", "exposed_ms"]]
    assert ((times >= -1) & (times <= horizon_ms)).all(axis=None)


def test_an_odd_scenario_is_explained(edge):
    for _, alike in edge.devices.groupby(["outcome", "reason"]):
        explanation = edge.explain(int(alike["device"].iloc[0]))
        assert explanation.agrees, explanation.differs


def test_who_can_never_check_in_costs_no_time():
    phones = [{"name": "shut", "phone": True, "foreground": 0, "permit_background": 0, "session": "1 min"}]
    habits = [{"name": "none", "by_hour": [0] * 24, "gaps": "1 min"}]
    for changes in (
        {"owners": phones, "cohorts__0__owner": "shut"},
        {"habits": habits, "cohorts__0__habit": "none"},
    ):
        result = run(small(**changes, cohorts__0__wake_period=1, horizon="60 d", timeline="30 d"))
        assert result.summary["events"] == 0
        assert (result.devices["reason"] == "not-offered").all()


def test_the_gate_judges_the_release_and_not_the_stepping_stone_to_it():
    bad = run(
        small(
            cohorts__0__base_mix=[0, 1],
            release__stepping_stones=[1],
            defects=[{"name": "bad"}],
            rollout__groups=[{"share": 0.5, "min_sample": 5}, {}],
        )
    )
    assert bad.summary["halted"]
    on_stone = bad.devices[bad.devices["final_version"] == "1.1.0"]
    assert len(on_stone) and not (bad.devices["reported_outcome"] == "updated").any()
    assert (bad.groups["decision"] == ["halted", "not-opened"]).all()


def test_a_good_release_passes_its_gate_through_a_stepping_stone():
    good = run(
        small(
            cohorts__0__base_mix=[0, 1],
            release__stepping_stones=[1],
            rollout__groups=[{"share": 0.5}, {}],
        )
    )
    assert good.summary["outcomes"]["updated"] == 40 and good.summary["further_verdicts"] == 0


def test_downloads_that_a_halt_breaks_off_include_a_multicast():
    meters = {
        "channels": [
            {
                "name": "air",
                "kind": "lora-multicast",
                "radio": "samr34",
                "phy": "sf7",
                "fragment": "200 B",
                "duty_cycle": 0.1,
            }
        ],
        "cohorts": [
            {
                "name": name,
                "share": 0.5,
                "hardware": name,
                "slot_size": "128 KiB",
                "download_size": "64 KiB",
                "battery": [1, 1],
                "wake_period": "3 h",
                **more,
            }
            for name, more in (("sick", {}), ("heard", {"channel": "air"}))
        ],
        "faults.defect": 1,
        "faults.defect_hardware": ["sick"],
        "rollout.groups": [{"min_sample": 3}],
        "rollout.abort_downloads": True,
    }
    result = run(small().with_(meters))
    assert result.summary["halted"] and result.summary["exposure_at_halt"]["downloading"] > 0
    heard = result.devices[result.devices["cohort"] == "heard"]
    listening = heard[heard["started_ms"] >= 0]
    assert len(listening) and (heard["outcome"] != "updated").all()
    assert (listening["reason"] == "rollout-halted").all()
    assert (listening["bytes_wasted"] == listening["bytes_down"]).all()
    assert result.explain(int(listening["device"].iloc[0])).agrees


def test_a_device_still_on_trial_at_the_end_was_exposed_to_the_end():
    result = run(
        small(
            disclosure__reported="0 s",
            disclosure__embargo=0,
            validation__probation="20 d",
            rollout__deadline="30 d",
        )
    )
    assert (result.timeline["probation"].iloc[-1], result.summary["outcomes"]["pending"]) == (40, 40)
    assert (result.devices["exposed_ms"] == 10 * DAY_MS).all()


def test_what_a_defect_drained_before_its_fix_stays_in_the_balance():
    def drained(power_uw: int) -> Run:
        return run(
            small(
                cohorts__0__cell="lipo-500",
                precheck__battery=0,
                defects=[
                    {"name": "crashes", "prevalence": 0.2},
                    {"name": "drains", "effect": "drain", "drain_uw": power_uw, "visible": False},
                ],
                rollout__groups=[{"error_threshold": 0, "min_sample": 20}],
                recovery__on_halt="forward-fix",
            )
        )

    less, more = drained(1000), drained(2000)
    assert less.digest == more.digest and less.summary["halted"]
    mended = less.devices["defect_shown"] & (less.devices["final_version"] == "1.1.2")
    mended &= less.devices["defect"] == "drains"
    assert mended.any()
    spent = more.devices["energy_idle_uj"] - less.devices["energy_idle_uj"]
    assert (spent[mended] >= 24 * 3_600 * 1000).all()  # a milliwatt for the day and more that it ran


def test_a_report_that_is_never_sent_costs_nothing():
    phones = [
        {"name": "shy", "phone": True, "session": "1 s", "permit_background": 0, "never": 1, "automatic": 0}
    ]
    channels = [{"name": "air", "kind": "ble", "radio": "nrf52840", "phy": "2M"}]

    def spent(resends: int) -> int:
        told = run(
            small(
                owners=phones,
                channels=channels,
                cohorts__0__owner="shy",
                cohorts__0__channel="air",
                cohorts__0__wake_period="10 d",
                report__lost=1,
                report__resends=resends,
            )
        )
        assert told.summary["outcomes"]["deferred"] == 40
        return int(told.devices["energy_report_uj"].sum())

    assert spent(resends=3) == spent(resends=0) > 0


def test_a_slot_too_small_for_what_a_device_runs_names_the_cohort():
    with pytest.raises(InputError, match=r"^small: cohorts\.0\.slot_size: found 65536 bytes, [^\n]*$"):
        run(small(cohorts__0__slot_size="64 KiB"))


@pytest.mark.parametrize("rows", [10, 39, 41])
def test_a_run_whose_inventory_has_lost_or_gained_rows_is_not_explained(tmp_path, rows):
    fleet = tmp_path / "fleet.csv"

    def write(count: int) -> None:
        fleet.write_text("device\n" + "".join(f"d{n}\n" for n in range(count)), encoding="utf-8")

    write(40)
    result = run(small(inventory__file=str(fleet)))
    assert result.explain(39).agrees
    write(rows)
    with pytest.raises(
        InputError, match=rf"^small: inventory.file [^\n]*: found {rows} devices, expected 40"
    ):
        result.explain(39)


def test_a_changed_inventory_shows_in_what_a_device_was_given(tmp_path):
    fleet = tmp_path / "fleet.csv"
    fleet.write_text("device,version\nd0,1.0.0\n", encoding="utf-8")
    result = run(small(inventory__file=str(fleet)))
    fleet.write_text("device,version\nd0,1.1.0\n", encoding="utf-8")
    assert result.explain(0).differs["base_version"] == ("1.0.0", "1.1.0")


def test_a_night_on_the_charger_has_at_most_a_day():
    with pytest.raises(InputError, match=r"habits\.0\.charge_for: found 2 d, expected at most 1 d"):
        small(habits=[{"name": "long", "charge_for": "2 d"}], cohorts__0__habit="long")
