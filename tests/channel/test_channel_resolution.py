"""A channel resolves to whole numbers: rates of one or two hops, energies, reach, and clear refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.channel import kinds, radios, resolve
from simlib.channel.hops import device_classes
from simlib.channel.resolve import reach
from simlib.errors import InputError

BAD: list[tuple[str, dict[str, object], str]] = [
    ("pigeon", {}, 'kind: found "pigeon", expected one of ble'),
    ("ble", {"radio": "esp32"}, 'radio: found "esp32", expected one of cc2340, nrf52840, nrf54l15 for ble'),
    ("ble", {"phy": "sf7"}, 'phy: found "sf7", expected one of 1M, 2M, coded-s2, coded-s8 for ble'),
    ("ble", {"phy": ""}, 'phy: found "", expected one of 1M'),
    ("ble", {"rates_bps": (1,)}, "rates: found 1 rates, expected none for ble"),
    ("ble", {"interval_us": 8_000}, "interval: found 8000 us"),
    ("ble", {"loss": Fraction(1)}, "loss: found 1, expected 0 or more and less than 1"),
    ("ble", {"loss": Fraction(999_999, 1_000_000)}, "rates: found .* expected 1 byte/s or more"),
    ("wifi", {"phy": "2M"}, 'phy: found "2M", expected none for wifi'),
    ("wifi", {"rates_bps": ()}, "rates: found 0 rates, expected at least one rate for wifi"),
    ("wifi", {"rates_bps": (5, 0)}, "rates: found 0 byte/s, expected 1 byte/s or more"),
    ("wifi", {"relay": "pigeon"}, 'relay: found "pigeon", expected one of none, phone-wifi'),
    ("wifi", {"relay": "gateway"}, "relay_rates: found 0 rates, expected at least one"),
    ("wifi", {"relay_rates_bps": (9,)}, "relay_rates: found 1 rates, expected none with relay"),
    ("wifi", {"relay_mode": "teleport"}, 'relay_mode: found "teleport", expected one of stream, store'),
    ("wifi-direct", {"distance_m": (5, 3)}, "distance_m: found 5 and 3"),
    ("nfc", {"rates_bps": (53_001,)}, "rates: found 53001 byte/s, expected at most 53000 byte/s for nfc"),
    ("lte-m", {"relay": "phone-wifi", "relay_rates_bps": (9,)}, 'relay: found "phone-wifi", expected none'),
    ("lora-multicast", {"phy": "2M"}, 'phy: found "2M", expected one of sf7'),
    ("lora-multicast", {"fragment_bytes": 49}, "fragment: found 49 bytes, expected 1 to 48 bytes at sf10"),
    ("lora-multicast", {"duty_cycle": Fraction(0)}, "duty_cycle: found 0, expected more than 0"),
    ("lora-multicast", {"redundancy": Fraction(-1)}, "redundancy: found -1, expected 0 or more"),
]


def leaves(value: object) -> Iterator[object]:
    """Everything a result holds, however deep."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, tuple):
        for element in value:
            yield from leaves(element)
    else:
        yield value


@pytest.mark.parametrize(("kind", "radio"), [(kind, radio) for kind in kinds() for radio in radios(kind)])
def test_every_kind_resolves_on_every_radio_of_it_without_a_float(make_spec, kind, radio) -> None:
    channel = resolve(make_spec(kind, radio=radio))
    assert {type(leaf) for leaf in leaves(channel)} <= {int, str, Fraction, type(None)}
    assert channel.profile == ("channel", radio)
    assert all(c.rate_bps >= 1 and c.rx_pj_per_byte >= 1 and c.tx_pj_per_byte >= 0 for c in channel.classes)
    assert min(channel.connect_ms, channel.connect_nj, channel.checkin_nj, channel.report_nj) > 0
    assert channel.sleep_nw > 0
    assert (channel.multicast is not None) == (kind == "lora-multicast")
    if channel.multicast:
        assert {type(leaf) for leaf in leaves(channel.multicast.plan(1000))} == {int}


@pytest.mark.parametrize(("kind", "changes", "told"), BAD, ids=[told.split(",")[0] for _, _, told in BAD])
def test_what_does_not_fit_is_refused_by_its_key(make_spec, kind, changes, told) -> None:
    with pytest.raises(InputError, match=f"^{told}"):
        resolve(make_spec(kind, **changes))


