"""The columns of `devices.parquet`, version 1: what each is made of, of a run that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from simlib.fleet import Population, Route
from simlib.lifecycle.codes import OUTCOME_CODE, OUTCOMES, REASONS
from simlib.lifecycle.columns import ENERGY_NAMES, ENERGY_PHASES, Fleet
from simlib.outcomes import Outcome
from simlib.release import Release
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.cases import Cases
from simlib.simulation.devices import had_updated
from simlib.simulation.idle import idle_energy_uj
from simlib.simulation.rows import Column, DeviceRows, Names, Numbers, Part, Texts, part_of

NO_TEXT: Final = "none"
PART_ROWS: Final = 1 << 18
"""So many devices are worked on at once where intermediate results would fill the memory."""

_OF_DEVICES: Final = frozenset(
    Fleet._fields[: Fleet._fields.index("wake_period_ms")] + Fleet._fields[Fleet._fields.index("phase") :]
)


def device_rows(
    spec: ScenarioSpec,
    population: Population,
    release: Release,
    cases: Cases,
    routes: Sequence[Route],
    fleet: Fleet,
    groups: NDArray[Any],
    released_ms: NDArray[np.int64],
    end_ms: int,
) -> DeviceRows:
    """The device table of a run that ended at `end_ms`. Columns of `fleet` that are arrays are not copied.

    `groups` is each device's group, `released_ms` when it could first have the release, −1 for never.
    """
    n = spec.devices
    labels = [*(firmware.label for firmware in release.firmwares), NO_TEXT]
    endings = [*(outcome.value for outcome in OUTCOMES), NO_TEXT]

    def kept(name: str) -> Part:
        column = getattr(fleet, name)
        return part_of(np.array(column, dtype=np.int64) if isinstance(column, list) else column)

    outcome, offered, finished, confirmed = map(
        kept, ("outcome", "offered_ms", "finished_ms", "confirmed_ms")
    )
    group, rounds, phase_uj = part_of(groups), kept("round"), kept("phase_uj")

    @lru_cache(maxsize=1)  # the nine parts of the energy are asked for one after the other
    def parts(a: int, b: int) -> NDArray[Any]:
        return phase_uj(a * ENERGY_PHASES, b * ENERGY_PHASES)

    def of_cohort(attribute: str) -> Names:
        return Names(part_of(population.cohort), [getattr(each, attribute) for each in spec.cohorts])

    def energy(number: int) -> Numbers:
        return Numbers(lambda a, b: parts(a, b)[number::ENERGY_PHASES])

    columns: dict[str, Column] = {
        "device": Numbers(lambda a, b: np.arange(a, b, dtype=np.int64)),
        "cohort": of_cohort("name"),
        "hardware": of_cohort("hardware"),
        "layout": of_cohort("layout"),
        "group": Numbers(lambda a, b: group(a, b).astype(np.int64) + 1),
        "base_version": Names(part_of(population.base), labels),
        "final_version": Names(kept("running"), labels),
        "artefact": Names(kept("artefact"), [*cases.artefacts, NO_TEXT]),
        "outcome": Names(outcome, endings),
        "reason": Names(kept("reason"), [reason.value for reason in REASONS]),
        "reported_outcome": Names(kept("reported"), endings),
        "attempts": Numbers(kept("attempts")),
        "bytes_down": Numbers(kept("bytes_down")),
        "bytes_wasted": Numbers(kept("bytes_wasted")),
        "energy_radio_uj": Numbers(kept("radio_uj")),
        "energy_flash_uj": Numbers(kept("flash_uj")),
        "energy_compute_uj": Numbers(kept("compute_uj")),
        "offered_ms": Numbers(offered),
        "started_ms": Numbers(kept("started_ms")),
        "finished_ms": Numbers(finished),
        "reported_ms": Numbers(kept("reported_ms")),
        "energy_idle_uj": Numbers(part_of(_idle_uj(spec, population, routes, fleet, end_ms))),
        **{f"energy_{name}_uj": energy(number) for number, name in enumerate(ENERGY_NAMES)},
        "released_ms": Numbers(part_of(released_ms)),
        "zone": Names(part_of(population.zone), [zone.name for zone in spec.zones]),
        "link": Names(part_of(population.link), [link.name for link in spec.links]),
        "bytes_up": Numbers(kept("bytes_up")),
        "bytes_back": Numbers(kept("bytes_back")),
        "rounds": Numbers(lambda a, b: rounds(a, b).astype(np.int64) + (offered(a, b) >= 0)),
        "confirmed_ms": Numbers(confirmed),
        "defect": Names(kept("defect"), [*(d.name for d in spec.defects), "faults.defect", NO_TEXT]),
        "defect_shown": Numbers(kept("shown"), np.bool_),
        "settings_lost": Numbers(kept("settings_lost"), np.bool_),
        "exposed_ms": _exposed(
            spec, had_updated(population, release.primary), outcome, finished, confirmed, end_ms
        ),
    }
    if population.names is not None:
        columns["name"] = Texts(population.names)
    return DeviceRows(n, columns)


def _exposed(
    spec: ScenarioSpec,
    from_start: NDArray[np.bool_],
    outcome: Part,
    finished: Part,
    confirmed: Part,
    end_ms: int,
) -> Numbers:
    """For how long each device ran a version that the release mends while the exploit was about [ms].

    From the publication and the exploit's onset until the device confirmed the release or a later one, or
    stopped running anything; a device that was brought back is exposed again. Those of `from_start` had the
    release before the rollout.
    """
    reported = spec.disclosure.reported_ms
    if reported is None:
        return Numbers(lambda a, b: np.zeros(b - a, dtype=np.int64))
    start = max(reported + spec.disclosure.embargo_ms + spec.disclosure.exploit_ms, 0)
    bricked, back = OUTCOME_CODE[Outcome.BRICKED], OUTCOME_CODE[Outcome.ROLLED_BACK]

    def exposed_ms(a: int, b: int) -> NDArray[np.int64]:
        ends, stopped = outcome(a, b), finished(a, b).astype(np.int64)
        since = confirmed(a, b).astype(np.int64)
        until = np.where(since >= 0, since, end_ms)
        until = np.where((ends == bricked) & (since < 0), stopped, until)
        exposed = np.where(from_start[a:b], 0, np.maximum(until - start, 0))
        again = np.maximum(end_ms - np.maximum(stopped, start), 0)
        total: NDArray[np.int64] = exposed + np.where(ends == back, again, 0)
        return total

    return Numbers(exposed_ms)


class _FleetPart:
    """The columns of some devices only; those of cohorts and of the scenario are whole."""

    def __init__(self, fleet: Fleet, start: int, stop: int) -> None:
        self._fleet, self._start, self._stop = fleet, start, stop

    def __getattr__(self, name: str) -> Any:
        column = getattr(self._fleet, name)
        rows = ENERGY_PHASES if name == "phase_uj" else 1
        return column[self._start * rows : self._stop * rows] if name in _OF_DEVICES else column


def _idle_uj(
    spec: ScenarioSpec, population: Population, routes: Sequence[Route], fleet: Fleet, end_ms: int
) -> NDArray[np.int64]:
    """What each device used while nothing was updated [µJ], worked out for a part of them at a time."""
    energy = np.empty(spec.devices, dtype=np.int64)
    for start in range(0, spec.devices, PART_ROWS):
        stop = min(start + PART_ROWS, spec.devices)
        columns: dict[str, Any] = {each.name: getattr(population, each.name) for each in fields(population)}
        parts: dict[str, Any] = {n: c if c is None else c[start:stop] for n, c in columns.items()}
        some = replace(population, **parts)
        energy[start:stop] = idle_energy_uj(
            spec, some, routes, cast(Fleet, _FleetPart(fleet, start, stop)), end_ms
        )
    return energy
