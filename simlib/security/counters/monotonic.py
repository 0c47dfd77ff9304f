"""Counters that only rise, by the rules of TPM 2.0 NV counters, and what offers them.

A TPM keeps 64-bit counters in its non-volatile memory (TPM 2.0 Library part 1, "NV Counter"; part 3,
TPM2_NV_DefineSpace, TPM2_NV_Increment):

- an index is defined, then incremented; nothing sets or lowers it;
- the first increment gives one more than the highest value that any counter had which was undefined since, at
  whichever index: undefining a counter and defining it again does not bring an old value back. Counters that
  are still there do not count, as swtpm has it;
- the value stays through resets and losses of power.

Here a counter has its first increment when it is defined, and so can be read at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from simlib.errors import InputError

FIRST_INDEX: Final = 0x0180_0000
LAST_INDEX: Final = 0x01BF_FFFF
"""The owner's NV indices (TCG Registry of Reserved TPM 2.0 Handles and Localities)."""


class CounterTpm(Protocol):
    """What has counters: a TPM or its model."""

    @property
    def kind(self) -> str:
        """What it is, for a person."""
        ...

    def define(self, index: int) -> MonotonicCounter:
        """A new counter. `InputError` for an index that is taken or is not the owner's."""
        ...

    def counter(self, index: int) -> MonotonicCounter:
        """The counter defined at `index`. `InputError` where there is none."""
        ...

    def undefine(self, index: int) -> None:
        """Take a counter away. `InputError` where there is none."""
        ...

    def value(self, index: int) -> int:
        """The value of the counter at `index`. `InputError` where there is none."""
        ...

    def raised(self, index: int) -> int:
        """Its value after one more increment. `InputError` where there is none."""
        ...

    def cut_power(self) -> None:
        """Lose power without a shutdown, and start again."""
        ...

    def close(self) -> None:
        """Shut down."""
        ...


@dataclass(frozen=True, slots=True)
class MonotonicCounter:
    """The counter at `index` of a TPM or its model."""

    tpm: CounterTpm
    index: int

    @property
    def kind(self) -> str:
        """What keeps it, for a person."""
        return self.tpm.kind

    def read(self) -> int:
        """Its value. `InputError` for a counter that has been undefined."""
        return self.tpm.value(self.index)

    def increment(self) -> int:
        """Raise it by one; the value it then has. `InputError` for a counter that has been undefined."""
        return self.tpm.raised(self.index)


def check_index(index: int) -> None:
    """`InputError` unless `index` is one of the owner's."""
    if not FIRST_INDEX <= index <= LAST_INDEX:
        raise InputError(
            f"counter index: found 0x{index:08x}, expected 0x{FIRST_INDEX:08x} to 0x{LAST_INDEX:08x}"
        )


def taken(index: int) -> InputError:
    """The error for an index that has a counter already."""
    return InputError(f"counter index 0x{index:08x}: found a counter, expected none yet")


def absent(index: int) -> InputError:
    """The error for an index without a counter."""
    return InputError(f"counter index 0x{index:08x}: found no counter, expected one")
