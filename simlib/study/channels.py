"""The same device behind other radios: one scenario with a cohort a channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import cast

from simlib.errors import InputError
from simlib.scenario import Scenario


def one_cohort_a_channel(
    scenario: Scenario, channels: Sequence[Mapping[str, object]], changes: Mapping[str, object] | None = None
) -> Scenario:
    """`scenario` with its first cohort once for each of `channels`, in equal shares, and no other cohort.

    `channels` are tables as they stand under ``channels`` of a scenario; a cohort takes its channel's name,
    and keeps its cell, its flash and its core. `changes` are made in the same go, as by `Scenario.with_`.
    Raises `InputError`.
    """
    if not channels:
        raise InputError("channels: found none, expected at least one")
    first, *_ = cast("list[dict[str, object]]", scenario.document["cohorts"])
    share = Fraction(1, len(channels))
    cohorts = [{**first, "name": c["name"], "channel": c["name"], "share": share} for c in channels]
    return scenario.with_({"channels": list(channels), "cohorts": cohorts, **(changes or {})})
