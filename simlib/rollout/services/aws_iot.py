"""AWS IoT Jobs: a rollout rate that may grow, and abort criteria over completed executions.

Configuration: `simlib.rollout.services.aws_iot_config`; rules: `aws_iot_policy`; maintenance windows:
`aws_iot_windows`; what becomes of a scenario's rollout: `aws_iot_translate`. A job has no groups: its things
are one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from simlib.rollout.policy import Policy, Told
from simlib.rollout.service import SILENT, WITHDRAWN, Service
from simlib.rollout.services.aws_iot_config import Config, read
from simlib.rollout.services.aws_iot_policy import AwsIot
from simlib.rollout.services.aws_iot_translate import translate
from simlib.scenario.model import ScenarioSpec

STATUSES: Final = {
    "QUEUED": Told.OFFERED,
    "IN_PROGRESS": Told.STARTED,
    "SUCCEEDED": Told.SUCCEEDED,
    "FAILED": Told.FAILED,
    "TIMED_OUT": SILENT,
    "REJECTED": Told.SKIPPED,
    "REMOVED": WITHDRAWN,
    "CANCELED": WITHDRAWN,
}
"""An execution's status. What was removed or cancelled has ended, but no abort criterion counts it."""


def sizes(config: Config, devices: int) -> tuple[int, ...]:
    """All things in one group."""
    del config
    return (devices,)


def policy(config: Config, group_sizes: tuple[int, ...]) -> Policy:
    """A fresh policy."""
    return AwsIot(config, sum(group_sizes))


def dictate(config: Config, spec: ScenarioSpec) -> ScenarioSpec:
    """A failed execution is queued again at once, as often as the job says, and counts after the last time.

    One that was REJECTED is not. A thing is notified in the job's maintenance windows and starts when it
    likes. FORCE_CANCEL at the end time breaks off what is in progress; as a run has one rule for whatever
    stops it, it does so only where no abort criterion could stop it as well.
    """
    forced = config.end_ms is not None and config.end_behavior == "FORCE_CANCEL" and not config.criteria
    return replace(
        spec,
        transfer=replace(spec.transfer, rounds=1 + config.retries, retry_after_ms=0, retry_deferred=False),
        rollout=replace(spec.rollout, abort_downloads=forced, window=None, verdicts="last"),
    )


SERVICE: Final = Service("aws-iot", read, sizes, policy, translate, STATUSES, dictate)
