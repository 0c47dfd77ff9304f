"""Every cause at once, at random: a life stays legal, ends once, and its bytes and energy add up."""

from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.draws import CERTAIN
from simlib.lifecycle import LEGAL_MOVES, Phase, recover
from simlib.lifecycle import columns as rule
from simlib.lifecycle.codes import SIGNAL_SUCCEEDED
from simlib.lifecycle.columns import HALT_DOWNLOADS, HALT_OFFERS, NEVER, NO_ROW
from simlib.lifecycle.transfer import transfer_ended
from simlib.lifecycle.waiting import DAY_MS, HOUR_MS
from tests.amounts import examples

CHANCE = st.sampled_from([0, CERTAIN // 8, CERTAIN // 2, CERTAIN])
SELDOM = st.sampled_from([0, 0, 0, 0, CERTAIN // 4, CERTAIN])
SIZE = 100_000  # of a patch; a full image is twice as large
FLAG = st.integers(0, 1)
UJ = st.sampled_from([0, 7, 90])

RULES = st.fixed_dictionaries(
    {
        rule.RULE_STORAGE: FLAG,
        rule.RULE_LINK: FLAG,
        rule.RULE_DEFERRALS: st.integers(0, 3),
        rule.RULE_ATTEMPTS: st.integers(1, 4),
        rule.RULE_RESUME: FLAG,
        rule.RULE_GRANULE: st.sampled_from([1, 512, 65_536]),
        rule.RULE_BACKOFF: st.sampled_from([0, 60_000, DAY_MS]),
        rule.RULE_BACKOFF_MAX: st.sampled_from([0, 90_000, 3 * DAY_MS]),
        rule.RULE_DROP_BELOW: SELDOM,
        rule.RULE_DROP_WEAK_BELOW: CHANCE,
        rule.RULE_POWER_OFF: st.sampled_from([0, 5000]),
        rule.RULE_WINDOW_FROM: st.sampled_from([0, 22 * HOUR_MS]),
        rule.RULE_WINDOW_TO: st.sampled_from([0, 4 * HOUR_MS]),
        rule.RULE_WINDOW_LOCAL: FLAG,
        rule.RULE_WINDOW_CUTS: FLAG,
        rule.RULE_BATTERY_GATE: FLAG,
        rule.RULE_JITTER: st.integers(0, 3),
        rule.RULE_ROUNDS: st.integers(1, 3),
        rule.RULE_RETRY_AFTER: st.sampled_from([0, DAY_MS]),
        rule.RULE_CUT_BELOW: CHANCE,
        rule.RULE_SELF_TEST: FLAG,
        rule.RULE_BLUETOOTH: FLAG,
        rule.RULE_CERTIFICATE: FLAG,
        rule.RULE_SETTINGS: FLAG,
        rule.RULE_PROBATION: st.sampled_from([0, HOUR_MS]),
        rule.RULE_BACKUP_REQUIRED: FLAG,
        rule.RULE_BACKUP_FITS: FLAG,
        rule.RULE_LATE_BELOW: SELDOM,
        rule.RULE_LOST_BELOW: SELDOM,
        rule.RULE_RESENDS: st.integers(0, 2),
        rule.RULE_RESEND: st.sampled_from([0, HOUR_MS]),
        rule.RULE_TWICE_BELOW: CHANCE,
        rule.RULE_PREMATURE_BELOW: CHANCE,
        rule.RULE_RECOVERY_KIND: st.integers(0, 2),
    }
)
COLUMNS = st.fixed_dictionaries(
    {
        "zone_ms": st.integers(-12, 14).map(lambda hours: hours * HOUR_MS),
        "free_bytes": st.sampled_from([NO_ROW, 10**6, SIZE]),
        "consent": st.sampled_from([0, 0, 0, 0, 1, 2]),
        "background": FLAG,
        "background_ms": st.sampled_from([0, 60_000]),
        "notifiable": FLAG,
        "notified_below": CHANCE,
        "wake_below": st.sampled_from([CERTAIN // 4, CERTAIN]),
        "wake_period_ms": st.sampled_from([HOUR_MS, DAY_MS]),
        "weak_below": CHANCE,
        "reboot_uj": UJ,
        "self_test_uj": UJ,
        "probation_uj": UJ,
        "connect_ms": st.sampled_from([0, 3000]),
        "connect_uj": UJ,
        "report_uj": UJ,
        "in_place": FLAG,
        "phone": FLAG,
        "foreground_below": CHANCE,
        "phone_low_below": SELDOM,
        "accept_below": CHANCE,
        "postponements": st.integers(0, 2),
        "install_then": FLAG,
        "repair_below": CHANCE,
        "replace_below": CHANCE,
        "battery_low_below": SELDOM,
        "cell_uj": st.sampled_from([0, 0, 30_000, 10**6]),
        "gate_uj": st.sampled_from([0, 0, 10_000]),
        "start_uj": st.sampled_from([0, 15_010, 15_015, 15_025, 30_000]),
        "rechargeable": FLAG,
        "idle_uj_per_hour": st.sampled_from([1, 50]),
        "use_uj_per_hour": st.sampled_from([0, 1000]),
        "charge_below": CHANCE,
        "backup_ms": st.sampled_from([0, 500]),
        "backup_flash_uj": UJ,
        "restore_compute_uj": UJ,
        "room": st.sampled_from([[1] * 8] * 7 + [[0] * 8]),
        "stone": st.sampled_from([[0, 0, 0, 0], [0, 1, 0, 0]]),
        "published_ms": st.sampled_from(
            [[NEVER, 0, 0, NEVER], [NEVER, 0, 5 * DAY_MS, NEVER], [NEVER, NEVER, 0, NEVER]]
        ),
    }
)
ABSENCES = {"online_table": "exponential(3 d)", "offline_table": "pareto(2 h, 0.8)"}
TABLES = st.fixed_dictionaries(
    {
        "session_table": st.sampled_from(["1 s", "lognormal(40 s, 1)"]),
        "reaction_table": st.just("exponential(4 h)"),
        "repair_table": st.just("uniform(0 s, 5 d)"),
        "replace_table": st.just("lognormal(1 d, 1)"),
        rule.RULE_LATE_TABLE: st.just("exponential(1 d)"),
    },
    optional={"gap_table": st.just("exponential(9 h)")},
)
DEFECT = st.fixed_dictionaries(
    {
        "effect": st.integers(0, 6),
        "visible": FLAG,
        "onset_ms": st.sampled_from([0, 10_000, HOUR_MS, 4 * DAY_MS]),
        "uj_per_hour": st.just(500),
    }
)
ENDS = st.sampled_from(["install"] * 7 + ["refuse", "wrong base"])
FAULT = st.sampled_from([None, None, None, "cut install", "cut swap", "refuse"])


@settings(max_examples=examples(400))
@given(
    seed=st.integers(0, 2**32),
    rules=RULES,
    columns=COLUMNS,
    tables=TABLES,
    absent=st.booleans(),
    defect=st.none() | DEFECT | DEFECT,
    installs=st.lists(ENDS, min_size=7, max_size=7),
    faults=st.lists(FAULT, min_size=6, max_size=6),
    single_slot=st.booleans(),
    speeds=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    multicast=st.sampled_from([0, 0, 0, 6 * HOUR_MS]),
    halt=st.sampled_from([0, 0, 0, HALT_OFFERS, HALT_DOWNLOADS]),
    halt_ms=st.integers(0, 8 * DAY_MS),
    recovery=st.sampled_from([NO_ROW, 0, 3]),
    delay_ms=st.sampled_from([0, HOUR_MS, 2 * DAY_MS]),
)
def test_a_life_with_every_cause_is_legal_ends_once_and_adds_up(
    device,
    seed,
    rules,
    columns,
    tables,
    absent,
    defect,
    installs,
    faults,
    single_slot,
    speeds,
    multicast,
    halt,
    halt_ms,
    recovery,
    delay_ms,
):
    d = device(
        seed=seed,
        rules=rules | {rule.RULE_PRIMARY: 2, rule.RULE_RECOVERY: recovery},
        tables=tables | (ABSENCES if absent else {}),
        defect=defect,
        install=lambda state, artefact: installs[(state + artefact) % 7],
        faults=dict(enumerate(faults)),
        single_slot=single_slot,
        hears=[(70_000, 0), (210_000, 1)] * 40,
        speeds=speeds,
        multicast_ms=multicast,
        target=2,
        **columns,
    )
    f = d.fleet
    if halt:
        d.live(halt_ms)
        f.halted[0] = halt
        if halt == HALT_DOWNLOADS and d.missing is not None:
            d.due_ms, d.missing = halt_ms, f.run_bytes[0]  # as if nothing had come yet
        if recovery != NO_ROW:
            f.recovery_ms[0] = halt_ms + delay_ms
            d.live(f.recovery_ms[0])
            if f.phase[0] in (Phase.DONE, Phase.RESTING):
                d.wake(recover(f, f.recovery_ms[0], 0))
    d.live()
    if d.missing is not None:  # the horizon ends it
        transfer_ended(f, 0, d.missing)

    assert f.bytes_down[0] - f.kept_bytes[0] >= f.bytes_wasted[0] >= 0
    assert f.kept_bytes[0] >= 0 and f.left_bytes[0] >= 0
    spent = f.radio_uj[0] + f.flash_uj[0] + f.compute_uj[0]
    assert sum(f.phase_uj) == spent >= 0
    assert f.attempts[0] >= f.installs[0]
    assert f.round[0] < f.rules[rule.RULE_ROUNDS] * 4
    outcome, reason = d.end
    if d.ended:
        assert f.phase[0] == Phase.DONE
        assert outcome != "pending" or reason in ("rollout-halted", "not-offered", "horizon")
    if outcome == "updated":
        assert f.running[0] == f.target[0] or (f.running[0] >= 2 and reason != "none")
        assert f.finished_ms[0] >= f.started_ms[0] >= f.offered_ms[0] >= 0
        assert (f.confirmed_ms[0] >= 0) == (f.running[0] >= 2)  # a stepping stone is not the release
    if outcome == "bricked":
        assert f.running[0] == NO_ROW
    if outcome in ("failed", "deferred", "reverted"):
        assert f.running[0] != NO_ROW and f.running[0] != f.target[0]
    if outcome == "rolled_back":
        assert f.running[0] == recovery  # the old image, or the old firmware signed again
    if outcome == "lost" and reason in ("bond-lost", "certificate-lost", "boot-loop"):
        assert f.running[0] == 2 and defect is not None
    if not any(signals & SIGNAL_SUCCEEDED for _, signals in d.signals) and outcome == "updated":
        assert f.reported[0] == NO_ROW or f.reported_ms[0] < f.finished_ms[0]
    times = [now for _, now in d.seen]
    assert times == sorted(times)


def test_every_phase_has_its_moves_and_only_the_ends_can_end():
    assert set(LEGAL_MOVES) == set(Phase)
    reached = set().union(*LEGAL_MOVES.values())
    assert reached == set(Phase) - {Phase.WAITING}
    for phase in (Phase.TRIAL, Phase.PROBATION):
        assert Phase.DONE not in LEGAL_MOVES[phase]
