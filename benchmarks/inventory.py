"""What reading an inventory costs, beside pyarrow's bare reading of the same file.

    python benchmarks/inventory.py [N ...]

Writes N rows with all ten fields under a fixed seed to a temporary folder, as CSV and as Parquet, and reads
each three times, in turns with pyarrow alone on one thread. Prints wall time; compare figures of one run
only, machines and loads differ.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from simlib.fleet.inventory import FIELDS, read_inventory
from simlib.scenario.field_model import InventorySpec

HARDWARE = ("nrf52840", "stm32wb55", "esp32c3")
COHORTS = ("home", "office", "field")
ZONES = (("utc", 0), ("berlin", 3_600_000), ("tokyo", 9 * 3_600_000))
VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0")
STATES = ("pending", "updated", "failed", "")
START_S = 1_750_000_000
MONTH_S = 30 * 86_400


def table(rows: int) -> pa.Table:
    """An inventory of `rows` devices, the same each time: every time and nearly every size is another."""
    rng = np.random.default_rng(1)

    def one_of(names: tuple[str, ...]) -> np.ndarray:
        return np.array(names, dtype=object)[rng.integers(0, len(names), rows)]

    seen = rng.integers(START_S - MONTH_S, START_S, rows).astype("datetime64[s]").astype(str)
    return pa.table(
        {
            "device": [f"dev-{number:012x}" for number in rng.permutation(rows)],
            "hardware": one_of(HARDWARE),
            "cohort": one_of(COHORTS),
            "version": one_of(VERSIONS),
            "free_storage": rng.integers(0, 1 << 22, rows).astype(str).astype(object),
            "battery": [f"{charge / 1000:.3f}" for charge in rng.integers(0, 1001, rows)],
            "last_seen": [f"{time}Z" for time in seen],
            "zone": one_of(tuple(name for name, _ in ZONES)),
            "group": rng.integers(1, 5, rows).astype(str).astype(object),
            "state": one_of(STATES),
        }
    )


def seconds(read: Callable[[], object]) -> float:
    """What one call of `read` takes."""
    begin = time.perf_counter()
    read()
    return time.perf_counter() - begin


def measure(path: Path, bare: Callable[[], object]) -> None:
    """Read the file at `path` with simlib and with `bare`, in turns, and print what each took."""
    spec = InventorySpec(str(path), "auto", (), (), (), 0)

    def ours() -> object:
        return read_inventory(
            spec,
            source="benchmark",
            hardware=HARDWARE,
            cohorts=COHORTS,
            zones=ZONES,
            versions=VERSIONS,
            groups=4,
        )

    turns = [(seconds(ours), seconds(bare)) for _ in range(3)]
    mine, theirs = zip(*turns, strict=True)
    ratio = median(a / b for a, b in turns)
    print(
        f"  {path.suffix[1:]:8} {min(mine):6.2f} s least, {median(mine):6.2f} s median; "
        f"pyarrow alone {min(theirs):6.2f} s, {median(theirs):6.2f} s; {ratio:5.1f} times"
    )


def main(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            print(f"{rows} rows, {len(FIELDS)} columns")
            made = table(rows)
            text, packed = Path(folder, "fleet.csv"), Path(folder, "fleet.parquet")
            csv.write_csv(made, text)
            parquet.write_table(made, packed)
            del made
            options = csv.ReadOptions(use_threads=False)
            kinds = csv.ConvertOptions(column_types=dict.fromkeys(FIELDS, pa.string()))
            measure(text, lambda: csv.read_csv(text, read_options=options, convert_options=kinds))  # noqa: B023
            measure(packed, lambda: parquet.read_table(packed, use_threads=False))  # noqa: B023


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [100_000, 1_000_000])
