"""Nebraska grants, holds and disables as its server's code does, check by check."""

import heapq
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.rollout.policy import Counter, GroupView, Message, Told, Verb, View, Wake
from simlib.rollout.services import nebraska, nebraska_attempts, nebraska_floors
from simlib.rollout.services.calendar import format_instant, instant
from simlib.rollout.services.nebraska_clock import OfficeHours, zone
from simlib.scenario.leaves import DAY, HOUR, MINUTE
from simlib.scenario.reading import read_document
from tests.amounts import examples

MONDAY = instant("2026-01-05T00:00:00Z")
DOCUMENT = {
    "policy_updates_enabled": True,
    "policy_safe_mode": False,
    "policy_period_interval": "15 minutes",
    "policy_max_updates_per_period": 2,
    "policy_update_timeout": "60 minutes",
}


def group(**keys):
    return nebraska.read({**DOCUMENT, **keys}, "group.json")


class Server:
    """Asks the policy as a clock does, and enforces its permits; `every` asks at every tick as well."""

    def __init__(self, config, size, every=False):
        self.policy, self.size, self.every = nebraska.Nebraska(config), size, every
        self.grants, self.actions, self.calls = [], [], 0
        self.news, self.permit, self.closed = [], 0, False
        self.counts = dict.fromkeys(("offered", "started", "succeeded", "failed", "skipped"), 0)
        self.now = self.asked = 0
        self.ask()

    def view(self):
        c = self.counts
        return GroupView(
            self.size,
            c["offered"],
            c["started"],
            c["succeeded"],
            c["failed"],
            0,
            c["skipped"],
            0,
            c["offered"],
        )

    def ask(self, knocked=False):
        view = View(self.now, (self.view(),), tuple(self.news), knocked)
        self.news = []
        self.take(self.policy.decide(view))

    def take(self, decision):
        self.calls += 1
        for action in decision.actions:
            if action.verb == Verb.ADMIT:
                self.permit, self.closed = action.count, False
            else:
                self.actions.append((self.now, action.verb))
                self.closed = self.closed or action.verb == Verb.DISABLE
        self.wake = decision.wake

    def due(self):
        wake, seen = self.wake, self.view()
        return (
            self.every
            or (wake.at_ms is not None and self.now >= wake.at_ms)
            or any(getattr(seen, counter) >= least for _, counter, least in wake.counts)
        )

    def tick(self, now):
        """After all events of `now`."""
        self.now = now
        if self.asked < now and self.due():
            self.asked = now
            self.ask()

    def until(self, time_ms):
        """Let the policy's own times come up to, and without, `time_ms`."""
        while self.now + 1 < time_ms:
            self.tick(self.now + 1)
            if self.now + 1 < time_ms and not self.due():
                at_ms = self.wake.at_ms
                self.now = time_ms - 1 if at_ms is None else max(min(at_ms, time_ms) - 1, self.now)

    def has_permit(self):
        return not self.closed and self.counts["offered"] < self.permit

    def check(self, now, device):
        """Whether the device is granted the update."""
        self.now = now
        if not self.has_permit() and self.wake.knock:
            self.ask(knocked=True)
        if not self.has_permit():
            return False
        self.counts["offered"] += 1
        self.news.append(Message(now, device, Told.OFFERED))
        self.grants.append((now, device))
        return True

    def report(self, now, device, told):
        self.now = now
        self.news.append(Message(now, device, told))
        for name in ("started", "succeeded", "failed", "skipped"):
            self.counts[name] += bool(told & Told[name.upper()])

    def at(self, time_ms, knocks=(), reports=()):
        """Everything that happens in one millisecond; the devices that were granted the update."""
        self.until(time_ms)
        for device, told in reports:
            self.report(time_ms, device, told)
        granted = [device for device in knocks if self.check(time_ms, device)]
        self.tick(time_ms)
        return granted


