"""A scenario as the rest of simlib sees it: frozen facts in base units, already checked.

`schema` reads and checks what a person typed and produces these; nothing here parses or validates.
Units are in the names: bytes, milliseconds, bytes per second. Probabilities and shares are exact
fractions, made from the decimal text the person wrote, so that no rounding differs between machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from simlib.scenario.distributions import Distribution
from simlib.scenario.field_model import (
    AlertSpec,
    BackupSpec,
    ChannelSpec,
    DefectSpec,
    DisclosureSpec,
    HabitSpec,
    HarmSpec,
    InventorySpec,
    OutageSpec,
    OwnerSpec,
    RecoverySpec,
    ValidationSpec,
    ZoneSpec,
)


@dataclass(frozen=True, slots=True)
class StepWeights:
    """How often a step of a synthetic chain that may be "any" is of each kind; only their ratios count.

    The defaults were fitted to the releases of some nine public projects, and say what those projects do.
    """

    rebuild: Fraction = Fraction("0.124")  # nothing but what a build stamps
    patch: Fraction = Fraction("0.349")  # a few functions edited
    minor: Fraction = Fraction("0.189")  # some edited and added
    major: Fraction = Fraction("0.176")  # many, and a quarter recompiled
    toolchain: Fraction = Fraction("0.160")  # nearly everything recompiled


@dataclass(frozen=True, slots=True)
class ReleaseSpec:
    """The firmware chain and how its newest member is shipped."""

    source: str  # "synthetic", "corpus:NAME" or "files"
    files: tuple[str, ...]  # with "files": raw binaries, oldest first, newest last
    seed: int  # of the synthetic bytes and the derived keys; apart from the scenario's seed
    size_bytes: int  # of the newest synthetic firmware
    base_size_bytes: int  # of the older synthetic firmwares
    steps: tuple[str, ...]  # kinds, one between each two firmwares; "any": drawn by `step_weights`
    payload: str  # "full" or "delta"
    codec: str  # of patches
    full_above: Fraction  # a patch larger than this share of the (compressed) full artefact is not offered
    encrypted: bool  # for the devices' decryption key
    signature: str  # "ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048" or "rsa-3072"
    hardware: tuple[str, ...]  # that the release is for; empty: every hardware
    published_ms: tuple[int, ...]  # when the last members of the chain became available, the newest last
    stepping_stones: tuple[int, ...]  # releases behind the newest that older devices have to pass through
    security_counters: str  # "raise": each release has a higher one; "keep": all have the same
    cipher: str = "aes-256"  # of an encrypted release: "aes-256" or "aes-128"
    key_wrap: str = "ecies-p256"  # how a content key travels to the devices: "ecies-p256" or "x25519"
    keys: str = "file"  # where the private keys are kept: "file" or "pkcs11"
    load_address: int = 0  # where images run in RAM; 0: they run in flash
    variation: str = "typical"  # a step does what its kind does: "typical", or as varied as in the "corpus"
    step_weights: StepWeights = StepWeights()
    full_codec: str = "none"  # a compressed full artefact is made beside the raw one, with this codec
    patches: str = "newest"  # bases that patches are made for: the "newest", by "population" or by "saving"
    patch_limit: int = 0  # how many bases; 0: every older firmware


@dataclass(frozen=True, slots=True)
class CohortSpec:
    """A part of the fleet that is alike."""

    name: str
    share: Fraction  # of the fleet
    hardware: str  # revision, as manifests name it
    layout: str  # of `simlib.device.layouts`
    slot_size_bytes: int  # of each slot
    download_size_bytes: int  # of the partition a patch is kept in; 0: none
    sector_size_bytes: int  # what one erase clears
    write_size_bytes: int  # least the flash writes at once
    erased_value: int  # of a byte: 255 or 0
    flash: str  # calibration profile names
    core: str  # calibration profile of its processor
    radio: str  # calibration profile, without a channel
    base_mix: tuple[Fraction, ...]  # share running the firmware 1, 2, … releases behind the newest
    link: tuple[str, ...]  # a device is on one of these, each as likely
    rates_bps: tuple[int, ...]  # a device's own rate is one of these [byte/s], each as likely
    channel: str  # name of a channel, which then decides rates and radio energy; "": radio and rates do
    habit: str  # name of a habit; "": there at each scheduled check-in
    owner: str  # name of an owner; "": nobody is asked, and no phone is needed
    cell: str  # name of a battery profile; "": the charge is drawn anew at each look
    weak_link: Fraction  # probability that the link is weak at a check-in
    battery_low: Fraction  # the charge at a check-in is uniform between these, as shares of full
    battery_high: Fraction
    wake_period_ms: int  # between scheduled check-ins
    wake_presence: Fraction  # probability that a scheduled check-in takes place
    reboot_ms: int  # beside the boot loader's own work
    self_test_ms: int  # of the trial
    secondary_size_bytes: int = 0  # of the second slot; 0: what its layout takes
    secondary_sector_bytes: int = 0  # what one erase clears in it; 0: as elsewhere
    scratch_size_bytes: int = 0  # of a scratch area; 0: what its layout takes
    downgrade_prevention: bool = False  # overwrite-only refuses a lower version
    counter_store: str = "fuses"  # where the security counter is: "fuses", "flash" or "tpm"
    ram_bytes: int = 0  # what installing may take; 0: as much as it does
    wake_spread: Fraction = Fraction(1)  # share of the period over which scheduled check-ins are spread


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """A link that many devices share."""

    name: str
    capacity_bps: int  # [byte/s]
    outages: tuple[OutageSpec, ...]


@dataclass(frozen=True, slots=True)
class PrecheckSpec:
    """What a device checks before it starts."""

    storage: bool  # whether the artefact has room
    battery: Fraction  # least charge, as a share of full; 0: not checked
    battery_gate: str  # "share": the guess above; "energy": what the update takes, and a reserve
    battery_reserve: Fraction  # of a full battery, left after the update and its revert
    link: bool  # whether the link is strong
    deferrals: int  # how often a device may be put off before it counts as deferred


@dataclass(frozen=True, slots=True)
class TransferSpec:
    """How a download goes on after a drop."""

    resume: bool  # whether a download goes on after a drop
    granule_bytes: int  # a resumed download goes on from the last whole granule
    attempts: int  # downloads or installs a device tries before it gives up
    backoff_ms: int  # doubled after each attempt
    backoff_max_ms: int  # longest wait
    stall_ms: int  # a transfer on a dead link is given up after this; 0: never
    jitter: str  # "none", "equal", "full" or "decorrelated"
    rounds: int  # how often a device is offered the release: once, and again after it failed or was deferred
    retry_after_ms: int  # between two rounds
    retry_deferred: bool = True  # a device that was deferred has further rounds too
    hold_off_ms: int = 0  # a device waits up to so long between an offer and its download


@dataclass(frozen=True, slots=True)
class FaultsSpec:
    """Causes of failure; what they lead to is computed."""

    drop: Fraction  # a transfer breaks off
    drop_weak: Fraction  # the same on a weak link
    corruption: Fraction  # one bit of the artefact arrives flipped
    forged: Fraction  # whoever relays the artefact hands on something else
    forgery: str  # what: "resigned", "altered" or "truncated"
    power_cut: Fraction  # power fails between the start of an install and the end of its reboot
    tear: str  # what the flash operation under the cut leaves: "none", "partial" or "garbage"
    power_off_ms: int  # until power returns
    defect: Fraction  # the new firmware's self-test fails on a device
    defect_hardware: tuple[str, ...]  # where; empty: everywhere
    stale_inventory: Fraction  # the server's record of a device's version is one release behind the truth


@dataclass(frozen=True, slots=True)
class ReportSpec:
    """How a device's report reaches the server."""

    delay_ms: int  # from the end to the server
    late: Fraction  # chance that it comes later still
    late_by: Distribution | None  # how much later
    lost: Fraction  # chance that it never arrives
    resends: int  # how often a device sends a lost report again
    resend_ms: int  # between two sendings
    duplicated: Fraction  # chance that it arrives twice
    premature: Fraction  # chance that success is reported before the reboot that would prove it


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """One group of a staged rollout."""

    share: Fraction | None  # None in the last group: what is left
    success_threshold: Fraction  # share of the group that must report success before the soak starts
    error_threshold: Fraction  # more than this share of the judged failing halts the rollout
    min_sample: int  # judged devices needed before the error threshold counts
    soak_ms: int  # after the group has passed, before the next one opens
    gate: str = "threshold"  # what halts the rollout: see `simlib.rollout.gates`
    gate_level: Fraction = Fraction(1, 20)  # chance of a false alarm that a statistical gate keeps
    gate_power: Fraction = Fraction(9, 10)  # chance to detect a rate of `gate_bad`, for those that plan it
    gate_bad: Fraction = Fraction(1, 10)  # the failure rate that must not be overlooked


