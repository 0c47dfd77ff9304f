"""The `hawkbit` policy starts, pauses and finishes as hawkBit's rollout executor does (cases H1 to H7 and
more).
"""

from dataclasses import replace
from decimal import Decimal
from heapq import heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.rollout.policy import GroupView, Told, Verb, View
from simlib.rollout.services.hawkbit import SERVICE
from tests.amounts import examples

TICK = 2_000


def group(percentage=100, success=50, error=None, action="NEXTGROUP", **more):
    told = {
        "targetPercentage": percentage,
        "successCondition": {"condition": "THRESHOLD", "expression": str(success)},
        "successAction": {"action": action, "expression": ""},
        **more,
    }
    if error is not None:
        told["errorCondition"] = {"condition": "THRESHOLD", "expression": str(error)}
        told["errorAction"] = {"action": "PAUSE", "expression": ""}
    return told


def read(*groups, **more):
    return SERVICE.read({"groups": list(groups), **more}, "rollout.json")


def sizes(devices, *percentages):
    return SERVICE.sizes(read(*(group(p) for p in percentages)), devices)


def seen(size, *, succeeded=0, failed=0, silent=0, skipped=0):
    started = succeeded + failed + silent + skipped
    return GroupView(size, size, started, succeeded, failed, silent, skipped, released=size)


class Hand:
    """A policy driven by hand: two counts a call, one tick after another."""

    def __init__(self, *groups, **more):
        self.policy = SERVICE.policy(read(*groups, **more), ())
        self.now = -self.policy.interval_ms

    def tick(self, *views):
        self.now += self.policy.interval_ms
        return told(self.policy.decide(View(self.now, views)))

    def resume(self, *views):
        return told(self.policy.resume(View(self.now, views)))


def told(decision):
    return [(action.verb, action.group) for action in decision.actions]


@pytest.mark.parametrize(
    ("devices", "amount", "expected"),
    [(1003, 5, (201, 201, 200, 201, 200)), (10, 3, (3, 3, 4)), (7, 2, (4, 3))],
)
def test_H1_sizes_of_equal_groups(devices, amount, expected):
    assert SERVICE.sizes(SERVICE.read({"amountGroups": amount}, "r"), devices) == expected


def test_H1_sizes_of_given_percentages():
    assert sizes(1000, 5, 15, 30, 50) == (50, 150, 300, 500)
    assert sizes(7, 50, 50) == (4, 3)
    assert sizes(1003, 20, 20, 20, 20, 20) == (201, 201, 200, 201, 200)


def test_H1_groups_that_do_not_cover_all_targets_are_refused():
    with pytest.raises(
        InputError, match=r"^rollout\.json: groups: found .*500 of 1000 targets, expected all"
    ):
        sizes(1000, 5, 15, 30)


def test_older_percentages_are_of_the_remaining():
    old = SERVICE.read(
        {"groups": [group(50), group(50), group(100)], "simlib": {"percentages": "of-remaining"}}, "r"
    )
    assert SERVICE.sizes(old, 100) == (50, 25, 25)
    assert sizes(100, 50, 50, 100) == (50, 50, 0)


@pytest.mark.parametrize(
    ("total", "threshold", "errors", "pauses"),
    [(100, 10, 10, False), (100, 10, 11, True), (3, 33, 1, True), (3, 34, 1, False), (100, 0, 1, True)],
)
def test_H2_error_edge(total, threshold, errors, pauses):
    hand = Hand(group(error=threshold))
    assert hand.tick(seen(total)) == [(Verb.OPEN, 0)]
    assert hand.tick(seen(total, failed=errors)) == ([(Verb.PAUSE, 0)] if pauses else [])


@pytest.mark.parametrize(("finished", "goes_on"), [(79, False), (80, True)])
def test_H3_success_edge(finished, goes_on):
    hand = Hand(group(50, success=80), group(50))
    hand.tick(seen(100), seen(100))
    assert hand.tick(seen(100, succeeded=finished), seen(100)) == ([(Verb.OPEN, 1)] if goes_on else [])


def test_H3_no_target_is_success_and_no_error():
    hand = Hand(group(50, success=80, error=0), group(50))
    hand.tick(seen(0), seen(5))
    assert hand.tick(seen(0), seen(5)) == [(Verb.OPEN, 1)]


def test_H4_a_release_that_is_all_bad_walks_the_whole_fleet_without_an_error_condition():
    hand = Hand(group(34), group(33), group(33))
    views = [seen(100), seen(100), seen(100)]
    opened = [hand.tick(*views)]
    for number in range(3):
        views[number] = seen(100, failed=100)
        opened.append(hand.tick(*views))
    assert opened == [[(Verb.OPEN, 0)], [(Verb.OPEN, 1)], [(Verb.OPEN, 2)], [(Verb.FINISH, 2)]]


