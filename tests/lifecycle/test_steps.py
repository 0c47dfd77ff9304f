"""One device's life, driven by hand: legal moves only, one outcome, every byte accounted for."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.draws import CERTAIN, Purpose, device_key, draw32
from simlib.lifecycle import Phase
from simlib.lifecycle import columns as rule
from simlib.lifecycle.codes import ASK_BOOT, ASK_CONFIRM, ASK_INSTALL
from simlib.lifecycle.columns import HALT_DOWNLOADS, HALT_OFFERS, NO_ROW
from simlib.lifecycle.waiting import DAY_MS
from simlib.lifecycle.waiting import HOUR_MS as HOUR

NEW, OLD = 1, 0
SIZE = 100_000
PATCH, FULL = 2 * NEW + 1, 2 * NEW


def test_an_undisturbed_update_is_downloaded_once_installed_tried_confirmed_and_reported(device):
    d = device().live()
    assert d.phases == [
        Phase.DOWNLOADING,
        Phase.INSTALLING,
        Phase.REBOOTING,
        Phase.TRIAL,
        Phase.CONFIRMING,
        Phase.REPORTING,
        Phase.DONE,
    ]
    f = d.fleet
    assert d.end == ("updated", "none")
    assert (f.bytes_down[0], f.bytes_wasted[0], f.attempts[0]) == (SIZE, 0, 1)
    assert f.radio_uj[0] == SIZE * 150_000 // 1_000_000
    assert (f.flash_uj[0], f.compute_uj[0]) == (3 * 7, 3 * 3)
    # Check-in at 1 h; then 2 s of transfer, 0.9 s install, 2 + 1.5 s reboot, 30 s test, 1 ms, 10 ms report.
    assert f.finished_ms[0] == f.confirmed_ms[0] == HOUR + 2000 + 900 + 3500 + 30_000 + 1
    assert f.reported_ms[0] == f.finished_ms[0] + 10


def test_each_case_is_asked_of_the_bench_once_and_what_is_known_is_not_asked(device):
    d = device().live()
    assert d.bench.asked == [ASK_INSTALL, ASK_BOOT, ASK_CONFIRM]
    known = {name: getattr(d.fleet, name) for name in d.fleet._fields if name.startswith(("on_", "move_"))}
    again = device(**known).live()
    assert again.bench.asked == []
    assert again.seen == d.seen


def test_what_went_wrong_in_a_step_is_told_whether_or_not_the_bench_is_asked_in_it(device):
    asking = device(faults={0: "cut install"}, rules={rule.RULE_CUT_BELOW: CERTAIN}).live()
    known = {n: getattr(asking.fleet, n) for n in asking.fleet._fields if n.startswith(("on_", "move_"))}
    # Installs that meet a fault are asked for each time; the boot after it is known now.
    knowing = device(faults={0: "cut install"}, rules={rule.RULE_CUT_BELOW: CERTAIN}, **known)
    knowing.bench.rows = asking.bench.rows
    assert knowing.live().errors == asking.errors == ["power-cut", "power-cut"]


def test_a_failed_self_test_reverts_and_is_reported(device):
    d = device(defect={"effect": rule.EFFECT_FAULTY, "visible": 1}).live()
    assert d.end == ("reverted", "self-test-failed")
    assert d.fleet.running[0] == OLD and d.fleet.reported[0] == d.fleet.outcome[0]


def test_a_failed_self_test_without_a_second_slot_loses_the_device_in_silence(device):
    d = device(defect={"effect": rule.EFFECT_FAULTY, "visible": 1}, single_slot=True).live()
    assert d.end == ("lost", "crash-loop")
    assert d.fleet.reported_ms[0] == -1


def test_a_device_that_boots_nothing_is_bricked_and_silent(device):
    d = device(install="refuse", in_place=1).live()
    assert d.end == ("bricked", "no-valid-image")
    assert d.fleet.reported[0] == NO_ROW and d.fleet.finished_ms[0] > 0


def test_a_refused_install_is_tried_again_from_the_start_and_given_up_after_the_last_attempt(device):
    d = device(install="refuse").live()
    assert d.end == ("failed", "hash-mismatch")
    assert d.fleet.attempts[0] == 3 and d.fleet.bytes_down[0] == 3 * SIZE == d.fleet.bytes_wasted[0]


def test_a_refused_base_makes_the_device_fetch_the_full_artefact(device):
    d = device(install=lambda _, artefact: "wrong base" if artefact == PATCH else "install").live()
    assert d.end == ("updated", "none")
    assert d.fleet.artefact[0] == FULL == d.fleet.without_patch[NEW]
    assert d.fleet.bytes_down[0] == 3 * SIZE and d.fleet.bytes_wasted[0] == SIZE


def test_a_power_cut_in_the_install_costs_a_download_and_one_attempt(device):
    d = device(faults={0: "cut install"}, rules={rule.RULE_CUT_BELOW: CERTAIN}).live()
    assert Phase.POWER_OFF in d.phases
    assert d.end == ("updated", "none")
    assert d.fleet.attempts[0] == 2 and d.fleet.bytes_wasted[0] == SIZE


def test_a_power_cut_in_the_swap_only_costs_time(device):
    d = device(faults={0: "cut swap"}, rules={rule.RULE_CUT_BELOW: CERTAIN}).live()
    undisturbed = device().live()
    assert d.end == ("updated", "none") and d.fleet.attempts[0] == 1
    # 0.7 s of the cut swap instead of 1.5 s, then power off, reboot and the 1.5 s of the resumed one.
    late = d.fleet.finished_ms[0] - undisturbed.fleet.finished_ms[0]
    assert late == 700 - 1500 + 5000 + 2000 + 1500


def test_too_little_charge_puts_off_and_then_defers_without_a_byte(device):
    d = device(battery_low_below=CERTAIN).live()
    assert d.end == ("deferred", "battery-low")
    assert d.fleet.bytes_down[0] == 0 and d.fleet.started_ms[0] == -1
    assert [now for p, now in d.seen if p is Phase.OFFERED] == [HOUR, HOUR + DAY_MS]


def test_no_room_defers_at_once_and_only_if_the_pre_check_is_on(device):
    room = [0] * 8
    assert device(room=room).live().end == ("deferred", "storage-short")
    assert device(room=room, rules={rule.RULE_STORAGE: 0}).live().end == ("updated", "none")


def test_a_halted_rollout_offers_nothing(device):
    d = device(halted=HALT_OFFERS).live()
    assert d.end == ("pending", "rollout-halted") and d.fleet.offered_ms[0] == -1


def test_drops_back_off_twice_as_long_up_to_the_cap(device):
    d = device(
        rules={rule.RULE_DROP_BELOW: CERTAIN, rule.RULE_RESUME: 1, rule.RULE_ATTEMPTS: 4},
    ).live()
    waits = [b - a for (p, a), (_, b) in pairwise(d.seen) if p is Phase.BACKING_OFF]
    assert waits == [60_000, 90_000, 90_000]
    assert d.end == ("failed", "download-failed")


@given(
    seed=st.integers(0, 2**32),
    drop=st.integers(0, CERTAIN),
    resume=st.booleans(),
    granule=st.sampled_from([1, 512, 4096, 65_536]),
    attempts=st.integers(1, 6),
    weak=st.integers(0, CERTAIN),
    check_link=st.booleans(),
    battery=st.integers(0, CERTAIN),
    faulty=st.booleans(),
    in_place=st.integers(0, 1),
    installs=st.lists(st.sampled_from(["install", "refuse", "wrong base"]), min_size=7, max_size=7),
    presence=st.integers(CERTAIN // 20, CERTAIN),
    window=st.tuples(st.integers(0, DAY_MS - 1), st.integers(0, DAY_MS - 1)),
)
def test_every_life_is_legal_and_every_byte_is_kept_or_wasted(
    device,
    seed,
    drop,
    resume,
    granule,
    attempts,
    weak,
    check_link,
    battery,
    faulty,
    in_place,
    installs,
    presence,
    window,
):
    d = device(
        seed=seed,
        wake_below=presence,
        battery_low_below=battery,
        weak_below=weak,
        defect={"effect": rule.EFFECT_FAULTY, "visible": 1} if faulty else None,
        in_place=in_place,
        install=lambda state, artefact: installs[(state + artefact) % 7],
        rules={
            rule.RULE_DROP_BELOW: drop,
            rule.RULE_DROP_WEAK_BELOW: CERTAIN // 2,
            rule.RULE_RESUME: int(resume),
            rule.RULE_GRANULE: granule,
            rule.RULE_ATTEMPTS: attempts,
            rule.RULE_LINK: int(check_link),
            rule.RULE_WINDOW_FROM: window[0],
            rule.RULE_WINDOW_TO: window[1],
        },
    ).live()
    f = d.fleet
    assert 0 <= f.bytes_wasted[0] <= f.bytes_down[0]
    assert f.attempts[0] <= attempts and f.installs[0] <= f.attempts[0]
    if d.seen and d.seen[-1][0] is Phase.DONE:
        outcome = d.end[0]
        if outcome in ("failed", "bricked"):
            assert f.bytes_wasted[0] == f.bytes_down[0]
        if outcome == "updated":
            assert f.bytes_down[0] - f.bytes_wasted[0] == f.wire_bytes[f.artefact[0]]


def test_what_a_resumed_download_throws_away_is_fetched_again(device):
    seed = next(
        seed
        for seed in range(100)
        if draw32(device_key(seed, 0), Purpose.DROP, 0)
        < CERTAIN // 2
        <= draw32(device_key(seed, 0), Purpose.DROP, 1)
    )
    d = device(
        seed=seed,
        rules={rule.RULE_DROP_BELOW: CERTAIN // 2, rule.RULE_RESUME: 1, rule.RULE_ATTEMPTS: 50},
    ).live_to(Phase.INSTALLING)
    received = [size for _, size in d.joins]
    kept = received[0] // 4096 * 4096
    assert len(received) == 2 and 0 < kept < received[0] < SIZE
    assert received[1] == SIZE - kept
    assert d.fleet.bytes_down[0] == sum(received)
    assert d.fleet.bytes_wasted[0] == received[0] - kept


def test_a_device_put_off_for_good_after_it_began_has_failed_and_wasted_what_it_had(device):
    d = device(
        rules={rule.RULE_DROP_BELOW: CERTAIN, rule.RULE_RESUME: 1, rule.RULE_ATTEMPTS: 9},
    ).live_to(Phase.BACKING_OFF)
    d.fleet.battery_low_below[0] = CERTAIN
    d.live()
    assert d.end == ("failed", "battery-low")
    assert d.fleet.bytes_wasted[0] == d.fleet.bytes_down[0] > 0


def test_an_offered_device_that_has_not_begun_is_turned_away_after_the_halt(device):
    d = device(rules={rule.RULE_WINDOW_FROM: 2 * HOUR, rule.RULE_WINDOW_TO: 3 * HOUR})
    d.live_to(Phase.OFFERED)
    assert d.due_ms == 2 * HOUR and d.signals
    d.fleet.halted[0] = HALT_OFFERS
    d.live()
    assert d.ended
    assert d.end == ("pending", "rollout-halted") and d.fleet.offered_ms[0] == HOUR


def test_a_halt_that_aborts_ends_a_device_that_was_backing_off(device):
    d = device(rules={rule.RULE_DROP_BELOW: CERTAIN}).live_to(Phase.BACKING_OFF)
    d.fleet.halted[0] = HALT_DOWNLOADS
    assert d.live().end == ("failed", "rollout-halted")


def test_a_halt_that_aborts_ends_a_device_that_was_connecting_before_it_gets_a_byte(device):
    d = device(connect_ms=4000).live_to(Phase.CONNECTING)
    d.fleet.halted[0] = HALT_DOWNLOADS
    assert d.live().end == ("failed", "rollout-halted")
    assert d.fleet.bytes_down[0] == 0


def test_a_halt_that_only_stops_offers_lets_a_device_that_was_connecting_finish(device):
    d = device(connect_ms=4000).live_to(Phase.CONNECTING)
    d.fleet.halted[0] = HALT_OFFERS
    assert d.live().end == ("updated", "none")


def test_a_question_nobody_answers_is_an_error_and_never_another_row(device):
    d = device()
    d.bench.answer = lambda now, question: (_ for _ in ()).throw(LookupError(question))
    with pytest.raises(LookupError):
        d.live()
