"""The download: what a drop or a cut-off costs, multicast sessions, and the waits between attempts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.draws import CERTAIN
from simlib.lifecycle import Phase
from simlib.lifecycle import columns as rule
from simlib.lifecycle.retrying import LONGEST_SPAN, back_off
from simlib.lifecycle.waiting import DAY_MS
from simlib.lifecycle.waiting import HOUR_MS as HOUR

SIZE, GRANULE = 100_000, 4096
SEEDS = st.integers(0, 2**32)
UPDATED = ("updated", "none")
ONE_TRY = {rule.RULE_ATTEMPTS: 1, rule.RULE_RESUME: 1}


def times(d, phase):
    return [now for p, now in d.seen if p is phase]


def test_without_resuming_every_attempt_begins_anew(device):
    d = device(rules={rule.RULE_DROP_BELOW: CERTAIN}).live()
    assert d.end == ("failed", "download-failed") and d.fleet.attempts[0] == 3
    assert d.fleet.bytes_wasted[0] == d.fleet.bytes_down[0] > 0
    assert d.fleet.left_bytes[0] == SIZE


def test_with_resuming_only_what_is_beyond_the_last_granule_is_fetched_again(device):
    d = device(rules={rule.RULE_DROP_BELOW: CERTAIN, rule.RULE_RESUME: 1, rule.RULE_ATTEMPTS: 50})
    d.live_to(Phase.BACKING_OFF)
    kept = d.fleet.kept_bytes[0]
    assert kept % GRANULE == 0 and d.fleet.left_bytes[0] == SIZE - kept
    assert d.fleet.bytes_wasted[0] == d.joins[0][1] - kept < GRANULE


@given(SEEDS, st.integers(1, 6))
def test_a_download_that_always_drops_is_given_up_after_as_many_attempts_as_allowed(device, seed, attempts):
    d = device(seed=seed, rules={rule.RULE_DROP_BELOW: CERTAIN, rule.RULE_ATTEMPTS: attempts}).live()
    assert d.end == ("failed", "download-failed") and d.fleet.attempts[0] == attempts


def test_setting_the_connection_up_takes_its_time_and_energy_at_every_attempt(device):
    d = device(
        connect_ms=4000, connect_uj=500, rx_pj_per_byte=0, rules={rule.RULE_DROP_BELOW: CERTAIN}
    ).live()
    assert d.fleet.radio_uj[0] == 3 * 500
    assert [b - a for a, b in zip(times(d, Phase.CONNECTING), times(d, Phase.DOWNLOADING), strict=True)] == [
        4000
    ] * 3


def test_a_session_that_ends_breaks_the_transfer_off_without_counting_as_a_failure(device):
    d = device(phone=1, tables={"session_table": "1 s"}, rules=ONE_TRY).live()
    assert d.end == UPDATED
    # 50,000 bytes in a second; 12 granules of them are kept, and again; the rest the day after.
    assert d.joins == [
        (HOUR, SIZE),
        (HOUR + DAY_MS, SIZE - 12 * GRANULE),
        (HOUR + 2 * DAY_MS, SIZE - 24 * GRANULE),
    ]
    assert d.errors == ["session-ended", "session-ended"]
    assert d.fleet.bytes_wasted[0] == 50_000 - 12 * GRANULE + 50_000 - 12 * GRANULE


def test_a_cut_off_leaves_a_device_all_its_attempts(device):
    d = device(phone=1, tables={"session_table": "1 s"}, rules={rule.RULE_ATTEMPTS: 2, rule.RULE_RESUME: 1})
    d.live_to(Phase.BACKING_OFF)
    assert d.errors == ["session-ended"] and d.fleet.failures[0] == 0
    d.fleet.rules[rule.RULE_DROP_BELOW] = CERTAIN
    assert d.live().end == ("failed", "download-failed") and d.fleet.attempts[0] == 3


def test_an_absence_breaks_the_transfer_off_and_the_device_goes_on_at_its_next_check_in(device):
    absent = {"online_table": "2 h", "offline_table": "3 h"}  # away from 2 to 5, 7 to 10, ...
    d = device(wake_phase_ms=2 * HOUR - 1000, tables=absent, rules=ONE_TRY).live()
    assert d.errors == ["went-away"] and d.end == UPDATED
    assert times(d, Phase.BACKING_OFF) == [2 * HOUR]
    assert d.joins[1] == (DAY_MS + 2 * HOUR - 1000, SIZE - 12 * GRANULE)


def test_a_device_that_leaves_while_it_connects_gets_next_to_nothing(device):
    absent = {"online_table": "2 h", "offline_table": "3 h"}
    d = device(wake_phase_ms=2 * HOUR - 1000, connect_ms=2000, tables=absent, rules=ONE_TRY)
    d.live_to(Phase.BACKING_OFF)
    assert d.errors == ["went-away"] and d.fleet.bytes_down[0] == 50  # of one millisecond


@pytest.mark.parametrize("cuts", [0, 1])
def test_a_window_that_ends_breaks_the_transfer_off_where_it_is_meant_to(device, cuts):
    rules = {rule.RULE_WINDOW_TO: HOUR + 1000, rule.RULE_WINDOW_CUTS: cuts}
    d = device(rules=ONE_TRY | rules).live()
    assert d.end == UPDATED
    assert d.errors == ["window-closed"] * cuts
    assert [now for now, _ in d.joins] == [HOUR, DAY_MS][: 1 + cuts]


def test_a_window_that_ends_while_a_device_connects_leaves_it_a_millisecond(device):
    rules = {rule.RULE_WINDOW_TO: HOUR + 1000, rule.RULE_WINDOW_CUTS: 1}
    d = device(connect_ms=2000, rules=ONE_TRY | rules).live_to(Phase.BACKING_OFF)
    assert d.errors == ["window-closed"] and d.fleet.bytes_down[0] == 50


@given(
    seed=SEEDS,
    session=st.integers(1, 5000),
    speeds=st.lists(st.integers(1, 200), min_size=1, max_size=5),
    granule=st.sampled_from([1, 512, 4096, 65_536]),
    resume=st.integers(0, 1),
)
def test_cut_offs_keep_whole_granules_and_never_use_up_the_attempts(
    device, seed, session, speeds, granule, resume
):
    d = device(
        seed=seed,
        phone=1,
        tables={"session_table": f"{session} ms"},
        speeds=speeds,
        rules={rule.RULE_ATTEMPTS: 1, rule.RULE_RESUME: resume, rule.RULE_GRANULE: granule},
    ).live()
    f = d.fleet
    assert d.end in (UPDATED, ("pending", "none"))
    assert f.bytes_down[0] - f.bytes_wasted[0] == f.kept_bytes[0]
    for (_, size), (_, again) in pairwise(d.joins):
        assert again <= size and (SIZE - again) % granule == 0
        assert resume or again == SIZE


EMPTIES = {"cell_uj": 10**6, "replace_below": CERTAIN, "tables": {"replace_table": "2 d"}}


def test_a_battery_that_is_empty_when_all_has_come_loses_nothing_of_it(device):
    d = device(start_uj=15_000, rules=ONE_TRY, **EMPTIES).live()
    assert d.end == UPDATED and d.errors == ["brown-out"]
    assert len(d.joins) == 1 and d.fleet.bytes_wasted[0] == 0
    (there,) = times(d, Phase.BACKING_OFF)
    assert times(d, Phase.INSTALLING) == [there + 2 * DAY_MS + 2000]  # and the boot


def test_a_battery_that_is_empty_before_that_keeps_whole_granules(device):
    rules = {rule.RULE_DROP_BELOW: CERTAIN, rule.RULE_RESUME: 1}
    d = device(start_uj=1, rules=rules, **EMPTIES).live_to(Phase.BACKING_OFF)
    kept = d.fleet.kept_bytes[0]
    assert d.errors == ["brown-out"] and kept % GRANULE == 0 and d.fleet.left_bytes[0] == SIZE - kept
    d = device(start_uj=1, **EMPTIES | {"replace_below": 0}).live()
    assert d.end == ("lost", "battery-empty") and d.fleet.bytes_wasted[0] == d.fleet.bytes_down[0]


@pytest.mark.parametrize("patience, failures", [(0, 0), (60_000, 1)])
def test_a_transfer_that_stalls_in_an_outage_counts_as_a_failure_where_there_is_a_limit(
    device, patience, failures
):
    d = device(
        speeds=(1,),
        outages_to=1,
        outage_from_ms=HOUR - 1,
        outage_to_ms=HOUR + 90_000,
        rules={rule.RULE_STALL: patience},
    ).live()
    assert d.errors == ["download-failed"] * failures and d.end == UPDATED
    assert d.fleet.attempts[0] == 1 + failures
    assert times(d, Phase.BACKING_OFF) == [HOUR + 60_000] * failures


HEARD = {"multicast_ms": 6 * HOUR}


def test_what_is_heard_in_consecutive_multicast_sessions_adds_up(device):
    d = device(hears=[(60_000, 0), (70_000, 1)], **HEARD).live()
    assert d.end == UPDATED
    assert times(d, Phase.DOWNLOADING) == [HOUR, 7 * HOUR + 1]  # waits for the sessions at 6 and 12
    assert times(d, Phase.INSTALLING) == [13 * HOUR]
    f = d.fleet
    assert (f.bytes_down[0], f.bytes_wasted[0], f.kept_bytes[0]) == (130_000, 30_000, SIZE)
    assert f.radio_uj[0] == 2 * 11


def test_who_misses_a_multicast_session_starts_again(device):
    absent = {"online_table": "10 h", "offline_table": "5 h"}  # away at 12
    d = device(hears=[(60_000, 0), (120_000, 1)], tables=absent, **HEARD).live()
    assert d.end == UPDATED and times(d, Phase.INSTALLING) == [19 * HOUR]
    assert (d.fleet.session_first[0], d.fleet.sessions[0]) == (3, 1)
    assert d.fleet.bytes_wasted[0] == 60_000 + 20_000


def test_who_hears_too_little_in_every_session_gives_up_and_has_wasted_it(device):
    d = device(hears=[(60_000, 0)] * 3, **HEARD).live()
    assert d.end == ("failed", "fragments-missing")
    assert d.fleet.bytes_wasted[0] == d.fleet.bytes_down[0] == 180_000


WAITS = st.integers(0, 30 * DAY_MS)


def waits(device, seed, least, most, jitter, count=12):
    f = device(
        seed=seed,
        rules={rule.RULE_BACKOFF: least, rule.RULE_BACKOFF_MAX: most, rule.RULE_JITTER: jitter},
    ).fleet
    found = []
    for failures in range(1, count + 1):
        f.attempts[0] += 1
        found.append(back_off(f, 0, failures))
    return found


def plain(least, most, count=12):
    return [min(least * 2**n, most) for n in range(count)]


@given(SEEDS, WAITS, WAITS)
def test_without_jitter_waits_double_up_to_the_cap(device, seed, least, most):
    assert waits(device, seed, least, most, rule.JITTER_NONE) == plain(least, most)


@given(SEEDS, WAITS, WAITS)
def test_full_jitter_waits_anything_up_to_the_plain_wait(device, seed, least, most):
    found = waits(device, seed, least, most, rule.JITTER_FULL)
    assert all(0 <= w <= p for w, p in zip(found, plain(least, most), strict=True))


@given(SEEDS, WAITS, WAITS)
def test_equal_jitter_waits_half_of_the_plain_wait_for_sure(device, seed, least, most):
    found = waits(device, seed, least, most, rule.JITTER_EQUAL)
    assert all(p // 2 <= w <= p for w, p in zip(found, plain(least, most), strict=True))


@given(SEEDS, WAITS, WAITS)
def test_decorrelated_jitter_waits_from_the_least_to_three_times_the_wait_before(device, seed, least, most):
    before = least
    for wait in waits(device, seed, least, most, rule.JITTER_DECORRELATED):
        assert min(least, most) <= wait <= min(most, 3 * max(before, least))
        before = wait


@pytest.mark.parametrize("jitter", [rule.JITTER_FULL, rule.JITTER_EQUAL, rule.JITTER_DECORRELATED])
def test_jitter_spreads_devices_over_its_span(device, jitter):
    hour = [waits(device, seed, HOUR, 10 * HOUR, jitter, count=1)[0] for seed in range(400)]
    low = {rule.JITTER_FULL: 0, rule.JITTER_EQUAL: HOUR // 2, rule.JITTER_DECORRELATED: HOUR}[jitter]
    high = {rule.JITTER_FULL: HOUR, rule.JITTER_EQUAL: HOUR, rule.JITTER_DECORRELATED: 3 * HOUR}[jitter]
    assert low <= min(hour) < low + (high - low) // 20
    assert high - (high - low) // 20 < max(hour) <= high
    assert sum(hour) / len(hour) == pytest.approx((low + high) / 2, rel=0.1)
    assert high < LONGEST_SPAN