def test_H5_late_errors_of_a_group_that_passed_pause_the_rollout_and_withdraw_nothing():
    hand = Hand(group(50, error=10), group(25), group(25))
    hand.tick(seen(100), seen(50), seen(50))
    assert hand.tick(seen(100, succeeded=50), seen(50), seen(50)) == [(Verb.OPEN, 1)]
    assert hand.tick(seen(100, succeeded=50, failed=10), seen(50), seen(50)) == []
    assert hand.tick(seen(100, succeeded=50, failed=11), seen(50), seen(50)) == [(Verb.PAUSE, 0)]
    assert hand.tick(seen(100, succeeded=89, failed=11), seen(50, succeeded=50), seen(50)) == []


def test_H6_silent_bricks_stall_the_rollout_and_reported_ones_pause_it():
    silent = Hand(group(50, success=80, error=20), group(50))
    silent.tick(seen(100), seen(100))
    assert silent.policy.deadline_ms == 0
    for _ in range(3):
        assert silent.tick(seen(100, succeeded=75, silent=25), seen(100)) == []
    reported = Hand(group(50, success=80, error=20), group(50))
    reported.tick(seen(100), seen(100))
    assert reported.tick(seen(100, succeeded=75, failed=20), seen(100)) == []
    assert reported.tick(seen(100, succeeded=75, failed=21), seen(100)) == [(Verb.PAUSE, 0)]


def test_H7_success_before_the_reboot_opens_the_next_group():
    hand = Hand(group(50, success=50, error=10), group(50))
    hand.tick(seen(100), seen(100))
    assert hand.tick(seen(100, succeeded=100), seen(100)) == [(Verb.OPEN, 1)]
    lost_later = replace(seen(100, succeeded=100), vanished=100)
    assert hand.tick(lost_later, seen(100)) == [], "what becomes of a finished action is not seen"


def test_success_is_not_looked_at_where_there_is_an_error():
    hand = Hand(group(50, success=50, error=10), group(50))
    hand.tick(seen(100), seen(100))
    assert hand.tick(seen(100, succeeded=60, failed=11), seen(100)) == [(Verb.PAUSE, 0)]


def test_resuming_after_an_error_skips_past_the_group_in_error():
    hand = Hand(group(50, error=10), group(50))
    hand.tick(seen(100), seen(100))
    hand.tick(seen(100, failed=11), seen(100))
    assert hand.tick(seen(100, failed=100), seen(100)) == [], "a paused rollout does nothing"
    assert hand.resume(seen(100, failed=100), seen(100)) == [(Verb.OPEN, 1)]
    assert hand.tick(seen(100, failed=100), seen(100, succeeded=100)) == [(Verb.FINISH, 1)]


def test_resuming_with_a_group_still_running_starts_none():
    hand = Hand(group(50, error=10), group(25), group(25))
    hand.tick(seen(100), seen(50), seen(50))
    hand.tick(seen(100, succeeded=50), seen(50), seen(50))
    hand.tick(seen(100, succeeded=50, failed=11), seen(50), seen(50))
    assert hand.resume(seen(100, succeeded=50, failed=11), seen(50), seen(50)) == []
    assert hand.tick(seen(100, succeeded=50, failed=11), seen(50, succeeded=25), seen(50)) == [(Verb.OPEN, 2)]


def test_after_an_error_the_next_group_waits_until_no_group_runs():
    hand = Hand(group(50, success=0), group(25, error=10), group(25))
    hand.tick(seen(3), seen(10), seen(5))
    assert hand.tick(seen(3), seen(10), seen(5)) == [(Verb.OPEN, 1)]
    assert hand.tick(seen(3), seen(10, failed=2), seen(5)) == [(Verb.PAUSE, 1)]
    assert hand.resume(seen(3), seen(10, failed=2), seen(5)) == []
    assert hand.tick(seen(3, succeeded=3), seen(10, failed=2), seen(5)) == [], "it finishes in this pass"
    assert hand.tick(seen(3, succeeded=3), seen(10, failed=2), seen(5)) == [(Verb.OPEN, 2)]


def test_success_action_pause_pauses_only_before_a_scheduled_group():
    hand = Hand(group(50, action="PAUSE"), group(50, action="PAUSE"))
    hand.tick(seen(10), seen(10))
    assert hand.tick(seen(10, succeeded=5), seen(10)) == [(Verb.PAUSE, 0)]
    assert hand.tick(seen(10, succeeded=10), seen(10)) == []
    assert hand.resume(seen(10, succeeded=10), seen(10)) == [(Verb.OPEN, 1)]
    assert hand.tick(seen(10, succeeded=10), seen(10, succeeded=5)) == []
    assert hand.tick(seen(10, succeeded=10), seen(10, succeeded=10)) == [(Verb.FINISH, 1)]


