"""The waiting room of a service that is asked: who knocks is let in while a permit lasts, or is parked.

Integer functions on the service's counters, which every clock calls. A parked device costs nothing until the
service can let somebody in again: then it is sent for, and comes at its next check-in.
"""

from __future__ import annotations

from simlib.simulation.tally import (
    AT_ALLOWED,
    AT_AWAITED,
    AT_KNOCKED,
    AT_PARKED,
    AT_PULLS,
    AT_TRIPPED,
    Tally,
)


def let_in(tally: Tally, now: int, i: int) -> bool:
    """Whether device `i`, which comes for the first time at `now`, may have the release.

    It is then one of the first group with a permit left. Otherwise it is parked, and the policy is asked if
    it wants to know of knocks.
    """
    state = tally.state
    if not state[AT_PULLS] or tally.released_ms[i] >= 0:
        return True
    if state[AT_ALLOWED] == 0:
        park(tally, i)
        if state[AT_AWAITED]:
            state[AT_KNOCKED] = 1
            state[AT_TRIPPED] = 1
        return False
    group = 0
    while tally.permit[group] == 0:
        group += 1
    tally.permit[group] -= 1
    state[AT_ALLOWED] -= 1
    tally.group[i] = group
    tally.released_ms[i] = now
    return True


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