def test_N1_two_a_period_and_no_more_than_two_in_progress():
    server = Server(group(), 5)
    assert server.at(0, range(5)) == [0, 1]
    assert server.at(15 * MINUTE + 1000, [2, 3, 4]) == []  # both still run
    server.at(15 * MINUTE + 2000, reports=[(0, Told.SUCCEEDED)])
    assert server.at(15 * MINUTE + 3000, [2, 3, 4]) == [2]
    assert server.at(60 * MINUTE, [3, 4]) == []  # the other one is in progress up to its timeout
    assert server.at(60 * MINUTE + 1, [3, 4]) == [3]


def test_N1_the_period_ends_to_the_millisecond():
    server = Server(group(), 9)
    server.at(0, [0, 1])
    server.at(1000, reports=[(0, Told.SUCCEEDED), (1, Told.FAILED)])
    assert server.at(15 * MINUTE - 1, [2, 3, 4]) == []
    assert server.at(15 * MINUTE, [2, 3, 4]) == [2, 3]


def test_N2_safe_mode_holds_all_until_the_first_attempt_has_ended():
    server = Server(group(policy_safe_mode=True, policy_max_updates_per_period=10), 5)
    assert server.at(0, range(5)) == [0]
    assert server.at(16 * MINUTE, range(1, 5)) == []
    server.at(20 * MINUTE, reports=[(0, Told.SUCCEEDED)])
    assert server.at(20 * MINUTE + 1, range(1, 5)) == [1, 2, 3, 4]


def test_N2_a_failed_canary_lifts_the_brake_as_well():
    server = Server(group(policy_safe_mode=True, policy_max_updates_per_period=10), 5)
    server.at(0, [0])
    server.at(MINUTE, reports=[(0, Told.FAILED)])
    assert server.at(2 * MINUTE, [1, 2]) == [1, 2]


def test_the_servers_flag_disables_after_a_failed_canary_only():
    config = group(
        policy_safe_mode=True, policy_max_updates_per_period=9, simlib={"disable_on_failed_rollout": True}
    )
    server = Server(config, 5)
    server.at(0, [0])
    server.at(MINUTE, reports=[(0, Told.FAILED)])
    assert server.actions == [(MINUTE, Verb.DISABLE)] and server.at(2 * MINUTE, [1]) == []
    server = Server(config, 5)
    server.at(0, [0])
    server.at(MINUTE, reports=[(0, Told.SUCCEEDED)])
    server.at(2 * MINUTE, [1])
    server.at(3 * MINUTE, reports=[(1, Told.FAILED)])
    assert server.actions == []


def test_disabling_withdraws_the_permits_that_are_left():
    config = group(policy_max_updates_per_period=9, simlib={"disable_on_failed_rollout": True})
    server = Server(config, 20)
    server.at(0, [0])
    assert server.permit == 9
    server.at(MINUTE, reports=[(0, Told.FAILED)])
    assert server.actions == [(MINUTE, Verb.DISABLE)] and server.permit == 1


def test_N3_a_silent_canary_disables_the_group_at_the_next_check():
    server = Server(group(policy_safe_mode=True), 5)
    assert server.at(0, [0]) == [0]
    server.at(60 * MINUTE, [1])  # still in progress
    assert server.actions == []
    assert server.at(61 * MINUTE, [1]) == []
    assert server.actions == [(61 * MINUTE, Verb.DISABLE)]
    assert server.at(2 * DAY, [1, 2, 3]) == []


def test_a_permit_of_safe_mode_leaves_room_for_those_that_may_yet_time_out():
    server = Server(group(policy_safe_mode=True, policy_max_updates_per_period=3), 9)
    server.at(0, [0])
    server.at(MINUTE, reports=[(0, Told.SUCCEEDED)])
    assert server.at(20 * MINUTE, [1, 7, 8]) == [1, 7, 8]  # the first one dies, as do those after it
    server.at(25 * MINUTE, reports=[(7, Told.SUCCEEDED), (8, Told.SUCCEEDED)])
    assert server.at(100 * MINUTE, [2]) == [2]
    assert server.at(101 * MINUTE, [3]) == [3]
    assert server.at(170 * MINUTE, [4]) == [] and server.actions == [(170 * MINUTE, Verb.DISABLE)]


