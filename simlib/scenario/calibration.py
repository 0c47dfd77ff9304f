"""What an operation costs on real hardware, in whole nanoseconds, nanojoules, cycles and picojoules.

The figures live in ``data/calibration``, a row each with its unit, its source and how it is known: *measured*
by simlib's own runs, *cited* from a datasheet or a publication, *derived* from such figures by the formula in
the source column, or *recalled*: an assumption to be replaced by a measurement. A row without label or
source is refused. Figures are read as decimals; where one does not come to a whole number of a field's unit
it is rounded up, once, here.

What runs how often is the device's affair.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from enum import StrEnum
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Final

from simlib.errors import InputError
from simlib.scenario.datafiles import data_path
from simlib.scenario.toml_text import shown


class Label(StrEnum):
    """How a figure is known."""

    MEASURED = "measured"
    CITED = "cited"
    DERIVED = "derived"
    RECALLED = "recalled"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of a calibration table."""

    profile: str
    parameter: str
    value: Decimal
    unit: str
    label: Label
    source: str


@dataclass(frozen=True, slots=True)
class FlashProfile:
    """Time and energy of a NOR flash's two operations."""

    name: str
    sector_bytes: int
    erase_ns: int  # of a sector of sector_bytes
    erase_nj: int
    word_bytes: int
    word_ns: int  # to program one word
    word_nj: int
    current_ua: int = 0  # while it erases or writes; 0: not known


