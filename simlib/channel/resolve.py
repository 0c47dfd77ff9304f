"""A channel as a user described it, resolved into whole numbers a simulation can use.

Each kind of channel has one function here that turns its own keys into the goodput of the last hop and into
energy for each byte; relays, reach, connecting and sleeping are then the same for all:

- ``ble``: the protocol's arithmetic (`simlib.channel.ble`) on an encrypted link. Receiving and T_IFS are
  charged at the current of CPU and receiver, the empty answers at that of CPU and transmitter.
- ``wifi``, ``wifi-direct``, ``nfc``, ``lte-m``, ``nb-iot``: goodputs are the user's, for a channel without
  loss; loss makes them slower by 1 − loss. The device is charged the receiver's power for the whole time of
  a byte, so what it transmits meanwhile is in that figure and not counted again.
- ``lora-multicast``: the class is a fragment on the air; the waiting, the coded fragments and the repeats
  are the plan's (`simlib.channel.multicast`).

Complaints begin with the scenario's key. The firmware's size and who listens when are left to others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from simlib.channel import ble, lora, profiles
from simlib.channel.energy import energy_pj, pj_per_byte
from simlib.channel.hops import MODES, DeviceClass, Energy, device_classes
from simlib.channel.multicast import DATA_FRAGMENT_BYTES, Multicast
from simlib.draws import threshold
from simlib.errors import InputError
from simlib.scenario.field_model import ChannelSpec
from simlib.scenario.toml_text import shown

RELAYS: Final = ("none", "phone-wifi", "phone-cellular", "gateway")
_WITHOUT_RELAY: Final = ("lte-m", "nb-iot", "lora-multicast")


@dataclass(frozen=True, slots=True)
class Channel:
    """How bytes reach a device, in whole numbers."""

    name: str
    kind: str
    classes: tuple[DeviceClass, ...]  # ascending and distinct in rate_bps, at most 32
    weights: tuple[int, ...]  # how likely each class is, relative to the others
    connect_ms: int  # at the start of each session
    connect_nj: int
    checkin_nj: int  # a poll that finds nothing, connecting included
    report_nj: int  # a status report, connecting included
    sleep_nw: int
    peak_ua: int
    reach: Fraction  # share of devices that the channel reaches at all
    multicast: Multicast | None  # its `plan` is that of a blob
    profile: tuple[str, str]  # calibration table and profile: whose figures it stands on


@dataclass(frozen=True, slots=True)
class _LastHop:
    goodputs: tuple[Fraction, ...]  # [byte/s], each as likely
    energy: Energy
    overheads: profiles.Overheads
    multicast: Multicast | None = None


def resolve(spec: ChannelSpec) -> Channel:
    """The channel that `spec` describes.

    Raises `InputError`, "key: found X, expected Y", for keys that do not fit one another or the kind.
    """
    profiles.require_radio(spec.kind, spec.radio)
    _check(spec)
    last_hop = _LAST_HOPS.get(spec.kind, _by_goodput)(spec)
    relay_rates = spec.relay_rates_bps if spec.relay != "none" else ()
    classes, weights = device_classes(last_hop.goodputs, relay_rates, spec.relay_mode, last_hop.energy)
    return Channel(
        name=spec.name,
        kind=spec.kind,
        classes=classes,
        weights=weights,
        connect_ms=last_hop.overheads.connect_ms,
        connect_nj=last_hop.overheads.connect_nj,
        checkin_nj=last_hop.overheads.checkin_nj,
        report_nj=last_hop.overheads.report_nj,
        sleep_nw=profiles.sleep_nw(spec.radio),
        peak_ua=profiles.peak_ua(spec.radio),
        reach=reach(spec.range_m, spec.distance_m) if spec.kind == "wifi-direct" else Fraction(1),
        multicast=last_hop.multicast,
        profile=("channel", spec.radio),
    )


def reach(range_m: int, distance_m: tuple[int, int]) -> Fraction:
    """The share of devices within `range_m`, their distances uniform between the two of `distance_m`.

    Raises `InputError` for distances that are not in order.
    """
    near, far = distance_m
    if not 0 <= near <= far:
        raise InputError(f"distance_m: found {near} and {far}, expected 0 or more, the shorter first")
    if near == far:
        return Fraction(int(near <= range_m))
    return min(max(Fraction(range_m - near, far - near), Fraction(0)), Fraction(1))


def _check(spec: ChannelSpec) -> None:
    """What must hold for every kind."""
    if not 0 <= spec.loss < 1:
        raise InputError(f"loss: found {spec.loss}, expected 0 or more and less than 1")
    phys = _PHYS.get(spec.kind, ("",))
    if spec.phy not in phys:
        expected = f"one of {', '.join(phys)}" if phys[0] else "none"
        raise InputError(f"phy: found {shown(spec.phy)}, expected {expected} for {spec.kind}")
    _check_rates("rates", spec.rates_bps, spec.kind not in _PHYS, f"for {spec.kind}")
    relays = RELAYS[:1] if spec.kind in _WITHOUT_RELAY else RELAYS
    if spec.relay not in relays:
        expected = f"one of {', '.join(relays)}" if len(relays) > 1 else relays[0]
        raise InputError(f"relay: found {shown(spec.relay)}, expected {expected} for {spec.kind}")
    if spec.relay_mode not in MODES:
        raise InputError(f"relay_mode: found {shown(spec.relay_mode)}, expected one of {', '.join(MODES)}")
    relayed = f"with relay {shown(spec.relay)}"
    _check_rates("relay_rates", spec.relay_rates_bps, spec.relay != "none", relayed)


def _check_rates(key: str, rates_bps: tuple[int, ...], wanted: bool, why: str) -> None:
    if bool(rates_bps) != wanted:
        expected = "at least one rate" if wanted else "none"
        raise InputError(f"{key}: found {len(rates_bps)} rates, expected {expected} {why}")
    if any(rate < 1 for rate in rates_bps):
        raise InputError(f"{key}: found {min(rates_bps)} byte/s, expected 1 byte/s or more")


def _ble(spec: ChannelSpec) -> _LastHop:
    link = ble.Link(spec.phy, spec.data_length, spec.att_mtu, encrypted=True, loss=spec.loss)
    carried = ble.connected(link, spec.interval_us, spec.packets_per_event)
    # The coded PHY sends the symbols of 1M.
    rx_nw = profiles.power_nw(spec.radio, f"rx_current_{'2M' if spec.phy == '2M' else '1M'}")
    tx_nw = profiles.power_nw(spec.radio, "tx_current")
    energies = (
        ceil(energy_pj(rx_nw, carried.rx_us + carried.ifs_us)),
        ceil(energy_pj(tx_nw, carried.tx_us)),
    )
    return _LastHop((carried.goodput,), lambda _: energies, profiles.overheads(spec.kind, spec.radio))


def _by_goodput(spec: ChannelSpec) -> _LastHop:
    if spec.kind == "nfc" and max(spec.rates_bps) > (most := profiles.nfc_most_bps(spec.radio)):
        raise InputError(f"rates: found {max(spec.rates_bps)} byte/s, expected at most {most} byte/s for nfc")
    rx_nw = profiles.power_nw(spec.radio, "rx_current")
    return _LastHop(
        tuple(rate * (1 - spec.loss) for rate in spec.rates_bps),
        lambda goodput: (pj_per_byte(rx_nw, goodput), 0),
        profiles.overheads(spec.kind, spec.radio),
    )


def _lora(spec: ChannelSpec) -> _LastHop:
    most = profiles.lora_most_payload_bytes(spec.phy) - DATA_FRAGMENT_BYTES
    if not 1 <= spec.fragment_bytes <= most:
        raise InputError(
            f"fragment: found {spec.fragment_bytes} bytes, expected 1 to {most} bytes at {spec.phy} in EU868"
        )
    if not 0 < spec.duty_cycle <= 1:
        raise InputError(f"duty_cycle: found {spec.duty_cycle}, expected more than 0 and at most 1")
    if spec.redundancy < 0:
        raise InputError(f"redundancy: found {spec.redundancy}, expected 0 or more")
    modulation = lora.modulation(spec.phy)
    rx_nw = profiles.power_nw(spec.radio, "rx_current")
    multicast = Multicast(
        modulation=modulation,
        fragment_bytes=spec.fragment_bytes,
        redundancy=spec.redundancy,
        duty_cycle=spec.duty_cycle,
        session_every_ms=spec.session_every_ms,
        loss_threshold=threshold(spec.loss),
        rx_nw=rx_nw,
    )
    goodput = spec.fragment_bytes * lora.US_PER_S / multicast.fragment_us
    return _LastHop(
        (goodput,),
        lambda carried: (pj_per_byte(rx_nw, carried), 0),
        profiles.lora_overheads(spec.radio, modulation),
        multicast,
    )


_LAST_HOPS: Final[Mapping[str, Callable[[ChannelSpec], _LastHop]]] = {"ble": _ble, "lora-multicast": _lora}
_PHYS: Final[Mapping[str, tuple[str, ...]]] = {"ble": tuple(ble.PHYS), "lora-multicast": lora.PHYS}
"""The kinds whose protocol decides the goodput, by a PHY."""
