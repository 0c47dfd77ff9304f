"""The most valuable set within budgets is found to the last unit, also where floating point errs."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from simlib.study.skew import knapsack
from simlib.study.skew.choice import Base, Budgets, best_set
from simlib.study.skew.knapsack import most_valuable
from tests.amounts import examples

ALIKE = (57_680_081, 57_680_084, 57_680_085, 57_680_084, 57_680_084, 57_680_082)
"""Sizes of which four together are just a budget; a solver in floating point finds none that fit."""


def by_trying_all(values, rows, budgets) -> tuple[int, ...]:
    """The best of all sets; of those that are worth the same, the one with the earlier things."""
    fitting = [
        set_
        for set_ in product((0, 1), repeat=len(values))
        if all(np.dot(row, set_) <= most for row, most in zip(rows, budgets, strict=True))
    ]
    best = max(
        fitting, key=lambda set_: (sum(v for v, taken in zip(values, set_, strict=True) if taken), set_)
    )
    return tuple(k for k, taken in enumerate(best) if taken)


@st.composite
def questions(draw):
    """Up to nine things, at times all alike, and up to three budgets, each about what some set takes."""
    number = draw(st.integers(1, 9))
    middle = draw(st.sampled_from([3, 1_000, 1_000_000, 60_000_000]))
    alike = draw(st.booleans())
    size = st.integers(max(middle - 2, 0), middle + 2) if alike else st.integers(0, middle)
    values = [draw(size) + 1 for _ in range(number)]
    rows = [[draw(size) for _ in range(number)] for _ in range(draw(st.integers(0, 3)))]
    some = draw(st.lists(st.booleans(), min_size=number, max_size=number))
    off = draw(st.integers(-1, 1))
    budgets = [max(sum(n for n, is_in in zip(row, some, strict=True) if is_in) + off, 0) for row in rows]
    return values, rows, budgets


@settings(deadline=None, max_examples=examples(150))
@given(questions())
@example(([1] * 6, [list(ALIKE)], [sum(sorted(ALIKE)[:4])]))
@example(([5, 5, 5], [[0, 0, 0]], [0]))
def test_no_set_that_keeps_the_budgets_is_worth_more(question) -> None:
    assert most_valuable(*question) == by_trying_all(*question)


def test_without_budgets_everything_is_taken_and_without_things_nothing() -> None:
    assert most_valuable([3, 1, 2], [], []) == (0, 1, 2)
    assert most_valuable([], [[]], [7]) == ()


@pytest.mark.parametrize("seed", range(3))
def test_more_things_than_can_all_be_tried_are_chosen_as_well_as_by_a_solver(seed: int) -> None:
    luck = np.random.default_rng(seed)
    values, size, time = (luck.integers(1_000, 200_000, 50).tolist() for _ in range(3))
    rows, budgets = [size, time, [1] * 50], [sum(size) // 3, sum(time) // 4, 20]
    found = most_valuable(values, rows, budgets)
    for row, most in zip(rows, budgets, strict=True):
        assert sum(row[k] for k in found) <= most
    peer = milp(
        c=-np.array(values, dtype=float),
        constraints=LinearConstraint(np.array(rows, dtype=float), ub=np.array(budgets, dtype=float)),
        integrality=np.ones(50),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    assert sum(values[k] for k in found) >= round(-peer.fun)


@pytest.mark.parametrize("seed", range(3))
def test_where_states_are_given_up_the_budgets_are_kept_and_little_is_lost(seed: int, monkeypatch) -> None:
    luck = np.random.default_rng(seed)
    size = luck.integers(1_000, 200_000, 40).tolist()
    values = [10 * n + int(luck.integers(0, 500_000)) for n in size]  # worth about as much as it takes
    budgets = [sum(size) * 2 // 5, 16]
    exact = most_valuable(values, [size, [1] * 40], budgets)
    monkeypatch.setattr(knapsack, "MANY", 300)
    found = most_valuable(values, [size, [1] * 40], budgets)
    assert sum(size[k] for k in found) <= budgets[0] and len(found) <= budgets[1]
    lost = sum(values[k] for k in exact) - sum(values[k] for k in found)
    assert lost <= sum(values[k] for k in exact) // 100_000


def test_the_best_set_holds_where_patches_are_large_and_just_fit_the_budget() -> None:
    bases = [Base(k, Fraction(1, 6), size, 1 << 30, 5, True) for k, size in enumerate(ALIKE, 1)]
    smallest = sum(sorted(ALIKE)[:4])
    assert best_set(bases, Budgets(storage_bytes=smallest)).storage_bytes == smallest
    assert len(best_set(bases, Budgets(storage_bytes=smallest - 1)).lags) == 3
    assert best_set(bases, Budgets(storage_bytes=smallest, cpu_ms=14)).build_ms == 10
    assert best_set(bases, Budgets(storage_bytes=smallest, limit=0)).lags == ()
    far = [Base(1, Fraction(1), 1 << 40, 1 << 41, 1, True)]
    assert best_set(far, Budgets(storage_bytes=(1 << 40) - 1)).lags == ()
    assert best_set(far, Budgets(storage_bytes=1 << 40)).lags == (1,)
