"""Which implementations of the reference model there are, what each needs, and how it breaks ties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Implementation:
    """A module beside this one, and the function in it that runs the model."""

    name: str
    module: str
    needs: tuple[str, ...]  # packages, by the names they are imported by
    ties_by_device: bool = True  # as README.md states them; otherwise by the order of scheduling
    peer: bool = False  # somebody else's simulator
    function: str = "run"
    most_devices: int = 10_000_000  # beyond it a run takes minutes


IMPLEMENTATIONS: Final = (
    Implementation("simpy-plain", "simpy_plain", ("simpy",), False, True, most_devices=150_000),
    Implementation("simlib-clock", "simlib_clock", ("simlib",), most_devices=150_000),
    Implementation("simlib-compiled", "simlib_compiled", ("simlib", "llvmlite")),
    Implementation("simlib-fused", "simlib_fused", ("simlib", "llvmlite")),
    Implementation("numba-heap", "numba_explicit", ("numba",), function="run_heap"),
    Implementation("numba-calendar", "numba_explicit", ("numba",), function="run_calendar"),
    Implementation("numba-fused", "numba_fused", ("numba",)),
    Implementation("salabim", "salabim_model", ("salabim", "greenlet"), False, True, most_devices=20_000),
    Implementation("cimba", "cimba_model", ("cimba",), False, True),
)


def named(name: str) -> Implementation:
    """The implementation of that name. ValueError if there is none."""
    for implementation in IMPLEMENTATIONS:
        if implementation.name == name:
            return implementation
    known = ", ".join(one.name for one in IMPLEMENTATIONS)
    raise ValueError(f"implementation: found {name!r}, expected one of {known}")
