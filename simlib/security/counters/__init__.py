"""Counters that only rise, against going back to an older release: in a TPM, or in a model of one."""

from __future__ import annotations

from pathlib import Path

from simlib.errors import MissingPartError
from simlib.security.counters.model import ModelTpm
from simlib.security.counters.monotonic import FIRST_INDEX, CounterTpm, MonotonicCounter
from simlib.security.counters.security_counter import TpmSecurityCounter

__all__ = [
    "FIRST_INDEX",
    "CounterTpm",
    "ModelTpm",
    "MonotonicCounter",
    "TpmSecurityCounter",
    "open_tpm",
]


def open_tpm(folder: Path | None = None) -> CounterTpm:
    """A TPM where there is one, else the model; its `kind` says which.

    The TPM's memory is in `folder`, or in a temporary one; the model's is in this process. The caller closes
    it. Raises `InputError` for a folder that a TPM cannot use.
    """
    from simlib.security.counters.swtpm import SwtpmTpm

    try:
        return SwtpmTpm(folder)
    except MissingPartError:
        return ModelTpm()
