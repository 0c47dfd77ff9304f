"""balena's target state: who is pinned, what its strategies take, and devices that try for ever."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.rollout.policy import Told, Verb
from simlib.rollout.services.state import SERVICE, dictate, policy, read, sizes, translate
from simlib.rollout.services.state_strategies import (
    Strategy,
    downtime_ms,
    fits,
    peak_ram,
    peak_storage,
    processes,
    storage_bytes,
)
from simlib.scenario import Scenario
from tests.rollout.percentage_driver import asked_alike, changed, log, reports

MIB, MINUTE = 1 << 20, 60_000
TARGET = {"release": "1.2.0", "strategy": "hand-over", "handoverTimeout": 90_000, "delta": True}
sizes_in_bytes = st.integers(0, 1 << 40)


def run(document, devices, told=()):
    made = read(document, "fleet.json")
    parts = sizes(made, devices)
    return log(asked_alike(lambda: policy(made, parts), parts, told, step_ms=MINUTE, ticks=100))


def test_everybody_is_to_go_to_the_release_at_once():
    assert sizes(read(TARGET, "f"), 100) == (100,)
    told = [*[(1, 0, "failed")] * 60, *[(2, 0, "succeeded")] * 40]
    assert run(TARGET, 100, told) == [(0, Verb.OPEN, 0)]  # those that failed still try


def test_a_device_that_failed_and_then_succeeded_is_not_waited_for():
    told = [(1, 0, "failed"), (2, 0, "succeeded"), (3, 0, "succeeded")]
    assert run(TARGET, 2, told) == [(0, Verb.OPEN, 0), (3 * MINUTE, Verb.FINISH, 0)]


def test_pinned_devices_are_never_offered_anything():
    document = changed(TARGET, pin="1/3")
    assert sizes(read(document, "f"), 100) == (67, 33)
    assert run(document, 3, [(n, 0, "succeeded") for n in (1, 2)]) == [
        (0, Verb.OPEN, 0),
        (2 * MINUTE, Verb.FINISH, 0),
    ]


def test_a_fleet_that_is_pinned_as_a_whole_has_nothing_to_do():
    assert sizes(read(changed(TARGET, pin=1), "f"), 4) == (0, 4)
    assert [verb for _, verb, _ in run(changed(TARGET, pin=1), 4)] == [Verb.OPEN, Verb.FINISH]


def test_devices_that_will_not_update_are_not_waited_for_after_failures():
    told = [(1, 0, "failed"), (2, 0, "failed"), (3, 0, "skipped"), (4, 0, "succeeded"), (5, 0, "skipped")]
    assert run(TARGET, 2, told) == [(0, Verb.OPEN, 0), (4 * MINUTE, Verb.FINISH, 0)]
    assert run(TARGET, 3, told) == [(0, Verb.OPEN, 0), (5 * MINUTE, Verb.FINISH, 0)]


@given(reports(60, 2), st.integers(1, 16))
def test_state_asked_at_its_wakes_does_what_it_does_asked_always(told, devices):
    run(changed(TARGET, pin="1/4"), devices, told)


def test_devices_try_without_end_at_the_poll_interval():
    spec = Scenario.load("smoke").spec
    made = dictate(read(TARGET, "f"), spec).transfer
    assert (made.rounds, made.retry_after_ms) == (1000, 15 * MINUTE)
    slow = read(changed(TARGET, simlib={"pollInterval": "1 h"}), "f")
    assert dictate(slow, spec).transfer.retry_after_ms == 60 * MINUTE


def test_without_deltas_or_without_a_base_for_them_devices_take_full_images():
    spec = Scenario.load("smoke").spec
    assert spec.release.payload == "delta"
    payload = {
        key: dictate(read(changed(TARGET, **keys), "f"), spec).release.payload
        for key, keys in (
            ("as it is", {}),
            ("no delta", {"delta": False}),
            ("no base", {"strategy": "delete-then-download"}),
        )
    }
    assert payload == {"as it is": "delta", "no delta": "full", "no base": "full"}


def test_overridden_locks_ask_nobody():
    owner = {"name": "shop", "automatic": 0.2, "prompted": 0.5, "never": 0.3}
    spec = Scenario.load("smoke").with_({"owners": [owner]}).spec
    (kept,) = dictate(read(TARGET, "f"), spec).owners
    (asked,) = dictate(read(changed(TARGET, updateLocks=False), "f"), spec).owners
    assert kept == spec.owners[0]
    assert (asked.automatic, asked.prompted, asked.never) == (Fraction(7, 10), 0, Fraction(3, 10))


def test_peak_storage_of_each_strategy():
    old, new, delta = 300 * MIB, 350 * MIB, 40 * MIB
    assert {s: peak_storage(s, old, new) // MIB for s in Strategy} == {
        "download-then-kill": 650,
        "kill-then-download": 650,
        "delete-then-download": 350,
        "hand-over": 650,
    }
    assert peak_storage(Strategy.DOWNLOAD_THEN_KILL, old, new, delta) == 690 * MIB
    assert peak_storage(Strategy.DELETE_THEN_DOWNLOAD, old, new, delta) == 350 * MIB


@given(st.sampled_from(Strategy), sizes_in_bytes, sizes_in_bytes, sizes_in_bytes)
def test_no_strategy_takes_less_than_the_larger_image_and_deleting_first_takes_least(
    strategy, old, new, delta
):
    peak = peak_storage(strategy, old, new, delta)
    assert peak >= peak_storage(Strategy.DELETE_THEN_DOWNLOAD, old, new, delta) == max(old, new)
    assert peak <= old + new + delta


def test_only_a_hand_over_runs_two_versions_and_is_never_down():
    assert [s for s in Strategy if processes(s) == 2] == [Strategy.HAND_OVER]
    down = {s: downtime_ms(s, download_ms=600_000, switch_ms=5_000) for s in Strategy}
    assert down == {
        "download-then-kill": 5_000,
        "kill-then-download": 605_000,
        "delete-then-download": 605_000,
        "hand-over": 0,
    }


def test_peak_memory_of_each_strategy():
    assert {s: peak_ram(s, old_bytes=100, new_bytes=120, download_bytes=50) for s in Strategy} == {
        "download-then-kill": 150,  # the old service beside the download
        "kill-then-download": 120,
        "delete-then-download": 120,
        "hand-over": 220,
    }


def test_whether_an_update_fits_depends_on_the_strategy_and_the_cohort():
    cohort = replace(
        Scenario.load("smoke").spec.cohorts[0], slot_size_bytes=MIB, download_size_bytes=MIB // 2
    )
    assert storage_bytes(cohort) == 5 * MIB // 2
    assert storage_bytes(replace(cohort, secondary_size_bytes=2 * MIB)) == 7 * MIB // 2
    one_slot = replace(cohort, layout="single-slot", download_size_bytes=0)
    assert storage_bytes(one_slot) == MIB
    assert fits(Strategy.DOWNLOAD_THEN_KILL, cohort, MIB, MIB, MIB // 2)
    assert not fits(Strategy.DOWNLOAD_THEN_KILL, cohort, MIB, MIB, MIB // 2 + 1)
    assert fits(Strategy.DELETE_THEN_DOWNLOAD, one_slot, MIB, MIB)
    assert not fits(Strategy.KILL_THEN_DOWNLOAD, one_slot, MIB, 1)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (changed(TARGET, release=None), "release: found no such key"),
        (
            changed(TARGET, strategy="hand-overs"),
            'strategy: found "hand-overs", expected one of download-then-kill',
        ),
        (changed(TARGET, handoverTimeout=-1), "handoverTimeout: found -1, expected 0 to"),
        (changed(TARGET, handoverTimeout="1 min"), 'handoverTimeout: found "1 min", expected a whole number'),
        (changed(TARGET, pin=2), "pin: found 2, expected a share from 0 to 1"),
        (changed(TARGET, updateLock=True), "updateLock: found an unknown key, expected updateLocks"),
        (changed(TARGET, simlib={"pollInterval": 0}), "simlib.pollInterval: found 0, expected 1 ms to"),
    ],
)
def test_what_is_no_target_state_is_refused_by_name(document, complaint):
    with pytest.raises(InputError) as raised:
        read(document, "fleet.json")
    assert str(raised.value).startswith("fleet.json: ") and complaint in str(raised.value)


def test_a_scenario_becomes_a_release_for_everybody_and_says_what_is_lost():
    spec = Scenario.load("smoke").spec
    made = translate(spec)
    assert read(made.document, "made").delta
    assert sizes(read(made.document, "made"), spec.devices) == (spec.devices,)
    lost = "\n".join(made.lost)
    for key in ("everybody at once in place of 3 groups", "groups.0.error_threshold", "transfer.rounds"):
        assert key in lost


def test_the_supervisors_words_are_known():
    assert SERVICE.statuses["Running"] is Told.SUCCEEDED and SERVICE.statuses["update_failed"] is Told.FAILED
