"""From a check-in to a download: what is offered, whether the owner agrees, and the pre-check."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.draws import CERTAIN, Purpose, device_key, draw32
from simlib.lifecycle import Phase, recover
from simlib.lifecycle import columns as rule
from simlib.lifecycle.codes import ASK_NEED, SIGNAL_OFFERED
from simlib.lifecycle.columns import (
    AUTOMATIC,
    HALT_DOWNLOADS,
    HALT_OFFERS,
    NEVER,
    NO_ROW,
    PROMPTED,
    REFUSES,
)
from simlib.lifecycle.targets import next_target
from simlib.lifecycle.waiting import DAY_MS
from simlib.lifecycle.waiting import HOUR_MS as HOUR

SIZE = 100_000
SEEDS = st.integers(0, 2**32)
UPDATED, REFUSED = ("updated", "none"), ("deferred", "consent-refused")


def offers(d):
    return [when for when, signals in d.signals if signals & SIGNAL_OFFERED]


def test_an_owner_who_lets_updates_install_is_never_asked(device):
    d = device(consent=AUTOMATIC, accept_below=0).live()
    assert d.end == UPDATED and d.fleet.asked[0] == 0


def test_an_owner_who_refuses_updates_defers_the_device_at_once(device):
    d = device(consent=REFUSES).live()
    assert d.end == REFUSED and d.fleet.started_ms[0] == -1 and d.fleet.finished_ms[0] == HOUR


@pytest.mark.parametrize("then, outcome", [(1, UPDATED), (0, REFUSED)])
def test_after_the_last_postponement_it_installs_or_gives_up_as_the_owner_has_it(device, then, outcome):
    d = device(consent=PROMPTED, accept_below=0, postponements=2, install_then=then).live()
    assert d.end == outcome
    assert [now for p, now in d.seen if p is Phase.OFFERED] == [HOUR, HOUR + DAY_MS]
    assert d.fleet.asked[0] == 3


@given(SEEDS, st.integers(0, CERTAIN), st.integers(0, 8))
def test_a_prompted_owner_agrees_at_the_first_prompt_that_a_draw_accepts(device, seed, accept, postponements):
    d = device(seed=seed, consent=PROMPTED, accept_below=accept, postponements=postponements).live()
    draws = [draw32(device_key(seed, 0), Purpose.PROMPT, n) < accept for n in range(postponements + 1)]
    if any(draws):
        assert d.end == UPDATED and d.fleet.started_ms[0] == HOUR + draws.index(True) * DAY_MS
    else:
        assert d.end == REFUSED


@given(SEEDS, st.integers(CERTAIN // 4, CERTAIN * 3 // 4))
def test_a_prompt_is_shown_only_while_the_app_is_open(device, seed, share):
    d = device(
        seed=seed, phone=1, background=1, background_ms=HOUR, consent=PROMPTED, foreground_below=share
    ).live()
    key = device_key(seed, 0)
    opened = [n for n in range(30) if draw32(key, Purpose.FOREGROUND, n) < share]
    assert d.fleet.started_ms[0] == (HOUR + opened[0] * DAY_MS if opened else -1)
    if opened:
        assert d.fleet.asked[0] == 0  # and one prompt was enough


def test_who_has_agreed_is_not_asked_again_after_a_failed_download(device):
    d = device(consent=PROMPTED, rules={rule.RULE_DROP_BELOW: CERTAIN}).live_to(Phase.BACKING_OFF)
    d.fleet.accept_below[0] = 0
    assert d.live().end == ("failed", "download-failed")


@pytest.mark.parametrize("free, outcome", [(SIZE, UPDATED), (SIZE - 1, ("deferred", "storage-short"))])
def test_what_the_inventory_says_is_free_must_hold_the_artefact(device, free, outcome):
    assert device(free_bytes=free).live().end == outcome
    assert device(free_bytes=free, rules={rule.RULE_STORAGE: 0}).live().end == UPDATED


@pytest.mark.parametrize("start, outcome", [(500, UPDATED), (499, ("deferred", "battery-low"))])
def test_the_gate_by_share_asks_for_that_much_charge(device, start, outcome):
    assert device(cell_uj=1000, gate_uj=500, start_uj=start, rx_pj_per_byte=0).live().end == outcome


def test_the_gate_by_energy_asks_the_bench_and_for_what_the_update_takes_and_the_reserve(device):
    radio, moves = SIZE * 150_000 // 10**6, 4 * 10
    need = radio + moves + 2 * 100 + 30 + 5 + 3
    columns = {
        "cell_uj": 10**9,
        "reboot_uj": 100,
        "self_test_uj": 30,
        "connect_uj": 5,
        "report_uj": 3,
        "reserve_uj": 1000,
        "rules": {rule.RULE_BATTERY_GATE: 1},
    }
    enough = device(start_uj=need + 1000, **columns).live()
    assert enough.end == UPDATED and enough.bench.asked[0] == ASK_NEED
    assert device(start_uj=need + 999, **columns).live().end == ("deferred", "battery-low")
    copied = {"backup_ms": 1, "backup_flash_uj": 20, "restore_ms": 1, "restore_radio_uj": 7}
    assert device(start_uj=need + 27 + 1000, **copied, **columns).live().end == UPDATED
    assert device(start_uj=need + 27 + 999, **copied, **columns).live().end == ("deferred", "battery-low")


def test_the_gate_by_energy_asks_a_multicast_device_for_one_session_and_what_it_takes_until_then(device):
    need = 11 + 4 * 10 + 6 * 3  # at 01:00, a session from 06:00 to 07:00
    columns = {
        "cell_uj": 10**6,
        "multicast_ms": 6 * HOUR,
        "idle_uj_per_hour": 3,
        "hears": [(SIZE, 1)],
        "rules": {rule.RULE_BATTERY_GATE: 1, rule.RULE_DEFERRALS: 0},
    }
    need += 3  # an hour begun counts
    assert device(start_uj=need + 3, **columns).live().end == UPDATED  # 3 gone by 01:00
    assert device(start_uj=need + 2, **columns).live().end == ("deferred", "battery-low")


def test_a_device_that_waits_for_the_bench_is_offered_the_release_once(device):
    d = device(cell_uj=10**9, start_uj=10**9, rules={rule.RULE_BATTERY_GATE: 1}).live()
    assert ASK_NEED in d.bench.asked
    assert d.fleet.round[0] == 0 and offers(d) == [HOUR]


BACKUP = st.fixed_dictionaries(
    {
        f"{what}_{part}_uj": st.integers(0, 5000)
        for what in ("backup", "restore")
        for part in ("radio", "flash", "compute")
    }
)


@given(
    seed=SEEDS,
    start=st.integers(0, 60_000),
    moves=st.tuples(st.integers(0, 2000), st.integers(0, 2000)),
    backup=st.none() | BACKUP,
    faulty=st.booleans(),
    drop=st.integers(0, CERTAIN),
    wrong_base=st.booleans(),
)
def test_a_gate_by_energy_lets_no_update_brown_out_if_nothing_else_drains(
    device, seed, start, moves, backup, faulty, drop, wrong_base
):
    d = device(
        seed=seed,
        cell_uj=60_000,
        start_uj=start,
        rx_pj_per_byte=100_000,
        connect_uj=50,
        report_uj=20,
        reboot_uj=500,
        self_test_uj=700,
        defect={"effect": rule.EFFECT_FAULTY, "visible": 1} if faulty else None,
        install=lambda _, artefact: "wrong base" if wrong_base and artefact % 2 else "install",
        backup_ms=10 if backup else 0,
        restore_ms=10,
        rules={rule.RULE_BATTERY_GATE: 1, rule.RULE_DROP_BELOW: drop, rule.RULE_RESUME: 1},
        **(backup or {}),
    )
    d.bench.energy_uj = moves
    d.live()
    assert "brown-out" not in d.errors
    if d.end[0] in ("updated", "reverted"):
        assert d.fleet.drained_uj[0] <= start


def test_without_the_gate_such_an_update_browns_out(device):
    d = device(cell_uj=60_000, start_uj=15_005)
    assert d.live().errors[0] == "brown-out"


def chain(device, **columns):
    """Releases 1 to 3 on top of 0."""
    rules = {rule.RULE_PRIMARY: 3} | columns.pop("rules", {})
    return device(**{"published_ms": [NEVER, 0, 0, 0], "target": 3} | columns, rules=rules)


def test_the_newest_release_in_flight_is_offered(device):
    d = chain(device).live()
    assert d.end == UPDATED and d.fleet.running[0] == 3 and len(offers(d)) == 1


def test_stepping_stones_are_passed_in_order(device):
    d = chain(device, stone=[0, 1, 1, 0])
    d.live(0)
    targets = []
    while not d.ended:
        d.step()
        if d.fleet.phase[0] == Phase.CONFIRMING:
            targets.append(d.fleet.target[0])
    assert targets == [1, 2, 3] and d.fleet.running[0] == 3
    assert offers(d) == [HOUR, HOUR + DAY_MS, HOUR + 2 * DAY_MS]


@pytest.mark.parametrize("halt_ms", [HOUR + 1000, 5 * HOUR])
def test_a_device_that_a_halt_leaves_on_a_stepping_stone_is_pending_because_of_it(device, halt_ms):
    d = chain(device, stone=[0, 1, 0, 0]).live(halt_ms)
    assert (d.fleet.running[0] == 1) == (halt_ms > 2 * HOUR)
    d.fleet.halted[0] = HALT_OFFERS
    assert d.live().end == ("pending", "rollout-halted") and d.fleet.running[0] == 1


def test_a_device_past_a_stepping_stone_does_not_go_back_to_it(device):
    d = chain(device, stone=[0, 1, 0, 0], running=2, recorded=2).live()
    assert d.end == UPDATED and len(offers(d)) == 1


def test_a_release_published_during_the_rollout_is_offered_from_then_on(device):
    d = chain(device, published_ms=[NEVER, 0, 5 * DAY_MS, 9 * DAY_MS]).live()
    assert offers(d) == [HOUR, 5 * DAY_MS + HOUR, 9 * DAY_MS + HOUR]
    assert d.end == UPDATED and d.fleet.running[0] == 3


def test_a_device_for_which_there_is_nothing_newer_waits_for_the_next_publication(device):
    d = chain(device, running=1, recorded=1, published_ms=[NEVER, 0, NEVER, 7 * DAY_MS]).live()
    assert offers(d) == [7 * DAY_MS + HOUR] and d.end == UPDATED
    nothing = chain(device, running=3, recorded=3).live()
    assert nothing.end == ("pending", "not-offered") and nothing.ended and not nothing.signals


def test_a_device_that_no_artefact_fits_is_ineligible(device):
    assert device(offer=[NO_ROW] * 16).live().end == ("ineligible", "no-artefact")


def fixed(device, kind=rule.RECOVER_FORWARD, **columns):
    """Release 1 in flight; the operator answers a halt with 2 (a fix), or with 0 again."""
    recovery = {rule.RECOVER_FORWARD: 2, rule.RECOVER_BACK: 0}[kind]
    rules = {rule.RULE_RECOVERY: recovery, rule.RULE_RECOVERY_KIND: kind} | columns.pop("rules", {})
    return device(rules=rules, **columns)


def halt(d, how, now_ms, answer_ms=NEVER):
    d.fleet.halted[0] = how
    d.fleet.recovery_ms[0] = answer_ms
    if how == HALT_DOWNLOADS and d.missing is not None:
        d.missing += (d.due_ms - now_ms) * 50
        d.due_ms = now_ms


def answer(d, now_ms):
    """The operator's answer is out: as the clock does it."""
    if d.fleet.phase[0] in (Phase.DONE, Phase.RESTING):
        d.wake(recover(d.fleet, now_ms, 0))
    return d.live()


