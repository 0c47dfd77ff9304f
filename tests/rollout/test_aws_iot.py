"""The `aws-iot` policy notifies, aborts and completes as AWS IoT Jobs does (cases A1 to A7 and more)."""

from decimal import Decimal
from heapq import heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.rollout.events import STEP_TIMEOUT, read_events
from simlib.rollout.policy import GroupView, Verb, View
from simlib.rollout.services.aws_iot import SERVICE
from simlib.rollout.trace import trace
from tests.amounts import examples

MINUTE = 60_000


def ramp(base=50, factor=2, maximum=1000, **criteria):
    names = {"notified": "numberOfNotifiedThings", "succeeded": "numberOfSucceededThings"}
    return {
        "jobExecutionsRolloutConfig": {
            "maximumPerMinute": maximum,
            "exponentialRate": {
                "baseRatePerMinute": base,
                "incrementFactor": factor,
                "rateIncreaseCriteria": {names[key]: number for key, number in criteria.items()},
            },
        }
    }


def abort(*criteria, comparison=None):
    listed = [
        {
            "failureType": failure,
            "action": "CANCEL",
            "minNumberOfExecutedThings": least,
            "thresholdPercentage": percentage,
        }
        for failure, percentage, least in criteria
    ]
    options = {} if comparison is None else {"simlib": {"abortComparison": comparison}}
    return {"abortConfig": {"criteriaList": listed}, **options}


def read(document):
    return SERVICE.read(document, "job.json")


def seen(size, *, succeeded=0, failed=0, silent=0, skipped=0, withdrawn=0):
    started = succeeded + failed + silent + skipped
    return GroupView(size, size, started, succeeded, failed, silent, skipped, withdrawn=withdrawn)


def cumulative(document, devices, events=None, until_ms=None):
    """Things notified in all at each minute at which any were."""
    rows = trace(SERVICE.policy(read(document), (devices,)), (devices,), events, until_ms).releases
    return {Decimal(row.time_ms) / MINUTE: row.cumulative for row in rows}


def decisions(document, devices, rows, until_ms=None, columns="time_ms,device,status"):
    text = "\n".join([columns, *(",".join(map(str, row)) for row in rows)])
    events = read_events(text, "events.csv", SERVICE.statuses, optional=(STEP_TIMEOUT,))
    made = trace(SERVICE.policy(read(document), (devices,)), (devices,), events, until_ms).decisions
    return [(each.time_ms, each.decision) for each in made if each.decision != "open"]


def test_A1_thresholds_are_cumulative_and_the_rate_is_geometric():
    at = cumulative(ramp(notified=1000), 100_000)
    assert [at[minute] for minute in (1, 2, 20, 21, 30, 35, 38, 39, 40)] == [
        50, 100, 1000, 1100, 2000, 3000, 4200, 5000, 6000,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("devices", "exponential", "constant"), [(1_000, 20, 1), (10_000, 44, 10), (100_000, 134, 100)]
)
def test_A1_time_to_notify_the_whole_fleet(devices, exponential, constant):
    assert max(cumulative(ramp(notified=1000), devices)) == exponential
    assert max(cumulative({}, devices)) == constant


def test_A1_the_criterion_of_successes_gives_the_same_table_if_all_succeed_at_once():
    assert cumulative(ramp(succeeded=1000), 10_000) == cumulative(ramp(notified=1000), 10_000)


