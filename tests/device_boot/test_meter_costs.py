"""Costs of computing, rounded up once a call."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.device import Meter
from simlib.errors import InputError
from simlib.scenario.calibration import CoreProfile

CORE = CoreProfile(
    "odd",
    63_999_999,
    12_345,
    13_337,
    7_001,
    999,
    {"ed25519": 1_234_567},
    unwrap_cycles={"ecies-p256": 7_654_321},
)


@given(st.integers(0, 10**9))
def test_a_call_is_rounded_up_once_from_the_exact_quotient(cycles: int) -> None:
    meter = Meter(CORE)
    meter.compute(cycles)
    assert meter.time_ns == ceil(Fraction(cycles * 10**9, CORE.clock_hz))
    assert meter.compute_nj == ceil(Fraction(cycles * CORE.nj_per_mcycle, 10**6))


@pytest.mark.parametrize(
    ("charge", "cycles"),
    [
        (lambda m: m.sha256(1001), ceil(Fraction(1001 * 13_337, 1000))),
        (lambda m: m.aes_ctr(1001), ceil(Fraction(1001 * 7_001, 1000))),
        (lambda m: m.patch(1001), ceil(Fraction(1001 * 999, 1000))),
        (lambda m: m.verify("ed25519"), 1_234_567),
        (lambda m: m.unwrap("ecies-p256"), 7_654_321),
    ],
)
def test_each_operation_costs_its_figure_in_the_profile(charge: object, cycles: int) -> None:
    charged, direct = Meter(CORE), Meter(CORE)
    charge(charged)
    direct.compute(cycles)
    assert charged == direct


def test_a_signature_without_a_figure_is_an_input_error_that_names_those_there_are() -> None:
    with pytest.raises(InputError, match="ed25519"):
        Meter(CORE).verify("rsa-3072")
