"""The battery gate that an update needs, worked out from the bench, beside the gates people guess."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from simlib.device.memo import Memo
from simlib.lifecycle.columns import RULE_ARTEFACTS
from simlib.lifecycle.offering import core_needed, data_needed, energy_needed
from simlib.scenario import Scenario
from simlib.simulation.columns import assemble
from simlib.simulation.run import prepare

GUESSES: Final = (10, 25, 30, 70)
"""Shares of a full battery that are asked for in practice [%]."""
STRICT: Final = 2
"""A guess above so many times the derived gate turns devices away for nothing."""


def battery_gates(
    scenario: Scenario | str, guesses: Sequence[int] = GUESSES, *, memo: bool = True
) -> pd.DataFrame:
    """For each cohort with a cell, what the gate ``battery_gate = "energy"`` asks for, and what guesses do.

    A row a cohort, in the scenario's order, for its most expensive device that has something to install:

    - `cell_uj`: usable energy of a full battery;
    - `radio_uj`: connecting, the whole download and a report; `bench_uj`: install, boot, confirmation and a
      revert, on real bytes; `core_uj`: two reboots, the self-test and the probation; `data_uj`: the backup
      of the user's data and its restore;
    - `need_uj`: their sum; `reserve_uj`: the scenario's `precheck.battery_reserve`;
    - `derived_percent` = 100 (need_uj + reserve_uj) / cell_uj: above 100, no battery is enough;
    - for each guess a column ``<n> %``: *too low* if the update may empty the battery (n % of full is less
      than `need_uj`), *no reserve* if it only leaves less than the reserve, *fits*, or *needlessly strict*
      if it asks for more than twice what is derived.

    Nothing is simulated: the bench is asked, and remembers unless ``memo=False``. Raises `InputError`.
    """
    if isinstance(scenario, str):
        scenario = Scenario.load(scenario)
    prepared, _ = prepare(scenario, memo=Memo.open_default() if memo else None)
    population, cases = prepared.population, prepared.cases
    fleet = assemble(prepared.spec, population, prepared.kind, prepared.routes, prepared.release, cases)
    rows: dict[str, dict[str, object]] = {}
    for number, cohort in enumerate(prepared.spec.cohorts):
        full = fleet.cell_uj[number]
        members = np.flatnonzero(population.cohort == number)
        alike = np.stack([c[members] for c in (prepared.kind, population.base, population.rate)], axis=1)
        _, first = np.unique(alike, axis=0, return_index=True)
        costs = []
        for i in members[first].tolist() if full else []:
            artefact = fleet.artefact[i]
            if artefact < 0 or population.base[i] >= prepared.release.primary:
                continue
            fleet.left_bytes[i] = fleet.wire_bytes[artefact]
            cases.need(fleet.state[i], artefact)
            bench = fleet.on_need_uj[fleet.state[i] * fleet.rules[RULE_ARTEFACTS] + artefact]
            costs.append((energy_needed(fleet, i), bench))
        if not costs:
            continue
        need, bench = max(costs)
        core, data = core_needed(fleet, number), data_needed(fleet, number, backed_up=0)
        reserve = fleet.reserve_uj[number]
        rows[cohort.name] = {
            "cell": cohort.cell,
            "cell_uj": full,
            "radio_uj": need - bench - core - data,
            "bench_uj": bench,
            "core_uj": core,
            "data_uj": data,
            "need_uj": need,
            "reserve_uj": reserve,
            "derived_percent": 100 * (need + reserve) / full,
            **{f"{guess} %": verdict(guess, need, reserve, full) for guess in guesses},
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("cohort")


def verdict(guess_percent: int, need_uj: int, reserve_uj: int, cell_uj: int) -> str:
    """What a gate at `guess_percent` of `cell_uj` does to an update that takes `need_uj`."""
    asked = guess_percent * cell_uj
    if asked < 100 * need_uj:
        return "too low"
    if asked < 100 * (need_uj + reserve_uj):
        return "no reserve"
    return "fits" if asked <= 100 * STRICT * (need_uj + reserve_uj) else "needlessly strict"
