"""What a run says about energy, batteries and links: figures hold together, and asking changes nothing."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import simlib
from simlib.channel import radios as radio_names
from simlib.device import DeviceConfig
from simlib.errors import InputError
from simlib.fleet import routes_of
from simlib.fleet.routes import usable_cell_uj
from simlib.results import Run
from simlib.results.energy import (
    COMPONENT_NAMES,
    PARTS,
    UPDATES_A_YEAR,
    bytes_by_hour,
    update_energy,
    update_years,
)
from simlib.scenario import Scenario
from simlib.scenario.calibration import cell_profile, flash_names, usable_uj
from simlib.simulation import costs
from simlib.simulation.columns import habit_of, mean_presence
from simlib.study.battery_gates import battery_gates, verdict
from simlib.study.channels import one_cohort_a_channel

HOUR_MS = 3_600_000
RADIOS = [
    {"name": "BLE", "kind": "ble", "radio": "nrf52840", "phy": "2M"},
    {
        "name": "LoRa",
        "kind": "lora-multicast",
        "radio": "samr34",
        "phy": "sf7",
        "fragment": 224,
        "session_every": "4 d",
    },
]
COPIES = {"backup.to": "cloud", "backup.size": "8 KiB"}
AT_ONCE = [{"share": "rest", "success_threshold": 1, "soak": "1 d"}]


@pytest.fixture(scope="module")
def sensors() -> Scenario:
    return Scenario.load("coin-cell-sensors").with_({"devices": 200})


@pytest.fixture(scope="module")
def radios(sensors) -> Scenario:
    changes = {"devices": 60, "rollout.groups": AT_ONCE, "rollout.deadline": "20 d"}
    return one_cohort_a_channel(sensors, RADIOS, changes)


@pytest.fixture(scope="module")
def runs(sensors, radios) -> dict[str, Run]:
    full = {"release.payload": "full"}
    return {
        "delta": simlib.run(sensors),
        "copies": simlib.run(sensors.with_(COPIES)),
        "radios": simlib.run(radios),
        "radios-full": simlib.run(radios.with_(full)),
        "smoke": simlib.run(Scenario.load("smoke").with_({"devices": 300})),
    }


def with_table(run: Run, name: str, table: pd.DataFrame) -> Run:
    return Run(run.scenario_toml, dict(run._tables) | {name: table}, run.summary)


def sampled(run: Run, times_h: list[float], sums: list[int]) -> Run:
    """`run` with a timeline of these bytes on the links."""
    times = [int(time * HOUR_MS) for time in times_h]
    return with_table(run, "timeline", pd.DataFrame({"time_ms": times, "bytes_on_links": sums}))


@pytest.mark.parametrize("name", ["delta", "copies", "radios", "smoke"])
def test_the_parts_and_the_components_of_every_device_sum_to_the_same(runs, name):
    devices = runs[name].devices
    parts = devices[[f"energy_{part}_uj" for part in PARTS]].sum(axis=1)
    components = devices[[f"energy_{component}_uj" for component in COMPONENT_NAMES]].sum(axis=1)
    assert (parts == components).all() and parts.sum() > 0


@pytest.mark.parametrize("name", ["delta", "copies", "radios", "smoke"])
def test_the_total_is_the_mean_of_what_the_updated_devices_of_a_cohort_spent(runs, name):
    run = runs[name]
    table = update_energy(run)
    updated = run.devices.query("outcome == 'updated'")
    in_order = [c.name for c in Scenario.from_toml(run.scenario_toml).spec.cohorts]
    assert list(table.index) == [c for c in in_order if c in set(updated["cohort"])]
    for cohort, row in table.iterrows():
        mine = updated[updated["cohort"] == cohort]
        whole = mine[["energy_radio_uj", "energy_flash_uj", "energy_compute_uj"]].sum(axis=1)
        assert row["devices"] == len(mine)
        assert row["total_uj"] == pytest.approx(whole.mean())
        assert row[[f"{component}_uj" for component in COMPONENT_NAMES]].sum() == pytest.approx(
            row["total_uj"]
        )


def test_a_run_without_updates_gives_empty_tables(runs):
    nobody = with_table(runs["delta"], "devices", runs["delta"].devices.assign(outcome="pending"))
    assert update_energy(nobody).empty and update_years(nobody).empty


def test_flash_dominates_an_update_over_bluetooth_and_the_radio_one_over_lora(runs):
    for name in ("radios", "radios-full"):
        energy = update_energy(runs[name])
        assert energy.loc["BLE", "flash_uj"] > 5 * energy.loc["BLE", "radio_uj"]
        assert energy.loc["LoRa", "radio_uj"] > 3 * energy.loc["LoRa", "flash_uj"]


def test_a_cells_life_is_its_energy_over_idling_and_updates(runs):
    run = runs["delta"]
    years = update_years(run)
    assert list(years.index) == ["offices", "homes", "old-cells"]
    horizon_days = Scenario.from_toml(run.scenario_toml).spec.horizon_ms / 86_400_000
    for cohort, row in years.iterrows():
        cell = cell_profile(row["cell"])
        polls = run.devices.query("cohort == @cohort and outcome != 'lost'")["energy_idle_uj"].mean()
        idle = polls / horizon_days + 24 * cell.self_discharge_uj_per_hour
        assert row["idle_uj_per_day"] == pytest.approx(idle)
        assert row["update_uj"] == update_energy(run).loc[cohort, "total_uj"]
        assert row["days_per_update"] == pytest.approx(row["update_uj"] / idle)
        assert row["years_with_0"] == pytest.approx(row["cell_uj"] / idle / 365)
        # A year with 12 updates, as often as the cell has years, is the whole cell.
        a_year = 365 * idle + 12 * row["update_uj"]
        assert row["years_with_12"] * a_year == pytest.approx(row["cell_uj"])


def test_the_idle_energy_is_that_which_empties_the_battery_in_the_simulation(runs, sensors):
    """Counted from the table it is the mean; the simulation's own rate is the expectation, rounded up."""
    for number, row in enumerate(update_years(runs["delta"]).itertuples()):
        cohort = sensors.spec.cohorts[number]
        habit, route = habit_of(sensors.spec, cohort), routes_of(sensors.spec)[number]
        config = DeviceConfig.from_cohort(cohort)
        rate = costs.costs_of(sensors.spec, cohort, habit, route, config, mean_presence(cohort, habit))
        assert row.idle_uj_per_day == pytest.approx(24 * rate.idle_uj_per_hour, rel=0.01)
        assert row.cell_uj == rate.cell_uj


