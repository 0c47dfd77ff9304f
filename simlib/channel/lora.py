"""How long a LoRa packet is on the air, and how fast its bits are.

Semtech AN1200.13 (LoRa Modem Designer's Guide) and the SX1276 datasheet, 4.1.1.7: explicit header,
low data rate optimisation where a symbol takes longer than 16 ms. The coding rate is 4/5 and the bandwidth
125 kHz unless stated, as in LoRaWAN's EU868 channels; an uplink ends in a CRC, a downlink has none (LoRaWAN
L2 specification 1.0.4, section 3).

Left to others: what a packet carries, how often it may be sent, and what receiving costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from simlib.errors import InputError
from simlib.scenario.toml_text import shown

US_PER_S: Final = 1_000_000
PHYS: Final = tuple(f"sf{factor}" for factor in range(7, 13))
LONGEST_BYTES: Final = 255
UPLINK_CRC_BITS: Final = 16
DOWNLINK_CRC_BITS: Final = 0
FRAME_BYTES: Final = 13
"""LoRaWAN's own bytes around an application payload: MHDR 1, FHDR 7, FPort 1, MIC 4."""
_SLOW_SYMBOL_US: Final = 16_000


@dataclass(frozen=True, slots=True)
class Modulation:
    """A LoRa modulation."""

    spreading_factor: int
    bandwidth_hz: int = 125_000
    coding_rate: int = 1  # 1 to 4 for 4/5 to 4/8
    preamble_symbols: int = 8

    @property
    def symbol_us(self) -> Fraction:
        """The time of a symbol [us], 2**SF / BW."""
        return Fraction(US_PER_S << self.spreading_factor, self.bandwidth_hz)

    @property
    def preamble_us(self) -> Fraction:
        """The time of the preamble and the sync word [us]."""
        return (self.preamble_symbols + Fraction(17, 4)) * self.symbol_us

    @property
    def bit_rate(self) -> Fraction:
        """The rate of payload bits [bit/s], SF * BW / 2**SF * CR: no preamble, no header, no rounding up."""
        bits = Fraction(self.spreading_factor * self.bandwidth_hz, 1 << self.spreading_factor)
        return bits * Fraction(4, 4 + self.coding_rate)


def modulation(phy: str) -> Modulation:
    """The modulation called `phy`, ``sf7`` to ``sf12``, at 125 kHz. Raises `InputError` for another name."""
    if phy not in PHYS:
        raise InputError(f"phy: found {shown(phy)}, expected one of {', '.join(PHYS)}")
    return Modulation(spreading_factor=int(phy.removeprefix("sf")))


def airtime_us(made: Modulation, payload_bytes: int, crc_bits: int) -> Fraction:
    """The time on the air [us] of a packet of `payload_bytes`, header and preamble included.

    Payload symbols are 8 + max(ceil((8 PL − 4 SF + 28 + CRC) / (4 (SF − 2 DE))) (CR + 4), 0). Raises
    `InputError` for more bytes than a packet holds.
    """
    if not 0 <= payload_bytes <= LONGEST_BYTES:
        raise InputError(f"LoRa packet: found {payload_bytes} bytes, expected 0 to {LONGEST_BYTES}")
    factor = made.spreading_factor
    bits = 8 * payload_bytes - 4 * factor + 28 + crc_bits
    bits_per_block = 4 * (factor - 2 * (made.symbol_us > _SLOW_SYMBOL_US))
    blocks = max(-(-bits // bits_per_block), 0)
    return made.preamble_us + (8 + blocks * (made.coding_rate + 4)) * made.symbol_us
