"""A policy alone, with the events of a file: who comes, what counts, and when a device is given up on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.rollout.events import STEP_TIMEOUT, Event, read_events
from simlib.rollout.policy import Counter, Decision, GroupView, Told, Verb, View, Wake
from simlib.rollout.service import KNOCK, SILENT
from simlib.rollout.trace import trace
from tests.rollout.tracing import Ruled, act, log, rows, script

MINUTE = 60_000
WORDS = {
    "QUEUED": Told.OFFERED,
    "IN_PROGRESS": Told.STARTED,
    "SUCCEEDED": Told.SUCCEEDED,
    "FAILED": Told.FAILED,
    "TIMED_OUT": SILENT,
    "check": KNOCK,
}


def watch(
    sizes, events, *, until=100 * MINUTE, first: Decision | None = None, **attributes
) -> list[GroupView]:
    """What a policy that does `first` at 0 is shown at `until`."""
    shown: list[tuple[GroupView, ...]] = []
    start = first or act(Verb.OPEN, 0)

    def rule(view: View) -> Decision:
        shown.append(view.groups)
        return Decision(start.actions if view.now_ms == 0 else (), Wake(at_ms=until))

    trace(Ruled(rule, **attributes), sizes, events, until)
    return list(shown[-1])


def stops_at(events, *, least=1, counter=Counter.ERRORS, **attributes) -> list[int]:
    """When a policy learns of the `least`-th error of its one group."""

    def rule(view: View) -> Decision:
        if view.now_ms == 0:
            return act(Verb.OPEN, 0, wake=Wake(counts=((0, counter, least),)))
        return act(Verb.CANCEL, None)

    return [
        t for t, decision, _ in log(trace(Ruled(rule, **attributes), (10,), events)) if decision == "cancel"
    ]


def test_only_what_is_listed_happens():
    (seen,) = watch((10,), [Event(5, 3, Told.STARTED), Event(9, 3, Told.SUCCEEDED)])
    assert seen == GroupView(
        10, offered=1, started=1, succeeded=1, failed=0, silent=0, skipped=0, released=10
    )


def test_a_report_before_the_release_is_taken_as_it_comes_and_the_first_verdict_counts():
    events = [Event(5, 12, Told.FAILED), Event(6, 12, Told.SUCCEEDED), Event(6, 12, Told.FAILED)]
    seen = watch((10, 10), events)[1]
    assert (seen.offered, seen.failed, seen.succeeded, seen.released) == (1, 1, 0, 0)


def test_a_decision_sees_the_events_of_its_own_millisecond():
    assert stops_at([Event(4000, 0, Told.FAILED)], interval_ms=2000) == [4000]
    assert stops_at([Event(4001, 0, Told.FAILED)], interval_ms=2000) == [6000]


def test_an_event_at_zero_comes_after_the_first_decision():
    assert stops_at([Event(0, 0, Told.FAILED)]) == [1]


def test_a_condition_that_already_holds_fires_at_the_next_tick():
    holds = Decision(wake=Wake(counts=((0, Counter.FAILED, 1),)))
    policy = Ruled(script(t0=Decision(wake=Wake(at_ms=20)), t20=holds), interval_ms=10)
    trace(policy, (3,), [Event(5, 0, Told.FAILED)])
    assert policy.asked == [0, 20, 30]


def test_a_device_without_a_verdict_is_silent_at_exactly_the_deadline():
    begins = [Event(100, 0, Told.STARTED), Event(200, 1, Told.STARTED)]
    assert stops_at(begins, deadline_ms=1000) == [1100]
    assert stops_at(begins, least=2, deadline_ms=1000) == [1200]
    assert stops_at(begins) == []


def test_a_verdict_at_the_deadline_is_in_time_and_later_ones_do_not_count():
    begins = Event(100, 0, Told.STARTED)
    assert stops_at([begins, Event(1100, 0, Told.SUCCEEDED)], deadline_ms=1000) == []
    late = watch((10,), [begins, Event(1101, 0, Told.SUCCEEDED)], deadline_ms=1000)
    assert (late[0].silent, late[0].succeeded) == (1, 0)


def test_a_second_start_does_not_move_the_deadline():
    assert stops_at([Event(100, 0, Told.STARTED), Event(900, 0, Told.STARTED)], deadline_ms=1000) == [1100]


def test_a_service_that_times_devices_out_itself_has_a_word_for_it():
    (seen,) = watch((10,), [Event(5, 3, SILENT)])
    assert (seen.offered, seen.silent, seen.failed) == (1, 1, 0)


def test_step_timers_replace_each_other_and_do_not_outlive_the_whole():
    """A5: twenty minutes from 12:00; steps at 12:05 of 7, at 12:10 of 5, at 12:13 of 9 minutes."""
    steps = [(0, None), (5, 7), (10, 5), (13, 9)]
    expires = {1: 20, 2: 12, 3: 15, 4: 20}
    for count, minute in expires.items():
        events = [
            Event(at * MINUTE, 0, Told.STARTED, None, None if step is None else step * MINUTE)
            for at, step in steps[:count]
        ]
        assert stops_at(events, deadline_ms=20 * MINUTE) == [minute * MINUTE]
    dropped = [Event(0, 0, Told.STARTED, None, 5 * MINUTE), Event(MINUTE, 0, Told.STARTED, None, -1)]
    assert stops_at(dropped, deadline_ms=20 * MINUTE) == [20 * MINUTE]
    assert stops_at(dropped[:1]) == [5 * MINUTE]


def test_devices_that_knock_are_let_in_in_order_of_their_rows_as_far_as_the_permit_reaches():
    heard: list[int] = []

    def rule(view: View) -> Decision:
        heard.extend(m.device for m in view.news)
        if view.now_ms == 0:
            return act(Verb.ADMIT, 0, 2, Wake(knock=True))
        return act(Verb.ADMIT, 1, 1, Wake(at_ms=90)) if view.knocked else Decision()

    knocks = [
        Event(t, device, KNOCK) for t, device in ((5, 7), (5, 2), (6, 7), (8, 4), (8, 5), (9, 5), (9, 6))
    ]
    traced = trace(Ruled(rule, pull=True, wants_news=True), (4, 4), knocks)
    assert rows(traced) == [(5, 2, 2), (8, 1, 3)]
    assert log(traced) == [(0, "open", 0), (8, "open", 1)]
    assert heard == [7, 2, 7, 4]  # at 6, a sign of life of one that was let in


def asking(answers: dict[int, Decision], events: list[Event], **attributes: object):
    """Who is let in, what is logged, and every question: at a tick or a knock, the news so far, admitted.

    The policy permits one device at 0 and asks about every knock; `answers` are those to its questions.
    """
    seen: list[tuple[int, bool, list[int], int]] = []

    def rule(view: View) -> Decision:
        seen.append((view.now_ms, view.knocked, [m.device for m in view.news], view.groups[0].released))
        if len(seen) - 1 in answers:
            return answers[len(seen) - 1]
        return act(Verb.ADMIT, 0, 1, Wake(knock=True)) if len(seen) == 1 else Decision(wake=Wake(knock=True))

    policy = Ruled(rule, pull=True, wants_news=True, **attributes)
    return trace(policy, (9, 9), events, 500), seen


def test_a_knock_without_a_permit_is_asked_about_at_once_with_what_came_before_it_and_is_let_in_itself():
    events = [Event(5, 3, KNOCK), Event(5, 3, Told.FAILED), Event(5, 4, KNOCK), Event(5, 5, KNOCK)]
    events += [Event(5, 3, Told.STARTED), Event(5, 6, KNOCK)]
    two_more = act(Verb.ADMIT, 0, 3, Wake(knock=True))
    traced, seen = asking({1: two_more}, events)
    assert seen == [(0, False, [], 0), (5, True, [3, 3], 1), (5, True, [4, 5, 3], 3)]
    assert rows(traced) == [(5, 3, 3)]


def test_a_question_at_a_knock_is_beside_those_at_ticks_and_brings_a_wake_of_its_own():
    one_more = act(Verb.ADMIT, 0, 2, Wake(at_ms=7))
    traced, seen = asking({1: one_more}, [Event(7, 0, KNOCK), Event(7, 1, KNOCK), Event(7, 2, KNOCK)])
    assert [(t, knocked) for t, knocked, *_ in seen] == [(0, False), (7, True), (7, False)]
    assert seen[2][2:] == ([1], 2) and rows(traced) == [(7, 2, 2)]
    # The wake that was declared before holds no longer.
    early = {0: act(Verb.ADMIT, 0, 0, Wake(at_ms=10, knock=True)), 1: Decision(wake=Wake(at_ms=30))}
    _, seen = asking(early, [Event(4, 0, KNOCK), Event(4, 1, KNOCK)], interval_ms=10)
    assert [(t, knocked) for t, knocked, *_ in seen][:3] == [(0, False), (4, True), (30, False)]


def test_what_is_decided_at_a_knock_is_booked_at_its_time_and_what_is_at_a_tick_from_the_next_on():
    answers = {
        1: Decision((*act(Verb.ADMIT, 1, 1).actions, *act(Verb.PAUSE, 0).actions), Wake(at_ms=8)),
        2: act(Verb.ADMIT, 0, 5),
    }
    knocks = [Event(6, 0, KNOCK), Event(6, 1, KNOCK), Event(8, 2, KNOCK), Event(9, 3, KNOCK)]
    traced, _ = asking(answers, knocks)
    assert log(traced) == [(0, "open", 0), (6, "open", 1), (6, "pause", 0)]
    assert rows(traced) == [(6, 2, 2), (9, 1, 3)]


def test_a_knock_that_stops_the_rollout_is_turned_away_with_all_after_it():
    knocks = [Event(6, 0, KNOCK), Event(6, 1, KNOCK), Event(6, 2, KNOCK)]
    traced, seen = asking({1: act(Verb.DISABLE, None)}, knocks)
    assert log(traced) == [(0, "open", 0), (6, "disable", None)]
    assert rows(traced) == [(6, 1, 1)] and len(seen) == 2


def test_a_device_belongs_to_the_group_that_let_it_in_the_lowest_with_room_first():
    both = Decision((act(Verb.ADMIT, 0, 1).actions[0], act(Verb.ADMIT, 1, 1).actions[0]))
    events = [Event(1, 9, KNOCK), Event(2, 0, KNOCK), Event(3, 9, Told.FAILED), Event(4, 0, Told.SUCCEEDED)]
    first, second = watch((5, 5), events, first=both, pull=True)
    assert (first.failed, first.released, second.succeeded, second.released) == (1, 1, 1, 1)


def test_without_knocks_in_the_file_devices_come_by_number_but_for_those_that_have_reported():
    rule = script(t0=act(Verb.ADMIT, 0, 2, Wake(at_ms=50)), t50=act(Verb.ADMIT, 0, 4, Wake(at_ms=100)))
    seen: list[View] = []
    policy = Ruled(lambda view: (seen.append(view), rule(view))[1], pull=True, wants_news=True)
    traced = trace(policy, (10,), [Event(10, 0, Told.STARTED), Event(20, 2, Told.SKIPPED)])
    assert rows(traced) == [(0, 2, 2), (51, 2, 4)]
    assert [m.device for view in seen for m in view.news] == [0, 1, 0, 2, 3, 4]


def test_at_a_service_that_pushes_a_word_that_tells_nothing_changes_nothing():
    (seen,) = watch((5,), [Event(3, 0, KNOCK), Event(4, 0, KNOCK)])
    assert (seen.offered, seen.released) == (0, 5)


class Gate(Ruled):
    """Opens groups one after another at half successes; stops at three errors of an open group."""

    def __init__(self, interval_ms: int, every_tick: bool) -> None:
        super().__init__(self._rule_of, interval_ms=interval_ms, deadline_ms=70)
        self._newest, self._over, self._every = -1, False, every_tick

    def _rule_of(self, view: View) -> Decision:
        decision = self._decide(view)
        return Decision(decision.actions, Wake(at_ms=view.now_ms + 1)) if self._every else decision

    def _decide(self, view: View) -> Decision:
        if self._over:
            return Decision()
        for number, group in enumerate(view.groups[: self._newest + 1]):
            if group.errors >= 3:
                self._over = True
                return act(Verb.PAUSE, number)
        newest = view.groups[self._newest]
        if self._newest < 0 or 2 * newest.succeeded >= newest.size:
            if self._newest + 1 == len(view.groups):
                self._over = True
                return act(Verb.FINISH, self._newest)
            self._newest += 1
            return act(Verb.OPEN, self._newest, wake=self._wake(view))
        return Decision(wake=self._wake(view))

    def _wake(self, view: View) -> Wake:
        errors = tuple((k, Counter.ERRORS, 3) for k in range(self._newest + 1))
        half = -(-view.groups[self._newest].size // 2)
        return Wake(counts=(*errors, (self._newest, Counter.SUCCEEDED, half)))


STATUS = st.sampled_from([Told.STARTED, Told.SUCCEEDED, Told.FAILED, Told.SKIPPED, SILENT])
STEP = st.none() | st.just(-1) | st.integers(1, 90)
EVENT = st.builds(Event, st.integers(0, 300), st.integers(0, 19), STATUS, st.none(), STEP)
EVENTS = st.lists(EVENT, max_size=60)


@given(EVENTS, st.sampled_from([1, 7, 40]))
def test_skipping_ticks_changes_nothing(events: list[Event], interval: int):
    events.sort(key=lambda event: event.time_ms)
    traces = [trace(Gate(interval, every), (4, 6, 10), events, 500) for every in (False, True)]
    assert traces[0] == traces[1]


def test_rows_are_read_in_order_of_time_in_any_case_and_columns_in_any_order():
    text = "\ufeffdevice, status, time_ms\r\n3,failed,20\r\n\r\n4,In_Progress,10\r\n5,QUEUED,10\r\n"
    assert read_events(text, "e.csv", WORDS, devices=6) == (
        Event(10, 4, Told.STARTED),
        Event(10, 5, Told.OFFERED),
        Event(20, 3, Told.FAILED),
    )


def test_the_step_timer_is_a_further_column_where_it_is_asked_for():
    text = f"time_ms,device,status,{STEP_TIMEOUT}\n0,0,IN_PROGRESS,7\n1,0,IN_PROGRESS,\n2,0,IN_PROGRESS,-1\n"
    events = read_events(text, "e.csv", WORDS, optional=(STEP_TIMEOUT,))
    assert [event.step_timeout_ms for event in events] == [420_000, None, -1]
    with pytest.raises(InputError, match="line 1: found columns"):
        read_events(text, "e.csv", WORDS)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("5,1,GONE", 'e.csv: line 3: status: found "GONE", expected one of QUEUED, IN_PROGRESS'),
        ("5,1,SUCCEDED", r"check \(the nearest is SUCCEEDED\)"),
        ("5,10,FAILED", 'e.csv: line 3: device: found "10", expected a whole number, 0 to 9'),
        ("-5,1,FAILED", 'e.csv: line 3: time_ms: found "-5", expected a whole number, 0 or more'),
        ("1.5,1,FAILED", "e.csv: line 3: time_ms"),
        ("5,1", "e.csv: line 3: found 2 fields, expected 3"),
        ('5,1,"FAILED', "e.csv: line 3: found unexpected end of data, expected CSV"),
    ],
)
def test_a_wrong_row_is_named_with_what_was_expected(line: str, complaint: str):
    with pytest.raises(InputError, match=complaint):
        read_events(f"time_ms,device,status\n0,0,QUEUED\n{line}", "e.csv", WORDS, devices=10)


@pytest.mark.parametrize(
    "header", ["", "time_ms,device", "time_ms,device,status,status", "time,device,status"]
)
def test_a_wrong_header_is_named(header: str):
    with pytest.raises(InputError, match=r"e.csv: line 1: found columns .* expected time_ms,device,status"):
        read_events(header + "\n", "e.csv", WORDS)
