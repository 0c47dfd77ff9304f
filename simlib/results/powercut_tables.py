"""Tables from sweeps of power cuts: how the cuts ended, torn trailers, wear, and how long a flash lasts.

Everything is counted from a sweep's rows (`simlib.device.powercut`); sweeps are given by the names they are
to have in the table, mostly the layout's. Leaves to others: the sweep, and drawing (`plots_powercut`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from simlib.device.flash_content import trailer_start
from simlib.device.powercut import PowercutResult
from simlib.device.powercut.case import build_case
from simlib.device.slots import size_of
from simlib.firmware.trailer import MAGIC_BYTES

CYCLES: Final = 10_000
"""Erases that datasheets of NOR flash commonly promise a sector of a microcontroller."""
FATES: Final = ("new", "old", "stuck", "bricked")
"""How a cut ends: what boots and can be updated again, or what harm there is."""


def fates(result: PowercutResult) -> pd.DataFrame:
    """A row for each operation and tear mode: the sweep's columns, and `fate`, one of `FATES`."""
    table = pd.DataFrame(result.columns())
    return table.assign(fate=table["booted"].mask(table["stuck"], "stuck"))


def cut_shares(results: Mapping[str, PowercutResult]) -> pd.DataFrame:
    """How the cuts of each sweep ended: a row a sweep, with `cuts` and a count for each of `FATES`."""
    rows = {}
    for name, result in results.items():
        counts = fates(result)["fate"].value_counts()
        rows[name] = {"cuts": int(counts.sum()), **{fate: int(counts.get(fate, 0)) for fate in FATES}}
    return pd.DataFrame.from_dict(rows, orient="index")


def magic_cuts(result: PowercutResult) -> pd.DataFrame:
    """The cuts inside writes of a trailer's magic: a row for each operation and tear mode.

    `ways` are the ways to tear it that were tried, and `FATES` say how many of them ended so.
    """
    device = build_case(result.options).make()
    ends = {
        partition.name: partition.offset + partition.size
        for partition in device.partitions
        if trailer_start(device, partition.name) < partition.size
    }
    rows: list[dict[str, Any]] = []
    for operation in result.operations:
        end = operation.offset + operation.size_bytes
        is_magic = operation.kind == "write" and MAGIC_BYTES <= operation.size_bytes <= 2 * MAGIC_BYTES
        if not is_magic or end != ends.get(operation.partition):
            continue
        for torn in operation.torn:
            ended = ["stuck" if fate.stuck else fate.first.value for fate in torn.fates]
            rows.append(
                {
                    "number": operation.number,
                    "phase": operation.phase,
                    "partition": operation.partition,
                    "tear": torn.tear,
                    "ways": len(ended),
                    **{fate: ended.count(fate) for fate in FATES},
                }
            )
    return pd.DataFrame(rows, columns=["number", "phase", "partition", "tear", "ways", *FATES])


def wear(result: PowercutResult) -> pd.DataFrame:
    """How often each sector was erased in the update, and in the revert of a failed trial.

    A row for each erase unit that was erased at all: `partition`, `offset_bytes` in the flash, `update`,
    `revert`.
    """
    counts: dict[tuple[str, int], list[int]] = {}
    for operation in result.operations:
        if operation.kind == "erase":
            count = counts.setdefault((operation.partition, operation.offset), [0, 0])
            count[operation.phase == "revert"] += 1
    rows = [(*sector, *count) for sector, count in counts.items()]
    table = pd.DataFrame(rows, columns=["partition", "offset_bytes", "update", "revert"])
    return table.sort_values("offset_bytes", ignore_index=True)


def wear_by_partition(results: Mapping[str, PowercutResult]) -> pd.DataFrame:
    """Of each partition the sector that is erased most: a row for each sweep and partition.

    `update` and `revert` are that sector's erases, `erases` those of all sectors of the partition.
    """
    rows = []
    for name, result in results.items():
        table = wear(result)
        totals = table["update"] + table["revert"]
        for partition, sectors in table.assign(total=totals).groupby("partition", sort=False):
            worst = sectors.loc[sectors["total"].idxmax()]
            rows.append((name, partition, worst["update"], worst["revert"], int(sectors["total"].sum())))
    table = pd.DataFrame(rows, columns=["sweep", "partition", "update", "revert", "erases"])
    return table.set_index(["sweep", "partition"])


def flash_life(results: Mapping[str, PowercutResult], *, cycles: int = CYCLES) -> pd.DataFrame:
    """How many updates of this kind a flash takes until its most erased sector has had `cycles` erases.

    A row a sweep: `updates` that succeed, `failed` where each one is reverted (NaN without a trial), and
    `by_rule`, what MCUboot's documentation reckons for a swap alone (NaN where it has no rule): through a
    scratch area, cycles / (image / scratch); by moving, cycles / 2; by offset, cycles. The rules leave out
    what the updater and the trailers erase.
    """
    rows = {}
    for name, result in results.items():
        table = wear(result)
        worst, both = int(table["update"].max()), int((table["update"] + table["revert"]).max())
        reverts = "revert" in result.ops_of()
        erases = rule_erases(result)
        rows[name] = {
            "updates": cycles // worst,
            "failed": cycles // both if reverts else None,
            "by_rule": None if erases is None else int(cycles / erases),
        }
    return pd.DataFrame.from_dict(rows, orient="index").astype("float")


def rule_erases(result: PowercutResult) -> float | None:
    """Erases of the most erased sector in one swap by MCUboot's rules; None where there is none."""
    match result.options.layout:
        case "swap-move":
            return 2.0
        case "swap-offset":
            return 1.0
        case "swap-scratch":
            case = build_case(result.options)
            return max(map(len, case.release.images[:2])) / size_of(case.config, "scratch")
    return None
