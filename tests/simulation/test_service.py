"""The service counts messages once, enforces the deadline, and asks the policy at the right ticks only."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.lifecycle.codes import (
    SIGNAL_FAILED,
    SIGNAL_OFFERED,
    SIGNAL_SKIPPED,
    SIGNAL_STARTED,
    SIGNAL_SUCCEEDED,
    SIGNAL_TWICE,
)
from simlib.lifecycle.columns import NEVER
from simlib.rollout.policy import Action, Counter, Decision, Message, Policy, Told, Verb, View, Wake
from simlib.simulation.room import IN_QUESTION, LET_IN, TURNED_AWAY, knock, listens, permit, unpark
from simlib.simulation.service import Service
from simlib.simulation.tally import (
    AT_ALLOWED,
    AT_AWAITED,
    ERRORS,
    FAILED,
    JUDGED,
    RATE_HIGH,
    RATE_LOW,
    RATE_SAME,
    SILENT,
    count,
    counted,
    counted_errors,
    counted_judged,
    give_up_on,
    next_deadline,
    rate_changed,
    receive,
    tally_of,
)


class Agenda:
    """A clock's `after`, worked off by hand in order of time, rank and request."""

    def __init__(self):
        self.calls = []
        self.now = 0

    def after(self, time_ms, rank, function):
        assert time_ms >= self.now
        self.calls.append((time_ms, rank, len(self.calls), function))

    def run_to(self, time_ms):
        while due := [c for c in self.calls if c[0] <= time_ms]:
            call = min(due, key=lambda c: c[:3])
            self.calls.remove(call)
            self.now = call[0]
            call[3](call[0])
        self.now = time_ms


class Script(Policy):
    """A policy that notes when it is asked and always wants the same wake."""

    def __init__(self, wake, deadline_ms=0):
        self.interval_ms = 100
        self.deadline_ms = deadline_ms
        self.asked: list[View] = []
        self._wake = wake

    def decide(self, view):
        self.asked.append(view)
        return Decision((Action(Verb.OPEN, 0),) if len(self.asked) == 1 else (), self._wake)


def counters(group=(0,) * 10, deadline_ms=0, rate=Fraction(1), min_sample=1):
    """A tally of devices in these groups, on lists."""
    return tally_of(list(group), max(group) + 1, deadline_ms, rate, min_sample, lambda rows: [0] * rows)


def service(policy, group=(0,) * 10):
    agenda, actions = Agenda(), []
    sizes = [list(group).count(number) for number in range(max(group) + 1)]
    tally = counters(group, policy.deadline_ms)
    made = Service(policy, sizes, tally, agenda, lambda now, a: actions.append((now, a)), lambda now: None)
    made.start()
    return made, agenda, actions


def test_the_first_question_is_at_time_zero():
    policy = Script(Wake())
    _, agenda, actions = service(policy)
    agenda.run_to(10_000)
    assert [v.now_ms for v in policy.asked] == [0]
    assert [(now, a.verb) for now, a in actions] == [(0, Verb.OPEN)]


def test_a_time_condition_is_answered_at_the_first_tick_at_or_after_it():
    policy = Script(Wake(at_ms=250))
    _, agenda, _ = service(policy)
    agenda.run_to(350)
    assert [v.now_ms for v in policy.asked] == [0, 300]


def test_a_condition_already_true_is_answered_at_the_next_tick():
    policy = Script(Wake(counts=((0, Counter.SUCCEEDED, 0),)))
    _, agenda, _ = service(policy)
    agenda.run_to(350)
    assert [v.now_ms for v in policy.asked] == [0, 100, 200, 300]


def test_a_count_is_answered_at_the_next_tick_and_that_tick_has_seen_its_own_reports():
    policy = Script(Wake(counts=((0, Counter.ERRORS, 2),)))
    made, agenda, _ = service(policy)
    agenda.run_to(150)
    made.receive(150, 0, SIGNAL_FAILED)
    agenda.run_to(200)
    made.receive(200, 1, SIGNAL_FAILED)
    made.receive(200, 2, SIGNAL_FAILED)
    agenda.run_to(200)
    assert [(v.now_ms, v.groups[0].failed) for v in policy.asked] == [(0, 0), (200, 3)]


