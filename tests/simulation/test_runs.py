"""A run is one function of its scenario: same bytes, same digest, whatever the machine, memory or company."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import simlib
from simlib.device import layouts
from simlib.device.events import Install
from simlib.errors import InputError
from simlib.lifecycle.columns import NO_ROW
from simlib.results import Run, digest_of
from simlib.rollout import service_named, service_names
from simlib.rollout.policy import Decision, Wake
from simlib.rollout.staged import Staged
from simlib.scenario import Scenario
from simlib.scenario.schema import LAYOUTS, POLICIES
from simlib.simulation import run as simulation_run
from simlib.study import run


def test_the_smoke_run_has_its_golden_digest(smoke_run):
    # Changes only with a change of the model; say so in the change's note when it does.
    assert smoke_run.digest == "e4f18328fa4fbc1e7160ccc260594f69070a0ebc0235eb63ce47762dc4cfca6c"


def test_the_digest_is_recomputed_from_the_saved_table(smoke_run, tmp_path):
    assert digest_of(Run.load(smoke_run.save(tmp_path / "r")).devices) == smoke_run.digest


@pytest.mark.parametrize("hash_seed", ["0", "77"])
def test_the_hash_seed_of_python_changes_nothing(smoke_run, smoke, hash_seed, tmp_path):
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(smoke.to_toml(), encoding="utf-8")
    code = f"import simlib; print(simlib.run({str(scenario)!r}).digest)"
    env = os.environ | {"PYTHONHASHSEED": hash_seed}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert child.stdout.strip() == smoke_run.digest


def test_the_scenario_a_run_wrote_gives_the_same_run(smoke_run):
    assert run(Scenario.from_toml(smoke_run.scenario_toml)).digest == smoke_run.digest


def test_another_seed_is_another_run(smoke, smoke_run):
    assert run(smoke.with_({"seed": 2})).digest != smoke_run.digest


def test_remembered_and_computed_cases_give_the_same_run(smoke_run, smoke):
    assert run(smoke, memo=False).digest == smoke_run.digest


def test_every_common_outcome_occurs_in_smoke():
    outcomes = simlib.run("smoke").summary["outcomes"]
    common = ("updated", "reverted", "failed", "deferred", "ineligible", "pending", "bricked")
    assert all(outcomes[o] > 0 for o in common), outcomes


def test_every_device_ends_in_one_outcome_with_a_reason_of_its_own(smoke_run):
    devices = smoke_run.devices
    assert sum(smoke_run.summary["outcomes"].values()) == len(devices)
    assert ((devices["outcome"] == "updated") == (devices["reason"] == "none")).all()


def test_times_of_a_device_are_in_order(smoke_run):
    d = smoke_run.devices
    for earlier, later in (("offered", "started"), ("started", "finished"), ("finished", "reported")):
        both = d[(d[f"{earlier}_ms"] >= 0) & (d[f"{later}_ms"] >= 0)]
        assert len(both) and (both[f"{earlier}_ms"] <= both[f"{later}_ms"]).all()


def test_silent_ends_are_never_reported(smoke_run):
    d = smoke_run.devices
    silent = d[d["outcome"].isin(["bricked", "lost", "pending"])]
    assert len(silent) and (silent["reported_outcome"] == "none").all()


def test_the_timeline_adds_up_to_the_fleet_at_every_sample_and_ends_as_the_table_does(smoke_run):
    timeline = smoke_run.timeline
    states = timeline.drop(columns=["time_ms", "bytes_on_links"])
    assert (states.sum(axis=1) == len(smoke_run.devices)).all()
    last = states.iloc[-1]
    for outcome in ("updated", "reverted", "bricked", "failed", "deferred", "ineligible"):
        assert last[outcome] == smoke_run.summary["outcomes"][outcome]
    assert (np.diff(timeline["bytes_on_links"]) >= 0).all()


def test_bytes_on_the_links_are_the_bytes_devices_received(smoke):
    # A horizon long enough that nothing is still on the link when it comes.
    result = run(smoke.with_({"horizon": "20 d"}))
    assert result.timeline["bytes_on_links"].iloc[-1] == result.summary["bytes_down"]


def test_bytes_of_transfers_under_way_at_the_end_are_booked_to_their_devices(smoke):
    result = run(smoke.with_({"links.0.capacity": "30 B/s", "horizon": "6 h"}))
    under_way = result.timeline["downloading"].iloc[-1]
    on_links = result.timeline["bytes_on_links"].iloc[-1]
    assert under_way > 3
    # Each of them has received a whole number of bytes; the link may hold a part of one more for each.
    assert 0 <= on_links - result.summary["bytes_down"] <= under_way
    device = result.devices[(result.devices["outcome"] == "pending") & (result.devices["bytes_down"] > 0)]
    assert result.explain(int(device["device"].iloc[0])).agrees


def test_a_process_of_a_notebook_beside_the_fleet_changes_nothing(smoke, smoke_run):
    seen = []

    def desk(clock, fleet):
        def watch():
            while True:
                yield clock.env.timeout(3_600_000)
                seen.append(sum(1 for t in fleet.finished_ms if t >= 0))

        clock.env.process(watch())

    assert run(smoke, extra=desk).digest == smoke_run.digest
    assert len(seen) == 7 * 24 and seen[-1] > 400


def staged(kind, rollout):
    """A policy of the class `kind` with the groups of a scenario's rollout."""
    return kind(rollout.groups, interval_ms=rollout.interval_ms, deadline_ms=rollout.deadline_ms)


