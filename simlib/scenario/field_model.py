"""What happens to a fleet in the field, as frozen facts: habits, owners, channels, defects, recovery, harm.

The other half of `simlib.scenario.model`: units are in the names, shares are exact fractions, and a quantity
that varies is a `Distribution`. Nothing here parses or validates.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from simlib.scenario.distributions import Distribution


@dataclass(frozen=True, slots=True)
class ZoneSpec:
    """A time zone without seasons: its offset from UTC never changes."""

    name: str
    offset_ms: int  # local time minus UTC, may be negative
    share: Fraction  # of the fleet


@dataclass(frozen=True, slots=True)
class OutageSpec:
    """A time during which a link has another capacity."""

    from_ms: int  # since the start
    length_ms: int  # of the outage
    capacity_bps: int  # [byte/s]; 0: nothing moves


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """How bytes reach a device: the last hop's radio protocol, and the hop before it.

    What a kind does not use is left at its default. `rates_bps` are goodputs a device may have, each as
    likely, for the kinds whose protocol does not decide it.
    """

    name: str
    kind: str  # "ble", "wifi", "wifi-direct", "nfc", "lte-m", "nb-iot" or "lora-multicast"
    radio: str  # name of a radio profile in data/calibration
    phy: str  # "1M", "2M", "coded-s2", "coded-s8" for ble; "sf7" to "sf12" for lora-multicast; else ""
    interval_us: int  # ble: connection interval
    data_length: int  # ble: most link-layer payload bytes of a packet, 27 to 251
    att_mtu: int  # ble: 23 to 517
    packets_per_event: int  # ble: what the phone allows in one connection event; 0: as many as fit
    loss: Fraction  # share of packets, frames or fragments that have to be sent again or are lost
    rates_bps: tuple[int, ...]  # goodputs, where the protocol does not decide them
    range_m: int  # wifi-direct
    distance_m: tuple[int, int]  # wifi-direct: of devices, uniform; beyond the range: unreachable
    fragment_bytes: int  # lora-multicast
    redundancy: Fraction  # lora-multicast: coded fragments sent beyond the data's, as a share of them
    duty_cycle: Fraction  # lora-multicast: share of the time the gateway may send
    session_every_ms: int  # lora-multicast: a session starts each so often, the first at 0
    relay: str  # the hop before: "none", "phone-wifi", "phone-cellular" or "gateway"
    relay_mode: str  # "stream": passed on as it comes; "store": fetched whole, then passed on
    relay_rates_bps: tuple[int, ...]  # goodputs of the hop before


@dataclass(frozen=True, slots=True)
class HabitSpec:
    """When devices of a kind are there: by hour and day of local time, between long absences, and charged."""

    name: str
    by_hour: tuple[Fraction, ...]  # 24 factors of the chance that a scheduled check-in takes place
    by_weekday: tuple[Fraction, ...]  # 7 factors, Monday first
    gaps: Distribution | None  # time between check-ins; None: they are scheduled by the cohort's wake_period
    dormant: Fraction  # share that is away at the start
    dormant_for: Distribution | None  # for how long yet
    online: Distribution | None  # time between two absences; None: no further absences
    offline: Distribution | None  # length of an absence
    charge: Fraction  # chance that a device is charged on a night
    charge_from_ms: int  # local time of day at which it is put on the charger
    charge_for_ms: int  # on the charger
    use_low: Fraction  # a device's own use takes between these shares of a full battery a day
    use_high: Fraction


@dataclass(frozen=True, slots=True)
class OwnerSpec:
    """Who decides over a device, and the phone it is reached through."""

    name: str
    automatic: Fraction  # shares that sum to 1: updates install by themselves,
    prompted: Fraction  # after a prompt,
    never: Fraction  # or are refused
    accept: Fraction  # chance that a prompt is accepted
    postponements: int  # how often it may be put off
    then: str  # after that: "install" or "give-up"
    phone: bool  # the device is reached through a phone's app
    foreground: Fraction  # share of check-ins with the app open; the others are the system's background runs
    session: Distribution | None  # how long the app stays open; None: as long as the transfer takes
    background_budget_ms: int  # what the system grants a background run
    phone_battery_low: Fraction  # the phone's charge is uniform between these
    phone_battery_high: Fraction
    phone_battery_least: Fraction  # under this the app defers the work
    permit_bluetooth: Fraction  # shares of owners who grant the platform's permissions
    permit_background: Fraction  # the app works while it is not open
    permit_notifications: Fraction  # the app may call the owner
    notified: Fraction  # chance that a notification makes the owner open the app
    reaction: Distribution | None  # how long after the notification
    repairs: Fraction  # chance that the owner pairs again after a lost bond
    repairs_after: Distribution | None  # how long after
    replaces: Fraction  # chance that the owner replaces an empty battery
    replaces_after: Distribution | None  # how long after


@dataclass(frozen=True, slots=True)
class DefectSpec:
    """A defect a release may have, told as a cause."""

    name: str
    probability: Fraction  # that the release has it at all
    prevalence: Fraction  # share of the devices below on which it shows
    hardware: tuple[str, ...]  # empty: every hardware
    layouts: tuple[str, ...]  # empty: every layout
    base_versions: tuple[int, ...]  # releases behind the newest from which it shows; empty: from every one
    onset: Distribution | None  # time after the first boot until it shows; None: at once
    visible: bool  # whether the self-test can see it
    effect: str  # see EFFECTS
    drain_uw: int  # with "drain": power it draws beside the device's own


@dataclass(frozen=True, slots=True)
class ValidationSpec:
    """What a device checks after the update, before it confirms."""

    self_test: bool  # of the firmware itself
    bluetooth: bool  # reconnects to the phone, and so sees a lost bond
    bluetooth_ms: int  # what reconnecting takes
    certificate: bool  # connects to the service, and so sees a lost certificate
    settings: bool  # compares the user's settings, and so sees corrupted ones
    probation_ms: int  # runs on unconfirmed for this long; what crashes meanwhile reverts


@dataclass(frozen=True, slots=True)
class BackupSpec:
    """A copy of the user's data made before the install."""

    to: str  # "none", "flash", "phone" or "cloud"
    size_bytes: int  # of the user's data
    reserve_bytes: int  # flash free for it; with less than the size the backup cannot be made
    required: bool  # no update without it
    rate_bps: int  # to and from phone or cloud


