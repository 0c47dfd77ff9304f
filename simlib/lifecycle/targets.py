"""Which release a device is to take next: the newest in flight, through stepping stones, or the operator's
answer to a halt.
"""

from __future__ import annotations

from simlib.lifecycle.columns import (
    NEVER,
    NO_ROW,
    RECOVER_BACK,
    RULE_CHAIN,
    RULE_PRIMARY,
    RULE_RECOVERY,
    RULE_RECOVERY_KIND,
    Fleet,
)


def recovering(fleet: Fleet, now: int) -> bool:
    """Whether the operator's answer to the halt is being offered at `now`."""
    return bool(fleet.halted[0]) and now >= fleet.recovery_ms[0]


def stopped(fleet: Fleet, now: int, i: int) -> bool:
    """Whether a halt holds for what device `i` is taking: for everything but the operator's answer to it."""
    if not fleet.halted[0]:
        return False
    return not recovering(fleet, now) or bool(fleet.target[i] != fleet.rules[RULE_RECOVERY])


def next_target(fleet: Fleet, now: int, i: int) -> int:
    """Chain index of what device `i` is offered at `now`, or NO_ROW if there is nothing for it."""
    rules = fleet.rules
    running = fleet.running[i]
    if running == NO_ROW:
        return NO_ROW
    if fleet.halted[0]:
        if not recovering(fleet, now):
            return NO_ROW
        recovery = rules[RULE_RECOVERY]
        if rules[RULE_RECOVERY_KIND] == RECOVER_BACK:
            return int(recovery) if running == rules[RULE_PRIMARY] else NO_ROW
        return int(recovery) if running != recovery else NO_ROW
    newest = rules[RULE_CHAIN] - 1
    while newest > running and fleet.published_ms[newest] > now:
        newest -= 1
    if newest <= running:
        return NO_ROW
    for member in range(running + 1, newest):
        if fleet.stone[member]:
            return member
    return int(newest)


def next_publication(fleet: Fleet, now: int, i: int) -> int:
    """When something newer than device `i` runs is published after `now`, or NEVER."""
    soonest = NEVER
    for member in range(fleet.running[i] + 1, fleet.rules[RULE_CHAIN]):
        if now < fleet.published_ms[member] < soonest:
            soonest = fleet.published_ms[member]
    return int(soonest)
