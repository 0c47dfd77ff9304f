"""The rules of TPM counters without a TPM: what stands in where none is at hand.

It keeps its counters in this process's memory. A test holds it against a real TPM, operation by operation.
"""

from __future__ import annotations

from typing import Final

from simlib.security.counters.monotonic import MonotonicCounter, absent, check_index, taken

KIND: Final = "model"


class ModelTpm:
    """Counters by index, and the highest value that any of those had which have been undefined."""

    kind: Final = KIND

    def __init__(self) -> None:
        self._values: dict[int, int] = {}
        self._highest_gone = 0

    def define(self, index: int) -> MonotonicCounter:
        """A new counter, one above every one that was undefined."""
        check_index(index)
        if index in self._values:
            raise taken(index)
        self._values[index] = self._highest_gone + 1
        return MonotonicCounter(self, index)

    def counter(self, index: int) -> MonotonicCounter:
        """The counter at `index`."""
        self.value(index)
        return MonotonicCounter(self, index)

    def undefine(self, index: int) -> None:
        """Take a counter away; what it counted is not forgotten."""
        self._highest_gone = max(self._highest_gone, self.value(index))
        del self._values[index]

    def value(self, index: int) -> int:
        """The value of the counter at `index`."""
        if index not in self._values:
            raise absent(index)
        return self._values[index]

    def raised(self, index: int) -> int:
        """The value of the counter at `index` after one more increment."""
        self._values[index] = self.value(index) + 1
        return self._values[index]

    def cut_power(self) -> None:
        """Nothing is lost: the memory is non-volatile."""

    def close(self) -> None:
        """Nothing is open."""
