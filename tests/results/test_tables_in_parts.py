"""What is counted from the device table of each preset is what its whole frame says, whatever the parts."""

from collections import Counter
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import Reason
from simlib.lifecycle.codes import OUTCOME_CODE, OUTCOMES, REASON_CODE, REASONS
from simlib.lifecycle.columns import Fleet
from simlib.lifecycle.phases import Phase
from simlib.outcomes import Outcome
from simlib.results import Timings, summarise
from simlib.results import device_table as reading
from simlib.results.harm import harm_of
from simlib.results.summary import time_to_share
from simlib.scenario import Scenario
from simlib.scenario.field_model import HarmSpec
from simlib.simulation import device_rows as building
from simlib.simulation import simulate, tables
from simlib.simulation.run import prepare

PRESETS = sorted(path.stem for path in (Path(__file__).parents[2] / "data" / "presets").glob("*.toml"))


@pytest.fixture(scope="module", params=PRESETS)
def ended(request):
    """A small run of a preset: what the device table is made of."""
    caught = []
    small = Scenario.load(request.param).with_({"devices": 200})
    made = simulate(small, extra=lambda clock, fleet: caught.append(fleet))
    prepared, _ = prepare(small)
    spec = prepared.spec
    facts = (spec, prepared.population, prepared.release, prepared.cases, prepared.routes)
    opened = made.tables["groups"]["opened_ms"].to_numpy()
    groups = np.asarray(prepared.population.group)
    decided = (groups, opened[groups])
    return SimpleNamespace(facts=facts, fleet=caught[0], decided=decided, spec=spec, tables=made.tables)


def narrowed(fleet):
    """The columns as arrays, each in the smallest type that holds it."""

    def small(column):
        values = np.array(column, dtype=np.int64)
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        return values.astype(np.min_scalar_type(min(low, -1 - high)))

    names = Fleet._fields[Fleet._fields.index("phase") :]
    return fleet._replace(**{name: small(getattr(fleet, name)) for name in (*names, "defect", "barred")})


def test_lists_arrays_and_parts_of_a_fleet_give_the_same_table(ended, monkeypatch):
    whole = building.device_rows(*ended.facts, ended.fleet, *ended.decided, ended.spec.horizon_ms).frame()
    pd.testing.assert_frame_equal(ended.tables["devices"].frame(), whole)
    monkeypatch.setattr(building, "PART_ROWS", 90)
    for fleet in (ended.fleet, narrowed(ended.fleet)):
        table = building.device_rows(*ended.facts, fleet, *ended.decided, ended.spec.horizon_ms)
        pd.testing.assert_frame_equal(table.frame(), whole)
        pd.testing.assert_frame_equal(pd.concat(table.chunks(70), ignore_index=True), whole)
        pd.testing.assert_frame_equal(table.frame(9, 4), whole.iloc[9:4].reset_index(drop=True))


def exposed_ms(spec, from_start, outcome, finished_ms, confirmed_ms):
    """For how long one device was exposed."""
    disclosure = spec.disclosure
    if disclosure.reported_ms is None:
        return 0
    begin = max(disclosure.reported_ms + disclosure.embargo_ms + disclosure.exploit_ms, 0)
    until = spec.horizon_ms
    if confirmed_ms >= 0:
        until = confirmed_ms
    elif outcome == OUTCOME_CODE[Outcome.BRICKED]:
        until = finished_ms
    first = 0 if from_start else max(until - begin, 0)
    if outcome != OUTCOME_CODE[Outcome.ROLLED_BACK]:
        return first
    return first + max(spec.horizon_ms - max(finished_ms, begin), 0)


def test_exposure_and_rounds_are_worked_out_device_by_device(ended):
    spec, population = ended.spec, ended.facts[1]
    random = np.random.default_rng(5)
    n, late = spec.devices, spec.horizon_ms
    ends = [OUTCOME_CODE[end] for end in (Outcome.BRICKED, Outcome.ROLLED_BACK, Outcome.UPDATED)]
    changed = {
        "outcome": random.choice(ends, n).tolist(),
        "finished_ms": random.integers(0, late, n).tolist(),
        "confirmed_ms": np.where(random.random(n) < 0.5, random.integers(0, late, n), -1).tolist(),
        "offered_ms": random.integers(-1, 2, n).tolist(),
        "round": random.integers(0, 3, n).tolist(),
    }
    table = building.device_rows(*ended.facts, ended.fleet._replace(**changed), *ended.decided, late)
    updated = building.had_updated(population, ended.facts[2].primary).tolist()
    rows = zip(updated, *(changed[name] for name in ("outcome", "finished_ms", "confirmed_ms")), strict=True)
    assert table.column("exposed_ms").tolist() == [exposed_ms(spec, *row) for row in rows]
    offers = zip(changed["round"], changed["offered_ms"], strict=True)
    assert table.column("rounds").tolist() == [again + (offered >= 0) for again, offered in offers]


