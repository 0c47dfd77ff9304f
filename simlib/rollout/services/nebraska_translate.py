"""A staged rollout as the policy of a Nebraska group: a rate, a timeout, and safe mode for a canary."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from simlib.rollout.service import Translation
from simlib.scenario import leaves
from simlib.scenario.model import ScenarioSpec

_NO_LIMIT: Final = 999_999
"""What Nebraska's own interface writes for no limit."""
_PERIOD_MS: Final = 15 * leaves.MINUTE
_SMALL: Final = Fraction(1, 10)
_LOST: Final = (
    "rollout.groups: one group; who asks first is updated first",
    "rollout.groups.*.success_threshold: no gate on successes, the rate goes on",
    "rollout.groups.*.error_threshold: no gate on failures; safe mode looks at timed-out updates alone",
    "rollout.groups.*.min_sample: no sample is waited for but safe mode's first attempt",
    "rollout.groups.*.soak: became the rate at which all soaks together let the whole fleet through",
    "rollout.interval: the policy is evaluated at each check",
    "rollout.deadline: a cap of a period is one of updates in progress too, so a device that puts one off "
    "holds a place until its timeout",
)


def translation(spec: ScenarioSpec) -> Translation:
    """The nearest policy: a rate that takes as long for the whole fleet as all soaks together.

    Safe mode is on where the first of several groups is a canary, at most a tenth of the fleet; the
    timeout is the scenario's deadline, in whole minutes.
    """
    groups = spec.rollout.groups
    total_ms = sum(group.soak_ms for group in groups)
    most = max(1, -(-spec.devices * _PERIOD_MS // total_ms)) if total_ms else _NO_LIMIT
    first = groups[0].share
    canary = len(groups) > 1 and first is not None and first <= _SMALL
    lost = list(_LOST)
    if spec.rollout.deadline_ms % leaves.MINUTE:
        lost.append("rollout.deadline: rounded up to whole minutes")
    if spec.rollout.window is not None:
        lost.append("rollout.window: only office hours, Monday to Friday from 9 to 17")
    if spec.rollout.abort_downloads:
        lost.append("rollout.abort_downloads: what was granted stays granted")
    if any(group.gate != "threshold" for group in groups):
        lost.append("rollout.groups.*.gate: no statistical gate")
    if canary and first is not None and first * spec.devices > 1:
        lost.append("rollout.groups.0.share: safe mode's canary is a single device")
    if spec.transfer.rounds > 1:
        lost.append("transfer.rounds: a device that failed asks again for ever, and is granted as any other")
    return Translation(
        {
            "policy_updates_enabled": True,
            "policy_safe_mode": canary,
            "policy_office_hours": False,
            "policy_period_interval": f"{_PERIOD_MS // leaves.MINUTE} minutes",
            "policy_max_updates_per_period": min(most, _NO_LIMIT),
            "policy_update_timeout": f"{-(-spec.rollout.deadline_ms // leaves.MINUTE)} minutes",
        },
        tuple(lost),
    )
