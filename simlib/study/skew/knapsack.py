"""The most valuable choice of things within several budgets, to the last unit: a knapsack with constraints.

A solver in floating point is the usual tool, and not good enough. Where a budget is just what a set of
patches takes, and their sizes are alike, its tolerances decide: `scipy.optimize.milp` was seen to find no
set within a budget that some keep, to exceed one, and to give a set worth half the best. Here all that
decides is whole numbers. A linear program in floating point only says where to look: its prices of the
budgets bound what is still to be had. The bound holds for any prices, and is tight for good ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MANY: Final = 5_000
"""States at a time up to which the answer is exact."""
MILLION: Final = 1_000_000
_FINE: Final = 1 << 40  # prices are rounded to this part of the unit of values


def most_valuable(
    values: Sequence[int], rows: Sequence[Sequence[int]], budgets: Sequence[int]
) -> tuple[int, ...]:
    """The indices, rising, of the things that are worth most together, of those sets that keep the budgets.

    `rows` has for each budget what each thing takes of it, 0 or more, and `values` are above 0. Of sets that
    are worth the same, the one with the earlier things; so the answer is the same on every machine.

    That takes a search in which the number of states can double with each thing. Where there are more than
    `MANY` at a time, which needs dozens of things that are alike in all respects or worth as much as they
    take, states that could be better by a millionth at most are given up, and of the others those that
    promise least: the answer keeps the budgets, and may not be the best.
    """
    number = len(values)
    # A thing's place counts below its value: no two sets are worth the same.
    worths = [(value << number) + (1 << (number - 1 - k)) for k, value in enumerate(values)]
    fine = [worth * _FINE for worth in worths]
    prices = _prices(fine, rows, budgets)
    taken = list(zip(*rows, strict=True)) if rows else [()] * number
    gains = [
        worth - sum(price * n for price, n in zip(prices, each, strict=True))
        for worth, each in zip(fine, taken, strict=True)
    ]
    # The clear cases come first, so that the others are settled among few states.
    order = sorted(range(number), key=lambda k: -abs(gains[k]))
    rest = [0] * (number + 1)  # what the things from a place in the order on can bring beyond their prices
    for place in range(number - 1, -1, -1):
        rest[place] = rest[place + 1] + max(gains[order[place]], 0)
    best_worth, best = _greedy(worths, taken, gains, budgets)
    states = {tuple(budgets): (0, 0)}  # what is left, to the most that is worth so far, and its set
    for place, k in enumerate(order):
        further = dict(states)
        for left, (worth, chosen) in states.items():
            less = tuple(have - n for have, n in zip(left, taken[k], strict=True))
            more = worth + worths[k]
            if min(less, default=0) >= 0 and more > further.get(less, (-1, 0))[0]:
                further[less] = more, chosen | 1 << k
                if more > best_worth:
                    best_worth, best = more, chosen | 1 << k
        enough = best_worth * _FINE
        if len(further) > MANY:
            enough += enough // MILLION
        bounds = {
            left: worth * _FINE
            + sum(price * have for price, have in zip(prices, left, strict=True))
            + rest[place + 1]
            for left, (worth, _) in further.items()
        }
        hopeful = [left for left, bound in bounds.items() if bound > enough]
        if len(hopeful) > MANY:
            hopeful = sorted(hopeful, key=bounds.__getitem__, reverse=True)[:MANY]
        states = {left: further[left] for left in hopeful}
    return tuple(k for k in range(number) if best >> k & 1)


def _greedy(
    worths: Sequence[int], taken: Sequence[Sequence[int]], gains: Sequence[int], budgets: Sequence[int]
) -> tuple[int, int]:
    """A set that keeps the budgets and is good to begin with: its worth, and its members as bits."""
    left, worth, chosen = list(budgets), 0, 0
    for k in sorted(range(len(worths)), key=lambda k: -gains[k]):
        less = [have - n for have, n in zip(left, taken[k], strict=True)]
        if min(less, default=0) >= 0:
            left, worth, chosen = less, worth + worths[k], chosen | 1 << k
    return worth, chosen


def _prices(values: Sequence[int], rows: Sequence[Sequence[int]], budgets: Sequence[int]) -> list[int]:
    """What a unit of each budget is worth at the margin, were things to be had in part; 0 where unknown."""
    from scipy.optimize import linprog

    if not rows or not values:
        return [0] * len(rows)
    largest = max(values)
    scales = [max(budget, 1) for budget in budgets]
    found = linprog(
        c=[-value / largest for value in values],
        A_ub=[[n / scale for n in row] for row, scale in zip(rows, scales, strict=True)],
        b_ub=[budget / scale for budget, scale in zip(budgets, scales, strict=True)],
        bounds=(0, 1),
    )
    if not found.success:
        return [0] * len(rows)
    return [
        max(int(-marginal * _FINE), 0) * largest // (scale * _FINE)
        for marginal, scale in zip(found.ineqlin.marginals, scales, strict=True)
    ]
