"""The numbers of a reader's own device and firmware, and what an update in each form costs by them.

Bytes, time and energy are linear in the bytes that travel, which is what makes break-evens a division
(`break_even`). With S the image, P = ratio x S what travels of it beside the manifest (of the raw image,
P = S), and x = 1 for a form that has to be decoded, 0 for the raw image:

- on air: P + manifest;
- link time: connect + (P + manifest) / rate; radio energy: connect + (P + manifest) x energy of a byte;
- flash: W = rewrites x S + x x stored x P bytes written, and W / sector erases;
- core: fixed + S x checks + x x (2 P x hash + S x decode + (P + S) x cipher + 2 x unwrap), and for a patch
  the hash of its base, B x hash.

The terms of the core are the updater's (`simlib.device.updater`): what was stored is hashed as it lies there
and once more before it is decoded; the image that was decoded is hashed in place of a raw blob; of an
encrypted release the blob is deciphered, and the image enciphered anew. The flash's terms are rounded to no
whole sector, so that a figure may be short of the truth by one erase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simlib.errors import InputError

PAYLOADS: Final = ("full", "compressed", "delta")
_MAY_BE_ANYTHING: Final = ("base_bytes", "stored", "compressed_stored", "rest_ms", "rest_uj")


@dataclass(frozen=True, slots=True)
class Spent:
    """What an update takes; energies by what spends them."""

    air_bytes: float
    link_ms: float
    time_ms: float  # the link's included
    radio_uj: float
    flash_uj: float
    compute_uj: float
    rest_uj: float

    @property
    def total_uj(self) -> float:
        """All of it."""
        return self.radio_uj + self.flash_uj + self.compute_uj + self.rest_uj


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnNumbers:
    """A device, its link and its firmware, in numbers that a data sheet and a build give.

    Raises `InputError` for a number that cannot be.
    """

    image_bytes: int  # S
    patch_ratio: float  # patch / raw image
    compressed_ratio: float  # compressed image / raw image
    link_bps: float  # what arrives [byte/s]
    radio_nj_per_byte: float
    erase_ms: float  # one sector
    erase_uj: float
    write_us_per_byte: float
    write_nj_per_byte: float
    clock_mhz: float
    nj_per_cycle: float
    hash_cycles_per_byte: float
    patch_cycles_per_byte: float  # for each byte of the image
    unpack_cycles_per_byte: float  # likewise, of a compressed image
    sector_bytes: int = 4096
    manifest_bytes: int = 0  # travels with each form, and is not stored
    base_bytes: int | None = None  # B; None: as the image
    stored: bool = True  # whether a patch waits in flash; False: it is decoded as it arrives
    compressed_stored: bool | None = None  # likewise a compressed image; None: as a patch
    rewrites: float = (
        4.0  # how often the image is written until it runs: 1 where it lies, 2 copied, 4 swapped
    )
    check_cycles_per_byte: float = 0.0  # all hashing and deciphering of the image, in whatever form it came
    fixed_cycles: float = 0.0  # signatures
    cipher_cycles_per_byte: float = 0.0  # of an encrypted release
    unwrap_cycles: float = 0.0  # of one content key
    connect_ms: float = 0.0
    connect_uj: float = 0.0
    rest_ms: float = 0.0  # the reboot, the self-test
    rest_uj: float = 0.0

    def __post_init__(self) -> None:
        for name in ("image_bytes", "link_bps", "clock_mhz", "sector_bytes"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}: found {getattr(self, name)}, expected more than 0")
        for name in self.__slots__:
            value = getattr(self, name)
            if name not in _MAY_BE_ANYTHING and not value >= 0:
                raise InputError(f"{name}: found {value}, expected 0 or more")

    def ratio(self, payload: str) -> float:
        """What travels of the image in this form, as a share of the raw one; raises `InputError`."""
        if payload not in PAYLOADS:
            raise InputError(f"payload: found {payload!r}, expected one of {', '.join(PAYLOADS)}")
        return {"full": 1.0, "compressed": self.compressed_ratio, "delta": self.patch_ratio}[payload]

    def _is_stored(self, payload: str) -> bool:
        alike = payload == "delta" or self.compressed_stored is None
        return self.stored if alike else bool(self.compressed_stored)

    def spent(self, payload: str) -> Spent:
        """What an update in this form takes: the formulas of this module; raises `InputError`."""
        image, travels = self.image_bytes, self.ratio(payload) * self.image_bytes
        air = travels + self.manifest_bytes
        written = self.rewrites * image
        cycles = self.fixed_cycles + image * self.check_cycles_per_byte
        if payload != "full":
            decode = self.patch_cycles_per_byte if payload == "delta" else self.unpack_cycles_per_byte
            written += travels if self._is_stored(payload) else 0
            cycles += 2 * travels * self.hash_cycles_per_byte + image * decode
            cycles += (travels + image) * self.cipher_cycles_per_byte + 2 * self.unwrap_cycles
        if payload == "delta":
            cycles += (image if self.base_bytes is None else self.base_bytes) * self.hash_cycles_per_byte
        erases = written / self.sector_bytes
        flash_ms = written * self.write_us_per_byte / 1_000 + erases * self.erase_ms
        link_ms = self.connect_ms + 1_000 * air / self.link_bps
        return Spent(
            air_bytes=air,
            link_ms=link_ms,
            time_ms=link_ms + flash_ms + cycles / (1_000 * self.clock_mhz) + self.rest_ms,
            radio_uj=self.connect_uj + air * self.radio_nj_per_byte / 1_000,
            flash_uj=written * self.write_nj_per_byte / 1_000 + erases * self.erase_uj,
            compute_uj=cycles * self.nj_per_cycle / 1_000,
            rest_uj=self.rest_uj,
        )
