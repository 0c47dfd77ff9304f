"""What an update takes from a battery, and what it puts on the links: questions to a run that is over.

From the run's tables, its scenario and the calibration tables alone, so a saved run answers them too.
Energies are means over devices and therefore no whole numbers; the tables they come from hold whole
microjoules. The battery gate that an update needs takes the bench, and so is left to
`simlib.study.battery_gates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from simlib.fleet.routes import routes_of, usable_cell_uj
from simlib.lifecycle.columns import ENERGY_NAMES
from simlib.outcomes import Outcome
from simlib.scenario import Scenario
from simlib.scenario.calibration import CellProfile, cell_profile
from simlib.scenario.model import CohortSpec, ScenarioSpec

if TYPE_CHECKING:
    from simlib.results.run import Run

PARTS: Final = ENERGY_NAMES
"""What a device was doing when it spent the energy, in order of time."""
COMPONENT_NAMES: Final = ("radio", "flash", "compute")
"""What in the device spent it. The parts and the components sum to the same."""
UPDATES_A_YEAR: Final = (1, 4, 12)
DAYS_PER_YEAR: Final = 365
CARRIED: Final = 0.95
"""The share of a run's bytes whose days count in `bytes_by_hour`."""
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_HOURS_PER_DAY: Final = 24


def update_energy(run: Run) -> pd.DataFrame:
    """What an updated device spent, the mean of each cohort [µJ].

    A row a cohort that has updated devices, in the scenario's order: `devices`, how many; ``<part>_uj`` for
    each of `PARTS`; ``<component>_uj`` for each of `COMPONENT_NAMES`; `total_uj`. Everything the device
    spent on updating counts, attempts that failed before it succeeded included.
    """
    updated = run.devices[run.devices["outcome"] == Outcome.UPDATED]
    names = [f"{name}_uj" for name in (*PARTS, *COMPONENT_NAMES)]
    grouped = updated.groupby("cohort")
    means = grouped[[f"energy_{name}" for name in names]].mean()
    means.columns = names
    means.insert(0, "devices", grouped.size())
    means["total_uj"] = means[[f"{name}_uj" for name in PARTS]].sum(axis=1)
    return _in_order(run, means)


def update_years(run: Run) -> pd.DataFrame:
    """What one update costs a battery's life, and that life without updates and with some a year.

    A row a cohort that has a cell and updated devices, in the scenario's order:

    - `cell`: its profile in ``data/calibration/battery.csv``; `rechargeable`;
    - `cell_uj`: usable energy of a full one: the profile's, less what the peak current costs;
    - `idle_uj_per_day`: self-discharge (the profile's), sleep and polls (the mean of `energy_idle_uj` over
      the run's days, of devices that lived to its end and that no defect met), and, of a rechargeable one,
      the device's own use (the mean of its habit's limits);
    - `update_uj`: `total_uj` of `update_energy`;
    - `days_per_update` = update_uj / idle_uj_per_day;
    - ``years_with_<n>`` = cell_uj / (365 idle_uj_per_day + n update_uj) for n = 0 and each of
      `UPDATES_A_YEAR`. For a rechargeable battery it is the time until it is empty if nobody charges it.

    The energy is taken as if all of it could be drawn to the last: no voltage that sags with age or cold,
    which ends the life of real cells sooner.
    """
    spec = _spec(run)
    energy = update_energy(run)
    end_ms = run.summary.get("interrupted_at_ms", spec.horizon_ms)
    rows: dict[str, dict[str, object]] = {}
    for cohort, route in zip(spec.cohorts, routes_of(spec), strict=True):
        devices = run.devices[run.devices["cohort"] == cohort.name]
        living = ~devices["outcome"].isin([Outcome.BRICKED, Outcome.LOST]) & ~devices["defect_shown"]
        if not cohort.cell or cohort.name not in energy.index or not living.any() or not end_ms:
            continue
        cell = cell_profile(cohort.cell)
        full = usable_cell_uj(cohort, route)
        idle = _HOURS_PER_DAY * cell.self_discharge_uj_per_hour + _own_use(spec, cohort, cell, full)
        idle += float(devices.loc[living, "energy_idle_uj"].mean()) * DAY_MS / end_ms
        update = float(energy.loc[cohort.name, "total_uj"])
        rows[cohort.name] = {
            "cell": cell.name,
            "rechargeable": cell.rechargeable,
            "cell_uj": full,
            "idle_uj_per_day": idle,
            "update_uj": update,
            "days_per_update": update / idle,
            **{f"years_with_{n}": full / (DAYS_PER_YEAR * idle + n * update) for n in (0, *UPDATES_A_YEAR)},
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("cohort")


def bytes_by_hour(run: Run, utc_offset_ms: int = 0) -> pd.DataFrame:
    """Bytes on the links in each hour of the day: a row an hour from 0 to 23.

    Columns `mean`, `least` and `most`, over the `days` that carried the rollout: from the first until all but
    5 % of the bytes had moved, since a long tail of nearly idle days says nothing of a busy one. The hour is
    UTC's, or that of a clock that is `utc_offset_ms` ahead of it: links see all zones at once. Between two
    samples of the timeline the bytes are spread evenly, so nothing is finer than the scenario's `timeline`.
    """
    times = run.timeline["time_ms"].to_numpy()
    first = -(-(times[0] + utc_offset_ms) // HOUR_MS)
    last = (times[-1] + utc_offset_ms) // HOUR_MS
    marks = np.arange(first, last + 1)
    sums = np.interp(marks * HOUR_MS - utc_offset_ms, times, run.timeline["bytes_on_links"].to_numpy())
    hours = pd.DataFrame({"hour": marks[:-1] % 24, "day": marks[:-1] // 24, "bytes": np.diff(sums)})
    of_day = hours.groupby("day")["bytes"].sum()
    so_far = of_day.cumsum()
    carried = of_day.index[(so_far > 0) & (so_far - of_day < CARRIED * of_day.sum())]
    by_hour = hours[hours["day"].isin(carried)].groupby("hour")["bytes"]
    table = by_hour.agg(mean="mean", least="min", most="max", days="size")
    return table.reindex(range(24)).fillna(0).astype({"days": int})


def _own_use(spec: ScenarioSpec, cohort: CohortSpec, cell: CellProfile, full_uj: int) -> float:
    """What the device's own work takes a day [µJ]; a primary cell's is in no scenario."""
    habits = [habit for habit in spec.habits if habit.name == cohort.habit]
    if not cell.rechargeable or not habits:
        return 0.0
    return float((habits[0].use_low + habits[0].use_high) / 2 * full_uj)


def _in_order(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table by cohort in the scenario's order."""
    names: Sequence[str] = [cohort.name for cohort in _spec(run).cohorts]
    return table.loc[[name for name in names if name in table.index]]


def _spec(run: Run) -> ScenarioSpec:
    return Scenario.from_toml(run.scenario_toml).spec
