"""One scenario, simulated and summed up: what `simlib.run` is."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from simlib.device.memo import Memo
from simlib.fleet import InventoryReport
from simlib.results import Run, Timings
from simlib.results.harm import harm_of
from simlib.scenario import Scenario
from simlib.scenario.sources import recalled_keys
from simlib.simulation import Simulated, simulate
from simlib.simulation.recorder import Alert
from simlib.simulation.run import SIMPY_UP_TO
from simlib.simulation.simpy_run import Extra
from simlib.study.summing import summed_up


def run(
    scenario: Scenario | str,
    *,
    engine: str = "auto",
    extra: Extra | None = None,
    on_alert: Callable[[Alert], None] | None = None,
    on_case: Callable[[int], None] | None = None,
    watch: Callable[[Callable[[], int]], None] | None = None,
    memo: bool = True,
) -> Run:
    """Simulate one scenario: an object, a preset's name or a file.

    `extra` may add SimPy processes of its own beside the fleet (it is called with the clock and the fleet's
    columns); `on_alert` is called with each alert as it happens, `on_case` with the number of bench cases
    so far. With ``memo=False`` the bench computes every case anew. Interrupting the clock (Ctrl-C) gives
    the result up to then, marked by ``summary["interrupted_at_ms"]``. Raises `InputError`.
    """
    began = time.perf_counter()
    if isinstance(scenario, str):
        scenario = Scenario.load(scenario)
    made = simulate(
        scenario,
        engine=engine,
        extra=extra,
        on_alert=on_alert,
        on_case=on_case,
        watch=watch,
        memo=Memo.open_default() if memo else None,
    )
    summary = summed_up(
        scenario,
        made,
        Timings(made.setup_s, made.bench_s, made.wall_s, time.perf_counter() - began),
        interrupted_ms=made.interrupted_ms,
        duplicates=made.duplicates,
        further_verdicts=made.further_verdicts,
        recalled=_recalled(scenario, made),
        inventory=None if made.inventory is None else _inventory(made.inventory),
        harm=harm_of(scenario.spec.harm, made.tables["devices"]),
    )
    summary |= {"engine_asked": engine, "simpy_up_to": SIMPY_UP_TO, "keys": made.keys}
    return Run(scenario.to_toml(), made.tables, summary)


def _inventory(report: InventoryReport) -> dict[str, object]:
    """What was read, and the hash of the file that it was read from."""
    with Path(report.file).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return report.to_json() | {"sha256": digest}


def _recalled(scenario: Scenario, made: Simulated) -> list[str]:
    """The figures behind this run that are recalled, of the calibration tables and of the scenario itself."""
    tables = [f"{f.profile} {f.parameter} = {f.value} {f.unit}: {f.source}" for f in made.recalled]
    own = [
        f"{key} = {value}: {source}"
        for key, value, source in recalled_keys(scenario.document, dict(scenario.spec.sources))
    ]
    return tables + own
