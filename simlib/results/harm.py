"""What a rollout cost, in the prices the scenario states; what has no price is not counted, and says so."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pandas as pd

from simlib.outcomes import Outcome
from simlib.results.device_table import DeviceTable, as_table, counted, parts, total
from simlib.scenario.field_model import HarmSpec

_DAY_MS = 86_400_000
_GIGABYTE = 10**9


def harm_of(prices: HarmSpec, devices: DeviceTable | pd.DataFrame) -> dict[str, Any] | None:
    """The parts and their total, in `prices.currency`; None for a part without a price, or without any.

    A recall is due for each bricked and each lost device; a delivery for each device that began a download.
    """
    table = as_table(devices)
    outcomes = counted(table, "outcome")
    stranded = sum(outcomes.get(outcome.value, 0) for outcome in (Outcome.BRICKED, Outcome.LOST))
    started = sum(int((table.column("started_ms", *part) >= 0).sum()) for part in parts(table))
    amounts = {
        "recall": (prices.recall_per_brick, Fraction(stranded)),
        "data": (prices.per_gigabyte, Fraction(total(table, "bytes_down"), _GIGABYTE)),
        "delivery": (prices.per_delivery, Fraction(started)),
        "exposure": (prices.per_exposed_device_day, Fraction(total(table, "exposed_ms"), _DAY_MS)),
    }
    costs = {name: None if price is None else price * amount for name, (price, amount) in amounts.items()}
    stated = [cost for cost in costs.values() if cost is not None]
    if not stated:
        return None
    shown = {name: None if cost is None else round(float(cost), 2) for name, cost in costs.items()}
    return {"currency": prices.currency, **shown, "total": round(float(sum(stated, Fraction(0))), 2)}
