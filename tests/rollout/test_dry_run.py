"""A policy shown the log of a past rollout: what it would have decided and when, and whom a stop spares."""

from __future__ import annotations

import pytest

from simlib.errors import InputError
from simlib.rollout.dry_run import DryRun, Spared, dry_run, groups_in, sizes_of
from simlib.rollout.events import GROUP, Event, read_events
from simlib.rollout.policy import Action, Counter, Decision, Told, Verb, View, Wake
from simlib.rollout.service import KNOCK
from tests.rollout.tracing import Ruled, act

HOUR = 3_600_000


def past() -> list[Event]:
    """Ten devices, one an hour: offered, begun a minute later; those from number 4 on fail, the last two say
    nothing.
    """
    log = []
    for device in range(10):
        log += [
            Event(device * HOUR, device, Told.OFFERED),
            Event(device * HOUR + 60_000, device, Told.STARTED),
        ]
        if device < 8:
            end = Told.FAILED if device >= 4 else Told.SUCCEEDED
            log.append(Event(device * HOUR + 600_000, device, end))
    return log


def stopping(verb: Verb, errors: int, **attributes: object) -> Ruled:
    """Opens group 0 at once, and does `verb` when so many errors are known over all groups."""

    def rule(view: View) -> Decision:
        known = sum(group.errors for group in view.groups)
        if known >= errors:
            return Decision((Action(verb, None, f"{known} errors"),))
        one_more = tuple((k, Counter.ERRORS, group.errors + 1) for k, group in enumerate(view.groups))
        opening = (Action(Verb.OPEN, 0),) if view.now_ms == 0 else ()
        return Decision(opening, Wake(counts=one_more))

    return Ruled(rule, interval_ms=1000, **attributes)


def stop_of(found: DryRun) -> tuple[int, str]:
    assert found.stop is not None
    decided = found.decisions[found.stop.place]
    return decided.time_ms, decided.decision


def test_a_failure_that_the_service_retries_is_no_verdict_of_the_log_either():
    log = [Event(HOUR, device, Told.FAILED) for device in range(4)]
    log += [Event(2 * HOUR, 0, Told.SUCCEEDED), *(Event(2 * HOUR, device, Told.FAILED) for device in (1, 2))]
    found = dry_run(stopping(Verb.CANCEL, 1, forgives=((Told.FAILED, 1),)), (4,), log)
    assert stop_of(found) == (2 * HOUR, "cancel") and found.by_then[-1] == (4, 0, 1, 2, 0)
    # Shown as it was from the start, the fourth device failed once, and was to try again.
    early = dry_run(stopping(Verb.CANCEL, 0, forgives=((Told.FAILED, 1),)), (4,), log)
    assert early.stop is not None and early.stop.failed_later == 2
    assert early.stop.spared == Spared(devices=4, failed=2, silent=1)


def test_a_device_that_knocks_after_it_has_reported_is_heard_of():
    heard: list[tuple[int, Told]] = []

    def rule(view: View) -> Decision:
        heard.extend((message.time_ms, message.told) for message in view.news)
        return act(Verb.ADMIT, 0, 9, Wake(at_ms=9)) if view.now_ms == 0 else Decision()

    log = [Event(5, 0, KNOCK), Event(6, 0, Told.STARTED), Event(7, 0, KNOCK)]
    dry_run(Ruled(rule, pull=True, wants_news=True), (3,), log)
    assert heard == [(6, Told.OFFERED | Told.STARTED), (7, KNOCK)]


def test_the_decision_comes_with_what_was_known_by_then():
    found = dry_run(stopping(Verb.CANCEL, 2), (10,), past())
    assert stop_of(found) == (5 * HOUR + 600_000, "cancel")
    assert found.by_then == ((0, 0, 0, 0, 0), (6, 6, 4, 2, 0))
    document = found.document()
    assert document["stop"] == {
        "time_ms": 5 * HOUR + 600_000,
        "decision": "cancel",
        "group": None,
        "reason": "2 errors",
        "offered": 6,
        "started": 6,
        "succeeded": 4,
        "failed": 2,
        "silent": 0,
        "later": {"offered": 4, "started": 4, "failed": 2},
        "spared": {"devices": 4, "failed": 2, "silent": 2},
    }
    assert document["decisions"][0]["decision"] == "open"