def test_silence_past_the_deadline_counts_once_and_a_late_report_changes_nothing():
    policy = Script(Wake(counts=((0, Counter.ERRORS, 1),)), deadline_ms=500)
    made, agenda, _ = service(policy)
    made.receive(0, 0, SIGNAL_OFFERED | SIGNAL_STARTED)
    made.receive(0, 1, SIGNAL_OFFERED | SIGNAL_STARTED)
    agenda.run_to(499)
    made.receive(500, 1, SIGNAL_SUCCEEDED)  # in the millisecond of its deadline: still in time
    agenda.run_to(600)
    made.receive(700, 0, SIGNAL_SUCCEEDED)
    made.receive(800, 0, SIGNAL_FAILED)
    assert policy.asked[1].now_ms == 500
    for view in (policy.asked[1], policy.asked[-1]):
        seen = view.groups[0]
        assert (seen.silent, seen.succeeded, seen.failed, seen.judged) == (1, 1, 0, 2)
    assert made.silent() == (1,)


def test_a_device_that_is_skipped_is_settled_but_not_judged():
    policy = Script(Wake(counts=((0, Counter.SETTLED, 1),)))
    made, agenda, _ = service(policy)
    made.receive(50, 3, SIGNAL_OFFERED | SIGNAL_SKIPPED)
    agenda.run_to(100)
    seen = policy.asked[-1].groups[0]
    assert (seen.offered, seen.skipped, seen.judged) == (1, 1, 0)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3000), st.integers(0, 9), st.sampled_from([SIGNAL_SUCCEEDED, SIGNAL_FAILED])
        ),
        max_size=30,
    ),
    st.integers(1, 400),
    st.integers(1, 6),
)
def test_skipping_ticks_shows_the_policy_what_asking_at_every_tick_would(messages, interval, least):
    class Dense(Script):
        """Asks for every tick; notes the first at which the count is met."""

        def decide(self, view):
            super().decide(view)
            return Decision((), Wake(at_ms=view.now_ms + 1))

    def first_met(policy):
        policy.interval_ms = interval
        made, agenda, _ = service(policy)
        for now, device, signal in sorted(messages):
            agenda.run_to(now - 1) if now else None
            made.receive(now, device, signal)
        agenda.run_to(5000)
        met = [v for v in policy.asked if v.groups[0].errors >= least]
        return met[0] if met else None

    assert first_met(Script(Wake(counts=((0, Counter.ERRORS, least),)))) == first_met(Dense(Wake()))


def test_a_group_was_last_heard_of_at_its_last_message_of_whatever_kind():
    made, _, _ = service(Script(Wake()), group=(0, 1, 1))
    assert [made.last_report_ms(group) for group in (0, 1)] == [-1, -1]
    made.receive(40, 1, SIGNAL_OFFERED)
    made.receive(70, 2, SIGNAL_STARTED)
    assert [made.last_report_ms(group) for group in (0, 1)] == [-1, 70]


def test_groups_are_counted_apart_and_what_comes_twice_once():
    made, _, _ = service(Script(Wake()), group=(0, 1, 1, 1))
    for device in range(4):
        made.receive(10, device, SIGNAL_OFFERED | SIGNAL_STARTED)
        made.receive(15, device, SIGNAL_OFFERED)  # a second round
    made.receive(20, 0, SIGNAL_SUCCEEDED | SIGNAL_TWICE)
    made.receive(20, 1, SIGNAL_FAILED)
    made.receive(21, 1, SIGNAL_SUCCEEDED)  # a further verdict
    made.receive(22, 2, SIGNAL_SKIPPED)
    first, second = made.view(0), made.view(1)
    assert (first.size, first.offered, first.started, first.succeeded, first.judged) == (1, 1, 1, 1, 1)
    assert (second.size, second.offered, second.started, second.failed, second.skipped) == (3, 3, 3, 1, 1)
    assert (second.succeeded, second.errors, second.judged) == (0, 1, 1)
    assert (made.duplicates, made.further_verdicts) == (1, 1)


def test_a_vanished_device_is_an_error_and_no_second_verdict():
    policy = Script(Wake(counts=((1, Counter.ERRORS, 1),)))
    made, agenda, _ = service(policy, group=(0, 1))
    made.receive(10, 1, SIGNAL_SUCCEEDED)
    agenda.run_to(300)
    assert len(policy.asked) == 1
    made.vanish(310, 1)
    agenda.run_to(400)
    seen = policy.asked[-1].groups[1]
    assert (policy.asked[-1].now_ms, seen.vanished, seen.errors, seen.judged) == (400, 1, 1, 1)


