"""Full, compressed and delta updates beside each other: costs, risks, and where they are equal."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
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
    from simlib.study.payloads.windows import Exposure, exposure

__all__ = [
    "Exposure",
    "Hazards",
    "OwnNumbers",
    "decision",
    "differences",
    "encryption_order",
    "exposure",
    "flash_factor_at",
    "harm",
    "link_rate_at",
    "numbers_of",
    "patch_ratio_at",
    "radio_energy_at",
    "update_costs",
]

_HOME: Final = {
    "Exposure": "windows",
    "Hazards": "harm_by_layout",
    "OwnNumbers": "own_numbers",
    "decision": "break_even",
    "differences": "break_even",
    "encryption_order": "encryption",
    "exposure": "windows",
    "flash_factor_at": "break_even",
    "harm": "harm_by_layout",
    "link_rate_at": "break_even",
    "numbers_of": "preset_numbers",
    "patch_ratio_at": "break_even",
    "radio_energy_at": "break_even",
    "update_costs": "costs",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"simlib.study.payloads.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
