"""Automatic deployment: bulletin days, rings after their deferrals, and a rule that watches all of them."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.rollout.policy import Told, Verb
from simlib.rollout.services.automatic import SERVICE, dictate, disclosure, policy, read, sizes, translate
from simlib.rollout.services.automatic_bulletins import bulletins
from simlib.rollout.services.automatic_policy import Rule
from simlib.scenario import Scenario
from tests.rollout.percentage_driver import asked_alike, changed, log, reports

HOUR, DAY = 3_600_000, 86_400_000
BULLETIN = {"dayOfMonth": 1, "leadDays": 30, "first": "2026-02-01"}
RINGS = [
    {"name": "pilot", "percentage": 5, "deferralDays": 0, "deadlineDays": 2},
    {"name": "fast", "percentage": 20, "deferralDays": 3, "deadlineDays": 3},
    {"name": "broad", "percentage": 75, "deferralDays": 7, "deadlineDays": 7},
]
RULE = {"signal": "rollback", "threshold": 5, "action": "pauseDeployment"}
DEPLOYMENT = {"bulletin": BULLETIN, "rings": RINGS, "monitoringRule": RULE}


def run(document, devices=1000, told=(), days=20, resumed=()):
    made = read(document, "d.json")
    parts = sizes(made, devices)
    return asked_alike(
        lambda: policy(made, parts), parts, told, step_ms=HOUR, ticks=days * 24, resumed=resumed
    )


def opened(rows):
    return [(now // DAY, group) for now, verb, group in log(rows) if verb is Verb.OPEN]


def test_rings_open_after_their_deferrals_and_are_done_at_their_deadlines():
    rows = run(changed(DEPLOYMENT, monitoringRule=None))
    assert opened(rows) == [(0, 0), (3, 1), (7, 2)]
    assert log(rows)[-1] == (14 * DAY, Verb.FINISH, 2)


def test_a_rollout_that_starts_before_the_bulletin_waits_for_it():
    assert opened(run(changed(DEPLOYMENT, simlib={"start": "2026-01-27"}))) == [(5, 0), (8, 1), (12, 2)]


def test_without_a_first_day_the_next_bulletin_counts():
    document = changed(DEPLOYMENT, bulletin={"dayOfMonth": 5}, simlib={"start": "2026-12-28"})
    assert opened(run(document))[0] == (8, 0)


def test_rings_open_in_the_order_of_their_days_not_of_the_list():
    rows = run(changed(DEPLOYMENT, rings=[RINGS[2], RINGS[0], RINGS[1]]))
    assert opened(rows) == [(0, 1), (3, 2), (7, 0)]


def test_rings_are_cut_at_the_cumulative_percentages():
    assert sizes(read(DEPLOYMENT, "d"), 1000) == (50, 200, 750)
    assert sizes(read(DEPLOYMENT, "d"), 19) == (0, 4, 15)


def test_without_deadlines_it_is_finished_when_nothing_more_is_awaited():
    ring = [{"name": "all", "percentage": 100}]
    told = [(2, 0, "succeeded"), (5, 0, "skipped"), (9, 0, "succeeded")]
    assert log(run(changed(DEPLOYMENT, rings=ring), 3, told)) == [
        (0, Verb.OPEN, 0),
        (9 * HOUR, Verb.FINISH, 0),
    ]
    assert log(run(changed(DEPLOYMENT, rings=ring), 4, told)) == [(0, Verb.OPEN, 0)]


def test_the_rule_fires_when_the_threshold_is_reached_in_any_open_ring():
    calm = [*[(80, 1, "succeeded")] * 19, *[(81, 0, "succeeded")] * 30]
    rows = run(DEPLOYMENT, told=[*calm, (90, 1, "failed")])
    assert log(rows)[-1] == (90 * HOUR, Verb.CANCEL, 1)
    assert rows[-1][3] == "1 of 20 judged devices rolled back, at least 5 %: pausedByMonitoring"
    assert opened(rows) == [(0, 0), (3, 1)]
    almost = [*calm, (85, 1, "succeeded"), (90, 1, "failed")]  # 1 of 21
    assert opened(run(DEPLOYMENT, told=almost)) == [(0, 0), (3, 1), (7, 2)]


def test_a_minimum_sample_and_what_a_pause_reaches_are_options():
    options = {"minSample": 4, "pause": "rings"}
    told = [(1, 0, "failed"), (2, 0, "failed"), (3, 0, "succeeded"), (4, 0, "succeeded")]
    rows = log(run(changed(DEPLOYMENT, simlib=options), told=told))
    assert rows == [(0, Verb.OPEN, 0), (4 * HOUR, Verb.PAUSE, 0)]


def test_silence_is_no_rollback_though_it_may_be_judged():
    told = [(1, 0, "silent")] * 50
    assert opened(run(DEPLOYMENT, told=told)) == [(0, 0), (3, 1), (7, 2)]
    assert policy(read(changed(DEPLOYMENT, simlib={"silentAfter": "1 d"}), "d"), (1,)).deadline_ms == DAY


def test_an_alert_stops_nothing_and_becomes_the_scenarios():
    document = changed(DEPLOYMENT, monitoringRule={**RULE, "action": "alertError"}, simlib={"minSample": 9})
    assert opened(run(document, told=[(1, 0, "failed")] * 50)) == [(0, 0), (3, 1), (7, 2)]
    spec = Scenario.load("smoke").spec
    alerts = dictate(read(document, "d"), spec).alerts
    assert (alerts.failure_rate, alerts.min_sample) == (Fraction(1, 20), 9)
    assert dictate(read(DEPLOYMENT, "d"), spec).alerts == spec.alerts


def test_who_resumes_opens_what_was_open_and_what_came_due_and_is_judged_anew():
    told = [(1, 0, "failed"), *[(130, 0, "succeeded")] * 20, (140, 0, "failed"), (141, 0, "failed")]
    rows = log(run(DEPLOYMENT, told=told, resumed=[96]))  # four days on
    assert rows == [
        (0, Verb.OPEN, 0),
        (HOUR, Verb.CANCEL, 0),
        (4 * DAY, Verb.OPEN, 0),
        (4 * DAY, Verb.OPEN, 1),
        (141 * HOUR, Verb.CANCEL, 0),  # 2 of 22; 1 of 21 was not enough
    ]


@given(
    reports(400, 3),
    st.integers(1, 100),
    st.integers(1, 8),
    st.sampled_from(["offers", "rings"]),
    st.lists(st.integers(1, 400), max_size=3, unique=True),
    st.booleans(),
)
def test_automatic_asked_at_its_wakes_does_what_it_does_asked_always(
    told, threshold, sample, pause, resumed, due
):
    rings = RINGS if due else [{k: v for k, v in ring.items() if k != "deadlineDays"} for ring in RINGS]
    options = {"minSample": sample, "pause": pause}
    document = changed(
        DEPLOYMENT, rings=rings, monitoringRule={**RULE, "threshold": threshold}, simlib=options
    )
    run(document, 40, told, resumed=resumed)


@given(st.integers(1, 100), st.integers(0, 500))
def test_the_bound_of_the_rule_is_the_least_number_that_could_meet_it(percent, others):
    rule = Rule(Fraction(percent, 100), 1, Verb.CANCEL)
    bound = rule.least(others)
    if bound is None:
        assert not any(rule.met(failed, failed + others) for failed in range(2000))
    else:
        assert rule.met(bound, bound + others) and not rule.met(bound - 1, bound - 1 + others)


def test_owners_cannot_put_off_for_good_what_has_a_deadline():
    owner = {"name": "o", "automatic": 0, "prompted": 1, "then": "give-up"}
    spec = Scenario.load("smoke").with_({"owners": [owner]}).spec
    assert dictate(read(DEPLOYMENT, "d"), spec).owners[0].then == "install"
    loose = changed(DEPLOYMENT, rings=[{"name": "all", "percentage": 100}])
    assert dictate(read(loose, "d"), spec).owners == spec.owners


def test_bulletins_are_a_month_apart_and_the_first_is_the_start():
    assert bulletins(date(2026, 2, 1), 4) == (0, 28 * DAY, 59 * DAY, 89 * DAY)
    assert bulletins(date(2026, 11, 20), 3, 5) == (15 * DAY, 46 * DAY, 77 * DAY)
    assert bulletins(date(2026, 2, 1), 0) == ()
    with pytest.raises(ValueError, match="found 31, expected 1 to 28"):
        bulletins(date(2026, 1, 31), 2)


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(1, 28), st.integers(1, 30))
def test_every_bulletin_is_on_its_day_and_no_month_is_left_out(start, day, count):
    days = [date.fromordinal(start.toordinal() + at // DAY) for at in bulletins(start, count, day)]
    assert all(each.day == day for each in days) and days[0] >= start
    assert (days[0] - start).days <= 31
    months = [each.year * 12 + each.month for each in days]
    assert months == list(range(months[0], months[0] + count))


def test_partners_know_a_lead_before_the_bulletin():
    made = disclosure(read(changed(DEPLOYMENT, simlib={"start": "2026-01-22"}), "d"), exploit_ms=3 * DAY)
    assert (made.reported_ms, made.embargo_ms, made.exploit_ms) == (-20 * DAY, 30 * DAY, 3 * DAY)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (
            changed(DEPLOYMENT, monitoringRule={**RULE, "threshold": 0}),
            "threshold: found 0, expected 1 to 100",
        ),
        (
            changed(DEPLOYMENT, monitoringRule={**RULE, "threshold": 101}),
            "threshold: found 101, expected 1 to 100",
        ),
        (
            changed(DEPLOYMENT, monitoringRule={**RULE, "threshold": Decimal("2.5")}),
            "monitoringRule.threshold: found 2.5, expected a whole number",
        ),
        (changed(DEPLOYMENT, monitoringRule={**RULE, "signal": "ineligible"}), 'signal: found "ineligible"'),
        (changed(DEPLOYMENT, monitoringRule={**RULE, "action": "pause"}), "expected one of alertError"),
        (changed(DEPLOYMENT, rings=[]), "rings: found an empty list"),
        (changed(DEPLOYMENT, rings=RINGS[:2]), "rings: found percentages that sum to 25 %, expected 100 %"),
        (changed(DEPLOYMENT, rings=[RINGS[0], *RINGS[:2]]), 'rings.1.name: found "pilot" a second time'),
        (
            changed(DEPLOYMENT, bulletin={**BULLETIN, "dayOfMonth": 29}),
            "dayOfMonth: found 29, expected 1 to 28",
        ),
        (
            changed(DEPLOYMENT, bulletin={**BULLETIN, "dayOfMonth": 5}),
            "first: found 2026-02-01, expected a day 5",
        ),
        (changed(DEPLOYMENT, bulletin={**BULLETIN, "first": "2026-02-30"}), "expected a date as yyyy-mm-dd"),
        (
            changed(DEPLOYMENT, bulletin={"dayOfMonth": 1}),
            "bulletin.first: found no such key, expected it or",
        ),
        (
            changed(DEPLOYMENT, simlib={"start": "2026-02-02"}),
            "simlib.start: found 2026-02-02, expected no later",
        ),
        (changed(DEPLOYMENT, ring=[]), "ring: found an unknown key, expected rings"),
    ],
)
def test_what_the_service_would_refuse_is_refused_by_name(document, complaint):
    with pytest.raises(InputError) as raised:
        read(document, "d.json")
    assert str(raised.value).startswith("d.json: ") and complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_scenario_becomes_rings_of_whole_days_and_says_what_is_lost():
    spec = Scenario.load("smoke").spec
    made = translate(spec)
    assert [ring["percentage"] for ring in made.document["rings"]] == [5, 25, 70]
    assert [ring["deferralDays"] for ring in made.document["rings"]] == [0, 1, 1]
    assert made.document["monitoringRule"] == {
        "signal": "rollback",
        "threshold": 25,
        "action": "pauseDeployment",
    }
    assert sizes(read(made.document, "made"), 2000) == (100, 500, 1400)
    lost = "\n".join(made.lost)
    for key in ("groups.0.soak", "groups.0.success_threshold", "min_sample", "rollout.deadline"):
        assert key in lost


def test_a_ring_is_deferred_by_all_the_soaks_before_it():
    made = translate(Scenario.load("escooter-120k").spec)  # 12 h, 1 d, 1 d
    assert [ring["deferralDays"] for ring in made.document["rings"]] == [0, 1, 2, 3]
    assert sizes(read(made.document, "made"), 120_000) == (1_200, 10_800, 48_000, 60_000)


def test_thirds_are_written_as_decimals_that_sum_to_a_hundred():
    spec = Scenario.load("smoke").spec
    groups = tuple(replace(group, share=Fraction(1, 3)) for group in spec.rollout.groups)
    made = translate(replace(spec, rollout=replace(spec.rollout, groups=groups)))
    assert sizes(read(made.document, "made"), 120_000) == (40_000, 40_000, 40_000)
    assert sum("rounded" in each for each in made.lost) == 3


def test_the_clients_words_are_known():
    assert SERVICE.statuses["Installed"] is Told.SUCCEEDED and SERVICE.statuses["rollback"] is Told.FAILED