@dataclass(frozen=True, slots=True)
class RolloutSpec:
    """Who is offered the release, and when."""

    policy: str  # who decides: "staged", or an update service
    interval_ms: int  # the service looks at its counters this often
    deadline_ms: int  # a device that began and has not reported its end by then counts as failed
    abort_downloads: bool  # at a halt, downloads under way are broken off
    window: tuple[int, int] | None  # installs start only within [from, to) of the day, ms after midnight
    window_clock: str  # whose midnight: "utc" or "local"
    window_ends: str  # a download under way when it closes: "finish" or "cut"
    groups: tuple[GroupSpec, ...]
    verdicts: str = "first"  # a device that failed counts so at once, or after its "last" round
    enforce_local_ms: int | None = None  # by its own clock, a device installs when this long has passed
    config: str = ""  # the update service's own configuration as JSON; "": made from the groups


@dataclass(frozen=True, slots=True)
class ScenarioSpec:
    """Everything one run needs; the same specification gives the same digest on every machine."""

    name: str
    title: str  # for people
    seed: int  # of the fleet's luck
    devices: int  # in the fleet; an inventory has its own number
    horizon_ms: int  # how long the run lasts
    timeline_ms: int  # between two samples of the timeline
    weekday: int  # of the day the scenario starts with, in UTC; Monday is 0
    release: ReleaseSpec
    links: tuple[LinkSpec, ...]
    zones: tuple[ZoneSpec, ...]
    channels: tuple[ChannelSpec, ...]
    habits: tuple[HabitSpec, ...]
    owners: tuple[OwnerSpec, ...]
    cohorts: tuple[CohortSpec, ...]
    inventory: InventorySpec
    precheck: PrecheckSpec
    transfer: TransferSpec
    faults: FaultsSpec
    defects: tuple[DefectSpec, ...]
    validation: ValidationSpec
    backup: BackupSpec
    report: ReportSpec
    rollout: RolloutSpec
    recovery: RecoverySpec
    disclosure: DisclosureSpec
    harm: HarmSpec
    alerts: AlertSpec
    sources: tuple[tuple[str, str], ...]  # pattern of keys to "label: source"

    @property
    def base_shares(self) -> tuple[Fraction, ...]:
        """The share of the fleet that runs the firmware 1, 2, … releases behind the newest."""
        longest = max(len(cohort.base_mix) for cohort in self.cohorts)
        return tuple(
            sum((c.share * c.base_mix[n] for c in self.cohorts if n < len(c.base_mix)), Fraction(0))
            for n in range(longest)
        )
