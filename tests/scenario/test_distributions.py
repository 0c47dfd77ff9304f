"""What a person writes for a varying duration reads back, and its integer table follows the law it names."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Inexact, localcontext
from fractions import Fraction
from hashlib import sha256
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.draws import QUANTILES, sampled, sampled_array
from simlib.scenario.distributions import (
    LONGEST_MS,
    Distribution,
    format_distribution,
    mean_ms,
    parse_distribution,
    quantile_table,
)
from simlib.scenario.units import ExpectedError
from tests.amounts import examples

HOUR = 3_600_000
DAY = 24 * HOUR
EXAMPLES = {
    "2 h": Distribution("fixed", 2 * HOUR, None),
    "uniform(1 h, 3 h)": Distribution("uniform", HOUR, Fraction(3 * HOUR)),
    "exponential(6 h)": Distribution("exponential", 6 * HOUR, None),
    "lognormal(5 min, 0.8)": Distribution("lognormal", 300_000, Fraction(4, 5)),
    "pareto(2 d, 1.2)": Distribution("pareto", 2 * DAY, Fraction(6, 5)),
}

LENGTHS = st.integers(1, LONGEST_MS)


def numbers(low: int, high: int, part: int) -> st.SearchStrategy[Fraction]:
    """Fractions from low/part to high/part with short and with long notations."""
    short = st.integers(low * 1000, high * 1000).map(lambda n: Fraction(n, 1000 * part))
    return short | st.fractions(Fraction(low, part), Fraction(high, part), max_denominator=10**20)


DISTRIBUTIONS = st.one_of(
    st.builds(Distribution, st.just("fixed"), st.integers(0, LONGEST_MS), st.none()),
    st.tuples(LENGTHS, LENGTHS).map(lambda ends: Distribution("uniform", min(ends), Fraction(max(ends)))),
    st.builds(Distribution, st.just("exponential"), LENGTHS, st.none()),
    st.builds(Distribution, st.just("lognormal"), LENGTHS, numbers(0, 5, 1)),
    st.builds(Distribution, st.just("pareto"), LENGTHS, numbers(1, 500, 5)),
)


def array(distribution: Distribution) -> np.ndarray:
    return np.array(quantile_table(distribution), dtype=np.int64)


@pytest.mark.parametrize(("text", "distribution"), EXAMPLES.items())
def test_the_documented_forms_mean_what_they_say(text: str, distribution: Distribution) -> None:
    assert parse_distribution(text) == distribution
    assert format_distribution(distribution) == text


def test_a_plain_integer_is_fixed_milliseconds() -> None:
    assert parse_distribution(1500) == Distribution("fixed", 1500, None)
    assert parse_distribution(" uniform ( 10 ,20 ms ) ") == Distribution("uniform", 10, Fraction(20))


@given(DISTRIBUTIONS)
def test_what_is_written_reads_back(distribution: Distribution) -> None:
    assert parse_distribution(format_distribution(distribution)) == distribution


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, "exponential(6 h)"),
        (1.5, "exponential(6 h)"),
        (None, "exponential(6 h)"),
        ("soon", "exponential(6 h)"),
        ("5 hours", "one of the units"),
        ("-3 h", "0 or more milliseconds"),
        ("3651 d", "3650 d"),
        ("expnential(6 h)", "nearest is exponential"),
        ("fixed(6 h)", "exponential(6 h)"),
        ("exponential(6 h, 2)", "exponential(6 h)"),
        ("exponential(0 s)", "a mean of 1 ms to 3650 d"),
        ("exponential(0.3 ms)", "a mean of a whole number of milliseconds"),
        ("exponential(6 h", "exponential(6 h)"),
        ("uniform(1 h)", "uniform(1 h, 3 h)"),
        ("uniform(3 h, 1 h)", "the least not above the most"),
        ("lognormal(5 min, 5.1)", "a sigma from 0 to 5"),
        ("lognormal(5 min, 1/0)", "a sigma from 0 to 5"),
        ("lognormal(5 min, -1)", "a sigma from 0 to 5"),
        ("lognormal(0 s, 1)", "a median of 1 ms to 3650 d"),
        ("pareto(2 d, 0.1)", "a shape from 0.2 to 100"),
        ("pareto(2 d, 101)", "a shape from 0.2 to 100"),
        (f"pareto(2 d, {'1' * 300})", "exponential(6 h)"),
    ],
)
def test_what_is_no_distribution_is_refused_with_the_forms(value: object, told: str) -> None:
    with pytest.raises(ExpectedError) as refusal:
        parse_distribution(value)
    assert told in str(refusal.value)


@settings(max_examples=examples(40))
@given(DISTRIBUTIONS)
def test_a_table_never_decreases_and_stays_within_ten_years(distribution: Distribution) -> None:
    table = quantile_table(distribution)
    assert len(table) == QUANTILES
    assert all(isinstance(entry, int) for entry in table)
    assert list(table) == sorted(table)
    assert table[0] >= 0
    assert table[-1] <= LONGEST_MS
    assert table[1023] == table[1024]


def test_a_fixed_duration_is_constant() -> None:
    table = quantile_table(Distribution("fixed", 7, None))
    assert set(table) == {7}
    assert {sampled(table, 0, draw) for draw in (0, 1 << 31, (1 << 32) - 1)} == {7}


def test_a_lognormal_without_spread_is_its_median() -> None:
    assert set(quantile_table(Distribution("lognormal", 60_000, Fraction(0)))) == {60_000}


@pytest.mark.parametrize("text", EXAMPLES)
def test_array_samples_are_the_scalar_samples(text: str) -> None:
    table = quantile_table(EXAMPLES[text])
    edges = [cell << 22 for cell in range(1025)] + [(1023 << 22) + (cell << 12) for cell in range(1025)]
    draws = {min(max(edge + by, 0), (1 << 32) - 1) for edge in edges for by in (-1, 0, 1)}
    ordered = sorted(draws | set(range(0, 1 << 32, 9_999_991)))
    one_by_one = [sampled(table, 0, draw) for draw in ordered]
    assert sampled_array(array(EXAMPLES[text]), np.array(ordered, dtype=np.uint64)).tolist() == one_by_one
    assert one_by_one == sorted(one_by_one)


@given(st.sampled_from(sorted(EXAMPLES)), st.integers(0, (1 << 32) - 1))
def test_a_table_may_begin_anywhere_in_a_longer_one(text: str, draw: int) -> None:
    table = quantile_table(EXAMPLES[text])
    assert sampled((0,) * 5 + table, 5, draw) == sampled(table, 0, draw)


def test_a_draw_meets_its_quantile_at_every_entry() -> None:
    table = quantile_table(EXAMPLES["exponential(6 h)"])
    assert [sampled(table, 0, k << 22) for k in range(1024)] == list(table[:1024])
    assert [sampled(table, 0, (1023 << 22) + (j << 12)) for j in range(1024)] == list(table[1024:2048])


@pytest.mark.parametrize("mean", [1000, HOUR, 6 * HOUR, 30 * DAY])
def test_the_mean_of_an_exponential_table_is_the_nominal_one(mean: int) -> None:
    assert abs(mean_ms(Distribution("exponential", mean, None)) - mean) < mean / 500


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_mean_is_that_of_the_samples(text: str) -> None:
    # Every cell of the tail is met eight times by an evenly spaced grid, at the middle of an eighth.
    draws = np.arange(1 << 8, 1 << 32, 1 << 9, dtype=np.uint64)
    mean = mean_ms(EXAMPLES[text])
    assert abs(sampled_array(array(EXAMPLES[text]), draws).mean() - mean) <= 2


CDFS: dict[str, Callable[[float], float]] = {
    "uniform(1 h, 3 h)": lambda t: (t / HOUR - 1) / 2,
    "exponential(6 h)": lambda t: 1 - math.exp(-t / (6 * HOUR)),
    "lognormal(5 min, 0.8)": lambda t: NormalDist().cdf(math.log(t / 300_000) / 0.8) if t > 0 else 0.0,
    "pareto(2 d, 1.2)": lambda t: 1 - (2 * DAY / t) ** 1.2,
}


@pytest.mark.parametrize("text", CDFS)
def test_samples_follow_the_closed_form(text: str) -> None:
    """The largest distance of the two distribution functions, on an even grid of 2**16 draws."""
    draws = (np.arange(1 << 16, dtype=np.uint64) << np.uint64(16)) + np.uint64(1 << 15)
    samples = sampled_array(array(EXAMPLES[text]), draws)
    expected = (np.arange(1 << 16) + 0.5) / (1 << 16)
    pairs = zip(samples.tolist(), expected.tolist(), strict=True)
    distance = max(abs(CDFS[text](t) - q) for t, q in pairs if t < LONGEST_MS)
    # Within a cell the table is a straight line; in the lognormal's first, from 0, that is farthest off.
    assert distance < (1 / 1500 if text.startswith("lognormal") else 1 / 5000)


def test_the_entries_of_the_tail_follow_the_closed_form() -> None:
    for text, cdf in CDFS.items():
        for j, entry in enumerate(quantile_table(EXAMPLES[text])[1024:2048]):
            if entry < LONGEST_MS:
                # The entries are whole milliseconds: the uniform's change by 7 ms from one to the next.
                assert cdf(entry - 0.51) <= 1 - (1024 - j) / (1 << 20) <= cdf(entry + 0.51), (text, j)


def test_a_heavy_tail_reaches_beyond_its_thousandth() -> None:
    table = quantile_table(Distribution("pareto", 60_000, Fraction(6, 5)))
    thousandth = 60_000 * 1000 ** (5 / 6)
    assert table[-1] == round(60_000 * 2 ** (22 * 5 / 6)) > 1000 * thousandth
    draws = np.arange(0, 1 << 32, 1 << 12, dtype=np.uint64)
    beyond = np.mean(sampled_array(np.array(table, dtype=np.int64), draws) > thousandth)
    assert beyond == pytest.approx(1 / 1000, rel=0.03)


def test_the_callers_decimal_context_changes_nothing() -> None:
    distribution = Distribution("exponential", 12_345, None)
    with localcontext(Context(prec=3, traps=[Inexact])):
        coarse = quantile_table.__wrapped__(distribution)
    assert coarse == quantile_table(distribution)


def test_the_tables_are_frozen() -> None:
    """Each run stands on these integers; a platform or a change that moves one shows here."""
    found = {text: sha256(array(d).astype("<i8").tobytes()).hexdigest()[:16] for text, d in EXAMPLES.items()}
    assert found == {
        "2 h": "dcf55a3ad06d4b95",
        "uniform(1 h, 3 h)": "f3a07bc63b6cab0c",
        "exponential(6 h)": "8dc3658aabbe16a7",
        "lognormal(5 min, 0.8)": "4cc73ccdef88573c",
        "pareto(2 d, 1.2)": "ed5cead81df33cf4",
    }
