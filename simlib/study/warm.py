"""What a process does once before its first replication, so that none of them waits for it."""

from __future__ import annotations

from functools import cache
from importlib import import_module


@cache
def warm() -> None:
    """Load what a simulation needs. Called again, it does nothing."""
    import_module("simlib.simulation.run")
    import_module("simlib.study.measures")
    import_module("simlib.simulation.program").code()  # compiled now, or loaded