def test_one_silent_device_keeps_a_rollout_open_for_ever():
    hand = Hand(group())
    hand.tick(seen(100))
    assert hand.tick(seen(100, succeeded=98, skipped=1)) == []
    assert hand.tick(seen(100, succeeded=98, skipped=1, silent=1)) == []
    assert hand.tick(seen(100, succeeded=98, skipped=2)) == [(Verb.FINISH, 0)], "a canceled action has ended"


def test_canceled_actions_are_neither_success_nor_error():
    hand = Hand(group(50, success=50, error=0), group(50))
    hand.tick(seen(100), seen(1))
    assert hand.tick(seen(100, succeeded=49, skipped=50), seen(1)) == []


def test_a_dynamic_rollout_never_finishes():
    hand = Hand(group(), dynamic=True)
    hand.tick(seen(1))
    assert hand.tick(seen(1, succeeded=1)) == []
    static = Hand(group())
    static.tick(seen(1))
    assert static.tick(seen(1, succeeded=1)) == [(Verb.FINISH, 0)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [(Verb.PAUSE, 0), (Verb.OPEN, 2)]),
        ({"errorEndsPass": False}, [(Verb.PAUSE, 0), (Verb.OPEN, 2)]),
        ({"errorEndsPass": True}, [(Verb.PAUSE, 0)]),
    ],
)
def test_a_pass_goes_on_after_an_error_unless_the_option_ends_it(options, expected):
    hand = Hand(group(50, error=10), group(25), group(25), simlib=options)
    hand.tick(seen(100), seen(50), seen(50))
    hand.tick(seen(100, succeeded=50), seen(50), seen(50))
    assert hand.tick(seen(100, succeeded=50, failed=11), seen(50, succeeded=25), seen(50)) == expected


def test_a_missing_error_condition_is_the_rollouts_or_none():
    condition = {"condition": "THRESHOLD", "expression": "7"}
    assert [g.error for g in read(group(error=5), group(), errorCondition=condition).groups] == [5, 7]
    assert [g.error for g in read(group()).groups] == [None]
    assert [g.error for g in read(group(), simlib={"builderDefaults": True}).groups] == [50]
    assert read({}).groups[0].success == 50


def test_a_number_of_groups_has_the_defaults_of_hawkbits_builder():
    def even(**more):
        return SERVICE.read({"amountGroups": 2, **more}, "r").groups

    assert [(g.success, g.pauses, g.error) for g in even()] == [(50, False, 50)] * 2
    condition = {"condition": "THRESHOLD", "expression": "7"}
    assert [g.error for g in even(errorCondition=condition)] == [7, 7]
    assert [g.success for g in even(successCondition=condition)] == [7, 7]


def test_what_downloaded_means_depends_on_the_type():
    assert SERVICE.words_of(read(group()))["downloaded"] == Told.STARTED
    words = SERVICE.words_of(read(group(), type="downloadonly"))
    assert words == {**SERVICE.statuses, "downloaded": Told.SKIPPED}


def test_a_finer_scheduler_is_an_option():
    assert SERVICE.policy(read(group()), (1,)).interval_ms == TICK
    assert SERVICE.policy(read(group(), simlib={"schedulerIntervalMs": 500}), (1,)).interval_ms == 500


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (
            {"groups": [{"sucessCondition": {}}]},
            r"groups\.0\.sucessCondition: found an unknown key, expected successCondition",
        ),
        ({"groups": [group(0)]}, r"groups\.0\.targetPercentage: found 0, expected a number above 0"),
        ({"groups": [group(101)]}, r"groups\.0\.targetPercentage: found 101, expected .*at most 100"),
        ({"groups": [group(success="5.5")]}, r"groups\.0\.successCondition\.expression: .*whole number"),
        ({"groups": [group(error=101)]}, r"groups\.0\.errorCondition\.expression: .*0 to 100"),
        ({"groups": [group(action="STOP")]}, r"groups\.0\.successAction\.action: .*NEXTGROUP, PAUSE"),
        ({"groups": []}, "groups: found no group, expected at least 1"),
        ({}, "groups: found no such key, expected groups or amountGroups"),
        ({"groups": [group()], "amountGroups": 1}, "amountGroups: found 1, expected either"),
        ({"amountGroups": 0}, "amountGroups: found 0, expected 1 or more"),
        ({"amountGroups": 501}, "amountGroups: found 501 groups, expected at most 500 a rollout"),
        ({"groups": [group()] * 501}, "groups: found 501 groups, expected at most 500 a rollout"),
        ({"amountGroups": 1, "dynamicGroupTemplate": {}}, "dynamicGroupTemplate: .*dynamic to be true"),
        ({"amountGroups": 1, "type": "hard"}, 'type: found "hard", expected one of forced'),
        ({"amountGroups": 1, "weight": 1001}, "weight: found 1001, expected 0 to 1000"),
    ],
)
def test_what_hawkbit_would_refuse_is_refused(document, complaint):
    with pytest.raises(InputError, match=f"^rollout.json: ({complaint})"):
        SERVICE.read(document, "rollout.json")


