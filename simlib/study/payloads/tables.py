"""Tables about the sizes of updates, and about runs of a fleet with one form of update beside another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd

from simlib.delta import compare
from simlib.errors import InputError
from simlib.firmware.measurements import delta_pairs
from simlib.results.run import Run
from simlib.study.payloads.break_even import (
    flash_factor_at,
    link_rate_at,
    patch_ratio_at,
    radio_energy_at,
)
from simlib.study.payloads.own_numbers import OwnNumbers

_MS_PER_HOUR = 3_600_000


def sizes_by_codec(images: Sequence[bytes]) -> pd.DataFrame:
    """A row for each step of a history, oldest first, and each codec, every payload made and applied.

    `step` from 1, the columns of `simlib.delta.compare`, `of_full` (of the raw image) and `of_compressed` (of
    the smallest compressed image of that step). Raises `InputError` for fewer than two images.
    """
    if len(images) < 2:
        raise InputError(f"images: found {len(images)}, expected 2 or more")
    steps = pd.concat(
        [pd.DataFrame(compare(old, new)).assign(step=n) for n, (old, new) in enumerate(pairwise(images), 1)],
        ignore_index=True,
    )
    smallest = steps[~steps["takes_base"]].groupby("step")["patch_bytes"].min()
    steps["of_full"] = steps["patch_bytes"] / steps["full_raw_bytes"]
    steps["of_compressed"] = steps["patch_bytes"] / steps["step"].map(smallest)
    return steps


def claim(steps: pd.DataFrame, codec: str = "bsdiff4") -> pd.Series:
    """What a codec's patches save over all steps of `sizes_by_codec`, and what of it is compression's.

    `of_raw`: the share of the raw images saved; `of_compressed`: of the images compressed with LZMA;
    `by_compression`: what compression alone saves of the raw ones; `not_the_patchs`: the last over the first.
    """
    rows = steps[steps["codec"] == codec]
    raw, packed, patches = (
        float(rows[c].sum()) for c in ("full_raw_bytes", "full_lzma_bytes", "patch_bytes")
    )
    return pd.Series(
        {
            "of_raw": 1 - patches / raw,
            "of_compressed": 1 - patches / packed,
            "by_compression": 1 - packed / raw,
            "not_the_patchs": (raw - packed) / (raw - patches),
        },
        name=codec,
    )


def spread_of_ratios(steps: pd.DataFrame, name: str, codec: str = "bsdiff4") -> pd.DataFrame:
    """Patches over raw images (`ratio`) by `label`: of the public bsdiff4 measurements, of a history, and its
    images compressed. For `simlib.results.plots_patch_sizes.ratio_distribution`.
    """
    rows = steps[steps["codec"] == codec]
    public = [u for u in delta_pairs() if u.algorithm == "bsdiff4" and u.steps == 1]
    columns = {
        "public projects": [u.update_bytes / u.target_size_bytes for u in public],
        f"this history ({name})": rows["of_full"].tolist(),
        "its images, compressed": (rows["full_lzma_bytes"] / rows["full_raw_bytes"]).tolist(),
    }
    return pd.concat([pd.DataFrame({"label": k, "ratio": v}) for k, v in columns.items()], ignore_index=True)


def break_evens(devices: Mapping[str, OwnNumbers]) -> pd.DataFrame:
    """Where two forms cost the same, a column for each device; missing where they never do."""
    return pd.DataFrame(
        {
            name: {
                "patch ratio, energy, patch = compressed": patch_ratio_at(own, "energy"),
                "patch ratio, energy, patch = raw": patch_ratio_at(own, "energy", "full"),
                "patch ratio, time, patch = compressed": patch_ratio_at(own, "time"),
                "patch ratio, time, patch = raw": patch_ratio_at(own, "time", "full"),
                "link rate, time, patch = raw [B/s]": link_rate_at(own, "delta", "full"),
                "radio, energy, compressed = raw [nJ/B]": radio_energy_at(own, "compressed", "full"),
                "flash cost, energy, patch = raw [times]": flash_factor_at(own, "delta", "full"),
            }
            for name, own in devices.items()
        }
    )


def fleet_table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """A column for each run: outcomes, bytes, energies, refused bases, and when 95 % had the update."""
    return pd.DataFrame(
        {
            label: {
                "updated": run.summary["outcomes"]["updated"],
                "down_gb": run.devices["bytes_down"].sum() / 1e9,
                "wasted_gb": run.devices["bytes_wasted"].sum() / 1e9,
                "radio_kj": run.summary["energy_radio_uj"] / 1e9,
                "flash_kj": run.summary["energy_flash_uj"] / 1e9,
                "wrong_base": (run.errors["reason"] == "wrong-base").sum(),
                "to_95_h": run.summary["time_to_95_ms"] / _MS_PER_HOUR,
            }
            for label, run in runs.items()
        }
    )
