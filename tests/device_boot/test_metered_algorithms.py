"""What each algorithm costs on a device is its figure, charged when it is used and not otherwise."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest

from simlib.device import Meter
from simlib.device.metered_key import metered
from simlib.errors import InputError
from simlib.scenario.calibration import CoreProfile, core_names, core_profile
from simlib.security.keyring import KeyRing
from simlib.security.keys import SIGNATURE_ALGORITHMS, SigningKey, derive_private
from simlib.security.wrapping import KEY_WRAPS

CORE = CoreProfile(
    name="odd",
    clock_hz=63_999_999,
    nj_per_mcycle=12_345,
    sha256_mcpb=13_337,
    aes256_ctr_mcpb=7_001,
    patch_mcpb=999,
    verify_cycles={"ed25519": 1_234_567},
    sha512_mcpb=23_339,
    aes128_ctr_mcpb=5_003,
    unwrap_cycles={"x25519": 2_222_221},
)
BARE = CoreProfile("bare", 63_999_999, 12_345, 13_337, 7_001, 999, {})


@pytest.mark.parametrize(
    ("charge", "cycles"),
    [
        (lambda m: m.hash("sha256", 1001), ceil(Fraction(1001 * 13_337, 1000))),
        (lambda m: m.hash("sha384", 1001), ceil(Fraction(1001 * 23_339, 1000))),
        (lambda m: m.hash("sha512", 1001), ceil(Fraction(1001 * 23_339, 1000))),
        (lambda m: m.aes_ctr(1001, 32), ceil(Fraction(1001 * 7_001, 1000))),
        (lambda m: m.aes_ctr(1001, 16), ceil(Fraction(1001 * 5_003, 1000))),
        (lambda m: m.unwrap("x25519"), 2_222_221),
    ],
)
def test_each_algorithm_costs_its_figure(charge, cycles) -> None:
    charged, direct = Meter(CORE), Meter(CORE)
    charge(charged)
    direct.compute(cycles)
    assert charged == direct


@pytest.mark.parametrize(
    "charge",
    [lambda m: m.hash("sha384", 1), lambda m: m.aes_ctr(1, 16), lambda m: m.unwrap("rsa-2048")],
)
def test_an_algorithm_without_a_figure_is_never_free(charge) -> None:
    with pytest.raises(InputError, match="core profile bare: found"):
        charge(Meter(BARE))


@pytest.mark.parametrize("core", core_names())
def test_every_core_has_a_figure_for_every_algorithm(core: str) -> None:
    meter = Meter(core_profile(core))
    times = [meter.time_ns]
    for name in SIGNATURE_ALGORITHMS:
        meter.verify(name)
        times.append(meter.time_ns)
    for wrap in KEY_WRAPS.values():
        meter.unwrap(wrap)
        times.append(meter.time_ns)
    for n, charge in enumerate((meter.sha256, lambda n: meter.hash("sha512", n), meter.aes_ctr), start=1):
        charge(1000 * n)
        times.append(meter.time_ns)
    assert times == sorted(set(times))


def test_a_pure_signature_costs_the_hash_of_what_it_is_over_as_well() -> None:
    key = SigningKey.of(derive_private("ed25519", 1, "test key of a meter"))
    for size, hashed in ((32, 0), (64, 0), (65, 65), (5000, 5000)):
        meter, expected = Meter(CORE), Meter(CORE)
        (metered_key,) = metered([key.public()], meter)
        message = bytes(size)
        assert metered_key.accepts(key.sign(message), message)
        if hashed:
            expected.hash("sha512", hashed)
        expected.verify("ed25519")
        assert meter == expected


def test_a_ring_of_keys_stays_one_with_what_it_has_revoked() -> None:
    first, second = (SigningKey.of(derive_private("ed25519", n, "a ring")).public() for n in (1, 2))
    meter = Meter(CORE)
    ring = metered(KeyRing((first, second)).revoking(first), meter)
    assert [ring.is_revoked(key) for key in ring] == [True, False]
    assert ring.keys[0].accepts(bytes(64), bytes(32)) is False
    assert meter.time_ns > 0
