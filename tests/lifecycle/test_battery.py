"""What is in a battery: full after a night on the charger, less with use, and nothing after a defect."""

from hypothesis import assume, given
from hypothesis import strategies as st

from simlib.draws import CERTAIN, Purpose, device_key, draw32
from simlib.lifecycle import columns as rule
from simlib.lifecycle.battery import empty_at, level_uj, plugged, power_returns, settle, stop_drain
from simlib.lifecycle.columns import NEVER
from simlib.lifecycle.spending import spend
from simlib.lifecycle.waiting import DAY_MS, HOUR_MS

FULL = 1_000_000
SEEDS = st.integers(0, 2**32)
NIGHT = {"charge_from_ms": 22 * HOUR_MS, "charge_for_ms": 6 * HOUR_MS}
PHONE_LIKE = {"cell_uj": FULL, "rechargeable": 1, "use_uj_per_hour": 1000, "idle_uj_per_hour": 10} | NIGHT
PRIMARY = {"cell_uj": FULL, "rechargeable": 0, "idle_uj_per_hour": 10, "start_uj": FULL * 3 // 4}


def nights(seed, share):
    """Numbers of the nights on which the device is charged, straight from the draws."""
    key = device_key(seed, 0)
    return [n for n in range(-59, 40) if draw32(key, Purpose.CHARGE, n + (1 << 12)) < share]


@given(SEEDS, st.integers(CERTAIN // 4, CERTAIN), st.integers(0, 30 * DAY_MS), st.integers(-12, 14))
def test_a_rechargeable_battery_is_full_on_the_charger_and_falls_by_use_since(device, seed, share, now, zone):
    f = device(seed=seed, charge_below=share, zone_ms=zone * HOUR_MS, **PHONE_LIKE).fleet
    start = 22 * HOUR_MS - zone * HOUR_MS
    charged = [(start + n * DAY_MS, start + n * DAY_MS + 6 * HOUR_MS) for n in nights(seed, share)]
    begun = [(a, b) for a, b in charged if a <= now]
    assume(begun)
    on = begun[-1][0] <= now < begun[-1][1]
    assert plugged(f, 0, now) == on
    since = now if on else begun[-1][1]
    assert level_uj(f, 0, now) == max(FULL - (now - since) // HOUR_MS * 1010, 0)


def test_nights_before_the_start_count(device):
    f = device(charge_below=CERTAIN, **PHONE_LIKE).fleet
    # The night before the start ended at 04:00 of the first day; at 01:00 it is still on the charger.
    assert plugged(f, 0, HOUR_MS) and level_uj(f, 0, HOUR_MS) == FULL
    assert level_uj(f, 0, 6 * HOUR_MS) == FULL - 2 * 1010


def test_a_device_that_is_never_charged_is_empty_and_not_below(device):
    f = device(charge_below=0, **PHONE_LIKE).fleet
    assert level_uj(f, 0, 20 * DAY_MS) == 0


def test_the_inventorys_charge_counts_until_the_first_night_on_the_charger_after_it(device):
    f = device(charge_below=CERTAIN, start_uj=50_000, **PHONE_LIKE | {"charge_from_ms": 10 * HOUR_MS}).fleet
    assert level_uj(f, 0, 9 * HOUR_MS) == 50_000 - 9 * 1010
    assert level_uj(f, 0, 11 * HOUR_MS) == FULL
    never = device(charge_below=0, start_uj=50_000, **PHONE_LIKE).fleet
    assert level_uj(never, 0, 40 * HOUR_MS) == 50_000 - 40 * 1010


def test_updates_drain_it_until_the_next_night_and_no_longer(device):
    f = device(charge_below=CERTAIN, **PHONE_LIKE).fleet
    before = level_uj(f, 0, 12 * HOUR_MS)
    spend(f, 0, rule.ENERGY_DOWNLOAD, 300, 20, 1)
    assert level_uj(f, 0, 12 * HOUR_MS) == before - 321
    assert level_uj(f, 0, 12 * HOUR_MS + DAY_MS) == before


def test_what_a_device_spends_after_a_night_counts_though_nobody_looked_in_between(device):
    d = device(
        charge_below=CERTAIN,
        wake_phase_ms=12 * HOUR_MS,
        defect={"effect": rule.EFFECT_SETTINGS, "onset_ms": DAY_MS},
        backup_ms=1,
        restore_ms=1,
        restore_flash_uj=30_000,
        **PHONE_LIKE | {"use_uj_per_hour": 0, "idle_uj_per_hour": 0},
    ).live()
    assert d.fleet.phase_uj[rule.ENERGY_RESTORE] == 30_000  # a day after the update
    assert level_uj(d.fleet, 0, DAY_MS + 13 * HOUR_MS) == FULL - 30_000


@given(st.lists(st.tuples(st.integers(0, 50_000), st.integers(0, 5 * DAY_MS)), max_size=20))
def test_a_primary_cell_only_falls(device, spent):
    f = device(**PRIMARY).fleet
    now, level = 0, level_uj(f, 0, 0)
    assert level == FULL * 3 // 4
    for energy, passes in spent:
        spend(f, 0, rule.ENERGY_BOOT, 0, 0, energy)
        now += passes
        after = level_uj(f, 0, now)
        assert 0 <= after <= max(level - energy, 0)
        level = after
    assert level == max(FULL * 3 // 4 - sum(e for e, _ in spent) - now // HOUR_MS * 10, 0)


def test_an_empty_primary_cell_is_replaced_after_the_owners_time_and_is_full_then(device):
    f = device(**PRIMARY, replace_below=CERTAIN, tables={"replace_table": "2 d"}).fleet
    spend(f, 0, rule.ENERGY_BOOT, 0, 0, FULL)
    when = power_returns(f, 0, HOUR_MS)
    assert when == HOUR_MS + 2 * DAY_MS and f.cells[0] == 1
    assert level_uj(f, 0, when) == FULL
    assert level_uj(f, 0, when + 3 * HOUR_MS) == FULL - 30


def test_an_empty_primary_cell_that_nobody_replaces_stays_empty(device):
    f = device(**PRIMARY, replace_below=0).fleet
    assert power_returns(f, 0, HOUR_MS) == NEVER


@given(SEEDS, st.integers(CERTAIN // 20, CERTAIN), st.integers(0, 20 * DAY_MS))
def test_power_returns_when_a_rechargeable_device_is_next_on_its_charger(device, seed, share, now):
    f = device(seed=seed, charge_below=share, **PHONE_LIKE).fleet
    when = power_returns(f, 0, now)
    if when == NEVER:
        return
    assert plugged(f, 0, when) and level_uj(f, 0, when) == FULL
    if when > now:
        assert not plugged(f, 0, now) and not plugged(f, 0, when - 1)
        between = [22 * HOUR_MS + n * DAY_MS for n in range(40)]
        assert not [t for t in between if now <= t < when and plugged(f, 0, t)]


def test_power_never_returns_to_a_device_that_is_never_charged(device):
    f = device(charge_below=0, **PHONE_LIKE).fleet
    assert power_returns(f, 0, HOUR_MS) == NEVER


DRAIN = {"effect": rule.EFFECT_DRAIN, "uj_per_hour": 5000}


@given(st.integers(0, 20 * DAY_MS), st.integers(0, FULL))
def test_a_drained_primary_cell_has_something_left_until_it_is_empty(device, now, spent):
    f = device(defect=DRAIN, **PRIMARY).fleet
    spend(f, 0, rule.ENERGY_BOOT, 0, 0, spent)
    f.drain_from_ms[0] = now
    left = level_uj(f, 0, now)
    empty = empty_at(f, 0, now)
    assert level_uj(f, 0, empty) == 0
    if left >= 2 * 5010:  # idle and drain count whole hours, each from its own start
        assert level_uj(f, 0, empty - 2 * HOUR_MS) > 0


def test_a_device_that_is_charged_or_has_no_modelled_battery_is_not_emptied_by_a_drain(device):
    assert empty_at(device(defect=DRAIN, charge_below=CERTAIN, **PHONE_LIKE).fleet, 0, 0) == NEVER
    assert empty_at(device(defect=DRAIN).fleet, 0, 0) == NEVER


@given(st.integers(0, 10 * DAY_MS), st.integers(0, 10 * DAY_MS), st.integers(0, 10 * DAY_MS))
def test_what_a_drain_took_stays_gone_when_it_stops_and_nothing_more_goes(device, first, second, third):
    f = device(defect=DRAIN, **PRIMARY | {"idle_uj_per_hour": 0}).fleet
    f.drain_from_ms[0] = first
    left = level_uj(f, 0, first + second)
    stop_drain(f, 0, first + second)
    assert level_uj(f, 0, first + second) == left
    assert level_uj(f, 0, first + second + third) == left


@given(SEEDS, st.integers(0, CERTAIN), st.integers(0, 20 * DAY_MS), st.integers(0, 20 * DAY_MS))
def test_looking_at_a_battery_does_not_change_what_is_in_it(device, seed, share, first, second):
    looked, unseen = (device(seed=seed, charge_below=share, **PHONE_LIKE).fleet for _ in range(2))
    level_uj(looked, 0, first)
    settle(looked, 0, first)
    assert level_uj(looked, 0, first + second) == level_uj(unseen, 0, first + second)
