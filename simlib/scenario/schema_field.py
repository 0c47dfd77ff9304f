"""The keys of a scenario about what happens in the field: habits, owners, channels, defects, recovery, harm.

See `simlib.scenario.schema` for the rules and `simlib.scenario.field_model` for what the facts mean. Defaults
switch a cause off: a scenario that names none of these tables has none of these causes.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Final

from pydantic import Field

from simlib.scenario import leaves
from simlib.scenario.leaves import (
    DAY,
    HOUR,
    KIB,
    MIB,
    SECOND,
    Flag,
    Label,
    Period,
    Share,
    Span,
    Spread,
    Table,
    Texts,
)

KINDS: Final = ("ble", "wifi", "wifi-direct", "nfc", "lte-m", "nb-iot", "lora-multicast")
PHYS: Final = ("", "1M", "2M", "coded-s2", "coded-s8", "sf7", "sf8", "sf9", "sf10", "sf11", "sf12")
RELAYS: Final = ("none", "phone-wifi", "phone-cellular", "gateway")
RELAY_MODES: Final = ("stream", "store")
EFFECTS: Final = ("crash", "boot-loop", "drain", "lost-bond", "lost-certificate", "corrupted-settings")
AFTERWARDS: Final = ("install", "give-up")
BACKUPS: Final = ("none", "flash", "phone", "cloud")
ON_HALT: Final = ("stop", "forward-fix", "rollback", "resume")
FORMATS: Final = ("auto", "csv", "parquet")

_Rate = Annotated[int, leaves.rate(1, 10**9)]
_Size = Annotated[int, leaves.size(0, 64 * MIB)]
_Price = Annotated[Fraction | None, leaves.leaf(leaves.optional(leaves.price))]
_Pair = Annotated[tuple[Fraction, Fraction], leaves.leaf(leaves.charges)]
_TimeOfDay = Annotated[int, leaves.leaf(leaves.time_of_day)]
ONE: Final = Fraction(1)
NONE: Final = Fraction(0)


class OutageTable(Table):
    """An element of ``links.N.outages``."""

    from_: Span = Field(alias="from")
    length: Period
    capacity: Annotated[int, leaves.rate(0, 10**12)] = 0


class ZoneTable(Table):
    """An element of ``zones``."""

    name: Label
    utc_offset: Annotated[int, leaves.leaf(leaves.utc_offset)] = 0
    share: Share = ONE


class ChannelTable(Table):
    """An element of ``channels``."""

    name: Label
    kind: Annotated[str, leaves.choice(*KINDS)]
    radio: Label
    phy: Annotated[str, leaves.choice(*PHYS)] = ""
    interval: Annotated[int, leaves.leaf(leaves.micros)] = 30_000
    data_length: Annotated[int, leaves.count(27, 251)] = 251
    att_mtu: Annotated[int, leaves.count(23, 517)] = 247
    packets_per_event: Annotated[int, leaves.count(0, 1000)] = 0
    loss: Share = NONE
    rates: list[_Rate] = []
    range_m: Annotated[int, leaves.count(1, 100_000)] = 200
    distance_m: Annotated[tuple[int, int], leaves.leaf(leaves.metres)] = (1, 1)
    fragment: Annotated[int, leaves.size(1, 242)] = (
        48  # what LoRaWAN carries at every spreading factor in EU868
    )
    redundancy: Share = Fraction(1, 5)
    duty_cycle: Share = Fraction(1, 100)
    session_every: Period = DAY
    relay: Annotated[str, leaves.choice(*RELAYS)] = "none"
    relay_mode: Annotated[str, leaves.choice(*RELAY_MODES)] = "stream"
    relay_rates: list[_Rate] = []


class HabitTable(Table):
    """An element of ``habits``."""

    name: Label
    by_hour: list[Share] = [ONE] * 24
    by_weekday: list[Share] = [ONE] * 7
    gaps: Spread = None
    dormant: Share = NONE
    dormant_for: Spread = None
    online: Spread = None
    offline: Spread = None
    charge: Share = ONE
    charge_from: _TimeOfDay = 22 * HOUR
    charge_for: Period = 6 * HOUR
    use: _Pair = (NONE, NONE)


class OwnerTable(Table):
    """An element of ``owners``."""

    name: Label
    automatic: Share = ONE
    prompted: Share = NONE
    never: Share = NONE
    accept: Share = ONE
    postponements: Annotated[int, leaves.count(0, 1000)] = 3
    then: Annotated[str, leaves.choice(*AFTERWARDS)] = "install"
    phone: Flag = False
    foreground: Share = ONE
    session: Spread = None
    background_budget: Period = 30 * SECOND
    phone_battery: _Pair = (ONE, ONE)
    phone_battery_least: Share = NONE
    permit_bluetooth: Share = ONE
    permit_background: Share = ONE
    permit_notifications: Share = NONE
    notified: Share = NONE
    reaction: Spread = None
    repairs: Share = NONE
    repairs_after: Spread = None
    replaces: Share = NONE
    replaces_after: Spread = None


class DefectTable(Table):
    """An element of ``defects``."""

    name: Label
    probability: Share = ONE
    prevalence: Share = ONE
    hardware: list[Label] = []
    layouts: list[Label] = []
    base_versions: list[Annotated[int, leaves.count(1, 63)]] = []
    onset: Spread = None
    visible: Flag = True
    effect: Annotated[str, leaves.choice(*EFFECTS)] = "crash"
    drain_uw: Annotated[int, leaves.count(0, 10**9)] = 0


class ValidationTable(Table):
    """The table ``validation``."""

    self_test: Flag = True
    bluetooth: Flag = False
    bluetooth_time: Span = 10 * SECOND
    certificate: Flag = False
    settings: Flag = False
    probation: Span = 0


class BackupTable(Table):
    """The table ``backup``."""

    to: Annotated[str, leaves.choice(*BACKUPS)] = "none"
    size: _Size = 16 * KIB
    reserve: _Size = 16 * KIB
    required: Flag = False
    rate: _Rate = 10_000


class RecoveryTable(Table):
    """The table ``recovery``."""

    on_halt: Annotated[str, leaves.choice(*ON_HALT)] = "stop"
    delay: Span = 2 * DAY
    resign: Flag = False
    step: Annotated[str, leaves.choice("rebuild", "patch", "minor", "major", "toolchain")] = "patch"


class DisclosureTable(Table):
    """The table ``disclosure``."""

    reported: Annotated[int | None, leaves.leaf(leaves.optional(leaves.signed_duration))] = None
    embargo: Span = 30 * DAY
    exploit: Span = 0


class HarmTable(Table):
    """The table ``harm``."""

    currency: Label = "EUR"
    recall_per_brick: _Price = None
    per_gigabyte: _Price = None
    per_delivery: _Price = None
    per_exposed_device_day: _Price = None


class InventoryTable(Table):
    """The table ``inventory``."""

    file: Annotated[str, leaves.leaf(leaves.text)] = ""
    format: Annotated[str, leaves.choice(*FORMATS)] = "auto"
    columns: Texts = {}
    zones: Texts = {}
    versions: Texts = {}
    seen_before: Period = 14 * DAY


class AlertsTable(Table):
    """The table ``alerts``."""

    failure_rate: Share = ONE
    min_sample: Annotated[int, leaves.count(1, 10**9)] = 20
    stalled: Span = 0
    silent: Span = 0
    outdated: Span = 0
    storm: Share = NONE
