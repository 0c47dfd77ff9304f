"""Replicating until the stated precision: where it stops, and that it stops there whoever computes it."""

from __future__ import annotations

import math
import random
import time

import pandas as pd
import pytest

from simlib.errors import InputError
from simlib.study import Study, compare, intervals

DROP = "faults.drop"
PAIR = (0.1, 0.2)


@pytest.fixture
def study(small, noisy) -> Study:
    return Study(small, measure=noisy).vary(DROP, [0.0, 0.1, 0.2])


def test_it_stops_at_the_first_look_that_is_precise_enough(study):
    stopped = study.run_until("cost", 0.06, between=PAIR, start=5, batch=4)
    assert stopped.reached and stopped.reason == "precision"
    numbers = [n for n, _ in stopped.looks]
    assert numbers == list(range(5, stopped.replications + 1, 4))
    assert len(numbers) > 1
    assert all(width > 0.06 for _, width in stopped.looks[:-1])
    assert stopped.half_width == stopped.looks[-1][1] <= 0.06


def test_the_half_width_is_that_of_the_paired_difference(study):
    stopped = study.run_until("cost", 0.06, between=PAIR, level=0.9)
    assert stopped.half_width == compare(*PAIR, "cost", stopped.frame, level=0.9).half_width


def test_the_table_is_that_of_a_study_of_as_many_replications(study):
    stopped = study.run_until("cost", 0.06, between=PAIR, start=5, batch=4)
    plain = Study(study.scenario, measure=study.measure).vary(DROP, PAIR)
    expected = plain.replicate(stopped.replications).run(workers=1)
    pd.testing.assert_frame_equal(stopped.frame, expected, check_exact=True)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_any_number_of_workers_in_any_order_stops_at_the_same_place(workers, study):
    def restless(scenario, engine):
        time.sleep(random.random() / 200)
        return study.measure(scenario, engine)

    expected = study.run_until("cost", 0.05, between=PAIR, start=6, batch=5, workers=1)
    shaken = Study(study.scenario, measure=restless).vary(DROP, [0.0, 0.1, 0.2])
    found = shaken.run_until("cost", 0.05, between=PAIR, start=6, batch=5, workers=workers)
    assert (found.looks, found.reason) == (expected.looks, expected.reason)
    pd.testing.assert_frame_equal(found.frame, expected.frame, check_exact=True)


def test_common_seeds_need_fewer_replications_than_each_point_by_itself(study):
    paired = study.run_until("cost", 0.1, between=PAIR)
    single = study.run_until("cost", 0.1, most=400)
    assert paired.replications < single.replications


def test_without_a_pair_every_point_is_known_so_well(study):
    stopped = study.run_until("cost", 0.5, start=4, batch=3)
    found = intervals(stopped.frame, "cost")
    assert len(found) == 3
    assert ((found["high"] - found["low"]) / 2).max() == stopped.half_width <= 0.5


def test_the_most_that_is_allowed_ends_it_and_says_so(study):
    stopped = study.run_until("cost", 1e-9, between=PAIR, start=4, batch=5, most=16)
    assert (stopped.reason, stopped.reached, stopped.replications) == ("most", False, 16)
    assert [n for n, _ in stopped.looks] == [4, 9, 14, 16]
    assert len(stopped.frame) == 32


def test_a_real_fleet_is_replicated_until_the_difference_is_known(small):
    study = Study(small).vary(DROP, [0.05, 0.3])
    stopped = study.run_until("bytes_wasted", 60_000, between=(0.05, 0.3), start=4, batch=4, most=60)
    assert stopped.reached
    again = study.run_until("bytes_wasted", 60_000, between=(0.05, 0.3), start=4, batch=4, most=60, workers=1)
    assert again.looks == stopped.looks


def test_ctrl_c_ends_it_with_what_was_done(small, noisy):
    def interrupted(scenario, engine):
        if scenario.spec.seed == 9:
            raise KeyboardInterrupt
        return noisy(scenario, engine)

    stopped = Study(small, measure=interrupted).run_until("cost", 1e-9, start=4, batch=4, workers=1)
    assert (stopped.reason, stopped.replications) == ("interrupted", 8)
    assert stopped.frame["replication"].tolist() == list(range(8))
    assert stopped.frame.attrs["interrupted"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"measure": "late_ms", "half_width": 1}, "late_ms: found it missing in "),
        ({"measure": "nothing", "half_width": 1}, 'measure: found "nothing", expected one of cost'),
        ({"half_width": 0}, "half_width: found 0, expected a number above 0"),
        ({"half_width": math.inf}, "half_width: found inf"),
        ({"level": 1}, "level: found 1, expected a number between 0 and 1"),
        ({"start": 1}, "start: found 1, expected a whole number, 2 or more"),
        ({"start": 10, "most": 9}, "most: found 9, expected a whole number, 10 or more"),
        ({"batch": 0}, "batch: found 0"),
        ({"between": (0.1, 0.3)}, "between: found faults.drop = 0.3, expected one of the study's points"),
        ({"between": (0.1, 0.1)}, "between: found faults.drop = 0.1 twice"),
        ({"between": (0.1,)}, "between: found (0.1,), expected two points"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(asked, says, study):
    with pytest.raises(InputError) as refused:
        study.run_until(**{"measure": "cost", "half_width": 0.1, **asked})
    assert says in str(refused.value)


def test_seeds_given_have_to_be_enough_for_the_most(study):
    with pytest.raises(InputError, match="found 20, expected 1000 or more"):
        study.replicate(20, seeds=range(20)).run_until("cost", 0.1)