def test_the_quota_of_targets_is_for_the_fleets_groups():
    config = read(group(50), group(50))
    assert SERVICE.sizes(config, 40_000) == (20_000, 20_000)
    with pytest.raises(InputError, match=r"groups\.0\.targetPercentage: .*at most 20000 targets a group"):
        SERVICE.sizes(config, 40_001)
    wider = read(group(50), group(50), simlib={"maxTargetsPerGroup": 30_000})
    assert SERVICE.sizes(wider, 50_000) == (25_000, 25_000)
    with pytest.raises(InputError, match=r"amountGroups: found 2 groups .*at most 20000"):
        SERVICE.sizes(SERVICE.read({"amountGroups": 2}, "r"), 40_001)
    assert SERVICE.sizes(SERVICE.read({"amountGroups": 2}, "r"), 40_000) == (20_000, 20_000)


@given(st.lists(st.decimals(Decimal("0.001"), 100, places=3), min_size=1, max_size=8), st.integers(1, 20_000))
def test_groups_never_get_more_than_there_are(percentages, devices):
    try:
        found = SERVICE.sizes(read(*(group(p) for p in percentages)), devices)
    except InputError as error:
        assert "expected all of them" in str(error)
        return
    assert sum(found) == devices and all(size >= 0 for size in found)


OUTCOMES = ("succeeded", "failed", "skipped", "never")


@st.composite
def rollouts(draw):
    count = draw(st.integers(1, 4))
    numbers = [draw(st.integers(0, 12)) for _ in range(count)]
    percents = st.sampled_from((0, 5, 20, 34, 50, 80, 100))
    groups = [
        group(
            success=draw(percents),
            error=draw(st.none() | percents),
            action=draw(st.sampled_from(("NEXTGROUP", "NEXTGROUP", "PAUSE"))),
        )
        for _ in range(count)
    ]
    devices = [
        [(draw(st.integers(0, 9_000)), draw(st.sampled_from(OUTCOMES))) for _ in range(number)]
        for number in numbers
    ]
    return read(*groups, simlib={"errorEndsPass": draw(st.booleans())}), devices


def run(config, devices, *, always, ends_ms=80_000):
    """What a policy decides over a fleet that reports so long after it was released, and when.

    It is resumed once, at the tick after the first one at which it paused; asked at every tick if `always`.
    """
    policy = SERVICE.policy(config, tuple(map(len, devices)))
    counts = [dict.fromkeys(OUTCOMES, 0) for _ in devices]
    reports, log, wake, resume_ms, resumed = [], [], None, None, False
    for now in range(0, ends_ms, policy.interval_ms):
        while reports and reports[0][0] <= now:
            _, number, outcome = heappop(reports)
            counts[number][outcome] += 1
        views = tuple(
            seen(len(each), **{key: n for key, n in count.items() if key != "never"})
            for each, count in zip(devices, counts, strict=True)
        )
        if now == resume_ms:
            decision = policy.resume(View(now, views))
        elif always or wake is None or due(wake, now, views):
            decision = policy.decide(View(now, views))
        else:
            continue
        wake = decision.wake
        for action in decision.actions:
            log.append((now, action))
            if action.verb is Verb.PAUSE and not resumed:
                resume_ms, resumed = now + policy.interval_ms, True
            if action.verb is Verb.OPEN:
                for delay, outcome in devices[action.group]:
                    heappush(reports, (now + 1 + delay, action.group, outcome))
    return log


def due(wake, now, views):
    timed = wake.at_ms is not None and wake.at_ms <= now
    return timed or any(getattr(views[g], counter.value) >= least for g, counter, least in wake.counts)


@settings(max_examples=examples(500))
@given(rollouts())
def test_declared_wake_ups_decide_as_asking_at_every_tick_does(drawn):
    config, devices = drawn
    assert run(config, devices, always=False) == run(config, devices, always=True)


@given(rollouts())
def test_groups_open_in_order_and_nothing_opens_while_paused(drawn):
    config, devices = drawn
    log = run(config, devices, always=True)
    opened = [action.group for _, action in log if action.verb is Verb.OPEN]
    assert opened == list(range(len(opened)))
    assert [action.verb for _, action in log].count(Verb.FINISH) <= 1
    if log and log[-1][1].verb is Verb.FINISH:
        assert opened == list(range(len(devices)))
