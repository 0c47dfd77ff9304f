"""The channel table's figures follow from their parts and agree with the simpler radio table."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from itertools import pairwise

import pytest

from simlib.channel import kinds, profiles, radios, resolve
from simlib.errors import InputError
from simlib.scenario import data_path
from simlib.scenario.calibration import Figure, Label, radio_profile, read_figures

FIGURES = read_figures(data_path("calibration", "channel.csv"))
FORMULA = re.compile(r"[0-9.]+ [mu]?[A-Za-z]+( [*+] [0-9.]+ [mu]?[A-Za-z]+)+")
SCALE = {"m": Fraction(1, 10**3), "u": Fraction(1, 10**6), "": Fraction(1)}


def base(text: str) -> Fraction:
    """A quantity such as ``3.4 mA`` in the unit without prefix."""
    number, unit = text.split()
    return Fraction(number) * SCALE[unit[:-1]]


def worked_out(formula: str) -> Fraction:
    return sum((math.prod(map(base, term.split(" * "))) for term in formula.split(" + ")), Fraction(0))


@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f"{f.profile}-{f.parameter}")
def test_a_figure_with_a_formula_is_what_the_formula_gives(figure: Figure) -> None:
    formula = FORMULA.match(figure.source)
    assert formula or figure.label is not Label.DERIVED
    if formula:
        assert base(f"{figure.value} {figure.unit}") == worked_out(formula[0])


def test_a_formula_uses_the_radio_s_own_current_and_supply() -> None:
    for figure in FIGURES:
        formula = FORMULA.match(figure.source)
        if formula and figure.parameter.endswith("_energy"):
            of_radio = {f.parameter: f.value for f in FIGURES if f.profile == figure.profile}
            current = of_radio.get("rx_current", of_radio.get("rx_current_1M"))
            assert formula[0].endswith(f"* {current} mA * {of_radio['supply']} V"), figure


def test_every_kind_has_a_radio_and_every_radio_a_kind() -> None:
    fits = {kind: radios(kind) for kind in kinds()}
    assert all(fits.values())
    assert fits["ble"] == ("cc2340", "nrf52840", "nrf54l15")
    assert fits["wifi"] == fits["wifi-direct"] == ("esp32", "esp32s2")
    assert {r for names in fits.values() for r in names} == {f.profile for f in FIGURES} - {"eu868"}


def test_an_unknown_kind_or_radio_names_those_that_fit() -> None:
    with pytest.raises(InputError, match=r'^kind: found "wify", .*nearest is wifi'):
        radios("wify")
    with pytest.raises(InputError, match=r'^radio: found "esp23", expected one of esp32, esp32s2 for wifi'):
        profiles.require_radio("wifi", "esp23")


@pytest.mark.parametrize(
    ("kind", "changes", "table"),
    [
        ("wifi", {"rates_bps": (1_250_000,)}, "wifi-esp32"),
        ("lte-m", {"rates_bps": (25_000,)}, "lte-m-nrf9160"),
    ],
)
def test_a_channel_costs_what_the_radio_table_says(make_spec, kind, changes, table) -> None:
    channel, simple = resolve(make_spec(kind, **changes)), radio_profile(table)
    (only,) = channel.classes
    assert (only.rx_pj_per_byte, only.tx_pj_per_byte) == (simple.rx_pj_per_byte, 0)
    assert channel.checkin_nj == simple.checkin_nj


def test_ble_s_poll_is_the_radio_table_s_and_its_bytes_a_little_cheaper(make_spec) -> None:
    channel, simple = resolve(make_spec("ble")), radio_profile("ble-2m-nrf52840")
    assert channel.checkin_nj == simple.checkin_nj
    (only,) = channel.classes
    total = only.rx_pj_per_byte + only.tx_pj_per_byte
    assert 0.99 * simple.rx_pj_per_byte < total < simple.rx_pj_per_byte


def test_bulk_data_over_nb_iot_costs_the_reference_s_12_and_a_half_microjoules_a_bit(make_spec) -> None:
    assert resolve(make_spec("nb-iot")).classes[0].rx_pj_per_byte == 12_500_000 * 8


def test_lora_s_polls_cost_more_at_every_step_of_the_spreading_factor(make_spec) -> None:
    slow = [resolve(make_spec("lora-multicast", phy=f"sf{n}")) for n in range(7, 13)]
    for a, b in pairwise(slow):
        assert a.checkin_nj < b.checkin_nj
        assert a.report_nj < b.report_nj
        assert a.connect_ms < b.connect_ms
    # SF10: 14 bytes up in 288.768 ms at 41.54 mA, and two preambles of 100.352 ms at 12.68 mA, 3.3 V.
    assert slow[3].checkin_nj == math.ceil(288.768 * 41.54 * 3300) + math.ceil(200.704 * 12.68 * 3300)
    # Setting up: 13 bytes up, 1 s, 35 bytes down in 55.25 symbols of 8.192 ms.
    assert slow[3].connect_ms == math.ceil(288.768 + 1000 + 452.608)
    assert slow[3].connect_nj == math.ceil(288.768 * 41.54 * 3300) + math.ceil(452.608 * 12.68 * 3300)
