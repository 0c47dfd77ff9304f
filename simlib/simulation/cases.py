"""What the bench found for the cases that occur in a fleet, as rows the life-cycle looks up.

A case is a state of a device (the hash of its flash and counters) and an event. The regular cases are few:
a kind of device, a base version and an artefact; they are found before the run. What is not regular (a power
cut, a flipped bit, a forged artefact, a battery that is empty in the middle of an install, a second release
on top of a first) is found when a device comes to it, and remembered: which cases those are follows from
draws and from times, so the bench is asked during the run and answers the same at any time.

A power cut is drawn as a moment between the start of an install and the end of the reboot after it. The
uncut case's table of operation times tells which flash operation that moment falls into; for an empty battery
it is the table of energies.

The columns `Fleet.move_*` and `on_*` are this module's arrays, and grow as cases are added.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simlib.device import DeviceConfig
from simlib.device import layouts as device_layouts
from simlib.device.bench import Bench
from simlib.device.events import Boot, Confirm, Cut, Event, Install
from simlib.device.fitness import has_room, streams
from simlib.device.transition import Transition
from simlib.draws import Purpose, below, blocks, draw32, threshold
from simlib.errors import InputError, Reason
from simlib.fleet import Population
from simlib.fleet.population import is_uniform
from simlib.lifecycle.codes import REASON_CODE
from simlib.lifecycle.columns import NO_ROW
from simlib.release import Release, open_manifest
from simlib.scenario.model import CohortSpec, ScenarioSpec

Progress = Callable[[int], None]
NS_PER_MS = 1_000_000
NJ_PER_UJ = 1_000


def up(value: int, unit: int) -> int:
    """Whole units, rounded up."""
    return -(-value // unit)


@dataclass(frozen=True)
class Move:
    """One row: where it starts, what happens, and what the bench found."""

    start: str
    event: Event
    found: Transition
    cut: bool


class Cases:
    """All cases of a run. States, artefacts and kinds of device are numbered; `moves` has a row a transition.

    `kinds` are configurations: a cohort's, or a variant of it with less storage.
    """

    def __init__(
        self,
        spec: ScenarioSpec,
        release: Release,
        bench: Bench,
        kinds: Sequence[tuple[int, DeviceConfig]],
        progress: Progress | None = None,
        *,
        every_bit: bool = False,
    ) -> None:
        """`every_bit`: a flipped bit is the one drawn, not one that stands for all (see `_flipped`)."""
        self._spec = spec
        self._release = release
        self._bench = bench
        self.kinds = tuple(kinds)
        self.kind_cohorts = tuple(cohort for cohort, _ in self.kinds)
        self.kind_configs = tuple(config for _, config in self.kinds)
        self.progress = progress
        self._every_bit = every_bit
        faults = spec.faults
        self._corrupt_below = threshold(faults.corruption)
        self._forged_below = threshold(faults.forged)
        self._cut_below = threshold(faults.power_cut)
        self._rows: dict[tuple[str, Event, bool], int] = {}
        self._identity: list[str] = []  # of each state number
        self._config: list[DeviceConfig] = []  # likewise
        self._start: dict[tuple[int, int], int] = {}
        self._number = {artefact.name: n for n, artefact in enumerate(release.artefacts)}
        self.artefacts = tuple(artefact.name for artefact in release.artefacts)
        self.wire_bytes = [artefact.wire_bytes for artefact in release.artefacts]
        self.states: dict[str, int] = {}
        self.moves: list[Move] = []
        # Arrays of 64-bit integers, which compiled code reads where they lie.
        self.on_install = array("q")  # row state * artefacts + artefact
        self.on_boot = array("q")
        self.on_confirm = array("q")
        self.on_need_uj = array("q")
        self.move_state = array("q")
        self.move_verdict = array("q")
        self.move_running = array("q")
        self.move_cut = array("q")
        self.move_ms = array("q")
        self.move_flash_uj = array("q")
        self.move_compute_uj = array("q")
        self._manifests = [open_manifest(a.manifest, (release.verify_key,)) for a in release.artefacts]
        encrypted = release.decryption_key is not None
        self.room = [
            int(has_room(config, manifest, encrypted=encrypted))
            for _, config in self.kinds
            for manifest in self._manifests
        ]
        chain = range(len(release.images))
        self.offer = [
            self._choose(spec.cohorts[cohort], config, recorded, target)
            for cohort, config in self.kinds
            for recorded in chain
            for target in chain
        ]
        self.without_patch = [
            self._choose(spec.cohorts[cohort], config, None, target)
            for cohort, config in self.kinds
            for target in chain
        ]

    def _choose(self, cohort: CohortSpec, config: DeviceConfig, recorded: int | None, target: int) -> int:
        """The number of the artefact that is offered; with `recorded` None, of the best that is no patch."""
        if target not in self._release.targets:
            return NO_ROW
        if self._spec.release.hardware and cohort.hardware not in self._spec.release.hardware:
            return NO_ROW
        encrypted = self._release.decryption_key is not None
        for artefact in self._release.artefacts_for(recorded, target):
            number = self._number[artefact.name]
            if has_room(config, self._manifests[number], encrypted=encrypted):
                return number
        return self._number[self._release.full_for(target).name]

    def start(self, kind: int, base: int) -> int:
        """The state of a device of this kind fresh from the factory, running the chain's number `base`."""
        known = self._start.get((kind, base))
        if known is None:
            cohort, config = self.kinds[kind]
            try:
                identity = self._bench.start(config, base)
            except InputError as error:
                raise InputError(f"{self._spec.name}: cohorts.{cohort}.{error}") from None
            known = self._start[kind, base] = self._state(identity, config)
        return known

    def find_regular(self, kind: int, base: int, recorded: int) -> None:
        """The course of a first update without faults, with its revert, and by the full artefact where the
        patch is refused.
        """
        chain = len(self._release.images)
        target = self._release.primary
        if base >= target:
            return
        state = self.start(kind, base)
        artefact = self.offer[(kind * chain + recorded) * chain + target]
        if artefact == NO_ROW:
            return
        in_place = device_layouts.get(self.kinds[kind][1].layout).in_place
        for _ in range(self._spec.transfer.attempts):
            found = self.moves[self.install(state, artefact)].found
            state = self.states[found.state]
            if found.verdict == Reason.WRONG_BASE:
                artefact = self.without_patch[kind * chain + target]
            if found.verdict == Reason.NONE or in_place:
                booted = self.moves[self.boot(state)].found
                state = self.states[booted.state]
                if booted.running is None:
                    break
                if booted.running == target:
                    self.confirm(state)
                    if self._spec.faults.defect or self._spec.defects:
                        self.boot(state)
                    break

    def install(self, state: int, artefact: int) -> int:
        """The row of an install without faults."""
        at = state * len(self.artefacts) + artefact
        if self.on_install[at] == NO_ROW:
            self.on_install[at] = self._run(state, Install(self.artefacts[artefact]))
        return self.on_install[at]

    def boot(self, state: int) -> int:
        """The row of a boot without faults."""
        if self.on_boot[state] == NO_ROW:
            self.on_boot[state] = self._run(state, Boot())
        return self.on_boot[state]

    def confirm(self, state: int) -> int:
        """The row of a confirmation."""
        if self.on_confirm[state] == NO_ROW:
            self.on_confirm[state] = self._run(state, Confirm())
        return self.on_confirm[state]

    def need(self, state: int, artefact: int) -> int:
        """What install, boot, confirmation and a revert of this update take together [µJ], faults aside."""
        at = state * len(self.artefacts) + artefact
        if self.on_need_uj[at] == NO_ROW:
            rows = [self.install(state, artefact)]
            found = self.moves[rows[0]].found
            if found.verdict == Reason.NONE:
                rows.append(self.boot(self.states[found.state]))
                booted = self.moves[rows[-1]].found
                after = self.states[booted.state]
                if booted.trial:
                    rows += [self.confirm(after), self.boot(after)]
            self.on_need_uj[at] = sum(self.move_flash_uj[r] + self.move_compute_uj[r] for r in rows)
        return self.on_need_uj[at]

    def faulty_install(self, key: int, number: int, state: int, artefact: int) -> tuple[int, int]:
        """Rows for a device's install number `number` and the boot after it, with the faults drawn for it.

        NO_ROW for a boot that no fault meets. `key` is of the device's draws.
        """
        faults = self._spec.faults
        event = Install(self.artefacts[artefact])
        if draw32(key, Purpose.CORRUPTION, number) < self._corrupt_below:
            event = replace(event, flip_bit=self._flipped(key, number, state, artefact))
        if draw32(key, Purpose.FORGED, number) < self._forged_below:
            event = Install(event.artefact, forged=faults.forgery)
        plain = event == Install(event.artefact)
        row = self.install(state, artefact) if plain else self._run(state, event)
        if draw32(key, Purpose.POWER_CUT, number) >= self._cut_below:
            return row, NO_ROW
        return self._cut(state, event, row, draw32(key, Purpose.POWER_CUT_AT, number))

    def _flipped(self, key: int, number: int, state: int, artefact: int) -> int:
        """The bit of the artefact that arrives flipped.

        A device stores the blob and then compares its hash, before it looks at anything in it; so whichever
        bit it is, the same is refused at the same cost. Where the boot loader looks at an image only when it
        is asked to, what is left in the storage is erased before it is read, and one bit stands for all
        (decision 15; a test compares them). Elsewhere what is in the header counts, and where a patch is
        decoded as it arrives, how far that went: it is the bit drawn.
        """
        bits = 8 * len(self._release.artefacts[artefact].blob)
        bit = below(key, Purpose.CORRUPTION_BIT, number, bits)
        config = self._config[state]
        alike = device_layouts.get(config.layout).on_request and not streams(
            config, self._manifests[artefact]
        )
        return 0 if alike and not self._every_bit else bit

    def _cut(self, state: int, event: Install, row: int, moment: int) -> tuple[int, int]:
        """Rows for an install and the boot after it when power is cut at `moment` / 2**32 of the two."""
        install = self.moves[row].found
        boot = None
        if install.verdict == Reason.NONE:
            boot = self.moves[self.boot(self.states[install.state])].found
        offset_ns = (install.time_ns + (boot.time_ns if boot else 0)) * moment >> 32
        tear = self._spec.faults.tear
        if boot is None or offset_ns < install.time_ns:
            op = install.op_at(offset_ns)
            if op > install.ops:  # between the last write and the end: all is written, then the lights go out
                return self._add(self.moves[row].start, event, install, cut=True), NO_ROW
            return self._run(state, replace(event, cut=Cut(op, tear))), NO_ROW
        op = boot.op_at(offset_ns - install.time_ns)
        if op > boot.ops:
            return row, self._add(install.state, Boot(), boot, cut=True)
        return row, self._run(self.states[install.state], Boot(Cut(op, tear)))

    def brown_out(self, row: int, budget_uj: int) -> int:
        """The row of the move in `row`, cut where a battery with `budget_uj` left is empty."""
        move = self.moves[row]
        op = move.found.op_at_energy(budget_uj * NJ_PER_UJ)
        if op > move.found.ops:
            return self._add(move.start, move.event, move.found, cut=True)
        return self._run(self.states[move.start], replace(move.event, cut=Cut(op, self._spec.faults.tear)))

    def _run(self, state: int, event: Event) -> int:
        start = self._identity[state]
        return self._add(start, event, self._bench.run(start, event), cut=event.cut is not None)

    def _add(self, start: str, event: Event, found: Transition, *, cut: bool) -> int:
        known = self._rows.get((start, event, cut))
        if known is not None:
            return known
        self._rows[start, event, cut] = len(self.moves)
        self._state(found.state, self._config[self.states[start]])
        self.moves.append(Move(start, event, found, cut))
        self.move_state.append(self.states[found.state])
        self.move_verdict.append(REASON_CODE[found.verdict])
        self.move_running.append(NO_ROW if found.running is None else found.running)
        self.move_cut.append(int(cut))
        self.move_ms.append(up(found.time_ns, NS_PER_MS))
        self.move_flash_uj.append(up(found.flash_nj, NJ_PER_UJ))
        self.move_compute_uj.append(up(found.compute_nj, NJ_PER_UJ))
        if self.progress is not None:
            self.progress(len(self.moves))
        return len(self.moves) - 1

    def _state(self, identity: str, config: DeviceConfig) -> int:
        number = self.states.setdefault(identity, len(self._identity))
        if number == len(self._identity):
            self._identity.append(identity)
            self._config.append(config)
            self.on_install.extend([NO_ROW] * len(self.artefacts))
            self.on_need_uj.extend([NO_ROW] * len(self.artefacts))
            self.on_boot.append(NO_ROW)
            self.on_confirm.append(NO_ROW)
        return number


