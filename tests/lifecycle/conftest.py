"""One device by itself: a fleet of one row, a little bench that answers it, and a link it has alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from simlib.draws import CERTAIN, device_key
from simlib.errors import Reason
from simlib.lifecycle import LEGAL_MOVES, Fleet, Phase, advance, next_checkin, transfer_ended
from simlib.lifecycle import columns as rule
from simlib.lifecycle.battery import level_uj
from simlib.lifecycle.codes import (
    ASK,
    ASK_BOOT,
    ASK_BROWN_OUT,
    ASK_CONFIRM,
    ASK_HEARD,
    ASK_INSTALL,
    ASK_NEED,
    END,
    JOIN,
    OUTCOME_CODE,
    OUTCOMES,
    REASON_CODE,
    REASONS,
    TIMER,
)
from simlib.lifecycle.columns import NEVER, NO_ROW
from simlib.lifecycle.waiting import DAY_MS, HOUR_MS
from simlib.outcomes import Outcome
from simlib.scenario.distributions import parse_distribution, quantile_table

OLD, NEW = 0, 1
SIZE = 100_000
CHAIN = 4  # 0 and 1 are old and new; 2 and 3 for tests with more releases
ARTEFACTS = 2 * CHAIN  # 2 n is the full image of member n, 2 n + 1 a patch to it
FRESH, INSTALLED, ON_TRIAL, CUT_INSTALL, CUT_SWAP, EMPTY, REFUSED = range(7)
STATES = 7 * CHAIN * CHAIN


def state(kind: int, runs: int, new: int = 0) -> int:
    """Number of a state: of which kind, the member that runs (or ran) and the member that is coming."""
    return (kind * CHAIN + runs) * CHAIN + new


@dataclass
class Bench:
    """The little bench: what real bytes would do, as rules. `install` says how an install ends."""

    fleet: Fleet
    install: str | Callable[[int, int], str]  # "install", "refuse" or "wrong base", by state and artefact
    faults: dict[int, str]  # of an install by its number: "cut install", "cut swap" or "refuse"
    single_slot: bool
    hears: Sequence[tuple[int, int]]  # of each multicast session: bytes, and 1 if they are enough
    energy_uj: tuple[int, int] = (7, 3)
    rows: dict[tuple[str, int, int], int] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def answer(self, now: int, question: int) -> None:
        f, at, artefact = self.fleet, self.fleet.state[0], self.fleet.artefact[0]
        self.asked.append(question)
        if question == ASK_INSTALL:
            fault = self.faults.get(f.installs[0])
            plain = self._install(at, artefact)
            f.special[0] = plain
            f.special_boot[0] = NO_ROW
            if fault == "cut swap":
                f.special_boot[0] = self._row("cut swap", f.move_state[plain], 0)
            elif fault is not None:
                f.special[0] = self._row(fault, at, artefact)
        elif question == ASK_BOOT:
            self._boot(at)
        elif question == ASK_CONFIRM:
            self._confirm(at)
        elif question == ASK_NEED:
            rows = [self._install(at, artefact)]
            if f.move_verdict[rows[0]] == REASON_CODE[Reason.NONE]:
                rows.append(self._boot(f.move_state[rows[-1]]))
                after = f.move_state[rows[-1]]
                rows += [self._confirm(after), self._boot(after)]
            need = sum(f.move_flash_uj[r] + f.move_compute_uj[r] for r in rows)
            f.on_need_uj[at * ARTEFACTS + artefact] = need
        elif question == ASK_BROWN_OUT:
            f.special[0] = self._brown_out(at, artefact, level_uj(f, 0, now))
            f.special_boot[0] = NO_ROW
            f.browned[0] = 1
        elif question == ASK_HEARD:
            heard, enough = self.hears[f.attempts[0] - 1]
            f.heard_bytes[0], f.heard_all[0] = heard, enough
        else:
            raise LookupError(f"found question {question}, expected one of ASK_*")

    def _install(self, at: int, artefact: int) -> int:
        name = self.install if isinstance(self.install, str) else self.install(at, artefact)
        row = self.fleet.on_install[at * ARTEFACTS + artefact] = self._row(name, at, artefact)
        return row

    def _boot(self, at: int) -> int:
        row = self.fleet.on_boot[at] = self._row("boot", at, 0)
        return row

    def _confirm(self, at: int) -> int:
        row = self.fleet.on_confirm[at] = self._row("confirm", at, 0)
        return row

    def _row(self, name: str, at: int, artefact: int) -> int:
        key = name, at, artefact
        if key not in self.rows:
            self.rows[key] = self._add(*self._found(name, at, artefact), *self.energy_uj)
        return self.rows[key]

    def _add(
        self, after: int, verdict: Reason, running: int, cut: int, ms: int, flash_uj: int, compute_uj: int
    ) -> int:
        f = self.fleet
        f.move_state.append(after)
        f.move_verdict.append(REASON_CODE[verdict])
        f.move_running.append(running)
        f.move_cut.append(cut)
        f.move_ms.append(ms)
        f.move_flash_uj.append(flash_uj)
        f.move_compute_uj.append(compute_uj)
        return len(f.move_ms) - 1

    def _found(self, name: str, at: int, artefact: int) -> tuple[int, Reason, int, int, int]:
        """State, verdict, what runs, whether power was cut, and time [ms]."""
        kind, runs, new = at // CHAIN // CHAIN, at // CHAIN % CHAIN, at % CHAIN
        coming = artefact // 2
        if name == "install":
            return state(INSTALLED, runs, coming), Reason.NONE, NO_ROW, 0, 900
        if name == "refuse":
            return state(REFUSED, runs), Reason.HASH_MISMATCH, NO_ROW, 0, 800
        if name == "wrong base":
            return at, Reason.WRONG_BASE, NO_ROW, 0, 80
        if name == "cut install":
            return state(CUT_INSTALL, runs), Reason.POWER_CUT, NO_ROW, 1, 450
        if name == "cut swap":
            return state(CUT_SWAP, runs, new), Reason.POWER_CUT, NO_ROW, 1, 700
        if name == "confirm":
            return state(FRESH, new), Reason.NONE, NO_ROW, 0, 1
        if kind in (INSTALLED, CUT_SWAP) or (kind == ON_TRIAL and self.single_slot):
            return state(ON_TRIAL, runs, new), Reason.NONE, new, 0, 1500
        if kind == ON_TRIAL:
            return state(FRESH, runs), Reason.NONE, runs, 0, 1500
        if kind in (EMPTY, REFUSED):
            return state(EMPTY, runs), Reason.NO_VALID_IMAGE, NO_ROW, 0, 20
        return state(FRESH, runs), Reason.NONE, runs, 0, 30

    def _brown_out(self, at: int, artefact: int, budget_uj: int) -> int:
        kind, runs, new = at // CHAIN // CHAIN, at // CHAIN % CHAIN, at % CHAIN
        after = at  # a boot, a confirmation or a revert that is cut begins again
        if kind in (FRESH, REFUSED, CUT_INSTALL) and self.fleet.plan[0] == rule.PLAN_INSTALL:
            after = state(CUT_INSTALL, runs, artefact // 2)
        elif kind == INSTALLED:
            after = state(CUT_SWAP, runs, new)
        return self._add(after, Reason.POWER_CUT, NO_ROW, 1, 100, budget_uj, 0)


@dataclass
class Device:
    """A device that is driven by hand. Every move is checked; `seen` has the phases and when they began."""

    fleet: Fleet
    bench: Bench
    speeds: Sequence[int]  # of its transfers, one after the other and again [byte/ms]
    due_ms: int = NEVER
    seen: list[tuple[Phase, int]] = field(default_factory=list)
    signals: list[tuple[int, int]] = field(default_factory=list)  # time and what the server received
    errors: list[str] = field(default_factory=list)
    joins: list[tuple[int, int]] = field(default_factory=list)  # when, and bytes
    missing: int | None = None  # bytes the transfer under way will miss
    ended: bool = False

    @property
    def end(self) -> tuple[str, str]:
        return OUTCOMES[self.fleet.outcome[0]].value, REASONS[self.fleet.reason[0]].value

    @property
    def phases(self) -> list[Phase]:
        return [phase for phase, _ in self.seen]

    def live(self, until_ms: int = NEVER) -> Device:
        """Let time pass, to the end of the device, the horizon or `until_ms`."""
        if not self.seen and self.due_ms == NEVER:
            self.due_ms = next_checkin(self.fleet, 0, 0)
        horizon = min(self.fleet.rules[rule.RULE_HORIZON], until_ms)
        while not self.ended and self.due_ms <= horizon:
            self.step()
        return self

    def live_to(self, phase: Phase) -> Device:
        """Let time pass until the device is in `phase`."""
        if not self.seen and self.due_ms == NEVER:
            self.due_ms = next_checkin(self.fleet, 0, 0)
        while self.fleet.phase[0] != phase:
            assert not self.ended and self.due_ms <= self.fleet.rules[rule.RULE_HORIZON], self.seen
            self.step()
        return self

    def step(self) -> None:
        f, now = self.fleet, self.due_ms
        if self.missing is not None:
            transfer_ended(f, 0, self.missing)
            self.missing = None
        signals = 0
        while True:
            before = Phase(f.phase[0])
            command, value, more = advance(f, now, 0)
            after = Phase(f.phase[0])
            assert after == before or after in LEGAL_MOVES[before], (before, after)
            signals |= more
            if command != ASK:
                break
            self.bench.answer(now, value)
        self.seen.append((after, now))
        if signals:
            self.signals.append((now, signals))
        if f.error[0]:
            self.errors.append(REASONS[f.error[0]].value)
        if command == END:
            self.ended = True
        elif command == TIMER:
            assert value >= now
            self.due_ms = value
        else:
            assert command == JOIN and value >= 1
            speed = self.speeds[len(self.joins) % len(self.speeds)]
            self.joins.append((now, value))
            assert f.until_ms[0] > now
            self.due_ms = min(now - (-value // speed), f.until_ms[0])
            self.missing = max(value - (self.due_ms - now) * speed, 0)

    def wake(self, time_ms: int) -> Device:
        """Have a device at rest come at `time_ms`."""
        if time_ms < NEVER and (self.ended or time_ms < self.due_ms):
            self.ended = False
            self.due_ms = time_ms
        return self


def make(
    *,
    rules: dict[int, int] | None = None,
    tables: dict[str | int, str] | None = None,
    defect: dict[str, int] | None = None,
    install: str | Callable[[int, int], str] = "install",
    faults: dict[int, str] | None = None,
    single_slot: bool = False,
    hears: Sequence[tuple[int, int]] = (),
    speeds: Sequence[int] = (50,),
    seed: int = 1,
    **columns: int | list[int],
) -> Device:
    """A device of one cohort that checks in once a day, at 01:00, and takes release 1 on top of 0.

    `tables` maps a column of a cohort, or a rule, to a duration that varies. `defect` has `effect`, and may
    have `visible`, `uj_per_hour` and `onset_ms`. A column given as a number has one row.
    """
    numbers = [0] * rule.RULES
    numbers[rule.RULE_STORAGE] = 1
    numbers[rule.RULE_DEFERRALS] = 2
    numbers[rule.RULE_ATTEMPTS] = 3
    numbers[rule.RULE_GRANULE] = 4096
    numbers[rule.RULE_BACKOFF] = 60_000
    numbers[rule.RULE_BACKOFF_MAX] = 90_000
    numbers[rule.RULE_POWER_OFF] = 5000
    numbers[rule.RULE_REPORT_DELAY] = 10
    numbers[rule.RULE_HORIZON] = 30 * DAY_MS
    numbers[rule.RULE_FREE_TOLD] = 1
    numbers[rule.RULE_ARTEFACTS] = ARTEFACTS
    numbers[rule.RULE_CHAIN] = CHAIN
    numbers[rule.RULE_PRIMARY] = NEW
    numbers[rule.RULE_RECOVERY] = NO_ROW
    numbers[rule.RULE_SELF_TEST] = 1
    numbers[rule.RULE_BACKUP_FITS] = 1
    numbers[rule.RULE_ROUNDS] = 1
    numbers[rule.RULE_RETRY_AFTER] = DAY_MS
    for number, value in (rules or {}).items():
        numbers[number] = value
    none, per_artefact = [NO_ROW], [SIZE * 2, SIZE] * CHAIN
    row: dict[str, list[int]] = {name: [0] for name in Fleet._fields}
    row |= {name: [NO_ROW] for name in Fleet._fields if name.endswith("_table")}
    row |= {name: [NO_ROW] for name in ("move", "special", "special_boot", "sick_ms", "drain_from_ms")}
    row |= {name: [-1] for name in ("offered_ms", "started_ms", "confirmed_ms", "finished_ms", "reported_ms")}
    row |= {
        "key": [device_key(seed, 0)],
        "wake_phase_ms": [HOUR_MS],
        "rx_pj_per_byte": [150_000],
        "free_bytes": none[:],
        "defect": none[:],
        "wake_period_ms": [DAY_MS],
        "wake_below": [CERTAIN],
        "week_below": [CERTAIN] * 168,
        "reboot_ms": [2000],
        "self_test_ms": [30_000],
        "foreground_below": [CERTAIN],
        "leaves": [1],
        "breaks": [1],
        "accept_below": [CERTAIN],
        "charge_for_ms": [6 * HOUR_MS],
        "published_ms": [NEVER, 0, NEVER, NEVER],
        "stone": [0] * CHAIN,
        "without_patch": [2 * member for member in range(CHAIN)],
        "wire_bytes": per_artefact,
        "room": [1] * ARTEFACTS,
        "session_ms": [HOUR_MS] * ARTEFACTS,
        "listen_uj": [11] * ARTEFACTS,
        "offer": [2 * target + 1 for _ in range(CHAIN) for target in range(CHAIN)],
        "on_install": none * (STATES * ARTEFACTS),
        "on_boot": none * STATES,
        "on_confirm": none * STATES,
        "on_need_uj": none * (STATES * ARTEFACTS),
        "rules": numbers,
        "recovery_ms": [NEVER],
        "target": [NEW],
        "artefact": [2 * NEW + 1],
        "until_ms": [NEVER],
        "away_from_ms": [NEVER],
        "notified_ms": [-1],
        "start_uj": none[:],
        "outcome": [OUTCOME_CODE[Outcome.PENDING]],
        "reported": none[:],
        "phase_uj": [0] * rule.ENERGY_PHASES,
    }
    row |= {name: [] for name in Fleet._fields if name.startswith("move_")}
    if defect is not None:
        row["defect"] = [0]
        row["onset_ms"] = [defect.get("onset_ms", 0)]
        row["defect_effect"] = [defect["effect"]]
        row["defect_visible"] = [defect.get("visible", 0)]
        row["defect_uj_per_hour"] = [defect.get("uj_per_hour", 0)]
    quantiles: list[int] = []
    for name, distribution in (tables or {}).items():
        if isinstance(name, int):
            numbers[name] = len(quantiles)
        else:
            row[name] = [len(quantiles)]
        if name == "online_table":
            row["away_from_ms"] = [0]
        quantiles += quantile_table(parse_distribution(distribution))
    row["quantiles"] = quantiles
    row |= {name: value if isinstance(value, list) else [value] for name, value in columns.items()}
    fleet = Fleet(**row)
    return Device(fleet, Bench(fleet, install, faults or {}, single_slot, hears), speeds)


@pytest.fixture(scope="session")
def device() -> Callable[..., Device]:
    """Makes a device; see `make`."""
    return make
