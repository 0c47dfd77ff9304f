"""One device's life, driven by hand: legal moves only, one outcome, every byte accounted for."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.draws import CERTAIN, Purpose, device_key, draw32
from simlib.errors import Reason
from simlib.lifecycle import columns as rule
from simlib.lifecycle.columns import HALT_DOWNLOADS, HALT_OFFERS, NEVER, NO_ROW, Fleet
from simlib.lifecycle.phases import LEGAL_MOVES, Phase
from simlib.lifecycle.steps import (
    END,
    JOIN,
    OUTCOMES,
    REASON_CODE,
    REASONS,
    TIMER,
    advance,
    transfer_ended,
)
from simlib.lifecycle.waiting import DAY_MS, next_checkin, window_opens

HOUR = 3_600_000
NEW, OLD = 1, 0
SIZE = 100_000
# States of the little bench behind these tests: 0 fresh, 1 installed, 2 on trial, 3 confirmed, 4 reverted,
# 5 cut in the install, 6 cut in the swap, 7 nothing boots, 8 refused.
ROWS = {  # name: state, verdict, running, cut, ms
    "install": (1, Reason.NONE, NO_ROW, 0, 900),
    "boot new": (2, Reason.NONE, NEW, 0, 1500),
    "confirm": (3, Reason.NONE, NO_ROW, 0, 1),
    "boot old": (4, Reason.NONE, OLD, 0, 1500),
    "cut install": (5, Reason.POWER_CUT, NO_ROW, 1, 450),
    "recover old": (0, Reason.NONE, OLD, 0, 30),
    "cut swap": (6, Reason.POWER_CUT, NO_ROW, 1, 700),
    "boot nothing": (7, Reason.NO_VALID_IMAGE, NO_ROW, 0, 20),
    "refuse": (8, Reason.HASH_MISMATCH, NO_ROW, 0, 800),
    "wrong base": (0, Reason.WRONG_BASE, NO_ROW, 0, 80),
}
ROW = {name: number for number, name in enumerate(ROWS)}
STATES, ARTEFACTS = 9, 2


def fleet(**changes) -> Fleet:
    """One device, one cohort, two artefacts (0 the full one, 1 a patch), and the bench above."""
    rules = [0] * rule.RULES
    rules[rule.RULE_STORAGE] = 1
    rules[rule.RULE_DEFERRALS] = 2
    rules[rule.RULE_ATTEMPTS] = 3
    rules[rule.RULE_GRANULE] = 4096
    rules[rule.RULE_BACKOFF] = 60_000
    rules[rule.RULE_BACKOFF_MAX] = 90_000
    rules[rule.RULE_POWER_OFF] = 5000
    rules[rule.RULE_REPORT_DELAY] = 10
    rules[rule.RULE_HORIZON] = 30 * DAY_MS
    rules[rule.RULE_ARTEFACTS] = ARTEFACTS
    for number, value in changes.pop("rules", {}).items():
        rules[number] = value
    on_install = [NO_ROW] * (STATES * ARTEFACTS)
    for state in (0, 4, 8):
        on_install[state * ARTEFACTS + 1] = on_install[state * ARTEFACTS] = ROW["install"]
    on_boot = [ROW["recover old"]] * STATES
    on_boot[1], on_boot[2] = ROW["boot new"], ROW["boot old"]
    on_boot[5], on_boot[6] = ROW["recover old"], ROW["boot new"]
    on_boot[7], on_boot[8] = ROW["boot nothing"], ROW["boot nothing"]
    on_confirm = [NO_ROW] * STATES
    on_confirm[2] = ROW["confirm"]
    columns = {name: [0] for name in Fleet._fields} | {
        "key": [device_key(1, 0)],
        "target": [NEW],
        "wake_phase_ms": [HOUR],
        "faults": [NO_ROW],
        "wake_period_ms": [DAY_MS],
        "wake_below": [CERTAIN],
        "reboot_ms": [2000],
        "self_test_ms": [30_000],
        "rx_pj_per_byte": [150_000],
        "full": [0],
        "wire_bytes": [SIZE * 2, SIZE],
        "room": [1, 1],
        "on_install": on_install,
        "on_boot": on_boot,
        "on_confirm": on_confirm,
        "fault_install": [NO_ROW] * 3,
        "fault_boot": [NO_ROW] * 3,
        "move_state": [r[0] for r in ROWS.values()],
        "move_verdict": [REASON_CODE[r[1]] for r in ROWS.values()],
        "move_running": [r[2] for r in ROWS.values()],
        "move_cut": [r[3] for r in ROWS.values()],
        "move_ms": [r[4] for r in ROWS.values()],
        "move_flash_uj": [7] * len(ROWS),
        "move_compute_uj": [3] * len(ROWS),
        "rules": rules,
        "artefact": [1],
        "reported": [NO_ROW],
        "offered_ms": [-1],
        "started_ms": [-1],
        "finished_ms": [-1],
        "reported_ms": [-1],
    }
    return Fleet(**(columns | changes))


def live(f: Fleet, speed_bytes_per_ms: int = 50) -> list[tuple[Phase, int]]:
    """Drive the device to its end (or the horizon) with a link of its own; checks every move."""
    now, seen = next_checkin(f, 0, 0), []
    while now < NEVER:
        before = Phase(f.phase[0])
        command, value, _ = advance(f, now, 0)
        after = Phase(f.phase[0])
        assert after == before or after in LEGAL_MOVES[before], (before, after)
        seen.append((after, now))
        if command == END:
            break
        if command == TIMER:
            assert value >= now
            now = value
        elif command == JOIN:
            assert value >= 1
            transfer_ended(f, 0, 0)
            now += -(-value // speed_bytes_per_ms)
    return seen


def end(f: Fleet) -> tuple[str, str]:
    return OUTCOMES[f.outcome[0]].value, REASONS[f.reason[0]].value


def test_an_undisturbed_update_is_downloaded_once_installed_tried_confirmed_and_reported():
    f = fleet()
    seen = live(f)
    assert [p for p, _ in seen] == [
        Phase.DOWNLOADING,
        Phase.INSTALLING,
        Phase.REBOOTING,
        Phase.TRIAL,
        Phase.CONFIRMING,
        Phase.REPORTING,
        Phase.DONE,
    ]
    assert end(f) == ("updated", "none")
    assert (f.bytes_down[0], f.bytes_wasted[0], f.attempts[0]) == (SIZE, 0, 1)
    assert f.radio_uj[0] == SIZE * 150_000 // 1_000_000
    assert (f.flash_uj[0], f.compute_uj[0]) == (3 * 7, 3 * 3)
    # Check-in at 1 h; then 2 s of transfer, 0.9 s install, 2 + 1.5 s reboot, 30 s test, 1 ms, 10 ms report.
    assert f.finished_ms[0] == HOUR + 2000 + 900 + 3500 + 30_000 + 1
    assert f.reported_ms[0] == f.finished_ms[0] + 10


def test_a_failed_self_test_reverts_and_is_reported():
    f = fleet(defective=[1])
    live(f)
    assert end(f) == ("reverted", "self-test-failed")
    assert f.running[0] == OLD and f.reported[0] == f.outcome[0]


def test_a_failed_self_test_without_a_second_slot_loses_the_device_in_silence():
    f = fleet(defective=[1], on_boot=[NO_ROW, 1, 1, *[NO_ROW] * 6])
    live(f)
    assert end(f) == ("lost", "crash-loop")
    assert f.reported_ms[0] == -1


def test_a_device_that_boots_nothing_is_bricked_and_silent():
    f = fleet(on_install=[ROW["refuse"]] * (STATES * ARTEFACTS), in_place=[1])
    live(f)
    assert end(f) == ("bricked", "no-valid-image")
    assert f.reported[0] == NO_ROW and f.finished_ms[0] > 0


def test_a_refused_install_is_tried_again_from_the_start_and_given_up_after_the_last_attempt():
    f = fleet(on_install=[ROW["refuse"]] * (STATES * ARTEFACTS))
    live(f)
    assert end(f) == ("failed", "hash-mismatch")
    assert f.attempts[0] == 3 and f.bytes_down[0] == 3 * SIZE == f.bytes_wasted[0]


def test_a_refused_base_makes_the_device_fetch_the_full_artefact():
    on_install = [ROW["install"]] * (STATES * ARTEFACTS)
    on_install[1] = ROW["wrong base"]
    f = fleet(on_install=on_install)
    live(f)
    assert end(f) == ("updated", "none")
    assert f.artefact[0] == 0 and f.bytes_down[0] == 3 * SIZE and f.bytes_wasted[0] == SIZE


def test_a_power_cut_in_the_install_costs_a_download_and_one_attempt():
    f = fleet(faults=[0], fault_install=[ROW["cut install"], NO_ROW, NO_ROW])
    seen = live(f)
    assert Phase.POWER_OFF in [p for p, _ in seen]
    assert end(f) == ("updated", "none")
    assert f.attempts[0] == 2 and f.bytes_wasted[0] == SIZE


def test_a_power_cut_in_the_swap_only_costs_time():
    f, undisturbed = fleet(faults=[0], fault_boot=[ROW["cut swap"], NO_ROW, NO_ROW]), fleet()
    live(f)
    live(undisturbed)
    assert end(f) == ("updated", "none") and f.attempts[0] == 1
    # 0.7 s of the cut swap instead of 1.5 s, then power off, reboot and the 1.5 s of the resumed one.
    assert f.finished_ms[0] - undisturbed.finished_ms[0] == 700 - 1500 + 5000 + 2000 + 1500


def test_too_little_charge_puts_off_and_then_defers_without_a_byte():
    f = fleet(battery_low_below=[CERTAIN])
    seen = live(f)
    assert end(f) == ("deferred", "battery-low")
    assert f.bytes_down[0] == 0 and f.started_ms[0] == -1
    assert [now for p, now in seen if p is Phase.OFFERED] == [HOUR, HOUR + DAY_MS]


def test_no_room_defers_at_once_and_only_if_the_pre_check_is_on():
    f = fleet(room=[0, 0])
    live(f)
    assert end(f) == ("deferred", "storage-short")
    f = fleet(room=[0, 0], rules={rule.RULE_STORAGE: 0})
    live(f)
    assert end(f) == ("updated", "none")


def test_a_halted_rollout_offers_nothing():
    f = fleet(halted=[HALT_OFFERS])
    live(f)
    assert end(f) == ("pending", "rollout-halted") and f.offered_ms[0] == -1


def test_drops_back_off_twice_as_long_up_to_the_cap():
    f = fleet(rules={rule.RULE_DROP_BELOW: CERTAIN, rule.RULE_RESUME: 1, rule.RULE_ATTEMPTS: 4})
    seen = live(f)
    waits = [b - a for (p, a), (_, b) in pairwise(seen) if p is Phase.BACKING_OFF]
    assert waits == [60_000, 90_000, 90_000]
    assert end(f) == ("failed", "download-failed")


@given(
    seed=st.integers(0, 2**32),
    drop=st.integers(0, CERTAIN),
    resume=st.booleans(),
    granule=st.sampled_from([1, 512, 4096, 65_536]),
    attempts=st.integers(1, 6),
    weak=st.integers(0, CERTAIN),
    check_link=st.booleans(),
    battery=st.integers(0, CERTAIN),
    defective=st.integers(0, 1),
    in_place=st.integers(0, 1),
    installs=st.lists(st.sampled_from(["install", "refuse", "wrong base"]), min_size=18, max_size=18),
    presence=st.integers(CERTAIN // 20, CERTAIN),
    window=st.tuples(st.integers(0, DAY_MS - 1), st.integers(0, DAY_MS - 1)),
)
def test_every_life_is_legal_and_every_byte_is_kept_or_wasted(
    seed,
    drop,
    resume,
    granule,
    attempts,
    weak,
    check_link,
    battery,
    defective,
    in_place,
    installs,
    presence,
    window,
):
    f = fleet(
        key=[device_key(seed, 0)],
        wake_below=[presence],
        battery_low_below=[battery],
        weak_below=[weak],
        defective=[defective],
        in_place=[in_place],
        on_install=[ROW[name] for name in installs],
        fault_install=[NO_ROW] * attempts,
        fault_boot=[NO_ROW] * attempts,
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
    )
    seen = live(f)
    assert 0 <= f.bytes_wasted[0] <= f.bytes_down[0]
    assert f.attempts[0] <= attempts and f.installs[0] <= f.attempts[0]
    if seen and seen[-1][0] is Phase.DONE:
        outcome = end(f)[0]
        if outcome in ("failed", "bricked"):
            assert f.bytes_wasted[0] == f.bytes_down[0]
        if outcome == "updated":
            assert f.bytes_down[0] - f.bytes_wasted[0] == f.wire_bytes[f.artefact[0]]


def test_what_a_resumed_download_throws_away_is_fetched_again():
    # Drops at every attempt but the last: the draws of this key never fall on a whole granule.
    f = fleet(rules={rule.RULE_DROP_BELOW: CERTAIN // 2, rule.RULE_RESUME: 1, rule.RULE_ATTEMPTS: 50})
    f.key[0] = next(
        key
        for key in (device_key(seed, 0) for seed in range(100))
        if draw32(key, Purpose.DROP, 0) < CERTAIN // 2 <= draw32(key, Purpose.DROP, 1)
    )
    received = []
    now = HOUR
    while f.phase[0] != Phase.INSTALLING:
        command, value, _ = advance(f, now, 0)
        if command == JOIN:
            received.append(value)
            transfer_ended(f, 0, 0)
        else:
            now = value
    kept = received[0] // 4096 * 4096
    assert len(received) == 2 and 0 < kept < received[0] < SIZE
    assert received[1] == SIZE - kept
    assert (f.bytes_down[0], f.bytes_wasted[0]) == (sum(received), received[0] - kept)


def test_a_device_put_off_for_good_after_it_began_has_failed_and_wasted_what_it_had():
    f = fleet(rules={rule.RULE_DROP_BELOW: CERTAIN, rule.RULE_RESUME: 1, rule.RULE_ATTEMPTS: 9})
    advance(f, HOUR, 0)
    transfer_ended(f, 0, 0)
    _, now, _ = advance(f, 2 * HOUR, 0)  # dropped, backs off
    f.battery_low_below[0] = CERTAIN
    while f.phase[0] != Phase.REPORTING:
        _, now, _ = advance(f, now, 0)
    assert end(f) == ("failed", "battery-low")
    assert f.bytes_wasted[0] == f.bytes_down[0] > 0


def test_an_offered_device_that_has_not_begun_is_turned_away_after_the_halt():
    f = fleet(rules={rule.RULE_WINDOW_FROM: 2 * HOUR, rule.RULE_WINDOW_TO: 3 * HOUR})
    _, opens, signals = advance(f, HOUR, 0)
    assert f.phase[0] == Phase.OFFERED and opens == 2 * HOUR and signals
    f.halted[0] = HALT_OFFERS
    assert advance(f, opens, 0)[0] == END
    assert end(f) == ("pending", "rollout-halted") and f.offered_ms[0] == HOUR


def test_a_halt_that_aborts_ends_a_device_that_was_backing_off():
    f = fleet(rules={rule.RULE_DROP_BELOW: CERTAIN})
    advance(f, HOUR, 0)
    transfer_ended(f, 0, 0)
    _, now, _ = advance(f, 2 * HOUR, 0)
    assert f.phase[0] == Phase.BACKING_OFF
    f.halted[0] = HALT_DOWNLOADS
    assert advance(f, now, 0)[0] == TIMER
    assert end(f) == ("failed", "rollout-halted")


def test_a_transition_the_bench_was_not_asked_for_is_an_error_and_never_another_row():
    f = fleet(on_confirm=[NO_ROW] * STATES)
    with pytest.raises(LookupError):
        live(f)


@given(st.integers(0, 2**32), st.integers(0, 20 * DAY_MS), st.integers(CERTAIN // 10, CERTAIN))
def test_the_next_check_in_is_the_first_scheduled_one_that_takes_place(seed, earliest, presence):
    f = fleet(key=[device_key(seed, 0)], wake_below=[presence])
    when = next_checkin(f, 0, earliest)
    assert when == NEVER or (when >= earliest and (when - HOUR) % DAY_MS == 0)
    if when < NEVER:
        # Asking again from just after any earlier moment in between gives the same answer.
        assert next_checkin(f, 0, (earliest + when) // 2) == when
        assert next_checkin(f, 0, when) == when
        assert next_checkin(f, 0, when + 1) > when


def test_a_window_of_a_whole_day_is_always_open():
    f = fleet(rules={rule.RULE_WINDOW_FROM: 0, rule.RULE_WINDOW_TO: DAY_MS})
    assert window_opens(f, 5 * HOUR) == 5 * HOUR


@given(st.integers(0, 5 * DAY_MS), st.integers(0, DAY_MS - 1), st.integers(0, DAY_MS - 1))
def test_a_window_opens_inside_itself_and_as_soon_as_it_can(now, start, finish):
    f = fleet(rules={rule.RULE_WINDOW_FROM: start, rule.RULE_WINDOW_TO: finish})
    opens = window_opens(f, now)

    def inside(t):
        t %= DAY_MS
        if start == finish:
            return True
        return start <= t < finish if start < finish else t >= start or t < finish

    assert inside(opens) and now <= opens < now + DAY_MS
    assert opens == now or not inside(now)
    assert opens == now or opens % DAY_MS == start