def test_more_updates_and_dearer_ones_shorten_the_life_of_a_cell(runs):
    names = [f"years_with_{n}" for n in (0, *UPDATES_A_YEAR)]
    for name in ("delta", "radios", "radios-full"):
        assert (np.diff(update_years(runs[name])[names].to_numpy(), axis=1) < 0).all()
    delta, full = update_years(runs["radios"]), update_years(runs["radios-full"])
    assert (full["update_uj"] > delta["update_uj"]).all()
    assert (full["years_with_12"] < delta["years_with_12"]).all()
    assert (full["days_per_update"] > delta["days_per_update"]).all()
    assert full["years_with_0"].to_numpy() == pytest.approx(delta["years_with_0"].to_numpy(), rel=1e-3)


def test_a_rechargeable_battery_also_gives_what_its_devices_use():
    trackers = Scenario.load("cellular-trackers").with_(
        {"devices": 60, "horizon": "6 d", "release.published": ["0 s"]}
    )
    years = update_years(simlib.run(trackers.with_({"habits.0.use": [0.05, 0.15]})))
    assert len(years) == 2 and years["rechargeable"].all()
    assert (years["idle_uj_per_day"] > 0.1 * years["cell_uj"]).all()
    assert (years["years_with_0"] < 10 / 365).all()  # a tenth a day, and what it idles away


def test_cohorts_without_a_cell_have_no_cells_life(runs):
    assert update_years(runs["smoke"]).empty and len(update_energy(runs["smoke"])) > 2


