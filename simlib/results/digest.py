"""The one number two runs are compared by: SHA-256 over the device table.

Version 1: for each column of `DEVICE_COLUMNS`, in that order, the column's name in UTF-8 and a NUL byte,
then its values in device order: an integer as 8 bytes, little-endian two's complement; a string as UTF-8
and a NUL. Columns added to the table later stay outside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from simlib.results.device_table import DeviceTable, as_table, parts

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


def digest_of(devices: DeviceTable | pd.DataFrame | Mapping[str, Any]) -> str:
    """The digest of a device table (rows in device order), in hexadecimal. It is read in parts."""
    table = as_table(devices)
    sha = hashlib.sha256()
    for name in DEVICE_COLUMNS:
        sha.update(name.encode() + b"\0")
        for part in parts(table):
            if name in TEXT_COLUMNS:
                sha.update(_written(*table.codes(name, *part)))
            else:
                sha.update(np.ascontiguousarray(table.column(name, *part), dtype="<i8").data)
    return sha.hexdigest()


def _written(codes: NDArray[Any], names: Sequence[str]) -> bytes | memoryview:
    """The names that the codes mean, each with its NUL, one behind the other."""
    written = [f"{name}\0".encode() for name in names]
    first = int(codes[0])
    if (codes == first).all():
        return written[first] * len(codes)
    taken = pa.array(written, type=pa.large_binary()).take(pa.array(codes))
    return memoryview(taken.buffers()[2])
