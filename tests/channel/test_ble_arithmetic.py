"""Bluetooth LE's throughput and radio time are the protocol's own arithmetic, exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.channel import profiles
from simlib.channel.ble import PHYS, Link, Throughput, connected, connected_limit, packet_us
from simlib.channel.energy import energy_pj
from simlib.errors import InputError

LINKS = st.builds(
    Link,
    phy=st.sampled_from(tuple(PHYS)),
    data_length=st.integers(27, 251),
    att_mtu=st.integers(23, 517),
    encrypted=st.booleans(),
    loss=st.sampled_from([Fraction(0), Fraction(1, 10), Fraction(2, 3)]),
)


def link(
    phy: str = "2M", data_length: int = 251, att_mtu: int = 247, encrypted: bool = True, loss: str = "0"
) -> Link:
    return Link(phy, data_length, att_mtu, encrypted, Fraction(loss))


def nj_per_bit(carried: Throughput, rx_nw: int, tx_nw: int) -> Fraction:
    received = energy_pj(rx_nw, carried.rx_us + carried.ifs_us)
    return (received + energy_pj(tx_nw, carried.tx_us)) / 8000


@pytest.mark.parametrize(
    ("phy", "encrypted", "kbit_s", "nj_bit"),
    [
        ("1M", False, "790.9", "32.62"),
        ("1M", True, "780.8", "33.04"),
        ("2M", False, "1402.3", "18.40"),
        ("2M", True, "1386.4", "18.61"),
    ],
)
def test_the_limit_and_its_energy_at_receive_current_are_the_reference_s(
    phy: str, encrypted: bool, kbit_s: str, nj_bit: str
) -> None:
    carried = connected_limit(link(phy, encrypted=encrypted))
    assert round(carried.goodput * 8 / 1000, 1) == Fraction(kbit_s)
    rx_nw = profiles.power_nw("nrf52840", "rx_current_1M")
    assert rx_nw == 25_800_000
    assert round(nj_per_bit(carried, rx_nw, rx_nw), 2) == Fraction(nj_bit)


def test_answers_at_transmit_current_cost_a_little_less_than_all_at_receive_current() -> None:
    carried = connected_limit(link())
    rx_nw, tx_nw = (profiles.power_nw("nrf52840", c) for c in ("rx_current_2M", "tx_current"))
    # 44 of 1,408 us are sent, at 8.1 instead of 8.6 mA.
    saved = nj_per_bit(carried, rx_nw, rx_nw) - nj_per_bit(carried, rx_nw, tx_nw)
    assert saved == Fraction(44 * 1_500_000, 1_000_000 * 1952)


@pytest.mark.parametrize(
    ("phy", "empty_us", "full_us"),
    [("1M", 80, 2120), ("2M", 44, 1064), ("coded-s2", 462, 4542), ("coded-s8", 720, 17040)],
)
def test_packets_take_the_specification_s_times(phy: str, empty_us: int, full_us: int) -> None:
    assert packet_us(phy, 0, encrypted=True) == packet_us(phy, 0, encrypted=False) == empty_us
    assert packet_us(phy, 251, encrypted=True) == full_us


def test_without_data_length_extension_the_limit_is_the_known_one_of_bluetooth_4_0() -> None:
    old = link("1M", data_length=27, att_mtu=23, encrypted=False)
    assert round(connected_limit(old).goodput * 8 / 1000, 1) == Fraction("236.7")


def test_a_value_is_cut_into_packets_of_the_data_length_and_a_rest() -> None:
    assert link(data_length=251, att_mtu=247).payloads == (251,)
    assert link(data_length=27, att_mtu=247).payloads == (27,) * 9 + (8,)
    assert link(data_length=251, att_mtu=498).payloads == (251, 251)


def test_a_value_is_never_longer_than_an_attribute() -> None:
    assert link(att_mtu=515).value_bytes == link(att_mtu=517).value_bytes == 512
    assert link(att_mtu=514).value_bytes == 511


def test_an_event_holds_whole_exchanges_only() -> None:
    # 21 exchanges of 1,408 us fit into 30 ms.
    carried = connected(link(), 30_000, 0)
    assert carried.goodput == Fraction(21 * 244 * 1_000_000, 30_000)
    assert connected(link(), 30_000, 100) == carried
    assert connected(link(), 30_000, 6).goodput == Fraction(6 * 244 * 1_000_000, 30_000)
    # On 1M an exchange takes 2,500 us, so three fill the shortest interval to the microsecond.
    assert connected(link("1M"), 7_500, 0).goodput == connected_limit(link("1M")).goodput


@given(LINKS, st.integers(16, 60), st.integers(0, 30))
def test_the_mean_over_the_cycle_is_what_many_events_carry(made: Link, steps: int, most: int) -> None:
    interval_us, events = steps * 1250, 1000
    exchanges = [
        packet_us(made.phy, p, made.encrypted) + packet_us(made.phy, 0, made.encrypted) + 300
        for p in made.payloads
    ]
    sent = 0
    for _ in range(events):
        left = interval_us
        in_event = 0
        while (not most or in_event < most) and left >= exchanges[sent % len(exchanges)]:
            left -= exchanges[sent % len(exchanges)]
            sent += 1
            in_event += 1
    values = connected(made, interval_us, most).goodput * interval_us / 1_000_000 / made.value_bytes
    simulated = Fraction(sent, len(exchanges)) * (1 - made.loss)
    # What comes before the cycle, the cycle, and the last one's rest are at most as many events as packets.
    assert abs(values * events - simulated) <= (values + 1) * len(exchanges) + 1


@given(LINKS, st.integers(16, 400), st.integers(0, 30))
def test_no_interval_beats_the_limit_and_its_bytes_cost_the_same(made: Link, steps: int, most: int) -> None:
    limit, carried = connected_limit(made), connected(made, steps * 1250, most)
    assert 0 < carried.goodput <= limit.goodput
    assert (carried.rx_us, carried.ifs_us, carried.tx_us) == (limit.rx_us, limit.ifs_us, limit.tx_us)


@given(LINKS)
def test_at_the_limit_the_radio_is_never_off(made: Link) -> None:
    limit = connected_limit(made)
    assert limit.goodput * (limit.rx_us + limit.ifs_us + limit.tx_us) == 1_000_000


def test_a_loss_of_a_fifth_costs_a_quarter_more_of_everything() -> None:
    clean, lossy = connected(link(), 30_000, 0), connected(link(loss="1/5"), 30_000, 0)
    assert lossy.goodput == clean.goodput * Fraction(4, 5)
    assert lossy.rx_us == clean.rx_us * Fraction(5, 4)
    assert lossy.tx_us == clean.tx_us * Fraction(5, 4)


@pytest.mark.parametrize(
    ("interval_us", "told"),
    [
        (7_499, "from 7500 to 4000000 us"),
        (8_000, "a multiple of 1250 us"),
        (4_001_250, "from 7500 to 4000000 us"),
        (10_000, "expected at least 18750 us for a packet of 251 bytes on coded-s8"),
    ],
)
def test_an_interval_that_cannot_be_is_refused(interval_us: int, told: str) -> None:
    with pytest.raises(InputError, match=f"^interval: found {interval_us} us, .*{told}"):
        connected(link("coded-s8"), interval_us, 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"phy": "sf7"}, 'phy: found "sf7", expected one of 1M, 2M'),
        ({"data_length": 26}, "data_length: found 26, expected 27 to 251"),
        ({"att_mtu": 518}, "att_mtu: found 518, expected 23 to 517"),
        ({"loss": "1"}, "loss: found 1, expected 0 or more and less than 1"),
    ],
)
def test_a_link_that_cannot_be_is_refused(change: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=f"^{told}"):
        link(**change)  # type: ignore[arg-type]