def test_a_policy_asked_at_every_tick_decides_as_one_asked_when_it_wants(monkeypatch):
    class Dense(Staged):
        """The same policy, asking for every tick."""

        def decide(self, view):
            decision = super().decide(view)
            return Decision(decision.actions, Wake(at_ms=view.now_ms + 1))

    # A gate that trips, on a tick that is coarse against the reports.
    scenario = Scenario.load("storage-120k-canary").with_(
        {"devices": 6000, "rollout.groups.0.share": "0.1", "rollout.interval": "7 min", "horizon": "5 d"}
    )
    declared = run(scenario)
    monkeypatch.setattr(simulation_run, "make_policy", lambda spec, _: staged(Dense, spec.rollout))
    dense = run(scenario)
    assert declared.summary["halted"] and dense.digest == declared.digest
    assert dense.summary["halted_at_ms"] == declared.summary["halted_at_ms"]
    assert dense.groups.equals(declared.groups)


def test_idle_polls_cost_energy_in_proportion_to_how_often_a_device_wakes(smoke, smoke_run):
    devices = smoke_run.devices
    mean = devices[devices["outcome"] == "updated"].groupby("cohort")["energy_idle_uj"].mean()
    often = mean["street"]  # every 6 h, 80 % of them: 22 polls in a week
    assert 21 * 1032 <= often <= 23 * 1032
    assert devices.loc[devices["cohort"] == "in-a-drawer", "energy_idle_uj"].max() <= 1032
    bricked = devices[(devices["cohort"] == "one-slot") & (devices["outcome"] == "bricked")]
    assert len(bricked) and bricked["energy_idle_uj"].max() < mean["one-slot"]
    assert smoke_run.summary["energy_idle_uj"] == devices["energy_idle_uj"].sum()


def test_a_poll_every_millisecond_does_not_overflow_its_energy(smoke):
    keys = {"devices": 30, "cohorts.0.wake_period": 1, "cohorts.0.wake_presence": 1, "horizon": "6 h"}
    assert run(smoke.with_(keys)).devices["energy_idle_uj"].max() == 6 * 3_600_000 * 1032 + 1032


