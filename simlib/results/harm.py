"""What a rollout cost, in the prices the scenario states; what has no price is not counted, and says so."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pandas as pd

from simlib.outcomes import Outcome
from simlib.scenario.field_model import HarmSpec

_DAY_MS = 86_400_000
_GIGABYTE = 10**9


def harm_of(prices: HarmSpec, devices: pd.DataFrame) -> dict[str, Any] | None:
    """The parts and their total, in `prices.currency`; None for a part without a price, or without any.

    A recall is due for each bricked and each lost device; a delivery for each device that began a download.
    """
    stranded = int(devices["outcome"].isin([Outcome.BRICKED, Outcome.LOST]).sum())
    parts = {
        "recall": (prices.recall_per_brick, Fraction(stranded)),
        "data": (prices.per_gigabyte, Fraction(int(devices["bytes_down"].sum()), _GIGABYTE)),
        "delivery": (prices.per_delivery, Fraction(int((devices["started_ms"] >= 0).sum()))),
        "exposure": (prices.per_exposed_device_day, Fraction(int(devices["exposed_ms"].sum()), _DAY_MS)),
    }
    costs = {name: None if price is None else price * amount for name, (price, amount) in parts.items()}
    stated = [cost for cost in costs.values() if cost is not None]
    if not stated:
        return None
    shown = {name: None if cost is None else round(float(cost), 2) for name, cost in costs.items()}
    return {"currency": prices.currency, **shown, "total": round(float(sum(stated, Fraction(0))), 2)}