def test_a_failure_is_the_first_again_once_those_that_ended_are_forgotten():
    options = {"disable_on_failed_rollout": True, "ended_check_in": False}
    server = Server(group(policy_max_updates_per_period=1, simlib=options), 9)
    server.at(0, [0])
    server.at(MINUTE, reports=[(0, Told.SUCCEEDED)])
    assert server.at(16 * MINUTE, [1]) == [1]
    server.at(12 * HOUR, reports=[(1, Told.STARTED)])
    server.at(DAY + 5 * MINUTE, reports=[(1, Told.FAILED)])
    assert server.actions == [(DAY + 5 * MINUTE, Verb.DISABLE)]


def test_a_hold_at_the_very_start_that_one_millisecond_lifts():
    config = replace(group(policy_max_updates_per_period=1), period_ms=1, timeout_ms=0)
    server = Server(config, 9)
    assert server.at(0, [0, 1]) == [0]
    assert server.at(1, [1, 2]) == [1]
    assert server.at(2, [2]) == [2]


def test_an_operator_who_enables_updates_again_is_disabled_again_by_the_next_check():
    server = Server(group(policy_safe_mode=True), 5)
    server.at(0, [0])
    server.at(61 * MINUTE, [1])
    server.now, server.closed = 62 * MINUTE, False
    server.take(server.policy.resume(View(62 * MINUTE, (server.view(),))))
    server.at(63 * MINUTE, [1])
    assert [verb for _, verb in server.actions] == [Verb.DISABLE, Verb.DISABLE]


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-01-09T16:59:59.999Z", True),
        ("2026-01-09T17:00:00Z", False),
        ("2026-01-10T12:00:00Z", False),
        ("2026-01-12T08:59:59.999Z", False),
        ("2026-01-12T09:00:00Z", True),
    ],
)
def test_N4_office_hours(moment, inside):
    config = group(policy_office_hours=True, policy_timezone="UTC", policy_max_updates_per_period=9)
    server = Server(config, 1)
    assert bool(server.at(instant(moment) - MONDAY, [0])) == inside


def test_N4_office_hours_are_those_of_the_groups_zone():
    hours = OfficeHours(zone("America/New_York"), MONDAY)
    assert hours.next_edge(0) == 14 * HOUR and hours.inside(14 * HOUR)
    assert hours.next_edge(14 * HOUR) == 22 * HOUR and not hours.inside(22 * HOUR)
    assert hours.next_edge(4 * DAY + 22 * HOUR) == 7 * DAY + 14 * HOUR  # over the weekend
    # Summer time begins on a Sunday in March: nine o'clock is an hour earlier from then on.
    hours = OfficeHours(zone("Europe/Berlin"), instant("2026-03-27T16:00:00Z"))
    assert hours.next_edge(0) == 2 * DAY + 15 * HOUR
    assert not OfficeHours(zone("+05:30"), MONDAY).inside(3 * HOUR + 29 * MINUTE)
    assert OfficeHours(zone("+05:30"), MONDAY).inside(3 * HOUR + 30 * MINUTE)


@pytest.mark.parametrize("name", ["", "Europe/Nowhere", "../etc/passwd", None])
def test_N4_an_empty_or_unknown_zone_is_always_outside(name):
    config = group(policy_office_hours=True, policy_timezone=name)
    assert Server(config, 1).at(12 * HOUR, [0]) == []


def test_N5_one_victim_a_day():
    """The canary bricks and nobody asks before it has left the statistics: one more is granted, every day."""
    server = Server(group(policy_safe_mode=True), 9)
    assert server.at(0, [0]) == [0]
    assert server.at(DAY, [1, 2]) == [1]
    assert server.at(2 * DAY, [2, 3]) == [2]
    assert server.actions == []


def test_N5_a_check_within_the_day_disables_instead():
    server = Server(group(policy_safe_mode=True), 9)
    server.at(0, [0])
    assert server.at(DAY - 1, [1]) == [] and server.actions == [(DAY - 1, Verb.DISABLE)]


