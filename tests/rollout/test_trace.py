"""A policy alone, whose every released device succeeds at once: when it is asked, and what is booked."""

from __future__ import annotations

import tracemalloc

import pytest

from simlib.rollout.policy import Action, Counter, Decision, Told, Verb, View, Wake
from simlib.rollout.trace import trace
from tests.rollout.tracing import Ruled, act, log, rows, script


def one_after_another(view: View) -> Decision:
    """Opens the next group when all of the one before have succeeded."""
    newest = sum(1 for group in view.groups if group.released) - 1
    if newest >= 0 and view.groups[newest].succeeded < view.groups[newest].size:
        return Decision(wake=Wake(counts=((newest, Counter.SUCCEEDED, view.groups[newest].size),)))
    if newest + 1 == len(view.groups):
        return act(Verb.FINISH, newest)
    following = Wake(counts=((newest + 1, Counter.SUCCEEDED, view.groups[newest + 1].size),))
    return act(Verb.OPEN, newest + 1, wake=following)


def test_a_success_at_a_tick_is_seen_at_the_next_and_a_finish_is_about_the_whole_rollout():
    policy = Ruled(one_after_another, interval_ms=2000)
    traced = trace(policy, (50, 150, 300))
    assert rows(traced) == [(0, 50, 50), (2000, 150, 200), (4000, 300, 500)]
    assert log(traced) == [(0, "open", 0), (2000, "open", 1), (4000, "open", 2), (6000, "finish", None)]
    assert policy.asked == [0, 2000, 4000, 6000]


def test_the_document_counts_groups_from_one():
    document = trace(Ruled(one_after_another), (2, 3)).document()
    assert document == {
        "groups": [{"group": 1, "size": 2}, {"group": 2, "size": 3}],
        "releases": [
            {"time_ms": 0, "count": 2, "cumulative": 2},
            {"time_ms": 1, "count": 3, "cumulative": 5},
        ],
        "decisions": [
            {"time_ms": 0, "decision": "open", "group": 1, "reason": "why"},
            {"time_ms": 1, "decision": "open", "group": 2, "reason": "why"},
            {"time_ms": 2, "decision": "finish", "group": None, "reason": "why"},
        ],
    }


def test_a_time_between_two_ticks_is_looked_at_at_the_later():
    policy = Ruled(script(t0=Decision(wake=Wake(at_ms=4001)), t6000=act(Verb.CANCEL, None)), interval_ms=2000)
    assert log(trace(policy, (5,))) == [(6000, "cancel", None)]