def test_a_forward_fix_reaches_those_that_updated_and_those_that_had_not_begun(device):
    for updated in (True, False):
        d = fixed(device)
        if updated:
            d.live(2 * DAY_MS)
        halt(d, HALT_OFFERS, 2 * DAY_MS, 3 * DAY_MS)
        d.live(3 * DAY_MS)
        assert d.ended == updated or d.end == ("pending", "rollout-halted")
        answer(d, 3 * DAY_MS)
        assert d.end == UPDATED and d.fleet.running[0] == 2
        assert d.fleet.finished_ms[0] > 3 * DAY_MS
        assert (d.fleet.confirmed_ms[0] < DAY_MS) == updated  # the first release that is no older


def test_a_rollback_reaches_only_those_that_updated(device):
    d = fixed(device, rule.RECOVER_BACK).live(2 * DAY_MS)
    halt(d, HALT_OFFERS, 2 * DAY_MS, 3 * DAY_MS)
    assert answer(d, 3 * DAY_MS).end == ("rolled_back", "rollout-halted") and d.fleet.running[0] == 0
    d = fixed(device, rule.RECOVER_BACK)
    halt(d, HALT_OFFERS, 0, DAY_MS)
    assert answer(d, DAY_MS).end == ("pending", "rollout-halted") and d.fleet.attempts[0] == 0


