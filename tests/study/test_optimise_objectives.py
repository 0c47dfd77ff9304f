"""Figures weighted by a prior, and constraints, held against plain sums and other ways to compute them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from simlib.errors import InputError
from simlib.scenario import Scenario
from simlib.study.optimisation.defect_prior import DEFAULT_PREVALENCES, Prior, prior_of
from simlib.study.optimisation.objectives import Sample, constraint_of, objective_named

HOUR = 3_600_000


@pytest.fixture(scope="module")
def plain() -> Scenario:
    return Scenario.load("escooter-120k").with_({"devices": 1000})


@pytest.fixture(scope="module")
def prior(plain: Scenario) -> Prior:
    return prior_of(plain, "10%:1%,50%")


def row(harmed: int, time_ms: int | None = HOUR) -> dict[str, object]:
    return {"harmed": harmed, "time_to_95_ms": time_ms, "bytes_down": 10 * harmed, "exposed": harmed + 1}


def sample(prior: Prior, rows: list[dict[str, object]], **further: object) -> Sample:
    return Sample(prior, prior.allotted(len(rows)), rows, horizon_ms=100 * HOUR, **further)


def test_weights_of_every_prior_sum_to_one(plain):
    two = plain.with_(
        {
            "defects": [
                {"name": "a", "probability": "10 %"},
                {"name": "b", "probability": 1},
                {"name": "c", "probability": "1/3"},
            ]
        }
    )
    for scenario, name in ((plain, "default"), (plain, "none"), (two, "auto"), (two, "default")):
        assert sum(stratum.weight for stratum in prior_of(scenario, name).strata) == 1


def test_a_scenarios_own_defects_give_a_stratum_a_combination(plain):
    two = plain.with_(
        {
            "defects": [
                {"name": "a", "probability": "10 %"},
                {"name": "b", "probability": 1},
                {"name": "c", "probability": "1/3"},
            ]
        }
    )
    found = {stratum.name: stratum for stratum in prior_of(two).strata}
    assert {name: each.weight for name, each in found.items()} == {
        "good": Fraction(9, 10) * Fraction(2, 3),
        "a": Fraction(1, 10) * Fraction(2, 3),
        "c": Fraction(9, 10) * Fraction(1, 3),
        "a + c": Fraction(1, 30),
    }
    assert [int(d.probability) for d in found["c"].defects] == [0, 1, 1]
    assert [each.good for each in found.values()] == [True, False, False, False]


def test_the_default_prior_leaves_the_scenarios_certain_defects_where_they_are(plain):
    own = plain.with_({"defects": [{"name": "sure", "prevalence": "1 %"}]})
    strata = prior_of(own, "default").strata
    assert [[int(d.probability) for d in stratum.defects] for stratum in strata] == [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [1, 0, 0, 1],
    ]
    assert [d.prevalence for d in strata[0].defects[1:]] == list(DEFAULT_PREVALENCES)


def test_a_chosen_defect_is_not_one_that_the_devices_validation_sees(plain):
    effects = {
        seen: prior_of(plain.with_({"validation.certificate": seen}), "default").strata[1].defects[0]
        for seen in (False, True)
    }
    assert effects[False].effect == "lost-certificate"
    assert effects[True].effect == "crash"
    assert effects[True].onset is not None


def test_half_of_the_replications_are_of_good_releases_in_every_beginning(plain):
    allotted = prior_of(plain, "default").allotted(500)
    assert [allotted.count(k) for k in range(4)] == [250, 84, 83, 83]
    assert prior_of(plain, "default").allotted(100) == allotted[:100]
    for n in range(1, 500):
        assert abs(allotted[:n].count(0) - n / 2) <= 1


@pytest.mark.parametrize("text", ["often", "10%", "110%:1%", "10%:", "10%:0%", "10%:1%,1%"])
def test_a_prior_that_says_nothing_is_refused_on_one_line(plain, text):
    with pytest.raises(InputError, match=r"^defect prior: found .*, expected [^\n]*$"):
        prior_of(plain, text)


def test_too_many_uncertain_defects_are_refused(plain):
    many = plain.with_({"defects": [{"name": f"d{k}", "probability": "1 %"} for k in range(7)]})
    with pytest.raises(InputError, match=r"^defects: found 7 .* expected at most 6"):
        prior_of(many)


def test_a_mean_is_the_mean_of_an_unstratified_sample_in_the_priors_proportions(prior):
    rows = [row(k * k) for k in range(40)]
    strata = prior.allotted(40)
    expected = sum(
        float(stratum.weight) * np.mean([rows[r]["harmed"] for r in range(40) if strata[r] == k])
        for k, stratum in enumerate(prior.strata)
    )
    assert sample(prior, rows).value(objective_named("expected_harmed")) == pytest.approx(expected)


def test_a_percentile_is_that_of_a_sample_repeated_as_often_as_it_weighs(prior):
    # 20 replications: 10 good ones of weight 9/100, and 5 each of the others of weight 1/100.
    rng = np.random.default_rng(3)
    rows = [row(int(h)) for h in rng.integers(0, 1000, 20)]
    strata = prior.allotted(20)
    repeated = sorted(
        r["harmed"] for r, k in zip(rows, strata, strict=True) for _ in range(9 if k == 0 else 1)
    )
    assert len(repeated) == 100
    for percent in (1, 50, 90, 95, 99):
        found = sample(prior, rows).value(objective_named(f"p{percent}_harmed"))
        assert found == repeated[percent - 1]


def test_time_is_asked_of_good_releases_and_exposure_of_bad_ones(prior):
    strata = prior.allotted(40)
    rows = [row(0 if k == 0 else 7, 2 * HOUR if k == 0 else None) for k in strata]
    here = sample(prior, rows)
    assert here.value(objective_named("time_to_95")) == 2 * HOUR
    assert here.value(objective_named("exposure")) == 8


def test_a_time_that_never_came_counts_as_the_horizon_and_is_marked(prior):
    strata = prior.allotted(40)
    rows = [row(0, None if k == 0 and r % 4 == 0 else HOUR) for r, k in enumerate(strata)]
    missing = [r for r, each in enumerate(rows) if each["time_to_95_ms"] is None]
    estimate = sample(prior, rows).estimate(objective_named("time_to_95"))
    assert estimate.missing == len(missing) / strata.count(0)
    assert estimate.value == pytest.approx(HOUR * (100 * estimate.missing + 1 - estimate.missing), rel=1e-12)


def test_counts_of_a_smaller_fleet_are_scaled_up_and_times_are_not(prior):
    here = sample(prior, [row(3)] * 8, scale=Fraction(10))
    assert here.value(objective_named("expected_harmed")) == 30
    assert here.value(objective_named("time_to_95")) == HOUR


def test_the_first_of_a_sample_are_those_replications(prior):
    rows = [row(k) for k in range(40)]
    objective = objective_named("p90_harmed")
    assert sample(prior, rows).first(12).value(objective) == sample(prior, rows[:12]).value(objective)


def test_bootstrap_intervals_cover_a_known_mean_about_as_often_as_they_say(prior):
    rng = np.random.default_rng(0)
    strata = prior.allotted(60)
    covered = 0
    for trial in range(200):
        rows = [row(int(h)) for h in rng.poisson([100 if k == 0 else 400 for k in strata])]
        estimate = sample(prior, rows, seed=trial).estimate(objective_named("expected_harmed"))
        covered += estimate.low <= 0.9 * 100 + 0.1 * 400 <= estimate.high
    assert 176 <= covered <= 199


def test_intervals_of_a_percentile_hold_the_value(prior):
    rng = np.random.default_rng(1)
    rows = [row(int(h)) for h in rng.integers(0, 1000, 80)]
    estimate = sample(prior, rows).estimate(objective_named("p95_harmed"))
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.low < estimate.high


def test_a_probability_is_weighted_and_unsure_where_nothing_was_seen(prior):
    strata = prior.allotted(40)
    constraint = constraint_of("P(harmed > 100) < 0.1")
    bad = constraint.judged(sample(prior, [row(0 if k < 2 else 500) for k in strata]))
    assert bad.estimate.value == pytest.approx(0.05)
    assert bad.holds
    assert not bad.sure
    nothing = constraint.judged(sample(prior, [row(0)] * 40))
    assert nothing.estimate.value == 0
    assert nothing.estimate.high > 0.05
    all_of_them = constraint.judged(sample(prior, [row(500)] * 40))
    assert not all_of_them.holds
    assert all_of_them.sure
    assert all_of_them.violation > 0


def test_just_the_limit_is_not_less(prior):
    strata = prior.allotted(40)
    rows = [row(101 if k == 2 else 0) for k in strata]
    kept = constraint_of("P(harmed > 100) < 5 %").judged(sample(prior, rows))
    assert kept.estimate.value == 0.05
    assert not kept.holds
    assert kept.violation > 0
    assert constraint_of("P(harmed > 101) < 5 %").judged(sample(prior, rows)).holds


@pytest.mark.parametrize(
    ("text", "plain_text"),
    [
        ("P(bricked > 100) < 0.01", "P(harmed > 100) < 0.01"),
        (" P( time_to_95 > 10 d )<5 % ", "P(time_to_95 > 10 d) < 5 %"),
        ("expected_bricks < 0.5", "expected_harmed < 0.5"),
        ("bytes_down < 30 GB", "bytes_down < 30 GB"),
    ],
)
def test_constraints_are_read_as_people_write_them(text, plain_text):
    assert constraint_of(text).text == plain_text


def test_amounts_have_their_measures_units():
    assert constraint_of("P(time_to_95 > 10 d) < 0.05").above == 240 * HOUR
    assert constraint_of("bytes_down < 30 GB").limit == 30 * 10**9
    assert constraint_of("expected_harmed < 0.5").limit == Fraction(1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "harmed",
        "P(harmed > 100)",
        "P(harmed < 100) < 0.01",
        "P(harmd > 100) < 0.01",
        "P(harmed > 100) < 2",
        "P(harmed > many) < 0.01",
        "P(time_to_95 > 10 apples) < 0.01",
        "time_to_95 < soon",
        "happiness < 3",
    ],
)
def test_a_constraint_that_says_nothing_is_refused_on_one_line(text):
    with pytest.raises(InputError, match=r"^constraint: found .*, expected [^\n]*$"):
        constraint_of(text)


def test_an_unknown_objective_names_the_nearest():
    with pytest.raises(InputError, match="nearest is p99_harmed"):
        objective_named("p9_harmd")
