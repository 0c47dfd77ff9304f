"""How far behind a fleet is, what patches cost by that, and what a fleet then downloads."""

from __future__ import annotations

import lzma
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.delta import create_patch
from simlib.errors import InputError
from simlib.firmware.measurements import MeasuredUpdate, delta_pairs
from simlib.firmware.synthetic import synthetic_chain
from simlib.release import build_release
from simlib.scenario import Scenario
from simlib.study.skew import (
    Costs,
    costs_of_images,
    costs_of_release,
    from_counts,
    from_shares,
    geometric,
    lags_of,
    mean_costs,
    measured_costs,
    relative_bytes,
)
from simlib.study.skew.costs import release_with_all_patches
from simlib.study.skew.field import skew_fleet
from simlib.study.skew.measured import continued, distinct_pairs

F = Fraction
SKIPS = {1: F("0.267"), 2: F("0.448"), 3: F("0.594"), 4: F("0.695")}
"""Means of a larger set of chains than the public ones, of patches over 1 to 4 releases."""
KEPT = (0, 1, 2, 3, 4, 8)


@given(st.fractions(F(1, 1000), 1), st.integers(1, 30))
def test_geometric_lags_sum_to_one_and_shrink_by_one_factor(p: Fraction, longest: int) -> None:
    lags = geometric(p, longest)
    assert (len(lags), sum(lags)) == (longest, 1)
    assert all(later == (1 - p) * earlier for earlier, later in pairwise(lags))


def test_lags_are_the_same_from_a_scenario_from_shares_and_from_counts() -> None:
    scenario = Scenario.load("delta-skew-120k")
    spec = scenario.spec
    lags = lags_of(spec)
    assert (len(lags), sum(lags)) == (12, 1)
    assert lags[:4] == (F("0.45"), F("0.2475"), F("0.1361"), F("0.0749"))
    assert from_shares([share * 7 for share in lags]) == lags
    assert from_counts({12 - k: int(share * 10_000) for k, share in enumerate(lags, 1)}, 12) == lags
    mixed = replace(spec, cohorts=(*spec.cohorts[:2], replace(spec.cohorts[2], base_mix=(F(1),))))
    assert lags_of(mixed)[0] == F("0.8") * F("0.45") + F("0.2")
    assert sum(lags_of(mixed)) == 1


def test_devices_that_have_the_release_already_are_not_behind() -> None:
    assert from_counts({5: 900, 6: 3, 4: 30, 2: 10}, 5) == (F(3, 4), F(0), F(1, 4))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: geometric(F(0), 3), "p: found 0"),
        (lambda: geometric(F(2), 3), "p: found 2"),
        (lambda: geometric(F(1, 2), 0), "longest: found 0"),
        (lambda: from_shares([F(1), F(-1, 10)]), "shares: found -0.1"),
        (lambda: from_shares([F(0)]), "shares: found no device"),
        (lambda: from_counts({3: 10}, 3), "shares: found no device"),
        (lambda: from_counts({3: -1}, 4), "counts: found -1"),
        (lambda: Costs((F(0),), F(1), F(2)), "costs: found 0"),
        (lambda: Costs((F(1),), F(2), F(1)), "costs: found a raw image of 1"),
        (lambda: Costs((F(1),), F(2), F(2)).patch(2), "lag: found 2"),
        (lambda: Costs((F(1),), F(2), F(2)).patch(0), "lag: found 0"),
        (lambda: costs_of_images([b"alone"], "bsdiff4"), "images: found 1"),
        (lambda: mean_costs("guess"), "algorithm: found"),
        (lambda: mean_costs(compressed="guess"), "compressed: found"),
        (lambda: mean_costs(chains=["guess"]), "chains: found"),
        (lambda: continued({2: F(1, 2)}, 3), "costs: found none for neighbours"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, names: str) -> None:
    with pytest.raises(InputError, match=names) as caught:
        make()
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("p", "rows"),
    [
        ("0.7", (1, 0.49, 0.37, 0.35, 0.34, 0.34)),
        ("0.45", (1, 0.67, 0.53, 0.48, 0.45, 0.44)),
        ("0.25", (1, 0.81, 0.70, 0.64, 0.60, 0.56)),
    ],
)
def test_keeping_patches_for_the_last_bases_is_worth_what_the_illustration_says(p: str, rows) -> None:
    costs = Costs(continued(SKIPS, 10), F(1), F("1.6"))
    found = [float(relative_bytes(geometric(F(p), 10), costs, kept)) for kept in KEPT]
    assert found == pytest.approx(rows, abs=0.01)


def test_the_public_measurements_give_nearly_the_same() -> None:
    means = mean_costs()
    assert {k: round(float(mean), 3) for k, mean in means.items()} == {
        1: 0.270,
        2: 0.475,
        3: 0.630,
        4: 0.744,
        6: 0.836,
        8: 0.919,
    }
    lags = geometric(F("0.45"), 12)
    found = [float(relative_bytes(lags, measured_costs(12), kept)) for kept in KEPT]
    assert found == pytest.approx((1, 0.67, 0.53, 0.48, 0.45, 0.44), abs=0.025)