@pytest.mark.parametrize("rows", [7, 1 << 16])
def test_groups_and_beliefs_count_the_devices_of_the_frame(ended, rows, monkeypatch):
    monkeypatch.setattr(tables, "PART_ROWS", rows)
    table, frame = ended.tables["devices"], ended.tables["devices"].frame()
    beliefs = frame.groupby(["group", "reported_outcome", "outcome"]).size().reset_index(name="devices")
    beliefs.columns = ["group", "believed", "true", "devices"]
    pd.testing.assert_frame_equal(tables.belief_table(table), beliefs)
    rollout = [SimpleNamespace(opened_ms=1, closed_ms=2, decision="go")] * len(ended.spec.rollout.groups)
    groups = tables.group_table(table, SimpleNamespace(groups=rollout), [0] * len(rollout)).set_index("group")
    for number, row in groups.iterrows():
        mine = frame[frame["group"] == number]
        assert row["size"] == len(mine) and row["offered"] == (mine["offered_ms"] >= 0).sum()
        for outcome in ("updated", "reverted", "bricked", "lost", "failed"):
            assert row[outcome] == (mine["outcome"] == outcome).sum()
    assert groups["size"].sum() == len(frame)
    kept = ["size", "offered", "updated", "reverted", "bricked", "lost", "failed"]
    pd.testing.assert_frame_equal(groups[kept], ended.tables["groups"].set_index("group")[kept])


def sums(devices):
    return summarise(
        scenario="any",
        seed=1,
        engine="any",
        devices=devices,
        stops=[],
        events=0,
        timings=Timings(0.1, 0.2, 0.3, 0.7),
    )


@pytest.mark.parametrize("rows", [7, 1 << 16])
def test_summary_and_harm_are_those_of_the_frame(ended, rows, monkeypatch):
    table, frame = ended.tables["devices"], ended.tables["devices"].frame()
    monkeypatch.setattr(reading, "PART_ROWS", rows)
    summary = sums(table)
    assert summary == sums(frame)
    counts = Counter(frame["outcome"])
    assert summary["outcomes"] == {outcome.value: counts[outcome.value] for outcome in Outcome}
    for column in ("bytes_down", "bytes_wasted", "bytes_up", "bytes_back", "energy_idle_uj"):
        assert summary[column] == sum(frame[column].tolist())
    updated = frame[frame["outcome"] == "updated"]
    times = sorted(np.where(updated["confirmed_ms"] >= 0, updated["confirmed_ms"], updated["finished_ms"]))
    for percent in (50, 90, 95):
        need = -(-len(frame) * percent // 100)
        expected = times[need - 1] if len(times) >= need else None
        assert summary[f"time_to_{percent}_ms"] == time_to_share(frame, percent) == expected
    prices = HarmSpec("EUR", Fraction(3), Fraction(5), Fraction(2), Fraction(1))
    harm = harm_of(prices, table)
    assert harm == harm_of(prices, frame)
    assert harm["recall"] == 3 * (counts["bricked"] + counts["lost"])
    assert harm["delivery"] == 2 * (frame["started_ms"] >= 0).sum()


A_DEVICE = st.tuples(
    st.sampled_from([int(phase) for phase in Phase]),
    st.sampled_from([0, 0, REASON_CODE[Reason.OUT_OF_RANGE]]),
    st.integers(0, len(OUTCOMES) - 1),
    st.integers(0, len(REASONS) - 1),
    st.sampled_from([-1, 0, 5]),
    st.sampled_from([-1, 0, 5]),
)


def told(device, halted, interrupted):
    """Outcome and reason of one device at the end of the run."""
    phase, barred, outcome, reason, offered_ms, started_ms = device
    if phase >= Phase.REPORTING:
        return outcome, reason
    if barred:
        return OUTCOME_CODE[Outcome.DEFERRED], barred
    if halted and started_ms < 0:
        why = Reason.ROLLOUT_HALTED
    elif interrupted:
        why = Reason.INTERRUPTED
    else:
        why = Reason.HORIZON if offered_ms >= 0 else Reason.NOT_OFFERED
    return OUTCOME_CODE[Outcome.PENDING], REASON_CODE[why]


@given(
    st.lists(A_DEVICE, min_size=1, max_size=30),
    st.booleans(),
    st.booleans(),
    st.sampled_from([list, np.int8, np.int64]),
    st.integers(1, 40),
)
def test_devices_that_have_not_ended_get_their_reason_in_any_parts(devices, halted, interrupted, kind, rows):
    names = ("phase", "barred", "outcome", "reason", "offered_ms", "started_ms")
    columns = [
        list(column) if kind is list else np.array(column, dtype=kind)
        for column in zip(*devices, strict=True)
    ]
    fleet = SimpleNamespace(**dict(zip(names, columns, strict=True)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "PART_ROWS", rows)
        tables.close_pending(fleet, halted=halted, interrupted=interrupted)
    found = list(zip(fleet.outcome, fleet.reason, strict=True))
    assert found == [told(device, halted, interrupted) for device in devices]
    if kind is list:
        assert all(type(value) is int for pair in found for value in pair)
