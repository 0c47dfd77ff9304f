"""The waiting room of a service that is asked: who knocks is let in while a permit lasts, or is parked.

A policy that wants to be asked about a knock without a permit is so before the device is parked.

Integer functions on the service's counters, which every clock calls. A parked device costs nothing until the
service can let somebody in again: then it is sent for, and comes at its next check-in.
"""

from __future__ import annotations

from typing import Final

from simlib.simulation.tally import AT_ALLOWED, AT_AWAITED, AT_PARKED, AT_PULLS, Tally

TURNED_AWAY: Final = 0
LET_IN: Final = 1
IN_QUESTION: Final = 2


def knock(tally: Tally, now: int, i: int, asked: int) -> int:
    """Whether device `i`, which comes for the first time at `now`, may have the release.

    LET_IN: it is then one of the first group with a permit left. TURNED_AWAY: it is parked. IN_QUESTION: the
    policy is to be asked, and then this once more, with `asked` 1.
    """
    state = tally.state
    if not state[AT_PULLS] or tally.released_ms[i] >= 0:
        return LET_IN
    if state[AT_ALLOWED] == 0:
        if state[AT_AWAITED] and not asked:
            return IN_QUESTION
        park(tally, i)
        return TURNED_AWAY
    group = 0
    while tally.permit[group] == 0:
        group += 1
    tally.permit[group] -= 1
    state[AT_ALLOWED] -= 1
    tally.group[i] = group
    tally.released_ms[i] = now
    return LET_IN


def park(tally: Tally, i: int) -> None:
    """Device `i` comes again when it is sent for."""
    tally.parked[tally.state[AT_PARKED]] = i
    tally.state[AT_PARKED] += 1


def unpark(tally: Tally) -> list[int]:
    """The parked devices, which are so no longer."""
    devices = [int(i) for i in tally.parked[: tally.state[AT_PARKED]]]
    tally.state[AT_PARKED] = 0
    return devices


def permit(tally: Tally, group: int, more: int) -> None:
    """Let `more` further devices into `group`, fewer if it is negative, down to none."""
    more = max(more, -tally.permit[group])
    tally.permit[group] += more
    tally.state[AT_ALLOWED] += more


def listens(tally: Tally) -> bool:
    """Whether a knock would be of any use, and somebody is parked."""
    state = tally.state
    return bool(state[AT_PARKED] and (state[AT_ALLOWED] or state[AT_AWAITED]))
