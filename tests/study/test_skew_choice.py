"""Which patches are published: by the rules of a release, and the best set against all sets there are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.release import build_release
from simlib.study.skew import Base, Budgets, best_set, by_rule, lags_of, plan, relative_bytes
from simlib.study.skew.choice import RULES
from simlib.study.skew.field import skew_fleet
from tests.amounts import examples

F = Fraction
WHOLE = 100_000

one_base = st.tuples(
    st.integers(0, 40), st.integers(1, 130_000), st.integers(0, 900), st.booleans() | st.just(True)
)
some_bases = st.lists(one_base, min_size=1, max_size=7).map(
    lambda rows: [
        Base(lag, F(weight, sum(row[0] for row in rows) or 1), patch, WHOLE, ms, worth_it)
        for lag, (weight, patch, ms, worth_it) in enumerate(rows, 1)
    ]
)
some_budgets = st.builds(
    Budgets,
    storage_bytes=st.none() | st.integers(0, 300_000),
    cpu_ms=st.none() | st.integers(0, 2_000),
    limit=st.none() | st.integers(0, 7),
)


def every_set(bases: list[Base]) -> list[tuple[Base, ...]]:
    return [chosen for n in range(len(bases) + 1) for chosen in combinations(bases, n)]


def within(chosen: tuple[Base, ...], budgets: Budgets) -> bool:
    return (
        (budgets.storage_bytes is None or sum(b.patch_bytes for b in chosen) <= budgets.storage_bytes)
        and (budgets.cpu_ms is None or sum(b.build_ms for b in chosen) <= budgets.cpu_ms)
        and (budgets.limit is None or len(chosen) <= budgets.limit)
    )


@settings(deadline=None, max_examples=examples(150))
@given(some_bases, some_budgets)
@example(
    [Base(k, F(1, 3), size, WHOLE, 1, True) for k, size in enumerate((60, 50, 50), 1)],
    Budgets(storage_bytes=100),
)
def test_no_set_within_the_budgets_saves_more_than_the_best(bases, budgets) -> None:
    found = best_set(bases, budgets)
    allowed = [
        chosen for chosen in every_set([base for base in bases if base.worth_it]) if within(chosen, budgets)
    ]
    most = max(sum((base.saved_bytes for base in chosen), F(0)) for chosen in allowed)
    assert found.saved_bytes == pytest.approx(float(most), rel=1e-9, abs=1e-9)
    taken = tuple(base for base in bases if base.lag in found.lags)
    assert within(taken, budgets)
    assert all(base.worth_it for base in taken)
    assert found.saved_bytes == sum((base.saved_bytes for base in taken), F(0))
    assert found.storage_bytes == sum(base.patch_bytes for base in taken)
    assert found.build_ms == sum(base.build_ms for base in taken)
    assert found.covered == sum((base.share for base in taken), F(0))


@settings(deadline=None, max_examples=examples(150))
@given(some_bases, some_budgets, st.sampled_from(RULES))
def test_no_rule_saves_more_than_the_best_set_and_all_keep_the_budgets(bases, budgets, rule: str) -> None:
    found = by_rule(bases, rule, budgets)
    taken = tuple(base for base in bases if base.lag in found.lags)
    assert within(taken, budgets)
    assert all(base.worth_it for base in taken)
    assert budgets.cpu_ms is None or found.build_ms <= budgets.cpu_ms
    gain = sum((max(base.saved_bytes, F(0)) for base in taken), F(0))
    assert gain <= best_set(bases, budgets).saved_bytes + F(1, 10**6)


@settings(deadline=None, max_examples=examples(100))
@given(some_bases, some_budgets)
def test_the_newest_rule_keeps_as_many_of_the_last_bases_as_the_budgets_allow(bases, budgets) -> None:
    found = by_rule(bases, "newest", budgets)

    def allowed(k: int) -> bool:
        built = bases[:k]
        published = tuple(base for base in built if base.worth_it)
        fits = within(published, replace(budgets, cpu_ms=None)) and (
            budgets.limit is None or k <= budgets.limit
        )
        return fits and (budgets.cpu_ms is None or sum(b.build_ms for b in built) <= budgets.cpu_ms)

    best = max(k for k in range(len(bases) + 1) if allowed(k))
    assert found.lags == tuple(base.lag for base in bases[:best] if base.worth_it)


def test_the_best_set_passes_over_a_newer_base_for_two_that_save_more() -> None:
    bases = [
        Base(1, F(4, 10), 60_000, WHOLE, 10, True),
        Base(2, F(3, 10), 30_000, WHOLE, 10, True),
        Base(3, F(3, 10), 30_000, WHOLE, 10, True),
    ]
    budgets = Budgets(storage_bytes=60_000)
    assert by_rule(bases, "newest", budgets).lags == (1,)
    assert by_rule(bases, "population", budgets).lags == (1,)
    assert by_rule(bases, "saving", budgets).lags == (2, 3)
    assert best_set(bases, budgets).lags == (2, 3)
    assert best_set(bases, replace(budgets, cpu_ms=15)).saved_bytes == 21_000  # time for one alone


def test_saving_has_to_build_every_patch_before_it_knows() -> None:
    bases = [Base(k, F(1, 4), 1_000 * k, WHOLE, 100, True) for k in (1, 2, 3, 4)]
    assert by_rule(bases, "saving", Budgets(limit=1)).build_ms == 400
    assert by_rule(bases, "saving", Budgets(limit=1, cpu_ms=399)).lags == ()
    assert by_rule(bases, "saving", Budgets(limit=1, cpu_ms=399)).build_ms == 0
    assert by_rule(bases, "newest", Budgets(limit=1, cpu_ms=399)).build_ms == 100


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("limit", [1, 2, 3, 6])
def test_a_rule_chooses_the_bases_that_a_release_is_built_with(rule: str, limit: int) -> None:
    scenario = skew_fleet().with_(
        {"cohorts.0.base_mix": [0.1, 0.25, 0.05, 0.4, 0.05, 0.15], "release.full_above": 0.51}
    )
    spec = replace(scenario.spec.release, patches=rule, patch_limit=limit)
    lags = lags_of(scenario.spec)
    release = build_release(spec, populations=lags)
    built = sorted(release.primary - a.base for a in release.artefacts if a.base is not None)
    made = plan(scenario)
    assert not all(base.worth_it for base in made.bases)  # or the share of the whole would not be tested
    found = by_rule(made.bases, rule, Budgets(limit=limit))
    assert list(found.lags) == built
    stored = sum(a.wire_bytes for a in release.artefacts if a.base is not None)
    assert found.storage_bytes == stored
    assert found.relative_bytes == relative_bytes(lags, made.costs, found.lags)


def test_a_plan_says_what_keeping_the_last_bases_is_worth_and_why_a_base_is_left_out() -> None:
    scenario = skew_fleet().with_(
        {"cohorts.0.base_mix": [0.5, 0.0, 0.2, 0.2, 0.1], "release.full_above": 0.5}
    )
    made = plan(scenario)
    assert [keep.k for keep in made.keep] == list(range(6))
    assert made.keep[0].relative_bytes == 1
    assert made.keep[0].storage_bytes == made.costs.raw + made.costs.whole
    for keep in made.keep:
        assert keep.relative_bytes == relative_bytes(made.lags, made.costs, keep.k)
        newest = by_rule(made.bases, "newest", Budgets(limit=keep.k))
        assert keep.patches_bytes == newest.storage_bytes
        assert keep.build_ms == newest.build_ms == sum(base.build_ms for base in made.bases[: keep.k])
    tight = plan(scenario, Budgets(storage_bytes=made.bases[0].patch_bytes))
    reasons = {base.lag: tight.why_not(base) for base in tight.bases}
    assert reasons[1] == ""
    assert reasons[2] == "no device"
    assert "budget" in reasons.values()
    large = [base.lag for base in tight.bases if not base.worth_it]
    assert large
    assert all(reasons[lag] == "too large" for lag in large)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: Budgets(storage_bytes=-1), "storage_bytes: found -1"),
        (lambda: Budgets(limit=-1), "limit: found -1"),
        (lambda: by_rule([], "oldest"), "patches: found"),
        (lambda: plan(skew_fleet()).choice("oldest"), "rule: found"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, names: str) -> None:
    with pytest.raises(InputError, match=names) as caught:
        make()
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)
