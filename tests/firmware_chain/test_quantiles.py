"""Quantile tables agree with the distributions they stand for."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from simlib.draws import CERTAIN, Stream
from simlib.firmware.synthetic.quantiles import block_below, lognormal_table, pick, sample, zipf_table


def test_zipf_ranks_weigh_one_over_rank_to_the_exponent() -> None:
    table = zipf_table(2000, "1.1")
    weights = np.arange(1, 2001) ** -1.1
    assert np.allclose(table / CERTAIN, np.cumsum(weights) / weights.sum(), atol=1e-8)
    assert int(table[-1]) == CERTAIN


def test_lognormal_lengths_have_the_lognormal_distribution() -> None:
    table = lognormal_table("3.3", "0.8", 320)
    expected = [NormalDist().cdf((np.log(n) - 3.3) / 0.8) for n in range(1, 321)]
    assert np.allclose(table / CERTAIN, np.array(expected) / expected[-1], atol=1e-8)


@pytest.mark.parametrize(("draw", "entry"), [(0, 0), (9, 0), (10, 1), (CERTAIN - 1, 2)])
def test_a_draw_picks_the_first_entry_above_it(draw: int, entry: int) -> None:
    table = np.array([10, 20, CERTAIN], dtype=np.uint64)
    assert pick(table, np.array([draw], dtype=np.uint64)).tolist() == [entry]


def test_a_block_is_what_single_draws_would_be() -> None:
    one, many = Stream(5, 6), Stream(5, 6)
    assert block_below(many, 100, 37).tolist() == [one.below(37) for _ in range(100)]


def test_a_sample_is_distinct_ascending_and_of_the_size_asked_for() -> None:
    stream = Stream(1, 1)
    for count in (0, 1, 50, 100, 200):
        numbers = sample(stream, 100, count).tolist()
        assert numbers == sorted(set(numbers))
        assert len(numbers) == min(count, 100)
        assert set(numbers) <= set(range(100))