def test_N5_a_canary_that_is_heard_of_again_counts_again():
    server = Server(group(policy_safe_mode=True), 9)
    server.at(0, [0])
    server.at(DAY + HOUR, reports=[(0, Told.STARTED)])
    assert server.at(DAY + 2 * HOUR, [1]) == [] and server.actions == [(DAY + 2 * HOUR, Verb.DISABLE)]


def test_without_safe_mode_900000_a_period_is_no_limit():
    server = Server(group(policy_max_updates_per_period=900_000), 50)
    assert len(server.at(0, range(50))) == 50
    server = Server(group(policy_max_updates_per_period=900_000, policy_safe_mode=True), 50)
    assert len(server.at(0, range(50))) == 1


def test_a_disabled_group_grants_nothing():
    assert Server(group(policy_updates_enabled=False), 5).at(0, range(5)) == []


def test_an_idle_group_wakes_no_one():
    assert Server(group(), 5).wake == Wake(None, ((0, Counter.SETTLED, 5),), knock=True)


class Naive:
    """The rules, from the full list of instances at every check. `day` is the validity of a check.

    With `patient`, a hold is lifted between two milliseconds only, as it is for parked devices.
    """

    def __init__(self, config, day, patient=False):
        self.config, self.day, self.patient = config, day, patient
        self.enabled, self.instances, self.held = config.enabled, {}, False
        self.hours = OfficeHours(zone(config.timezone), config.start_ms)
        self.grants, self.stops = [], []

    def report(self, now, device, told):
        one = self.instances[device]
        one["heard"] = now
        if told & (Told.SUCCEEDED | Told.FAILED) and not one["ended"]:
            one["ended"] = True
            alive = self.alive(now)
            if self.config.disable_on_failed_rollout and told & Told.FAILED and self.enabled:
                self.disable(now, sum(i["ended"] for i in alive) == 1)

    def disable(self, now, really=True):
        if really:
            self.enabled = False
            self.stops.append(now)

    def alive(self, now):
        stay = self.config.ended_check_in
        return [i for i in self.instances.values() if i["heard"] > now - self.day or (i["ended"] and stay)]

    def answer(self, now):
        config = self.config
        if not self.enabled:
            return "disabled"
        if config.office_hours and not self.hours.inside(now):
            return "hold"
        if not (config.most_per_period >= 900_000 and not config.safe_mode):
            alive = self.alive(now)
            most = config.most_per_period
            if config.safe_mode and not any(i["ended"] for i in alive):
                most = 1
            if sum(i["granted"] > now - config.period_ms for i in alive) >= most:
                return "hold"
            if sum(not i["ended"] and now - i["granted"] <= config.timeout_ms for i in alive) >= most:
                return "hold"
            late = sum(not i["ended"] and now - i["granted"] > config.timeout_ms for i in alive)
            if config.safe_mode and late >= most:
                return "disable"
        return "grant"

    def check(self, now, device):
        """Whether the device is granted the update."""
        answer = "hold" if self.held else self.answer(now)
        self.held = self.patient and answer == "hold"
        if answer == "disable":
            self.disable(now)
        if answer != "grant":
            return False
        self.instances[device] = {"granted": now, "heard": now, "ended": False}
        self.grants.append((now, device))
        return True

    def tick(self, now):
        """After all events of `now`."""
        self.held = self.held and self.answer(now + 1) == "hold"


OUTCOMES = st.sampled_from([Told.SUCCEEDED, Told.FAILED, None])
FIRST = st.one_of(st.integers(0, 60), st.integers(0, 600))  # first check
BETWEEN = st.integers(7, 90)  # two checks
LIVES = st.tuples(
    st.one_of(st.none(), st.integers(1, 300)),  # from the grant to the start it reports, if it does
    st.integers(1, 200),  # from there to the end
    OUTCOMES,
)
DEVICES = st.one_of(
    st.lists(st.tuples(FIRST, BETWEEN, LIVES), min_size=1, max_size=16),
    st.tuples(FIRST, BETWEEN, st.lists(LIVES, min_size=1, max_size=12)).map(  # all at the same times
        lambda drawn: [(*drawn[:2], life) for life in drawn[2]]
    ),
)
TIMES = st.one_of(st.integers(1, 130), st.integers(1, 400))  # some of them longer than a day
CONFIGS = st.builds(
    nebraska.NebraskaGroup,
    enabled=st.just(True),
    safe_mode=st.booleans(),
    office_hours=st.just(False),
    timezone=st.just(""),
    period_ms=TIMES,
    most_per_period=st.sampled_from([0, 1, 2, 3, 5, 900_000]),
    timeout_ms=TIMES.map(lambda time_ms: time_ms - 1),
    start_ms=st.just(MONDAY),
    disable_on_failed_rollout=st.booleans(),
    ended_check_in=st.booleans(),
)
SHORT_DAY = 160
UNTIL = 700