@pytest.fixture(scope="module")
def story() -> Scenario:
    """The storage story on a fleet and a firmware of a size that runs in seconds."""
    return Scenario.load("storage-120k").with_({"devices": 2000})


def test_without_the_pre_check_the_devices_without_room_are_bricked_and_only_they(story):
    devices = run(story).devices
    bricked = devices[devices["outcome"] == "bricked"]
    assert len(bricked) == 60 and set(bricked["cohort"]) == {"small-flash"}
    assert set(bricked["reason"]) == {"no-valid-image"}


def test_with_the_pre_check_they_are_deferred(story):
    outcomes = run(story.with_({"precheck.storage": True})).summary["outcomes"]
    assert outcomes["bricked"] == 0 and outcomes["deferred"] == 60


def test_a_release_that_fits_bricks_nobody_even_without_the_pre_check(story):
    outcomes = run(story.with_({"release.size": "408 KiB"})).summary["outcomes"]
    assert outcomes["bricked"] == 0 and outcomes["updated"] == 2000


def test_a_canary_halts_and_nobody_is_offered_anything_afterwards():
    scenario = Scenario.load("storage-120k-canary").with_({"devices": 6000, "rollout.groups.0.share": "0.1"})
    result = run(scenario)
    offered = result.devices["offered_ms"]
    assert result.summary["halted"]
    assert offered.max() <= result.summary["halted_at_ms"]
    assert (offered >= 0).sum() == result.summary["exposure_at_halt"]["offered"] <= 600
    assert result.groups["decision"].tolist() == ["halted", "not-opened"]
    exposure = result.summary["exposure_at_halt"]
    ends = ("downloading", "trial", "confirmed", "bricked")
    assert exposure["bricked"] > 0 and exposure["confirmed"] > 0
    assert sum(exposure[end] for end in ends) <= exposure["offered"]
    assert (result.devices.loc[offered < 0, "reason"] == "rollout-halted").all()
    assert "rollout-halted" in set(result.alerts["alert"])


def test_a_halt_that_aborts_breaks_off_the_downloads_under_way():
    # A link so slow that downloads are under way when the silence of the bricked is noticed.
    keys = {"devices": 1500, "rollout.groups.0.share": "0.5", "links.0.capacity": "900 B/s", "seed": 4}
    keys |= {"cohorts.0.wake_period": "6 h", "rollout.deadline": "2 h", "horizon": "6 d", "timeline": "6 h"}
    going_on = run(Scenario.load("storage-120k-canary").with_(keys))
    aborted = run(Scenario.load("storage-120k-canary").with_(keys | {"rollout.abort_downloads": True}))
    assert going_on.summary["halted_at_ms"] == aborted.summary["halted_at_ms"] is not None
    broken = aborted.devices[(aborted.devices["outcome"] == "failed")]
    assert len(broken) and set(broken["reason"]) == {"rollout-halted"}
    assert (broken["bytes_wasted"] == broken["bytes_down"]).all()
    assert aborted.summary["bytes_down"] < going_on.summary["bytes_down"]
    assert aborted.summary["exposure_at_halt"]["downloading"] == len(broken) > 0
    assert (
        aborted.grants["ended_ms"].max()
        <= aborted.summary["halted_at_ms"]
        < going_on.grants["ended_ms"].max()
    )
    device = int(broken["device"].iloc[0])
    assert aborted.explain(device).agrees


def test_a_stale_inventory_costs_a_patch_and_a_full_image():
    scenario = Scenario.load("smoke").with_(
        {"devices": 300, "faults.stale_inventory": 1, "faults.power_cut": 0, "faults.corruption": 0}
    )
    devices = run(scenario).devices
    behind = devices[(devices["cohort"] == "street") & (devices["outcome"] == "updated")]
    fell_back = behind[behind["base_version"] == "1.1.0"]
    assert len(fell_back) and set(fell_back["artefact"]) == {"full"}
    assert (fell_back["bytes_wasted"] > 0).all()


