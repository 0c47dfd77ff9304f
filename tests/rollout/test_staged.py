"""The staged policy halts, waits and goes on as its rules say, and asks to be woken in time."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from simlib.rollout.gates import gate_of
from simlib.rollout.policy import Counter, GroupView, Verb, View
from simlib.rollout.staged import Staged, errors_to_wake_at, successes_to_pass
from simlib.scenario.model import GroupSpec

GATE = GroupSpec(Fraction(1, 2), Fraction(1, 2), Fraction(1, 10), 20, 1000)
EMPTY = GroupView(100, 0, 0, 0, 0, 0, 0)


def policy(*gates: GroupSpec) -> Staged:
    return Staged(gates, interval_ms=2000, deadline_ms=10_000)


def view(now: int, *groups: GroupView) -> View:
    return View(now, groups)


def verbs(decision):
    return [(a.verb, a.group) for a in decision.actions]


def test_the_first_group_opens_at_once_and_the_second_waits():
    p = policy(GATE, GATE)
    assert verbs(p.decide(view(0, EMPTY, EMPTY))) == [(Verb.OPEN, 0)]
    assert verbs(p.decide(view(2000, replace(EMPTY, succeeded=49), EMPTY))) == []


def test_the_next_group_opens_one_soak_after_the_success_threshold():
    p = policy(GATE, GATE)
    p.decide(view(0, EMPTY, EMPTY))
    passed = replace(EMPTY, succeeded=50)
    decision = p.decide(view(2000, passed, EMPTY))
    assert verbs(decision) == [] and decision.wake.at_ms == 3000
    assert verbs(p.decide(view(2999, passed, EMPTY))) == []
    assert verbs(p.decide(view(3000, passed, EMPTY))) == [(Verb.OPEN, 1)]


def test_exactly_the_error_threshold_does_not_halt_and_one_more_does():
    p = policy(GATE)
    p.decide(view(0, EMPTY))
    assert verbs(p.decide(view(1, replace(EMPTY, succeeded=90, failed=10)))) == []
    assert verbs(p.decide(view(2, replace(EMPTY, succeeded=89, failed=11)))) == [(Verb.CANCEL, 0)]


def test_too_small_a_sample_does_not_halt():
    p = policy(GATE)
    p.decide(view(0, EMPTY))
    assert verbs(p.decide(view(1, replace(EMPTY, silent=19)))) == []
    assert verbs(p.decide(view(2, replace(EMPTY, silent=20)))) == [(Verb.CANCEL, 0)]


def test_silence_counts_as_failure():
    assert gate_of(GATE).halts(replace(EMPTY, succeeded=80, silent=20))
    assert not gate_of(GATE).halts(replace(EMPTY, succeeded=80, skipped=20))


def test_late_errors_in_an_earlier_group_halt_the_later_one():
    p = policy(replace(GATE, soak_ms=0), GATE)
    p.decide(view(0, EMPTY, EMPTY))
    assert verbs(p.decide(view(1, replace(EMPTY, succeeded=50), EMPTY))) == [(Verb.OPEN, 1)]
    assert verbs(p.decide(view(2, replace(EMPTY, succeeded=50, failed=11), EMPTY))) == [(Verb.CANCEL, 0)]


def test_a_group_with_nobody_left_to_judge_has_passed():
    p = policy(replace(GATE, soak_ms=0), GATE)
    p.decide(view(0, EMPTY, EMPTY))
    assert verbs(p.decide(view(1, replace(EMPTY, skipped=100), EMPTY))) == [(Verb.OPEN, 1)]


def test_after_a_halt_nothing_is_decided_any_more():
    p = policy(GATE, GATE)
    p.decide(view(0, EMPTY, EMPTY))
    p.decide(view(1, replace(EMPTY, failed=50), EMPTY))
    decision = p.decide(view(2, replace(EMPTY, succeeded=1000), EMPTY))
    assert decision.actions == () and decision.wake.at_ms is None and decision.wake.counts == ()


def test_no_gate_asks_for_no_count_of_errors():
    p = policy(replace(GATE, error_threshold=Fraction(1)))
    assert all(c is not Counter.ERRORS for _, c, _ in p.decide(view(0, EMPTY)).wake.counts)


MOVES = ("succeeded", "failed", "silent", "skipped", "vanished")


@given(
    st.sampled_from(["threshold", "wilson", "sprt", "mixture", "none"]),
    st.fractions(0, Fraction(1, 2), max_denominator=50),
    st.integers(0, 30),
    st.lists(st.sampled_from(MOVES), max_size=120),
)
def test_a_policy_asked_only_at_its_wakes_halts_where_one_asked_always_does(name, error, sample, messages):
    gate = replace(GATE, gate=name, error_threshold=error, min_sample=sample, gate_bad=Fraction(3, 5))

    def halts_at(skip: bool) -> int | None:
        p, seen = policy(gate), replace(EMPTY, size=200)
        wake = p.decide(view(0, seen)).wake
        for now, message in enumerate(messages, 1):
            if message == "vanished" and seen.vanished == seen.succeeded:
                continue
            seen = replace(seen, **{message: getattr(seen, message) + 1})
            counts = {
                Counter.SUCCEEDED: seen.succeeded,
                Counter.ERRORS: seen.errors,
                Counter.JUDGED: seen.judged,
                Counter.SETTLED: seen.settled,
            }
            due = (wake.at_ms is not None and now >= wake.at_ms) or any(
                counts[c] >= n for _, c, n in wake.counts
            )
            if skip and not due:
                continue
            decision = p.decide(view(now, seen))
            wake = decision.wake
            if any(a.verb is Verb.CANCEL for a in decision.actions):
                return now
        return None

    assert halts_at(skip=True) == halts_at(skip=False)


@given(st.fractions(0, Fraction(99, 100), max_denominator=100), st.integers(0, 500), st.integers(0, 40))
def test_the_errors_to_wake_at_are_the_least_that_could_halt(error, succeeded, failed):
    gate = gate_of(replace(GATE, error_threshold=error, min_sample=1))
    seen = replace(EMPTY, succeeded=succeeded, failed=failed)
    if gate.halts(seen):
        return
    more = errors_to_wake_at(gate, seen) - seen.errors
    assert gate.halts(replace(seen, failed=failed + max(more - succeeded, 0), vanished=min(more, succeeded)))
    for fewer in range(more):
        for vanished in range(min(fewer, succeeded) + 1):
            assert not gate.halts(replace(seen, failed=failed + fewer - vanished, vanished=vanished))


def test_a_lifted_halt_passes_its_group_and_the_rollout_goes_on():
    p = policy(GATE, GATE)
    p.decide(view(0, EMPTY, EMPTY))
    bad = replace(EMPTY, failed=50)
    assert verbs(p.decide(view(1, bad, EMPTY))) == [(Verb.CANCEL, 0)]
    assert verbs(p.resume(view(5, bad, EMPTY))) == [(Verb.OPEN, 1)]
    worse = replace(EMPTY, failed=100)
    assert verbs(p.decide(view(6, worse, EMPTY))) == []
    assert verbs(p.decide(view(7, worse, bad))) == [(Verb.CANCEL, 1)]
    assert verbs(p.resume(view(8, worse, bad))) == [(Verb.FINISH, 1)]


def test_lifting_the_halt_of_an_older_group_lets_the_newest_one_go_on_where_it_was():
    p = policy(replace(GATE, soak_ms=0), replace(GATE, soak_ms=100))
    p.decide(view(0, EMPTY, EMPTY))
    assert verbs(p.decide(view(1, replace(EMPTY, succeeded=50), EMPTY))) == [(Verb.OPEN, 1)]
    late = replace(EMPTY, succeeded=50, failed=11)
    assert verbs(p.decide(view(2, late, EMPTY))) == [(Verb.CANCEL, 0)]
    decision = p.resume(view(3, late, replace(EMPTY, succeeded=50)))
    assert verbs(decision) == [] and decision.wake.at_ms == 103
    assert all(group == 1 for group, _, _ in decision.wake.counts)
    assert verbs(p.decide(view(103, late, replace(EMPTY, succeeded=50)))) == [(Verb.FINISH, 1)]


COMPARED = replace(GATE, gate="mann-whitney")


def asked(now, canary, control, *groups):
    seen = []

    def metric(group):
        seen.append(group)
        return canary, control

    return View(now, groups, metric=metric), seen


def test_a_canary_whose_metric_is_greater_halts_before_the_next_group_opens():
    p = policy(COMPARED, GATE)
    passed = replace(EMPTY, succeeded=60)
    p.decide(view(0, EMPTY, EMPTY))
    soaking, seen = asked(1, range(50, 110), range(100), passed, EMPTY)
    assert verbs(p.decide(soaking)) == [] and seen == []
    soaked, seen = asked(1001, range(50, 110), range(100), passed, EMPTY)
    decision = p.decide(soaked)
    assert verbs(decision) == [(Verb.CANCEL, 0)] and seen == [0]
    assert decision.actions[0].detail == "metric of 60 devices greater than that of 100 others"
    lifted, seen = asked(1002, range(50, 110), range(100), passed, EMPTY)
    assert verbs(p.resume(lifted)) == [(Verb.OPEN, 1)] and seen == []


def test_a_metric_is_compared_once_and_then_not_again():
    p = policy(COMPARED, GATE)
    passed = replace(EMPTY, succeeded=60)
    p.decide(view(0, EMPTY, EMPTY))
    p.decide(view(1, passed, EMPTY))
    soaked, _ = asked(1001, range(60), range(100), passed, EMPTY)
    assert verbs(p.decide(soaked)) == [(Verb.OPEN, 1)]
    later, seen = asked(1002, range(1000, 1060), range(100), passed, EMPTY)
    assert verbs(p.decide(later)) == [] and seen == []


def test_without_a_metric_only_failures_count():
    p = policy(COMPARED)
    p.decide(view(0, EMPTY))
    p.decide(view(1, replace(EMPTY, succeeded=100)))
    assert verbs(p.decide(view(1001, replace(EMPTY, succeeded=100)))) == [(Verb.FINISH, 0)]


def test_each_group_has_its_own_gate():
    p = policy(
        replace(GATE, gate="none", soak_ms=0), replace(GATE, gate="sprt", error_threshold=Fraction(1, 20))
    )
    p.decide(view(0, EMPTY, EMPTY))
    gone = replace(EMPTY, failed=100)
    assert verbs(p.decide(view(1, gone, EMPTY))) == [(Verb.OPEN, 1)]
    assert verbs(p.decide(view(2, gone, replace(EMPTY, failed=4)))) == []
    assert verbs(p.decide(view(3, gone, replace(EMPTY, failed=5)))) == [(Verb.CANCEL, 1)]


def test_successes_to_pass_round_up():
    assert successes_to_pass(replace(GATE, success_threshold=Fraction(1, 3)), 100) == 34
    assert successes_to_pass(replace(GATE, success_threshold=Fraction(0)), 100) == 0
