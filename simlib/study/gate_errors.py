"""How often each gate halts a rollout that is as good as it has to be, and how soon one that is not.

Two ways to find out. `direct_errors` draws only the verdicts, device after device, for thousands of rollouts
in seconds; their devices have the draws that a fleet of the same seed has, and all gates see the same ones.
`fleet_errors` runs whole fleets with `faults.defect` as the cause, and so also knows how long it takes until
a gate has seen enough.

At a true rate that equals the threshold an alarm is a false one. `sprt` and `mixture` keep their level there
however often they look. `naive` and `wilson` repeat a test that may be done once, and are far above it;
`threshold` asks for no proof at all, and at this rate halts sooner or later almost for sure. In a fleet the
verdicts are no stream without order: where failures report sooner than successes, the first ones look worse
than the group is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simlib.device.memo import Memo
from simlib.draws import Purpose, device_keys, draws32, sampled_array, threshold
from simlib.errors import InputError
from simlib.rollout.gates import Gate, gate_of
from simlib.rollout.staged import counts_in
from simlib.scenario import Scenario
from simlib.scenario.distributions import Distribution, quantile_table
from simlib.scenario.model import GroupSpec
from simlib.scenario.schema import GROUP_GATES
from simlib.scenario.toml_text import Document, shown, write_toml
from simlib.scenario.writing import written
from simlib.simulation import simulate
from simlib.study.study import Study

GATES: Final = ("threshold", "wilson", "sprt", "mixture", "mann-whitney", "naive")
IN_FLEETS: Final = ("threshold", "wilson", "sprt", "mixture")
METRIC: Final = Distribution("lognormal", 1000, Fraction(3, 10))
"""The metric of a device whose release changes nothing: median and spread of the logarithm."""
COLUMNS: Final = {
    "gate": "str",
    "rate": "float64",  # of failures, true
    "rise": "float64",  # of the metric, true; what `mann-whitney` looks for
    "rollouts": "int64",
    "alarms": "int64",
    "alarm_rate": "float64",
    "low": "float64",  # Clopper–Pearson interval of the alarm rate
    "high": "float64",
    "exact": "float64",  # the alarm rate by reckoning, where there is one
    "median_judged": "float64",  # at the alarm, over the rollouts that had one
    "median_failures": "float64",
    "median_delay_ms": "float64",  # from the group's opening to the alarm
}
_Counts = NDArray[np.int64]
_NONE: Final = np.iinfo(np.int64).max


def direct_errors(
    group: GroupSpec,
    *,
    gates: Sequence[str] = GATES,
    rates: Sequence[Fraction] | None = None,
    rise: Fraction = Fraction(1, 50),
    devices: int = 2000,
    rollouts: int = 1000,
    seed: int = 1,
    level: float = 0.95,
) -> pd.DataFrame:
    """A row (`COLUMNS`) a gate and true rate, by default the group's `error_threshold` and its `gate_bad`.

    Each rollout has one group of `devices`, all of them judged one after the other; rollout r has the draws
    of seed `seed` + r. `mann-whitney` is tried without failures, on a canary whose metric is as the
    control's (as many devices) and on one where it is higher by the share `rise`. Raises `InputError`.
    """
    if devices < 1 or rollouts < 1:
        raise InputError(f"found {devices} devices and {rollouts} rollouts, expected 1 or more of each")
    for name in gates:
        if name not in GATES:
            raise InputError(f"gate: found {shown(name)}, expected one of {', '.join(GATES)}")
    tried = [name for name in gates if name != "mann-whitney"]
    made = {name: gate_of(replace(group, gate=name)) for name in gates}
    bounds = {name: _bounds(made[name], devices) for name in tried}
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for number, rate in enumerate((group.error_threshold, group.gate_bad) if rates is None else rates):
        alarms: dict[str, list[tuple[int, int]]] = {name: [] for name in tried}
        for failed in _verdicts(rate, devices, rollouts, seed):
            for name in tried:
                if (alarm := first_alarm(failed, bounds[name], made[name].min_sample)) is not None:
                    alarms[name].append(alarm)
        for name in tried:
            exact = _alarm_chance(bounds[name], made[name].min_sample, float(rate), devices)
            rows[name, number] = _row(name, rollouts, alarms[name], level, rate=float(rate), exact=exact)
    if "mann-whitney" in made:
        for number, higher in enumerate((Fraction(0), rise)):
            worse = _metrics_worse(made["mann-whitney"], higher, devices, rollouts, seed)
            halts = [(devices, 0)] * worse
            rows["mann-whitney", number] = _row("mann-whitney", rollouts, halts, level, rise=float(higher))
    ordered = [rows[key] for name in dict.fromkeys(gates) for key in rows if key[0] == name]
    return pd.DataFrame(ordered, columns=list(COLUMNS)).astype(COLUMNS)


def alarm_chance(gate: Gate, rate: float, devices: int) -> float:
    """The chance that `gate` halts one of `devices` verdicts, each a failure with `rate`.

    Exact but for the rounding of floats: the distribution of failures among rollouts that still go on,
    device by device.
    """
    return _alarm_chance(_bounds(gate, devices), gate.min_sample, rate, devices)


def _alarm_chance(bounds: _Counts, min_sample: int, rate: float, devices: int) -> float:
    going, halted = np.ones(1), 0.0
    for judged in range(1, devices + 1):
        next_going = np.zeros(len(going) + 1)
        next_going[:-1] = going * (1 - rate)
        next_going[1:] += going * rate
        if judged >= min_sample:
            errors = np.arange(len(next_going))
            out = errors >= bounds[judged - errors]
            halted += float(next_going[out].sum())
            next_going[out] = 0
            alive = np.flatnonzero(~out)  # a gate that halts at some number of errors halts at more
            next_going = next_going[: alive[-1] + 1] if len(alive) else np.zeros(1)
        going = next_going
    return halted


def first_alarm(failed: NDArray[np.bool_], bounds: _Counts, min_sample: int) -> tuple[int, int] | None:
    """Judged and failed devices when a gate first halts; `failed` are the verdicts in their order."""
    errors = np.cumsum(failed)
    judged = np.arange(1, len(failed) + 1)
    halts = errors >= bounds[judged - errors]
    halts[: min_sample - 1] = False
    first = int(halts.argmax())
    return (first + 1, int(errors[first])) if halts[first] else None


def _bounds(gate: Gate, devices: int) -> _Counts:
    """`errors_to_halt` beside 0 to `devices` successes; where there is none, more than there can be."""
    found = [gate.errors_to_halt(succeeded) for succeeded in range(devices + 1)]
    return np.array([_NONE if each is None else each for each in found], dtype=np.int64)


def _verdicts(rate: Fraction, devices: int, rollouts: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Which of a rollout's devices fail, for each rollout."""
    below = np.uint64(threshold(rate))
    for number in range(rollouts):
        yield draws32(device_keys(seed + number, devices), Purpose.DEFECT, 0) < below


