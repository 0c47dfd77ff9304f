"""Sentences of a comparison, word for word, and what they must not claim."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simlib.study.differences import differences
from simlib.study.wording import WORDED, sentences

DAY, HOUR = 86_400_000, 3_600_000
NUMBERS = np.random.default_rng(5)


def told(a: dict[str, list], b: dict[str, list], level: float = 0.95) -> str:
    """What is said of b against a, each a measure's values under the same seeds."""
    parts = []
    for name, columns in (("a", a), ("b", b)):
        n = len(next(iter(columns.values())))
        made = {
            key: pd.array(values, dtype="boolean" if key == "halted" else "Int64")
            for key, values in columns.items()
        }
        head = {"strategy": name, "replication": range(n), "seed": np.arange(n, dtype="uint64")}
        parts.append(pd.DataFrame(head | made))
    frame = pd.concat(parts, ignore_index=True)
    measures = [name for name in WORDED if name in frame]
    (sentence,) = sentences(differences(frame, measures, level=level), level=level)
    return sentence


def test_a_difference_reads_as_a_person_would_say_it():
    """Differences −36, −37, −38: t for 2 degrees of freedom is 4.3027, so 4.3027 / √3 = 2.48 about 37.

    Times: 2.0, 2.1, 2.2 days, so 0.248 about 2.1.
    """
    a = {"bricked": [50, 51, 52], "time_to_95_ms": [10 * DAY] * 3}
    b = {"bricked": [14, 14, 14], "time_to_95_ms": [int(d * DAY) for d in (12.0, 12.1, 12.2)]}
    assert told(a, b) == (
        "b brings 37 fewer bricks (95 % 35 to 39) and takes 2.1 days longer (95 % 1.9 to 2.3)"
    )
    assert told(b, a).startswith("b brings 37 more bricks (95 % 35 to 39) and takes 2.1 days less")


def test_an_interval_with_zero_in_it_is_no_difference_seen_and_has_signs():
    """Differences −1, 0, 4: mean 1, standard deviation √7, so 6.57 about it."""
    found = told({"bricked": [5, 5, 5]}, {"bricked": [4, 5, 9]})
    assert found == "b: no difference seen in bricks (95 % −5.6 to 7.6)"


def test_units_stand_behind_an_interval_without_a_size():
    ms = [0, 0, 0], [-1 * HOUR, 0, 4 * HOUR]
    a, b = ({"time_to_95_ms": [50 * DAY + each for each in side]} for side in ms)
    assert told(a, b) == "b: no difference seen in the time to 95 % (95 % −5.6 to 7.6 hours)"


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (3 * DAY, "3.0 days longer"),
        (5 * HOUR, "5.0 hours longer"),
        (-90 * 60_000, "90.0 minutes less"),
        (90_000, "90.0 s longer"),
        (250 * DAY, "250 days longer"),
    ],
)
def test_a_time_is_told_in_the_largest_unit_of_which_there_are_two(difference, text):
    assert told({"time_to_95_ms": [300 * DAY] * 3}, {"time_to_95_ms": [300 * DAY + difference] * 3}) == (
        f"b takes {text} in every replication"
    )


def test_bytes_are_gigabytes():
    found = told({"bytes_down": [10 * 10**9] * 2}, {"bytes_down": [8 * 10**9 + 5 * 10**8] * 2})
    assert found == "b downloads 1.5 GB less in every replication"


def test_what_never_happens_to_either_is_told_as_that():
    assert told({"bricked": [0] * 4}, {"bricked": [0] * 4}) == "b: no bricks in either"
    a = {"bricked": [0, 0], "lost": [0, 0], "bytes_down": [10**9, 10**9]}
    assert told(a, a) == (
        "b: no difference seen in bytes downloaded (the same in every replication); "
        "no bricks or lost devices in either"
    )
    same = told({"bricked": [2, 3]}, {"bricked": [2, 3]})
    assert same == "b: no difference seen in bricks (the same in every replication)"


def test_a_time_that_is_not_always_reached_is_told_by_how_often():
    a = {"time_to_95_ms": [DAY + k for k in range(40)]}
    b = {"time_to_95_ms": [2 * DAY + k if k < 12 else None for k in range(40)]}
    assert told(a, b) == (
        "b reaches 95 % in 12 of 40 replications, the baseline in all "
        "and takes 24.0 hours longer where both do in every replication"
    )


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        ([DAY, DAY], [None, None], "b reaches 95 % in 0 of 2 replications, the baseline in all"),
        ([None, None], [None, DAY], "b reaches 95 % in 1 of 2 replications, the baseline in none"),
        ([None, None], [None, None], "b never reaches 95 %, nor does the baseline"),
        ([DAY, None], [DAY, None], "b reaches 95 % in 1 of 2 replications, the baseline in 1"),
    ],
)
def test_no_time_is_made_up_where_none_was_reached(a, b, text):
    assert told({"time_to_95_ms": a}, {"time_to_95_ms": b}) == text


def test_stops_are_counted_and_their_exposure_compared_only_where_both_always_stop():
    a = {"exposure_offered": [900, 910], "halted": [True, True]}
    b = {"exposure_offered": [100, 110], "halted": [True, True]}
    assert told(a, b) == "b has been offered to 800 fewer devices when it stops in every replication"
    b = {"exposure_offered": [100, None], "halted": [True, False]}
    assert told(a, b) == "b stops in 1 of 2, the baseline in all"
    a = {"exposure_offered": [900, 910, 920], "halted": [True] * 3}
    b = {"exposure_offered": [100, 110, None], "halted": [True, True, False]}
    assert told(a, b) == "b stops in 2 of 3, the baseline in all"


def test_one_replication_is_told_without_intervals():
    a, b = {"bricked": [40], "lost": [3]}, {"bricked": [3], "lost": [3]}
    assert told(a, b) == (
        "b brings 37 fewer bricks; no difference seen in lost devices; one replication each, so no intervals"
    )


def test_the_tail_is_told_where_there_are_enough_to_know_it():
    bricks = NUMBERS.poisson(30, 200)
    found = told({"bricked": bricks.tolist()}, {"bricked": (bricks + 12).tolist()})
    assert found == (
        "b brings 12 more bricks in every replication and has a 99th percentile of bricks 12 higher "
        "in every replication"
    )


def test_another_level_is_said_and_narrower_for_less():
    a, b = {"bricked": [50, 51, 52]}, {"bricked": [14, 14, 14]}
    assert told(a, b, level=0.5) == "b brings 37 fewer bricks (50 % 37 to 37)"


def test_an_end_beyond_zero_is_not_rounded_to_it():
    """Differences 1, 15, 15 … with an interval that only just excludes zero."""
    values = [0] * 30
    b = [8 + 21 * (-1) ** k for k in range(30)]
    found = told({"bricked": values}, {"bricked": b})
    low = float(found.split("95 % ")[1].split(" to ")[0])
    assert found.startswith("b brings 8") and low > 0


def test_each_contender_has_its_sentence_and_its_scenario():
    rows = []
    for scenario in ("x", "y"):
        for strategy, bricks in (("one", 5), ("two", 3), ("three", 9)):
            rows += [
                {
                    "scenario": scenario,
                    "strategy": strategy,
                    "replication": k,
                    "seed": k,
                    "bricked": bricks + k,
                }
                for k in range(3)
            ]
    found = sentences(differences(pd.DataFrame(rows), ["bricked"]))
    assert [text.split(" brings")[0] for text in found] == ["x: two", "x: three", "y: two", "y: three"]
