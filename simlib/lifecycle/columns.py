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
    target: Ints  # chain index of the release for this device
    wake_phase_ms: Ints
    faults: Ints  # row of `fault_*`, or NO_ROW
    defective: Ints  # 1: the new firmware's self-test fails here
    # constants of a cohort
    wake_period_ms: Ints
    wake_below: Ints  # a scheduled check-in takes place if its draw is below this
    battery_low_below: Ints  # the charge is too low for the pre-check if its draw is below this
    weak_below: Ints
    reboot_ms: Ints
    self_test_ms: Ints
    rx_pj_per_byte: Ints
    in_place: (
        Ints  # 1: the layout has no second slot, so a failed install leaves the device to its boot loader
    )
    full: Ints  # artefact number of the full image
    # constants of an artefact, and of an artefact for a cohort (row cohort * artefacts + artefact)
    wire_bytes: Ints
    room: Ints  # 1: the layout has room for it
    # what the bench found: rows of `move_*`; NO_ROW where it cannot happen
    on_install: Ints  # row state * artefacts + artefact
    on_boot: Ints  # row state
    on_confirm: Ints  # row state
    fault_install: Ints  # row fault * attempts + install number; NO_ROW: no fault in this install
    fault_boot: Ints  # the same for the boot that follows it
    move_state: Ints  # state afterwards
    move_verdict: Ints  # reason code; 0 means none
    move_running: Ints  # after a boot: chain index of the firmware that runs, NO_ROW if nothing boots
    move_cut: Ints  # 1: power was cut in it
    move_ms: Ints
    move_flash_uj: Ints
    move_compute_uj: Ints
    # one row: the scenario's numbers
    rules: Ints  # see RULE_*
    halted: Ints  # one row: RUNNING, HALT_OFFERS or HALT_DOWNLOADS
    # state of a device
    phase: Ints
    artefact: Ints  # being installed; NO_ROW: none fits
    state: Ints  # of the bench
    wakes: Ints  # how many check-ins were put off
    attempts: Ints
    installs: Ints
    left_bytes: Ints  # still to download
    kept_bytes: Ints  # downloaded and worth keeping
    run_bytes: Ints  # of the transfer under way
    outcome: Ints
    reason: Ints
    reported: Ints  # outcome code the server believes, NO_ROW before any report
    running: Ints  # chain index of the firmware that runs, NO_ROW if nothing boots
    offered_ms: Ints
    started_ms: Ints
    finished_ms: Ints
    reported_ms: Ints
    bytes_down: Ints
    bytes_wasted: Ints
    radio_uj: Ints
    flash_uj: Ints
    compute_uj: Ints


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
RULES: Final = 16

RUNNING: Final = 0
HALT_OFFERS: Final = 1  # nobody is offered anything any more
HALT_DOWNLOADS: Final = 2  # and downloads under way are broken off
