"""Full, compressed and delta updates beside each other: costs, risks, and where they are equal."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simlib.study.payloads.at_hand import firmware_at_hand
    from simlib.study.payloads.break_even import (
        decision,
        differences,
        flash_factor_at,
        link_rate_at,
        patch_ratio_at,
        radio_energy_at,
    )
    from simlib.study.payloads.costs import update_costs
    from simlib.study.payloads.encryption import encryption_order
    from simlib.study.payloads.harm_by_layout import Hazards, harm
    from simlib.study.payloads.own_numbers import OwnNumbers
    from simlib.study.payloads.preset_numbers import numbers_of
    from simlib.study.payloads.tables import (
        break_evens,
        claim,
        fleet_table,
        sizes_by_codec,
        spread_of_ratios,
    )
    from simlib.study.payloads.windows import Exposure, exposure

__all__ = [
    "Exposure",
    "Hazards",
    "OwnNumbers",
    "break_evens",
    "claim",
    "decision",
    "differences",
    "encryption_order",
    "exposure",
    "firmware_at_hand",
    "flash_factor_at",
    "fleet_table",
    "harm",
    "link_rate_at",
    "numbers_of",
    "patch_ratio_at",
    "radio_energy_at",
    "sizes_by_codec",
    "spread_of_ratios",
    "update_costs",
]

_HOME: Final = {
    "Exposure": "windows",
    "Hazards": "harm_by_layout",
    "OwnNumbers": "own_numbers",
    "break_evens": "tables",
    "claim": "tables",
    "decision": "break_even",
    "differences": "break_even",
    "encryption_order": "encryption",
    "exposure": "windows",
    "firmware_at_hand": "at_hand",
    "flash_factor_at": "break_even",
    "fleet_table": "tables",
    "harm": "harm_by_layout",
    "link_rate_at": "break_even",
    "numbers_of": "preset_numbers",
    "patch_ratio_at": "break_even",
    "radio_energy_at": "break_even",
    "sizes_by_codec": "tables",
    "spread_of_ratios": "tables",
    "update_costs": "costs",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"simlib.study.payloads.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
