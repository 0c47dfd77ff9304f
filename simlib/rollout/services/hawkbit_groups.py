"""How many targets each group of a hawkBit rollout gets.

A group's percentage is of all targets. hawkBit turns it into one of those that are left, q = 100 p / (100 −
the percentages of earlier groups with the same filter), at most 100, and 100 where 1 or less is left; the
group gets q percent of the targets that are left, rounded half up (RolloutHelper.toPercentFromTheRest,
fillRolloutGroupWithTargets). Percentages are Java's ``float``, the rest is ``double``, and which way a half
falls can hang on that (a third of 10 is 3, 3, 4). So this is done in the same two formats: the operations
used are those IEEE 754 rounds correctly, which come out the same on every machine.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Final

from simlib.errors import InputError
from simlib.rollout.services.hawkbit_config import Config, Group

_FLOAT: Final = struct.Struct("<f")


def sizes(config: Config, devices: int) -> tuple[int, ...]:
    """Targets of each group of a rollout to `devices`. Raises `InputError` where hawkBit would refuse it."""
    found = group_sizes(config.groups, devices, of_total=config.of_total)
    most = config.max_targets
    if config.even:
        if 0 < most < max(found):
            raise InputError(
                f"{config.source}: amountGroups: found {len(found)} groups for {devices} targets, "
                f"expected at most {most} targets a group"
            )
    else:
        for number, size in enumerate(found):
            if 0 < most < size:
                raise InputError(
                    f"{config.source}: groups.{number}.targetPercentage: found {size} of {devices} targets, "
                    f"expected at most {most} targets a group"
                )
    if sum(found) != devices:
        raise InputError(
            f"{config.source}: groups: found groups that cover {sum(found)} of {devices} targets, "
            "expected all of them"
        )
    return found


def group_sizes(groups: Sequence[Group], devices: int, *, of_total: bool = True) -> tuple[int, ...]:
    """Targets of each group, which may be fewer than `devices` in all."""
    left = [devices]
    for number in range(len(groups)):
        left.append(left[-1] - next_size(groups[: number + 1], left[-1], of_total=of_total))
    return tuple(before - after for before, after in pairwise(left))


def next_size(groups: Sequence[Group], left: int, *, of_total: bool = True) -> int:
    """Targets of the last of `groups` if `left` targets are in none of the others."""
    *earlier, group = groups
    if of_total:
        unserved = 100.0
        for each in earlier:
            if each.target_filter == group.target_filter:
                unserved -= to_float(each.percentage)
        hundredfold = to_float(Fraction(to_float(group.percentage)) * 100)
        share = 100.0 if unserved <= 1 else min(100.0, hundredfold / unserved)
    else:
        share = to_float(group.percentage)
    return min(floor(Fraction(share * left / 100) + Fraction(1, 2)), left)


def to_float(amount: Fraction) -> float:
    """The nearest single-precision number."""
    single: float = _FLOAT.unpack(_FLOAT.pack(float(amount)))[0]
    return single
