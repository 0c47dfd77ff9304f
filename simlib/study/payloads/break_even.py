"""At which patch ratio, link rate, flash and radio a patch is worth as much as another form of the image.

Each answer is the number that makes two forms of `OwnNumbers` equal, everything else held. Costs are linear
in the bytes that travel, so it is a division, given with each function. None: nothing positive makes them
equal, and one of the two is ahead whatever the number is; `decision` says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pandas as pd

from simlib.errors import InputError
from simlib.study.payloads.own_numbers import PAYLOADS, OwnNumbers

BY: Final = {"bytes": "air_bytes", "time": "time_ms", "energy": "total_uj"}
"""What forms are compared by, and where it stands in `Spent`."""

_NJ_PER_MJ: Final = 10**6


def _cost(own: OwnNumbers, payload: str, by: str) -> float:
    if by not in BY:
        raise InputError(f"by: found {by!r}, expected one of {', '.join(BY)}")
    return float(getattr(own.spent(payload), BY[by]))


def patch_ratio_at(own: OwnNumbers, by: str = "energy", against: str = "compressed") -> float | None:
    """The patch ratio at which a patch costs as much as the image in form `against`, by time or energy.

    (cost of `against` - cost of an empty patch) / (cost of a patch as large as the image - of an empty one).
    A smaller patch is cheaper. None where an empty one already costs more. Raises `InputError`.
    """
    nothing, whole = (_cost(replace(own, patch_ratio=ratio), "delta", by) for ratio in (0.0, 1.0))
    return _positive(_cost(own, against, by) - nothing, whole - nothing)


def link_rate_at(own: OwnNumbers, one: str = "delta", other: str = "compressed") -> float | None:
    """The link rate [byte/s] at which two forms take the same time: difference of the bytes on air over
    difference of what the device works, 1,000 (air_other - air_one) / (work_one - work_other) in ms.

    On a slower link the smaller form is the faster one. None: the smaller form takes no more work, and is
    faster on every link.
    """
    a, b = own.spent(one), own.spent(other)
    work_ms = (a.time_ms - a.link_ms) - (b.time_ms - b.link_ms)
    return _positive(1_000 * (b.air_bytes - a.air_bytes), work_ms)


def radio_energy_at(own: OwnNumbers, one: str = "delta", other: str = "compressed") -> float | None:
    """The radio's energy [nJ/byte] at which two forms take the same energy.

    1,000 (work_one - work_other) / (air_other - air_one), the work being all energy [µJ] but the radio's.
    Above it the smaller form is cheaper. None: that one takes no more work, and is cheaper with any radio.
    """
    a, b = own.spent(one), own.spent(other)
    return _positive(
        1_000 * ((a.total_uj - a.radio_uj) - (b.total_uj - b.radio_uj)), b.air_bytes - a.air_bytes
    )


def flash_factor_at(own: OwnNumbers, one: str = "delta", other: str = "compressed") -> float | None:
    """How many times the energy of its erases and writes a flash takes where two forms are equal.

    (rest_other - rest_one) / (flash_one - flash_other), the rest being all energy but the flash's. On a
    flash with a larger factor the form that writes less is cheaper. None: no factor makes them equal.
    """
    a, b = own.spent(one), own.spent(other)
    rest = (b.total_uj - b.flash_uj) - (a.total_uj - a.flash_uj)
    return _positive(rest, a.flash_uj - b.flash_uj)


def _positive(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if numerator * denominator > 0 else None


def decision(own: OwnNumbers) -> pd.DataFrame:
    """A row for each form: `air_bytes`, `time_ms`, energies [µJ], and by bytes, time and energy its `rank_*`
    from 1 and its `margin_*`, what it costs more than the best of the others as a share of that; below 0 for
    the best.
    """
    table = pd.DataFrame(
        {
            payload: {
                "air_bytes": spent.air_bytes,
                "time_ms": spent.time_ms,
                "radio_uj": spent.radio_uj,
                "flash_uj": spent.flash_uj,
                "compute_uj": spent.compute_uj,
                "rest_uj": spent.rest_uj,
                "total_uj": spent.total_uj,
            }
            for payload in PAYLOADS
            for spent in [own.spent(payload)]
        }
    ).T.rename_axis("payload")
    for by, column in BY.items():
        table[f"rank_{by}"] = table[column].rank(method="min").astype("int64")
        best = [table[column].drop(payload).min() for payload in table.index]
        table[f"margin_{by}"] = table[column] / best - 1
    return table


def differences(
    own: OwnNumbers,
    link_rates_bps: Sequence[float],
    patch_ratios: Sequence[float],
    against: str = "compressed",
    *,
    receiver_mw: float | None = None,
) -> pd.DataFrame:
    """A row for each link rate and patch ratio: what a patch takes beyond the image in form `against`.

    `time_ms` and `energy_uj`, below 0 where the patch is better; and as shares of that image's,
    `time_share` and `energy_share`. The radio's energy of a byte stays, or with `receiver_mw` it is that of
    a receiver that is on as long as the byte takes: receiver_mw / rate. Raises `InputError`.
    """
    rows = []
    for rate in link_rates_bps:
        for ratio in patch_ratios:
            here = replace(own, link_bps=rate, patch_ratio=ratio)
            if receiver_mw is not None:
                here = replace(here, radio_nj_per_byte=_NJ_PER_MJ * receiver_mw / rate)
            time, energy = (_cost(here, "delta", by) - _cost(here, against, by) for by in ("time", "energy"))
            rows.append(
                {
                    "link_bps": rate,
                    "patch_ratio": ratio,
                    "time_ms": time,
                    "energy_uj": energy,
                    "time_share": time / _cost(here, against, "time"),
                    "energy_share": energy / _cost(here, against, "energy"),
                }
            )
    return pd.DataFrame(rows)