@dataclass(frozen=True, slots=True)
class RecoverySpec:
    """What the operator does after a halt."""

    on_halt: str  # "stop", "forward-fix", "rollback" or "resume": the halt is lifted
    delay_ms: int  # until the fix or the old image is offered, or the rollout goes on
    resign: bool  # with "rollback": the old firmware is signed again, under a counter that devices accept
    step: str  # with "forward-fix": the kind of step the fix is


@dataclass(frozen=True, slots=True)
class DisclosureSpec:
    """The vulnerability the release mends. Times are relative to the start; None: there is none."""

    reported_ms: int | None  # the maker learned of it; may be negative
    embargo_ms: int  # from the report to the publication
    exploit_ms: int  # from the publication to the first exploit


@dataclass(frozen=True, slots=True)
class HarmSpec:
    """Prices, in one currency of the user's. None: not stated, and so not counted."""

    currency: str  # of all prices
    recall_per_brick: Fraction | None  # of a bricked or lost device
    per_gigabyte: Fraction | None  # 10**9 bytes
    per_delivery: Fraction | None  # of an artefact to a device
    per_exposed_device_day: Fraction | None  # while the exploit is about


@dataclass(frozen=True, slots=True)
class InventorySpec:
    """A file that is the fleet. `columns` maps a field to the file's column."""

    file: str  # "": the fleet is drawn
    format: str  # "auto", "csv" or "parquet"
    columns: tuple[tuple[str, str], ...]  # field to the file's column
    zones: tuple[tuple[str, str], ...]  # the file's name of a zone to one of the scenario's
    versions: tuple[tuple[str, str], ...]  # the file's version to a label of the chain
    seen_before_ms: int  # last seen longer ago than this: away at the start


@dataclass(frozen=True, slots=True)
class AlertSpec:
    """When the service raises an alert."""

    failure_rate: Fraction  # of a group's judged devices; 1: never
    min_sample: int  # judged devices before a failure rate counts
    stalled_ms: int  # an open group without any report for this long; 0: never
    silent_ms: int  # a device that has updated and has not been heard of for this long; 0: never
    outdated_ms: int  # a device still on an old version this long after its group opened; 0: never
    storm: Fraction  # share of a link's capacity that is left to each transfer, of its own rate; 0: never