def test_a_mean_is_of_each_pair_once_over_the_whole_image_of_its_target() -> None:
    def whole(chain: str, target: str, n_bytes: int) -> MeasuredUpdate:
        return MeasuredUpdate(chain, None, target, 0, 400, "full_lzma", n_bytes, 0)

    def patch(chain: str, n_bytes: int) -> MeasuredUpdate:
        return MeasuredUpdate(chain, "1", "2", 390, 400, "bsdiff4", n_bytes, 1)

    wholes = (whole("a", "2", 200), whole("b", "2", 200), whole("c", "2", 100))
    updates = (*wholes, patch("a", 50), patch("b", 50), patch("c", 30))
    assert [u.chain for u in distinct_pairs(updates, "bsdiff4")] == ["a", "c"]
    assert mean_costs(updates=updates) == {1: (F(50, 200) + F(30, 100)) / 2}
    assert mean_costs(chains=["b", "c"], updates=updates) == {1: (F(50, 200) + F(30, 100)) / 2}
    assert measured_costs(3, updates=updates).patches == (F("0.275"),) * 3
    assert float(measured_costs(1, updates=updates).raw) == pytest.approx((2 + 2 + 4) / 3)


@given(
    st.dictionaries(st.integers(2, 9), st.fractions(F(1, 100), F(3, 2)), max_size=4),
    st.fractions(F(1, 100), F(3, 2)),
    st.integers(1, 15),
)
def test_continued_costs_never_fall_and_never_pass_the_whole_image(known, first, longest: int) -> None:
    costs = continued({1: first, **known}, longest)
    assert len(costs) == longest
    assert all(earlier <= later for earlier, later in pairwise(costs))
    assert all(0 < cost <= 1 for cost in costs)


def test_continued_costs_keep_what_was_measured_and_halve_a_gap() -> None:
    costs = continued({1: F(1, 5), 2: F(1, 2), 4: F(9, 10)}, 6)
    assert costs[:4] == (F(1, 5), F(1, 2), F(7, 10), F(9, 10))
    # A saving of 0.8 that came down to 0.1 over three releases halves with each.
    assert [float(1 - cost) for cost in costs[4:]] == pytest.approx([0.05, 0.025])


def test_a_patch_that_is_not_worth_it_is_not_downloaded() -> None:
    costs = Costs((F(10), F(90)), F(100), F(150), full_above=F(4, 5))
    lags = (F(1, 2), F(1, 2))
    assert relative_bytes(lags, costs, 2) == relative_bytes(lags, costs, 1) == F(55, 100)
    assert relative_bytes(lags, replace(costs, full_above=F(9, 10)), 2) == F(50, 100)
    assert relative_bytes(lags, replace(costs, full_above=F(9, 10)), {2}) == F(95, 100)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8), st.integers(0, 9))
def test_one_more_patch_never_makes_a_fleet_download_more(patches: list[int], kept: int) -> None:
    costs = Costs(tuple(map(F, patches)), F(200), F(300))
    lags = from_shares([F(1)] * len(patches))
    assert relative_bytes(lags, costs, kept + 1) <= relative_bytes(lags, costs, kept) <= 1


def test_costs_of_images_are_the_sizes_of_patches_that_are_really_made() -> None:
    images = synthetic_chain(5, [64 << 10] * 3, ["minor", "toolchain"])
    costs = costs_of_images(images, "bsdiff4")
    assert costs.patches == tuple(F(len(create_patch(base, images[2]))) for base in (images[1], images[0]))
    assert costs.raw == len(images[2])
    assert abs(int(costs.whole) - len(lzma.compress(images[2], preset=9))) < 500


def test_costs_of_a_release_are_what_a_run_downloads() -> None:
    spec = skew_fleet().spec.release
    costs = costs_of_release(release_with_all_patches(spec), spec.full_above)
    published = build_release(spec)
    by_base = {a.base: a.wire_bytes for a in published.artefacts if a.kind == "delta"}
    assert {published.primary - k: int(costs.patch(k)) for k in (1, 2, 3)} == by_base
    assert costs.raw == published.full_for().wire_bytes
    assert costs.whole == next(a.wire_bytes for a in published.artefacts if a.kind == "compressed")
    with pytest.raises(InputError, match="found no patch from"):
        costs_of_release(published, spec.full_above)


def test_every_algorithm_that_was_measured_over_several_releases_has_costs() -> None:
    skipped = {u.algorithm for u in delta_pairs() if u.steps > 1}
    assert len(skipped) >= 4
    for algorithm in skipped:
        assert measured_costs(12, algorithm).patches[0] < F(1, 2)
