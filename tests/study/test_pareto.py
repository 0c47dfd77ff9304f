"""Dominance, volume and thinning, held against their definitions."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.study.optimisation.pareto import dominates, hypervolume, non_dominated, thinned

POINTS = st.integers(2, 4).flatmap(
    lambda d: st.lists(st.tuples(*[st.integers(0, 5).map(float)] * d), min_size=1, max_size=7)
)


@given(POINTS)
def test_what_is_left_out_is_dominated_by_what_is_kept_and_nothing_kept_is_dominated(points):
    kept = non_dominated(points)
    for k, point in enumerate(points):
        beaten = any(dominates(points[j], point) for j in kept)
        assert beaten == (k not in kept)


def test_equal_points_do_not_dominate_each_other():
    assert not dominates((1.0, 2.0), (1.0, 2.0))
    assert non_dominated([(1.0, 2.0), (1.0, 2.0), (2.0, 2.0)]) == [0, 1]


@given(POINTS)
def test_the_volume_is_the_number_of_unit_cells_that_some_point_dominates(points):
    d = len(points[0])
    corner = (6.0,) * d

    def cells(box: tuple[int, ...]):
        return [()] if not box else [(x, *rest) for x in range(box[0]) for rest in cells(box[1:])]

    covered = sum(
        any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points)
        for cell in cells((6,) * d)
    )
    assert hypervolume(points, corner) == covered


def test_what_lies_beyond_the_corner_adds_no_volume():
    assert hypervolume([(7.0, 0.0)], (6.0, 6.0)) == 0.0
    assert hypervolume([(7.0, 0.0), (1.0, 1.0)], (6.0, 6.0)) == 25.0


def test_thinning_keeps_the_knee_before_its_neighbours_and_does_not_mind_units():
    knee, ends = (1.0, 1.0), [(0.0, 10.0), (10.0, 0.0)]
    neighbours = [(0.9, 1.2), (1.2, 0.9)]
    points = [*ends, *neighbours, knee]
    assert thinned(points, 1) == [4]
    assert thinned(points, 3) == [0, 1, 4]
    assert thinned([(x * 1e9, y) for x, y in points], 3) == [0, 1, 4]


@given(POINTS, st.integers(1, 8))
def test_thinning_takes_as_many_as_it_may_and_each_once(points, most):
    taken = thinned(points, most)
    assert taken == sorted(set(taken))
    assert len(taken) == min(most, len(points))


def test_two_taken_of_a_curve_dominate_nearly_what_the_best_two_do():
    points = [(float(x), 100.0 / x) for x in range(1, 21)]
    lows, highs = [1.0, 5.0], [20.0, 100.0]
    scaled = [
        tuple((v - low) / (high - low) for v, low, high in zip(p, lows, highs, strict=True)) for p in points
    ]
    best = max(hypervolume(pair, (1.1, 1.1)) for pair in combinations(scaled, 2))
    assert hypervolume([scaled[k] for k in thinned(points, 2)], (1.1, 1.1)) == pytest.approx(best, rel=0.1)