def test_after_a_halt_that_aborts_no_transfer_ends_any_more():
    # Half of the transfers break off and back off for an hour: the halt meets devices in every phase.
    keys = {"devices": 400, "faults.drop": 0.5, "faults.drop_weak": 0.5, "transfer.backoff": "1 h"}
    keys |= {"rollout.groups.0.share": 0.5, "rollout.groups.0.error_threshold": 0.01}
    result = run(Scenario.load("smoke").with_(keys | {"rollout.abort_downloads": True}))
    assert result.summary["halted"]
    assert result.grants["ended_ms"].max() <= result.summary["halted_at_ms"]
    failed = result.devices[result.devices["reason"] == "rollout-halted"]
    assert set(failed["outcome"]) == {"failed", "pending"}
    assert all(result.explain(int(device)).agrees for device in failed["device"].iloc[:5])


def test_the_group_whose_errors_halt_is_named_even_after_it_had_passed():
    keys = {"devices": 2000, "rollout.groups.0.share": 0.2, "rollout.groups.0.soak": 0}
    keys |= {"rollout.groups.0.success_threshold": 0.5, "rollout.groups.0.min_sample": 50}
    keys |= {"rollout.groups.0.error_threshold": 0.02, "rollout.groups.1.error_threshold": 1}
    keys |= {"cohorts.2.share": 0.1, "cohorts.0.share": 0.7}
    result = run(Scenario.load("storage-120k-canary").with_(keys))
    assert result.groups["decision"].tolist() == ["halted", "stopped"]


def test_a_rollout_that_came_to_its_end_has_passed_its_last_group(smoke):
    groups = run(smoke.with_({"horizon": "20 d"})).groups
    assert groups["decision"].tolist() == ["passed"] * 3
    assert (groups["closed_ms"] > groups["opened_ms"]).all()


def find_faulty(prepared, installs=1):
    """Ask for the first installs of every device with an offer, as a run does when a device comes to one."""
    cases, fleet, release = prepared.cases, prepared.population, prepared.release
    chain = len(release.images)
    rows = []
    for device, key in enumerate(fleet.keys.tolist()):
        kind, base, recorded = prepared.kind[device], fleet.base[device], fleet.recorded[device]
        artefact = cases.offer[(kind * chain + recorded) * chain + release.primary]
        if artefact != NO_ROW:
            state = cases.start(kind, base)
            rows += [cases.faulty_install(key, number, state, artefact) for number in range(installs)]
    return rows


def test_for_explain_every_flipped_bit_is_a_case_of_its_own(smoke):
    prepared, _ = simulation_run.prepare(
        smoke.with_({"faults.corruption": 1, "faults.power_cut": 0, "devices": 60}), every_bit=True
    )
    asked = len(find_faulty(prepared, installs=2))
    flips = [m.event.flip_bit for m in prepared.cases.moves if isinstance(m.event, Install)]
    flipped = [bit for bit in flips if bit is not None]
    assert len(flipped) == asked > 60 and len(set(flipped)) > 0.9 * len(flipped)


def afterwards(cases, row):
    """What the bench says of a move and of the update that follows it: all that a fleet looks up."""
    story = []
    artefact = cases.artefacts.index(cases.moves[row].event.artefact)
    for _ in range(3):
        names = ("verdict", "running", "cut", "ms", "flash_uj", "compute_uj")
        story.append(tuple(getattr(cases, f"move_{name}")[row] for name in names))
        state = cases.move_state[row]
        row = cases.install(state, artefact) if len(story) == 1 else cases.boot(state)
    return story


