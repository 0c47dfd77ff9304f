"""The keys of a scenario: what each holds, its default, its limits.

Each table of the document is a model that refuses unknown keys; each leaf is read by one function of
`simlib.scenario.leaves` or of this module, so that nothing is converted silently. Tables about what happens
in the field are in `simlib.scenario.schema_field`. What has to hold between keys (shares that sum to 1, links
that exist) is checked on the finished facts by `simlib.scenario.consistency`.
Defaults are in base units.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Final

from pydantic import Field

from simlib.scenario import leaves, units
from simlib.scenario.leaves import (
    DAY,
    HOUR,
    KIB,
    MIB,
    MINUTE,
    REST,
    SECOND,
    WEEKDAYS,
    Flag,
    Image,
    Label,
    Period,
    Share,
    Span,
    Spread,
    Table,
    Texts,
)
from simlib.scenario.schema_field import (
    AlertsTable,
    BackupTable,
    ChannelTable,
    DefectTable,
    DisclosureTable,
    HabitTable,
    HarmTable,
    InventoryTable,
    OutageTable,
    OwnerTable,
    RecoveryTable,
    ValidationTable,
    ZoneTable,
)

__all__ = ["DAY", "MINUTE", "REST", "Table"]

SCHEMA: Final = 1
SOURCES: Final = ("synthetic", "corpus:NAME", "files")
STEP_KINDS: Final = ("rebuild", "patch", "minor", "major", "toolchain")
ANY_STEP: Final = "any"
VARIATIONS: Final = ("typical", "corpus")
PAYLOADS: Final = ("full", "delta")
CODECS: Final = (
    "bsdiff4",
    "detools-heatshrink",
    "detools-crle",
    "detools-lzma",
    "detools-in-place-heatshrink",
    "detools-in-place-crle",
    "detools-in-place-lzma",
    "hdiffpatch-lzma2",
    "hpatchlite-tuz",
    "zstd-patch-from",
)
NO_CODEC: Final = "none"
FULL_CODECS: Final = ("full-heatshrink", "full-lzma", "full-zstd")
PATCH_CHOICES: Final = ("newest", "population", "saving")
SIGNATURES: Final = ("ecdsa-p256", "ed25519", "rsa-3072", "ecdsa-p384", "rsa-2048")
CIPHERS: Final = ("aes-256", "aes-128")
KEY_WRAPS: Final = ("ecies-p256", "x25519")
KEY_STORES: Final = ("file", "pkcs11")
LAYOUTS: Final = (
    "swap-move",
    "swap-scratch",
    "swap-offset",
    "overwrite-only",
    "direct-xip",
    "direct-xip-revert",
    "ram-load",
    "in-place-journal",
    "single-slot",
)
COUNTER_STORES: Final = ("fuses", "flash", "tpm")
TEARS: Final = ("none", "partial", "garbage")
FORGERIES: Final = ("resigned", "altered", "truncated")
POLICIES: Final = (
    "staged",
    "hawkbit",
    "aws-iot",
    "mender",
    "nebraska",
    "azure",
    "percentage",
    "deadline",
    "state",
    "automatic",
)
GROUP_GATES: Final = ("threshold", "wilson", "sprt", "mixture", "mann-whitney", "none")
JITTERS: Final = ("none", "equal", "full", "decorrelated")
COUNTERS: Final = ("raise", "keep")
GATES: Final = ("share", "energy")
_CORPUS: Final = re.compile(r"corpus:[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _schema_number(value: object) -> int:
    if leaves.whole_number(value) != SCHEMA:
        raise units.ExpectedError(f"{SCHEMA}, the only schema this version reads")
    return SCHEMA


def _source(value: object) -> str:
    return (
        value if isinstance(value, str) and _CORPUS.fullmatch(value) else leaves.one_of(value, SOURCES[::2])
    )


def _weekday(value: object) -> int:
    return WEEKDAYS.index(leaves.one_of(value, WEEKDAYS))


class StepWeightsTable(Table):
    """The table ``release.step_weights``."""

    rebuild: Share = Fraction("0.124")
    patch: Share = Fraction("0.349")
    minor: Share = Fraction("0.189")
    major: Share = Fraction("0.176")
    toolchain: Share = Fraction("0.160")


class ReleaseTable(Table):
    """The table ``release``."""

    source: Annotated[str, leaves.leaf(_source)] = "synthetic"
    files: list[Annotated[str, leaves.leaf(leaves.text)]] = []
    seed: Annotated[int, leaves.count(0, (1 << 64) - 1)] = 1
    size: Image = 256 * KIB
    base_size: Annotated[int | None, leaves.size(1, 64 * MIB)] = None  # as large as the newest
    steps: list[Annotated[str, leaves.choice(*STEP_KINDS, ANY_STEP)]] = ["minor"]
    payload: Annotated[str, leaves.choice(*PAYLOADS)] = "delta"
    codec: Annotated[str, leaves.choice(*CODECS)] = "bsdiff4"
    full_above: Share = Fraction(4, 5)
    encrypted: Flag = True
    signature: Annotated[str, leaves.choice(*SIGNATURES)] = "ecdsa-p256"
    hardware: list[Label] = []
    published: list[Span] = [0]
    stepping_stones: list[Annotated[int, leaves.count(1, 63)]] = []
    security_counters: Annotated[str, leaves.choice(*COUNTERS)] = "raise"
    cipher: Annotated[str, leaves.choice(*CIPHERS)] = "aes-256"
    key_wrap: Annotated[str, leaves.choice(*KEY_WRAPS)] = "ecies-p256"
    keys: Annotated[str, leaves.choice(*KEY_STORES)] = "file"
    load_address: Annotated[int, leaves.count(0, (1 << 32) - 1)] = 0
    variation: Annotated[str, leaves.choice(*VARIATIONS)] = "typical"
    step_weights: StepWeightsTable = StepWeightsTable()
    full_codec: Annotated[str, leaves.choice(NO_CODEC, *FULL_CODECS)] = NO_CODEC
    patches: Annotated[str, leaves.choice(*PATCH_CHOICES)] = "newest"
    patch_limit: Annotated[int, leaves.count(0, 63)] = 0


class LinkTable(Table):
    """An element of ``links``."""

    name: Label
    capacity: Annotated[int, leaves.rate(1, 10**12)] = 125_000_000
    outages: list[OutageTable] = []


class CohortTable(Table):
    """An element of ``cohorts``."""

    name: Label
    share: Share = Fraction(1)
    hardware: Label = "rev-a"
    layout: Annotated[str, leaves.choice(*LAYOUTS)] = "swap-move"
    slot_size: Image = 512 * KIB
    download_size: Annotated[int, leaves.size(0, 64 * MIB)] = 256 * KIB
    sector_size: Annotated[int, leaves.size(512, MIB)] = 4 * KIB
    write_size: Annotated[int, leaves.leaf(leaves.write_size)] = 4
    erased_value: Annotated[int, leaves.leaf(leaves.erased_value)] = 0xFF
    flash: Label = "nrf52840"
    core: Label = "cortex-m4-64mhz"
    radio: Label = "ble-2m-nrf52840"
    base_mix: list[Share] = [Fraction(1)]
    link: Annotated[tuple[str, ...], leaves.leaf(leaves.names)] = ("backend",)
    rates: list[Annotated[int, leaves.rate(1, 10**9)]] = [50_000]
    channel: Annotated[str, leaves.leaf(leaves.label_or_none)] = ""
    habit: Annotated[str, leaves.leaf(leaves.label_or_none)] = ""
    owner: Annotated[str, leaves.leaf(leaves.label_or_none)] = ""
    cell: Annotated[str, leaves.leaf(leaves.label_or_none)] = ""
    weak_link: Share = Fraction(0)
    battery: Annotated[tuple[Fraction, Fraction], leaves.leaf(leaves.charges)] = (Fraction(1, 5), Fraction(1))
    wake_period: Period = HOUR
    wake_presence: Share = Fraction(1)
    wake_spread: Share = Fraction(1)
    reboot: Span = 2 * SECOND
    self_test: Span = 10 * SECOND
    secondary_size: Annotated[int, leaves.size(0, 64 * MIB)] = 0
    secondary_sector: Annotated[int, leaves.size(0, MIB)] = 0
    scratch_size: Annotated[int, leaves.size(0, 64 * MIB)] = 0
    downgrade_prevention: Flag = False
    counter_store: Annotated[str, leaves.choice(*COUNTER_STORES)] = "fuses"
    ram: Annotated[int, leaves.size(0, 1 << 30)] = 0


class PrecheckTable(Table):
    """The table ``precheck``."""

    storage: Flag = True
    battery: Share = Fraction(3, 10)
    battery_gate: Annotated[str, leaves.choice(*GATES)] = "share"
    battery_reserve: Share = Fraction(1, 20)
    link: Flag = True
    deferrals: Annotated[int, leaves.count(0, 10**6)] = 20


class TransferTable(Table):
    """The table ``transfer``."""

    resume: Flag = True
    granule: Annotated[int, leaves.size(1, MIB)] = 4 * KIB
    attempts: Annotated[int, leaves.count(1, 1000)] = 5
    backoff: Span = MINUTE
    backoff_max: Span = HOUR
    stall: Span = MINUTE
    jitter: Annotated[str, leaves.choice(*JITTERS)] = "none"
    rounds: Annotated[int, leaves.count(1, 1000)] = 1
    retry_after: Span = DAY
    hold_off: Annotated[int, leaves.duration(0, (1 << 31) - 1)] = 0
    retry_deferred: Flag = True


class FaultsTable(Table):
    """The table ``faults``: causes, never outcomes."""

    drop: Share = Fraction(0)
    drop_weak: Share = Fraction(0)
    corruption: Share = Fraction(0)
    forged: Share = Fraction(0)
    forgery: Annotated[str, leaves.choice(*FORGERIES)] = "resigned"
    power_cut: Share = Fraction(0)
    tear: Annotated[str, leaves.choice(*TEARS)] = "partial"
    power_off: Span = MINUTE
    defect: Share = Fraction(0)
    defect_hardware: list[Label] = []
    stale_inventory: Share = Fraction(0)


class ReportTable(Table):
    """The table ``report``."""

    delay: Span = 2 * SECOND
    late: Share = Fraction(0)
    late_by: Spread = None
    lost: Share = Fraction(0)
    resends: Annotated[int, leaves.count(0, 100)] = 3
    resend: Span = HOUR
    duplicated: Share = Fraction(0)
    premature: Share = Fraction(0)


class GroupTable(Table):
    """An element of ``rollout.groups``."""

    share: Annotated[Fraction | None, leaves.leaf(leaves.group_share)] = None
    success_threshold: Share = Fraction(9, 10)
    error_threshold: Share = Fraction(1, 20)
    min_sample: Annotated[int, leaves.count(1, 10**9)] = 20
    soak: Span = HOUR
    gate: Annotated[str, leaves.choice(*GROUP_GATES)] = "threshold"
    gate_level: Share = Fraction(1, 20)
    gate_power: Share = Fraction(9, 10)
    gate_bad: Share = Fraction(1, 10)


class RolloutTable(Table):
    """The table ``rollout``."""

    policy: Annotated[str, leaves.choice(*POLICIES)] = "staged"
    config: Annotated[str, leaves.leaf(leaves.json_table)] = ""
    interval: Period = MINUTE
    deadline: Period = DAY
    abort_downloads: Flag = False
    window: Annotated[tuple[int, int] | None, leaves.leaf(leaves.window)] = None
    window_clock: Annotated[str, leaves.choice("utc", "local")] = "utc"
    window_ends: Annotated[str, leaves.choice("finish", "cut")] = "finish"
    verdicts: Annotated[str, leaves.choice("first", "last")] = "first"
    enforce_local: Annotated[int | None, leaves.leaf(leaves.optional(units.duration_ms))] = None
    groups: list[GroupTable] = [GroupTable()]


class ScenarioTable(Table):
    """The whole document."""

    schema_number: Annotated[int, leaves.leaf(_schema_number)] = Field(alias="schema")
    name: Annotated[str, leaves.leaf(leaves.file_name)]
    title: Annotated[str, leaves.leaf(leaves.text)] = ""
    seed: Annotated[int, leaves.count(0, (1 << 64) - 1)] = 1
    devices: Annotated[int, leaves.count(1, 10_000_000)] = 1000
    horizon: Period = 7 * DAY
    timeline: Period = HOUR
    weekday: Annotated[int, leaves.leaf(_weekday)] = 0
    release: ReleaseTable = ReleaseTable()
    links: list[LinkTable] = [LinkTable(name="backend")]
    zones: list[ZoneTable] = [ZoneTable(name="UTC")]
    channels: list[ChannelTable] = []
    habits: list[HabitTable] = []
    owners: list[OwnerTable] = []
    cohorts: list[CohortTable] = [CohortTable(name="all")]
    inventory: InventoryTable = InventoryTable()
    precheck: PrecheckTable = PrecheckTable()
    transfer: TransferTable = TransferTable()
    faults: FaultsTable = FaultsTable()
    defects: list[DefectTable] = []
    validation: ValidationTable = ValidationTable()
    backup: BackupTable = BackupTable()
    report: ReportTable = ReportTable()
    rollout: RolloutTable = RolloutTable()
    recovery: RecoveryTable = RecoveryTable()
    disclosure: DisclosureTable = DisclosureTable()
    harm: HarmTable = HarmTable()
    alerts: AlertsTable = AlertsTable()
    sources: Texts = {}