def drive(server, devices, mixed=False):
    """Devices that check until they are granted; in a millisecond the checks come first, then the reports.

    With `mixed`, both come in the order of the devices.
    """
    events = [(first, 0, device, 0) for device, (first, *_) in enumerate(devices)]
    heapq.heapify(events)
    for now in range(UNTIL + 1):
        while events and events[0][0] == now:
            _, _, device, told = heapq.heappop(events)
            _, between, (start, length, end) = devices[device]
            if told:
                server.report(now, device, Told(told))
                continue
            if not server.check(now, device):
                heapq.heappush(events, (now + between, device * mixed, device, 0))
                continue
            rank = device if mixed else 1
            if start is not None:
                heapq.heappush(events, (now + start, rank, device, int(Told.STARTED)))
            if end is not None:
                heapq.heappush(events, (now + (start or 0) + length, rank, device, int(end)))
        server.tick(now)
    return server


def run(config, devices, every=False):
    """The policy, asked as a clock asks it."""
    return drive(Server(config, len(devices), every), devices)


def disabled(server):
    return [time_ms for time_ms, verb in server.actions if verb == Verb.DISABLE]


@pytest.fixture
def _short_day(monkeypatch):
    monkeypatch.setattr(nebraska_attempts, "DAY", SHORT_DAY)


@pytest.mark.usefixtures("_short_day")
class TestAgainstTheRules:
    @settings(max_examples=examples(400), deadline=None)
    @given(CONFIGS, DEVICES)
    def test_grants_and_disabling_are_those_of_the_naive_rules(self, config, devices):
        server, naive = run(config, devices), drive(Naive(config, SHORT_DAY), devices)
        assert (server.grants, disabled(server)) == (naive.grants, naive.stops)

    @settings(max_examples=examples(400), deadline=None)
    @given(CONFIGS, DEVICES)
    def test_a_check_sees_the_reports_before_it_but_a_hold_is_lifted_between_milliseconds(
        self, config, devices
    ):
        config = replace(config, disable_on_failed_rollout=False)
        devices = [(first + 1, *rest) for first, *rest in devices]
        server = drive(Server(config, len(devices)), devices, mixed=True)
        naive = drive(Naive(config, SHORT_DAY, patient=True), devices, mixed=True)
        assert (server.grants, disabled(server)) == (naive.grants, naive.stops)

    @settings(max_examples=examples(150), deadline=None)
    @given(CONFIGS, DEVICES)
    def test_wake_ups_give_what_asking_at_every_millisecond_gives(self, config, devices):
        woken, asked = run(config, devices), run(config, devices, every=True)
        assert (woken.grants, woken.actions) == (asked.grants, asked.actions)
        assert woken.calls < asked.calls

    @settings(max_examples=examples(100), deadline=None)
    @given(CONFIGS, DEVICES, st.integers(0, 6 * DAY), st.sampled_from([0, 1, 2, 3, 300]))
    def test_office_hours_open_and_close_to_the_millisecond(self, config, devices, start, before):
        # The run starts shortly before an edge, so that it is crossed.
        hours = OfficeHours(zone("Europe/Berlin"), MONDAY)
        start_ms = MONDAY + hours.next_edge(start) - before
        config = replace(config, office_hours=True, timezone="Europe/Berlin", start_ms=start_ms)
        naive = drive(Naive(config, SHORT_DAY), devices)
        for every in (False, True):
            server = run(config, devices, every)
            assert (server.grants, disabled(server)) == (naive.grants, naive.stops)