def test_deadlines_fall_due_in_the_order_of_starts_and_spare_who_has_a_verdict():
    tally = counters((0, 1, 0), deadline_ms=100)
    assert next_deadline(tally) == NEVER
    for now, device in ((5, 2), (5, 0), (9, 1)):
        receive(tally, now, device, SIGNAL_STARTED)
    receive(tally, 50, 0, SIGNAL_FAILED)
    due = []
    while (deadline := next_deadline(tally)) < NEVER:
        due.append(deadline)
        give_up_on(tally)
    assert due == [105, 105, 109]
    assert [counted(tally, SILENT, group) for group in (0, 1)] == [1, 1]
    assert [counted(tally, FAILED, group) for group in (0, 1)] == [1, 0]
    assert [counted(tally, ERRORS, group) for group in (0, 1)] == [2, 1]


def test_without_a_deadline_nobody_is_awaited():
    for deadline_ms in (0, -5):
        tally = counters(deadline_ms=deadline_ms)
        receive(tally, 5, 0, SIGNAL_STARTED)
        assert next_deadline(tally) == NEVER and len(tally.expected) == 0


def verdicts(tally, text, device=0):
    """What `rate_changed` says after the verdict of each device: "+" a success, "-" a failure."""
    said = []
    for at, sign in enumerate(text, device):
        receive(tally, at, at, SIGNAL_SUCCEEDED if sign == "+" else SIGNAL_FAILED)
        said.append(rate_changed(tally, at))
    return said


def test_a_failure_rate_is_told_once_and_again_only_after_it_ceased():
    tally = counters((0,) * 20, rate=Fraction(1, 4), min_sample=3)
    same, high, low = RATE_SAME, RATE_HIGH, RATE_LOW
    # Errors of judged: 0/1 0/2 1/3 2/4 2/5 2/6 2/7 2/8 (not above a quarter) 3/9 3/10 3/11 3/12 4/13
    found = verdicts(tally, "++--++++-+++-")
    assert found == [same, same, high, same, same, same, same, low, high, same, same, low, high]
    assert tally.alarmed == [1]
    assert (counted_errors(tally, 0), counted_judged(tally, 0)) == (4, 13)


def test_a_failure_rate_is_not_told_before_its_sample_is_judged():
    assert verdicts(counters(rate=Fraction(0), min_sample=4), "---") == [RATE_SAME] * 3
    assert verdicts(counters(rate=Fraction(0), min_sample=4), "----") == [RATE_SAME] * 3 + [RATE_HIGH]
    assert verdicts(counters(rate=Fraction(0), min_sample=0), "-") == [RATE_HIGH]


@pytest.mark.parametrize("rate", [Fraction(1), Fraction(7, 2)])
def test_a_rate_that_nothing_is_above_means_no_alert(rate):
    tally = counters(rate=rate)
    for _ in range(30):
        count(tally, ERRORS, 0)  # vanished devices are errors, and not judged again
    assert verdicts(tally, "-----") == [RATE_SAME] * 5


def test_each_group_has_a_rate_of_its_own():
    tally = counters((0, 0, 1, 1), rate=Fraction(1, 2), min_sample=2)
    assert verdicts(tally, "++--") == [RATE_SAME, RATE_SAME, RATE_SAME, RATE_HIGH]
    assert tally.alarmed == [0, 1]


def test_silent_and_vanished_devices_count_in_the_rate_that_the_next_verdict_tells():
    tally = counters((0,) * 6, deadline_ms=10, rate=Fraction(1, 2), min_sample=1)
    for device in range(3):
        receive(tally, 0, device, SIGNAL_STARTED)
    for _ in range(3):
        give_up_on(tally)
    assert (counted(tally, ERRORS, 0), counted(tally, JUDGED, 0)) == (3, 3)
    assert verdicts(tally, "+", device=3) == [RATE_HIGH]


