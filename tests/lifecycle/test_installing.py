"""From a complete download to the end of a trial: faults, empty batteries, and defects."""

import pytest

from simlib.draws import CERTAIN
from simlib.lifecycle import Phase
from simlib.lifecycle import columns as rule
from simlib.lifecycle.codes import ASK_BROWN_OUT, SIGNAL_FAILED, SIGNAL_SUCCEEDED
from simlib.lifecycle.columns import HALT_OFFERS, NO_ROW
from simlib.lifecycle.steps import recover
from simlib.lifecycle.waiting import DAY_MS
from simlib.lifecycle.waiting import HOUR_MS as HOUR

OLD, NEW, FIX = 0, 1, 2
SIZE = 100_000
DOWNLOAD_UJ = SIZE * 150_000 // 10**6  # and each move takes 10 µJ
MINUTE = 60_000
UPDATED = ("updated", "none")


def times(d, phase):
    return [now for p, now in d.seen if p is phase]


def test_an_empty_battery_cuts_the_move_it_cannot_carry_and_the_device_is_lost_if_nobody_replaces_it(device):
    d = device(cell_uj=10**6, start_uj=DOWNLOAD_UJ + 9).live()
    assert ASK_BROWN_OUT in d.bench.asked and d.errors == ["brown-out"]
    assert d.end == ("lost", "battery-empty")
    assert d.fleet.reported_ms[0] == -1 and d.fleet.finished_ms[0] > 0
    assert d.fleet.bytes_wasted[0] == SIZE
    assert device(cell_uj=10**6, start_uj=DOWNLOAD_UJ + 30).live().end == UPDATED


def test_a_replaced_cell_starts_the_device_again_when_it_is_in(device):
    columns = {"cell_uj": 10**6, "replace_below": CERTAIN, "tables": {"replace_table": "2 d"}}
    d = device(start_uj=DOWNLOAD_UJ + 9, **columns).live()
    assert d.errors == ["brown-out", "power-cut"] and d.end == UPDATED
    (out,) = times(d, Phase.POWER_OFF)
    assert times(d, Phase.BACKING_OFF) == [out + 2 * DAY_MS + 2000 + 30]
    assert d.fleet.attempts[0] == 2


def test_a_swap_cut_by_an_empty_battery_is_resumed(device):
    columns = {"cell_uj": 10**6, "replace_below": CERTAIN, "tables": {"replace_table": "2 d"}}
    d = device(start_uj=DOWNLOAD_UJ + 15, **columns).live()
    assert d.errors == ["brown-out"] and d.end == UPDATED and d.fleet.attempts[0] == 1
    assert d.fleet.finished_ms[0] > 2 * DAY_MS


def test_a_rechargeable_device_starts_again_on_its_charger_and_browns_out_once(device):
    d = device(
        cell_uj=10**6,
        rechargeable=1,
        charge_below=CERTAIN,
        charge_from_ms=22 * HOUR,
        charge_for_ms=HOUR,
        start_uj=DOWNLOAD_UJ + 9,
    ).live()
    assert d.errors == ["brown-out", "power-cut"] and d.end == UPDATED
    assert times(d, Phase.BACKING_OFF) == [22 * HOUR + 2000 + 30]


def test_nothing_browns_out_on_the_charger(device):
    d = device(
        cell_uj=1, rechargeable=1, charge_below=CERTAIN, charge_from_ms=0, charge_for_ms=2 * HOUR, start_uj=0
    ).live()
    assert d.errors == [] and d.end == UPDATED


def test_a_revert_cut_by_an_empty_battery_is_finished_later(device):
    d = device(
        cell_uj=10**6,
        replace_below=CERTAIN,
        start_uj=DOWNLOAD_UJ + 25,
        tables={"replace_table": "2 d"},
        defect={"effect": rule.EFFECT_CRASH},
    ).live()
    assert d.errors == ["brown-out", "crash-loop"] and d.end == ("reverted", "crash-loop")
    assert d.fleet.running[0] == OLD and d.fleet.going_back[0] == 0


def test_a_defect_goes_with_the_release_that_an_empty_battery_took_back(device):
    # The confirmation is cut, so the boot loader goes back at the next boot.
    d = device(
        cell_uj=10**6,
        replace_below=CERTAIN,
        start_uj=DOWNLOAD_UJ + 25,
        tables={"replace_table": "1 h"},
        defect={"effect": rule.EFFECT_CRASH, "onset_ms": 5 * HOUR},
        rules={rule.RULE_ATTEMPTS: 1},
    ).live()
    assert d.ended and d.end == ("failed", "power-cut") and d.fleet.running[0] == OLD