@pytest.mark.parametrize("payload", ["delta", "full"])
def test_whichever_bit_is_flipped_a_device_with_a_second_slot_goes_on_as_with_the_one_that_stands_for_all(
    smoke, payload
):
    scenario = smoke.with_(
        {"faults.corruption": 1, "faults.power_cut": 0, "devices": 60, "release.payload": payload}
    )
    one, each = (simulation_run.prepare(scenario, every_bit=every)[0] for every in (False, True))
    told = [[afterwards(p.cases, row) for row, _ in find_faulty(p)] for p in (one, each)]
    assert told[0] == told[1]
    assert len(told[0]) > 40 and len(one.cases.moves) < len(each.cases.moves) // 2


def test_where_the_only_slot_is_overwritten_it_is_the_bit_drawn(smoke):
    single = smoke.with_(
        {"faults.corruption": 1, "faults.power_cut": 0, "devices": 40, "cohorts.0.layout": "single-slot"}
    )
    cases = simulation_run.prepare(single)[0].cases
    state = next(n for n, config in enumerate(cases._config) if config.layout == "single-slot")
    full = cases.without_patch[-1]
    bits = {cases.moves[cases.faulty_install(key, 0, state, full)[0]].event.flip_bit for key in range(20)}
    assert len(bits) == 20


def test_a_faulty_case_is_the_same_whenever_and_in_whatever_company_it_is_asked_for(smoke):
    scenario = smoke.with_({"faults.corruption": 0.3, "faults.power_cut": 0.6, "devices": 60})
    once, _ = simulation_run.prepare(scenario)
    again, _ = simulation_run.prepare(scenario)
    first = find_faulty(once)
    find_faulty(again, installs=3)
    second = find_faulty(again)

    def found(prepared, rows):
        moves = prepared.cases.moves
        return [(moves[row], None if boot == NO_ROW else moves[boot]) for row, boot in rows]

    assert found(once, first) == found(again, second)


def test_faults_meet_the_later_installs_of_devices_whose_first_is_refused(smoke):
    # Without the pre-check the devices short of storage are refused by the updater, again and again.
    result = run(smoke.with_({"precheck.storage": False, "faults.power_cut": 0.5, "faults.corruption": 0}))
    cohorts = result.devices["cohort"]
    short = set(result.devices.loc[cohorts == "short-of-storage", "device"])
    errors = result.errors[result.errors["device"].isin(short) & (result.errors["step"] != "downloading")]
    told = [part["reason"].tolist() for _, part in errors.groupby("device")]
    refused = [reasons for reasons in told if reasons[0] == "storage-short"]
    # A device that is refused first makes more installs; each is cut with probability 1/2.
    assert sum("power-cut" in reasons for reasons in refused) > len(refused) / 2 > 1


def test_a_cut_drawn_past_the_last_operation_leaves_everything_written(smoke):
    prepared, _ = simulation_run.prepare(smoke.with_({"faults.power_cut": 1, "devices": 300}))
    find_faulty(prepared)
    late = [m for m in prepared.cases.moves if m.cut and m.event.cut is None]
    assert late
    for move in late:
        same = [m for m in prepared.cases.moves if (m.start, m.event) == (move.start, move.event)]
        assert {m.found.state for m in same if not m.cut} == {move.found.state}


def test_the_names_a_scenario_may_use_are_the_names_there_are():
    assert set(POLICIES) == set(service_names())
    assert all(service_named(name).name == name for name in POLICIES)
    assert set(LAYOUTS) == set(layouts.names())


def test_a_base_mix_longer_than_a_fetched_chain_is_refused(smoke, monkeypatch):
    # How long a public chain is shows only when it is loaded.
    fetched = SimpleNamespace(images=(b"old", b"new"), primary=1)
    monkeypatch.setattr(simulation_run, "_release", lambda _spec: fetched)
    with pytest.raises(InputError, match="base_mix: found 2 base versions, expected at most 1"):
        run(smoke)


def test_the_spec_of_a_scenario_can_be_changed_in_code(smoke, smoke_run):
    again = Scenario.of(replace(smoke.spec, seed=smoke.spec.seed))
    assert run(again).digest == smoke_run.digest
