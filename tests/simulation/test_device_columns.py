"""A device's columns hold what the scenario and its own draws say, in no more memory than they need."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from simlib.draws import FLEET, Purpose, device_key, draw32, sampled, threshold
from simlib.errors import Reason
from simlib.fleet import STATES, apportion
from simlib.fleet.population import is_uniform, narrow, uniform
from simlib.lifecycle.codes import OUTCOME_CODE, REASON_CODE
from simlib.lifecycle.columns import AUTOMATIC, ENERGY_PHASES, NEVER, NO_ROW, PROMPTED, REFUSES, Fleet
from simlib.lifecycle.phases import Phase
from simlib.outcomes import Outcome
from simlib.scenario import Scenario
from simlib.scenario.distributions import quantile_table
from simlib.simulation.cases import find_regular, kinds_of
from simlib.simulation.columns import assemble, columns_of, habit_of, owner_of
from simlib.simulation.costs import CohortCosts, start_uj, use_uj_per_hour
from simlib.simulation.devices import defects_of, had_updated
from simlib.simulation.links import attach
from simlib.simulation.run import prepare

EVERYTHING = Path(__file__).with_name("field.toml")


def columns(prepared, population=None):
    """Of the devices, and all others."""
    population = population or prepared.population
    return columns_of(
        prepared.spec, population, prepared.kind, prepared.routes, prepared.release, prepared.cases
    )


@pytest.fixture(scope="module")
def prepared():
    return prepare(Scenario.load(EVERYTHING).with_({"devices": 600}))[0]


@pytest.fixture(scope="module")
def devices(prepared):
    return columns(prepared)[0]


def each(prepared):
    """Key, cohort and number of every device."""
    population = prepared.population
    return list(
        zip(population.keys.tolist(), population.cohort.tolist(), range(prepared.spec.devices), strict=True)
    )


@pytest.mark.parametrize("devices", [1, 600])
def test_every_column_of_a_device_is_an_array_and_one_value_for_all_is_kept_once(devices):
    prepared, _ = prepare(Scenario.load(EVERYTHING).with_({"devices": devices}))
    by_device, others = columns(prepared)
    assert set(by_device) | set(others) | {"phase_uj"} == set(Fleet._fields)
    assert not set(by_device) & set(others)
    for name, column in by_device.items():
        assert column.shape == (devices,), name
        if name == "key":
            assert column.dtype == np.uint64
            continue
        assert column.dtype.kind == "i", name
        assert is_uniform(column) == (len(set(column.tolist())) == 1), name
        assert column.dtype == np.int64 or not is_uniform(column), name
    assert all(type(value) is int for column in others.values() for value in column)
    assert others["halted"] == [0] and others["recovery_ms"] == [NEVER]


def test_the_lists_of_the_python_clock_hold_the_columns_in_integers_of_their_own(prepared, devices):
    fleet = assemble(
        prepared.spec, prepared.population, prepared.kind, prepared.routes, prepared.release, prepared.cases
    )
    for name, column in devices.items():
        values = getattr(fleet, name)
        assert values == column.tolist(), name
        assert {type(value) for value in values} == {int}, name
    assert fleet.phase_uj == [0] * (600 * ENERGY_PHASES)
    lists = [id(values) for values in fleet]
    assert len(lists) == len(set(lists))  # two columns in one list would change together


def test_the_classes_of_the_radio_are_those_of_the_device_and_its_link(prepared, devices):
    spec, routes, rate = prepared.spec, prepared.routes, prepared.population.rate.tolist()
    attachment = attach(spec, prepared.population, routes, max(prepared.cases.wire_bytes))
    seen = set()
    for _, cohort, i in each(prepared):
        assert devices["rx_pj_per_byte"][i] == routes[cohort].rx_pj_per_byte[rate[i]]
        assert devices["tx_pj_per_byte"][i] == routes[cohort].tx_pj_per_byte[rate[i]]
        on = spec.links[attachment.link[i]].name
        assert on in spec.cohorts[cohort].link
        rates = {
            bps for c, r in zip(spec.cohorts, routes, strict=True) if on in c.link for bps in r.rates_bps
        }
        assert sorted(rates)[attachment.rate_class[i]] == routes[cohort].rates_bps[rate[i]]
        seen.add((cohort, attachment.link[i], rate[i]))
    assert len(seen) > 8 and {cohort for cohort, *_ in seen} == {0, 1, 2, 3, 4}
    assert attachment.link == prepared.population.link.tolist() == attachment.link_column.tolist()
    assert attachment.rate_class == attachment.class_column.tolist()
    assert {type(number) for number in attachment.link + attachment.rate_class} == {int}


def test_permissions_and_distance_bar_the_devices_whose_draws_say_so(prepared, devices):
    spec = prepared.spec
    owners = [owner_of(spec, cohort) for cohort in spec.cohorts]
    refused, far = REASON_CODE[Reason.PERMISSION_REFUSED], REASON_CODE[Reason.OUT_OF_RANGE]
    expected = []
    for key, cohort, i in each(prepared):
        owner = owners[cohort]
        barred = 0
        if draw32(key, Purpose.DISTANCE, 0) >= threshold(prepared.routes[cohort].reach):
            barred = far
        if owner.phone and draw32(key, Purpose.PERMISSION, 0) >= threshold(owner.permit_bluetooth):
            barred = refused
        expected.append(barred)
        for number, name, share in (
            (1, "background", owner.permit_background),
            (2, "notifiable", owner.permit_notifications),
        ):
            assert devices[name][i] == (draw32(key, Purpose.PERMISSION, number) < threshold(share)), name
    assert devices["barred"].tolist() == expected
    assert {0, refused, far} == set(expected)


def test_owners_decide_in_the_exact_shares_of_their_cohort_in_the_order_of_their_draws(prepared, devices):
    spec = prepared.spec
    for number, cohort in enumerate(spec.cohorts):
        owner = owner_of(spec, cohort)
        ranked = sorted((draw32(k, Purpose.CONSENT, 0), i) for k, c, i in each(prepared) if c == number)
        parts = apportion([owner.automatic, owner.prompted, owner.never], len(ranked))
        codes = [
            code
            for code, part in zip((AUTOMATIC, PROMPTED, REFUSES), parts, strict=True)
            for _ in range(part)
        ]
        assert devices["consent"][[i for _, i in ranked]].tolist() == codes
    assert len(set(devices["consent"].tolist())) == 3


def test_a_device_has_the_defect_of_its_draws_that_shows_first(prepared):
    spec, population = prepared.spec, prepared.population
    of_hardware, of_layout, of_base, *rest = spec.defects
    defects = (
        replace(of_hardware, hardware=("rev-b",)),
        replace(of_layout, layouts=(spec.cohorts[0].layout,)),
        replace(of_base, base_versions=(2,)),
        *rest,
    )
    often = tuple(replace(facts, prevalence=Fraction(1, 3)) for facts in defects)
    faults = replace(spec.faults, defect=Fraction(1, 10), defect_hardware=("rev-b", "rev-c"))
    spec = replace(spec, defects=often, faults=faults)
    primary = prepared.release.primary
    fleet_key = device_key(spec.seed, FLEET)
    expected = []
    for key, number, i in each(prepared):
        cohort = spec.cohorts[number]
        found = (NO_ROW, 0)
        if cohort.hardware in ("rev-b", "rev-c") and draw32(key, Purpose.DEFECT, 0) < threshold(
            faults.defect
        ):
            found = (len(often), 0)
        for row, facts in enumerate(often):
            fits = (
                draw32(fleet_key, Purpose.RELEASE_DEFECT, row) < threshold(facts.probability)
                and draw32(key, Purpose.PREVALENCE, row) < threshold(facts.prevalence)
                and (row != 0 or cohort.hardware == "rev-b")
                and (row != 1 or cohort.layout == spec.cohorts[0].layout)
                and (row != 2 or primary - int(population.base[i]) == 2)
            )
            shows = 0
            if facts.onset is not None:
                shows = sampled(quantile_table(facts.onset), 0, draw32(key, Purpose.ONSET, row))
            if fits and (found[0] == NO_ROW or shows < found[1]):
                found = (row, shows)
        expected.append(found)
    defect, onset = defects_of(spec, population, primary)
    assert list(zip(defect.tolist(), onset.tolist(), strict=True)) == expected
    assert len({row for row, _ in expected}) == len(often) + 2


def test_a_release_without_defects_needs_no_memory_for_them(prepared):
    spec = replace(prepared.spec, defects=(), faults=replace(prepared.spec.faults, defect=Fraction(0)))
    defect, onset = defects_of(spec, prepared.population, prepared.release.primary)
    assert is_uniform(defect) and is_uniform(onset)
    assert (defect[0], onset[0], len(defect)) == (NO_ROW, 0, 600)


@pytest.mark.parametrize(("inventory", "leaves_again"), [(False, True), (True, True), (True, False)])
def test_who_is_away_at_the_start_is_so_by_its_draw_or_by_the_inventory(prepared, inventory, leaves_again):
    population, (first, *others) = prepared.population, prepared.spec.habits
    if not leaves_again:
        first = replace(first, online=None, offline=None)
    prepared = replace(prepared, spec=replace(prepared.spec, habits=(first, *others)))
    spec = prepared.spec
    unseen = np.full(600, -1)
    if inventory:
        unseen[::2], unseen[::6] = 0, spec.inventory.seen_before_ms + 1
        population = replace(population, unseen_ms=narrow(unseen))
    by_device, _ = columns(prepared, population)
    for key, cohort, i in each(prepared):
        habit = habit_of(spec, spec.cohorts[cohort])
        away = draw32(key, Purpose.DORMANT, 0) < threshold(habit.dormant)
        if unseen[i] >= 0:
            away = unseen[i] > spec.inventory.seen_before_ms
        back = 0
        if habit.dormant_for is not None and away:
            back = sampled(quantile_table(habit.dormant_for), 0, draw32(key, Purpose.DORMANT_FOR, 0))
        assert by_device["away_to_ms"][i] == back
        assert by_device["away_from_ms"][i] == (NEVER if habit.online is None and not back else 0)
    assert np.count_nonzero(by_device["away_to_ms"]) > (30 if inventory else 3)


def costs(cell_uj, rechargeable):
    """Of a cohort with such a battery, and nothing else."""
    nothing = dict.fromkeys(CohortCosts.__dataclass_fields__, 0)
    return CohortCosts(**nothing | {"cell_uj": cell_uj, "rechargeable": rechargeable})


def test_charges_are_exact_where_a_product_would_not_fit_into_64_bits(prepared):
    full = 9_876_543_210_987_654  # of a battery of 2.7 MWh
    spec, drawn = prepared.spec, prepared.population
    cohort = replace(spec.cohorts[0], battery_low=Fraction(1, 10), battery_high=Fraction(9, 10))
    habit = replace(habit_of(spec, cohort), use_low=Fraction(1, 50), use_high=Fraction(2, 5))
    ppm = np.where(np.arange(600) % 3, -1, 1_000_000 - np.arange(600))
    population = replace(drawn, cohort=uniform(0, 600), battery_ppm=narrow(ppm))
    start = start_uj(replace(spec, cohorts=(cohort,)), population, [costs(full, 0)])
    use = use_uj_per_hour(population, [habit], [costs(full, 1)])
    low, span = int(full * Fraction(1, 10)), int(full * Fraction(8, 10)) + 1
    use_low, use_span = int(full * Fraction(1, 50) / 24), int(full * Fraction(19, 50) / 24) + 1
    for i, key in enumerate(drawn.keys.tolist()):
        charge = low + (draw32(key, Purpose.CELL, 0) * span >> 32)
        assert start[i] == (charge if ppm[i] < 0 else int(ppm[i]) * full // 1_000_000)
        assert use[i] == use_low + (draw32(key, Purpose.USE, 0) * use_span >> 32)


def test_a_charge_is_drawn_of_primary_cells_and_told_only_of_what_has_a_cell(prepared, devices):
    spec = prepared.spec
    cells = columns(prepared)[1]["cell_uj"]
    for key, cohort, i in each(prepared):
        facts, cell = spec.cohorts[cohort], cells[cohort]
        start, use = NO_ROW, 0
        if facts.cell == "cr2032":
            span = int((facts.battery_high - facts.battery_low) * cell) + 1
            start = int(facts.battery_low * cell) + (draw32(key, Purpose.CELL, 0) * span >> 32)
        elif facts.cell:
            habit = habit_of(spec, facts)
            span = int((habit.use_high - habit.use_low) * cell / 24) + 1
            use = int(habit.use_low * cell / 24) + (draw32(key, Purpose.USE, 0) * span >> 32)
        assert (devices["start_uj"][i], devices["use_uj_per_hour"][i]) == (start, use)
    half = replace(prepared.population, battery_ppm=uniform(500_000, 600))
    told = columns(prepared, half)[0]["start_uj"].tolist()
    assert told == [cells[c] // 2 if cells[c] else NO_ROW for _, c, _ in each(prepared)]


def test_what_the_inventory_observed_is_the_state_at_the_start(prepared):
    primary = prepared.release.primary
    state = np.arange(600) % (len(STATES) + 1) - 1
    base = np.where(np.arange(600) % 11 == 5, primary, prepared.population.base)
    population = replace(prepared.population, state=narrow(state), base=narrow(base))
    by_device, _ = columns(prepared, population)
    had = had_updated(population, primary)
    for i in range(600):
        outcome = Outcome(STATES[state[i]]) if state[i] >= 0 else Outcome.PENDING
        if outcome is Outcome.PENDING and base[i] >= primary:
            outcome = Outcome.UPDATED
        pending, bricked = outcome is Outcome.PENDING, outcome is Outcome.BRICKED
        code = OUTCOME_CODE[outcome]
        running = primary if outcome is Outcome.UPDATED else base[i]
        quiet = pending or outcome is Outcome.UPDATED
        recorded = population.recorded[i] if pending else running
        assert {name: int(by_device[name][i]) for name in OBSERVED} == {
            "outcome": code,
            "reason": REASON_CODE[Reason.NONE if quiet else Reason.OBSERVED],
            "phase": int(Phase.WAITING if pending else Phase.DONE),
            "reported": NO_ROW if pending or bricked else code,
            "running": NO_ROW if bricked else running,
            "recorded": recorded,
            "offered_ms": -1 if pending else 0,
            "finished_ms": -1 if pending else 0,
        }
        ran_it = base[i] >= primary and outcome not in (Outcome.BRICKED, Outcome.LOST)
        assert had[i] == (outcome is Outcome.UPDATED or ran_it)


OBSERVED = ("outcome", "reason", "phase", "reported", "running", "recorded", "offered_ms", "finished_ms")


def test_states_and_artefacts_are_those_of_the_case_in_the_order_of_the_devices(prepared):
    scenario = Scenario.load(EVERYTHING).with_({"devices": 40_000})
    prepared, _ = prepare(scenario, devices=[3])
    before, cases, population = len(prepared.cases.states), prepared.cases, prepared.population
    late = np.array(population.base)
    late[-1] = prepared.release.primary  # a case that only the last device is in
    population = replace(population, base=narrow(late))
    by_device, _ = columns(prepared, population)
    chain = len(prepared.release.images)
    order = []
    for i, (kind, base, recorded) in enumerate(
        zip(prepared.kind.tolist(), late.tolist(), population.recorded.tolist(), strict=True)
    ):
        assert by_device["state"][i] == cases.start(kind, base)
        row = (kind * chain + recorded) * chain + prepared.release.primary
        assert by_device["artefact"][i] == cases.offer[row]
        order.append(cases.start(kind, base))
    new = [state for state in dict.fromkeys(order) if state >= before]
    assert new == list(range(before, before + len(new))) and len(new) > 5
    assert order.index(new[-1]) == 39_999


def test_a_device_with_little_room_is_of_a_kind_with_as_many_sectors(prepared):
    spec, release = prepared.spec, prepared.release
    sector = prepared.cases.kind_configs[0].sector_size_bytes
    free = np.where(np.arange(600) % 2, -1, np.arange(600) % 7 * sector + 5)
    population = replace(prepared.population, free_bytes=narrow(free))
    kinds, kind = kinds_of(spec, population, release)
    largest = max(artefact.wire_bytes for artefact in release.artefacts)
    for (_, cohort, i), at in zip(each(prepared), kind.tolist(), strict=True):
        size = prepared.cases.kind_configs[cohort].download_size_bytes
        short = 0 <= free[i] < min(size, largest)
        assert kinds[at][0] == cohort
        assert kinds[at][1].download_size_bytes == (free[i] // sector * sector if short else size)
        assert short == (at >= len(spec.cohorts))
    assert len(set(kinds)) == len(kinds) > len(spec.cohorts) + 6
    assert [cohort for cohort, _ in kinds[5:]] == sorted(cohort for cohort, _ in kinds[5:])


class Asked:
    """Stands for the cases of a run, and remembers which were asked for."""

    def __init__(self):
        self.cases = []

    def find_regular(self, *case):
        self.cases.append(case)


def test_the_regular_cases_are_those_that_occur_once_each_in_order(prepared):
    population, kind = prepared.population, prepared.kind
    rows = list(zip(kind.tolist(), population.base.tolist(), population.recorded.tolist(), strict=True))
    asked, of_two = Asked(), Asked()
    find_regular(asked, kind, population)
    assert asked.cases == sorted(set(rows)) and len(asked.cases) > 8
    find_regular(of_two, kind, population, [17, 400, 17])
    assert of_two.cases == sorted({rows[17], rows[400]})
