"""Whether a fleet fits into the memory at hand, before anything is made for it."""

from __future__ import annotations

from typing import Final

import psutil

from simlib.errors import InputError
from simlib.scenario.model import ScenarioSpec

GB: Final = 1_000_000_000
BASE_BYTES: Final = 300_000_000
"""A process with simlib, its libraries and a release in it."""
BYTES_A_DEVICE: Final = {"simpy": 2_600, "compiled": 360, "fused": 360}
"""Peak of a run without its records, measured on `escooter-120k` (benchmarks/README.md)."""
RECORD_BYTES: Final = 120
"""What the records of transfers and of failed steps add to it."""


def needed_bytes(devices: int, engine: str, *, record: bool = True) -> int:
    """About how much memory a run of so many devices takes; `record` is as in `simulate`."""
    return BASE_BYTES + devices * (BYTES_A_DEVICE[engine] + RECORD_BYTES * record)


def check_memory(spec: ScenarioSpec, engine: str, *, record: bool = True) -> None:
    """Raise `InputError`, with what is needed and what is there, for a fleet that does not fit."""
    free = int(psutil.virtual_memory().available)
    needed = needed_bytes(spec.devices, engine, record=record)
    if needed <= free:
        return
    fits = max((free - BASE_BYTES) // (BYTES_A_DEVICE[engine] + RECORD_BYTES * record), 0)
    raise InputError(
        f"{spec.name}: devices: found {spec.devices:,}, expected at most {fits:,}: about "
        f"{needed / GB:.1f} GB are needed on the {engine} clock, {free / GB:.1f} GB of memory are free"
    )