def _metrics_worse(gate: Gate, rise: Fraction, devices: int, rollouts: int, seed: int) -> int:
    """Rollouts in which the gate takes the canary's metric, higher by the share `rise`, for worse."""
    table = np.array(quantile_table(METRIC), dtype=np.int64) * 1000  # fine enough for a small rise
    worse = 0
    for number in range(rollouts):
        values = sampled_array(table, draws32(device_keys(seed + number, 2 * devices), Purpose.SAMPLE, 0))
        canary = values[:devices] * (rise.denominator + rise.numerator) // rise.denominator
        worse += gate.worse(canary.tolist(), values[devices:].tolist())
    return worse


def _row(
    gate: str,
    rollouts: int,
    alarms: Sequence[tuple[float, float]],
    level: float,
    *,
    rate: float = 0.0,
    rise: float = 0.0,
    exact: float = np.nan,
    delays_ms: Sequence[float] = (),
) -> dict[str, Any]:
    low, high = clopper_pearson(len(alarms), rollouts, level)
    judged, failures = np.median(np.array(alarms), axis=0) if alarms else (np.nan, np.nan)
    return {
        "gate": gate,
        "rate": rate,
        "rise": rise,
        "rollouts": rollouts,
        "alarms": len(alarms),
        "alarm_rate": len(alarms) / rollouts,
        "low": low,
        "high": high,
        "exact": exact,
        "median_judged": judged,
        "median_failures": failures,
        "median_delay_ms": np.median(delays_ms) if len(delays_ms) else np.nan,
    }


