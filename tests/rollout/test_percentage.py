"""Google Play's and Memfault's percentages: what is refused, who is in which step, and when each comes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.rollout.policy import Verb
from simlib.rollout.services.percentage import SERVICE, policy, read, sizes, translate
from simlib.scenario import Scenario
from simlib.scenario.json_text import parse_json
from tests.rollout.percentage_driver import asked_alike, drive, log, reports

HOUR, DAY = 3_600_000, 86_400_000
PLAY = """{"track": "production", "steps": [
    {"status": "inProgress", "userFraction": 0.05},
    {"userFraction": 0.25, "after": "2 d"},
    {"userFraction": 0.5, "after": "2 d"},
    {"status": "completed", "after": "2 d"}]}"""
MEMFAULT = """{"cohort": "default", "steps": [
    {"devices": 10}, {"rolloutPercentage": 5, "after": "4 h"}, {"rolloutPercentage": 25, "after": "2 d"},
    {"rolloutPercentage": 50, "after": "2 d"}, {"rolloutPercentage": 100, "after": "2 d"}]}"""


def plan(text: str):
    return read(parse_json(text, "play.json"), "play.json")


def run(text: str, devices: int = 1000, told=(), days: int = 12, resumed=()):
    made = plan(text)
    parts = sizes(made, devices)
    return asked_alike(
        lambda: policy(made, parts), parts, told, step_ms=HOUR, ticks=days * 24, resumed=resumed
    )


def test_a_plan_opens_its_steps_two_days_apart_whatever_happened():
    failing = [(tick, 0, "failed") for tick in range(1, 51)]
    opened = [(0, Verb.OPEN, 0), (2 * DAY, Verb.OPEN, 1), (4 * DAY, Verb.OPEN, 2), (6 * DAY, Verb.OPEN, 3)]
    assert log(run(PLAY, told=failing)) == [*opened, (6 * DAY, Verb.FINISH, 3)]


def test_memfaults_sample_plan_starts_with_canaries_and_takes_its_shares_of_the_others():
    assert sizes(plan(MEMFAULT), 1010) == (10, 50, 200, 250, 500)
    times = [(at, group) for at, verb, group in log(run(MEMFAULT, 1010)) if verb is Verb.OPEN]
    assert times == [
        (0, 0),
        (4 * HOUR, 1),
        (2 * DAY + 4 * HOUR, 2),
        (4 * DAY + 4 * HOUR, 3),
        (6 * DAY + 4 * HOUR, 4),
    ]


def test_a_share_is_of_the_whole_fleet_rounded_down_and_the_rest_is_left_out():
    assert sizes(plan('{"status": "inProgress", "userFraction": 0.05}'), 39) == (1, 38)
    assert sizes(plan('{"cohort": "beta", "rolloutPercentage": 12.5}'), 17) == (2, 15)
    assert sizes(plan('{"cohort": "beta"}'), 17) == (17,)


@given(st.lists(st.integers(1, 999), min_size=1, max_size=6, unique=True).map(sorted), st.integers(1, 10_000))
def test_a_step_reaches_the_share_it_says_of_any_fleet(thousandths, devices):
    steps = ", ".join(f'{{"userFraction": 0.{n:03}, "after": "1 d"}}' for n in thousandths)
    parts = sizes(plan(f'{{"steps": [{steps}]}}'), devices)
    assert sum(parts) == devices and len(parts) == len(thousandths) + 1
    for number, n in enumerate(thousandths, 1):
        assert sum(parts[:number]) == n * devices // 1000


def test_a_halted_release_and_a_draft_reach_nobody():
    assert log(run('{"status": "halted", "userFraction": 0.2}')) == [(0, Verb.CANCEL, None)]
    assert run('{"releases": [{"status": "completed"}, {"status": "draft"}]}') == []
    assert sizes(plan('{"status": "draft"}'), 7) == (7,)


def test_of_a_track_the_release_on_its_way_counts():
    text = """{"track": "production", "releases": [{"status": "completed", "versionCodes": ["88"]},
              {"status": "inProgress", "userFraction": 0.1, "inAppUpdatePriority": 2}]}"""
    assert sizes(plan(text), 100) == (10, 90)
    assert log(run(text)) == [(0, Verb.OPEN, 0)]


def test_a_halt_by_plan_stops_new_devices_and_its_resumption_reopens_what_was_open():
    text = """{"steps": [{"userFraction": 0.1}, {"userFraction": 0.2, "after": "1 d"},
               {"status": "halted", "userFraction": 0.2, "after": "1 d"}]}"""
    assert log(run(text, resumed=[72])) == [
        (0, Verb.OPEN, 0),
        (DAY, Verb.OPEN, 1),
        (2 * DAY, Verb.CANCEL, None),
        (3 * DAY, Verb.OPEN, 0),
        (3 * DAY, Verb.OPEN, 1),
    ]


def judged(options: str) -> str:
    return PLAY.rstrip("}") + f', "simlib": {{"judge": {{{options}}}}}}}'


def test_who_judges_halts_at_the_next_look_and_at_exactly_the_percentage():
    told = [*[(1, 0, "succeeded")] * 9, (30, 0, "failed")]
    rows = run(judged('"haltAtFailurePercentage": 10'), told=told)
    assert log(rows) == [(0, Verb.OPEN, 0), (DAY + 9 * HOUR, Verb.CANCEL, None)]
    assert rows[-1][3] == "1 of 10 judged devices failed, at least 10 %"
    assert log(run(judged('"haltAtFailurePercentage": 10.1'), told=told))[-1] == (6 * DAY, Verb.FINISH, 3)


def test_who_judges_waits_for_the_sample_and_looks_when_told_to():
    told = [*[(1, 0, "failed")] * 4, (50, 0, "succeeded")]
    options = '"haltAtFailurePercentage": 50, "minSample": 5, "every": "6 h", "at": "15:00"'
    halts = [now for now, verb, _ in log(run(judged(options), told=told)) if verb is Verb.CANCEL]
    assert halts == [51 * HOUR]  # 03:00 of the third day; the fifth device was judged at 02:00


def test_silence_counts_for_who_judges_only_if_it_is_asked_for():
    made = plan(judged('"haltAtFailurePercentage": 10, "silentAfter": "1 d"'))
    assert policy(made, sizes(made, 100)).deadline_ms == DAY
    assert policy(plan(PLAY), sizes(plan(PLAY), 100)).deadline_ms == 0


def test_who_resumes_has_accepted_what_failed_and_the_plan_is_later_by_the_halt():
    told = [*[(1, 0, "succeeded")] * 9, (30, 0, "failed")]
    rows = log(run(judged('"haltAtFailurePercentage": 10'), told=told, resumed=[57]))  # 24 hours later
    assert rows == [
        (0, Verb.OPEN, 0),
        (33 * HOUR, Verb.CANCEL, None),
        (57 * HOUR, Verb.OPEN, 0),
        (3 * DAY, Verb.OPEN, 1),
        (5 * DAY, Verb.OPEN, 2),
        (7 * DAY, Verb.OPEN, 3),
        (7 * DAY, Verb.FINISH, 3),
    ]


@given(
    reports(240, 4),
    st.integers(1, 100),
    st.integers(1, 12),
    st.sampled_from(["1 h", "5 h", "1 d"]),
    st.lists(st.integers(1, 240), max_size=3, unique=True),
)
def test_percentage_asked_at_its_wakes_does_what_it_does_asked_always(told, percent, sample, every, resumed):
    options = f'"haltAtFailurePercentage": {percent}, "minSample": {sample}, "every": "{every}"'
    run(judged(options), told=told, days=10, resumed=resumed)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            '{"status": "inProgress", "userFraction": 1}',
            "userFraction: found 1, expected a number above 0 and below 1",
        ),
        ('{"status": "halted", "userFraction": 0.0}', "userFraction: found 0.0, expected a number above 0"),
        ('{"status": "inProgress"}', "userFraction: found no such key, expected it for inProgress"),
        (
            '{"status": "completed", "userFraction": 0.5}',
            "userFraction: found 0.5, expected none for completed",
        ),
        ('{"status": "draft", "userFraction": 0.5}', "userFraction: found 0.5, expected none for draft"),
        ('{"status": "paused"}', 'status: found "paused", expected one of draft, inProgress'),
        ('{"userFracton": 0.5}', "userFracton: found an unknown key, expected userFraction"),
        ("{}", "found none of them, expected releases, a status, or steps"),
        ('{"steps": []}', "steps: found an empty list"),
        (
            '{"releases": [{"status": "completed"}, {"status": "completed"}]}',
            "releases.1.status: found a second",
        ),
        (
            '{"releases": [{"status": "completed", "after": "1 d"}]}',
            "releases.0.after: found 1 d, expected it in steps",
        ),
        ('{"steps": [{"userFraction": 0.5}, {"status": "completed"}]}', "steps.1.after: found no such key"),
        (
            '{"steps": [{"userFraction": 0.5}, {"userFraction": 0.25, "after": "1 d"}]}',
            "steps.1: found 25 %, expected at least 50 % as before",
        ),
        (
            '{"steps": [{"status": "halted"}, {"status": "completed", "after": "1 d"}]}',
            "steps.1: found a step after a halt, expected none",
        ),
        ('{"cohort": "c", "rolloutPercentage": 0}', "rolloutPercentage: found 0, expected a number above 0"),
        (
            '{"cohort": "c", "rolloutPercentage": 101}',
            "rolloutPercentage: found 101, expected a number above 0",
        ),
        (
            '{"cohort": "c", "rolloutPercentage": 5, "steps": []}',
            "found rolloutPercentage and steps, expected one",
        ),
        ('{"cohort": "c", "steps": [{}]}', "steps.0: found 0 of them, expected one of devices"),
        (
            '{"cohort": "c", "steps": [{"rolloutPercentage": 5}, {"devices": 4, "after": "1 h"}]}',
            "steps.1.devices: found 4, expected it in the first step only",
        ),
        ('{"status": "completed", "simlib": {"judge": {}}}', "haltAtFailurePercentage: found no such key"),
    ],
)
def test_what_the_service_would_refuse_is_refused_by_name(text, complaint):
    with pytest.raises(InputError) as raised:
        plan(text)
    assert str(raised.value).startswith("play.json: ") and complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_more_canaries_than_devices_are_refused():
    with pytest.raises(InputError, match=r"steps.0.devices: found 10, expected fewer canaries .*, 10"):
        sizes(plan(MEMFAULT), 10)


def test_a_scenario_becomes_fractions_by_the_clock_and_says_what_is_lost():
    spec = Scenario.load("smoke").spec
    made = translate(spec)
    assert made.document["steps"] == [
        {"userFraction": Decimal("0.05")},
        {"userFraction": Decimal("0.3"), "after": "6 h"},
        {"status": "completed", "after": "6 h"},
    ]
    parts = sizes(read(made.document, "made"), 2000)
    assert parts == (100, 500, 1400)
    lost = "\n".join(made.lost)
    for key in (
        "groups.0.success_threshold",
        "groups.2.error_threshold",
        "rollout.deadline",
        "no schedule is kept",
    ):
        assert key in lost
    assert "soak" not in lost


def test_a_share_without_a_decimal_is_rounded_up_to_the_same_devices():
    spec = Scenario.load("smoke").with_({"rollout.groups.0.share": "1/3"}).spec
    made = translate(spec)
    assert sizes(read(made.document, "made"), 120_000)[0] == 40_000
    assert any("rounded up" in each for each in made.lost)


def test_the_words_of_plays_devices_are_known():
    assert set(SERVICE.statuses) >= {"PENDING", "DOWNLOADING", "INSTALLED", "FAILED", "CANCELED"}


def test_the_driver_lets_only_open_groups_report():
    made = plan(PLAY)
    parts = sizes(made, 100)
    seen = drive(lambda: policy(made, parts), parts, [(1, 3, "failed")] * 5, step_ms=HOUR, ticks=5)
    assert log(seen) == [(0, Verb.OPEN, 0)]