def kinds_of(
    spec: ScenarioSpec, population: Population, release: Release
) -> tuple[tuple[tuple[int, DeviceConfig], ...], np.ndarray]:
    """The configurations that occur, as (cohort, configuration), and each device's among them.

    The first are the cohorts'. A device whose inventory row says that less is free than its download
    partition holds has a smaller one: as many whole sectors as are free.
    """
    configs = [DeviceConfig.from_cohort(cohort) for cohort in spec.cohorts]
    kinds = list(enumerate(configs))
    # Wide enough for a row of `Cases.offer` to be worked out from one.
    kind = population.cohort if is_uniform(population.cohort) else population.cohort.astype(np.int32)
    if is_uniform(population.free_bytes) and population.free_bytes[0] < 0:
        return tuple(kinds), kind
    kind = kind.astype(np.int32)
    largest = max(artefact.wire_bytes for artefact in release.artefacts)
    for number, config in enumerate(configs):
        sector = config.sector_size_bytes
        short = np.flatnonzero(
            (population.cohort == number)
            & (population.free_bytes >= 0)
            & (population.free_bytes < min(config.download_size_bytes, largest))
        )
        counts, variant = np.unique(
            population.free_bytes[short].astype(np.int64) // sector, return_inverse=True
        )
        kind[short] = len(kinds) + variant
        kinds += [(number, replace(config, download_size_bytes=count * sector)) for count in counts.tolist()]
    return tuple(kinds), kind


def find_regular(
    cases: Cases, kind: np.ndarray, population: Population, devices: Iterable[int] | None = None
) -> None:
    """Find the regular cases of the population, or of `devices` alone, to explain them."""
    columns: tuple[np.ndarray, ...] = (kind, population.base, population.recorded)
    if devices is not None:
        chosen = np.fromiter(devices, dtype=np.int64)
        columns = tuple(column[chosen] for column in columns)
    occurs = np.zeros([int(column.max()) + 1 for column in columns], dtype=np.bool_)
    for block in blocks(len(columns[0])):
        occurs[tuple(column[block] for column in columns)] = True
    for each in np.argwhere(occurs).tolist():
        cases.find_regular(*each)