def test_a_ramp_releases_the_first_so_many_and_opens_its_group_once():
    def ramp(view: View) -> Decision:
        count = 50 * (view.now_ms // 60_000 + 1)
        wake = Wake(at_ms=view.now_ms + 60_000) if count < view.groups[0].size else Wake()
        return act(Verb.RELEASE, 0, count, wake)

    traced = trace(Ruled(ramp, interval_ms=60_000), (120,))
    assert rows(traced) == [(0, 50, 50), (60_000, 50, 100), (120_000, 20, 120)]
    assert log(traced) == [(0, "open", 0)]


def test_what_is_released_at_one_time_is_one_row_over_all_groups():
    both = Decision((Action(Verb.OPEN, 0), Action(Verb.OPEN, 1)))
    traced = trace(Ruled(script(t0=both)), (3, 4))
    assert rows(traced) == [(0, 7, 7)]
    assert log(traced) == [(0, "open", 0), (0, "open", 1)]


@pytest.mark.parametrize(("until", "last"), [(59_999, 0), (60_000, 60_000), (60_001, 60_000)])
def test_until_is_inclusive(until: int, last: int):
    rule = script(t0=act(Verb.OPEN, 0, wake=Wake(at_ms=60_000)), t60000=act(Verb.OPEN, 1))
    assert rows(trace(Ruled(rule), (1, 1), until_ms=until))[-1][0] == last


def test_a_permit_decided_before_its_time_lets_in_from_that_time_on():
    rule = script(
        t0=act(Verb.ADMIT, 0, 2, Wake(at_ms=59_999)),
        t59999=Decision((Action(Verb.ADMIT, 0, "", 3), Action(Verb.ADMIT, 1, "", 4))),
    )
    traced = trace(Ruled(rule, pull=True), (3, 7))
    assert rows(traced) == [(0, 2, 2), (60_000, 5, 7)]
    assert log(traced) == [(0, "open", 0), (60_000, "open", 1)]
    assert rows(trace(Ruled(rule, pull=True), (3, 7), until_ms=59_999)) == [(0, 2, 2)]


def test_a_permit_for_nobody_opens_nothing_and_an_empty_group_opens_for_nobody():
    rule = script(t0=Decision((Action(Verb.ADMIT, 0, "", 0), Action(Verb.OPEN, 1))))
    traced = trace(Ruled(rule, pull=True), (3, 0))
    assert (rows(traced), log(traced)) == ([], [(0, "open", 1)])


@pytest.mark.parametrize(("verb", "more"), [(Verb.PAUSE, 3), (Verb.DISABLE, 0), (Verb.CANCEL, 0)])
def test_disable_and_cancel_take_permits_back_and_pause_does_not(verb: Verb, more: int):
    rule = script(t0=act(Verb.ADMIT, 0, 1, Wake(at_ms=9)), t9=Decision((Action(Verb.OPEN, 0), Action(verb))))
    assert sum(r.count for r in trace(Ruled(rule, pull=True), (4,)).releases) == 1 + more


def test_who_knocks_in_vain_has_the_policy_asked_if_it_cares():
    def rule(view: View) -> Decision:
        if view.now_ms == 0:
            return act(Verb.ADMIT, 0, 2, Wake(at_ms=100))
        if view.now_ms == 100:
            return Decision(wake=Wake(knock=True))
        return act(Verb.DISABLE, None) if view.knocked else Decision()

    policy = Ruled(rule, pull=True)
    assert log(trace(policy, (3,))) == [(0, "open", 0), (101, "disable", None)]
    assert policy.asked == [0, 100, 101]
    assert log(trace(Ruled(rule, pull=True), (2,))) == [(0, "open", 0)]  # nobody is left to knock


def test_who_knocks_all_the_time_is_asked_about_at_once_and_goes_on_while_there_is_room():
    def rule(view: View) -> Decision:
        released = view.groups[0].released
        if view.knocked and released < 8:
            return act(Verb.ADMIT, 0, released + 3, Wake(knock=True))
        return Decision(wake=Wake(at_ms=view.now_ms + 50) if view.knocked else Wake(knock=True))

    policy = Ruled(rule, pull=True, wants_news=True)
    traced = trace(policy, (20,), until_ms=51)
    # At 0 three times three; the fourth knock is told to wait, and at 51 one knocks in vain again.
    assert rows(traced) == [(0, 9, 9)]
    assert policy.asked == [0, 0, 0, 0, 0, 50, 51]


def test_a_knock_in_vain_that_is_still_of_interest_comes_again_in_the_next_millisecond():
    def rule(view: View) -> Decision:
        if view.now_ms < 3:
            return Decision(wake=Wake(knock=True))
        return act(Verb.ADMIT, 0, 9)

    assert rows(trace(Ruled(rule, pull=True), (9,))) == [(3, 9, 9)]


def test_the_news_are_each_devices_messages_since_the_last_question():
    heard: list[tuple[int, int, Told]] = []

    def rule(view: View) -> Decision:
        heard.extend(view.news)
        return (
            act(Verb.OPEN, view.now_ms // 10, wake=Wake(at_ms=view.now_ms + 10))
            if view.now_ms < 20
            else Decision()
        )

    trace(Ruled(rule, wants_news=True), (2, 1))
    everything = Told.OFFERED | Told.STARTED | Told.SUCCEEDED
    assert heard == [(0, 0, everything), (0, 1, everything), (10, 2, everything)]


def test_a_policy_that_looks_for_ever_is_left_after_ten_years():
    policy = Ruled(lambda view: Decision(wake=Wake(at_ms=view.now_ms + 1)), interval_ms=86_400_000)
    assert trace(policy, (1,)).decisions == ()
    assert len(policy.asked) == 3654


def test_a_million_devices_are_counted_not_listed():
    tracemalloc.start()
    traced = trace(Ruled(one_after_another), (1, 1_000_000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows(traced)[-1] == (1, 1_000_000, 1_000_001)
    assert most < 1_000_000  # less than a byte a device