@pytest.mark.parametrize("self_test", [0, 1])
def test_a_crash_in_the_trial_ends_it_and_reverts(device, self_test):
    d = device(
        defect={"effect": rule.EFFECT_CRASH, "onset_ms": 10_000}, rules={rule.RULE_SELF_TEST: self_test}
    ).live()
    assert d.end == ("reverted", "crash-loop") and d.fleet.running[0] == OLD
    (began,), (back,) = times(d, Phase.TRIAL), times(d, Phase.REVERTING)
    assert back - began == 10_000
    assert d.signals[-1][1] == SIGNAL_FAILED


def test_a_boot_loop_in_the_probation_reverts_late_and_one_after_it_is_for_good(device):
    loop = {"effect": rule.EFFECT_BOOT_LOOP, "onset_ms": HOUR}
    d = device(defect=loop, rules={rule.RULE_PROBATION: 2 * HOUR}).live()
    (began,), (back,) = times(d, Phase.TRIAL), times(d, Phase.REVERTING)
    assert d.end == ("reverted", "boot-loop") and back - began == HOUR
    d = device(defect=loop, rules={rule.RULE_PROBATION: HOUR // 2}).live()
    (began,) = times(d, Phase.TRIAL)
    assert d.end == ("lost", "boot-loop") and d.fleet.finished_ms[0] == began + HOUR
    assert d.signals[-1][1] == SIGNAL_SUCCEEDED  # it had told so


def test_a_release_that_passes_its_probation_confirms_when_it_is_over(device):
    d = device(rules={rule.RULE_PROBATION: 2 * HOUR}).live()
    assert d.end == UPDATED
    assert times(d, Phase.CONFIRMING)[0] - times(d, Phase.PROBATION)[0] == 2 * HOUR


def test_a_device_that_crashes_before_it_can_report_has_told_nobody(device):
    d = device(
        phone=1,
        tables={"session_table": "10 s"},
        defect={"effect": rule.EFFECT_CRASH, "onset_ms": HOUR},
    ).live()
    assert d.end == ("lost", "crash-loop") and d.fleet.confirmed_ms[0] > 0
    assert d.fleet.finished_ms[0] == times(d, Phase.TRIAL)[0] + HOUR
    assert d.fleet.reported[0] == NO_ROW and d.fleet.reports[0] == 0


CUT_OFF = [
    (rule.EFFECT_BOND, "bond-lost", rule.RULE_BLUETOOTH),
    (rule.EFFECT_CERTIFICATE, "certificate-lost", rule.RULE_CERTIFICATE),
]


@pytest.mark.parametrize("effect, reason, check", CUT_OFF)
def test_what_cuts_a_device_off_reverts_if_it_is_validated_and_leaves_it_mute_if_not(
    device, effect, reason, check
):
    mute = device(defect={"effect": effect}).live()
    assert mute.end == ("lost", reason) and mute.ended
    assert mute.fleet.confirmed_ms[0] > 0 and mute.fleet.reported[0] == NO_ROW
    assert mute.fleet.running[0] == NEW
    seen = device(defect={"effect": effect}, rules={check: 1}).live()
    assert seen.end == ("reverted", reason) and seen.fleet.confirmed_ms[0] == -1
    by_test = device(defect={"effect": effect, "visible": 1}).live()
    assert by_test.end == ("reverted", reason)


def test_no_validation_sees_what_shows_after_it(device):
    d = device(
        defect={"effect": rule.EFFECT_BOND, "visible": 1, "onset_ms": HOUR}, rules={rule.RULE_BLUETOOTH: 1}
    ).live()
    assert d.end == ("lost", "bond-lost")
    assert d.fleet.reported[0] != NO_ROW  # it had reported its success before


BACKUP = {
    "backup_ms": 500,
    "backup_flash_uj": 20,
    "backup_compute_uj": 2,
    "backup_bytes": 4000,
    "restore_ms": 700,
    "restore_flash_uj": 30,
    "restore_bytes": 4000,
}


def test_corrupted_settings_stay_corrupted_without_a_backup(device):
    d = device(defect={"effect": rule.EFFECT_SETTINGS}).live()
    assert d.end == ("updated", "settings-corrupted") and d.fleet.settings_lost[0] == 1


def test_corrupted_settings_are_put_back_from_a_backup(device):
    d = device(defect={"effect": rule.EFFECT_SETTINGS, "onset_ms": HOUR}, **BACKUP).live()
    assert d.end == UPDATED and d.fleet.settings_lost[0] == 0
    assert times(d, Phase.RESTORING) == [times(d, Phase.TRIAL)[0] + HOUR]
    assert (d.fleet.bytes_up[0], d.fleet.bytes_back[0]) == (4000, 4000)
    assert d.fleet.phase_uj[rule.ENERGY_BACKUP] == 22 and d.fleet.phase_uj[rule.ENERGY_RESTORE] == 30


def test_corrupted_settings_that_are_compared_revert_and_are_put_back_before_the_report(device):
    d = device(defect={"effect": rule.EFFECT_SETTINGS}, rules={rule.RULE_SETTINGS: 1}, **BACKUP).live()
    assert d.end == ("reverted", "settings-corrupted")
    assert d.phases[-3:] == [Phase.RESTORING, Phase.REPORTING, Phase.DONE]


def test_a_backup_that_does_not_fit_stops_the_update_only_where_it_is_required(device):
    rules = {rule.RULE_BACKUP_FITS: 0}
    d = device(rules=rules, **BACKUP).live()
    assert d.end == UPDATED and d.errors == ["backup-failed"] and d.fleet.backed_up[0] == 0
    d = device(rules=rules | {rule.RULE_BACKUP_REQUIRED: 1}, **BACKUP).live()
    assert d.end == ("failed", "backup-failed")


DRAIN = {"effect": rule.EFFECT_DRAIN, "onset_ms": HOUR, "uj_per_hour": 1000}


def test_a_drain_empties_a_primary_cell_after_a_while(device):
    d = device(cell_uj=10**6, start_uj=100_000, defect=DRAIN).live()
    assert d.end == ("lost", "battery-empty")
    hours = (100_000 - DOWNLOAD_UJ - 30) // 1000 + 1
    assert d.fleet.finished_ms[0] == times(d, Phase.TRIAL)[0] + HOUR + hours * HOUR
    assert d.fleet.reported[0] != NO_ROW


def test_an_owner_who_replaces_the_drained_cell_keeps_the_device(device):
    d = device(
        cell_uj=10**6,
        start_uj=100_000,
        defect=DRAIN,
        replace_below=CERTAIN,
        tables={"replace_table": "1 h"},
    ).live()
    assert d.end == UPDATED and d.fleet.cells[0] > 0
    assert "battery-empty" in d.errors


def test_a_drain_seen_by_the_self_test_reverts(device):
    d = device(cell_uj=10**6, start_uj=100_000, defect=DRAIN | {"onset_ms": 0, "visible": 1}).live()
    assert d.end == ("reverted", "self-test-failed") and d.fleet.drain_from_ms[0] == NO_ROW


def test_a_fix_ends_the_drain(device):
    d = device(
        cell_uj=10**6,
        start_uj=100_000,
        defect=DRAIN,
        rules={rule.RULE_RECOVERY: FIX, rule.RULE_RECOVERY_KIND: rule.RECOVER_FORWARD},
    ).live(DAY_MS)
    assert d.fleet.drain_from_ms[0] > 0
    d.fleet.halted[0], d.fleet.recovery_ms[0] = HALT_OFFERS, DAY_MS
    d.wake(recover(d.fleet, DAY_MS, 0)).live()
    assert d.ended and d.end == UPDATED and d.fleet.running[0] == FIX
    assert d.fleet.drain_from_ms[0] == NO_ROW


@pytest.mark.parametrize("effect", [rule.EFFECT_CRASH, rule.EFFECT_BOOT_LOOP, rule.EFFECT_FAULTY])
def test_a_single_slot_that_fails_its_trial_is_lost(device, effect):
    d = device(defect={"effect": effect, "visible": 1}, in_place=1, single_slot=True).live()
    assert d.end == ("lost", "crash-loop") and d.fleet.running[0] == NEW
    assert d.fleet.reported[0] == NO_ROW


def test_nobody_looks_where_the_self_test_is_off(device):
    d = device(defect={"effect": rule.EFFECT_FAULTY, "visible": 1}, rules={rule.RULE_SELF_TEST: 0}).live()
    assert d.end == UPDATED and d.ended


def test_a_premature_report_is_belied_by_the_revert(device):
    d = device(
        defect={"effect": rule.EFFECT_FAULTY, "visible": 1}, rules={rule.RULE_PREMATURE_BELOW: CERTAIN}
    )
    d.live_to(Phase.REBOOTING)
    assert [s for _, s in d.signals][-1] & SIGNAL_SUCCEEDED
    d.live()
    assert d.end[0] == "reverted" and d.fleet.reported[0] == d.fleet.outcome[0]
    assert [s & (SIGNAL_SUCCEEDED | SIGNAL_FAILED) for _, s in d.signals][-2:] == [
        SIGNAL_SUCCEEDED,
        SIGNAL_FAILED,
    ]


def test_a_premature_report_of_a_device_that_bricks_stands(device):
    d = device(
        faults={0: "cut swap"},
        rules={rule.RULE_PREMATURE_BELOW: CERTAIN, rule.RULE_CUT_BELOW: CERTAIN},
    )
    d.live_to(Phase.POWER_OFF)
    # Whatever was in the flash, nothing boots.
    d.fleet.move_running.append(NO_ROW)
    for name in ("state", "verdict", "cut", "ms", "flash_uj", "compute_uj"):
        getattr(d.fleet, f"move_{name}").append(0)
    d.fleet.move[0] = len(d.fleet.move_running) - 1
    d.live()
    assert d.end == ("bricked", "no-valid-image")
    assert d.signals[-1][1] & SIGNAL_SUCCEEDED and d.fleet.reported[0] != NO_ROW