@pytest.mark.parametrize("radio", radio_names("wifi"))
@pytest.mark.parametrize("flash", flash_names())
def test_a_cell_is_derated_for_the_largest_current_of_an_update(sensors, flash, radio):
    spec = sensors.with_(
        {
            "channels": [{"name": "c", "kind": "wifi", "radio": radio, "rates": ["100 kB/s"]}],
            "cohorts.0.channel": "c",
            "cohorts.1.channel": "c",
            "cohorts.2.channel": "c",
        }
    ).spec
    cohort = replace(spec.cohorts[0], flash=flash, cell="cr2032")
    route = routes_of(spec)[0]
    by_radio = usable_cell_uj(cohort, route)
    assert by_radio == usable_uj(cell_profile("cr2032"), route.peak_ua)
    assert by_radio < usable_cell_uj(cohort, replace(route, peak_ua=0)) <= cell_profile("cr2032").energy_uj


def test_bytes_of_each_hour_sum_to_the_bytes_on_the_links(runs):
    for run in (runs["delta"], runs["smoke"]):
        table = bytes_by_hour(run)
        assert list(table.index) == list(range(24))
        assert (table["least"] <= table["mean"]).all() and (table["mean"] <= table["most"]).all()
        sent = (table["mean"] * table["days"]).sum()
        assert 0.95 <= sent / run.timeline["bytes_on_links"].iloc[-1] <= 1


def test_bytes_lie_in_the_hour_in_which_they_moved_on_whatever_clock(runs):
    # 600 bytes between 3 and 4 o'clock on the first day, 200 on the second.
    run = sampled(runs["delta"], [0, 3, 4, 27, 28, 48], [0, 0, 600, 600, 800, 800])
    table = bytes_by_hour(run)
    assert table.loc[3].tolist() == [400, 200, 600, 2] and table["mean"].sum() == 400
    ahead = bytes_by_hour(run, 5 * HOUR_MS)
    assert ahead.loc[8].tolist() == [400, 200, 600, 2] and ahead["mean"].sum() == 400
    behind = bytes_by_hour(run, -4 * HOUR_MS)
    assert behind.loc[23].tolist() == [400, 200, 600, 2]


def test_bytes_between_two_samples_are_spread_over_their_hours(runs):
    table = bytes_by_hour(sampled(runs["delta"], [0, 6, 8, 24], [0, 0, 500, 500]))
    assert table.loc[[6, 7], "mean"].tolist() == [250, 250] and table["mean"].sum() == 500


def test_a_tail_of_nearly_idle_days_does_not_count_as_days_of_the_rollout(runs):
    run = sampled(runs["delta"], [0, 24, 25, 48, 49, 72, 240], [0, 0, 1000, 1000, 1990, 1990, 2000])
    table = bytes_by_hour(run)
    assert table["days"].unique().tolist() == [2]  # not the idle first one, not the last eight
    assert table.loc[0].tolist() == [995, 990, 1000, 2]


def test_a_run_of_no_bytes_or_of_no_hour_has_hours_of_none(runs):
    for run in (sampled(runs["delta"], [0, 48], [0, 0]), sampled(runs["delta"], [0, 0.5], [0, 9])):
        assert len(bytes_by_hour(run)) == 24 and not bytes_by_hour(run).to_numpy().any()
    assert not bytes_by_hour(sampled(runs["delta"], [0], [0])).to_numpy().any()


def test_asking_changes_no_table(runs):
    for run in runs.values():
        before = {name: getattr(run, name).copy() for name in run._tables}
        summary = dict(run.summary)
        update_energy(run), update_years(run), bytes_by_hour(run)
        for name, table in before.items():
            pd.testing.assert_frame_equal(table, getattr(run, name))
        assert summary == run.summary


def test_a_run_read_back_answers_the_same(runs, tmp_path):
    runs["delta"].save(tmp_path / "run")
    again = Run.load(tmp_path / "run")
    for question in (update_energy, update_years, bytes_by_hour):
        pd.testing.assert_frame_equal(question(runs["delta"]), question(again))


def test_the_derived_gate_is_the_sum_of_its_parts_as_a_share_of_the_cell(sensors):
    for scenario in (sensors, sensors.with_(COPIES)):
        table = battery_gates(scenario)
        parts = table[["radio_uj", "bench_uj", "core_uj", "data_uj"]]
        assert (parts.sum(axis=1) == table["need_uj"]).all() and (parts >= 0).all().all()
        shares = 100 * (table["need_uj"] + table["reserve_uj"]) / table["cell_uj"]
        assert table["derived_percent"].tolist() == pytest.approx(shares.tolist())
    assert (table["data_uj"] > 0).all()


