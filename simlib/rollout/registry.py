"""Policies by name."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from simlib.rollout.policy import Policy
from simlib.rollout.staged import Staged
from simlib.scenario.model import RolloutSpec

_POLICIES: Final = MappingProxyType[str, Callable[[RolloutSpec], Policy]]({"staged": Staged})


def policy_names() -> tuple[str, ...]:
    """The names `rollout.policy` may have."""
    return tuple(_POLICIES)


def make_policy(spec: RolloutSpec) -> Policy:
    """A fresh policy for one run. The scenario's schema has already checked the name."""
    return _POLICIES[spec.policy](spec)