def test_256_kib_over_ble_2m_cost_an_nrf52840_about_39_millijoules(make_spec) -> None:
    (only,) = resolve(make_spec("ble")).classes
    spent_pj = 256 * 1024 * (only.rx_pj_per_byte + only.tx_pj_per_byte)
    assert 38_900_000_000 < spent_pj < 39_100_000_000
    # Per 244 bytes: 1,364 us at 25.8 mW and 44 us at 24.3 mW.
    assert only.rx_pj_per_byte == -(-1364 * 25_800 // 244)
    assert only.tx_pj_per_byte == -(-44 * 24_300 // 244)


def test_the_coded_phy_draws_1m_s_current_for_longer(make_spec) -> None:
    by_phy = {
        phy: resolve(make_spec("ble", radio="nrf54l15", phy=phy)).classes[0]
        for phy in ("2M", "1M", "coded-s2", "coded-s8")
    }
    energies = [c.rx_pj_per_byte for c in by_phy.values()]
    assert energies == sorted(energies)
    # A full packet and two spaces at 18.0 mW.
    assert by_phy["coded-s8"].rx_pj_per_byte == -(-17_340 * 18_000 // 244)


def test_loss_makes_a_given_goodput_slower_and_its_bytes_dearer(make_spec) -> None:
    clean, lossy = (resolve(make_spec("wifi", loss=Fraction(loss))).classes for loss in ("0", "1/5"))
    assert [c.rate_bps for c in lossy] == [200_000, 1_000_000]
    assert [c.rx_pj_per_byte * 5 for c in clean] == [c.rx_pj_per_byte * 4 for c in lossy]


def test_a_streaming_relay_is_as_fast_as_its_slower_hop_and_keeps_the_radio_on(make_spec) -> None:
    spec = make_spec("wifi", relay="phone-cellular", relay_rates_bps=(100_000, 500_000))
    channel = resolve(spec)
    assert [(c.rate_bps, c.last_hop_bps) for c in channel.classes] == [
        (100_000, 250_000),
        (250_000, 250_000),
        (500_000, 1_250_000),
    ]
    # 100 kB/s is both last hops' rate behind the slow relay.
    assert channel.weights == (2, 1, 1)
    assert [c.rx_pj_per_byte * c.rate_bps for c in channel.classes] == [330_000_000 * 1000] * 3


def test_a_storing_relay_adds_the_time_of_both_hops_and_the_radio_works_for_the_last(make_spec) -> None:
    spec = make_spec(
        "wifi",
        rates_bps=(300_000,),
        relay="phone-wifi",
        relay_mode="store",
        relay_rates_bps=(150_000, 600_000),
    )
    classes = resolve(spec).classes
    assert [c.rate_bps for c in classes] == [100_000, 200_000]
    assert {(c.last_hop_bps, c.rx_pj_per_byte) for c in classes} == {(300_000, 1_100_000)}


RATES = st.lists(st.integers(1, 10**6), min_size=1, max_size=5)


@given(RATES, RATES, st.sampled_from(["stream", "store"]))
def test_classes_are_distinct_in_order_and_weigh_every_combination(
    last_hops: list[int], relays: list[int], mode: str
) -> None:
    pairs = [(a, b) for a in relays for b in last_hops]
    exact = [
        Fraction(min(p)) if mode == "stream" else 1 / (Fraction(1, p[0]) + Fraction(1, p[1])) for p in pairs
    ]
    if min(exact) < 1:
        with pytest.raises(InputError, match="1 byte/s or more"):
            device_classes([Fraction(b) for b in last_hops], relays, mode, lambda _: (1, 1))
        return
    classes, weights = device_classes([Fraction(b) for b in last_hops], relays, mode, lambda _: (1, 1))
    rates = [c.rate_bps for c in classes]
    assert rates == sorted({int(rate) for rate in exact})
    assert sum(weights) == len(pairs)
    assert [sum(int(e) == r for e in exact) for r in rates] == list(weights)


def test_merged_classes_take_the_mean_energy_and_the_slowest_last_hop() -> None:
    # 1 / (1/300 + 1/150) is 100 both ways round.
    energy = {Fraction(300): (10, 1), Fraction(150): (21, 2)}
    classes, weights = device_classes([Fraction(300), Fraction(150)], [300, 150], "store", energy.__getitem__)
    assert [c.rate_bps for c in classes] == [75, 100, 150]
    assert weights == (1, 2, 1)
    assert (classes[1].last_hop_bps, classes[1].rx_pj_per_byte, classes[1].tx_pj_per_byte) == (150, 16, 2)


def test_a_rate_given_twice_weighs_twice(make_spec) -> None:
    channel = resolve(make_spec("wifi", rates_bps=(1000, 2000, 2000)))
    assert [c.rate_bps for c in channel.classes] == [1000, 2000]
    assert channel.weights == (1, 2)


def test_more_classes_than_a_link_takes_are_refused(make_spec) -> None:
    assert len(resolve(make_spec("wifi", rates_bps=tuple(range(1, 33)))).classes) == 32
    with pytest.raises(InputError, match=r"^relay_rates: found 33 distinct rates .* at most 32"):
        resolve(make_spec("wifi", rates_bps=tuple(range(1, 34))))


@pytest.mark.parametrize(
    ("range_m", "distance_m", "share"),
    [
        (200, (0, 100), "1"),
        (200, (100, 500), "1/4"),
        (9, (10, 20), "0"),
        (10, (10, 10), "1"),
        (9, (10, 10), "0"),
    ],
)
def test_reach_is_the_share_of_the_distances_within_the_range(range_m, distance_m, share, make_spec) -> None:
    assert reach(range_m, distance_m) == Fraction(share)
    spec = make_spec("wifi-direct", range_m=range_m, distance_m=distance_m)
    assert resolve(spec).reach == Fraction(share)
    assert resolve(dataclasses.replace(spec, kind="wifi")).reach == 1