@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.sampled_from([SIGNAL_SUCCEEDED, SIGNAL_FAILED, SIGNAL_SKIPPED])),
        max_size=40,
    ),
    st.fractions(0, 1, max_denominator=7),
    st.integers(0, 5),
)
def test_told_changes_are_those_of_the_rate_itself(messages, rate, least):
    # Also on the arrays of a compiled run.
    group = np.array([0, 0, 0, 1, 1, 1, 1, 1], dtype=np.int16)
    tally = tally_of(group, 2, 0, rate, least, lambda rows: np.zeros(max(rows, 1), dtype=np.int64))
    verdict, above = {}, {0: False, 1: False}
    for device, signal in messages:
        receive(tally, 0, device, signal)
        verdict.setdefault(device, signal)
        said = rate_changed(tally, device)
        of = int(group[device])
        judged = [v for d, v in verdict.items() if group[d] == of and v != SIGNAL_SKIPPED]
        errors = judged.count(SIGNAL_FAILED)
        now = rate < 1 and len(judged) >= least and errors > rate * len(judged)
        assert said == (RATE_SAME if now == above[of] else RATE_HIGH if now else RATE_LOW)
        above[of] = now


def waiting_room(devices=6, groups=2):
    """A tally of devices that all knock, on lists."""
    return tally_of([groups - 1] * devices, groups, 0, Fraction(1), 1, lambda rows: [0] * rows, pulls=True)


def test_a_permit_lets_in_who_knocks_first_and_the_first_group_with_room_takes_them():
    tally = waiting_room()
    permit(tally, 0, 2)
    permit(tally, 1, 1)
    came = ((5, 3), (6, 0), (6, 4), (7, 5))
    assert [knock(tally, now, i, 0) for now, i in came] == [LET_IN, LET_IN, LET_IN, TURNED_AWAY]
    assert tally.group == [0, 1, 1, 0, 1, 1]
    assert tally.released_ms == [6, -1, -1, 5, 6, -1]
    assert unpark(tally) == [5] and unpark(tally) == []


def test_who_was_let_in_is_not_counted_again_when_it_comes_back():
    tally = waiting_room()
    permit(tally, 0, 1)
    assert knock(tally, 5, 3, 0) == knock(tally, 9, 3, 0) == LET_IN
    assert tally.released_ms[3] == 5 and tally.state[AT_ALLOWED] == 0


def test_a_permit_can_be_taken_back_down_to_none():
    tally = waiting_room()
    permit(tally, 0, 3)
    permit(tally, 0, -5)
    assert tally.state[AT_ALLOWED] == 0 and knock(tally, 1, 1, 0) == TURNED_AWAY


def test_a_knock_without_a_permit_is_in_question_only_for_a_policy_that_wants_to_be_asked():
    tally = waiting_room()
    assert knock(tally, 1, 1, 0) == TURNED_AWAY and not listens(tally)
    tally.state[AT_AWAITED] = 1
    assert listens(tally)
    assert knock(tally, 2, 2, 0) == IN_QUESTION and unpark(tally) == [1]
    assert knock(tally, 2, 2, 1) == TURNED_AWAY and unpark(tally) == [2]


def test_a_policy_asked_about_a_knock_is_asked_at_its_tick_all_the_same():
    policy = Script(Wake(at_ms=200))
    made, agenda, _ = service(policy)
    agenda.run_to(150)
    agenda.now = 200
    made.knock(200)
    agenda.run_to(200)
    assert [(view.now_ms, view.knocked) for view in policy.asked] == [(0, False), (200, True), (200, False)]


def test_what_a_policy_asks_for_at_a_knock_replaces_all_it_asked_for_before():
    class Later(Script):
        def decide(self, view):
            self._wake = Wake(at_ms=700 if view.knocked else 300)
            return super().decide(view)

    policy = Later(None)
    made, agenda, _ = service(policy)
    agenda.run_to(150)
    made.knock(150)
    agenda.run_to(750)
    assert [(view.now_ms, view.knocked) for view in policy.asked] == [(0, False), (150, True), (700, False)]


def test_a_policy_that_wants_news_reads_each_message_once_in_their_order():
    class Reader(Script):
        wants_news = True

    policy, agenda = Reader(Wake(at_ms=0)), Agenda()
    tally = tally_of([0] * 3, 1, 0, Fraction(1), 1, lambda rows: [0] * rows, news_room=1)
    made = Service(policy, [3], tally, agenda, lambda now, a: None, lambda now: None)
    made.start()
    made.receive(10, 2, SIGNAL_OFFERED | SIGNAL_STARTED)
    made.receive(10, 1, SIGNAL_OFFERED)
    made.receive(20, 2, SIGNAL_FAILED | SIGNAL_TWICE)
    agenda.run_to(200)
    first = [Message(10, 2, Told.OFFERED | Told.STARTED), Message(10, 1, Told.OFFERED)]
    assert [list(view.news) for view in policy.asked] == [[], [*first, Message(20, 2, Told.FAILED)], []]