def test_the_derived_gate_covers_what_updated_devices_spent(runs, sensors):
    """Where the first attempt succeeds, that is; the gate also has the energy of a revert."""
    need = battery_gates(sensors)["need_uj"]
    devices = runs["delta"].devices.query("outcome == 'updated' and attempts == 1")
    spent = devices[[f"energy_{part}_uj" for part in PARTS]].sum(axis=1)
    assert set(devices["cohort"]) == set(need.index)
    assert (spent.groupby(devices["cohort"]).max()[need.index] <= need).all()


def test_the_derived_gate_grows_with_the_image_and_with_the_reserve(sensors):
    full = sensors.with_({"release.payload": "full"})
    sizes = ["176 KiB", "192 KiB", "208 KiB", "224 KiB"]
    gates = [battery_gates(full.with_({"release.size": size}))["derived_percent"] for size in sizes]
    reserves = [battery_gates(sensors.with_({"precheck.battery_reserve": r})) for r in (0, 0.01, 0.2)]
    for smaller, larger in pairwise(gates):
        assert (smaller < larger).all()
    assert (np.diff([r["derived_percent"] for r in reserves], axis=0) > 0).all()
    assert len({tuple(r["need_uj"]) for r in reserves}) == 1


def test_the_derived_gate_is_that_of_the_most_expensive_device_of_the_cohort(radios):
    mixed, near, far = (
        battery_gates(radios.with_({"cohorts.0.base_mix": mix, "cohorts.1.base_mix": mix}))["need_uj"]
        for mix in ([0.5, 0.5], [1], [0, 1])
    )
    assert (near != far).all() and (mixed == np.maximum(near, far)).all()


def test_the_derived_gate_is_the_one_the_pre_check_asks_for(radios):
    """Devices with a little more than it start, and those with a little less never do."""
    ble = radios.with_({"cohorts.1.share": 0, "cohorts.0.share": 1, "precheck.deferrals": 0})
    derived = battery_gates(ble).loc["BLE", "derived_percent"] / 100
    worst = ble.with_({"cohorts.0.base_mix": [0, 1], "faults.drop": 0})
    for charge, outcome in ((derived * 0.99, "deferred"), (derived * 1.05, "updated")):
        run = simlib.run(worst.with_({"cohorts.0.battery": [charge, charge]}))
        assert run.devices["outcome"].unique().tolist() == [outcome]


def test_gates_change_nothing_and_cohorts_without_a_cell_have_none(sensors):
    before = sensors.to_toml()
    pd.testing.assert_frame_equal(battery_gates(sensors), battery_gates(sensors, memo=False))
    assert sensors.to_toml() == before
    assert battery_gates("smoke").empty
    with pytest.raises(InputError):
        battery_gates("no-such-preset")


def test_a_guess_is_judged_by_the_need_the_reserve_and_twice_the_gate():
    judged = [verdict(guess, need_uj=90, reserve_uj=30, cell_uj=1000) for guess in (8, 9, 11, 12, 24, 25)]
    assert judged == ["too low", "no reserve", "no reserve", "fits", "fits", "needlessly strict"]


def test_verdicts_only_go_up_with_the_guess(radios):
    order = ["too low", "no reserve", "fits", "needlessly strict"]
    guesses = range(0, 101)
    table = battery_gates(radios.with_({"release.payload": "full"}), guesses)
    for _, row in table.iterrows():
        ranks = [order.index(row[f"{guess} %"]) for guess in guesses]
        assert ranks == sorted(ranks) and ranks[0] == 0


def test_one_cohort_a_channel_keeps_the_device_and_changes_its_radio(sensors, radios):
    first = sensors.spec.cohorts[0]
    assert [c.name for c in radios.spec.cohorts] == ["BLE", "LoRa"]
    for cohort in radios.spec.cohorts:
        same = replace(cohort, name=first.name, channel=first.channel, share=first.share)
        assert same == first and cohort.channel == cohort.name and cohort.share * 2 == 1
    with pytest.raises(InputError, match="channels"):
        one_cohort_a_channel(sensors, [])
