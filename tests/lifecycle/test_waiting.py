"""When a device is there: check-ins, absences, the phone, and the install window."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.draws import CERTAIN, Purpose, device_key, draw32, sampled, threshold
from simlib.lifecycle import columns as rule
from simlib.lifecycle.columns import NEVER
from simlib.lifecycle.waiting import (
    DAY_MS,
    HOUR_MS,
    next_absence,
    next_checkin,
    notify,
    online,
    reachable,
    window_closes,
    window_opens,
)

HORIZON = 30 * DAY_MS
SEEDS = st.integers(0, 2**32)
ABSENT = {"online_table": "exponential(2 d)", "offline_table": "exponential(1 d)"}


def checkins(fleet, count=1000, start=0):
    """Check-ins of the device from `start` on, one after the other."""
    times = []
    when = next_checkin(fleet, 0, start)
    while when < NEVER and len(times) < count:
        times.append(when)
        when = next_checkin(fleet, 0, when + 1)
    return times


def absences(fleet, seed):
    """All absences up to the horizon, straight from the draws."""
    key, back, found = device_key(seed, 0), 0, []
    for number in range(200):
        table, other = fleet.online_table[0], fleet.offline_table[0]
        leaves = back + sampled(fleet.quantiles, table, draw32(key, Purpose.ONLINE, number))
        away = sampled(fleet.quantiles, other, draw32(key, Purpose.OFFLINE, number))
        back = leaves + max(away, 1)
        found.append((leaves, back))
    return found


@given(SEEDS, st.integers(0, 20 * DAY_MS), st.integers(CERTAIN // 10, CERTAIN))
def test_the_next_check_in_is_the_first_scheduled_one_that_takes_place(device, seed, earliest, presence):
    f = device(seed=seed, wake_below=presence).fleet
    when = next_checkin(f, 0, earliest)
    assert when == NEVER or (when >= earliest and (when - HOUR_MS) % DAY_MS == 0)
    if when < NEVER:
        # Asking again from just after any earlier moment in between gives the same answer.
        assert next_checkin(f, 0, (earliest + when) // 2) == when
        assert next_checkin(f, 0, when) == when
        assert next_checkin(f, 0, when + 1) > when


def test_a_device_that_cannot_be_reached_never_checks_in(device):
    assert checkins(device(barred=1).fleet) == []


def test_no_check_in_comes_after_the_horizon(device):
    assert len(checkins(device().fleet)) == 30


@given(SEEDS, st.integers(-12, 14), st.integers(0, 6), st.integers(0, 167))
def test_a_device_that_is_there_in_one_hour_of_its_week_checks_in_only_in_that_hour_of_local_time(
    device, seed, zone, weekday, hour
):
    week = [0] * 168
    week[hour] = CERTAIN
    # The share of Monday's first hour is nothing, and yet there are check-ins.
    f = device(
        seed=seed,
        by_week=1,
        wake_below=week[0],
        week_below=week,
        wake_period_ms=HOUR_MS,
        wake_phase_ms=HOUR_MS // 2,
        zone_ms=zone * HOUR_MS,
        rules={rule.RULE_WEEKDAY_MS: weekday * DAY_MS},
    ).fleet
    times = checkins(f)
    assert len(times) in (4, 5)
    for when in times:
        local_ms = weekday * DAY_MS + when + zone * HOUR_MS  # since the Monday before
        assert local_ms // HOUR_MS % 168 == hour


def test_gaps_have_the_mean_they_are_given_and_no_memory(device):
    gaps, late = [], []
    for seed in range(40):
        f = device(seed=seed, tables={"gap_table": "exponential(6 h)"}).fleet
        times = checkins(f)
        gaps += [b - a for a, b in zip([0, *times], times, strict=False)]
        # How long it is from any noon to the next check-in.
        noons = range(DAY_MS // 2, 29 * DAY_MS, DAY_MS)
        late += [min(t for t in times if t >= noon) - noon for noon in noons if times[-1] >= noon]
    for waits in (gaps, late):
        assert sum(waits) / len(waits) == pytest.approx(6 * HOUR_MS, rel=0.1)
        assert sum(w > 6 * HOUR_MS for w in waits) / len(waits) == pytest.approx(0.368, abs=0.04)


@given(SEEDS, st.lists(st.integers(0, HORIZON), min_size=1, max_size=12), st.booleans())
def test_a_check_in_does_not_depend_on_what_was_asked_before(device, seed, questions, notified):
    tables = {"gap_table": "lognormal(8 h, 1.2)", "reaction_table": "exponential(3 d)", **ABSENT}
    notes = {"notifiable": 1, "notified_below": CERTAIN} if notified else {}

    def fresh():
        f = device(seed=seed, tables=tables, wake_below=CERTAIN // 2, phone=1, **notes).fleet
        notify(f, 0, 0)
        return f

    asked_in_turn = fresh()
    for earliest in questions:
        alone = fresh()
        when = next_checkin(asked_in_turn, 0, earliest)
        assert when == next_checkin(alone, 0, earliest)
        if when < NEVER:
            assert asked_in_turn.look[0] == alone.look[0]


@given(SEEDS, st.lists(st.integers(0, HORIZON), min_size=1, max_size=12), st.integers(0, 20 * DAY_MS))
def test_absences_are_those_of_the_draws_in_whatever_order_one_asks(device, seed, times, dormant):
    f = device(seed=seed, tables=ABSENT, away_to_ms=dormant).fleet
    found = [(0, dormant), *[(a + dormant, b + dormant) for a, b in absences(f, seed)]]
    for time_ms in times:
        inside = [back for leaves, back in found if leaves <= time_ms < back]
        assert online(f, 0, time_ms) == (inside[0] if inside else time_ms)
        if not inside:
            assert next_absence(f, 0, time_ms) == min(a for a, _ in found if a > time_ms)


@given(SEEDS)
def test_nobody_checks_in_during_an_absence(device, seed):
    f = device(seed=seed, tables={"gap_table": "exponential(2 h)", **ABSENT}).fleet
    times = checkins(f)
    found = absences(f, seed)
    assert not [t for t in times for leaves, back in found if leaves <= t < back]


@given(SEEDS)
def test_absences_only_take_check_ins_away(device, seed):
    there = checkins(device(seed=seed).fleet)
    f = device(seed=seed, tables=ABSENT).fleet
    found = absences(f, seed)
    assert checkins(f) == [t for t in there if not any(a <= t < b for a, b in found)]


def test_a_dormant_device_wakes_once_and_stays(device):
    f = device(away_from_ms=0, away_to_ms=10 * DAY_MS).fleet
    assert checkins(f)[0] == 10 * DAY_MS + HOUR_MS
    assert next_absence(f, 0, 11 * DAY_MS) == NEVER


def test_a_notification_opens_the_app_after_the_reaction_time(device):
    f = device(notifiable=1, notified_below=CERTAIN, tables={"reaction_table": "40 min"}).fleet
    notify(f, 0, 2 * HOUR_MS)
    assert next_checkin(f, 0, 2 * HOUR_MS) == 2 * HOUR_MS + 1 + 40 * 60_000
    assert f.foreground[0] == 1
    assert next_checkin(f, 0, 3 * HOUR_MS) == DAY_MS + HOUR_MS  # it is over


def test_a_notification_changes_nothing_without_permission_or_if_nobody_cares(device):
    for columns in ({"notifiable": 0, "notified_below": CERTAIN}, {"notifiable": 1, "notified_below": 0}):
        f = device(**columns, tables={"reaction_table": "40 min"}).fleet
        notify(f, 0, 2 * HOUR_MS)
        assert next_checkin(f, 0, 2 * HOUR_MS) == DAY_MS + HOUR_MS


def test_a_notification_of_a_later_round_has_a_reaction_of_its_own(device):
    f = device(notifiable=1, notified_below=CERTAIN, tables={"reaction_table": "exponential(1 d)"}).fleet
    notify(f, 0, 0)
    first = f.notified_ms[0]
    f.offered_ms[0] = 0
    notify(f, 0, 0)
    assert f.notified_ms[0] != first


@given(SEEDS, st.integers(CERTAIN // 10, CERTAIN))
def test_without_background_permission_the_phone_is_there_only_with_the_app_open(device, seed, share):
    permitted = device(seed=seed, phone=1, background=1, foreground_below=share).fleet
    refused = device(seed=seed, phone=1, background=0, foreground_below=share).fleet
    opened = []
    for when in checkins(permitted):
        next_checkin(permitted, 0, when)
        if permitted.foreground[0]:
            opened.append(when)
    assert checkins(refused) == opened
    assert len(checkins(permitted)) == 30


def test_a_phone_that_is_low_puts_the_work_off(device):
    low = threshold(Fraction(1, 2))
    f = device(phone=1, phone_low_below=low).fleet
    key = f.key[0]
    awake = [n for n in range(30) if draw32(key, Purpose.PHONE_BATTERY, n) >= low]
    assert checkins(f) == [HOUR_MS + n * DAY_MS for n in awake]


def test_a_session_in_the_foreground_lasts_as_drawn_and_then_as_the_system_grants(device):
    tables = {"session_table": "3 min"}
    f = device(phone=1, background=1, background_ms=30_000, tables=tables).fleet
    when = next_checkin(f, 0, 0)
    assert f.session_until_ms[0] == when + 180_000 + 30_000
    f = device(phone=1, background=0, background_ms=30_000, tables=tables).fleet
    assert f.session_until_ms[0] == 0 and next_checkin(f, 0, 0) == when
    assert f.session_until_ms[0] == when + 180_000
    f = device(phone=1, background=1, background_ms=30_000, foreground_below=0, tables=tables).fleet
    assert next_checkin(f, 0, 0) == when and f.session_until_ms[0] == when + 30_000
    f = device(phone=1).fleet
    assert next_checkin(f, 0, 0) == when and f.session_until_ms[0] == NEVER


def test_a_device_goes_on_while_its_session_lasts_and_then_at_the_next_check_in(device):
    f = device(phone=1, tables={"session_table": "3 min"}).fleet
    when = next_checkin(f, 0, 0)
    assert reachable(f, 0, when + 179_999) == when + 179_999
    assert reachable(f, 0, when + 180_000) == when + DAY_MS


def inside(t, start, finish):
    t %= DAY_MS
    if start == finish:
        return True
    return start <= t < finish if start < finish else t >= start or t < finish


WINDOW = st.tuples(st.integers(0, DAY_MS - 1), st.integers(0, DAY_MS - 1))


@given(st.integers(0, 5 * DAY_MS), WINDOW, st.integers(-14 * HOUR_MS, 14 * HOUR_MS), st.integers(0, 1))
def test_a_window_opens_inside_itself_and_as_soon_as_it_can(device, now, window, zone, local):
    start, finish = window
    rules = {
        rule.RULE_WINDOW_FROM: start,
        rule.RULE_WINDOW_TO: finish,
        rule.RULE_WINDOW_LOCAL: local,
    }
    f = device(zone_ms=zone, rules=rules).fleet
    opens = window_opens(f, 0, now)
    shift = zone if local else 0
    assert inside(opens + shift, start, finish) and now <= opens < now + DAY_MS
    assert opens == now or not inside(now + shift, start, finish)
    assert opens == now or (opens + shift) % DAY_MS == start
    closes = window_closes(f, 0, opens)
    if start == finish:
        assert closes == NEVER
    else:
        assert opens < closes <= opens + DAY_MS
        assert inside(closes - 1 + shift, start, finish) and not inside(closes + shift, start, finish)


def test_a_window_of_a_whole_day_is_always_open(device):
    f = device(rules={rule.RULE_WINDOW_FROM: 0, rule.RULE_WINDOW_TO: DAY_MS}).fleet
    assert window_opens(f, 0, 5 * HOUR_MS) == 5 * HOUR_MS
    assert window_closes(f, 0, 5 * HOUR_MS) == NEVER
