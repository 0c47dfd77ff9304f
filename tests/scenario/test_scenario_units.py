"""Quantities are read exactly, written so that they read back, and refused in one line."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.scenario import units

AMOUNTS = st.integers(0, 1 << 60)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("0x78000", 0x78000),
        ("480 KiB", 480 << 10),
        ("512KiB", 512 << 10),
        ("1 MiB", 1 << 20),
        ("1.5 KiB", 1536),
        ("0.125 KiB", 128),
        ("25 kB", 25_000),
        ("1GB", 10**9),
        ("0", 0),
        (" 7 B ", 7),
    ],
)
def test_a_size_is_an_integer_or_text_with_a_unit(text: str | int, size: int) -> None:
    assert units.parse_size(text, "here") == size


@pytest.mark.parametrize(
    ("text", "duration"),
    [("2 h", 7_200_000), ("1.5d", 129_600_000), ("250 ms", 250), ("0.001 s", 1), ("3 min", 180_000)],
)
def test_a_duration_is_in_milliseconds(text: str, duration: int) -> None:
    assert units.parse_duration(text, "here") == duration


@pytest.mark.parametrize(
    ("text", "rate"), [("25 kB/s", 25_000), ("1 MiB/s", 1 << 20), ("100 kbit/s", 12_500), (9, 9)]
)
def test_a_rate_is_in_bytes_per_second(text: str | int, rate: int) -> None:
    assert units.parse_rate(text, "here") == rate


@pytest.mark.parametrize(
    ("value", "share"),
    [
        (Decimal("0.1"), Fraction(1, 10)),
        (1, Fraction(1)),
        ("1/3", Fraction(1, 3)),
        ("2.5 %", Fraction(1, 40)),
        ("0.03", Fraction(3, 100)),
        (Decimal("1e-9"), Fraction(1, 10**9)),
    ],
)
def test_a_share_is_the_fraction_that_was_written(value: str | int | Decimal, share: Fraction) -> None:
    assert units.parse_share(value, "here") == share


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("480 parsecs", "KiB"),
        ("1 KB", "kB is 1000 bytes, KiB is 1024"),
        ("-5 KiB", "0 or more"),
        (-4096, "0 or more"),
        ("0.1 B", "whole number of bytes"),
        ("1.5", "whole number of bytes"),
        ("", "unit"),
        ("1e3", "unit"),
        ("1 2", "unit"),
        ("١ KiB", "unit"),
        (True, "unit"),
        (None, "unit"),
        (Decimal("1.0"), "unit"),
        ("9" * 5000, "unit"),
    ],
)
def test_a_size_that_is_none_is_refused_with_place_and_expectation(value: object, told: str) -> None:
    with pytest.raises(InputError) as refusal:
        units.parse_size(value, "file.toml: release.size")  # type: ignore[arg-type]
    message = str(refusal.value)
    assert message.startswith("file.toml: release.size: found ")
    assert told in message.split("expected", 1)[1]
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "value",
    [
        7,
        -1,
        "7",
        "1/0",
        "101 %",
        "a third",
        Decimal("nan"),
        Decimal("inf"),
        Decimal("1e-1000000"),
        "1" * 999,
        True,
        None,
        [],
    ],
)
def test_a_share_outside_zero_to_one_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="expected a share"):
        units.parse_share(value, "here")  # type: ignore[arg-type]


@given(AMOUNTS)
def test_a_written_size_reads_back(amount: int) -> None:
    assert units.parse_size(units.format_size(amount), "here") == amount


@given(AMOUNTS)
def test_a_written_duration_reads_back(amount: int) -> None:
    assert units.parse_duration(units.format_duration(amount), "here") == amount


@given(AMOUNTS)
def test_a_written_rate_reads_back(amount: int) -> None:
    assert units.parse_rate(units.format_rate(amount), "here") == amount


@given(st.fractions(0, 1, max_denominator=10**12) | st.decimals(0, 1, places=18).map(Fraction))
def test_a_written_share_reads_back(share: Fraction) -> None:
    assert units.parse_share(units.format_share(share), "here") == share


def test_written_quantities_carry_the_largest_whole_unit() -> None:
    assert [units.format_size(n) for n in (0, 480 << 10, 1 << 20, 25_000, 1001)] == [
        "0 B",
        "480 KiB",
        "1 MiB",
        "25 kB",
        "1001 B",
    ]
    assert units.format_duration(129_600_000) == "36 h"
    assert units.format_rate(12_500) == "12500 B/s"