def large(config, devices, every_ms, dies):
    """A device checks every `every_ms`, and ends five minutes after its grant, unless `dies(device)`."""
    ends, device, now, server = [], 0, 1, Server(config, devices)
    while device < devices:
        told = []
        while ends and ends[0][0] <= now:
            told.append((heapq.heappop(ends)[1], Told.SUCCEEDED))
        for one in server.at(now, [device], told):
            if not dies(one):
                heapq.heappush(ends, (now + 5 * MINUTE, one))
            device += 1
        now += every_ms
    return server


@pytest.mark.parametrize("safe", [False, True])
def test_while_the_limits_are_far_few_questions_cover_a_large_fleet(safe):
    """20,000 grants in five and a half hours, every twentieth dies; 900 in a period, of 2,000."""
    config = group(policy_safe_mode=safe, policy_max_updates_per_period=2000)
    server = large(config, 20_000, 1000, lambda device: device % 20 == 7)
    assert len(server.grants) == 20_000 and not disabled(server)
    assert server.calls < 100


def test_where_the_limit_is_reached_a_grant_costs_about_one_question_and_a_hold_none():
    """5,000 grants at 1,000 a quarter of an hour, of 180,000 checks: each end of a period is seen exactly."""
    server = large(group(policy_max_updates_per_period=1000), 5000, 20, lambda _: False)
    assert 4 * 15 * MINUTE < server.now < 5 * 15 * MINUTE
    assert server.calls <= 5000


def test_floors_are_passed_one_after_another():
    floors = ["3.0.0", "1.0.0", "2.0.0", "9.0.0"]
    assert nebraska_floors.next_package("1.5.0", "4.0.0", floors) == "2.0.0"
    assert nebraska_floors.way("0.9.0", "4.0.0", floors) == ("1.0.0", "2.0.0", "3.0.0", "4.0.0")
    assert nebraska_floors.way("3.0.0", "4.0.0", floors) == ("4.0.0",)
    assert nebraska_floors.next_package("4.0.0", "4.0.0", floors) is None
    assert nebraska_floors.next_package("2.0.0-beta.2", "2.0.0-beta.11", []) == "2.0.0-beta.11"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"policy_period_interval": "soon"},
            'g: policy_period_interval: found "soon", expected a whole number of minutes, hours or days, '
            'up to ten years: "15 minutes"',
        ),
        (
            {"policy_max_updates_per_period": -1},
            "g: policy_max_updates_per_period: found -1, expected 0 to 2147483647",
        ),
        (
            {"policy_safemode": True},
            "g: policy_safemode: found an unknown key, expected policy_safe_mode (the nearest known key)",
        ),
    ],
)
def test_what_is_no_policy_is_refused_with_one_line(keys, message):
    with pytest.raises(InputError) as refused:
        nebraska.read({**DOCUMENT, **keys}, "g")
    assert str(refused.value) == message


@given(st.integers(0, instant("2199-12-31T23:59:59.999Z")))
def test_instants_read_back(time_ms):
    assert instant(format_instant(time_ms)) == time_ms


def test_a_staged_rollout_becomes_a_rate_that_takes_as_long_as_its_soaks():
    groups = [{"share": "1/100", "soak": "1 d"}, {"share": "1/10", "soak": "1 d"}, {"soak": "0 s"}]
    document = {"schema": 1, "name": "x", "devices": 9600, "rollout": {"groups": groups, "deadline": "2 h"}}
    made = nebraska.translate(read_document(document, "x"))
    config = nebraska.read(made.document, "g")
    assert (config.most_per_period, config.period_ms) == (50, 15 * MINUTE)  # 192 quarters of an hour
    assert config.safe_mode and config.timeout_ms == 2 * HOUR
    assert any(line.startswith("rollout.groups.0.share: safe mode") for line in made.lost)
    document["rollout"] = {"groups": [{"soak": "0 s"}]}
    made = nebraska.translate(read_document(document, "x"))
    assert nebraska.read(made.document, "g").unlimited
