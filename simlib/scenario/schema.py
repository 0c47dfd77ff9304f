"""The keys of a scenario: what each holds, its default, its limits.

Each table of the document is a model that refuses unknown keys; each leaf is read by one function of
`simlib.scenario.units` or of this module, so that nothing is converted silently. What has to hold between
keys (shares that sum to 1, links that exist) is checked on the finished facts by
`simlib.scenario.consistency`.
Defaults are in base units.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from fractions import Fraction
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from simlib.scenario import units

T = TypeVar("T")

SCHEMA: Final = 1
SOURCES: Final = ("synthetic", "corpus:NAME", "files")
STEP_KINDS: Final = ("rebuild", "patch", "minor", "major", "toolchain")
PAYLOADS: Final = ("full", "delta")
CODECS: Final = ("bsdiff4",)
SIGNATURES: Final = ("ecdsa-p256", "ed25519", "rsa-3072")
LAYOUTS: Final = ("swap-move", "single-slot")
TEARS: Final = ("none", "partial", "garbage")
POLICIES: Final = ("staged",)
REST: Final = "rest"
"""The share of the last group that takes what the others leave."""

KIB: Final = 1 << 10
MIB: Final = 1 << 20
SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
LONGEST_MS: Final = 3_650 * DAY
"""Ten years; with the limits on devices, sizes and rates it keeps every product of the clocks below 2**62."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CORPUS: Final = re.compile(r"corpus:[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WINDOW: Final = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")


def _leaf(read: Callable[[object], T]) -> PlainValidator:
    """A pydantic validator whose complaint is the ``expected …`` half of a message."""

    def validate(value: Any) -> T:
        try:
            return read(value)
        except units.ExpectedError as error:
            raise PydanticCustomError("leaf", "{expected}", {"expected": str(error)}) from None

    return PlainValidator(validate)


def _within(read: Callable[[object], int], low: int, high: int, show: Callable[[int], str]) -> PlainValidator:
    def limited(value: object) -> int:
        amount = read(value)
        if not low <= amount <= high:
            raise units.ExpectedError(f"{show(low)} to {show(high)}")
        return amount

    return _leaf(limited)


def _size(low: int, high: int) -> PlainValidator:
    return _within(units.size_bytes, low, high, units.format_size)


def _duration(low: int, high: int = LONGEST_MS) -> PlainValidator:
    return _within(units.duration_ms, low, high, units.format_duration)


def _rate(low: int, high: int) -> PlainValidator:
    return _within(units.rate_bps, low, high, units.format_rate)


def _count(low: int, high: int) -> PlainValidator:
    return _within(_whole_number, low, high, str)


def _whole_number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise units.ExpectedError("a whole number")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise units.ExpectedError("true or false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise units.ExpectedError("text")
    if len(value) > 4096 or any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in value):
        raise units.ExpectedError("one line of text without control characters")
    return value


def _label(value: object) -> str:
    """A name that goes into tables: one short line."""
    text = _text(value)
    if not 0 < len(text) <= 64 or text != text.strip():
        raise units.ExpectedError("a name of 1 to 64 characters, without space around it")
    return text


def _file_name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise units.ExpectedError(
            "a name of letters, digits, '.', '_' and '-', at most 64, the first a letter or digit"
        )
    return value


def one_of(value: object, names: Sequence[str]) -> str:
    """`value` if it is one of `names`. Raises `ExpectedError` that names the nearest."""
    if isinstance(value, str) and value in names:
        return value
    near = get_close_matches(value, names, n=1) if isinstance(value, str) else []
    raise units.ExpectedError(f"one of {', '.join(names)}{f'; nearest is {near[0]}' if near else ''}")


def _choice(*names: str) -> PlainValidator:
    return _leaf(lambda value: one_of(value, names))


def _schema_number(value: object) -> int:
    if _whole_number(value) != SCHEMA:
        raise units.ExpectedError(f"{SCHEMA}, the only schema this version reads")
    return SCHEMA


def _source(value: object) -> str:
    return value if isinstance(value, str) and _CORPUS.fullmatch(value) else one_of(value, SOURCES[::2])


def _group_share(value: object) -> Fraction | None:
    if value == REST:
        return None
    try:
        return units.share(value)
    except units.ExpectedError as error:
        raise units.ExpectedError(f'{error}, or "{REST}" in the last group') from None


def _charges(value: object) -> tuple[Fraction, Fraction]:
    if not isinstance(value, list) or len(value) != 2:
        raise units.ExpectedError("the lowest and the highest charge, such as [0.2, 1.0]")
    return units.share(value[0]), units.share(value[1])


def _erased_value(value: object) -> int:
    if _whole_number(value) not in (0x00, 0xFF):
        raise units.ExpectedError("255 or 0")
    return _whole_number(value)


def _write_size(value: object) -> int:
    if _whole_number(value) not in (1, 2, 4, 8, 16, 32):
        raise units.ExpectedError("1, 2, 4, 8, 16 or 32 bytes")
    return _whole_number(value)


def _window(value: object) -> tuple[int, int] | None:
    if value == "":
        return None
    match = _WINDOW.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        hours, minutes, end_hours, end_minutes = map(int, match.groups())
        start, end = hours * HOUR + minutes * MINUTE, end_hours * HOUR + end_minutes * MINUTE
        if minutes < 60 and end_minutes < 60 and start < DAY and end <= DAY and start != end:
            return start, end
    raise units.ExpectedError('"" or times of day such as "01:00-05:00", not equal')


def format_window(window: tuple[int, int] | None) -> str:
    """The text of `rollout.window`: ``""`` or ``HH:MM-HH:MM``."""
    if window is None:
        return ""
    return "-".join(f"{at // HOUR:02d}:{at % HOUR // MINUTE:02d}" for at in window)


Share = Annotated[Fraction, _leaf(units.share)]
Label = Annotated[str, _leaf(_label)]
Flag = Annotated[bool, _leaf(_flag)]
Image = Annotated[int, _size(1, 64 * MIB)]
Span = Annotated[int, _duration(0)]
Period = Annotated[int, _duration(1)]


class Table(BaseModel):
    """A table of the document."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ReleaseTable(Table):
    """The table ``release``."""

    source: Annotated[str, _leaf(_source)] = "synthetic"
    files: list[Annotated[str, _leaf(_text)]] = []
    seed: Annotated[int, _count(0, (1 << 64) - 1)] = 1
    size: Image = 256 * KIB
    base_size: Annotated[int | None, _size(1, 64 * MIB)] = None  # as large as the newest
    steps: list[Annotated[str, _choice(*STEP_KINDS)]] = ["minor"]
    payload: Annotated[str, _choice(*PAYLOADS)] = "delta"
    codec: Annotated[str, _choice(*CODECS)] = "bsdiff4"
    full_above: Share = Fraction(4, 5)
    encrypted: Flag = True
    signature: Annotated[str, _choice(*SIGNATURES)] = "ecdsa-p256"
    hardware: list[Label] = []


class LinkTable(Table):
    """An element of ``links``."""

    name: Label
    capacity: Annotated[int, _rate(1, 10**12)] = 125_000_000


class CohortTable(Table):
    """An element of ``cohorts``."""

    name: Label
    share: Share = Fraction(1)
    hardware: Label = "rev-a"
    layout: Annotated[str, _choice(*LAYOUTS)] = "swap-move"
    slot_size: Image = 512 * KIB
    download_size: Annotated[int, _size(0, 64 * MIB)] = 256 * KIB
    sector_size: Annotated[int, _size(512, MIB)] = 4 * KIB
    write_size: Annotated[int, _leaf(_write_size)] = 4
    erased_value: Annotated[int, _leaf(_erased_value)] = 0xFF
    flash: Label = "nrf52840"
    core: Label = "cortex-m4-64mhz"
    radio: Label = "ble-2m-nrf52840"
    base_mix: list[Share] = [Fraction(1)]
    link: Label = "backend"
    rates: list[Annotated[int, _rate(1, 10**9)]] = [50_000]
    weak_link: Share = Fraction(0)
    battery: Annotated[tuple[Fraction, Fraction], _leaf(_charges)] = (Fraction(1, 5), Fraction(1))
    wake_period: Period = HOUR
    wake_presence: Share = Fraction(1)
    reboot: Span = 2 * SECOND
    self_test: Span = 10 * SECOND


class PrecheckTable(Table):
    """The table ``precheck``."""

    storage: Flag = True
    battery: Share = Fraction(3, 10)
    link: Flag = True
    deferrals: Annotated[int, _count(0, 10**6)] = 20


class TransferTable(Table):
    """The table ``transfer``."""

    resume: Flag = True
    granule: Annotated[int, _size(1, MIB)] = 4 * KIB
    attempts: Annotated[int, _count(1, 1000)] = 5
    backoff: Span = MINUTE
    backoff_max: Span = HOUR


class FaultsTable(Table):
    """The table ``faults``: causes, never outcomes."""

    drop: Share = Fraction(0)
    drop_weak: Share = Fraction(0)
    corruption: Share = Fraction(0)
    power_cut: Share = Fraction(0)
    tear: Annotated[str, _choice(*TEARS)] = "partial"
    power_off: Span = MINUTE
    defect: Share = Fraction(0)
    defect_hardware: list[Label] = []
    stale_inventory: Share = Fraction(0)


class ReportTable(Table):
    """The table ``report``."""

    delay: Span = 2 * SECOND


class GroupTable(Table):
    """An element of ``rollout.groups``."""

    share: Annotated[Fraction | None, _leaf(_group_share)] = None
    success_threshold: Share = Fraction(9, 10)
    error_threshold: Share = Fraction(1, 20)
    min_sample: Annotated[int, _count(1, 10**9)] = 20
    soak: Span = HOUR


class RolloutTable(Table):
    """The table ``rollout``."""

    policy: Annotated[str, _choice(*POLICIES)] = "staged"
    interval: Period = MINUTE
    deadline: Period = DAY
    abort_downloads: Flag = False
    window: Annotated[tuple[int, int] | None, _leaf(_window)] = None
    groups: list[GroupTable] = [GroupTable()]


class ScenarioTable(Table):
    """The whole document."""

    schema_number: Annotated[int, _leaf(_schema_number)] = Field(alias="schema")
    name: Annotated[str, _leaf(_file_name)]
    title: Annotated[str, _leaf(_text)] = ""
    seed: Annotated[int, _count(0, (1 << 64) - 1)] = 1
    devices: Annotated[int, _count(1, 10_000_000)] = 1000
    horizon: Period = 7 * DAY
    timeline: Period = HOUR
    release: ReleaseTable = ReleaseTable()
    links: list[LinkTable] = [LinkTable(name="backend")]
    cohorts: list[CohortTable] = [CohortTable(name="all")]
    precheck: PrecheckTable = PrecheckTable()
    transfer: TransferTable = TransferTable()
    faults: FaultsTable = FaultsTable()
    report: ReportTable = ReportTable()
    rollout: RolloutTable = RolloutTable()
