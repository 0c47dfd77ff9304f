"""What the bench found for every case that occurs in a fleet, as rows the life-cycle looks up.

A case is a state of a device (the hash of its flash and counters) and an event. The regular cases are
few: a cohort, a base version and an artefact. A power cut or a flipped bit makes a case of its own; both
are drawn from pure functions, so the cases that can occur are listed beforehand and no others are run.

A power cut is drawn as a moment between the start of an install and the end of the reboot after it. The
uncut case's table of operation times tells which flash operation that moment falls into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from simlib.device import DeviceConfig
from simlib.device import layouts as device_layouts
from simlib.device.bench import Bench
from simlib.device.events import Boot, Confirm, Cut, Event, Install
from simlib.device.precheck import has_room
from simlib.device.transition import Transition
from simlib.draws import Purpose, below, draw32, draws32, threshold
from simlib.errors import Reason
from simlib.fleet import Population
from simlib.lifecycle.columns import NO_ROW
from simlib.release import Release, open_manifest
from simlib.scenario.model import CohortSpec, ScenarioSpec

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Move:
    """One row: where it starts, what happens, and what the bench found."""

    start: str
    event: Event
    found: Transition
    cut: bool


@dataclass
class CaseTable:
    """All cases of a run. States and artefacts are numbered; `moves` has a row a transition."""

    artefacts: tuple[str, ...]
    wire_bytes: tuple[int, ...]
    states: dict[str, int] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    on_install: dict[tuple[int, int], int] = field(default_factory=dict)  # (state, artefact) -> row
    on_boot: dict[int, int] = field(default_factory=dict)
    on_confirm: dict[int, int] = field(default_factory=dict)
    start_state: dict[tuple[int, int], int] = field(default_factory=dict)  # (cohort, base) -> state
    artefact_for: dict[tuple[int, int], int] = field(default_factory=dict)  # (cohort, recorded base)
    room: dict[tuple[int, int], bool] = field(default_factory=dict)  # (cohort, artefact)
    full: int = NO_ROW
    fault_row: dict[int, int] = field(default_factory=dict)  # device -> row of the two lists below
    fault_install: list[list[int]] = field(default_factory=list)  # a row a faulty device, by install number
    fault_boot: list[list[int]] = field(default_factory=list)


def build_cases(
    spec: ScenarioSpec,
    release: Release,
    population: Population,
    bench: Bench,
    *,
    devices: Iterable[int] | None = None,
    progress: Progress | None = None,
) -> CaseTable:
    """List and run every case of `population` (or of `devices` alone, to explain them)."""
    chosen = np.arange(spec.devices) if devices is None else np.fromiter(devices, dtype=np.int64)
    table = CaseTable(
        tuple(a.name for a in release.artefacts), tuple(a.wire_bytes for a in release.artefacts)
    )
    builder = _Builder(spec, release, bench, table, progress)
    builder.list_artefacts()
    kinds = np.unique(
        np.stack([population.cohort[chosen], population.base[chosen], population.recorded[chosen]], axis=1),
        axis=0,
    )
    failing = {kind for kind in map(tuple, kinds.tolist()) if not builder.add_regular(*kind)}
    for device in _with_faults(spec, population, chosen, failing):
        builder.add_faulty(
            device,
            int(population.keys[device]),
            int(population.cohort[device]),
            int(population.base[device]),
            int(population.recorded[device]),
        )
    return table


def _with_faults(
    spec: ScenarioSpec, population: Population, chosen: np.ndarray, failing: set[tuple[int, int, int]]
) -> list[int]:
    """Devices whose first install meets a fault, or fails by itself so that a later one may.

    `failing` are the (cohort, base, recorded base) whose first install fails without any fault.
    """
    if not spec.faults.corruption and not spec.faults.power_cut:
        return []
    keys = population.keys[chosen]
    hit = np.zeros(len(chosen), dtype=bool)
    for cohort, base, recorded in failing:
        hit |= (
            (population.cohort[chosen] == cohort)
            & (population.base[chosen] == base)
            & (population.recorded[chosen] == recorded)
        )
    for purpose, probability in (
        (Purpose.CORRUPTION, spec.faults.corruption),
        (Purpose.POWER_CUT, spec.faults.power_cut),
    ):
        hit |= draws32(keys, purpose, 0) < np.uint64(threshold(probability))
    return [int(d) for d in chosen[hit]]


class _Builder:
    """Fills a `CaseTable`; each public method adds the cases of one kind of device."""

    def __init__(
        self, spec: ScenarioSpec, release: Release, bench: Bench, table: CaseTable, progress: Progress | None
    ) -> None:
        self._spec = spec
        self._release = release
        self._bench = bench
        self._table = table
        self._progress = progress
        self._newest = len(release.images) - 1
        self._number = {name: n for n, name in enumerate(table.artefacts)}
        self._configs = tuple(DeviceConfig.from_cohort(c) for c in spec.cohorts)
        self._identity: list[str] = []  # of each state number

    def list_artefacts(self) -> None:
        """Which artefact is offered to whom, and whether there is room for it."""
        table = self._table
        table.full = next(n for n, a in enumerate(self._release.artefacts) if a.kind == "full")
        release = self._release
        encrypted = release.decryption_key is not None
        manifests = [open_manifest(a.manifest, (release.verify_key,)) for a in release.artefacts]
        for cohort, facts in enumerate(self._spec.cohorts):
            for number, manifest in enumerate(manifests):
                table.room[cohort, number] = has_room(self._configs[cohort], manifest, encrypted=encrypted)
            for recorded in range(self._newest):
                table.artefact_for[cohort, recorded] = self._choose(facts, cohort, recorded)

    def _choose(self, facts: CohortSpec, cohort: int, recorded: int) -> int:
        if self._spec.release.hardware and facts.hardware not in self._spec.release.hardware:
            return NO_ROW
        config = self._configs[cohort]
        artefact = self._release.artefact_for(
            recorded,
            can_patch=config.download_size_bytes > 0 and device_layouts.get(config.layout).has_trial,
            download_size_bytes=config.download_size_bytes,
        )
        return self._number[artefact.name]

    def add_regular(self, cohort: int, base: int, recorded: int) -> bool:
        """The course without faults, with its revert, and by the full artefact where the patch is refused.

        Returns whether the first install succeeds.
        """
        state = self._start(cohort, base)
        artefact = self._table.artefact_for[cohort, recorded]
        if artefact == NO_ROW:
            return True
        first = self._install(state, artefact)
        for _ in range(self._spec.transfer.attempts):
            found = self._install(state, artefact)
            state = self._table.states[found.state]
            if found.verdict == Reason.WRONG_BASE:
                artefact = self._table.full
            if found.verdict == Reason.NONE or self._in_place(cohort):
                booted = self._boot(state)
                state = self._table.states[booted.state]
                if booted.running is None or booted.running == self._newest:
                    break
        return first.verdict == Reason.NONE

    def add_faulty(self, device: int, key: int, cohort: int, base: int, recorded: int) -> None:
        """The course of one device whose installs meet the faults drawn for it."""
        faults, attempts = self._spec.faults, self._spec.transfer.attempts
        cut_below, corrupt_below = threshold(faults.power_cut), threshold(faults.corruption)
        state = self._start(cohort, base)
        artefact = self._table.artefact_for[cohort, recorded]
        if artefact == NO_ROW:
            return
        installs, boots = [NO_ROW] * attempts, [NO_ROW] * attempts
        for number in range(attempts):
            event = Install(self._table.artefacts[artefact])
            if draw32(key, Purpose.CORRUPTION, number) < corrupt_below:
                bits = 8 * len(self._release.artefacts[artefact].blob)
                event = Install(event.artefact, flip_bit=below(key, Purpose.CORRUPTION_BIT, number, bits))
                row = installs[number] = self._run(state, event)
            else:
                self._install(state, artefact)
                row = self._table.on_install[state, artefact]
            found = self._table.moves[row].found
            if draw32(key, Purpose.POWER_CUT, number) < cut_below:
                moment = draw32(key, Purpose.POWER_CUT_AT, number)
                installs[number], boots[number] = self._cut(state, event, row, installs[number], moment)
                cut_row = boots[number] if boots[number] != NO_ROW else installs[number]
                found = self._table.moves[cut_row].found
            elif found.verdict != Reason.NONE and not self._in_place(cohort):
                # Refused: nothing was overwritten, and there is no reboot before the next attempt.
                state = self._table.states[found.state]
                if found.verdict == Reason.WRONG_BASE:
                    artefact = self._table.full
                continue
            state = self._table.states[found.state]
            booted = self._boot(state)
            state = self._table.states[booted.state]
            if booted.running is None or booted.running == self._newest:
                break
        self._table.fault_row[device] = len(self._table.fault_install)
        self._table.fault_install.append(installs)
        self._table.fault_boot.append(boots)

    def _cut(self, state: int, event: Install, row: int, faulty_row: int, moment: int) -> tuple[int, int]:
        """Rows for an install and the boot after it when power is cut at `moment` / 2**32 of the two."""
        install = self._table.moves[row].found
        boot = self._boot(self._table.states[install.state]) if install.verdict == Reason.NONE else None
        offset_ns = (install.time_ns + (boot.time_ns if boot else 0)) * moment >> 32
        tear = self._spec.faults.tear
        if boot is None or offset_ns < install.time_ns:
            op = install.op_at(offset_ns)
            if op > install.ops:  # between the last write and the end: all is written, then the lights go out
                return self._add(self._table.moves[row].start, event, install, cut=True), NO_ROW
            return self._run(state, Install(event.artefact, event.flip_bit, Cut(op, tear))), NO_ROW
        op = boot.op_at(offset_ns - install.time_ns)
        after = self._table.states[install.state]
        if op > boot.ops:
            return faulty_row, self._add(install.state, Boot(), boot, cut=True)
        return faulty_row, self._run(after, Boot(Cut(op, tear)))

    def _start(self, cohort: int, base: int) -> int:
        known = self._table.start_state.get((cohort, base))
        if known is None:
            known = self._state(self._bench.start(self._configs[cohort], base))
            self._table.start_state[cohort, base] = known
        return known

    def _install(self, state: int, artefact: int) -> Transition:
        row = self._table.on_install.get((state, artefact))
        if row is None:
            row = self._run(state, Install(self._table.artefacts[artefact]))
            self._table.on_install[state, artefact] = row
        return self._table.moves[row].found

    def _boot(self, state: int) -> Transition:
        """Boot, and what can follow: a confirmed trial, and a trial whose self-test fails."""
        row = self._table.on_boot.get(state)
        if row is None:
            row = self._table.on_boot[state] = self._run(state, Boot())
        found = self._table.moves[row].found
        after = self._table.states[found.state]
        if found.running == self._newest and after not in self._table.on_confirm:
            self._table.on_confirm[after] = self._run(after, Confirm())
            if self._spec.faults.defect and after not in self._table.on_boot:
                self._table.on_boot[after] = self._run(after, Boot())
        return found

    def _run(self, state: int, event: Event) -> int:
        start = self._identity[state]
        return self._add(start, event, self._bench.run(start, event), cut=event.cut is not None)

    def _add(self, start: str, event: Event, found: Transition, *, cut: bool) -> int:
        self._state(found.state)
        self._table.moves.append(Move(start, event, found, cut))
        if self._progress is not None:
            self._progress(len(self._table.moves))
        return len(self._table.moves) - 1

    def _state(self, identity: str) -> int:
        number = self._table.states.setdefault(identity, len(self._identity))
        if number == len(self._identity):
            self._identity.append(identity)
        return number

    def _in_place(self, cohort: int) -> bool:
        return not device_layouts.get(self._configs[cohort].layout).has_trial
