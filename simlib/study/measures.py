"""What a study keeps of one replication: a row of figures, and nothing that depends on where it ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from simlib.device.memo import Memo
from simlib.errors import InputError
from simlib.outcomes import Outcome
from simlib.results import Timings
from simlib.scenario import Scenario
from simlib.scenario.toml_text import shown
from simlib.simulation import simulate
from simlib.simulation.run import ENGINES, prepare
from simlib.study.summing import summed_up

TIMES: Final = ("time_to_50_ms", "time_to_90_ms", "time_to_95_ms")
TOTALS: Final = (
    "bytes_down",
    "bytes_wasted",
    "energy_radio_uj",
    "energy_flash_uj",
    "energy_compute_uj",
    "energy_idle_uj",
)
EXPOSURE: Final = (
    "offered",
    "downloading",
    "trial",
    "confirmed",
    "bricked",
    "released",
    "waiting",
    "recalled",
)

DTYPES: Final[Mapping[str, str]] = {
    **{outcome.value: "int64" for outcome in Outcome},
    **dict.fromkeys(TIMES, "Int64"),
    **dict.fromkeys(TOTALS, "int64"),
    "halted": "bool",
    "halted_at_ms": "Int64",
    **{f"exposure_{state}": "Int64" for state in EXPOSURE},
    "digest": "str",
}
"""The measures in the order of a study's columns, each with its type there; ``Int64`` may be missing."""


def measure(scenario: Scenario, engine: str = "auto") -> dict[str, Any]:
    """Simulate `scenario` once and give the measures of `DTYPES` alone, None for a time that never came.

    A pure function of its arguments: where, when and beside what it runs changes nothing. Outcomes are
    numbers of devices, times ms since the start, bytes and energies [uJ] sums over the fleet, `exposure_*`
    numbers of devices at the halt (None without one), `digest` the run's digest. Raises `InputError`, and
    KeyboardInterrupt for a run that was broken off: half a replication is none.
    """
    made = simulate(scenario, engine=engine, memo=Memo.open_default(), record=False)
    if made.interrupted_ms is not None:
        raise KeyboardInterrupt
    summary = summed_up(scenario, made, Timings(0.0, 0.0, 0.0, 0.0))
    exposure = summary["exposure_at_halt"] or {}
    facts = {
        **summary["outcomes"],
        **summary,
        **{f"exposure_{state}": exposure.get(state) for state in EXPOSURE},
    }
    return {name: facts[name] for name in DTYPES}


def check(scenario: Scenario, engine: str) -> None:
    """Find out, without simulating, what would keep `scenario` from running. Raises `InputError`.

    Its release is built, its fleet filled and its regular cases taken to the bench, all of which a
    replication needs anyway and finds remembered.
    """
    if engine not in ENGINES:
        raise InputError(f"engine: found {shown(engine)}, expected one of {', '.join(ENGINES)}")
    prepare(scenario, memo=Memo.open_default())