def test_A2_the_rate_stays_until_the_thousandth_success():
    things, install_minutes = 3_000, 15
    rows = []
    for thing in range(things):  # notified 50 a minute, the first at minute 1
        rows.append(((thing // 50 + 1 + install_minutes) * MINUTE, thing, "SUCCEEDED"))
    events = read_events(
        "time_ms,device,status\n" + "\n".join(",".join(map(str, row)) for row in rows), "e", SERVICE.statuses
    )
    at = cumulative(ramp(succeeded=1000), things, events)
    assert all(at[minute] == 50 * minute for minute in range(1, 36)), "1000 have succeeded at minute 35"
    assert at[36] - at[35] == 100


def test_both_criteria_are_joined_by_or():
    both = ramp(notified=1000, succeeded=200)
    silent = cumulative(both, 5_000, (), 40 * MINUTE)
    assert silent == cumulative(ramp(notified=1000), 5_000, (), 40 * MINUTE)
    assert cumulative(both, 5_000) == cumulative(ramp(succeeded=200), 5_000)


@pytest.mark.parametrize(("rounding", "third"), [(None, 112), ("floor", 112), ("round", 113), ("ceil", 113)])
def test_rounding_of_a_rate_is_an_option(rounding, third):
    options = {} if rounding is None else {"simlib": {"rounding": rounding}}
    rates = read(ramp(factor=Decimal("1.5"), notified=1000) | options).rates
    assert rates[:3] == (50, 75, third) and rates[-1] == 1000
    assert rates[3] == {"ceil": 169, "round": 169}.get(rounding, 168)


def test_crossing_several_thresholds_in_a_minute_is_an_option():
    steep = ramp(base=10, notified=4, maximum=1000)
    at = cumulative(steep, 1_000)
    assert (at[1], at[2] - at[1]) == (10, 40)
    one = cumulative(steep | {"simlib": {"overshoot": "one"}}, 1_000)
    assert (one[1], one[2] - one[1], one[3] - one[2]) == (10, 20, 40)


CASES = [
    ({"succeeded": 80, "failed": 19}, False),
    ({"succeeded": 80, "failed": 20}, True),
    ({"failed": 99}, False),
    ({"failed": 100}, True),
    ({"succeeded": 81, "failed": 20}, False),
]


@pytest.mark.parametrize(("counts", "aborts"), CASES)
def test_A3_abort_edge(counts, aborts):
    policy = SERVICE.policy(read(abort(("FAILED", 20, 100))), (1000,))
    verbs = [action.verb for action in policy.decide(View(1, (seen(1000, **counts),))).actions]
    assert verbs == ([Verb.CANCEL] if aborts else [])


def test_A3_the_percentage_has_to_be_exceeded_where_that_is_chosen():
    for failed, aborts in ((20, False), (21, True)):
        policy = SERVICE.policy(read(abort(("FAILED", 20, 100), comparison="exceeds")), (1000,))
        actions = policy.decide(View(1, (seen(1000, succeeded=80, failed=failed),))).actions
        assert bool(actions) == aborts


def test_A3_the_second_criterion_counts_only_after_the_first_is_false():
    document = abort(("FAILED", 20, 100), ("TIMED_OUT", 50, 200))
    for counts, reason in (
        ({"failed": 20, "silent": 180}, "FAILED" if 20 * 5 >= 200 else "TIMED_OUT"),
        ({"failed": 40, "silent": 160}, "FAILED"),
        ({"failed": 39, "silent": 161}, "TIMED_OUT"),
        ({"succeeded": 101, "silent": 99}, None),
        ({"silent": 199}, None),
    ):
        policy = SERVICE.policy(read(document), (1000,))
        actions = policy.decide(View(1, (seen(1000, **counts),))).actions
        assert [action.detail.partition(":")[0] for action in actions] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("failure", "counts"), [("REJECTED", {"skipped": 3}), ("ALL", {"skipped": 1, "failed": 1, "silent": 1})]
)
def test_abort_criteria_count_their_own_failures(failure, counts):
    policy = SERVICE.policy(read(abort((failure, 30, 10))), (100,))
    few = {key: number - (key == "skipped") for key, number in counts.items()}
    assert not policy.decide(View(1, (seen(100, succeeded=8, **few),))).actions
    assert policy.decide(View(2, (seen(100, succeeded=7, **counts),))).actions[0].verb is Verb.CANCEL


def test_a_percentage_of_0_needs_a_failure():
    policy = SERVICE.policy(read(abort(("FAILED", 0, 10))), (100,))
    assert not policy.decide(View(1, (seen(100, succeeded=50),))).actions
    assert policy.decide(View(2, (seen(100, succeeded=50, failed=1),))).actions


def test_A4_blast_radius_of_a_constant_rate():
    install = 20 * MINUTE
    rows = []
    for thing in range(30_000):
        notified = (thing // 1000 + 1) * MINUTE
        rows += [(notified, thing, "IN_PROGRESS"), (notified + install, thing, "FAILED")]
    text = "time_ms,device,status\n" + "\n".join(",".join(map(str, row)) for row in rows)
    events = read_events(text, "e", SERVICE.statuses)
    made = trace(SERVICE.policy(read(abort(("FAILED", 20, 100))), (100_000,)), (100_000,), events)
    cancelled = [each for each in made.decisions if each.decision == "cancel"]
    assert [each.time_ms for each in cancelled] == [21 * MINUTE]
    assert made.releases[-1].cumulative == 20_000, "notified when the job was aborted"
    assert cancelled[0].reason.startswith("FAILED: 1000 of 1000"), "completed; 19,000 go on"


def test_A5_step_timers_replace_each_other_and_cannot_outlive_the_whole():
    job = {"timeoutConfig": {"inProgressTimeoutInMinutes": 20}} | abort(("TIMED_OUT", 1, 1))
    noon, steps = 12 * 60 * MINUTE, [(5, 7), (10, 5), (13, 9)]
    for told, expires in ((0, 20), (1, 12), (2, 15), (3, 20)):
        rows = [(noon, 0, "IN_PROGRESS", "")]
        rows += [(noon + at * MINUTE, 0, "IN_PROGRESS", minutes) for at, minutes in steps[:told]]
        made = decisions(job, 5_000, rows, columns=f"time_ms,device,status,{STEP_TIMEOUT}")
        assert made == [(noon + expires * MINUTE, "cancel")]
    rows = [
        (noon, 0, "IN_PROGRESS", ""),
        (noon + MINUTE, 0, "IN_PROGRESS", 3),
        (noon + 2 * MINUTE, 0, "IN_PROGRESS", -1),
    ]
    made = decisions(job, 5_000, rows, columns=f"time_ms,device,status,{STEP_TIMEOUT}")
    assert made == [(noon + 20 * MINUTE, "cancel")], "-1 discards the step timer"


def test_A6_an_offline_device_stays_queued_and_the_job_is_never_completed():
    job = {"timeoutConfig": {"inProgressTimeoutInMinutes": 1}}
    rows = [(MINUTE, 0, "SUCCEEDED"), (MINUTE, 1, "REJECTED"), (MINUTE, 2, "QUEUED")]
    assert decisions(job, 3, rows) == []
    assert decisions(job, 3, [*rows, (2 * MINUTE, 2, "IN_PROGRESS")]) == [(3 * MINUTE, "finish")]


def test_a_continuous_job_is_never_completed():
    assert [d.decision for d in trace(SERVICE.policy(read({}), (5,)), (5,)).decisions] == ["open", "finish"]
    job = read({"targetSelection": "CONTINUOUS"})
    assert [d.decision for d in trace(SERVICE.policy(job, (5,)), (5,)).decisions] == ["open"]


def scheduled(**schedule):
    return {"schedulingConfig": schedule}


def test_the_rollout_begins_at_the_start_time_and_stops_at_the_end_time():
    job = scheduled(startTime="2026-03-02T10:00", endTime="2026-03-02T10:30")
    at = cumulative(job | {"simlib": {"startsAt": "2026-03-02T09:50"}}, 100_000)
    assert min(at) == 11 and max(at) == 40 and at[40] == 30_000
    assert min(cumulative(job, 100_000)) == 1, "without startsAt a run begins at the start time"


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [
        ("STOP_ROLLOUT", [(30, "pause"), (40, "finish")]),
        ("CANCEL", [(30, "cancel")]),
        ("FORCE_CANCEL", [(30, "cancel")]),
    ],
)
def test_end_behaviors(behavior, expected):
    job = scheduled(startTime="2026-03-02T10:00Z", endTime="2026-03-02T10:30Z", endBehavior=behavior)
    job |= {"jobExecutionsRolloutConfig": {"maximumPerMinute": 1}}
    rows = [((thing + 11) * MINUTE, thing, "SUCCEEDED") for thing in range(30)]
    assert decisions(job, 50, rows) == [(minute * MINUTE, decision) for minute, decision in expected]


def test_things_are_notified_in_maintenance_windows_only():
    job = scheduled(maintenanceWindows=[{"startTime": "cron(30 2 ? * TUE,THU *)", "durationInMinutes": 2}])
    at = cumulative(job, 5_000)
    tuesday, thursday = 24 * 60 + 150, 3 * 24 * 60 + 150
    assert at == {
        tuesday + 1: 1000,
        tuesday + 2: 2000,
        thursday + 1: 3000,
        thursday + 2: 4000,
        tuesday + 7 * 1440 + 1: 5000,
    }


def test_a_window_may_last_over_midnight():
    window = {"startTime": "cron(58 23 * * ? *)", "durationInMinutes": 4}
    assert list(cumulative(scheduled(maintenanceWindows=[window]), 5_000)) == [1, 2, 1439, 1440, 1441]


FAILING = ("succeeded", "failed", "silent", "skipped", "never")
ENDING = (*FAILING, "withdrawn")


@st.composite
def jobs(draw):
    document = {}
    if draw(st.booleans()):
        criteria = draw(
            st.sampled_from(
                [{"notified": 3}, {"succeeded": 4}, {"notified": 9, "succeeded": 2}, {"notified": 1}]
            )
        )
        document |= ramp(
            draw(st.integers(1, 4)),
            draw(st.sampled_from([Decimal("1.1"), Decimal("1.5"), 2, 5])),
            draw(st.integers(1, 20)),
            **criteria,
        )
    else:
        document["jobExecutionsRolloutConfig"] = {"maximumPerMinute": draw(st.integers(1, 9))}
    if draw(st.booleans()):
        percentages = st.sampled_from([0, 1, Decimal("12.5"), 20, 34, 50, 99, 100])
        criteria = st.tuples(
            st.sampled_from(["FAILED", "REJECTED", "TIMED_OUT", "ALL"]), percentages, st.integers(1, 12)
        )
        document |= abort(*draw(st.lists(criteria, min_size=1, max_size=3)))
    if draw(st.booleans()):
        document["schedulingConfig"] = {
            "startTime": "2026-03-02T10:00",
            "endTime": f"2026-03-02T10:{draw(st.integers(30, 45))}",
            "endBehavior": draw(st.sampled_from(["STOP_ROLLOUT", "CANCEL", "FORCE_CANCEL"])),
        }
        if draw(st.booleans()):
            window = {"startTime": "cron(0/7 * * * ? *)", "durationInMinutes": draw(st.integers(1, 9))}
            document["schedulingConfig"]["maintenanceWindows"] = [window]
    document["simlib"] = {
        "overshoot": draw(st.sampled_from(["all", "one"])),
        "rounding": draw(st.sampled_from(["floor", "round", "ceil"])),
        "abortComparison": draw(st.sampled_from(["at-least", "exceeds"])),
    }
    if draw(st.booleans()):
        document["targetSelection"] = "CONTINUOUS"
    weights = draw(st.sampled_from([ENDING, ("succeeded",), ("failed", "succeeded"), ("skipped", "silent")]))
    device = st.tuples(st.integers(0, 5 * MINUTE), st.sampled_from(weights))
    return read(document), draw(st.lists(device, min_size=1, max_size=40))


def run(config, devices, *, always, step_ms=10_000, from_ms=0, ends_ms=60 * MINUTE):
    """What a policy decides over things that report so long after they were notified, and when.

    If `always`, it is asked at every report, in the next millisecond, and every `step_ms` from `from_ms` on:
    between those nothing changes but the time, and what goes by time is on whole minutes or just after.
    """
    policy = SERVICE.policy(config, (len(devices),))
    counts = dict.fromkeys(ENDING, 0)
    reports, log, wake, released = [], [], None, 0
    asks = [0]
    if always:
        minutes = range(1, ends_ms, MINUTE)
        asks = sorted({0, *range(from_ms, ends_ms, step_ms), *minutes})
    while asks or reports:
        now = min([*asks[:1], *(report[0] for report in reports[:1])])
        while reports and reports[0][0] == now:
            counts[heappop(reports)[1]] += 1
            if always:
                heappush(asks, now + 1)
                heappush(asks, now)
        view = View(now, (seen(len(devices), **{key: n for key, n in counts.items() if key != "never"}),))
        asked = bool(asks) and asks[0] == now
        while asks and asks[0] == now:
            heappop(asks)
        if not (asked or (wake is not None and reached(wake, view))) or now >= ends_ms:
            continue
        decision = policy.decide(view)
        wake = decision.wake
        for action in decision.actions:
            log.append((now, action))
            if action.verb is Verb.RELEASE:
                for delay, outcome in devices[released : action.count]:
                    heappush(reports, (now + 1 + delay, outcome))
                released = action.count
        if not always:
            asks = [] if wake.at_ms is None else [max(wake.at_ms, now + 1)]
            if reached(wake, view):
                asks = [now + 1]
    return log


def reached(wake, view):
    return any(getattr(view.groups[g], counter.value) >= least for g, counter, least in wake.counts)


@settings(max_examples=examples(200), deadline=None)
@given(jobs())
def test_declared_wake_ups_decide_as_asking_all_the_time_does(drawn):
    config, devices = drawn
    assert run(config, devices, always=False) == run(config, devices, always=True)


def test_declared_wake_ups_decide_as_asking_every_millisecond_does():
    config = read(ramp(base=12, succeeded=4) | abort(("ALL", 40, 5)))
    devices = [(700 * k % 7_000, FAILING[k % 4]) for k in range(12)]
    ends_ms = MINUTE + 9_000
    log = run(config, devices, always=True, step_ms=1, from_ms=MINUTE - 500, ends_ms=ends_ms)
    assert log == run(config, devices, always=False, ends_ms=ends_ms)
    assert log[-1][1].verb is Verb.CANCEL


@settings(deadline=None)
@given(jobs())
def test_a_job_never_notifies_faster_than_its_maximum_nor_after_its_end(drawn):
    config, devices = drawn
    last, over = 0, False
    for now, action in run(config, devices, always=False):
        assert not over
        if action.verb is Verb.RELEASE:
            assert now % MINUTE == 0 and action.count - last <= max(config.rates)
            assert config.end_ms is None or now <= config.end_ms
            last = action.count
        over = action.verb in (Verb.CANCEL, Verb.FINISH)
    assert last <= len(devices)


def retrying(**most):
    criteria = [{"failureType": kind, "numberOfRetries": number} for kind, number in most.items()]
    return {"jobExecutionsRetryConfig": {"criteriaList": criteria}}


def stops(document, devices, *lines, step=False):
    """The log of a job over things that report these lines: minute, thing, status (and step timer)."""
    header = "time_ms,device,status" + (f",{STEP_TIMEOUT}" if step else "")
    rows = [f"{int(minute * MINUTE)},{rest}" for minute, rest in lines]
    config = read(document)
    words, further = SERVICE.words_of(config), (STEP_TIMEOUT,) if step else ()
    events = read_events("\n".join([header, *rows]), "e.csv", words, devices=devices, optional=further)
    log = trace(SERVICE.policy(config, (devices,)), (devices,), events, 200 * MINUTE).decisions
    return [(Decimal(each.time_ms) / MINUTE, each.decision, each.reason) for each in log[1:]]


def test_removed_and_canceled_executions_have_ended_but_no_abort_criterion_counts_them():
    gone = [(2, "0,REMOVED"), (2, "1,CANCELED")]
    everything = abort(("ALL", 50, 2), ("REJECTED", 1, 1))
    assert stops(everything, 5, *gone) == []
    # One failure of two executed things: those that are gone are in neither number.
    failed = [*gone, (3, "2,SUCCEEDED"), (4, "3,FAILED")]
    assert stops(everything, 5, *failed) == [
        (4, "cancel", "ALL: 1 of 2 executed things, at least 50 %"),
    ]
    assert stops({}, 2, *gone) == [(2, "finish", "")]


def test_the_last_failure_counts_and_the_ones_that_are_retried_do_not():
    once = abort(("FAILED", 1, 1))
    failing = [(2, "0,FAILED"), (3, "0,FAILED"), (4, "0,FAILED")]
    assert [at for at, *_ in stops(once, 3, *failing)] == [2]
    assert [at for at, *_ in stops(once | retrying(FAILED=2), 3, *failing)] == [4]
    assert stops(once | retrying(FAILED=3), 3, *failing) == []
    recovered = [*failing[:2], (4, "0,SUCCEEDED"), (5, "0,FAILED")]
    assert stops(once | retrying(FAILED=2), 1, *recovered) == [(4, "finish", "")]
    assert stops(abort(("TIMED_OUT", 1, 1)) | retrying(FAILED=2), 3, (2, "0,TIMED_OUT")) != []


def test_retries_for_all_are_one_budget_over_both_kinds_after_those_of_a_kind():
    every = abort(("ALL", 1, 1))
    mixed = [(2, "0,FAILED"), (3, "0,TIMED_OUT"), (4, "0,FAILED"), (5, "0,TIMED_OUT"), (6, "0,FAILED")]
    ends = {
        2: retrying(TIMED_OUT=9),
        3: retrying(FAILED=9),
        4: retrying(ALL=2),
        5: retrying(ALL=1, FAILED=2),
        6: retrying(ALL=2, FAILED=1, TIMED_OUT=1),
    }
    assert {at: stops(every | retry, 3, *mixed)[0][0] for at, retry in ends.items()} == {n: n for n in ends}


def test_A7_a_rejected_execution_ends_it_however_many_retries_are_left():
    rejected = abort(("REJECTED", 1, 1)) | retrying(ALL=10)
    assert [at for at, *_ in stops(rejected, 3, (2, "0,REJECTED"))] == [2]


def test_a_timeout_is_retried_too_and_the_timer_starts_anew_with_the_next_start():
    job = abort(("TIMED_OUT", 1, 1)) | {"timeoutConfig": {"inProgressTimeoutInMinutes": 10}}
    begins = [(2, "0,IN_PROGRESS"), (30, "0,IN_PROGRESS")]
    assert [at for at, *_ in stops(job, 3, *begins)] == [12]
    assert [at for at, *_ in stops(job | retrying(TIMED_OUT=1), 3, *begins)] == [40]
    assert stops(job | retrying(TIMED_OUT=1), 3, begins[0]) == [], "queued again, and no timer runs"
    # A failure ends the attempt, and its timers with it.
    failed = [(2, "0,IN_PROGRESS,5"), (4, "0,FAILED,"), (6, "0,IN_PROGRESS,")]
    assert [at for at, *_ in stops(job | retrying(FAILED=1), 3, *failed, step=True)] == [16]
