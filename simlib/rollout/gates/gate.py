"""What a gate is: for so many successes, the least number of failures that halts the rollout.

A gate looks at one group and counts: `judged` devices have a verdict, `errors` of them failed, went silent
past the deadline or vanished, and the others are its successes. Beside s successes, a number of errors halts
if it is at least ``errors_to_halt(s)``, which never falls as s grows. So a policy can say at which counts it
wants to be asked again, and every gate here decides in whole numbers, fractions or decimals of fixed
precision: the same on every machine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from threading import Lock
from typing import Final

from simlib.rollout.policy import GroupView

ARITHMETIC: Final = Context(prec=50, rounding=ROUND_HALF_EVEN)
"""The decimals that gates reckon in, whatever the caller's own context is."""
_AT_A_TIME: Final = 1024


class Gate(ABC):
    """The halt condition of one group; it keeps no state of a run.

    - `min_sample`: judged devices below which it never halts;
    - `compares`: `worse` is to be asked once, when the group has passed and soaked.
    """

    min_sample: int = 1
    compares: bool = False

    @abstractmethod
    def errors_to_halt(self, succeeded: int) -> int | None:
        """The least number of errors that halts beside `succeeded` successes; None: no number does."""

    def halts(self, seen: GroupView) -> bool:
        """Whether what is seen of the group halts the rollout."""
        if seen.judged < self.min_sample:
            return False
        least = self.errors_to_halt(seen.judged - seen.errors)
        return least is not None and seen.errors >= least

    def worse(self, canary: Sequence[int], control: Sequence[int]) -> bool:
        """Whether a continuous metric of the group is greater than that of the control, beyond chance."""
        del canary, control
        return False


class Never(Gate):
    """The gate `none`: nothing halts."""

    def errors_to_halt(self, succeeded: int) -> None:
        """No number of errors."""


class Threshold(Gate):
    """The gate `threshold`: more than a share of the judged failed, as hawkBit's error condition reads.

    errors > threshold × (s + errors) ⇔ errors × (1 − threshold) > threshold × s. At a failure rate just below
    the threshold it halts sooner or later by chance: it holds no level, only `min_sample` tames it.
    """

    def __init__(self, threshold: Fraction, min_sample: int) -> None:
        self.min_sample = max(min_sample, 1)
        self._above = threshold.numerator
        self._rest = threshold.denominator - threshold.numerator

    def errors_to_halt(self, succeeded: int) -> int | None:
        """See `Gate`; None for a threshold of 1."""
        return self._above * succeeded // self._rest + 1 if self._rest else None


class Walked(Gate):
    """A gate whose bounds are found one after the other, each from the one before, and kept."""

    def __init__(self) -> None:
        self._bounds: list[int] = []
        self._lock = Lock()  # replications in several threads share a gate

    def errors_to_halt(self, succeeded: int) -> int:
        """See `Gate`. The first call for a number of successes goes there step by step."""
        if succeeded >= len(self._bounds):
            with self._lock:
                while succeeded >= len(self._bounds):
                    self._bounds += self._next_bounds(max(_AT_A_TIME, len(self._bounds)))
        return self._bounds[succeeded]

    @abstractmethod
    def _next_bounds(self, count: int) -> list[int]:
        """The `count` bounds after those found so far."""


def decimal_of(number: Fraction) -> Decimal:
    """`number` in the precision of the context at hand."""
    return Decimal(number.numerator) / Decimal(number.denominator)