@dataclass(frozen=True, slots=True)
class CoreProfile:
    """What computing costs on a processor; mcpb are thousandths of a cycle for each byte."""

    name: str
    clock_hz: int
    nj_per_mcycle: int
    sha256_mcpb: int
    aes256_ctr_mcpb: int
    patch_mcpb: int  # for each byte of the result
    verify_cycles: Mapping[str, int]  # one verification, by the signature's name
    sha512_mcpb: int = 0  # of SHA-384 as well; 0: not known
    aes128_ctr_mcpb: int = 0  # 0: not known
    unwrap_cycles: Mapping[str, int] = field(default_factory=dict)  # one content key, by the wrapping's name

    @property
    def active_nw(self) -> int:
        """The power of the running core [nW], rounded up."""
        return -(-self.clock_hz * self.nj_per_mcycle // 10**6)


@dataclass(frozen=True, slots=True)
class RadioProfile:
    """What receiving costs."""

    name: str
    rx_pj_per_byte: int  # of application data, protocol overhead included
    checkin_nj: int  # of a poll that finds nothing new


@dataclass(frozen=True, slots=True)
class CellProfile:
    """What a battery holds and what of it can be drawn."""

    name: str
    energy_uj: int  # full and new, drawn slowly
    self_discharge_uj_per_hour: int  # of a full battery, in a year of 8,760 hours
    pulse_ma: int  # the largest current that costs no capacity
    derating: Fraction  # share of the energy lost for each mA above pulse_ma
    rechargeable: bool


KINDS: Final = ("core", "flash", "radio", "battery", "channel")
"""The calibration tables, a file each."""
COLUMNS: Final = ("profile", "parameter", "value", "unit", "label", "source")
# Each unit as the field's base unit: ns, nJ, cycles, thousandths of a cycle a byte, pJ a byte, bytes, Hz, uA,
# a share a year, a share a mA.
_SCALE: Final[Mapping[str, Fraction]] = {
    "us": Fraction(10**3),
    "ms": Fraction(10**6),
    "nJ": Fraction(1),
    "uJ": Fraction(10**3),
    "mJ": Fraction(10**6),
    "J": Fraction(10**9),
    "cycles": Fraction(1),
    "cycles/byte": Fraction(10**3),
    "cycles/block16": Fraction(10**3, 16),
    "uJ/Mcycle": Fraction(10**3),
    "nJ/bit": Fraction(8 * 10**3),
    "uJ/bit": Fraction(8 * 10**6),
    "B": Fraction(1),
    "MHz": Fraction(10**6),
    "mA": Fraction(10**3),
    "%/year": Fraction(1, 100),
    "%/mA": Fraction(1, 100),
}
_TIME: Final = ("us", "ms")
_ENERGY: Final = ("nJ", "uJ", "mJ", "J")
_VERIFY: Final = "verify_"
_UNWRAP: Final = "unwrap_"
_ECIES: Final = "ecies-p256"
_HOURS_PER_YEAR: Final = 8_760
_MOST_DERATING: Final = Fraction(1, 2)


def flash_names() -> tuple[str, ...]:
    """The names `flash_profile` knows, sorted."""
    return tuple(sorted(_table("flash")))


def core_names() -> tuple[str, ...]:
    """The names `core_profile` knows, sorted."""
    return tuple(sorted(_table("core")))


def radio_names() -> tuple[str, ...]:
    """The names `radio_profile` knows, sorted."""
    return tuple(sorted(_table("radio")))


def cell_names() -> tuple[str, ...]:
    """The names `cell_profile` knows, sorted."""
    return tuple(sorted(_table("battery")))


def flash_profile(name: str) -> FlashProfile:
    """The flash called `name`. Raises `InputError` that names the nearest for one there is not."""
    take = _Taker("flash", name)
    return FlashProfile(
        name=name,
        sector_bytes=take("sector", "B"),
        erase_ns=take("sector_erase_time", *_TIME),
        erase_nj=take("sector_erase_energy", *_ENERGY),
        word_bytes=take("word", "B"),
        word_ns=take("word_write_time", *_TIME),
        word_nj=take("word_write_energy", *_ENERGY),
        current_ua=take("current", "mA"),
    )


def core_profile(name: str) -> CoreProfile:
    """The processor called `name`. Raises `InputError` that names the nearest for one there is not."""
    take = _Taker("core", name)
    signatures = [p.removeprefix(_VERIFY) for p in _table("core")[name] if p.startswith(_VERIFY)]
    wraps = [p.removeprefix(_UNWRAP) for p in _table("core")[name] if p.startswith(_UNWRAP)]
    return CoreProfile(
        name=name,
        clock_hz=take("clock", "MHz"),
        nj_per_mcycle=take("energy_per_cycle", "uJ/Mcycle"),
        sha256_mcpb=take("sha256", "cycles/byte"),
        aes256_ctr_mcpb=take("aes256_ctr", "cycles/byte", "cycles/block16"),
        patch_mcpb=take("patch", "cycles/byte"),
        verify_cycles={s: take(f"{_VERIFY}{s}", "cycles") for s in signatures},
        sha512_mcpb=take("sha512", "cycles/byte"),
        aes128_ctr_mcpb=take("aes128_ctr", "cycles/byte", "cycles/block16"),
        unwrap_cycles={
            _ECIES: take("ecies_unwrap", "cycles"),
            **{w: take(f"{_UNWRAP}{w}", "cycles") for w in wraps},
        },
    )


def radio_profile(name: str) -> RadioProfile:
    """The radio called `name`. Raises `InputError` that names the nearest for one there is not."""
    take = _Taker("radio", name)
    return RadioProfile(
        name=name,
        rx_pj_per_byte=take("rx_energy", "nJ/bit", "uJ/bit"),
        checkin_nj=take("checkin_energy", *_ENERGY),
    )


def cell_profile(name: str) -> CellProfile:
    """The battery called `name`. Raises `InputError` that names the nearest for one there is not.

    Only a rechargeable battery has a `charge_power`, and only one that loses capacity to pulses a `derating`.
    """
    take = _Taker("battery", name)
    energy_uj = take("energy", "J") // 1000
    return CellProfile(
        name=name,
        energy_uj=energy_uj,
        self_discharge_uj_per_hour=math.ceil(
            energy_uj * take.exact("self_discharge", "%/year") / _HOURS_PER_YEAR
        ),
        pulse_ma=take("pulse_current", "mA") // 1000,
        derating=take.exact("derating", "%/mA") if "derating" in take else Fraction(0),
        rechargeable="charge_power" in take,
    )


def usable_uj(profile: CellProfile, peak_ua: int) -> int:
    """What of a full battery's energy can be drawn [uJ] if its pulses reach `peak_ua` [uA].

    Each mA above `pulse_ma` costs `derating` of the energy, at most half of it in all: a straight line
    through what is known of a battery, not a model of its chemistry.
    """
    above_ma = Fraction(max(0, peak_ua - profile.pulse_ma * 1000), 1000)
    return math.floor(profile.energy_uj * (1 - min(above_ma * profile.derating, _MOST_DERATING)))


def figures_of(kind: str, profile: str) -> tuple[Figure, ...]:
    """The figures of one profile of one of `KINDS`, by parameter, with those that others are derived from.

    Raises `InputError` that names the nearest for a kind or a profile there is not.
    """
    if kind not in KINDS:
        raise InputError(f"calibration table: found {shown(kind)}, expected one of {', '.join(KINDS)}")
    figures = _profile(kind, profile)
    return tuple(figures[parameter] for parameter in sorted(figures))


def recalled(uses: Iterable[tuple[str, str]]) -> tuple[Figure, ...]:
    """The assumptions among the figures of `uses`, pairs of kind and profile; each once, sorted."""
    found = [figure for use in sorted(set(uses)) for figure in figures_of(*use)]
    return tuple(figure for figure in found if figure.label is Label.RECALLED)


def read_figures(path: Path) -> tuple[Figure, ...]:
    """The rows of the calibration table at `path`.

    Raises `InputError`, with file, line and column, for a row without a number above 0, a label or a
    source, and for a parameter given twice. Units are checked where a profile takes the figure.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        header = tuple(next(reader, ()))
        if header != COLUMNS:
            raise InputError(
                f"{path.name}: line 1: found columns {','.join(header)}, expected {','.join(COLUMNS)}"
            )
        rows = [(reader.line_num, row) for row in reader]
    return tuple(_figures(path.name, rows))


def _figures(name: str, rows: list[tuple[int, list[str]]]) -> Iterator[Figure]:
    seen: set[tuple[str, str]] = set()
    for line, row in rows:
        where = f"{name}: line {line}"
        if len(row) != len(COLUMNS):
            raise InputError(f"{where}: found {len(row)} fields, expected {len(COLUMNS)}")
        profile, parameter, value, unit, label, source = (cell.strip() for cell in row)
        if not profile or not parameter or (profile, parameter) in seen:
            raise InputError(
                f"{where}: found {shown(parameter)} of {shown(profile)}, expected a parameter not given yet"
            )
        seen.add((profile, parameter))
        if label not in list(Label):
            raise InputError(f"{where}: label: found {shown(label)}, expected one of {', '.join(Label)}")
        if not source:
            raise InputError(f"{where}: source: found nothing, expected where the figure is from")
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite() or number <= 0 or abs(number.adjusted()) > 30:
            raise InputError(f"{where}: value: found {shown(value)}, expected a number above 0")
        yield Figure(profile, parameter, number, unit, Label(label), source)


@cache
def _table(kind: str) -> Mapping[str, Mapping[str, Figure]]:
    """The figures of one kind of hardware, by profile and parameter."""
    table: dict[str, dict[str, Figure]] = {}
    for figure in read_figures(data_path("calibration", f"{kind}.csv")):
        table.setdefault(figure.profile, {})[figure.parameter] = figure
    return table


def _profile(kind: str, name: str) -> Mapping[str, Figure]:
    table = _table(kind)
    if name not in table:
        near = get_close_matches(name, table, n=1)
        hint = f"; nearest is {near[0]}" if near else ""
        raise InputError(
            f"{kind} profile: found {shown(name)}, expected one of {', '.join(sorted(table))}{hint}"
        )
    return table[name]


class _Taker:
    """Takes parameters of one profile in a field's unit."""

    def __init__(self, kind: str, name: str) -> None:
        self._where = f"{kind}.csv: {name}"
        self._figures = _profile(kind, name)

    def __contains__(self, parameter: str) -> bool:
        return parameter in self._figures

    def __call__(self, parameter: str, *units: str) -> int:
        """The figure as a whole number, rounded up."""
        return math.ceil(self.exact(parameter, *units))

    def exact(self, parameter: str, *units: str) -> Fraction:
        """The figure as it is."""
        figure = self._figures.get(parameter)
        if figure is None:
            raise InputError(
                f"{self._where}: {parameter}: found no row, expected one in {' or '.join(units)}"
            )
        if figure.unit not in units:
            raise InputError(
                f"{self._where}: {parameter}: found unit {shown(figure.unit)}, expected {' or '.join(units)}"
            )
        return Fraction(figure.value) * _SCALE[figure.unit]
