"""How fast Bluetooth Low Energy carries an update, and how long a device's radio is on for it.

The protocol's own arithmetic, after the Bluetooth Core Specification: the packet of the uncoded PHYs and of
the coded PHY (Vol 6, Part B, 2.1 and 2.2), the inter-frame space (4.1), connection events and their interval
(4.5.1); L2CAP's basic header (Vol 3, Part A, 3.1); ATT's write command and notification, whose headers are
alike, and the longest attribute value (Vol 3, Part F, 3.4.5.3, 3.4.7.1, 3.2.9). The update goes to the device
as write commands of the longest value the MTU allows, cut into link-layer packets of at most the data length.

One *exchange* is a data packet, T_IFS, the device's empty answer, T_IFS. An event holds whole exchanges only.
A lost packet costs its whole exchange again, so everything grows by 1/(1 − loss).

Left to others: currents (`simlib.channel.profiles`), events without data, and the ramp before a packet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from simlib.errors import InputError
from simlib.scenario.toml_text import shown

US_PER_S: Final = 1_000_000
T_IFS_US: Final = 150
INTERVAL_STEP_US: Final = 1_250
INTERVALS_US: Final = (7_500, 4_000_000)
DATA_LENGTHS: Final = (27, 251)
ATT_MTUS: Final = (23, 517)
LONGEST_VALUE_BYTES: Final = 512
_PDU_HEADER_BYTES: Final = 2
_MIC_BYTES: Final = 4
_CRC_BYTES: Final = 3
_L2CAP_HEADER_BYTES: Final = 4
_ATT_HEADER_BYTES: Final = 3


@dataclass(frozen=True, slots=True)
class Phy:
    """How long a packet's parts take [us]."""

    name: str
    byte_us: int  # each byte of header, payload, MIC and CRC
    fixed_us: int  # preamble and access address; on the coded PHY also CI, TERM1 and TERM2


PHYS: Final[Mapping[str, Phy]] = {
    "1M": Phy("1M", 8, (1 + 4) * 8),
    "2M": Phy("2M", 4, (2 + 4) * 4),
    "coded-s2": Phy("coded-s2", 16, 80 + 256 + 16 + 24 + 3 * 2),
    "coded-s8": Phy("coded-s8", 64, 80 + 256 + 16 + 24 + 3 * 8),
}


@dataclass(frozen=True, slots=True)
class Link:
    """What both sides have agreed on, and how much is lost. Raises `InputError` for what cannot be."""

    phy: str
    data_length: int  # most payload bytes of a link-layer packet, without MIC
    att_mtu: int
    encrypted: bool
    loss: Fraction  # share of exchanges that have to be repeated

    def __post_init__(self) -> None:
        if self.phy not in PHYS:
            raise InputError(f"phy: found {shown(self.phy)}, expected one of {', '.join(PHYS)}")
        _within("data_length", self.data_length, DATA_LENGTHS)
        _within("att_mtu", self.att_mtu, ATT_MTUS)
        if not 0 <= self.loss < 1:
            raise InputError(f"loss: found {self.loss}, expected 0 or more and less than 1")

    @property
    def value_bytes(self) -> int:
        """Application data of one write command [byte]."""
        return min(self.att_mtu - _ATT_HEADER_BYTES, LONGEST_VALUE_BYTES)

    @property
    def payloads(self) -> tuple[int, ...]:
        """Payload bytes of the packets that carry one write command."""
        whole, rest = divmod(self.value_bytes + _ATT_HEADER_BYTES + _L2CAP_HEADER_BYTES, self.data_length)
        return (self.data_length,) * whole + ((rest,) if rest else ())


@dataclass(frozen=True, slots=True)
class Throughput:
    """What a link carries, and a device's radio time for each byte of application data, repeats included."""

    goodput: Fraction  # [byte/s]
    rx_us: Fraction  # data packets
    ifs_us: Fraction  # inter-frame spaces
    tx_us: Fraction  # empty answers


def packet_us(phy: str, payload_bytes: int, encrypted: bool) -> int:
    """The time on the air of a data channel packet [us]; an empty one has no MIC (Vol 6, Part B, 2.4)."""
    mic = _MIC_BYTES if encrypted and payload_bytes else 0
    made = PHYS[phy]
    return made.fixed_us + made.byte_us * (_PDU_HEADER_BYTES + payload_bytes + mic + _CRC_BYTES)


def connected_limit(link: Link) -> Throughput:
    """What `link` carries where one connection event never ends: no protocol can be faster on this PHY."""
    return _throughput(link, Fraction(US_PER_S * link.value_bytes, sum(_exchanges(link))))


def connected(link: Link, interval_us: int, packets_per_event: int) -> Throughput:
    """What `link` carries in connection events each `interval_us`.

    `packets_per_event` is the most exchanges of one event, 0 as many as fit. A write command may spread over
    events; the rate is the exact mean over the cycle into which the cutting falls. Raises `InputError` for an
    interval that the specification does not have, or that one packet does not fit into.
    """
    low, high = INTERVALS_US
    if not low <= interval_us <= high or interval_us % INTERVAL_STEP_US:
        raise InputError(
            f"interval: found {interval_us} us, expected a multiple of {INTERVAL_STEP_US} us "
            f"from {low} to {high} us"
        )
    if packets_per_event < 0:
        raise InputError(f"packets_per_event: found {packets_per_event}, expected 0 or more")
    exchanges = _exchanges(link)
    if max(exchanges) > interval_us:
        least = ceil(Fraction(max(exchanges), INTERVAL_STEP_US)) * INTERVAL_STEP_US
        raise InputError(
            f"interval: found {interval_us} us, expected at least {least} us for a packet of "
            f"{max(link.payloads)} bytes on {link.phy}"
        )
    values = _values_per_event(exchanges, interval_us, packets_per_event)
    return _throughput(link, values * Fraction(US_PER_S * link.value_bytes, interval_us))


def _within(key: str, number: int, limits: tuple[int, int]) -> None:
    low, high = limits
    if not low <= number <= high:
        raise InputError(f"{key}: found {number}, expected {low} to {high}")


def _exchanges(link: Link) -> list[int]:
    """The time of each exchange of one write command [us]."""
    answer_us = packet_us(link.phy, 0, link.encrypted) + 2 * T_IFS_US
    return [packet_us(link.phy, payload, link.encrypted) + answer_us for payload in link.payloads]


def _values_per_event(exchanges: Sequence[int], interval_us: int, most: int) -> Fraction:
    """How many write commands an event carries in the mean."""
    # An event is determined by the packet it begins with, so what follows repeats from the second time on.
    begun: dict[int, tuple[int, int]] = {}
    packet = events = values = 0
    while packet not in begun:
        begun[packet] = (events, values)
        left_us, sent = interval_us, 0
        while exchanges[packet] <= left_us and (most == 0 or sent < most):
            left_us -= exchanges[packet]
            sent += 1
            packet += 1
            if packet == len(exchanges):
                packet = 0
                values += 1
        events += 1
    events_before, values_before = begun[packet]
    return Fraction(values - values_before, events - events_before)


def _throughput(link: Link, lossless: Fraction) -> Throughput:
    packets = len(link.payloads)
    each = Fraction(1) / (link.value_bytes * (1 - link.loss))
    return Throughput(
        goodput=lossless * (1 - link.loss),
        rx_us=each * sum(packet_us(link.phy, payload, link.encrypted) for payload in link.payloads),
        ifs_us=each * (packets * 2 * T_IFS_US),
        tx_us=each * (packets * packet_us(link.phy, 0, link.encrypted)),
    )
