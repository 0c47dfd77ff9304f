"""Draws are pure, uniform enough, and the same as scalars and as arrays."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.draws import (
    CERTAIN,
    Purpose,
    Stream,
    below,
    device_key,
    device_keys,
    draw32,
    draws32,
    mix64,
    threshold,
)

SEEDS = st.integers(0, 2**63 - 1)


def test_mixer_gives_the_published_splitmix64_sequence():
    # First outputs of SplitMix64 from state 1234567 (Vigna's splitmix64.c).
    state, out = 1234567, []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) & (2**64 - 1)
        out.append(mix64(state))
    assert out == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_draws_are_frozen():
    assert device_key(7, 0) == 0x6A9216023FD7DC5D
    drawn = [draw32(device_key(7, device), Purpose.DROP, 3) for device in (-1, 0, 119_999)]
    assert drawn == [3609159049, 1829484447, 3783034271]


@given(SEEDS, st.integers(0, 20), st.integers(0, 1000))
def test_array_draws_are_the_scalar_draws(seed, purpose, occurrence):
    keys = device_keys(seed, 5)
    assert keys.tolist() == [device_key(seed, d) for d in range(5)]
    assert draws32(keys, purpose, occurrence).tolist() == [draw32(int(k), purpose, occurrence) for k in keys]


@given(SEEDS, st.integers(0, 30))
def test_a_stream_in_blocks_is_the_stream_one_by_one(seed, count):
    one, many = Stream(seed, 1), Stream(seed, 1)
    assert many.block(count).tolist() == [one.u32() for _ in range(count)]
    assert many.u32() == one.u32()


def test_a_threshold_is_met_as_often_as_the_probability_says():
    keys = device_keys(3, 200_000)
    for probability in (Fraction(0), Fraction(3, 100), Fraction(1, 2), Fraction(1)):
        share = np.mean(draws32(keys, Purpose.DROP, 0) < np.uint64(threshold(probability)))
        assert abs(share - float(probability)) < 0.004


def test_certain_and_impossible_are_exact():
    assert threshold(1) == CERTAIN
    assert threshold(0) == 0
    with pytest.raises(ValueError, match="expected 0 to 1"):
        threshold(Fraction(3, 2))


@given(SEEDS, st.integers(1, 2**31))
def test_below_stays_in_its_span(seed, span):
    assert 0 <= below(device_key(seed, 1), 1, 1, span) < span


def test_purposes_do_not_share_their_luck():
    keys = device_keys(1, 50_000)
    a, b = draws32(keys, Purpose.DROP, 0), draws32(keys, Purpose.DROP_AT, 0)
    assert abs(np.corrcoef(a.astype(float), b.astype(float))[0, 1]) < 0.02
