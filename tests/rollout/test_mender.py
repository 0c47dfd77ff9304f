"""Mender's phases open by time alone, to whoever polls first."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.rollout.events import Event
from simlib.rollout.policy import GroupView, Verb, View
from simlib.rollout.services import mender, mender_client
from simlib.rollout.services.mender_server import (
    Answer,
    Artefact,
    Delta,
    Deployment,
    answer,
    artefact_for,
    next_deployment,
    tries,
)
from simlib.rollout.trace import trace
from simlib.scenario.leaves import DAY, HOUR
from simlib.scenario.reading import read_document


def deployment(*phases, **keys):
    return mender.read({"name": "n", "artifact_name": "a", "phases": list(phases), **keys}, "d.json")


def phase(percent, hour):
    start = {"start_ts": f"2026-03-02T{hour:02d}:00:00+02:00"}
    return start if percent is None else {"batch_size": percent, **start}


THREE = deployment(phase(5, 1), phase(15, 3), phase(None, 6))


@pytest.mark.parametrize(
    ("percents", "devices", "expected"),
    [
        ([5, 15, None], 1000, (50, 150, 800)),
        ([80, 20], 100, (80, 20)),
        ([80, None], 100, (80, 20)),
        ([5, 15, None], 101, (5, 15, 81)),
        ([], 7, (7,)),
    ],
)
def test_M1_phase_sizes(percents, devices, expected):
    config = deployment(*(phase(percent, hour) for hour, percent in enumerate(percents)))
    assert mender.sizes(config, devices) == expected


def test_M1_rounding_is_an_option_and_an_empty_phase_is_refused():
    phases = phase(5, 1), phase(15, 3), phase(None, 6)
    assert mender.sizes(deployment(*phases, simlib={"rounding": "half-up"}), 110) == (6, 17, 87)
    assert mender.sizes(deployment(*phases, simlib={"rounding": "ceiling"}), 101) == (6, 16, 79)
    with pytest.raises(InputError, match=r"phases\.0\.batch_size: found 5 % of 11 devices, which is 0"):
        mender.sizes(THREE, 11)


@pytest.mark.parametrize(
    ("most", "count", "total"),
    [(300, 15, 3060), (300, 0, 7560), (1800, 0, 43_380)],
)
def test_M2_waits_between_polls(most, count, total):
    assert sum(mender_client.poll_waits_s(most, count)) == total


def test_M2_levels_and_default_counts():
    assert list(mender_client.poll_waits_s(300, 15)) == [60] * 3 + [120] * 3 + [240] * 3 + [300] * 6
    assert [mender_client.default_count(most) for most in (256, 300, 1800)] == [27, 30, 36]
    assert list(mender_client.poll_waits_s(30, 2)) == [60, 60]


def journey(created):
    """Where a device on v1 gets to under v1->v2 and v2->v3, created at these times."""
    installed, newest, done = "v1", None, set()
    for _ in range(5):
        matching = [
            Deployment(created[target], target, done=target in done)
            for source, target in (("v1", "v2"), ("v2", "v3"))
            if source == installed
        ]
        turn = next_deployment(matching, newest)
        if answer(turn, installed) is not Answer.UPDATE:
            return installed
        installed, newest = turn.artifact_name, turn.created_ms
        done.add(installed)
    raise AssertionError("no end")


def test_M3_a_chain_of_dynamic_deployments_follows_creation_time():
    assert journey({"v2": 1, "v3": 2}) == "v3"
    assert journey({"v2": 2, "v3": 1}) == "v2"


def test_M4_sizes_are_those_of_the_creation():
    created = mender.sizes(deployment(phase(80, 1), phase(None, 2)), 100)
    assert mender.sizes_after_change(created, 150) == (80, 70)
    assert mender.sizes_after_change(created, 60) == (60, 0)
    assert mender.sizes_after_change((5, 15, 80), 12) == (5, 7, 0)


def test_M5_a_file_system_that_was_written_to_gets_the_full_image_only_by_policy_and_retry():
    failed = (Artefact.DELTA, False)
    assert tries(True, 3, False) == ((Artefact.DELTA, True),)
    assert tries(False, 0, True) == (failed,)
    assert tries(False, 2, False) == (failed, failed, failed)
    assert tries(False, 2, True) == (failed, (Artefact.FULL, True))


def test_M5_a_missing_delta_means_the_full_image_and_one_that_is_built_is_waited_for():
    assert artefact_for(Delta.MISSING, False, 0, False) is Artefact.FULL
    assert artefact_for(Delta.BUILDING, True, 0, False) is Artefact.WAIT
    assert artefact_for(Delta.FAILED, True, 0, False) is Artefact.FULL
    assert artefact_for(Delta.READY, True, 0, False) is Artefact.DELTA


def test_a_poll_gets_the_oldest_unfinished_deployment_and_nothing_outside_its_phases():
    old, new = Deployment(1, "v2"), Deployment(2, "v3")
    assert next_deployment([new, old], None) is old
    assert next_deployment([new, replace(old, done=True)], 1) is new
    assert answer(None, "v1") is Answer.NOTHING
    assert answer(replace(old, phase_active=False, artifact=False), "v1") is Answer.NOTHING
    assert answer(replace(old, artifact=False), "v2") is Answer.NO_ARTIFACT
    assert answer(old, "v2") is Answer.ALREADY_INSTALLED
    assert answer(replace(old, force_installation=True), "v2") is Answer.UPDATE


def views(counts, sizes):
    """Groups with (succeeded, failed, skipped) each; who was admitted is beside the point."""
    return tuple(
        GroupView(size, s + f + k, s + f, s, f, 0, k) for size, (s, f, k) in zip(sizes, counts, strict=True)
    )


def drive(config, sizes, reports, until, every):
    """(time, verb, group, count) of all actions; a report is (time, group, index of its counter)."""
    policy, log, wake = mender.Phases(config, sizes), [], None
    counts = [[0, 0, 0] for _ in sizes]
    for now in range(until + 1):
        for _, group, what in [r for r in reports if r[0] == now]:
            if sum(counts[group]) < sizes[group]:
                counts[group][what] += 1
        groups = views(counts, sizes)
        due = wake is None or (wake.at_ms is not None and now >= wake.at_ms)
        due = due or any(getattr(groups[g], counter) >= least for g, counter, least in wake.counts)
        if every or due:
            decision = policy.decide(View(now, groups))
            wake = decision.wake
            log += [(now, a.verb, a.group, a.count) for a in decision.actions]
    return log


CONFIGS = st.builds(
    lambda gaps, most: mender.MenderDeployment(
        (1,) * len(gaps), tuple(sum(gaps[:n]) for n in range(len(gaps) + 1)), 0, max(most, 0), most >= 0
    ),
    st.lists(st.integers(0, 30), max_size=3),
    st.integers(-1, 6),
)


@given(CONFIGS, st.data())
def test_wake_ups_give_what_asking_at_every_millisecond_gives(config, data):
    sizes = tuple(data.draw(st.integers(1, 3)) for _ in config.starts_ms)
    report = st.tuples(st.integers(0, 90), st.integers(0, len(sizes) - 1), st.integers(0, 2))
    reports = data.draw(st.lists(report, max_size=30))
    woken, asked = (drive(config, sizes, reports, 100, every) for every in (False, True))
    assert woken == asked


def test_phases_open_by_time_whatever_happened():
    log = drive(replace(THREE, starts_ms=(0, 20, 50)), (5, 15, 80), [], 60, False)
    assert log == [(0, Verb.ADMIT, 0, 5), (19, Verb.ADMIT, 1, 15), (49, Verb.ADMIT, 2, 80)]
    failing = [(3, 0, 1)] * 5
    assert drive(replace(THREE, starts_ms=(0, 20, 50)), (5, 15, 80), failing, 60, False) == log


def test_a_list_of_devices_finishes_and_a_filter_only_by_max_devices():
    config = deployment()
    assert drive(config, (2,), [(5, 0, 0), (9, 0, 2)], 20, False)[-1] == (9, Verb.FINISH, 0, 0)
    dynamic = deployment(filter_id="f")
    assert drive(dynamic, (2,), [(5, 0, 0), (9, 0, 1)], 20, False) == [(0, Verb.ADMIT, 0, 2)]
    capped = deployment(filter_id="f", max_devices=2)
    assert drive(capped, (9,), [(5, 0, 0), (9, 0, 1)], 20, False)[1:] == [
        (9, Verb.ADMIT, 0, 0),
        (9, Verb.FINISH, 0, 0),
    ]


def test_starts_are_relative_to_the_first_phase_or_to_the_creation():
    assert THREE.starts_ms == (0, 2 * HOUR, 5 * HOUR)
    first = {"batch_size": 5}
    created = deployment(first, phase(None, 6), created="2026-03-02T00:00:00Z")
    assert created.starts_ms == (0, 4 * HOUR)
    with pytest.raises(InputError, match=r"d\.json: phases\.0\.start_ts: found no such key"):
        deployment(first, phase(None, 6))


@pytest.mark.parametrize(
    ("phases", "keys", "message"),
    [
        ([phase(50, 1), phase(60, 2)], {}, "phases: found batch sizes of 50 % before the last phase and 60"),
        ([phase(100, 1), phase(None, 2)], {}, "phases: found batch sizes of 100 %"),
        ([phase(None, 1), phase(60, 2)], {}, "phases.0.batch_size: found no such key"),
        ([phase(0, 1), phase(60, 2)], {}, "phases.0.batch_size: found 0, expected 1 to 100"),
        ([phase(5, 3), phase(60, 2)], {}, "phases.1.start_ts: found -3600000 ms after the first phase"),
        ([phase(5, 3), {}], {}, "phases.1.start_ts: found no such key"),
        ([], {"max_devices": 3}, "max_devices: found 3 without filter_id"),
        ([], {"retry": 3}, "retry: found an unknown key, expected retries"),
        (
            [{"start_ts": "2026-03-02T01:00:00"}],
            {},
            'phases.0.start_ts: found "2026-03-02T01:00:00", expected',
        ),
    ],
)
def test_what_mender_would_refuse_is_refused_with_one_line(phases, keys, message):
    with pytest.raises(InputError) as refused:
        deployment(*phases, **keys)
    assert str(refused.value).startswith(f"d.json: {message}") and "\n" not in str(refused.value)


def staged(**keys):
    groups = [{"share": share, "soak": "1 d"} for share in (Fraction(1, 100), Fraction(7, 1000), "rest")]
    document = {"schema": 1, "name": "x", "devices": 1000, "rollout": {"groups": groups, **keys}}
    return read_document(document, "x")


def test_a_staged_rollout_becomes_phases_and_says_what_is_lost():
    made = mender.translate(staged(window="01:00-02:00"))
    config = mender.read(made.document, "d")
    assert config.starts_ms == (0, DAY, 2 * DAY) and mender.sizes(config, 1000) == (10, 10, 980)
    assert any(line.startswith("rollout.groups.1.share: 0.7 % became 1 %") for line in made.lost)
    assert any(line.startswith("rollout.window") for line in made.lost)


def test_the_client_retries_as_mender_has_it():
    spec = mender.dictate(deployment(retries=2), staged())
    transfer = spec.transfer
    assert (transfer.attempts, transfer.backoff_ms, transfer.backoff_max_ms) == (10, 60_000, 60_000)
    assert (transfer.rounds, transfer.retry_after_ms) == (3, 1_800_000)
    assert spec.rollout.verdicts == "last"
    once = mender.dictate(deployment(), staged())
    assert (once.transfer.rounds, once.rollout.verdicts) == (1, "first")


@pytest.mark.parametrize(("retries", "ends"), [(0, 5), (1, 6), (2, 7), (3, None)])
def test_a_failure_that_is_retried_is_not_counted(retries, ends):
    config = deployment(filter_id="f", max_devices=1, retries=retries)
    failing = [Event(time, 0, mender.STATUSES["failure"]) for time in (5, 6, 7)]
    made = trace(mender.Phases(config, (3,)), (3,), failing, 20).decisions
    assert [each.time_ms for each in made if each.decision == "finish"] == ([ends] if ends else [])
