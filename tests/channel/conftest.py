"""Channel specifications to begin from, one a kind, as a user would leave what the kind does not use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import pytest

from simlib.scenario.field_model import ChannelSpec

PLAIN = ChannelSpec(
    name="c",
    kind="",
    radio="",
    phy="",
    interval_us=30_000,
    data_length=251,
    att_mtu=247,
    packets_per_event=0,
    loss=Fraction(0),
    rates_bps=(),
    range_m=200,
    distance_m=(1, 1),
    fragment_bytes=48,
    redundancy=Fraction(1, 5),
    duty_cycle=Fraction(1, 100),
    session_every_ms=86_400_000,
    relay="none",
    relay_mode="stream",
    relay_rates_bps=(),
)
KINDS = {
    "ble": {"radio": "nrf52840", "phy": "2M"},
    "wifi": {"radio": "esp32", "rates_bps": (250_000, 1_250_000)},
    "wifi-direct": {"radio": "esp32", "rates_bps": (5_000_000,)},
    "nfc": {"radio": "nfc-tag", "rates_bps": (10_000,)},
    "lte-m": {"radio": "nrf9160", "rates_bps": (25_000,)},
    "nb-iot": {"radio": "nrf9160", "rates_bps": (2_500,)},
    "lora-multicast": {"radio": "samr34", "phy": "sf10"},
}

MakeSpec = Callable[..., ChannelSpec]


@pytest.fixture(scope="session")
def make_spec() -> MakeSpec:
    """A specification of a kind, with the fields named changed."""

    def make(kind: str, **changes: object) -> ChannelSpec:
        return dataclasses.replace(PLAIN, kind=kind, **{**KINDS.get(kind, {}), **changes})  # type: ignore[arg-type]

    return make
