"""What the server hears, when, and what may still come after a round."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simlib.draws import CERTAIN, Purpose, device_key, draw32
from simlib.lifecycle import Phase
from simlib.lifecycle import columns as rule
from simlib.lifecycle.codes import SIGNAL_OFFERED, SIGNAL_SKIPPED, SIGNAL_SUCCEEDED, SIGNAL_TWICE
from simlib.lifecycle.columns import NO_ROW
from simlib.lifecycle.waiting import DAY_MS
from simlib.lifecycle.waiting import HOUR_MS as HOUR

SEEDS = st.integers(0, 2**32)
UPDATED = ("updated", "none")


def offers(d):
    return [when for when, signals in d.signals if signals & SIGNAL_OFFERED]


def test_a_report_arrives_after_the_services_delay_and_the_server_knows_the_version(device):
    d = device(report_uj=40).live()
    f = d.fleet
    assert f.reported_ms[0] == f.finished_ms[0] + 10 and f.recorded[0] == f.running[0] == 1
    assert d.signals[-1] == (f.reported_ms[0], SIGNAL_SUCCEEDED)
    assert f.phase_uj[rule.ENERGY_REPORT] == 40


def test_a_late_report_comes_so_much_later(device):
    f = device(rules={rule.RULE_LATE_BELOW: CERTAIN}, tables={rule.RULE_LATE_TABLE: "2 d"}).live().fleet
    assert f.reported_ms[0] == f.finished_ms[0] + 10 + 2 * DAY_MS


@example(seed=1, lost=CERTAIN, resends=3)
@given(seed=SEEDS, lost=st.integers(0, CERTAIN), resends=st.integers(0, 4))
def test_a_lost_report_is_sent_again_until_one_arrives_or_the_device_has_had_enough(
    device, seed, lost, resends
):
    d = device(
        seed=seed,
        report_uj=40,
        rules={rule.RULE_LOST_BELOW: lost, rule.RULE_RESENDS: resends, rule.RULE_RESEND: HOUR},
    ).live()
    f, key = d.fleet, device_key(seed, 0)
    arrive = [draw32(key, Purpose.REPORT_LOST, n) >= lost for n in range(resends + 1)]
    if any(arrive):
        number = arrive.index(True)
        assert f.reported_ms[0] == f.finished_ms[0] + 10 + number * (HOUR + 10)
        assert f.recorded[0] == 1
    else:
        number = resends
        assert f.reported[0] == NO_ROW and f.reported_ms[0] == -1 and f.recorded[0] == 0
    assert d.end == UPDATED and d.ended
    assert f.reports[0] == number + 1 and f.phase_uj[rule.ENERGY_REPORT] == 40 * (number + 1)


def test_a_report_that_arrives_twice_says_so(device):
    d = device(rules={rule.RULE_TWICE_BELOW: CERTAIN}).live()
    assert d.signals[-1][1] == SIGNAL_SUCCEEDED | SIGNAL_TWICE


def test_a_report_waits_until_the_phone_is_there(device):
    d = device(phone=1, tables={"session_table": "10 s"}).live()
    f = d.fleet
    assert d.end == UPDATED and f.finished_ms[0] < 2 * HOUR
    assert f.reported_ms[0] == HOUR + DAY_MS + 10


def test_a_report_waits_until_the_device_is_back(device):
    d = device(wake_phase_ms=2 * HOUR - 5000, tables={"online_table": "2 h", "offline_table": "3 h"}).live()
    assert d.fleet.finished_ms[0] > 2 * HOUR
    assert d.fleet.reported_ms[0] == DAY_MS + 2 * HOUR - 5000 + 10


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_device_that_failed_tries_again_in_later_rounds(device, rounds):
    d = device(install="refuse", rules={rule.RULE_ROUNDS: rounds, rule.RULE_RETRY_AFTER: 3 * DAY_MS}).live()
    assert offers(d) == [HOUR + 4 * DAY_MS * n for n in range(rounds)]  # the first check-in 3 days later
    assert d.end == ("failed", "hash-mismatch") and d.ended and d.fleet.attempts[0] == 3 * rounds


def test_a_deferred_device_may_update_in_a_later_round(device):
    d = device(room=[0] * 8, rules={rule.RULE_ROUNDS: 2}).live_to(Phase.RESTING)
    assert d.end == ("deferred", "storage-short") and d.signals[-1][1] == SIGNAL_SKIPPED
    d.fleet.room[:] = [1] * 8
    assert d.live().end == UPDATED


def test_a_reverted_device_tries_again_and_reverts_again(device):
    d = device(defect={"effect": rule.EFFECT_CRASH}, rules={rule.RULE_ROUNDS: 2}).live()
    assert d.end == ("reverted", "crash-loop") and len(offers(d)) == 2 and d.fleet.installs[0] == 2


def test_an_updated_device_has_no_further_round(device):
    d = device(rules={rule.RULE_ROUNDS: 5}).live()
    assert len(offers(d)) == 1 and d.ended


BOND = {"effect": rule.EFFECT_BOND}


def test_an_owner_who_pairs_again_brings_the_device_back_and_it_reports(device):
    d = device(defect=BOND, repair_below=CERTAIN, tables={"repair_table": "3 d"}).live_to(Phase.RESTING)
    while d.end[0] != "lost":
        d.step()
    lost = d.fleet.finished_ms[0]
    assert d.end == ("lost", "bond-lost") and d.fleet.reported[0] == NO_ROW
    d.live()
    assert d.end == UPDATED and d.ended
    assert d.fleet.reported_ms[0] == lost + 3 * DAY_MS + 1 + 10


def test_a_bond_that_nobody_mends_stays_lost(device):
    d = device(defect=BOND, repair_below=0).live()
    assert d.end == ("lost", "bond-lost") and d.ended


def test_a_lost_certificate_is_not_mended_by_pairing(device):
    d = device(
        defect={"effect": rule.EFFECT_CERTIFICATE}, repair_below=CERTAIN, tables={"repair_table": "3 d"}
    ).live()
    assert d.end == ("lost", "certificate-lost") and d.ended
