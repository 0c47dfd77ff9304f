"""The radios there are, and what each draws, from ``data/calibration/channel.csv``.

A profile of the table is a radio. A figure that depends on the protocol has the kind before a dot
(``lte-m.connect_time``), and a radio fits the kinds of which it has such figures. Energies for connecting,
for a poll that finds nothing and for a report are the table's; for LoRa they follow from the payloads
stated there, the spreading factor and the airtime, since a packet is 20 times as long at SF12 as at SF7.

Beside the radios the table has a region (``eu868``): how long a LoRaWAN payload may be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Final

from simlib.channel import lora
from simlib.channel.energy import energy_nj
from simlib.errors import InputError
from simlib.scenario.calibration import Figure, read_figures
from simlib.scenario.datafiles import data_path
from simlib.scenario.toml_text import shown

KINDS: Final = ("ble", "wifi", "wifi-direct", "nfc", "lte-m", "nb-iot", "lora-multicast")
_REGION: Final = "eu868"
_FILE: Final = "channel.csv"
# Each unit in the base unit of its quantity: nA, V, nW, nJ, ms, byte, byte/s.
_SCALE: Final[Mapping[str, Fraction]] = {
    "mA": Fraction(10**6),
    "V": Fraction(1),
    "uW": Fraction(10**3),
    "mJ": Fraction(10**6),
    "J": Fraction(10**9),
    "ms": Fraction(1),
    "s": Fraction(10**3),
    "B": Fraction(1),
    "kbit/s": Fraction(10**3, 8),
}
_TIME: Final = ("ms", "s")
_ENERGY: Final = ("mJ", "J")


@dataclass(frozen=True, slots=True)
class Overheads:
    """What a radio spends beside the bytes of an update."""

    connect_ms: int  # until the first byte
    connect_nj: int
    checkin_nj: int  # a poll that finds nothing, connecting included
    report_nj: int  # a status report, connecting included


def kinds() -> tuple[str, ...]:
    """The kinds of channel there are."""
    return KINDS


@cache
def radios(kind: str) -> tuple[str, ...]:
    """The radios that fit a channel of `kind`, sorted. Raises `InputError` for an unknown kind."""
    if kind not in KINDS:
        raise InputError(
            f"kind: found {shown(kind)}, expected one of {', '.join(KINDS)}{_nearest(kind, KINDS)}"
        )
    return tuple(sorted(r for r, table in _figures().items() if any(p.startswith(f"{kind}.") for p in table)))


def require_radio(kind: str, radio: str) -> None:
    """Raise an `InputError` that names the radios of `kind` if `radio` is none of them."""
    known = radios(kind)
    if radio not in known:
        expected = f"one of {', '.join(known)} for {kind}{_nearest(radio, known)}"
        raise InputError(f"radio: found {shown(radio)}, expected {expected}")


def power_nw(radio: str, current: str) -> int:
    """The power [nW] at the radio's supply and its figure `current`, such as ``rx_current``."""
    return ceil(_amount(radio, current, "mA") * _amount(radio, "supply", "V"))


def peak_ua(radio: str) -> int:
    """The largest current the radio draws by its figures [uA], transmitting where that is among them."""
    drawn = [parameter for parameter in _figures()[radio] if "_current" in parameter]
    milliamperes = max(_amount(radio, parameter, "mA") for parameter in drawn) / _SCALE["mA"]
    return ceil(milliamperes * 1_000)


def sleep_nw(radio: str) -> int:
    """The power asleep [nW]."""
    return ceil(_amount(radio, "sleep_power", "uW"))


def overheads(kind: str, radio: str) -> Overheads:
    """What a radio spends on connecting, polls and reports, of any kind but ``lora-multicast``."""
    return Overheads(
        connect_ms=ceil(_amount(radio, f"{kind}.connect_time", *_TIME)),
        connect_nj=ceil(_amount(radio, f"{kind}.connect_energy", *_ENERGY)),
        checkin_nj=ceil(_amount(radio, f"{kind}.checkin_energy", *_ENERGY)),
        report_nj=ceil(_amount(radio, f"{kind}.report_energy", *_ENERGY)),
    )


def lora_overheads(radio: str, made: lora.Modulation) -> Overheads:
    """What a LoRaWAN class A device spends at `made`, uplink and downlink alike.

    A poll and a report are an uplink and two receive windows that close after an empty preamble; setting a
    session up is an empty uplink, the receive delay and a downlink with the set-up commands.
    """
    sizes = {
        part: ceil(_amount(radio, f"lora-multicast.{part}_payload", "B"))
        for part in ("checkin", "report", "setup")
    }
    delay_us = _amount(radio, "lora-multicast.receive_delay", *_TIME) * 1_000
    rx_nw, tx_nw = power_nw(radio, "rx_current"), power_nw(radio, "tx_current")

    def uplink_us(payload_bytes: int) -> Fraction:
        return lora.airtime_us(made, lora.FRAME_BYTES + payload_bytes, lora.UPLINK_CRC_BITS)

    setup_us = lora.airtime_us(made, lora.FRAME_BYTES + sizes["setup"], lora.DOWNLINK_CRC_BITS)
    ask_us = uplink_us(0)
    windows_nj = energy_nj(rx_nw, 2 * made.preamble_us)
    return Overheads(
        connect_ms=ceil((ask_us + delay_us + setup_us) / 1_000),
        connect_nj=energy_nj(tx_nw, ask_us) + energy_nj(rx_nw, setup_us),
        checkin_nj=energy_nj(tx_nw, uplink_us(sizes["checkin"])) + windows_nj,
        report_nj=energy_nj(tx_nw, uplink_us(sizes["report"])) + windows_nj,
    )


def nfc_most_bps(radio: str) -> int:
    """The most an NFC radio can carry [byte/s]: its bit rate without any overhead."""
    return int(_amount(radio, "nfc.bit_rate", "kbit/s"))


def lora_most_payload_bytes(phy: str) -> int:
    """The longest LoRaWAN application payload at `phy` in EU868 [byte]."""
    return int(_amount(_REGION, f"max_payload_{phy}", "B"))


@cache
def _figures() -> Mapping[str, Mapping[str, Figure]]:
    table: dict[str, dict[str, Figure]] = {}
    for figure in read_figures(data_path("calibration", _FILE)):
        table.setdefault(figure.profile, {})[figure.parameter] = figure
    return table


def _amount(profile: str, parameter: str, *units: str) -> Fraction:
    figure = _figures()[profile].get(parameter)
    found = "no row" if figure is None else f"unit {shown(figure.unit)}"
    if figure is None or figure.unit not in units:
        raise InputError(f"{_FILE}: {profile}: {parameter}: found {found}, expected {' or '.join(units)}")
    return Fraction(figure.value) * _SCALE[figure.unit]


def _nearest(name: str, names: tuple[str, ...]) -> str:
    near = get_close_matches(name, names, n=1)
    return f"; nearest is {near[0]}" if near else ""