def test_cancel_spares_who_had_not_begun_and_disable_who_had_not_been_offered_it():
    log = [
        Event(0, 0, Told.STARTED),
        Event(1000, 0, Told.FAILED),
        Event(1000, 1, Told.OFFERED),
        Event(1001, 2, Told.OFFERED),
        Event(1002, 1, Told.STARTED),
        Event(1003, 2, Told.SUCCEEDED),
        Event(1004, 1, Told.FAILED),
        Event(1005, 3, Told.OFFERED),
    ]
    spared = {verb: dry_run(stopping(verb, 1), (4,), log).stop.spared for verb in (Verb.CANCEL, Verb.DISABLE)}
    assert spared == {Verb.CANCEL: Spared(2, 1, 0), Verb.DISABLE: Spared(2, 0, 0)}


def test_pause_spares_only_groups_that_the_policy_had_not_opened():
    assert dry_run(stopping(Verb.PAUSE, 1), (7, 3), past()).stop.spared == Spared(3, 1, 2)
    assert dry_run(stopping(Verb.DISABLE, 1), (7, 3), past()).stop.spared == Spared(5, 3, 2)


def test_the_policys_own_deadline_runs_on_after_the_logs_last_row():
    log = past()
    quiet = dry_run(stopping(Verb.CANCEL, 5), (10,), log)
    assert quiet.stop is None and quiet.document()["stop"] is None
    timed = dry_run(stopping(Verb.CANCEL, 5, deadline_ms=2 * HOUR), (10,), log)
    assert stop_of(timed) == (10 * HOUR + 60_000, "cancel")
    assert timed.stop.spared == Spared(0, 0, 0)
    assert dry_run(stopping(Verb.CANCEL, 5, deadline_ms=2 * HOUR), (10,), log, 9 * HOUR).stop is None


def test_groups_are_the_logs_own_and_others_are_filled_in_order():
    text = "time_ms,device,status,group\n0,5,failed,1\n1,0,failed,2\n2,5,failed,1\n"
    log = read_events(text, "log", {"failed": Told.FAILED}, optional=(GROUP,))
    groups = groups_in(log, 2, 7, "log")
    assert groups == (1, 1, 1, 1, 1, 0, 1)
    assert sizes_of(groups, 2) == (1, 6)
    seen: list[View] = []
    policy = Ruled(lambda view: (seen.append(view), Decision(wake=Wake(at_ms=10)))[1])
    dry_run(policy, (1, 6), log, 10, groups)
    assert [(g.size, g.failed) for g in seen[-1].groups] == [(1, 1), (6, 1)]
    dry_run(policy, (1, 6), log, 10)
    assert [(g.size, g.failed) for g in seen[-1].groups] == [
        (1, 1),
        (6, 1),
    ]  # 0 in the first, 5 in the second
    assert groups_in(log, 1, 7, "log") is None


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("0,5,failed,3\n", r"log: group of device 5: found 3, expected 1 to 2"),
        ("0,5,failed,1\n1,5,failed,2\n", r"log: group of device 5: found 2 after 1, expected one group"),
        ("0,5,failed,0\n", r'log: line 2: group: found "0", expected a whole number, 1 or more'),
    ],
)
def test_a_group_that_cannot_be_is_refused(rows: str, complaint: str):
    with pytest.raises(InputError, match=complaint):
        log = read_events(
            f"time_ms,device,status,group\n{rows}", "log", {"failed": Told.FAILED}, optional=(GROUP,)
        )
        groups_in(log, 2, 7, "log")


def test_at_a_service_that_is_asked_who_came_without_a_permit_knocked_in_vain_and_counts_all_the_same():
    asked: list[tuple[int, bool, int, int]] = []

    def rule(view: View) -> Decision:
        asked.append((view.now_ms, view.knocked, view.groups[0].released, view.groups[0].failed))
        return act(Verb.ADMIT, 0, 2, Wake(knock=True))

    log = [Event(t, t, Told.FAILED) for t in (1, 2, 3)] + [Event(4, 4, KNOCK), Event(5, 4, Told.OFFERED)]
    found = dry_run(Ruled(rule, pull=True), (5,), log)
    assert asked == [(0, False, 0, 0), (3, True, 2, 2), (4, True, 3, 3), (5, True, 3, 3)]
    assert [(d.time_ms, d.decision) for d in found.decisions] == [(0, "open")]


def test_a_stop_at_a_knock_comes_with_what_was_known_before_the_device():
    def rule(view: View) -> Decision:
        if view.knocked:
            return act(Verb.DISABLE, None)
        return act(Verb.ADMIT, 0, 2, Wake(knock=True))

    log = [Event(7, device, Told.FAILED) for device in range(3)] + [Event(8, 3, Told.FAILED)]
    found = dry_run(Ruled(rule, pull=True), (5,), log)
    assert stop_of(found) == (7, "disable")
    assert found.by_then[found.stop.place] == (2, 0, 0, 2, 0)
    assert found.stop.offered_later == 1
