"""LoRa's airtime and bit rate are Semtech's formulas, to the microsecond."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.channel import lora, profiles
from simlib.channel.lora import DOWNLINK_CRC_BITS, UPLINK_CRC_BITS, Modulation, airtime_us, modulation
from simlib.errors import InputError


@pytest.mark.parametrize(
    ("phy", "ms"),
    [
        ("sf7", "46.336"),
        ("sf9", "164.864"),  # with 28 payload symbols: the worked sheet that goes round for AN1200.13
        ("sf10", "288.768"),
        ("sf11", "577.536"),
        ("sf12", "1155.072"),
    ],
)
def test_an_empty_lorawan_uplink_takes_the_known_time(phy: str, ms: str) -> None:
    assert airtime_us(modulation(phy), 13, UPLINK_CRC_BITS) == Fraction(ms) * 1000


def test_the_parts_of_the_worked_sheet_agree() -> None:
    made = modulation("sf9")
    assert (made.symbol_us, made.preamble_us) == (4096, 50176)
    assert (airtime_us(made, 13, UPLINK_CRC_BITS) - made.preamble_us) / made.symbol_us == 28


def test_low_data_rate_optimisation_begins_where_a_symbol_takes_longer_than_16_ms() -> None:
    def payload_symbols(made: Modulation) -> Fraction:
        return (airtime_us(made, 51, UPLINK_CRC_BITS) - made.preamble_us) / made.symbol_us

    # 408 - 44 + 44 bits in blocks of 4 (11 - 2) bits, but of 4 * 11 at 250 kHz.
    assert payload_symbols(Modulation(11)) == 8 + 12 * 5
    assert payload_symbols(Modulation(11, bandwidth_hz=250_000)) == 8 + 10 * 5


@pytest.mark.parametrize(
    ("phy", "bit_s", "uj_bit"),
    [
        ("sf7", "5468.8", "7.65"),
        ("sf9", "1757.8", "23.8"),
        ("sf10", "976.6", "42.85"),
        ("sf12", "293.0", "142.83"),
    ],
)
def test_bit_rate_and_receive_energy_are_the_reference_s(phy: str, bit_s: str, uj_bit: str) -> None:
    rate = modulation(phy).bit_rate
    # The reference rounds 5,468.75 up, and 142.828 to 142.83.
    assert abs(rate - Fraction(bit_s)) <= Fraction(1, 20)
    per_bit = Fraction(profiles.power_nw("samr34", "rx_current"), 1000) / rate
    assert abs(per_bit - Fraction(uj_bit)) <= Fraction(1, 100)


def test_an_ml_dsa_44_signature_at_sf10_costs_083_joules_by_its_bits() -> None:
    per_bit_nj = profiles.power_nw("samr34", "rx_current") / modulation("sf10").bit_rate
    assert round(2420 * 8 * per_bit_nj / 10**9, 2) == Fraction("0.83")


@given(st.sampled_from(lora.PHYS), st.integers(0, 254))
def test_more_bytes_never_take_less_time_and_a_crc_never_saves_any(phy: str, size: int) -> None:
    made = modulation(phy)
    assert airtime_us(made, size, DOWNLINK_CRC_BITS) <= airtime_us(made, size, UPLINK_CRC_BITS)
    assert airtime_us(made, size, UPLINK_CRC_BITS) <= airtime_us(made, size + 1, UPLINK_CRC_BITS)
    # No payload outruns the bit rate.
    assert airtime_us(made, size, DOWNLINK_CRC_BITS) * made.bit_rate > size * 8 * 10**6 * Fraction(9, 12)


def test_a_packet_too_long_and_an_unknown_spreading_factor_are_refused() -> None:
    with pytest.raises(InputError, match=r"found 256 bytes, expected 0 to 255"):
        airtime_us(modulation("sf7"), 256, UPLINK_CRC_BITS)
    with pytest.raises(InputError, match=r'^phy: found "sf6", expected one of sf7'):
        modulation("sf6")
