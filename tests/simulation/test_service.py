"""The service counts messages once, enforces the deadline, and asks the policy at the right ticks only."""

from hypothesis import given
from hypothesis import strategies as st

from simlib.lifecycle.codes import (
    SIGNAL_FAILED,
    SIGNAL_OFFERED,
    SIGNAL_SKIPPED,
    SIGNAL_STARTED,
    SIGNAL_SUCCEEDED,
)
from simlib.rollout.policy import Action, Counter, Decision, Verb, View, Wake
from simlib.simulation.service import Service


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


class Script:
    """A policy that notes when it is asked and always wants the same wake."""

    def __init__(self, wake, deadline_ms=0):
        self.deadline_ms = deadline_ms
        self.asked: list[View] = []
        self._wake = wake

    def decide(self, view):
        self.asked.append(view)
        return Decision((Action(Verb.OPEN, 0),) if len(self.asked) == 1 else (), self._wake)


def service(policy, devices=10, interval_ms=100):
    agenda, actions = Agenda(), []
    made = Service(
        policy, [devices], [0] * devices, interval_ms, agenda, lambda now, a: actions.append((now, a))
    )
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
        made, agenda, _ = service(policy, interval_ms=interval)
        for now, device, signal in sorted(messages):
            agenda.run_to(now - 1) if now else None
            made.receive(now, device, signal)
        agenda.run_to(5000)
        met = [v for v in policy.asked if v.groups[0].errors >= least]
        return met[0] if met else None

    assert first_met(Script(Wake(counts=((0, Counter.ERRORS, least),)))) == first_met(Dense(Wake()))
