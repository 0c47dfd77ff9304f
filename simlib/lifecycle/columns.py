"""What the life-cycle's functions read and write: integer columns, a row a device, cohort or transition.

Every attribute of `Fleet` is indexed (a list for the SimPy clock, an array for a compiled one) and holds
integers only, so that one set of functions serves every clock. Scalars that change are columns of one row.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

NEVER: Final = 1 << 62
"""A time that does not come."""
NO_ROW: Final = -1

Ints = Any
"""A mutable sequence of integers: a list or an integer array."""


class Fleet(NamedTuple):
    """All columns of one run."""

    # constants of a device
    key: Ints  # of its draws
    cohort: Ints
    kind: Ints  # row of `offer` and `room`: its cohort, or a variant of it with less storage
    zone_ms: Ints  # local time minus UTC
    link: Ints
    wake_phase_ms: Ints
    barred: Ints  # reason code of why it can never be reached; 0: it can
    rx_pj_per_byte: Ints
    tx_pj_per_byte: Ints
    free_bytes: Ints  # storage its inventory row says is free; NO_ROW: not said
    consent: Ints  # CONSENT_*
    background: Ints  # 1: the phone's system lets the app work in the background
    notifiable: Ints  # 1: the owner lets the app send notifications
    defect: Ints  # row of `defect_*`, or NO_ROW
    onset_ms: Ints  # from the first boot of the defective release until the defect shows
    use_uj_per_hour: Ints  # what a rechargeable device takes for its own work
    # constants of a cohort
    wake_period_ms: Ints
    wake_below: Ints  # a scheduled check-in takes place if its draw is below this
    by_week: Ints  # 1: `week_below` says it instead, by hour of the week
    week_below: Ints  # row cohort * 168 + hour of the local week
    leaves: Ints  # 1: its devices may be away for long
    breaks: Ints  # 1: a transfer may be broken off before its time (`until_ms`)
    gap_table: Ints  # start of a quantile table in `quantiles`, or NO_ROW: check-ins are scheduled
    online_table: Ints  # the same; NO_ROW: no absences
    offline_table: Ints
    weak_below: Ints
    reboot_ms: Ints
    self_test_ms: Ints  # with the reconnections that belong to it
    reboot_uj: Ints  # of the core
    self_test_uj: Ints
    probation_uj: Ints
    connect_ms: Ints
    connect_uj: Ints
    report_uj: Ints
    in_place: Ints  # 1: an install overwrites what runs, so a failed one leaves the device to its boot loader
    multicast_ms: Ints  # a session starts each so often; 0: transfers are the device's own
    phone: Ints  # 1: it is reached through a phone
    foreground_below: Ints
    session_table: Ints
    background_ms: Ints
    phone_low_below: Ints
    accept_below: Ints
    postponements: Ints
    install_then: Ints  # 1: after the last postponement it installs
    notified_below: Ints
    reaction_table: Ints
    repair_below: Ints
    repair_table: Ints
    replace_below: Ints
    replace_table: Ints
    battery_low_below: Ints  # without a cell: the charge is too low if its draw is below this
    cell_uj: Ints  # usable energy of a full battery; 0: not modelled
    gate_uj: Ints  # with a cell: what the pre-check by share asks for
    reserve_uj: Ints
    rechargeable: Ints
    idle_uj_per_hour: Ints  # self-discharge, sleep and polls
    charge_below: Ints
    charge_from_ms: Ints  # local time of day
    charge_for_ms: Ints
    backup_ms: Ints  # 0: no backup is made
    backup_radio_uj: Ints
    backup_flash_uj: Ints
    backup_compute_uj: Ints
    backup_bytes: Ints  # over the air
    restore_ms: Ints
    restore_radio_uj: Ints
    restore_flash_uj: Ints
    restore_compute_uj: Ints
    restore_bytes: Ints
    # constants of a link, and of an outage in which nothing moves
    outages_from: Ints  # rows of `outage_*`, from
    outages_to: Ints  # and to
    outage_from_ms: Ints
    outage_to_ms: Ints
    # constants of a defect
    defect_effect: Ints  # EFFECT_*
    defect_visible: Ints  # 1: the self-test sees it
    defect_uj_per_hour: Ints  # what it drains
    # constants of a member of the chain
    published_ms: Ints  # NEVER: not in flight
    stone: Ints  # 1: older devices have to pass through it
    # constants of an artefact, and of an artefact for a kind (row kind * artefacts + artefact)
    wire_bytes: Ints
    room: Ints  # 1: the device has room for it
    session_ms: Ints  # length of its multicast session
    listen_uj: Ints  # what listening to one takes
    offer: Ints  # artefact; row (kind * chain + recorded) * chain + target; NO_ROW: none fits
    without_patch: Ints  # the same but for patches; row kind * chain + target
    # what the bench found: rows of `move_*`; NO_ROW where nobody has asked it yet
    on_install: Ints  # row state * artefacts + artefact
    on_boot: Ints  # row state
    on_confirm: Ints  # row state
    on_need_uj: Ints  # row state * artefacts + artefact: energy from the install to a revert
    move_state: Ints  # state afterwards
    move_verdict: Ints  # reason code; 0 means none
    move_running: Ints  # after a boot: chain index of the firmware that runs, NO_ROW if nothing boots
    move_cut: Ints  # 1: power was cut in it
    move_ms: Ints
    move_flash_uj: Ints
    move_compute_uj: Ints
    quantiles: Ints  # all quantile tables, one behind the other
    # one row: the scenario's numbers
    rules: Ints  # see RULE_*
    halted: Ints  # one row: RUNNING, HALT_OFFERS or HALT_DOWNLOADS
    recovery_ms: Ints  # one row: when the operator's answer to a halt is offered
    # state of a device
    phase: Ints
    target: Ints  # chain index of the release it is taking or has taken last
    recorded: Ints  # chain index the server's inventory has for it
    artefact: Ints  # being installed; NO_ROW: none fits
    state: Ints  # of the bench
    look: Ints  # number of its latest check-in through a phone
    foreground: Ints  # 1: it is one with the app open
    session_until_ms: Ints  # the phone is there until then
    until_ms: Ints  # the transfer under way is broken off then; for cohorts with `breaks`
    stalls: Ints  # 1: because nothing has come for too long, which counts as a failure
    away_from_ms: Ints  # its current or next absence
    away_to_ms: Ints
    absences: Ints
    gap_at_ms: Ints  # its latest check-in, where they are not scheduled
    gaps: Ints
    notified_ms: Ints  # the owner opens the app because of a notification
    asked: Ints  # prompts put off
    agreed: Ints
    round: Ints  # how often it was offered something anew
    tries: Ints  # the same, of its present target
    began: Ints  # 1: a download of this round has begun
    wakes: Ints  # how many check-ins were put off
    put_off: Ints  # the same, in this round
    attempts: Ints
    failures: Ints  # attempts of this round that count against the limit
    installs: Ints
    wait_ms: Ints  # the latest back-off, where the next one depends on it
    sessions: Ints  # multicast sessions listened to for this artefact
    session_first: Ints  # number of the first of them
    heard_bytes: Ints  # in the latest
    heard_all: Ints  # 1: what was heard so far gives the artefact
    left_bytes: Ints  # still to download
    weak: Ints  # 1: the link was weak at the check-in
    kept_bytes: Ints  # downloaded and worth keeping
    run_bytes: Ints  # of the transfer under way
    plan: Ints  # PLAN_*: what the device does as soon as the bench's row for it is known
    move: Ints  # row of `move_*` under way
    special: Ints  # row the bench found for this device's faulty move, or NO_ROW
    special_boot: Ints  # the same for the boot after it
    going_back: Ints  # 1: the trial has failed, and the revert is not over
    browned: Ints  # 1: the cut under way is an empty battery's
    power_at_ms: Ints  # when power returns after it
    backed_up: Ints
    sick_ms: Ints  # when the defect shows, once the defective release is confirmed; NO_ROW: it does not
    shown: Ints  # 1: it has shown
    settings_lost: Ints
    drain_from_ms: Ints  # since when a defect drains the battery; NO_ROW: it does not
    leaked_uj: Ints  # what a defect that is gone has drained
    cell_since_ms: Ints
    cells: Ints  # batteries replaced
    start_uj: Ints  # charge of the present battery at `cell_since_ms`; NO_ROW: by its habit
    charged_ms: Ints  # the latest charge seen
    drained_uj: Ints  # taken by updates since then, where there is a cell
    reports: Ints  # sent
    resent: Ints
    error: Ints  # reason code of the step just taken, 0 if it went well
    outcome: Ints
    reason: Ints
    reported: Ints  # outcome code the server believes, NO_ROW before any report
    running: Ints  # chain index of the firmware that runs, NO_ROW if nothing boots
    offered_ms: Ints
    started_ms: Ints
    confirmed_ms: Ints  # the rollout's release or a later one, first
    finished_ms: Ints
    reported_ms: Ints
    bytes_down: Ints
    bytes_wasted: Ints
    bytes_up: Ints
    bytes_back: Ints
    radio_uj: Ints
    flash_uj: Ints
    compute_uj: Ints
    phase_uj: Ints  # row device * ENERGY_PHASES + ENERGY_*


# Rows of `Fleet.rules`.
RULE_STORAGE: Final = 0  # 1: the storage pre-check is on
RULE_LINK: Final = 1  # 1: the link pre-check is on
RULE_DEFERRALS: Final = 2
RULE_ATTEMPTS: Final = 3
RULE_RESUME: Final = 4
RULE_GRANULE: Final = 5
RULE_BACKOFF: Final = 6
RULE_BACKOFF_MAX: Final = 7
RULE_DROP_BELOW: Final = 8
RULE_DROP_WEAK_BELOW: Final = 9
RULE_POWER_OFF: Final = 10
RULE_REPORT_DELAY: Final = 11
RULE_WINDOW_FROM: Final = 12  # ms of the day; from == to: no window
RULE_WINDOW_TO: Final = 13
RULE_HORIZON: Final = 14
RULE_ARTEFACTS: Final = 15  # number of artefacts
RULE_CHAIN: Final = 16  # members of the chain
RULE_PRIMARY: Final = 17  # chain index of the release the rollout is about
RULE_RECOVERY: Final = 18  # chain index of what is offered after a halt, or NO_ROW
RULE_RECOVERY_KIND: Final = 19  # RECOVER_*
RULE_WINDOW_LOCAL: Final = 20
RULE_WINDOW_CUTS: Final = 21
RULE_WEEKDAY_MS: Final = 22  # from the Monday before to the start
RULE_BATTERY_GATE: Final = 23  # 1: by energy
RULE_JITTER: Final = 24  # JITTER_*
RULE_ROUNDS: Final = 25
RULE_RETRY_AFTER: Final = 26
RULE_CORRUPT_BELOW: Final = 27
RULE_FORGED_BELOW: Final = 28
RULE_CUT_BELOW: Final = 29
RULE_SELF_TEST: Final = 30  # 1: the post-update validation has it
RULE_BLUETOOTH: Final = 31
RULE_CERTIFICATE: Final = 32
RULE_SETTINGS: Final = 33
RULE_PROBATION: Final = 34
RULE_BACKUP_REQUIRED: Final = 35
RULE_BACKUP_FITS: Final = 36
RULE_LATE_BELOW: Final = 37
RULE_LATE_TABLE: Final = 38
RULE_LOST_BELOW: Final = 39
RULE_RESENDS: Final = 40
RULE_RESEND: Final = 41
RULE_TWICE_BELOW: Final = 42
RULE_PREMATURE_BELOW: Final = 43
RULE_STALL: Final = 44
RULE_FREE_TOLD: Final = 45  # 1: an inventory says what storage is free
RULE_HOLD_OFF: Final = 46  # longest wait between an offer and its download [ms]
RULE_ENFORCES: Final = 47  # 1: nothing is installed before RULE_ENFORCE_MS, by the device's own clock
RULE_ENFORCE_MS: Final = 48
RULE_LAST_VERDICT: Final = 49  # 1: a failure counts only after the last round
RULE_DEFERRED_ENDS: Final = 50  # 1: a deferred device has no further round
RULES: Final = 51

RUNNING: Final = 0
HALT_OFFERS: Final = 1  # nobody is offered anything any more
HALT_DOWNLOADS: Final = 2  # and downloads under way are broken off

AUTOMATIC, PROMPTED, REFUSES = 0, 1, 2
"""`Fleet.consent`."""

RECOVER_NOT, RECOVER_FORWARD, RECOVER_BACK = 0, 1, 2

JITTER_NONE, JITTER_EQUAL, JITTER_FULL, JITTER_DECORRELATED = 0, 1, 2, 3

EFFECT_CRASH, EFFECT_BOOT_LOOP, EFFECT_DRAIN, EFFECT_BOND, EFFECT_CERTIFICATE, EFFECT_SETTINGS = (
    0,
    1,
    2,
    3,
    4,
    5,
)
EFFECT_FAULTY: Final = 6  # the self-test fails, and that is all that is known

PLAN_NONE, PLAN_INSTALL, PLAN_BOOT, PLAN_CONFIRM, PLAN_REVERT = 0, 1, 2, 3, 4

ENERGY_DOWNLOAD, ENERGY_BACKUP, ENERGY_INSTALL, ENERGY_BOOT, ENERGY_TRIAL = 0, 1, 2, 3, 4
ENERGY_CONFIRM, ENERGY_REVERT, ENERGY_RESTORE, ENERGY_REPORT = 5, 6, 7, 8
ENERGY_PHASES: Final = 9
ENERGY_NAMES: Final = (
    "download",
    "backup",
    "install",
    "boot",
    "trial",
    "confirm",
    "revert",
    "restore",
    "report",
)
"""The parts of a device's energy, in the order of `Fleet.phase_uj`."""
