"""The staged policy halts, waits and goes on as its rules say, and asks to be woken in time."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from simlib.rollout.policy import Counter, GroupView, Verb, View
from simlib.rollout.staged import Staged, errors_to_halt, successes_to_pass, too_many_errors
from simlib.scenario.model import GroupSpec, RolloutSpec

GATE = GroupSpec(Fraction(1, 2), Fraction(1, 2), Fraction(1, 10), 20, 1000)
EMPTY = GroupView(100, 0, 0, 0, 0, 0, 0)


def policy(*gates: GroupSpec) -> Staged:
    return Staged(RolloutSpec("staged", 2000, 10_000, False, None, "utc", "finish", gates))


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
    assert verbs(p.decide(view(2, replace(EMPTY, succeeded=89, failed=11)))) == [(Verb.HALT, 0)]


def test_too_small_a_sample_does_not_halt():
    p = policy(GATE)
    p.decide(view(0, EMPTY))
    assert verbs(p.decide(view(1, replace(EMPTY, silent=19)))) == []
    assert verbs(p.decide(view(2, replace(EMPTY, silent=20)))) == [(Verb.HALT, 0)]


def test_silence_counts_as_failure():
    assert too_many_errors(GATE, replace(EMPTY, succeeded=80, silent=20))
    assert not too_many_errors(GATE, replace(EMPTY, succeeded=80, skipped=20))


def test_late_errors_in_an_earlier_group_halt_the_later_one():
    p = policy(replace(GATE, soak_ms=0), GATE)
    p.decide(view(0, EMPTY, EMPTY))
    assert verbs(p.decide(view(1, replace(EMPTY, succeeded=50), EMPTY))) == [(Verb.OPEN, 1)]
    assert verbs(p.decide(view(2, replace(EMPTY, succeeded=50, failed=11), EMPTY))) == [(Verb.HALT, 0)]


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


@given(
    st.fractions(0, 1, max_denominator=50),
    st.integers(0, 30),
    st.lists(st.sampled_from(["succeeded", "failed", "silent", "skipped"]), max_size=120),
)
def test_a_policy_asked_only_at_its_wakes_halts_where_one_asked_always_does(error, sample, messages):
    gate = replace(GATE, error_threshold=error, min_sample=sample)

    def halts_at(skip: bool) -> int | None:
        p, seen = policy(gate), replace(EMPTY, size=200)
        wake = p.decide(view(0, seen)).wake
        for now, message in enumerate(messages, 1):
            seen = replace(seen, **{message: getattr(seen, message) + 1})
            counts = {
                Counter.SUCCEEDED: seen.succeeded,
                Counter.ERRORS: seen.errors,
                Counter.JUDGED: seen.judged,
                Counter.SETTLED: seen.judged + seen.skipped,
            }
            due = (wake.at_ms is not None and now >= wake.at_ms) or any(
                counts[c] >= n for _, c, n in wake.counts
            )
            if skip and not due:
                continue
            decision = p.decide(view(now, seen))
            wake = decision.wake
            if any(a.verb is Verb.HALT for a in decision.actions):
                return now
        return None

    assert halts_at(skip=True) == halts_at(skip=False)


@given(st.fractions(0, Fraction(99, 100), max_denominator=100), st.integers(0, 500))
def test_the_error_bound_is_the_least_count_that_could_halt(error, succeeded):
    gate = replace(GATE, error_threshold=error, min_sample=0)
    bound = errors_to_halt(gate, succeeded)
    assert too_many_errors(gate, replace(EMPTY, succeeded=succeeded, failed=bound))
    assert not too_many_errors(gate, replace(EMPTY, succeeded=succeeded, failed=bound - 1))


def test_successes_to_pass_round_up():
    assert successes_to_pass(replace(GATE, success_threshold=Fraction(1, 3)), 100) == 34
    assert successes_to_pass(replace(GATE, success_threshold=Fraction(0)), 100) == 0