def clopper_pearson(hits: int, n: int, level: float) -> tuple[float, float]:
    """The interval of a chance that showed `hits` times in `n` (Clopper and Pearson, Biometrika 26, 1934)."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def fleet_errors(
    group: GroupSpec,
    *,
    scenario: Scenario | None = None,
    gates: Sequence[str] = IN_FLEETS,
    rates: Sequence[Fraction] | None = None,
    devices: int = 2000,
    rollouts: int = 1000,
    engine: str = "fused",
    level: float = 0.95,
    client: Any = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """As `direct_errors`, but each rollout is a whole fleet of `scenario`, by default `plain_fleet`.

    `faults.defect` takes the `rates`; they are the true rates where nothing else makes devices fail. What is
    looked at is the rollout's first group, with its gate varied. Raises `InputError`, also for a run that
    was interrupted.
    """
    for name in gates:
        if name not in GROUP_GATES:
            raise InputError(f"gate: found {shown(name)}, expected one of {', '.join(GROUP_GATES)}")
    true = (group.error_threshold, group.gate_bad) if rates is None else rates
    base = plain_fleet(group, devices) if scenario is None else scenario
    study = Study(base, engine=engine, measure=halt_of)
    study = study.vary("rollout.groups.0.gate", gates).vary("faults.defect", true).replicate(rollouts)
    frame = study.run(client, workers=workers)
    if frame.attrs.get("interrupted"):
        raise KeyboardInterrupt
    rows = []
    for place, (name, rate) in enumerate((name, rate) for name in gates for rate in true):
        here = frame.iloc[place * rollouts : (place + 1) * rollouts]
        halted = here[here["halted_at_ms"].notna()]
        counts = list(zip(halted["judged"].astype(float), halted["failures"].astype(float), strict=True))
        delays = halted["halted_at_ms"].astype(float).tolist()
        rows.append(_row(name, rollouts, counts, level, rate=float(rate), delays_ms=delays))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def halt_of(scenario: Scenario, engine: str) -> dict[str, Any]:
    """When the first group's gate halted a run [ms], and the judged and failed devices it saw, or None."""
    made = simulate(scenario, engine=engine, memo=Memo.open_default(), record=False)
    if made.interrupted_ms is not None:
        raise KeyboardInterrupt
    stop = next((stop for stop in made.stops if stop.group == 0), None)
    counts = None if stop is None else counts_in(stop.detail)
    return {
        "halted_at_ms": None if stop is None else stop.at_ms,
        "judged": None if counts is None else counts[1],
        "failures": None if counts is None else counts[0],
    }


def plain_fleet(group: GroupSpec, devices: int) -> Scenario:
    """A fleet of `devices` in one group, where nothing but a defect of the release makes updates fail."""
    gate = written("groups", (replace(group, share=None, gate="threshold"),))
    document: Document = {
        "schema": 1,
        "name": "gate-errors",
        "devices": devices,
        "horizon": "3 d",
        "release": {"size": "64 KiB", "payload": "full", "encrypted": False},
        "links": [{"name": "backend"}],
        "cohorts": [{"name": "all", "link": "backend", "slot_size": "128 KiB", "wake_period": "6 h"}],
        "precheck": {"battery": 0},
        "rollout": {"interval": "1 min", "groups": gate},
    }
    return Scenario.from_toml(write_toml(document), "gate-errors")
