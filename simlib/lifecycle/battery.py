"""What is in a device's battery, and when power comes back: a function of its habits, draws and updates.

A rechargeable battery is full after a night on the charger (which night is a draw), is used up by the
device's own work at a steady rate, and by updates. A primary one only loses: by age, sleep, polls and
updates; its owner may replace it. Charge is counted in whole microjoules that can be taken at the device's
peak current, time in whole hours. A cohort without a cell has its charge drawn anew at each look, and nothing
ever browns out.
"""

from __future__ import annotations

from typing import Final

from simlib.draws import Purpose, draw32, sampled
from simlib.lifecycle.columns import NEVER, NO_ROW, Fleet
from simlib.lifecycle.waiting import DAY_MS, HOUR_MS

_NIGHTS_BACK: Final = 60
"""No charge seen for so many nights counts as that many days of use."""
_NIGHTS_AHEAD: Final = 400
_NIGHT_ZERO: Final = 1 << 12
"""Added to the number of a night, so that nights before the start have draws too."""

_P_CHARGE, _P_REPLACE = int(Purpose.CHARGE), int(Purpose.REPLACE)
_P_REPLACE_AFTER = int(Purpose.REPLACE_AFTER)


def plugged(fleet: Fleet, i: int, now: int) -> bool:
    """Whether device `i` is on its charger at `now`."""
    cohort = fleet.cohort[i]
    night, into_night = divmod(now + fleet.zone_ms[i] - fleet.charge_from_ms[cohort], DAY_MS)
    return into_night < fleet.charge_for_ms[cohort] and _charges(fleet, i, cohort, night)


def level_uj(fleet: Fleet, i: int, now: int) -> int:
    """What device `i` can still take from its battery at `now` [µJ], 0 if that is nothing."""
    cohort = fleet.cohort[i]
    full = fleet.cell_uj[cohort]
    since, charge, rate = fleet.cell_since_ms[i], fleet.start_uj[i], fleet.idle_uj_per_hour[cohort]
    if fleet.rechargeable[cohort]:
        rate += fleet.use_uj_per_hour[i]
        last = settle(fleet, i, now)
        if last > since or charge == NO_ROW:
            since, charge = last, full
    spent = (now - since) // HOUR_MS * rate + fleet.drained_uj[i]
    if fleet.drain_from_ms[i] != NO_ROW:
        from_ms = max(since, fleet.drain_from_ms[i])
        spent += (now - from_ms) // HOUR_MS * fleet.defect_uj_per_hour[fleet.defect[i]]
    return int(max(charge - spent, 0))


def settle(fleet: Fleet, i: int, now: int) -> int:
    """Until when device `i`, rechargeable, was last on its charger; what it spent before is forgotten."""
    last = _last_charged(fleet, i, fleet.cohort[i], now)
    if last > fleet.charged_ms[i]:
        fleet.charged_ms[i] = last
        fleet.drained_uj[i] = 0
    return last


def stop_drain(fleet: Fleet, i: int, now: int) -> None:
    """The defect that drains the battery of device `i` is gone at `now`; what it took stays gone."""
    drained = level_uj(fleet, i, now)
    hours = (now - fleet.drain_from_ms[i]) // HOUR_MS
    fleet.leaked_uj[i] += hours * fleet.defect_uj_per_hour[fleet.defect[i]]
    fleet.drain_from_ms[i] = NO_ROW
    fleet.drained_uj[i] += level_uj(fleet, i, now) - drained


def empty_at(fleet: Fleet, i: int, now: int) -> int:
    """When the battery of device `i`, drained by a defect, is empty; NEVER if it is charged anyway."""
    cohort = fleet.cohort[i]
    if not fleet.cell_uj[cohort] or fleet.rechargeable[cohort]:
        return NEVER
    rate = fleet.idle_uj_per_hour[cohort] + fleet.defect_uj_per_hour[fleet.defect[i]]
    return int(now + (level_uj(fleet, i, now) // rate + 1) * HOUR_MS)


def power_returns(fleet: Fleet, i: int, now: int) -> int:
    """When device `i`, whose battery is empty at `now`, has power again, or NEVER.

    The row gets the new charge.
    """
    cohort = fleet.cohort[i]
    if fleet.rechargeable[cohort]:
        local = now + fleet.zone_ms[i] - fleet.charge_from_ms[cohort]
        night = local // DAY_MS
        if plugged(fleet, i, now):
            return now
        for ahead in range(1, _NIGHTS_AHEAD):
            if _charges(fleet, i, cohort, night + ahead):
                return int(now + (night + ahead) * DAY_MS - local)
        return NEVER
    number = fleet.cells[i]
    if draw32(fleet.key[i], _P_REPLACE, number) >= fleet.replace_below[cohort]:
        return NEVER
    fleet.cells[i] = number + 1
    draw = draw32(fleet.key[i], _P_REPLACE_AFTER, number)
    when = now + sampled(fleet.quantiles, fleet.replace_table[cohort], draw)
    fleet.cell_since_ms[i], fleet.start_uj[i], fleet.drained_uj[i] = when, fleet.cell_uj[cohort], 0
    return int(when)


def _last_charged(fleet: Fleet, i: int, cohort: int, now: int) -> int:
    """Until when device `i` was last on the charger, at most `now`."""
    charge_for = fleet.charge_for_ms[cohort]
    local = now + fleet.zone_ms[i] - fleet.charge_from_ms[cohort]
    tonight = local // DAY_MS
    for night in range(tonight, tonight - _NIGHTS_BACK, -1):
        if _charges(fleet, i, cohort, night):
            return int(now - max(local - night * DAY_MS - charge_for, 0))
    return int(now - _NIGHTS_BACK * DAY_MS)


def _charges(fleet: Fleet, i: int, cohort: int, night: int) -> bool:
    return bool(draw32(fleet.key[i], _P_CHARGE, night + _NIGHT_ZERO) < fleet.charge_below[cohort])
