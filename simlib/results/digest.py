"""The one number two runs are compared by: SHA-256 over the device table.

Version 1: for each column of `DEVICE_COLUMNS`, in that order, the column's name in UTF-8 and a NUL byte,
then its values in device order: an integer as 8 bytes, little-endian two's complement; a string as UTF-8
and a NUL. Columns added to the table later stay outside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

DIGEST_VERSION: Final = 1

DEVICE_COLUMNS: Final = (
    "device",
    "cohort",
    "hardware",
    "layout",
    "group",
    "base_version",
    "final_version",
    "artefact",
    "outcome",
    "reason",
    "reported_outcome",
    "attempts",
    "bytes_down",
    "bytes_wasted",
    "energy_radio_uj",
    "energy_flash_uj",
    "energy_compute_uj",
    "offered_ms",
    "started_ms",
    "finished_ms",
    "reported_ms",
)

TEXT_COLUMNS: Final = frozenset(
    {
        "cohort",
        "hardware",
        "layout",
        "base_version",
        "final_version",
        "artefact",
        "outcome",
        "reason",
        "reported_outcome",
    }
)


def digest_of(devices: pd.DataFrame | Mapping[str, Any]) -> str:
    """The digest of a device table (rows in device order), in hexadecimal."""
    sha = hashlib.sha256()
    for name in DEVICE_COLUMNS:
        sha.update(name.encode() + b"\0")
        values = devices[name]
        if name in TEXT_COLUMNS:
            sha.update("".join([f"{v}\0" for v in np.asarray(values, dtype=object).tolist()]).encode())
        else:
            sha.update(np.asarray(values, dtype="<i8").tobytes())
    return sha.hexdigest()
