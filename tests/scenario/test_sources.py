"""A scenario's numbers are found, its table of sources covers them, and its assumptions are named."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.scenario.distributions import FORMS
from simlib.scenario.sources import (
    SourceLabel,
    matching,
    numbers,
    parse_source,
    recalled_keys,
    unsourced,
)
from simlib.scenario.units import ExpectedError

DOCUMENT: dict[str, object] = {
    "schema": 1,
    "name": "x",
    "title": "2 devices",
    "devices": 1000,
    "release": {"size": "480 KiB", "payload": "delta", "encrypted": True, "steps": ["minor", "patch"]},
    "cohorts": [
        {"name": "5 s", "hardware": "rev-a", "rates": ["100 kbit/s", "2 MB/s"], "wake_period": "1 d"},
        {"name": "b", "share": "1/3", "battery": [Decimal("0.2"), 1], "wake_period": "exponential(2 h)"},
    ],
    "rollout": {"window": "01:00-05:00", "groups": [{"share": "rest", "soak": "0 s"}]},
    "sources": {"devices": "chosen: 1000"},
}
KEYS = [
    "devices",
    "release.size",
    "cohorts.0.rates",
    "cohorts.0.wake_period",
    "cohorts.1.share",
    "cohorts.1.battery",
    "cohorts.1.wake_period",
    "rollout.window",
    "rollout.groups.0.soak",
]


def test_the_numbers_of_a_document_are_all_found_and_nothing_else() -> None:
    assert [key for key, _ in numbers(DOCUMENT)] == KEYS
    assert unsourced(DOCUMENT, {}) == tuple(KEYS)


@pytest.mark.parametrize(
    "value",
    [
        *(0, -3, 1.5, Decimal("0.05"), "12", "-12", "0xff", "5 %", "5%", "1/3"),
        *("2 h", "2h", "10 MB/s", "480 KiB", "700 kbit/s", "7.5 ms", "30 us", "-2 d", "0.5 EUR"),
        *("01:00-05:00", "22:30", "+05:30", "exponential(2 h)", "lognormal(5 min, 0.8)"),
        *([1], ["rest", "2 h"], [[0, 1]]),
    ],
)
def test_a_quantity_counts_as_a_number(value: object) -> None:
    assert [key for key, _ in numbers({"a": {"b": value}})] == ["a.b"]


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, "", "rest", "delta", "rev-a", "bsdiff4", "cr2032", "2xaa-alkaline", "1M", "sf7"),
        *("2024.0.1", "ecdsa-p256", "corpus:x1", "lte-m", "monday", [], ["rev-a", "1M"], {}),
    ],
)
def test_a_name_does_not(value: object) -> None:
    assert list(numbers({"a": value})) == []


def test_every_documented_form_of_a_varying_duration_is_a_number() -> None:
    for form in FORMS.split('"')[1::2]:
        assert list(numbers({"a": form})) == [("a", form)]


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ({}, None),
        ({"cohorts.0.rates": ""}, "cohorts.0.rates"),
        ({"cohorts.*.rates": "", "cohorts.0.rates": ""}, "cohorts.0.rates"),
        ({"cohorts.*.*": "", "cohorts.*.rates": ""}, "cohorts.*.rates"),
        ({"cohorts.0.*": "", "cohorts.*.rates": ""}, "cohorts.*.rates"),
        ({"*.0.rates": "", "cohorts.0.*": ""}, "cohorts.0.*"),
        ({"cohorts.*": "", "*": "", "rates": "", "cohorts.1.rates": "", "cohorts.0.rates.*": ""}, None),
        ({"cohorts.0.rate": "", "cohorts.0.r*": ""}, None),
    ],
)
def test_the_most_specific_key_speaks(sources: dict[str, str], found: str | None) -> None:
    assert matching("cohorts.0.rates", sources) == found
    assert matching("cohorts.0.rates", dict(reversed(sources.items()))) == found


@given(st.lists(st.sampled_from(KEYS)), st.booleans())
def test_what_is_covered_is_not_unsourced(covered: list[str], star: bool) -> None:
    sources = dict.fromkeys(covered, "chosen: so")
    if star:
        sources["cohorts.*.*"] = "chosen: so"
    left = [k for k in KEYS if k not in covered and not (star and k.startswith("cohorts."))]
    assert list(unsourced(DOCUMENT, sources)) == left


def test_a_source_is_a_label_and_a_text() -> None:
    assert parse_source("cited: RFC 9019: section 3") == (SourceLabel.CITED, "RFC 9019: section 3")
    assert [parse_source(f"{label}:x")[0] for label in SourceLabel] == list(SourceLabel)


@pytest.mark.parametrize("text", ["", "cited", "cited: ", ": x", "guessed: x", "RFC 9019", "Cited: x"])
def test_a_source_without_label_or_text_is_refused(text: str) -> None:
    with pytest.raises(ExpectedError, match="one of measured, cited, derived, recalled, chosen"):
        parse_source(text)


def test_the_assumptions_of_a_scenario_are_named_with_their_values() -> None:
    sources = {
        "devices": "chosen: enough",
        "cohorts.*.wake_period": "recalled: a habit",
        "cohorts.1.wake_period": "cited: a survey",
        "cohorts.*.rates": "recalled: phones",
        "release.payload": "recalled: not a number",
    }
    assert recalled_keys(DOCUMENT, sources) == (
        ("cohorts.0.rates", '["100 kbit/s", "2 MB/s"]', "phones"),
        ("cohorts.0.wake_period", '"1 d"', "a habit"),
    )
    with pytest.raises(ExpectedError):
        recalled_keys(DOCUMENT, {"devices": "enough"})