def test_nobody_is_offered_the_fix_before_it_is_out(device):
    d = fixed(device)
    halt(d, HALT_OFFERS, 0, 10 * DAY_MS)
    d.live(9 * DAY_MS)
    assert d.ended and not d.signals
    answer(d, 10 * DAY_MS)
    assert offers(d) == [10 * DAY_MS + HOUR]


def test_a_device_that_was_under_way_when_the_fix_came_out_is_offered_it_afterwards(device):
    d = fixed(device, speeds=(1, 50)).live(HOUR + 10)
    assert d.fleet.phase[0] == Phase.DOWNLOADING
    halt(d, HALT_OFFERS, HOUR + 10, HOUR + 20)
    answer(d, HOUR + 20)
    assert offers(d) == [HOUR, HOUR + DAY_MS]
    assert d.end == UPDATED and d.fleet.running[0] == 2


@pytest.mark.parametrize("began", [True, False])
def test_a_device_that_waited_over_the_answer_goes_on_with_the_fix_and_not_with_what_was_halted(
    device, began
):
    rules = {rule.RULE_WINDOW_FROM: 2 * HOUR, rule.RULE_WINDOW_TO: 3 * HOUR}
    if began:
        rules = {rule.RULE_DROP_BELOW: CERTAIN, rule.RULE_BACKOFF: HOUR, rule.RULE_BACKOFF_MAX: HOUR}
    d = fixed(device, rules=rules)
    d.live_to(Phase.BACKING_OFF if began else Phase.OFFERED)
    d.fleet.rules[rule.RULE_DROP_BELOW] = 0
    halt(d, HALT_DOWNLOADS if began else HALT_OFFERS, HOUR + 10_000, HOUR + 20_000)
    answer(d, HOUR + 20_000)
    assert d.end == UPDATED and d.fleet.running[0] == 2
    assert d.fleet.installs[0] == 1  # of the fix alone


