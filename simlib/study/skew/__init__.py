"""Fleets that are not on one version: which patches to build, what a server carries, what it is worth."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simlib.study.skew.choice import Base, Budgets, Choice, best_set, by_rule
    from simlib.study.skew.costs import Costs, costs_of_images, costs_of_release, relative_bytes
    from simlib.study.skew.field import beyond_the_limit, codec_refused, drops, wrong_records
    from simlib.study.skew.keeping import kept_table, published_costs
    from simlib.study.skew.lags import from_counts, from_shares, geometric, lags_of
    from simlib.study.skew.measured import mean_costs, measured_costs
    from simlib.study.skew.planning import Plan, plan
    from simlib.study.skew.server import build_ms, growth, measured_build_ms
    from simlib.study.skew.steps import Install, measured_steps, steps_of_images

__all__ = [
    "Base",
    "Budgets",
    "Choice",
    "Costs",
    "Install",
    "Plan",
    "best_set",
    "beyond_the_limit",
    "build_ms",
    "by_rule",
    "codec_refused",
    "costs_of_images",
    "costs_of_release",
    "drops",
    "from_counts",
    "from_shares",
    "geometric",
    "growth",
    "kept_table",
    "lags_of",
    "mean_costs",
    "measured_build_ms",
    "measured_costs",
    "measured_steps",
    "plan",
    "published_costs",
    "relative_bytes",
    "steps_of_images",
    "wrong_records",
]

_HOME: Final = {
    "Base": "choice",
    "Budgets": "choice",
    "Choice": "choice",
    "Costs": "costs",
    "Install": "steps",
    "Plan": "planning",
    "best_set": "choice",
    "beyond_the_limit": "field",
    "build_ms": "server",
    "by_rule": "choice",
    "codec_refused": "field",
    "costs_of_images": "costs",
    "costs_of_release": "costs",
    "drops": "field",
    "from_counts": "lags",
    "from_shares": "lags",
    "geometric": "lags",
    "growth": "server",
    "kept_table": "keeping",
    "lags_of": "lags",
    "mean_costs": "measured",
    "measured_build_ms": "server",
    "measured_costs": "measured",
    "measured_steps": "steps",
    "plan": "planning",
    "published_costs": "keeping",
    "relative_bytes": "costs",
    "steps_of_images": "steps",
    "wrong_records": "field",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"simlib.study.skew.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