def test_a_fix_that_fails_is_tried_in_as_many_rounds_as_there_are_and_the_release_runs_on(device):
    for rounds in (2, 4):
        d = fixed(device, rules={rule.RULE_ROUNDS: rounds}).live(2 * DAY_MS)
        d.bench.install = "refuse"
        halt(d, HALT_OFFERS, 2 * DAY_MS, 3 * DAY_MS)
        answer(d, 3 * DAY_MS)
        assert d.ended and d.end == ("updated", "hash-mismatch") and d.fleet.running[0] == 1
        assert len(offers(d)) == 1 + rounds  # of the release, and of the fix


def test_the_owner_of_a_device_at_rest_is_told_of_the_fix(device):
    d = fixed(device, notifiable=1, notified_below=CERTAIN, tables={"reaction_table": "2 h"})
    d.live(2 * DAY_MS)
    halt(d, HALT_OFFERS, 2 * DAY_MS, 2 * DAY_MS + 2 * HOUR)
    assert recover(d.fleet, 2 * DAY_MS + 2 * HOUR, 0) == 2 * DAY_MS + 4 * HOUR + 1


def test_who_is_gone_is_not_offered_a_fix(device):
    d = fixed(device, install="refuse", in_place=1).live()
    assert d.end[0] == "bricked"
    halt(d, HALT_OFFERS, 2 * DAY_MS, 2 * DAY_MS)
    assert recover(d.fleet, 2 * DAY_MS, 0) == NEVER


@given(
    runs=st.integers(0, 3),
    published=st.lists(st.sampled_from([0, DAY_MS, NEVER]), min_size=4, max_size=4),
    stones=st.lists(st.integers(0, 1), min_size=4, max_size=4),
)
def test_a_target_is_newer_than_what_runs_at_most_the_newest_out_and_no_stone_is_skipped(
    device, runs, published, stones
):
    f = chain(device, running=runs, published_ms=published, stone=stones).fleet
    out = [n for n in range(4) if published[n] <= HOUR]
    target = next_target(f, HOUR, 0)
    if not out or max(out) <= runs:
        assert target == NO_ROW
    else:
        assert runs < target <= max(out)
        assert not any(stones[runs + 1 : target])
        assert target == max(out) or stones[target]
